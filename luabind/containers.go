package luabind

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// ownFields are the fields of msg that belong to the language itself.
var ownFields = map[string]ownField{
	"hdr":       {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxHdr, m.r.st.mts.hdr) }},
	"avp":       {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxAvp, m.r.st.mts.avp) }},
	"flags":     {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxFlags, m.r.st.mts.flags) }},
	"bflags":    {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxBflags, m.r.st.mts.bflags) }},
	"branch":    {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxBranch, m.r.st.mts.branchList) }},
	"tm_branch": {indexed: true, get: func(_ *lua.LState, m *msgObj) lua.LValue { return container(m, boxTmBranch, m.r.st.mts.tmBranchList) }},
	"orig":      {get: func(_ *lua.LState, m *msgObj) lua.LValue { return m.other(subOrig) }},
	"request":   {get: func(_ *lua.LState, m *msgObj) lua.LValue { return m.other(subRequest) }},
	"reply":     {get: func(_ *lua.LState, m *msgObj) lua.LValue { return m.other(subReply) }},
	"kind":      {get: func(_ *lua.LState, m *msgObj) lua.LValue { return messageKind(m.c) }},
	"cancelled": {get: func(_ *lua.LState, m *msgObj) lua.LValue {
		return lua.LBool(m.c.Host != nil && m.c.Host.Cancelled(m.c))
	}},
	"rb":   {get: bodyText},
	"body": {get: bodyTable, set: setBody},
}

// messageKind is msg.kind: "request", "reply" or "none".
func messageKind(c *api.Ctx) lua.LValue {
	switch {
	case c.Msg == nil:
		return lua.LString("none")
	case c.Msg.IsRequest():
		return lua.LString("request")
	}
	return lua.LString("reply")
}

// other is msg.orig, msg.request or msg.reply; nil where there is none.
func (m *msgObj) other(which int) lua.LValue {
	r, c := m.r, m.c
	var base *sip.Message
	var draft *sip.Draft
	switch which {
	case subOrig:
		if c.Msg != nil {
			base = c.Msg.Message()
		}
	case subRequest:
		draft = c.Request
	case subReply:
		base = c.Reply
	}
	if base == nil && draft == nil {
		return lua.LNil
	}
	s := r.subs[which]
	if s == nil {
		s = &subMessage{}
		r.subs[which] = s
	}
	if s.obj != nil && s.obj.epoch == r.epoch {
		return &s.obj.ud
	}
	s.c = *c
	s.c.Msg, s.c.CallID = draft, ""
	if draft == nil {
		s.draft.Init(base)
		s.c.Msg = &s.draft
	}
	o := &msgObj{r: r, epoch: r.epoch, c: &s.c, sub: which}
	o.ud.Value, o.ud.Metatable = o, r.st.mts.msg
	s.obj = o
	return &o.ud
}

func bodyText(_ *lua.LState, m *msgObj) lua.LValue {
	if m.c.Msg == nil {
		return lua.LNil
	}
	b := m.c.Msg.Body()
	if len(b) == 0 {
		return lua.LNil
	}
	return lua.LString(b)
}

// bodyTable is msg.body: {type=, data=}, nil without a body.
func bodyTable(L *lua.LState, m *msgObj) lua.LValue {
	if m.c.Msg == nil || len(m.c.Msg.Body()) == 0 {
		return lua.LNil
	}
	t := m.r.st.base.CreateTable(0, 2)
	m.r.charge(L, 64+len(m.c.Msg.Body()))
	t.RawSetString("data", lua.LString(m.c.Msg.Body()))
	if ct := m.c.Msg.First(sip.HdrContentType); ct != nil {
		t.RawSetString("type", lua.LString(ct))
	}
	return t
}

