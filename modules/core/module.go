// Package core has OpenSIPS's core functions and core pseudo-variables: what a
// script can use without loading a module.
package core

import (
	"slices"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Module declares core. What outlives scripts, the local cache and the time of
// the start, belongs to the declaration and not to a process part: core's
// functions work at top level too, before any process part is there.
func Module() *modules.Module {
	p := &process{started: time.Now(), cache: &cache{entries: map[string]entry{}}}
	return &modules.Module{
		Name:    "core",
		Doc:     "OpenSIPS's core functions, and the core pseudo-variables as fields of msg.",
		Builtin: true,
		Functions: slices.Concat(uriFunctions(), branchFunctions(), flagFunctions(), networkFunctions(),
			cacheFunctions(), scriptFunctions()),
		Fields: slices.Concat(ruriFields(), originalFields(), destinationFields(), headerFields(), identityFields(),
			authFields(), messageFields(), socketFields(), timeFields(), sdpFields(), routeFields(), errorFields()),
		Omitted: omissions(),
		New: func(g modules.GenerationHost, _ modules.Params) (modules.Config, error) {
			return &config{process: p, readFile: g.ReadFile}, nil
		},
	}
}

// process is what outlives scripts: when the program started, and the local
// cache.
type process struct {
	started time.Time
	cache   *cache
}

type config struct {
	modules.NoLifecycle
	*process
	readFile func(path string) ([]byte, error)
}

// The route types by what a function needs: a request to edit, a request with
// branches still to be sent.
const (
	requestRoutes = api.RouteRequest | api.RouteFailure | api.RouteBranch | api.RouteLocal
	branchRoutes  = api.RouteRequest | api.RouteFailure
)

// noRequest is what functions on a request answer where there is none.
func noRequest() modules.Ret {
	return modules.No(-1, "no_request", "there is no request to act on")
}

// hasRequest reports whether c has a request with a target.
func hasRequest(c *api.Ctx) bool { return c.Msg != nil && c.Msg.IsRequest() && c.Target != nil }

// field declares a read-only field of a message.
func field(name, opensips string, kind modules.Kind, doc string, get func(*api.Ctx) modules.Value) modules.Field {
	return modules.FieldOf(name, opensips, kind, doc, func(_ *config, c *api.Ctx) modules.Value { return get(c) })
}

// writable makes a field writable by a function that needs only the message.
func writable(f modules.Field, set func(*api.Ctx, modules.Value) error) modules.Field {
	return modules.SetBy(f, func(_ *config, c *api.Ctx, v modules.Value) error { return set(c, v) })
}

// keyed declares a field that is read by key alone.
func keyed(name, opensips string, kind modules.Kind, doc string, get func(*api.Ctx, modules.Value) modules.Value, keys ...string) modules.Field {
	f := modules.Field{Name: name, OpenSIPS: opensips, Doc: doc, Kind: kind}
	return modules.KeyedBy(f, func(_ *config, c *api.Ctx, k modules.Value) modules.Value { return get(c, k) }, keys...)
}
