package luabind

import (
	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxLaunched bounds what one handler launches, and maxLaunching what has been
// launched on one worker and has not ended: launched functions may launch.
const (
	maxLaunched  = 100
	maxLaunching = 10000
)

// launched is one function that runs after the handler.
type launched struct {
	fn   *lua.LFunction
	args []modules.Value
}

// baseLaunch is launch(fn, ...): fn runs after the handler with copies of its
// arguments and no message.
func baseLaunch(L *lua.LState) int {
	r := runOf(L)
	if r.top {
		L.RaiseError("launch belongs in a handler")
	}
	fn, ok := L.Get(1).(*lua.LFunction)
	if !ok {
		L.RaiseError("launch: argument 1 must be a function, got %s", article(luaType(L.Get(1))))
	}
	if len(r.launch) >= maxLaunched {
		L.RaiseError("launch: a handler launches at most %d functions", maxLaunched)
	}
	if r.st.launching+len(r.launch) >= maxLaunching {
		L.RaiseError("launch: %d launched functions have not ended yet", r.st.launching)
	}
	l := launched{fn: fn}
	for i := 2; i <= L.GetTop(); i++ {
		v, err := r.st.decode(L.Get(i), "")
		if err != nil {
			L.RaiseError("launch: argument %d: %s", i, err.Error())
		}
		r.charge(L, size(v))
		l.args = append(l.args, v)
	}
	r.launch = append(r.launch, l)
	return 0
}

// sendLaunched queues what the run launched for its own worker.
func (r *run) sendLaunched() {
	if len(r.launch) == 0 {
		return
	}
	st, host := r.st, r.c.Host
	for _, l := range r.launch {
		st.prog.Retain()
		st.launching++
		host.Post(host.Worker(), func() {
			defer st.launchEnded()
			st.runLaunched(host, l)
		})
	}
	clear(r.launch)
	r.launch = r.launch[:0]
}

// launchEnded lets go of the program last: the state may go with it.
func (st *State) launchEnded() {
	st.launching--
	st.prog.Release()
}

// runLaunched runs with the worker's token.
func (st *State) runLaunched(host api.Host, l launched) {
	c := &api.Ctx{Kind: api.RouteLaunch, Host: host, Branch: -1, State: &api.State{}, Target: &api.Target{Q: -1}}
	h := &handler{prog: st.prog, name: "launch " + functionPlace(l.fn), fn: l.fn}
	st.execBare(c, h, l.args)
}

// execBare runs a launched function, whose arguments are its own without msg.
func (st *State) execBare(c *api.Ctx, h *handler, args []modules.Value) {
	vals := make([]lua.LValue, len(args))
	for i, a := range args {
		vals[i] = st.encode(a)
	}
	c.Route = h.name
	r := st.acquire()
	r.begin(c, h.name)
	err := r.L.CallByParam(lua.P{Fn: h.fn, Protect: true}, vals...)
	st.finish(r, err)
}