func setBody(L *lua.LState, m *msgObj, v lua.LValue) {
	if m.c.Msg == nil {
		L.RaiseError("msg.body cannot be assigned %s: there is no message", m.r.whereText())
	}
	var ctype, data []byte
	switch v := v.(type) {
	case *lua.LNilType:
		m.c.Msg.Remove([]byte("Content-Type"))
	case *lua.LTable:
		v.ForEach(func(k, _ lua.LValue) {
			if name := k.String(); name != "type" && name != "data" {
				L.RaiseError("msg.body has no part %q%s", name, didYouMean(name, []string{"type", "data"}))
			}
		})
		d, ok := v.RawGetString("data").(lua.LString)
		if !ok {
			L.RaiseError("msg.body takes {type =, data =}, both strings")
		}
		data = []byte(d)
		switch t := v.RawGetString("type").(type) {
		case lua.LString:
			ctype = []byte(t)
		case *lua.LNilType:
			if m.c.Msg.First(sip.HdrContentType) == nil {
				L.RaiseError("msg.body needs a type: {type = \"application/sdp\", data = ...}")
			}
		default:
			L.RaiseError("msg.body takes {type =, data =}, both strings")
		}
	default:
		L.RaiseError("msg.body takes {type =, data =} or nil, got %s", article(luaType(v)))
	}
	if err := m.c.Msg.SetBody(ctype, data); err != nil {
		L.RaiseError("msg.body: %s", err.Error())
	}
}

// keyString is the name an access is by: the second argument as a string.
func keyString(L *lua.LState, what string) string {
	switch k := L.Get(2).(type) {
	case lua.LString:
		return string(k)
	case lua.LNumber:
		return numberText(float64(k))
	}
	L.RaiseError("msg.%s is read by name, got %s", what, article(luaType(L.Get(2))))
	return ""
}

// writable raises when the message is one of those that are read only.
func writable(L *lua.LState, m *msgObj, what string) {
	if m.sub != subNone {
		L.RaiseError("msg.%s.%s cannot be written: that message is read-only", subNames[m.sub], what)
	}
}

// hdrIndex reads msg.hdr.NAME: the first value, nil when there is none.
func hdrIndex(L *lua.LState) int {
	m := checkMsg(L)
	name := keyString(L, "hdr")
	if m.c.Msg == nil {
		L.Push(lua.LNil)
		return 1
	}
	v := m.c.Msg.Find([]byte(name))
	if v == nil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LString(v))
	return 1
}

// hdrNewIndex sets the header to one value, or removes all of it.
func hdrNewIndex(L *lua.LState) int {
	m := checkMsg(L)
	name := keyString(L, "hdr")
	writable(L, m, "hdr")
	if m.c.Msg == nil {
		L.RaiseError("msg.hdr cannot be written %s: there is no message", m.r.whereText())
	}
	v := L.Get(3)
	if v == lua.LNil {
		if id := sip.LookupHeader([]byte(name)); id.Mandatory() {
			L.RaiseError("msg.hdr[%q] cannot be removed: no message is without %s", name, id.Name())
		}
		m.c.Msg.Remove([]byte(name))
		return 0
	}
	if err := m.c.Msg.Set([]byte(name), []byte(textOf(L, v, fmt.Sprintf("msg.hdr[%q]", name)))); err != nil {
		L.RaiseError("msg.hdr[%q]: %s", name, err.Error())
	}
	return 0
}

// textOf takes a string or a number.
func textOf(L *lua.LState, v lua.LValue, what string) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return numberText(float64(v))
	}
	L.RaiseError("%s must be a string, got %s", what, article(luaType(v)))
	return ""
}

// msgHeaders is msg:headers(name): all values, or all header lines' names and
// values without a name.
func msgHeaders(L *lua.LState) int {
	m := checkMsg(L)
	t := m.r.st.base.NewTable()
	if m.c.Msg == nil {
		L.Push(t)
		return 1
	}
	if L.GetTop() < 2 {
		for _, h := range m.c.Msg.Headers() {
			e := m.r.st.base.CreateTable(0, 2)
			e.RawSetString("name", lua.LString(h.Name))
			e.RawSetString("value", lua.LString(h.Value))
			m.r.charge(L, 128+len(h.Name)+len(h.Value))
			t.Append(e)
		}
	} else {
		for v := range m.c.Msg.Values([]byte(keyString(L, "headers"))) {
			m.r.charge(L, 32+len(v))
			t.Append(lua.LString(v))
		}
	}
	L.Push(t)
	return 1
}

