package tr

import (
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func uriFunctions() []modules.Function {
	return []modules.Function{
		uriPart("uri.user", "User of a URI, escapes kept; the number of a tel URI.", func(u *sip.URI) []byte { return u.User }),
		uriPart("uri.host", "Host of a URI, IPv6 in its brackets.", func(u *sip.URI) []byte { return u.Host }),
		uriPart("uri.domain", "The same as uri.host.", func(u *sip.URI) []byte { return u.Host }),
		uriPart("uri.passwd", "Password of a URI.", func(u *sip.URI) []byte { return u.Password }),
		ofURI("uri.port", modules.KindNumber, "Port of a URI; nil when it names none.", func(u *sip.URI, _ *params) modules.Value {
			if !u.HasPort {
				return modules.Nil()
			}
			return modules.Int(int(u.Port))
		}),
		uriPart("uri.params", "All parameters of a URI, without the semicolon before them.", func(u *sip.URI) []byte { return u.Params }),
		ofURI("uri.param", modules.KindString, "Value of a URI parameter; \"\" when it has none, nil when the parameter is absent.",
			func(u *sip.URI, p *params) modules.Value { return uriParam(u, p.str(0)) }, strArg("name", "the parameter's name, in any case")),
		uriPart("uri.headers", "Headers of a URI, behind its question mark.", func(u *sip.URI) []byte { return u.Headers }),
		uriNamed("uri.transport", "transport"),
		uriNamed("uri.ttl", "ttl"),
		uriNamed("uri.uparam", "user"),
		uriNamed("uri.maddr", "maddr"),
		uriNamed("uri.method", "method"),
		uriNamed("uri.lr", "lr"),
		uriNamed("uri.r2", "r2"),
		uriPart("uri.schema", "Scheme of a URI as written: sip, sips, tel.", func(u *sip.URI) []byte { return u.SchemeName }),
	}
}

func ofURI(name string, kind modules.Kind, doc string, f func(*sip.URI, *params) modules.Value, args ...modules.Arg) modules.Function {
	return define(name, kind, doc, func(s string, p *params) modules.Value {
		var u sip.URI
		if sip.ParseURI([]byte(s), &u) != nil {
			return modules.Nil()
		}
		return f(&u, p)
	}, args...)
}

func uriPart(name, doc string, f func(*sip.URI) []byte) modules.Function {
	return ofURI(name, modules.KindString, doc, func(u *sip.URI, _ *params) modules.Value { return nonEmpty(f(u)) })
}

func uriNamed(name, param string) modules.Function {
	return ofURI(name, modules.KindString, "Value of the URI parameter "+param+"; \"\" when it has none, nil when the parameter is absent.",
		func(u *sip.URI, _ *params) modules.Value { return uriParam(u, param) })
}

func uriParam(u *sip.URI, name string) modules.Value {
	v, ok := u.Param(name)
	return stringIf(string(v), ok)
}
