package luabind

import (
	"fmt"
	"math/rand/v2"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
)

// scriptRand is the state's own random numbers: math.randomseed of a script
// must not reach the process's.
type scriptRand struct{ pcg *rand.PCG }

// metatables are those of the values that luabind makes, one set per state.
type metatables struct {
	msg, keyed, result                           *lua.LTable
	hdr, avp, flags, bflags                      *lua.LTable
	branchList, branch, tmBranchList, branchPart *lua.LTable
	msgMethods                                   map[string]*lua.LFunction
}

// An integer key from 1,048,576 on is kept in a table's hash part. The virtual machine fills its array part up to any key below: with
// its own limit of 67,108,864 one assignment with a key from the network,
// seen[msg.cs], would take a gigabyte. It has one setting for the whole
// program, so that it is made before anything runs and never again.
var _ = func() int {
	lua.MaxArrayIndex = 1 << 20
	return lua.MaxArrayIndex
}()

// newState makes a worker's state with all globals, before the top level.
func newState(p *Program, worker int) *State {
	L := lua.NewState(lua.Options{
		CallStackSize: p.limits.depth, RegistrySize: 256, RegistryMaxSize: 1 << 16,
		RegistryGrowStep: 256, SkipOpenLibs: true, MinimizeStackMemory: true,
	})
	st := &State{prog: p, worker: worker, slot: &p.proc.slots[len(p.proc.slots)-1], base: L,
		modtabs: map[string]*lua.LTable{}, required: map[string]lua.LValue{}, bound: map[int]*lua.LFunction{},
		names: map[*lua.LFunction]*handler{}, varTables: map[string]*lua.LTable{},
		rng: scriptRand{rand.NewPCG(rand.Uint64(), rand.Uint64())}}
	st.decl = declared{settings: map[string]any{}, params: nil, lines: map[string]int{}}
	st.decl.params = newParams()
	st.exit, st.drop = newSentinel(), newSentinel()
	st.openLibraries()
	st.makeMetatables()
	st.yes = st.newResult(&yesRet)
	st.openGlobals()
	return st
}

// openLibraries opens what of Lua's libraries scripts may have, and replaces
// what must be bounded.
func (st *State) openLibraries() {
	L := st.base
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{{lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}, {lua.StringLibName, lua.OpenString},
		{lua.MathLibName, lua.OpenMath}, {lua.OsLibName, lua.OpenOs}} {
		L.Push(L.NewFunction(lib.open))
		L.Push(lua.LString(lib.name))
		L.Call(1, 0)
	}
	g := L.G.Global
	for _, name := range []string{"dofile", "loadfile", "load", "loadstring", "newproxy", "module", "getfenv",
		"setfenv", "_printregs", "_GOPHER_LUA_VERSION", "gcinfo"} {
		g.RawSetString(name, lua.LNil)
	}
	st.set(g, "pcall", basePcall)
	st.set(g, "xpcall", baseXpcall)
	st.set(g, "print", basePrint)
	st.set(g, "require", baseRequire)
	st.set(g, "setmetatable", baseSetmetatable)
	st.set(g, "collectgarbage", baseCollectgarbage)
	st.set(g, concatName, wovenConcat)
	st.module("coroutine", map[string]lua.LGFunction{"create": coCreate, "wrap": coWrap, "resume": coResume,
		"yield": coYield, "status": coStatus, "running": coRunning})
	os, keep := g.RawGetString("os").(*lua.LTable), L.NewTable()
	for _, name := range []string{"time", "date", "clock", "getenv"} {
		keep.RawSetString(name, os.RawGetString(name))
	}
	g.RawSetString("os", keep)
	st.openStrings()
	st.openTables()
	st.openMath()
}

func (st *State) set(t *lua.LTable, name string, fn lua.LGFunction) {
	t.RawSetString(name, st.base.NewFunction(fn))
}

func (st *State) module(name string, fns map[string]lua.LGFunction) *lua.LTable {
	t := st.base.NewTable()
	for _, k := range sortedKeys(fns) {
		st.set(t, k, fns[k])
	}
	st.base.G.Global.RawSetString(name, t)
	return t
}

