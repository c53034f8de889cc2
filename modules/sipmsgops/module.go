// Package sipmsgops reads and edits SIP messages by their structure: headers,
// request URI, bodies, SDP. OpenSIPS's module sipmsgops.
package sipmsgops

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// Module declares the module.
func Module() *modules.Module {
	m := &modules.Module{
		Name: "sipmsgops",
		Doc: "Reads and edits messages by their structure: header lines, lists of options, parameters of the request URI, " +
			"body parts, codecs and streams of an SDP; checks a message against RFC 3261.",
		New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { return &config{}, nil },
	}
	for _, part := range [][]modules.Function{headerFunctions(), messageFunctions(), uriFunctions(), bodyFunctions(), sdpFunctions()} {
		m.Functions = append(m.Functions, part...)
	}
	return m
}

// config is the module in one generation.
type config struct {
	modules.NoLifecycle
	patterns posix.Cache
}

// Where the functions may be called from.
const (
	routesAny     = api.RouteRequest | api.RouteReply | api.RouteFailure | api.RouteBranch | api.RouteLocal
	routesRequest = api.RouteRequest | api.RouteFailure | api.RouteBranch | api.RouteLocal
	routesReplies = api.RouteRequest | api.RouteFailure | api.RouteBranch | api.RouteError
)

// missing is the answer of functions that did not find what to act on.
func missing(what string) modules.Ret { return modules.No(-1, "not_found", what) }

// edited is the answer of functions that change something.
func edited(n int, what string) modules.Ret { return modules.YesIf(n > 0, "not_found", what) }
