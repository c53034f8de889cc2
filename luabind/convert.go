package luabind

import (
	"fmt"
	"math"
	"sort"
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/modules"
)

// maxDepth and maxItems bound tables that cross between Lua and Go.
const (
	maxDepth = 32
	maxItems = 100000
)

// luaType is the Lua word for a value's type, as errors name it.
func luaType(v lua.LValue) string {
	if u, ok := v.(*lua.LUserData); ok {
		switch u.Value.(type) {
		case *msgObj:
			return "message"
		case *resultObj:
			return "result"
		}
	}
	return v.Type().String()
}

// article puts "a" or "an" before a kind's word; nil and any need none.
func article(word string) string {
	switch word {
	case "nil", "any":
		return word
	case "userdata":
		return word
	}
	return "a " + word
}

// decode turns a Lua value into a module's. name is for functions: how
// messages call the handler.
func (st *State) decode(v lua.LValue, name string) (modules.Value, error) {
	items := 0
	return st.decodeAt(v, name, 0, &items)
}

func (st *State) decodeAt(v lua.LValue, name string, depth int, items *int) (modules.Value, error) {
	switch v := v.(type) {
	case *lua.LNilType:
		return modules.Value{}, nil
	case lua.LBool:
		return modules.Bool(bool(v)), nil
	case lua.LNumber:
		return modules.Number(float64(v)), nil
	case lua.LString:
		return modules.String(string(v)), nil
	case *lua.LFunction:
		return modules.Func(st.handlerOf(v, name)), nil
	case *lua.LTable:
		return st.decodeTable(v, name, depth, items)
	}
	return modules.Value{}, fmt.Errorf("cannot take %s", article(luaType(v)))
}

func (st *State) decodeTable(t *lua.LTable, name string, depth int, items *int) (modules.Value, error) {
	if depth >= maxDepth {
		return modules.Value{}, fmt.Errorf("table is nested more than %d deep, or holds itself", maxDepth)
	}
	if n := t.Len(); n > 0 {
		list := make([]modules.Value, 0, min(n, maxItems))
		for i := 1; i <= n; i++ {
			if *items++; *items > maxItems {
				return modules.Value{}, fmt.Errorf("table holds more than %d values", maxItems)
			}
			x, err := st.decodeAt(t.RawGetInt(i), name, depth+1, items)
			if err != nil {
				return modules.Value{}, err
			}
			list = append(list, x)
		}
		if !hasOtherKeys(t, n) {
			return modules.List(list), nil
		}
	}
	m := map[string]modules.Value{}
	var err error
	t.ForEach(func(k, v lua.LValue) {
		if err != nil {
			return
		}
		if *items++; *items > maxItems {
			err = fmt.Errorf("table holds more than %d values", maxItems)
			return
		}
		key, ok := keyText(k)
		if !ok {
			err = fmt.Errorf("table key must be a string or a number, got %s", article(luaType(k)))
			return
		}
		m[key], err = st.decodeAt(v, name, depth+1, items)
	})
	return modules.Map(m), err
}

func hasOtherKeys(t *lua.LTable, n int) bool {
	k, _ := t.Next(lua.LNumber(n))
	return k != lua.LNil
}

func keyText(k lua.LValue) (string, bool) {
	switch k := k.(type) {
	case lua.LString:
		return string(k), true
	case lua.LNumber:
		return numberText(float64(k)), true
	}
	return "", false
}

// numberText is a number as cat() and .. show it.
func numberText(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e15 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatFloat(n, 'g', 14, 64)
}

// encode turns a module's value into Lua's.
func (st *State) encode(v modules.Value) lua.LValue {
	switch v.Kind {
	case modules.KindBool:
		return lua.LBool(v.Num != 0)
	case modules.KindNumber:
		return lua.LNumber(v.Num)
	case modules.KindString:
		return lua.LString(v.Str)
	case modules.KindList:
		l := v.List()
		t := st.base.CreateTable(len(l), 0)
		for i, x := range l {
			t.RawSetInt(i+1, st.encode(x))
		}
		return t
	case modules.KindMap:
		m := v.Map()
		t := st.base.CreateTable(0, len(m))
		for _, k := range sortedKeys(m) {
			t.RawSetString(k, st.encode(m[k]))
			// Rows are read by number as well.
			if n, err := strconv.Atoi(k); err == nil && strconv.Itoa(n) == k {
				t.RawSetInt(n, st.encode(m[k]))
			}
		}
		return t
	case modules.KindFunc:
		if h, ok := v.Any.(*handler); ok {
			if fn := st.function(h); fn != nil {
				return fn
			}
		}
	}
	return lua.LNil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// size is about how many bytes a value takes in Lua.
func size(v modules.Value) int {
	n := 16 + len(v.Str)
	for _, x := range v.List() {
		n += 16 + size(x)
	}
	for k, x := range v.Map() {
		n += 48 + len(k) + size(x)
	}
	return n
}

// fromAny turns what the engine hands to a handler into Lua's.
func (st *State) fromAny(v any, depth int) lua.LValue {
	if depth > maxDepth {
		return lua.LNil
	}
	switch v := v.(type) {
	case nil:
		return lua.LNil
	case lua.LValue:
		return v
	case modules.Value:
		return st.encode(v)
	case bool:
		return lua.LBool(v)
	case string:
		return lua.LString(v)
	case []byte:
		return lua.LString(v)
	case int:
		return lua.LNumber(v)
	case int64:
		return lua.LNumber(v)
	case uint32:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case map[string]any:
		t := st.base.CreateTable(0, len(v))
		for _, k := range sortedKeys(v) {
			t.RawSetString(k, st.fromAny(v[k], depth+1))
		}
		return t
	case []any:
		t := st.base.CreateTable(len(v), 0)
		for i, x := range v {
			t.RawSetInt(i+1, st.fromAny(x, depth+1))
		}
		return t
	case []string:
		t := st.base.CreateTable(len(v), 0)
		for i, x := range v {
			t.RawSetInt(i+1, lua.LString(x))
		}
		return t
	case error:
		return lua.LString(v.Error())
	case fmt.Stringer:
		return lua.LString(v.String())
	}
	return lua.LString(fmt.Sprint(v))
}
