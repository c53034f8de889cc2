package tr

import (
	"bytes"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func nameaddrFunctions() []modules.Function {
	index := optIntArg("index", "0", "which address of a list, from 0, from the end when negative")
	return []modules.Function{
		ofAddr("nameaddr.name", modules.KindString, "Display name as written, quotes kept.", 0,
			func(n *sip.NameAddr, _ *params) modules.Value { return nonEmpty(n.Display) }, index),
		ofAddr("nameaddr.uri", modules.KindString, "The URI, without its angle brackets.", 0,
			func(n *sip.NameAddr, _ *params) modules.Value { return nonEmpty(n.Addr) }, index),
		ofAddr("nameaddr.len", modules.KindNumber, "Length of the whole address with its parameters, in bytes.", 0,
			func(n *sip.NameAddr, _ *params) modules.Value { return modules.Int(len(n.Line)) }, index),
		ofAddr("nameaddr.param", modules.KindString, "Value of a parameter of the address, quotes off; \"\" when it has none, nil when the parameter is absent.", 1,
			func(n *sip.NameAddr, p *params) modules.Value {
				return stringIf(ParamValue(string(n.Params), p.str(0)))
			},
			strArg("name", "the parameter's name, in any case"), index),
		ofAddr("nameaddr.params", modules.KindString, "All parameters of the address, without the semicolon before them.", 0,
			func(n *sip.NameAddr, _ *params) modules.Value { return nonEmpty(n.Params) }, index),
	}
}

// ofAddr works on one address of a list; indexArg tells which parameter
// selects it.
func ofAddr(name string, kind modules.Kind, doc string, indexArg int, f func(*sip.NameAddr, *params) modules.Value, args ...modules.Arg) modules.Function {
	return define(name, kind, doc, func(s string, p *params) modules.Value {
		n, ok := addrAt([]byte(s), p.int(indexArg, 0))
		if !ok {
			return modules.Nil()
		}
		return f(&n, p)
	}, args...)
}

func addrAt(list []byte, index int) (n sip.NameAddr, ok bool) {
	if index < 0 {
		for range sip.SplitList(list) {
			index++
		}
		if index < 0 {
			return n, false
		}
	}
	for item := range sip.SplitList(list) {
		if index == 0 {
			return readAddr(item)
		}
		index--
	}
	return n, false
}

// readAddr reads one address. One whose URI alone is broken, such as a bare
// user@host in angle brackets, still has its parts.
func readAddr(item []byte) (n sip.NameAddr, ok bool) {
	if _, err := sip.ParseNameAddr(item, &n); err == nil {
		return n, true
	}
	if len(n.Addr) == 0 {
		return n, false
	}
	n.Line = item
	tail := item[bytes.LastIndex(item, n.Addr)+len(n.Addr):]
	if _, p, found := bytes.Cut(tail, []byte(";")); found {
		n.Params = bytes.TrimSpace(p)
	}
	return n, true
}
