package luabind

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// binding is one function of a module as scripts call it.
type binding struct {
	mod    *moduleRec
	fn     *modules.Function
	full   string    // "tm.t_relay"
	routes api.Route // where it may be called
	key    int       // place in a state's results
	max    int       // arguments it takes at most
	min    int
}

func newModuleRec(m *modules.Module, index int) *moduleRec {
	rec := &moduleRec{decl: m, index: index, params: map[string]int{}}
	for i := range m.Params {
		rec.params[m.Params[i].Name] = i
	}
	for i := range m.Functions {
		fn := &m.Functions[i]
		b := &binding{mod: rec, fn: fn, full: m.Name + "." + fn.Name, routes: fn.Routes, max: len(fn.Args)}
		if b.routes == 0 {
			b.routes = api.RouteAll
		}
		for j, a := range fn.Args {
			if !a.Optional {
				b.min = j + 1
			}
		}
		rec.funcs = append(rec.funcs, b)
		rec.names = append(rec.names, fn.Name)
	}
	for i := range m.Vars {
		rec.names = append(rec.names, m.Vars[i].Name)
	}
	return rec
}

// find is the binding of a function name; nil when there is none.
func (m *moduleRec) find(name string) *binding {
	for _, b := range m.funcs {
		if b.fn.Name == name {
			return b
		}
	}
	return nil
}

// table makes the module's Lua table in the state. Functions with a dot in
// their name stand in nested tables.
func (st *State) table(m *moduleRec) *lua.LTable {
	if t := st.modtabs[m.decl.Name]; t != nil {
		return t
	}
	t := st.nested(m, "")
	st.modtabs[m.decl.Name] = t
	for _, b := range m.funcs {
		if b.key == 0 {
			st.prog.bindings++
			b.key = st.prog.bindings
		}
		for len(st.results) <= b.key {
			st.results = append(st.results, lastResult{})
		}
		at, path := t, ""
		parts := strings.Split(b.fn.Name, ".")
		for _, part := range parts[:len(parts)-1] {
			path += part + "."
			sub, ok := at.RawGetString(part).(*lua.LTable)
			if !ok {
				sub = st.nested(m, path)
				at.RawSetString(part, sub)
			}
			at = sub
		}
		at.RawSetString(parts[len(parts)-1], st.base.NewFunction(b.call))
	}
	return t
}

// nested is an empty table of a module, strict about names; path is "" or
// ends in a dot.
func (st *State) nested(m *moduleRec, path string) *lua.LTable {
	t, mt := st.base.NewTable(), st.base.NewTable()
	mt.RawSetString("__index", st.base.NewFunction(func(L *lua.LState) int {
		return moduleIndex(L, m, path)
	}))
	mt.RawSetString("__newindex", st.base.NewFunction(func(L *lua.LState) int {
		return moduleNewIndex(L, m, path)
	}))
	mt.RawSetString("__metatable", lua.LString("module "+m.decl.Name))
	t.Metatable = mt
	return t
}

// moduleIndex is reached for what the table does not hold: variables, and
// names that do not exist.
func moduleIndex(L *lua.LState, m *moduleRec, path string) int {
	key, ok := L.Get(2).(lua.LString)
	if !ok {
		L.RaiseError("%s has no member %s", m.decl.Name, L.Get(2).String())
	}
	name := path + string(key)
	if v := m.variable(name); v != nil {
		return readVar(L, m, v)
	}
	L.RaiseError("%s", unknownMember(m, name))
	return 0
}

func moduleNewIndex(L *lua.LState, m *moduleRec, path string) int {
	key := L.Get(2).String()
	v := m.variable(path + key)
	if v == nil || v.Set == nil {
		L.RaiseError("%s.%s%s cannot be assigned: the table of a module is read-only", m.decl.Name, path, key)
	}
	r := runOf(L)
	val, err := r.st.decode(L.Get(3), m.decl.Name+"."+v.Name)
	if err == nil {
		err = v.Set(m.inst(), r.c, val)
	}
	if err != nil {
		L.RaiseError("%s.%s: %s", m.decl.Name, v.Name, err.Error())
	}
	return 0
}

func unknownMember(m *moduleRec, name string) string {
	text := fmt.Sprintf("module %s has no function %q", m.decl.Name, name)
	if home, ok := olderHomes[name]; ok && home != m.decl.Name+"."+name {
		return text + "; here it is " + home
	}
	if best := closest(name, m.names); best != "" {
		return text + "; did you mean " + m.decl.Name + "." + best + "?"
	}
	for _, o := range m.decl.Omitted {
		if o.Name == name {
			return text + ": " + o.Reason
		}
	}
	return text
}