// openGlobals sets the language's own globals and makes the global table
// strict.
func (st *State) openGlobals() {
	g := st.base.G.Global
	for name, fn := range map[string]lua.LGFunction{
		"config": topConfig, "socket": topSocket, "bond": topBond, "alias": topAlias, "loadmodule": topLoadmodule,
		"modparam": topModparam, "timer_route": topTimer, "exit": baseExit, "drop": baseDrop, "launch": baseLaunch,
		"cat": baseCat, "idiv": baseIdiv, "xlog": baseXlog, "rawset": baseRawset,
	} {
		st.set(g, name, fn)
	}
	for _, t := range routeTables {
		g.RawSetString(t.name, st.routeTable(t.name, t.kind))
	}
	for _, name := range []string{"core", "tr"} {
		if m := st.prog.byName[name]; m != nil {
			g.RawSetString(name, st.table(m))
		} else {
			g.RawSetString(name, st.base.NewTable())
		}
	}
	for _, m := range st.prog.all {
		if m.decl.Builtin {
			st.table(m)
		}
	}
	st.openCore(g.RawGetString("core").(*lua.LTable))
	st.openLog()
	st.openRe()
	st.openBit()
	st.openJSON()
	st.openShared()
	for _, name := range libraries {
		st.strictLibrary(name, g.RawGetString(name).(*lua.LTable))
	}
	st.strictGlobals(g)
}

// libraries are the language's own tables of functions.
var libraries = []string{"re", "bit", "json", "shared"}

// strictLibrary makes reading a name that the library does not have an error.
func (st *State) strictLibrary(name string, t *lua.LTable) {
	mt := st.base.NewTable()
	st.set(mt, "__index", func(L *lua.LState) int {
		L.RaiseError("%s", notInLibrary(name, L.Get(2).String(), t))
		return 0
	})
	mt.RawSetString("__metatable", lua.LString(name))
	t.Metatable = mt
}

// notInLibrary is the error for a name that a library does not have.
func notInLibrary(library, name string, t *lua.LTable) string {
	var names []string
	t.ForEach(func(k, _ lua.LValue) { names = append(names, k.String()) })
	text := fmt.Sprintf("%s has no function %q", library, name)
	if best := closest(name, names); best != "" {
		text += "; did you mean " + library + "." + best + "?"
	}
	return text
}

// strictGlobals makes reading an undefined global an error, and making a new
// one in a handler.
func (st *State) strictGlobals(g *lua.LTable) {
	mt := st.base.NewTable()
	st.set(mt, "__index", func(L *lua.LState) int {
		name := L.Get(2).String()
		L.RaiseError("undefined global %q%s", name, st.globalHint(name))
		return 0
	})
	st.set(mt, "__newindex", func(L *lua.LState) int {
		if r := runOf(L); r != nil && !r.top {
			L.RaiseError("%s", newGlobal(L.Get(2).String()))
		}
		g.RawSet(L.Get(2), L.Get(3))
		return 0
	})
	mt.RawSetString("__metatable", lua.LString("globals"))
	g.Metatable = mt
}

// baseRawset is rawset(t, key, value), which does not go round strict globals.
func baseRawset(L *lua.LState) int {
	t, key, v := L.CheckTable(1), L.CheckAny(2), L.CheckAny(3)
	if r := runOf(L); t == L.G.Global && r != nil && !r.top && t.RawGet(key) == lua.LNil {
		L.RaiseError("%s", newGlobal(key.String()))
	}
	L.RawSet(t, key, v)
	L.Push(t)
	return 1
}

// newGlobal is the error for a global that a handler makes.
func newGlobal(name string) string {
	return fmt.Sprintf("a handler cannot make the global %q: write \"local %s\", or declare it at the top level", name, name)
}

