// Package rr keeps the proxy in the path of a dialog and routes by the Route
// headers that come back (RFC 3261 §16.4, §16.6 steps 4 and 6, §16.12):
// OpenSIPS's module rr.
package rr

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// Module declares the module.
func Module() *modules.Module {
	return &modules.Module{
		Name: "rr",
		Doc: "Record-Route and Route. record_route() makes the later requests of a dialog come this way too, " +
			"loose_route() sends them on; parameters put into the Record-Route come back with each of them.",
		Params:    params(),
		Functions: functions(),
		Fields: []modules.Field{
			modules.FieldOf("rr_params", "$rr_params", modules.KindString,
				"Parameters of our Route header that loose_route() took off, without the first semicolon; nil before.",
				(*config).routeParams).Volatile(),
		},
		New: newConfig,
	}
}

func params() []modules.Param {
	return []modules.Param{
		{Name: "append_fromtag", Kind: modules.KindBool, Default: modules.Bool(true),
			Doc: "Puts the From tag into the Record-Route (ftag), by which is_direction tells who sent a later request."},
		{Name: "enable_double_rr", Kind: modules.KindBool, Default: modules.Bool(true),
			Doc: "Adds two Record-Route headers where a request leaves by another protocol, address or port than it came by, " +
				"and takes both off later."},
		{Name: "add_username", Kind: modules.KindBool, Default: modules.Bool(false),
			Doc: "Puts the user of the request URI into the Record-Route URI."},
		{Name: "ignore_user", Kind: modules.KindString,
			Doc: "A URI with this user is not taken for ours, whatever its host."},
		{Name: "enable_socket_mismatch_warning", Kind: modules.KindBool, Default: modules.Bool(true),
			Doc: "Warns when the second of two Route headers names no socket of ours."},
	}
}

func functions() []modules.Function {
	edit := api.RouteRequest | api.RouteBranch | api.RouteFailure
	already := modules.Result{Code: -1, Name: "already", Doc: "the request is record-routed already, or cannot be"}
	return []modules.Function{
		modules.F0(modules.Spec{
			Name: "loose_route",
			Doc: "Routes the request by its Route headers: takes ours off and sets the destination to the next. " +
				"Understands strict routers on either side.",
			Routes: api.RouteRequest,
			Results: []modules.Result{
				{Code: 1, Name: "ok", Doc: "the Route headers say where the request goes"},
				{Code: -1, Name: "no_route", Doc: "there is no Route header, or in a request without To tag only our own: route by the request URI"},
				{Code: -1, Name: "bad_route", Doc: "a Route header, the request URI or To does not parse"},
				{Code: -1, Name: "no_target", Doc: "a strict router sent it and no Route is left to take the target from"},
			},
		}, (*config).looseRoute),
		modules.F1(modules.Spec{
			Name: "record_route",
			Doc: "Adds our Record-Route on top. Which address it shows, and whether a second is needed, " +
				"is settled for each branch when its socket is known.",
			Routes:  edit,
			Results: []modules.Result{already},
		}, modules.OptStrArg("params", "", `parameters for the URI, as ";name=value"`), (*config).recordRoute),
		modules.F2(modules.Spec{
			Name:    "record_route_preset",
			Doc:     "Adds a Record-Route with an address given by the script; nothing is added to it later.",
			Routes:  edit,
			Results: []modules.Result{already},
		}, modules.StrArg("address", `host, port and parameters, "1.2.3.4:5090;transport=tcp"; the outgoing one of two`),
			modules.OptStrArg("inbound", "", "the incoming one of two"), (*config).recordRoutePreset),
		modules.F1(modules.Spec{
			Name:   "add_rr_param",
			Doc:    "Adds a parameter to our Record-Route, before or after record_route().",
			Routes: edit,
		}, modules.StrArg("param", `";name=value"`), (*config).addParam),
		modules.F1(modules.Spec{
			Name:   "check_route_param",
			Doc:    "Tells whether the parameters of our Route header, as taken off by loose_route(), match a pattern.",
			Routes: api.RouteRequest,
		}, modules.PatternArg("re", "pattern; matched against all parameters, with the first semicolon"), (*config).checkParam),
		modules.F1(modules.Spec{
			Name:   "is_direction",
			Doc:    "Tells which way a request of a dialog goes, by the ftag parameter. After loose_route(); needs append_fromtag.",
			Routes: api.RouteRequest,
		}, modules.WordArg("dir", "downstream is from the caller to the callee", "upstream", "downstream"), (*config).isDirection),
	}
}

// config is the module in one generation.
type config struct {
	modules.NoLifecycle
	fromTag, double, addUser, warnSocket bool
	ignoreUser                           string
	patterns                             posix.Cache
}

func newConfig(_ modules.GenerationHost, p modules.Params) (modules.Config, error) {
	return &config{
		fromTag:    p.Bool("append_fromtag"),
		double:     p.Bool("enable_double_rr"),
		addUser:    p.Bool("add_username"),
		warnSocket: p.Bool("enable_socket_mismatch_warning"),
		ignoreUser: p.Str("ignore_user"),
	}, nil
}
