package luabind

import (
	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxPooled bounds the threads that a worker keeps for later runs.
const maxPooled = 64

// State is one worker's Lua state of one generation. It implements api.Script;
// everything in it is touched only with the worker's token held.
type State struct {
	prog   *Program
	worker int
	slot   *slot
	base   *lua.LState // never runs handlers and has no context
	main   *run        // the run of the top level

	free     []*run
	children []*lua.LState

	exit, drop sentinel
	yes        *lua.LUserData // the plain true's result
	mts        metatables
	decl       declared
	modtabs    map[string]*lua.LTable // tables of loaded modules
	required   map[string]lua.LValue
	varTables  map[string]*lua.LTable // indexed variables of modules
	results    []lastResult           // by binding
	bound      map[int]*lua.LFunction // functions of neutral handlers, by handler key
	names      map[*lua.LFunction]*handler
	rng        scriptRand
	launching  int // launched functions that have not ended

	fnMain, fnReply, fnLocal, fnError *handler
}

var _ api.Script = (*State)(nil)

// handler implements api.Handler. A neutral one has no function of its own: it
// is found by key in the state of whichever worker runs it.
type handler struct {
	prog *Program
	name string
	key  int            // of a neutral handler
	fn   *lua.LFunction // of one bound to a worker, else nil
}

// Name is the route's name with its type: "branch_route.each".
func (h *handler) Name() string { return h.name }

// Generation is the program that the handler belongs to.
func (h *handler) Generation() api.Generation { return h.prog }

// Generation is the program of the state.
func (st *State) Generation() api.Generation { return st.prog }

// Request runs route.main.
func (st *State) Request(c *api.Ctx) api.Verdict { return st.runNamed(c, st.fnMain) }

// HasReply tells whether the script declares onreply_route.main.
func (st *State) HasReply() bool { return st.fnReply != nil }

// HasLocal tells whether the script declares local_route.main.
func (st *State) HasLocal() bool { return st.fnLocal != nil }

// HasError tells whether the script declares error_route.main.
func (st *State) HasError() bool { return st.fnError != nil }

// Reply runs onreply_route.main.
func (st *State) Reply(c *api.Ctx) api.Verdict { return st.runNamed(c, st.fnReply) }

// Local runs local_route.main.
func (st *State) Local(c *api.Ctx) api.Verdict { return st.runNamed(c, st.fnLocal) }

// Error runs error_route.main.
func (st *State) Error(c *api.Ctx) api.Verdict { return st.runNamed(c, st.fnError) }

// Run runs an armed handler in the state of the handler's own generation.
// args follow msg: strings, numbers, booleans, map[string]any, modules.Value.
func (st *State) Run(c *api.Ctx, h api.Handler, args ...any) api.Verdict {
	hd, ok := h.(*handler)
	if !ok || hd == nil {
		return api.VerdictNone
	}
	own := hd.prog.states
	if st.worker >= len(own) {
		return api.VerdictNone
	}
	own1 := own[st.worker]
	if len(args) == 0 {
		return own1.runNamed(c, hd)
	}
	vals := make([]lua.LValue, len(args))
	for i, a := range args {
		vals[i] = own1.fromAny(a, 0)
	}
	return own1.exec(c, hd, vals)
}

func (st *State) runNamed(c *api.Ctx, h *handler) api.Verdict {
	if h == nil {
		return api.VerdictNone
	}
	return st.exec(c, h, nil)
}

// function is the Lua function of h in this state; nil when it has none.
func (st *State) function(h *handler) *lua.LFunction {
	if h.fn != nil {
		return h.fn
	}
	return st.bound[h.key]
}

// exec runs h on c: the protected call, and what its end means.
func (st *State) exec(c *api.Ctx, h *handler, args []lua.LValue) api.Verdict {
	fn := st.function(h)
	if fn == nil {
		return api.VerdictNone
	}
	if c.Route == "" {
		c.Route = routeName(h.name)
	}
	r := st.acquire()
	r.begin(c, h.name)
	m := newMsg(r)
	var err error
	if args == nil {
		err = r.L.CallByParam(lua.P{Fn: fn, Protect: true}, &m.ud)
	} else {
		err = r.L.CallByParam(lua.P{Fn: fn, Protect: true}, append([]lua.LValue{&m.ud}, args...)...)
	}
	return st.finish(r, err)
}

// finish ends a run: what its end means, what it launched, its record pooled.
func (st *State) finish(r *run, err error) api.Verdict {
	v, clean := api.VerdictNone, true
	if err != nil {
		v, clean = st.verdict(r, err)
	}
	r.sendLaunched()
	if r.end() && clean {
		st.release(r)
	}
	return v
}

// verdict reads how a handler ended; clean tells whether its thread is fit for
// another run.
func (st *State) verdict(r *run, err error) (v api.Verdict, clean bool) {
	if api1, ok := err.(*lua.ApiError); ok {
		switch api1.Object {
		case lua.LValue(st.exit.val):
			return api.VerdictNone, true
		case lua.LValue(st.drop.val):
			r.c.Done |= api.ActionDropped
			return api.VerdictDrop, true
		}
	}
	st.prog.reportRun(r, err)
	return api.VerdictError, false
}

// acquire takes a pooled run, or makes one with a thread of its own.
func (st *State) acquire() *run {
	if n := len(st.free); n > 0 {
		r := st.free[n-1]
		st.free = st.free[:n-1]
		return r
	}
	return st.newRun()
}

func (st *State) newRun() *run {
	r := &run{st: st, done: make(chan struct{})}
	r.L, _ = st.base.NewThread()
	r.L.SetContext(r)
	if p := st.prog; p.fields != nil {
		r.cache = make([]fieldCache, len(p.fields.list))
		r.keyed = make([]*keyedObj, len(p.fields.list))
	}
	return r
}

func (st *State) release(r *run) {
	if len(st.free) < maxPooled {
		r.L.SetTop(0)
		st.free = append(st.free, r)
	}
}

// child takes a thread for a protected call inside r.
func (st *State) child(r *run) *lua.LState {
	var t *lua.LState
	if n := len(st.children); n > 0 {
		t = st.children[n-1]
		st.children = st.children[:n-1]
	} else {
		t, _ = st.base.NewThread()
	}
	t.SetContext(r)
	return t
}

// keepChild gives a thread back whose call ended without an error.
func (st *State) keepChild(t *lua.LState) {
	if len(st.children) < maxPooled {
		t.SetTop(0)
		t.RemoveContext()
		st.children = append(st.children, t)
	}
}

// handlerOf is the handler for a function of this state. Routes have one
// already; others get a new one, which is the caller's to keep.
func (st *State) handlerOf(fn *lua.LFunction, name string) *handler {
	if h := st.names[fn]; h != nil {
		return h
	}
	if name == "" {
		name = "function " + functionPlace(fn)
	}
	return &handler{prog: st.prog, name: name, fn: fn}
}

// letGo lets the Lua values go; nothing of the generation can run any more.
func (st *State) letGo() {
	st.base.Close()
	*st = State{prog: st.prog, worker: st.worker, slot: st.slot}
}

// inst is the module's configuration as handlers see it.
func (m *moduleRec) inst() modules.Config { return m.config }