// globalHint tells what an undefined global may have meant.
func (st *State) globalHint(name string) string {
	if st.modtabs[name] != nil {
		return `; write "local ` + name + ` = loadmodule "` + name + `"" in this file`
	}
	if st.prog.byName[name] != nil {
		return `; it is a module: local ` + name + ` = loadmodule "` + name + `"`
	}
	if home, ok := olderHomes[name]; ok {
		return "; here it is " + home
	}
	var names []string
	st.base.G.Global.ForEach(func(k, _ lua.LValue) {
		if s := k.String(); !strings.HasPrefix(s, "\x00") {
			names = append(names, s)
		}
	})
	if best := closest(name, names); best != "" {
		return "; did you mean " + best + "?"
	}
	for _, m := range st.prog.all {
		if m.find(name) != nil {
			return "; did you mean " + m.decl.Name + "." + name + "?"
		}
	}
	return ""
}

func (st *State) makeMetatables() {
	mk := func(name string, index, newindex lua.LGFunction) *lua.LTable {
		t := st.base.NewTable()
		st.set(t, "__index", index)
		if newindex == nil {
			newindex = func(L *lua.LState) int {
				L.RaiseError("%s is read-only", name)
				return 0
			}
		}
		st.set(t, "__newindex", newindex)
		st.set(t, "__call", func(L *lua.LState) int {
			L.RaiseError("%s is no function; it is read by index: %s[\"NAME\"]", name, name)
			return 0
		})
		t.RawSetString("__metatable", lua.LString(name))
		return t
	}
	st.mts = metatables{
		msg: mk("msg", msgIndex, msgNewIndex), keyed: mk("an indexed field", keyedIndex, keyedNewIndex),
		result: mk("a result", resultIndex, nil), hdr: mk("msg.hdr", hdrIndex, hdrNewIndex),
		avp: mk("msg.avp", avpIndex, avpNewIndex), flags: mk("msg.flags", flagsIndex, flagsNewIndex),
		bflags: mk("msg.bflags", bflagsIndex, bflagsNewIndex), branchList: mk("msg.branch", branchListIndex, nil),
		branch: mk("a branch", branchIndex, branchNewIndex), tmBranchList: mk("msg.tm_branch", tmBranchListIndex, nil),
		branchPart: mk("a branch's part", branchPartIndex, branchPartNewIndex),
	}
	st.set(st.mts.result, "__tostring", resultString)
	st.set(st.mts.msg, "__tostring", func(L *lua.LState) int {
		L.Push(lua.LString("msg"))
		return 1
	})
	st.mts.msgMethods = map[string]*lua.LFunction{}
	for name, fn := range map[string]lua.LGFunction{"headers": msgHeaders, "add_header": msgAddHeader,
		"avp_push": msgAvpPush, "avps": msgAvps, "branches": msgBranches} {
		st.mts.msgMethods[name] = st.base.NewFunction(fn)
	}
}

// basePrint writes to the log: a server's script has no terminal.
func basePrint(L *lua.LState) int {
	r := runOf(L)
	var b strings.Builder
	for i := 1; i <= L.GetTop(); i++ {
		if i > 1 {
			b.WriteByte('\t')
		}
		b.WriteString(L.ToStringMeta(L.Get(i)).String())
	}
	r.log(L, api.LevelInfo, b.String(), nil)
	return 0
}

// baseSetmetatable takes tables only, as Lua 5.1 does.
func baseSetmetatable(L *lua.LState) int {
	t := L.CheckTable(1)
	mt := L.Get(2)
	if mt != lua.LNil && mt.Type() != lua.LTTable {
		L.ArgError(2, "nil or table expected")
	}
	if old, ok := t.Metatable.(*lua.LTable); ok && old.RawGetString("__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected metatable")
	}
	t.Metatable = mt
	L.Push(t)
	return 1
}

// baseCollectgarbage only counts: the collector is the whole process's.
func baseCollectgarbage(L *lua.LState) int {
	r := runOf(L)
	switch opt := L.OptString(1, "collect"); opt {
	case "count":
		L.Push(lua.LNumber(float64(r.mem) / 1024))
	case "collect", "step", "stop", "restart", "setpause", "setstepmul":
		L.Push(lua.LNumber(0))
	default:
		L.ArgError(1, "invalid option '"+opt+"'")
	}
	return 1
}
