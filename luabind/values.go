package luabind

import (
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// baseCat is cat(a, b, ...): joined, with nil as empty.
func baseCat(L *lua.LState) int {
	n := L.GetTop()
	total := 0
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case *lua.LNilType:
		case lua.LString:
			total += len(v)
		case lua.LNumber, lua.LBool:
			total += 24
		default:
			L.RaiseError("cat: argument %d must be a string, a number, a boolean or nil, got %s", i, article(luaType(v)))
		}
	}
	runOf(L).room(L, total)
	var b strings.Builder
	b.Grow(total)
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			b.WriteString(string(v))
		case lua.LNumber:
			b.WriteString(numberText(float64(v)))
		case lua.LBool:
			b.WriteString(v.String())
		}
	}
	return build(L, b.String())
}

// int32Arg reads an argument as OpenSIPS's integers are: 32 bits, signed,
// wrapping. Numeric strings are taken.
func int32Arg(L *lua.LState, what string, i int) int32 {
	n, ok := looseNumber(L.Get(i))
	if !ok {
		L.RaiseError("%s: argument %d must be a number, got %s", what, i, showValue(L.Get(i)))
	}
	return toInt32(n)
}

func toInt32(n float64) int32 {
	n = math.Trunc(n)
	if n != n || math.IsInf(n, 0) {
		return 0
	}
	return int32(uint32(int64(math.Mod(n, 1<<32))))
}

// baseIdiv is idiv(a, b): division of 32-bit integers towards zero.
func baseIdiv(L *lua.LState) int {
	a, b := int32Arg(L, "idiv", 1), int32Arg(L, "idiv", 2)
	if b == 0 {
		L.RaiseError("idiv: division by zero")
	}
	if b == -1 {
		L.Push(lua.LNumber(-a))
		return 1
	}
	L.Push(lua.LNumber(a / b))
	return 1
}

// openBit makes bit.band and its kin, on 32-bit integers as LuaJIT's.
func (st *State) openBit() {
	fold := func(name string, f func(a, b int32) int32) lua.LGFunction {
		return func(L *lua.LState) int {
			acc := int32Arg(L, "bit."+name, 1)
			for i := 2; i <= L.GetTop(); i++ {
				acc = f(acc, int32Arg(L, "bit."+name, i))
			}
			L.Push(lua.LNumber(acc))
			return 1
		}
	}
	shift := func(name string, f func(a int32, n uint) int32) lua.LGFunction {
		return func(L *lua.LState) int {
			a, n := int32Arg(L, "bit."+name, 1), uint(int32Arg(L, "bit."+name, 2))&31
			L.Push(lua.LNumber(f(a, n)))
			return 1
		}
	}
	st.module("bit", map[string]lua.LGFunction{
		"band":    fold("band", func(a, b int32) int32 { return a & b }),
		"bor":     fold("bor", func(a, b int32) int32 { return a | b }),
		"bxor":    fold("bxor", func(a, b int32) int32 { return a ^ b }),
		"lshift":  shift("lshift", func(a int32, n uint) int32 { return a << n }),
		"rshift":  shift("rshift", func(a int32, n uint) int32 { return int32(uint32(a) >> n) }),
		"arshift": shift("arshift", func(a int32, n uint) int32 { return a >> n }),
		"rol":     shift("rol", func(a int32, n uint) int32 { return int32(uint32(a)<<n | uint32(a)>>(32-n)) }),
		"ror":     shift("ror", func(a int32, n uint) int32 { return int32(uint32(a)>>n | uint32(a)<<(32-n)) }),
	})
	t := st.base.G.Global.RawGetString("bit").(*lua.LTable)
	st.set(t, "bnot", func(L *lua.LState) int {
		L.Push(lua.LNumber(^int32Arg(L, "bit.bnot", 1)))
		return 1
	})
	st.set(t, "tobit", func(L *lua.LState) int {
		L.Push(lua.LNumber(int32Arg(L, "bit.tobit", 1)))
		return 1
	})
}

// openCore adds to module core what needs the script's folder, unless the
// module has it.
func (st *State) openCore(core *lua.LTable) {
	if core.RawGetString("read_file") == lua.LNil {
		st.set(core, "read_file", coreReadFile)
	}
}

// coreReadFile is core.read_file(name): the contents of a file below the
// script's folder, at the top level; nil, why when it cannot be read.
func coreReadFile(L *lua.LState) int {
	r := topOnly(L, "core.read_file")
	name, ok := L.Get(1).(lua.LString)
	if !ok {
		L.RaiseError("core.read_file: argument 1 \"name\" must be a string, got %s", article(luaType(L.Get(1))))
	}
	b, err := readBelow(r.st.prog.dir, string(name), maxReadFile)
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString("core.read_file: " + err.Error()))
		return 2
	}
	return build(L, string(b))
}
