package tr

import (
	"bytes"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func viaFunctions() []modules.Function {
	return []modules.Function{
		viaPart("via.name", "Protocol name of a Via value, SIP.", func(v *sip.Via) []byte { name, _, _ := bytes.Cut(v.Version, []byte("/")); return bytes.TrimSpace(name) }),
		viaPart("via.version", "Protocol version of a Via value, 2.0.", func(v *sip.Via) []byte {
			_, version, _ := bytes.Cut(v.Version, []byte("/"))
			return bytes.TrimSpace(version)
		}),
		viaPart("via.transport", "Transport of a Via value as written: UDP, TLS.", func(v *sip.Via) []byte { return v.Transport }),
		viaPart("via.host", "Host of a Via value's sent-by.", func(v *sip.Via) []byte { return v.Host }),
		viaPart("via.domain", "The same as via.host.", func(v *sip.Via) []byte { return v.Host }),
		viaNumber("via.port", "Port of a Via value's sent-by; nil when it names none.", func(v *sip.Via) uint16 { return v.Port }),
		viaPart("via.comment", "Comment of a Via value, without its parentheses.", func(v *sip.Via) []byte {
			return bytes.TrimSuffix(bytes.TrimPrefix(v.Comment, []byte("(")), []byte(")"))
		}),
		viaPart("via.params", "All parameters of a Via value, without the semicolon before them.", func(v *sip.Via) []byte { return v.Params }),
		ofVia("via.param", modules.KindString, "Value of a Via parameter; \"\" when it has none, nil when the parameter is absent.",
			func(v *sip.Via, p *params) modules.Value {
				value, ok := v.Param(p.str(0))
				return stringIf(string(value), ok)
			}, strArg("name", "the parameter's name, in any case")),
		viaPart("via.branch", "Value of the branch parameter.", func(v *sip.Via) []byte { return v.Branch }),
		viaPart("via.received", "Value of the received parameter.", func(v *sip.Via) []byte { return v.Received }),
		viaNumber("via.rport", "Value of the rport parameter; nil when it has none.", func(v *sip.Via) uint16 { return v.RPort }),
	}
}

// ofVia works on the first value of a Via header field.
func ofVia(name string, kind modules.Kind, doc string, f func(*sip.Via, *params) modules.Value, args ...modules.Arg) modules.Function {
	return define(name, kind, doc, func(s string, p *params) modules.Value {
		var v sip.Via
		if _, err := sip.ParseVia([]byte(s), &v); err != nil {
			return modules.Nil()
		}
		return f(&v, p)
	}, args...)
}

func viaPart(name, doc string, f func(*sip.Via) []byte) modules.Function {
	return ofVia(name, modules.KindString, doc, func(v *sip.Via, _ *params) modules.Value { return nonEmpty(f(v)) })
}

func viaNumber(name, doc string, f func(*sip.Via) uint16) modules.Function {
	return ofVia(name, modules.KindNumber, doc, func(v *sip.Via, _ *params) modules.Value {
		if n := f(v); n > 0 {
			return modules.Int(int(n))
		}
		return modules.Nil()
	})
}
