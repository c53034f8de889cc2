package luabind

import (
	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/modules"
)

// resultObj is the second answer of a yes/no function: result.code,
// result.name, and outputs set on failure.
type resultObj struct {
	ud    lua.LUserData
	code  int
	name  string
	text  string
	extra map[string]modules.Value
}

func (st *State) newResult(ret *modules.Ret) *lua.LUserData {
	o := &resultObj{code: ret.Code, name: ret.Name, text: ret.Text, extra: ret.Extra}
	if o.code == 0 {
		o.code = -1
		if ret.OK {
			o.code = 1
		}
	}
	if o.name == "" {
		o.name = "failed"
		if ret.OK {
			o.name = "ok"
		}
	}
	if o.text == "" {
		o.text = o.name
	}
	o.ud.Value, o.ud.Metatable = o, st.mts.result
	return &o.ud
}

// resultFor is the userdata of an answer: the prebuilt one of a plain true,
// the binding's last one when it says the same again.
func (b *binding) resultFor(st *State, ret *modules.Ret) *lua.LUserData {
	if ret.OK && ret.Code <= 1 && ret.Name == "" && ret.Text == "" && ret.Extra == nil {
		return st.yes
	}
	if ret.Extra != nil {
		return st.newResult(ret)
	}
	last := &st.results[b.key]
	if o, _ := (*last).result(); o != nil && o.code == ret.Code && o.name == ret.Name && o.text == ret.Text {
		return &o.ud
	}
	ud := st.newResult(ret)
	last.ud = ud
	return ud
}

// lastResult is the latest answer of one binding in one state. Results are
// immutable, so that it can be given out again.
type lastResult struct{ ud *lua.LUserData }

func (l lastResult) result() (*resultObj, bool) {
	if l.ud == nil {
		return nil, false
	}
	o, ok := l.ud.Value.(*resultObj)
	return o, ok
}

func resultIndex(L *lua.LState) int {
	o, ok := L.CheckUserData(1).Value.(*resultObj)
	if !ok {
		L.RaiseError("a result is needed")
	}
	key := L.CheckString(2)
	switch key {
	case "code":
		L.Push(lua.LNumber(o.code))
	case "name":
		L.Push(lua.LString(o.name))
	case "text":
		L.Push(lua.LString(o.text))
	default:
		v, ok := o.extra[key]
		if !ok {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(runOf(L).st.encode(v))
	}
	return 1
}

func resultString(L *lua.LState) int {
	o, ok := L.CheckUserData(1).Value.(*resultObj)
	if !ok {
		L.RaiseError("a result is needed")
	}
	L.Push(lua.LString(o.text))
	return 1
}
