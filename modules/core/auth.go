package core

import (
	"bytes"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// authFields read digest credentials and challenges (RFC 3261 §22, RFC 8760).
func authFields() []modules.Field {
	credentials := []struct{ name, opensips, param, doc string }{
		{"aU", "$aU", "username", "Whole username of the credentials."},
		{"ar", "$ar", "realm", "Realm of the credentials."},
		{"adu", "$adu", "uri", "URI that the digest response was made for."},
		{"an", "$an", "nonce", "Nonce of the credentials."},
		{"auth_nonce", "$auth.nonce", "nonce", "Nonce of the credentials."},
		{"auth_resp", "$auth.resp", "response", "Digest response of the credentials."},
		{"auth_cnonce", "$auth.cnonce", "cnonce", "Client nonce of the credentials."},
		{"auth_opaque", "$auth.opaque", "opaque", "Opaque string of the credentials."},
		{"auth_alg", "$auth.alg", "algorithm", "Algorithm of the credentials."},
		{"auth_qop", "$auth.qop", "qop", "Quality of protection of the credentials."},
		{"auth_nc", "$auth.nc", "nc", "Nonce count of the credentials, hexadecimal as written."},
	}
	var fields []modules.Field
	for _, f := range credentials {
		fields = append(fields, field(f.name, f.opensips, modules.KindString, f.doc, func(c *api.Ctx) modules.Value {
			return modules.StringOrNil(credential(c, f.param))
		}))
	}
	for _, name := range []string{"algorithm", "realm", "nonce", "opaque", "qop", "ik", "ck"} {
		fields = append(fields, field("challenge_"+name, "$challenge."+name, modules.KindString,
			"Parameter "+name+" of the challenge in WWW-Authenticate or Proxy-Authenticate.", func(c *api.Ctx) modules.Value {
				return modules.StringOrNil(challenge(c, name))
			}))
	}
	return append(fields,
		field("au", "$au", modules.KindString, "User part of the credentials' username.", func(c *api.Ctx) modules.Value {
			user, _, _ := strings.Cut(credential(c, "username"), "@")
			return modules.StringOrNil(user)
		}),
		field("ad", "$ad", modules.KindString, "Domain part of the credentials' username.", func(c *api.Ctx) modules.Value {
			_, domain, _ := strings.Cut(credential(c, "username"), "@")
			return modules.StringOrNil(domain)
		}),
		field("Au", "$Au", modules.KindString, "User to account for: that of the credentials, else that of From.", accountUser))
}

// credential reads Proxy-Authorization, else Authorization. ACK and CANCEL
// have none of their own (RFC 3261 §22.1).
func credential(c *api.Ctx, param string) string {
	if m := c.Msg.Method(); m == sip.ACK || m == sip.CANCEL {
		return ""
	}
	v := c.Msg.First(sip.HdrProxyAuthorization)
	if v == nil {
		v = c.Msg.First(sip.HdrAuthorization)
	}
	return digestParam(v, param)
}

func challenge(c *api.Ctx, param string) string {
	v := c.Msg.First(sip.HdrWWWAuthenticate)
	if v == nil {
		v = c.Msg.First(sip.HdrProxyAuthenticate)
	}
	return digestParam(v, param)
}

// digestParam reads a parameter of "Digest a=1, b="x"", without its quotes;
// "" when it is absent or the scheme is another.
func digestParam(v []byte, name string) string {
	v = bytes.TrimSpace(v)
	i := bytes.IndexAny(v, " \t\r\n")
	if i < 0 || !sip.EqualFold(v[:i], "Digest") {
		return ""
	}
	for item := range sip.SplitList(v[i:]) {
		key, value, ok := bytes.Cut(item, []byte("="))
		if ok && sip.EqualFold(bytes.TrimSpace(key), name) {
			return string(sip.Unquote(nil, bytes.TrimSpace(value)))
		}
	}
	return ""
}

func accountUser(c *api.Ctx) modules.Value {
	if user, _, _ := strings.Cut(credential(c, "username"), "@"); user != "" {
		return modules.String(user)
	}
	from, err := c.Msg.From()
	if err != nil || from == nil {
		return modules.Nil()
	}
	return modules.StringOrNil(string(from.URI.User))
}
