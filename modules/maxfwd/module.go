// Package maxfwd handles the Max-Forwards header (RFC 3261 §16.3, §16.6 step
// 3): OpenSIPS's module maxfwd.
package maxfwd

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Module declares the module.
func Module() *modules.Module {
	return &modules.Module{
		Name: "maxfwd",
		Doc: "Lowers the Max-Forwards header of a request, adds it where it is missing, and tells when it has run out: " +
			"what ends a request that travels in a circle.",
		Params: []modules.Param{{
			Name: "max_limit", Kind: modules.KindNumber, Default: modules.Int(256), Min: 1, Max: 256,
			Doc: "Highest value that leaves the proxy; a higher one is lowered to it.",
		}},
		Functions: []modules.Function{
			modules.F1(modules.Spec{
				Name:   "mf_process_maxfwd_header",
				Doc:    "Lowers Max-Forwards by one. A request without the header gets one with max_value.",
				Routes: api.RouteRequest,
				Results: []modules.Result{
					{Code: 2, Name: "added", Doc: "there was no header; one with max_value was added"},
					{Code: 1, Name: "ok", Doc: "the header was lowered"},
					{Code: -1, Name: "zero", Doc: "the header is 0 and cannot be lowered: answer 483"},
					{Code: -2, Name: "bad_header", Doc: "the header is not a number"},
				},
			}, valueArg("max_value", "value of the header that is added where there is none"), (*config).process),
			modules.F1(modules.Spec{
				Name:   "is_maxfwd_lt",
				Doc:    "Tells whether Max-Forwards, as lowered or added by now, is less than max_value.",
				Routes: api.RouteRequest | api.RouteFailure | api.RouteBranch,
				Results: []modules.Result{
					{Code: 1, Name: "ok", Doc: "the value is less"},
					{Code: -1, Name: "not_less", Doc: "the value is equal or greater"},
					{Code: -2, Name: "no_header", Doc: "there is no such header"},
					{Code: -3, Name: "bad_header", Doc: "the header is not a number"},
				},
			}, valueArg("max_value", "value to compare with"), (*config).lessThan),
		},
		New: func(_ modules.GenerationHost, p modules.Params) (modules.Config, error) {
			return &config{limit: p.Int("max_limit")}, nil
		},
	}
}

func valueArg(name, doc string) modules.ArgOf[int] {
	return modules.IntArg(name, doc).With(func(a *modules.Arg) { a.Min, a.Max = 0, 256 })
}