// msgAddHeader is msg:add_header(name, value).
func msgAddHeader(L *lua.LState) int {
	m := checkMsg(L)
	writable(L, m, "add_header()")
	name := textOf(L, L.Get(2), "msg:add_header: argument 1 \"name\"")
	value := textOf(L, L.Get(3), "msg:add_header: argument 2 \"value\"")
	if m.c.Msg == nil {
		L.RaiseError("msg:add_header cannot be called %s: there is no message", m.r.whereText())
	}
	if err := m.c.Msg.Append([]byte(name), []byte(value)); err != nil {
		L.RaiseError("msg:add_header(%q): %s", clip(name), err.Error())
	}
	return 0
}

// avpValue is what State keeps for a Lua value: strings, numbers and booleans
// as Go's, others as they are, bound to this worker.
func avpValue(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return float64(v)
	case lua.LBool:
		return bool(v)
	}
	return v
}

// avpLua is the way back.
func (st *State) avpLua(v any) lua.LValue {
	switch v := v.(type) {
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	case lua.LValue:
		return v
	case modules.Value:
		return st.encode(v)
	}
	return st.fromAny(v, 0)
}

func avpIndex(L *lua.LState) int {
	m := checkMsg(L)
	vals := m.c.State.AVP(keyString(L, "avp"))
	if len(vals) == 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(m.r.st.avpLua(vals[0]))
	return 1
}

func avpNewIndex(L *lua.LState) int {
	m := checkMsg(L)
	name := keyString(L, "avp")
	if v := L.Get(3); v == lua.LNil {
		m.c.State.SetAVP(name)
	} else {
		m.c.State.SetAVP(name, avpValue(v))
	}
	return 0
}

// msgAvpPush is msg:avp_push(name, value).
func msgAvpPush(L *lua.LState) int {
	m := checkMsg(L)
	name := keyString(L, "avp")
	v := L.Get(3)
	if v == lua.LNil {
		L.RaiseError("msg:avp_push(%q): the value is nil", clip(name))
	}
	m.r.charge(L, 16*(1+len(m.c.State.AVP(name))))
	m.c.State.PushAVP(name, avpValue(v))
	return 0
}

// msgAvps is msg:avps(name): all values, newest first.
func msgAvps(L *lua.LState) int {
	m := checkMsg(L)
	vals := m.c.State.AVP(keyString(L, "avps"))
	m.r.charge(L, 32*len(vals))
	t := m.r.st.base.CreateTable(len(vals), 0)
	for i, v := range vals {
		t.RawSetInt(i+1, m.r.st.avpLua(v))
	}
	L.Push(t)
	return 1
}

func flagBit(L *lua.LState, m *msgObj, branch bool) int {
	what := "flags"
	if branch {
		what = "bflags"
	}
	bit, err := m.c.Host.FlagBit(keyString(L, what), branch)
	if err != nil {
		L.RaiseError("msg.%s: %s", what, err.Error())
	}
	return bit
}

func flagValue(L *lua.LState, what string) bool {
	switch v := L.Get(3).(type) {
	case lua.LBool:
		return bool(v)
	case *lua.LNilType:
		return false
	default:
		L.RaiseError("msg.%s takes true or false, got %s", what, article(luaType(v)))
	}
	return false
}

func flagsIndex(L *lua.LState) int {
	m := checkMsg(L)
	L.Push(lua.LBool(m.c.State.Flags.Has(flagBit(L, m, false))))
	return 1
}

func flagsNewIndex(L *lua.LState) int {
	m := checkMsg(L)
	bit := flagBit(L, m, false)
	m.c.State.Flags = m.c.State.Flags.With(bit, flagValue(L, "flags"))
	return 0
}

func bflagsIndex(L *lua.LState) int {
	m := checkMsg(L)
	L.Push(lua.LBool(m.c.Target != nil && m.c.Target.Flags.Has(flagBit(L, m, true))))
	return 1
}

func bflagsNewIndex(L *lua.LState) int {
	m := checkMsg(L)
	bit := flagBit(L, m, true)
	on := flagValue(L, "bflags")
	if m.c.Target == nil {
		L.RaiseError("msg.bflags cannot be written %s: there is no branch", m.r.whereText())
	}
	m.c.Target.Flags = m.c.Target.Flags.With(bit, on)
	return 0
}
