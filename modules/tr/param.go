package tr

import (
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func paramFunctions() []modules.Function {
	name := strArg("name", "the parameter's name, in any case")
	index := intArg("index", "position from 0, from the end when negative")
	return []modules.Function{
		define("param.value", modules.KindString, "Value of a parameter in \"a=1;b=2\", quotes off; \"\" when it has none, nil when the parameter is absent.",
			func(s string, p *params) modules.Value { return stringIf(ParamValue(s, p.str(0))) }, name),
		define("param.exist", modules.KindBool, "Whether a parameter is there, with or without a value.",
			func(s string, p *params) modules.Value { _, ok := ParamValue(s, p.str(0)); return modules.Bool(ok) }, name),
		define("param.valueat", modules.KindString, "Value of the parameter at a position; nil outside of the list.",
			func(s string, p *params) modules.Value {
				_, v, ok := paramAt(s, p.int(0, 0))
				return stringIf(v, ok)
			}, index),
		define("param.name", modules.KindString, "Name of the parameter at a position; nil outside of the list.",
			func(s string, p *params) modules.Value {
				n, _, ok := paramAt(s, p.int(0, 0))
				return stringIf(n, ok)
			}, index),
		define("param.count", modules.KindNumber, "How many parameters the list has.",
			func(s string, _ *params) modules.Value { return modules.Int(paramCount(s)) }),
	}
}

// ParamValue is {param.value,name}: the first parameter of that name.
func ParamValue(list, name string) (value string, ok bool) {
	v, ok := sip.Param([]byte(list), name)
	return string(sip.Unquote(nil, v)), ok
}

func paramAt(list string, index int) (name, value string, ok bool) {
	if index < 0 {
		index += paramCount(list)
	}
	if index < 0 {
		return "", "", false
	}
	sip.EachParam([]byte(list), func(n, v []byte) bool {
		if index == 0 {
			name, value, ok = string(n), string(sip.Unquote(nil, v)), true
		}
		index--
		return !ok
	})
	return name, value, ok
}

func paramCount(list string) (n int) {
	sip.EachParam([]byte(list), func(_, _ []byte) bool { n++; return true })
	return n
}
