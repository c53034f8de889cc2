package luabind

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// branchObj is msg.branch[i] or msg.tm_branch[i].
type branchObj struct {
	m    *msgObj
	i    int
	tm   bool
	part string // "flags" or "attrs" of a branch, "" for the branch itself
}

// branchParts are the fields of a branch, for suggestions.
var branchParts = []string{"uri", "duri", "path", "q", "flags", "socket", "attrs", "type", "index"}

// tmBranchParts are the fields of a branch of the transaction.
var tmBranchParts = []string{"uri", "duri", "path", "q", "flags", "socket", "attrs", "type", "index", "last_received", "last_status", "final"}

func (m *msgObj) branchValue(mt *lua.LTable, b branchObj) lua.LValue {
	return &lua.LUserData{Value: &b, Metatable: mt}
}

func branchNumber(L *lua.LState, what string) int {
	n, ok := L.Get(2).(lua.LNumber)
	if !ok {
		L.RaiseError("msg.%s is read by number from 0, got %s", what, article(luaType(L.Get(2))))
	}
	return int(n)
}

// branchCount is how many branches the message has: its own and the added ones.
func (m *msgObj) branchCount() int {
	if m.c.Msg == nil || !m.c.Msg.IsRequest() || m.c.Target == nil {
		return 0
	}
	return 1 + len(m.c.Extra)
}

