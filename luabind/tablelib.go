package luabind

import (
	"math/rand/v2"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openTables replaces the table functions that build without a bound.
func (st *State) openTables() {
	t := st.base.G.Global.RawGetString("table").(*lua.LTable)
	st.set(t, "concat", tableConcat)
	insert := t.RawGetString("insert").(*lua.LFunction).GFunction
	st.set(t, "insert", func(L *lua.LState) int {
		runOf(L).charge(L, 16)
		return insert(L)
	})
}

func tableConcat(L *lua.LState) int {
	t, sep := L.CheckTable(1), L.OptString(2, "")
	from, to := L.OptInt(3, 1), L.OptInt(4, t.Len())
	if to-from >= maxItems*10 {
		L.RaiseError("table.concat: more than %d items", maxItems*10)
	}
	r := runOf(L)
	var b strings.Builder
	for i := from; i <= to; i++ {
		v := t.RawGetInt(i)
		if !lua.LVCanConvToString(v) {
			L.RaiseError("table.concat: item %d is %s; strings and numbers are joined", i, article(luaType(v)))
		}
		if i > from {
			b.WriteString(sep)
		}
		b.WriteString(v.String())
		r.room(L, b.Len())
	}
	return build(L, b.String())
}

// openMath gives the state its own random numbers.
func (st *State) openMath() {
	t := st.base.G.Global.RawGetString("math").(*lua.LTable)
	st.set(t, "randomseed", func(L *lua.LState) int {
		n := uint64(L.CheckNumber(1))
		st.rng.pcg.Seed(n, n)
		return 0
	})
	st.set(t, "random", func(L *lua.LState) int {
		rng := rand.New(st.rng.pcg)
		switch L.GetTop() {
		case 0:
			L.Push(lua.LNumber(rng.Float64()))
		case 1:
			L.Push(lua.LNumber(randomIn(L, rng, 1, L.CheckInt64(1))))
		default:
			L.Push(lua.LNumber(randomIn(L, rng, L.CheckInt64(1), L.CheckInt64(2))))
		}
		return 1
	})
}

func randomIn(L *lua.LState, rng *rand.Rand, low, high int64) int64 {
	if low > high || high-low < 0 {
		L.RaiseError("math.random: the interval is empty")
	}
	return low + rng.Int64N(high-low+1)
}
