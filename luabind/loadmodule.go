package luabind

import (
	"fmt"
	"path"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/modules"
)

// topLoadmodule is loadmodule(name, {params}).
func topLoadmodule(L *lua.LState) int {
	r := runOf(L)
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		L.RaiseError("loadmodule takes a module's name, got %s", article(luaType(L.Get(1))))
	}
	st := r.st
	key := strings.TrimSuffix(string(name), ".so")
	m := st.prog.byName[key]
	if m != nil && st.modtabs[key] != nil && L.GetTop() == 1 {
		L.Push(st.modtabs[key])
		return 1
	}
	topOnly(L, "loadmodule")
	if m == nil {
		r.finding(L, "there is no module %q%s", key, didYouMean(key, st.prog.moduleNames()))
		L.Push(st.anything())
		return 1
	}
	if m.decl.Builtin {
		L.Push(st.table(m))
		return 1
	}
	if st.modtabs[key] == nil {
		st.decl.loaded = append(st.decl.loaded, key)
		if !m.loaded {
			m.loaded = true
			st.prog.order = append(st.prog.order, m)
		}
		if st.decl.lines[key] == 0 {
			_, st.decl.lines[key], _ = splitPosition(position(L) + ": ")
		}
	}
	if t, ok := L.Get(2).(*lua.LTable); ok {
		t.ForEach(func(k, v lua.LValue) { r.setParam(L, m, k.String(), v) })
	} else if L.Get(2) != lua.LNil {
		L.RaiseError("loadmodule %q: argument 2 must be a table of parameters, got %s", key, article(luaType(L.Get(2))))
	}
	L.Push(st.table(m))
	return 1
}

// topModparam is modparam("a|b", name, value).
func topModparam(L *lua.LState) int {
	r := topOnly(L, "modparam")
	mods, ok := L.Get(1).(lua.LString)
	name, ok2 := L.Get(2).(lua.LString)
	if !ok || !ok2 {
		L.RaiseError("modparam takes a module, a parameter's name and a value: modparam(\"tm\", \"fr_timeout\", 5)")
	}
	for _, key := range strings.Split(string(mods), "|") {
		m := r.st.prog.byName[key]
		switch {
		case m == nil:
			r.finding(L, "there is no module %q%s", key, didYouMean(key, r.st.prog.moduleNames()))
		case r.st.modtabs[key] == nil && !m.decl.Builtin:
			r.finding(L, "module %s is not loaded yet: loadmodule %q before its modparam", key, key)
		default:
			r.setParam(L, m, string(name), L.Get(3))
		}
	}
	return 0
}

func (p *Program) moduleNames() []string {
	out := make([]string, len(p.all))
	for i, m := range p.all {
		out[i] = m.decl.Name
	}
	return out
}

// setParam checks and keeps one parameter.
func (r *run) setParam(L *lua.LState, m *moduleRec, name string, v lua.LValue) {
	i, ok := m.params[name]
	if !ok {
		names := sortedKeys(m.params)
		text := fmt.Sprintf("module %s has no parameter %q%s", m.decl.Name, name, didYouMean(name, names))
		for _, o := range m.decl.Omitted {
			if o.Name == name {
				text += ": " + o.Reason
			}
		}
		r.finding(L, "%s", text)
		return
	}
	d := &m.decl.Params[i]
	if d.Ignored != "" {
		r.note(L, "module %s: parameter %s is taken without effect: %s", m.decl.Name, name, d.Ignored)
		return
	}
	params := r.st.decl.params[m.decl.Name]
	if params == nil {
		params = map[string]modules.Value{}
		r.st.decl.params[m.decl.Name] = params
	}
	val, err := r.paramValue(L, m, d, v, params)
	if err != nil {
		r.finding(L, "module %s: parameter %s %s", m.decl.Name, name, err.Error())
		return
	}
	params[name] = val
}

// paramValue reads a parameter, or adds to one that may be given repeatedly.
func (r *run) paramValue(L *lua.LState, m *moduleRec, d *modules.Param, v lua.LValue, have map[string]modules.Value) (modules.Value, error) {
	base := m.decl.Name + "." + d.Name
	if !d.Multi {
		return r.oneParam(L, d, v, base)
	}
	list := have[d.Name].List()
	items := []lua.LValue{v}
	if t, ok := v.(*lua.LTable); ok && d.Kind != modules.KindMap {
		items = items[:0]
		for i := 1; i <= t.Len(); i++ {
			items = append(items, t.RawGetInt(i))
		}
	}
	for _, x := range items {
		val, err := r.oneParam(L, d, x, fmt.Sprintf("%s#%d", base, len(list)+1))
		if err != nil {
			return val, err
		}
		list = append(list, val)
	}
	return modules.List(list), nil
}

func (r *run) oneParam(L *lua.LState, d *modules.Param, v lua.LValue, name string) (modules.Value, error) {
	if fn, ok := v.(*lua.LFunction); ok {
		if d.Kind != modules.KindFunc && d.Kind != modules.KindAny && d.Route == 0 && d.Kind != modules.KindString {
			return modules.Value{}, fmt.Errorf("must be %s, got a function", article(d.Kind.String()))
		}
		return modules.Func(r.st.bind(name, fn)), nil
	}
	if s, ok := v.(lua.LString); ok && d.Route != 0 {
		r.st.decl.pending = append(r.st.decl.pending, pendingRoute{d.Route, string(s), "parameter " + name, position(L)})
		return modules.Func(r.st.prog.handlerFor(routeKindName(d.Route) + "." + string(s))), nil
	}
	if d.Kind == modules.KindBool {
		b, ok := looseBool(v)
		if !ok {
			return modules.Value{}, fmt.Errorf("must be yes or no, 1 or 0, true or false, got %s", showValue(v))
		}
		return modules.Bool(b), nil
	}
	if b, ok := v.(lua.LBool); ok && d.Kind == modules.KindNumber {
		v = lua.LNumber(0)
		if b {
			v = lua.LNumber(1)
		}
	}
	a := modules.Arg{Name: d.Name, Kind: d.Kind, Words: d.Words, Min: d.Min, Max: d.Max, Route: d.Route}
	return r.st.argument(&a, v)
}