func branchListIndex(L *lua.LState) int {
	m := checkMsg(L)
	if L.Get(2) == lua.LValue(lua.LString("last_idx")) {
		L.Push(lua.LNumber(m.branchCount() - 1))
		return 1
	}
	i := branchNumber(L, "branch")
	if i < 0 || i >= m.branchCount() {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(m.branchValue(m.r.st.mts.branch, branchObj{m: m, i: i}))
	return 1
}

func tmBranchListIndex(L *lua.LState) int {
	m := checkMsg(L)
	i := branchNumber(L, "tm_branch")
	if m.c.Tx == nil || i < 0 || i >= m.c.Tx.NumBranches() {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(m.branchValue(m.r.st.mts.branch, branchObj{m: m, i: i, tm: true}))
	return 1
}

// msgBranches is for i, b in msg:branches(): indices from 0.
func msgBranches(L *lua.LState) int {
	m := checkMsg(L)
	i := -1
	L.Push(m.r.st.base.NewFunction(func(L *lua.LState) int {
		if m.epoch != m.r.epoch {
			L.RaiseError("msg was used after its handler had ended")
		}
		if i++; i >= m.branchCount() {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(i))
		L.Push(m.branchValue(m.r.st.mts.branch, branchObj{m: m, i: i}))
		return 2
	}))
	return 1
}

// checkBranch is the branch that an access is about.
func checkBranch(L *lua.LState) *branchObj {
	u, _ := L.Get(1).(*lua.LUserData)
	if u == nil {
		L.RaiseError("a branch is needed, got %s", article(luaType(L.Get(1))))
	}
	b, ok := u.Value.(*branchObj)
	if !ok {
		L.RaiseError("a branch is needed, got %s", article(luaType(u)))
	}
	if b.m.epoch != b.m.r.epoch {
		L.RaiseError("a branch was used after its handler had ended")
	}
	return b
}

// target is the branch's destination; nil when it is gone.
func (b *branchObj) target() *api.Target {
	switch {
	case b.tm:
		info, ok := b.m.c.Tx.BranchInfo(b.i)
		if !ok {
			return nil
		}
		return &info.Target
	case b.i == 0:
		return b.m.c.Target
	case b.i-1 < len(b.m.c.Extra):
		return &b.m.c.Extra[b.i-1]
	}
	return nil
}

func optional(s string) lua.LValue {
	if s == "" {
		return lua.LNil
	}
	return lua.LString(s)
}

// thousandths is a q value, nil when there is none.
func thousandths(q int) lua.LValue {
	if q < 0 {
		return lua.LNil
	}
	return lua.LNumber(q)
}

func branchIndex(L *lua.LState) int {
	b := checkBranch(L)
	t := b.target()
	if t == nil {
		L.Push(lua.LNil)
		return 1
	}
	key := L.Get(2).String()
	if b.tm {
		if v, ok := b.tmPart(key); ok {
			L.Push(v)
			return 1
		}
	}
	switch key {
	case "uri":
		if t.URI == "" && !b.tm && b.i == 0 {
			L.Push(lua.LString(b.m.c.Msg.RequestURI()))
		} else {
			L.Push(optional(t.URI))
		}
	case "duri":
		L.Push(optional(t.Duri))
	case "path":
		L.Push(optional(t.Path))
	case "q":
		L.Push(thousandths(t.Q))
	case "socket":
		L.Push(socketText(t))
	case "type":
		L.Push(lua.LString("sip"))
	case "index":
		L.Push(lua.LNumber(b.i))
	case "flags", "attrs":
		part := *b
		part.part = key
		L.Push(b.m.branchValue(b.m.r.st.mts.branchPart, part))
	default:
		known := branchParts
		if b.tm {
			known = tmBranchParts
		}
		L.RaiseError("a branch has no part %q%s", key, didYouMean(key, known))
	}
	return 1
}

func socketText(t *api.Target) lua.LValue {
	switch {
	case t.Bond != "":
		return lua.LString("bond:" + t.Bond)
	case t.Socket != nil:
		return lua.LString(t.Socket.Name)
	}
	return lua.LNil
}

// tmPart is what only branches of the transaction have.
func (b *branchObj) tmPart(key string) (lua.LValue, bool) {
	info, ok := b.m.c.Tx.BranchInfo(b.i)
	if !ok {
		return lua.LNil, true
	}
	switch key {
	case "last_received":
		if info.Received == 0 {
			return lua.LNil, true
		}
		return lua.LNumber(info.Received), true
	case "socket":
		if s := info.Dest.Socket; s != nil {
			return lua.LString(s.Name), true
		}
		return nil, false
	case "last_status":
		return lua.LNumber(info.LastStatus), true
	case "final":
		return lua.LBool(info.Final), true
	case "type":
		return lua.LString(info.Type), true
	}
	return nil, false
}

func branchNewIndex(L *lua.LState) int {
	b := checkBranch(L)
	key, v := L.Get(2).String(), L.Get(3)
	writable(L, b.m, "branch")
	t := b.target()
	if t == nil || b.tm {
		L.RaiseError("msg.tm_branch[%d].%s cannot be assigned; its flags and attrs can", b.i, key)
	}
	text := ""
	if key != "q" && v != lua.LNil {
		text = textOf(L, v, "a branch's "+key)
	}
	switch key {
	case "uri":
		var u sip.URI
		if err := sip.ParseURI([]byte(text), &u); err != nil {
			L.RaiseError("a branch's uri: %s", err.Error())
		}
		if b.i > 0 {
			t.URI = text
		} else if err := b.m.c.Msg.SetRequestURI([]byte(text)); err != nil {
			L.RaiseError("a branch's uri: %s", err.Error())
		}
	case "duri":
		if err := checkNextHop(text); err != nil {
			L.RaiseError("a branch's duri: %s", err.Error())
		}
		t.Duri = text
	case "path":
		if err := checkPath(text); err != nil {
			L.RaiseError("a branch's path: %s", err.Error())
		}
		t.Path = text
	case "q":
		t.Q = branchQ(L, v)
	case "socket":
		setBranchSocket(L, b, t, text)
	default:
		L.RaiseError("a branch has no part %q to assign%s", key, didYouMean(key, branchParts))
	}
	return 0
}

// branchQ reads a q value in thousandths, -1 for nil.
func branchQ(L *lua.LState, v lua.LValue) int {
	if v == lua.LNil {
		return -1
	}
	n, ok := v.(lua.LNumber)
	if !ok || n < 0 || n > 1000 || lua.LNumber(int(n)) != n {
		L.RaiseError("a branch's q must be a whole number from 0 to 1000, or nil for none")
	}
	return int(n)
}

// checkNextHop refuses what is not a sip or sips URI; "" is none.
func checkNextHop(uri string) error {
	if uri == "" {
		return nil
	}
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return fmt.Errorf("%q: %w", clip(uri), err)
	}
	if !u.IsSIP() {
		return fmt.Errorf("%q is not a sip or sips URI, which a destination must be", clip(uri))
	}
	return nil
}

// checkPath refuses what cannot stand in a Route header; "" is none.
func checkPath(path string) error {
	if path == "" {
		return nil
	}
	for rest := []byte(path); len(rest) > 0; {
		var n sip.NameAddr
		var err error
		if rest, err = sip.ParseNameAddr(rest, &n); err != nil {
			return fmt.Errorf("%q is no list of addresses: %w", clip(path), err)
		}
		if n.Star {
			return fmt.Errorf("%q is no list of addresses", clip(path))
		}
	}
	return nil
}

func setBranchSocket(L *lua.LState, b *branchObj, t *api.Target, text string) {
	if text == "" {
		t.Socket, t.Bond = nil, ""
		return
	}
	s, bond, err := b.m.c.Host.FindSocket(text)
	if err != nil {
		L.RaiseError("a branch's socket: %s", err.Error())
	}
	t.Socket, t.Bond = s, bond
}

func branchPartIndex(L *lua.LState) int {
	b := checkBranch(L)
	t := b.target()
	if t == nil {
		L.Push(lua.LNil)
		return 1
	}
	name := keyString(L, b.part)
	if b.part == "flags" {
		L.Push(lua.LBool(t.Flags.Has(b.flagBit(L, name))))
		return 1
	}
	L.Push(b.m.r.st.avpLua(t.Attrs[name]))
	return 1
}

func (b *branchObj) flagBit(L *lua.LState, name string) int {
	bit, err := b.m.c.Host.FlagBit(name, true)
	if err != nil {
		L.RaiseError("a branch's flag: %s", err.Error())
	}
	return bit
}

func branchPartNewIndex(L *lua.LState) int {
	b := checkBranch(L)
	writable(L, b.m, "branch")
	t := b.target()
	if t == nil {
		L.RaiseError("branch %d is gone", b.i)
	}
	name := keyString(L, b.part)
	if b.part == "flags" {
		flags := t.Flags.With(b.flagBit(L, name), flagValue(L, "branch[i].flags"))
		if b.tm {
			b.m.c.Tx.SetBranchFlags(b.i, flags)
		} else {
			t.Flags = flags
		}
		return 0
	}
	v := avpValue(L.Get(3))
	if L.Get(3) == lua.LNil {
		v = nil
	}
	switch {
	case b.tm:
		b.m.c.Tx.SetBranchAttr(b.i, name, v)
	case v == nil:
		delete(t.Attrs, name)
	default:
		if t.Attrs == nil {
			t.Attrs = map[string]any{}
		}
		t.Attrs[name] = v
	}
	return 0
}