func (m *moduleRec) variable(name string) *modules.Var {
	for i := range m.decl.Vars {
		if m.decl.Vars[i].Name == name {
			return &m.decl.Vars[i]
		}
	}
	return nil
}

// call is the Lua function: checks, Invoke, answers.
func (b *binding) call(L *lua.LState) int {
	r := runOf(L)
	if b.routes&r.c.Kind == 0 {
		b.wrongPlace(L, r)
	}
	if b.mod.decl.Name == "tr" && L.Get(1) == lua.LNil && !(len(b.fn.Args) > 0 && b.fn.Args[0].Optional) {
		return b.ofNil(L)
	}
	b.decodeArgs(L, r)
	r.at = L
	ret, trace := b.invoke(r)
	r.at = nil
	for i := 0; i < r.args.N; i++ {
		r.args.V[i] = modules.Value{}
	}
	if trace != "" {
		r.st.prog.panicked(r, b.full, trace)
		L.RaiseError("%s: internal error; the log has its stack", b.full)
	}
	if ret.Err != nil {
		var over *modules.WallError
		if errors.As(ret.Err, &over) {
			r.kill(r.word.Load(), causeWall)
		}
		L.RaiseError("%s: %s", b.full, ret.Err.Error())
	}
	return b.push(L, r, &ret)
}

// ofNil is what transformations make of nil: nil, or false where they answer
// yes or no.
func (b *binding) ofNil(L *lua.LState) int {
	if len(b.fn.Outputs) > 0 {
		L.Push(lua.LNil)
	} else {
		L.Push(lua.LFalse)
	}
	return 1
}

// wrongPlace raises unless the function may be called here after all: at top
// level when it is declared so.
func (b *binding) wrongPlace(L *lua.LState, r *run) {
	if r.top && b.fn.TopLevel {
		if b.mod.config == nil && b.mod.early == nil {
			b.mod.early = r.st.prog.earlyConfig(b.mod)
		}
		if b.mod.config == nil && b.mod.early == nil {
			L.RaiseError("%s cannot be called at the top level: module %s is not set up before the script has run", b.full, b.mod.decl.Name)
		}
		return
	}
	L.RaiseError("%s cannot be called %s; it works in %s", b.full, r.whereText(), routesText(b.routes))
}

// earlyConfig serves calls at top level, before parameters are known. nil when
// the module has a process part.
func (p *Program) earlyConfig(m *moduleRec) modules.Config {
	if m.decl.New == nil {
		return modules.NoLifecycle{}
	}
	if m.decl.Open != nil {
		return nil
	}
	c, err := m.decl.New(genHost{p}, p.moduleParams(m))
	if err != nil {
		return nil
	}
	return c
}

// invoke calls the module and catches its panics.
func (b *binding) invoke(r *run) (ret modules.Ret, trace string) {
	defer func() {
		if v := recover(); v != nil {
			trace = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
	}()
	inst := b.mod.config
	if inst == nil {
		inst = b.mod.early
	}
	return b.fn.Invoke(inst, r.c, &r.args), ""
}

func (p *Program) panicked(r *run, what, trace string) {
	p.proc.panics.Add(1)
	if r.c.Host != nil {
		r.c.Host.Log(r.c, api.LevelCrit, "panic in "+what, api.Field{Key: "stack", Value: trace})
	}
}

// push answers: ok, result; or the output; or nil, result.
func (b *binding) push(L *lua.LState, r *run, ret *modules.Ret) int {
	if ret.HasOut && ret.OK {
		v := r.st.encode(ret.Out)
		if ret.Out.Kind >= modules.KindString {
			r.charge(L, size(ret.Out))
		}
		L.Push(v)
		return 1
	}
	switch {
	case ret.OK:
		L.Push(lua.LTrue)
	case ret.HasOut || len(b.fn.Outputs) > 0:
		L.Push(lua.LNil)
	default:
		L.Push(lua.LFalse)
	}
	L.Push(b.resultFor(r.st, ret))
	return 2
}

// whereText is where the run is, for messages.
func (r *run) whereText() string {
	switch {
	case r.top:
		return "at the top level"
	case r.c.Kind == api.RouteRequest:
		return "in a request route"
	case r.c.Kind == api.RouteLaunch:
		return "in a launched function"
	case r.c.Kind == api.RouteEvent, r.c.Kind == api.RouteError, r.c.Kind == api.RouteReply:
		return "in an " + r.c.Kind.String() + " route"
	}
	return "in a " + r.c.Kind.String() + " route"
}

// routesText lists route types for messages.
func routesText(k api.Route) string {
	names := strings.Split(k.String(), "|")
	if len(names) == 1 {
		return names[0] + " routes"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " routes"
}
