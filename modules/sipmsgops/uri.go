package sipmsgops

import (
	"bytes"
	"fmt"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func uriFunctions() []modules.Function {
	param := modules.StrArg("param", "name of the parameter")
	return []modules.Function{
		modules.F2(modules.Spec{Name: "ruri_has_param", Routes: routesRequest,
			Doc: "Tells whether the request URI has a parameter: without a value, or with that value."},
			param, modules.OptAnyArg("value", "the value; not given: the parameter must have none"), (*config).ruriHasParam),
		modules.F1(modules.Spec{Name: "ruri_add_param", Routes: routesRequest,
			Doc: "Adds a parameter to the request URI."}, modules.StrArg("param", `"name" or "name=value"`), (*config).ruriAddParam),
		modules.F1(modules.Spec{Name: "ruri_del_param", Routes: routesRequest,
			Doc: "Removes a parameter from the request URI; false when it has none of that name."}, param, (*config).ruriDelParam),
		modules.F0(modules.Spec{Name: "ruri_tel2sip", Routes: routesRequest,
			Doc: "Turns a tel request URI into a SIP URI with the host of From (RFC 3261 §19.1.6); true also when it is none."},
			(*config).ruriTel2SIP),
		modules.F1(modules.Spec{Name: "is_uri_user_e164", Routes: api.RouteRequest | api.RouteFailure | api.RouteLocal,
			Doc: "Tells whether the user of a URI is an E.164 number: + and 2 to 15 digits."},
			modules.StrArg("uri", "a URI"), (*config).isE164),
	}
}

func badURI(err error) modules.Ret { return modules.No(-1, "bad_uri", "request URI: "+err.Error()) }

// ruriHasParam is ruri_has_param.
func (*config) ruriHasParam(c *api.Ctx, name string, value modules.Value) modules.Ret {
	u, err := c.Msg.RURI()
	if err != nil {
		return badURI(err)
	}
	v, ok := u.Param(name)
	return modules.YesIf(ok && string(v) == value.Text(), "not_found", "the request URI has no such parameter")
}

// ruriAddParam is ruri_add_param.
func (*config) ruriAddParam(c *api.Ctx, param string) modules.Ret {
	if param == "" {
		return modules.Yes()
	}
	uri := c.Msg.RequestURI()
	var u sip.URI
	if err := sip.ParseURI(uri, &u); err != nil {
		return badURI(err)
	}
	at := len(uri)
	if u.Headers != nil {
		at -= len(u.Headers) + 1
	}
	grown := bytes.Join([][]byte{uri[:at], []byte(";" + param), uri[at:]}, nil)
	var check sip.URI
	if err := sip.ParseURI(grown, &check); err != nil || len(check.Headers) != len(u.Headers) {
		return modules.Misuse(fmt.Errorf(`parameter %q is not "name=value", or needs escaping`, param))
	}
	return done(c.Msg.SetRequestURI(grown))
}

// ruriDelParam is ruri_del_param.
func (*config) ruriDelParam(c *api.Ctx, name string) modules.Ret {
	uri := c.Msg.RequestURI()
	var u sip.URI
	if err := sip.ParseURI(uri, &u); err != nil {
		return badURI(err)
	}
	if _, ok := u.Param(name); !ok {
		return missing("the request URI has no such parameter")
	}
	start := len(uri) - len(u.Params)
	if u.Headers != nil {
		start -= len(u.Headers) + 1
	}
	kept := bytes.Clone(uri[:start-1])
	for part := range bytes.SplitSeq(u.Params, []byte{';'}) {
		one := sip.URI{Params: part}
		if _, gone := one.Param(name); !gone {
			kept = append(append(kept, ';'), part...)
		}
	}
	if u.Headers != nil {
		kept = append(append(kept, '?'), u.Headers...)
	}
	return done(c.Msg.SetRequestURI(kept))
}

// ruriTel2SIP is ruri_tel2sip.
func (*config) ruriTel2SIP(c *api.Ctx) modules.Ret {
	u, err := c.Msg.RURI()
	if err != nil {
		return badURI(err)
	}
	if u.Scheme != sip.SchemeTEL {
		return modules.Yes()
	}
	from, err := c.Msg.From()
	if err != nil || len(from.URI.Host) == 0 {
		return modules.No(-1, "no_host", "From has no host that the SIP URI could take")
	}
	number := u.Raw[len(u.SchemeName)+1:]
	return done(c.Msg.SetRequestURI([]byte("sip:" + string(number) + "@" + string(from.URI.Host) + ";user=phone")))
}

// isE164 is is_uri_user_e164.
func (*config) isE164(_ *api.Ctx, uri string) modules.Ret {
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return modules.No(-1, "bad_uri", err.Error())
	}
	return modules.YesIf(isE164(u.User), "not_e164", "the user is no E.164 number")
}

func isE164(user []byte) bool {
	if len(user) < 3 || len(user) > 16 || user[0] != '+' {
		return false
	}
	for _, c := range user[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