// anything stands in for a module that does not exist, so that loading finds
// more than that.
func (st *State) anything() *lua.LTable {
	t, mt := st.base.NewTable(), st.base.NewTable()
	mt.RawSetString("__index", st.base.NewFunction(func(L *lua.LState) int {
		L.Push(t)
		return 1
	}))
	mt.RawSetString("__call", st.base.NewFunction(func(L *lua.LState) int { return 0 }))
	mt.RawSetString("__metatable", lua.LString("module"))
	t.Metatable = mt
	return t
}

// baseRequire is require(name): a loaded module, or a file below the script's
// folder, run once per state.
func baseRequire(L *lua.LState) int {
	r := runOf(L)
	st := r.st
	nameV, ok := L.Get(1).(lua.LString)
	if !ok {
		L.RaiseError("require takes a name, got %s", article(luaType(L.Get(1))))
	}
	name := string(nameV)
	if t := st.modtabs[name]; t != nil {
		L.Push(t)
		return 1
	}
	if v, ok := st.required[name]; ok {
		if v == nil {
			L.RaiseError("require %q: the files require each other in a circle", name)
		}
		L.Push(v)
		return 1
	}
	if st.prog.byName[name] != nil {
		L.RaiseError("module %s is not loaded: loadmodule %q before require", name, name)
	}
	if !r.top {
		L.RaiseError("require %q: files are read at the top level only", name)
	}
	if why := reservedName(path.Base(name)); why != "" {
		L.RaiseError("require %q: a file may not be named as %s", name, why)
	}
	src := st.findFile(L, name)
	st.required[name] = nil
	L.Push(st.base.NewFunctionFromProto(src.proto))
	L.Push(nameV)
	L.Call(1, 1)
	v := L.Get(-1)
	if v == lua.LNil {
		v = lua.LTrue
	}
	st.required[name] = v
	L.Push(v)
	return 1
}

// findFile compiles the file that require names: "lib.util" is lib/util.lua or
// lib/util/init.lua.
func (st *State) findFile(L *lua.LState, name string) *source {
	rel := strings.TrimSuffix(name, ".lua")
	if !strings.Contains(rel, "/") {
		rel = strings.ReplaceAll(rel, ".", "/")
	}
	file := rel + ".lua"
	if _, err := readBelow(st.prog.dir, file, maxSource); err != nil {
		other := rel + "/init.lua"
		if _, err2 := readBelow(st.prog.dir, other, maxSource); err2 != nil {
			L.RaiseError("require %q: %s", name, err.Error())
		}
		file = other
	}
	src := st.prog.compile(path.Clean(file))
	if src == nil || src.proto == nil {
		L.RaiseError("require %q: %s has errors", name, file)
	}
	return src
}

// reservedName tells what a name belongs to; "" when it is free.
func reservedName(name string) string {
	for _, t := range routeTables {
		if t.name == name {
			return "a route table"
		}
	}
	for _, n := range ownGlobals {
		if n == name {
			return "a global of the language"
		}
	}
	return ""
}

// ownGlobals are the globals besides Lua's own and the route tables.
var ownGlobals = []string{"config", "socket", "bond", "alias", "loadmodule", "modparam", "timer_route",
	"core", "log", "xlog", "exit", "drop", "launch", "tr", "re", "cat", "idiv", "bit", "json", "shared"}

// readVar reads a variable of a module's table.
func readVar(L *lua.LState, m *moduleRec, v *modules.Var) int {
	r := runOf(L)
	if r.top && m.config == nil {
		L.RaiseError("%s.%s has no value at the top level", m.decl.Name, v.Name)
	}
	if v.Get == nil {
		L.Push(r.st.keyedVar(m, v))
		return 1
	}
	L.Push(r.st.encode(v.Get(m.inst(), r.c)))
	return 1
}

// keyedVar is the indexed variable as a table: statistics.stat.
func (st *State) keyedVar(m *moduleRec, v *modules.Var) *lua.LTable {
	full := m.decl.Name + "." + v.Name
	if t := st.varTables[full]; t != nil {
		return t
	}
	t, mt := st.base.NewTable(), st.base.NewTable()
	mt.RawSetString("__index", st.base.NewFunction(func(L *lua.LState) int {
		r := runOf(L)
		key, err := st.decode(L.Get(2), "")
		if err != nil {
			L.RaiseError("%s: key %s", full, err.Error())
		}
		if v.GetKey == nil {
			L.RaiseError("%s cannot be read", full)
		}
		L.Push(st.encode(v.GetKey(m.inst(), r.c, key)))
		return 1
	}))
	mt.RawSetString("__newindex", st.base.NewFunction(func(L *lua.LState) int {
		r := runOf(L)
		if v.SetKey == nil {
			L.RaiseError("%s is read-only", full)
		}
		key, err := st.decode(L.Get(2), "")
		val, err2 := st.decode(L.Get(3), full)
		if err == nil {
			err = err2
		}
		if err == nil {
			err = v.SetKey(m.inst(), r.c, key, val)
		}
		if err != nil {
			L.RaiseError("%s: %s", full, err.Error())
		}
		return 0
	}))
	mt.RawSetString("__metatable", lua.LString(full))
	t.Metatable = mt
	st.varTables[full] = t
	return t
}
