// Package textops searches and replaces text of messages by patterns:
// OpenSIPS's module textops.
package textops

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// Module declares the module.
func Module() *modules.Module {
	const routes = api.RouteRequest | api.RouteReply | api.RouteFailure | api.RouteBranch | api.RouteLocal
	const routesURI = routes &^ api.RouteLocal
	re := modules.PatternArg("re", "pattern; letters match in any case, ^ and $ at each line")
	txt := modules.StrArg("txt", "text; nothing in it is special")
	subst := modules.StrArg("subst", `"/re/replacement/flags": \0 to \9 are what matched; flags i any case, g all matches, s lines do not end a match`)
	spec := func(name, doc string) modules.Spec {
		return modules.Spec{Name: name, Routes: routes, Doc: doc, Results: results}
	}
	on := func(routes api.Route, s modules.Spec) modules.Spec { s.Routes = routes; return s }
	const line = " The request or status line stays."
	return &modules.Module{
		Name: "textops",
		Doc: "Searches and replaces text of a message by patterns, over all of it or over its body. " +
			"Functions that know headers and SDP are in sipmsgops; prefer those.",
		Functions: []modules.Function{
			modules.F1(spec("search", "Tells whether the message, as edited by now, matches."), re, (*config).search),
			modules.F1(spec("search_body", "Tells whether the body matches."), re, (*config).searchBody),
			modules.F2(spec("search_append", "Puts text behind the first match in the message."+line), re, txt, (*config).searchAppend),
			modules.F2(spec("search_append_body", "Puts text behind the first match in the body."), re, txt, (*config).searchAppendBody),
			modules.F2(spec("replace", "Replaces the first match in the message."+line), re, txt, (*config).replace),
			modules.F2(spec("replace_body", "Replaces the first match in the body."), re, txt, (*config).replaceBody),
			modules.F2(spec("replace_all", "Replaces all matches in the message."+line), re, txt, (*config).replaceAll),
			modules.F2(spec("replace_body_all", "Replaces all matches in the body, ^ and $ at each line."), re, txt, (*config).replaceBodyAll),
			modules.F2(spec("replace_body_atonce", "Replaces all matches in the body, ^ and $ at its ends and . for line ends too."), re, txt, (*config).replaceBodyAtOnce),
			modules.F1(spec("subst", "Replaces what matches in the message, with parts of the match."+line), subst, (*config).subst),
			modules.F1(on(routesURI, spec("subst_uri", "Replaces what matches in the request URI.")), subst, (*config).substURI),
			modules.F1(on(routesURI, spec("subst_user", "Replaces what matches in the user of the request URI.")), subst, (*config).substUser),
			modules.F1(spec("subst_body", "Replaces what matches in the body."), subst, (*config).substBody),
		},
		New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { return &config{}, nil },
	}
}

var results = []modules.Result{
	{Code: 1, Name: "ok", Doc: "it matched, and was changed"},
	{Code: -1, Name: "no_match", Doc: "nothing matches"},
	{Code: -1, Name: "broken", Doc: "the message or URI would not parse any more; it stays as it was"},
}

// config is the module in one generation.
type config struct {
	modules.NoLifecycle
	patterns posix.Cache
}
