package luabind

import (
	"fmt"
	"runtime/debug"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// msgObj is msg of one handler run, in one allocation; its containers are made
// when they are first asked for. epoch is the run's when it was made; later use
// raises.
type msgObj struct {
	ud    lua.LUserData
	r     *run
	epoch uint64
	c     *api.Ctx
	sub   int // subNone, or which other message this is

	boxes [numBoxes]*lua.LUserData
}

// The containers that hang off msg.
const (
	boxHdr = iota
	boxAvp
	boxFlags
	boxBflags
	boxBranch
	boxTmBranch
	numBoxes
)

// The other messages that hang off msg.
const (
	subOrig    = iota // msg.orig: the message as received
	subRequest        // msg.request: the request, in an onreply route
	subReply          // msg.reply: the winning reply, in a failure route
	numSubs
	subNone = -1
)

// subMessage is the context that fields of another message are read with.
type subMessage struct {
	c     api.Ctx
	draft sip.Draft
	obj   *msgObj
}

// fieldDef is one field of msg.
type fieldDef struct {
	name string
	idx  int
	mod  *moduleRec
	decl *modules.Field // nil for luabind's own
	own  *ownField
}

// ownField is a field that luabind has itself: containers, and what tells
// about the run.
type ownField struct {
	get func(L *lua.LState, m *msgObj) lua.LValue
	set func(L *lua.LState, m *msgObj, v lua.LValue)
	// indexed tells that it is read by name or number.
	indexed bool
}

// fieldTable is every field of the program's messages.
type fieldTable struct {
	list   []*fieldDef
	byName map[string]*fieldDef
}

// fieldCache is a field's last value in a run.
type fieldCache struct {
	val     lua.LValue
	version uint32
}

// keyedObj is an indexed field of one message: msg.dlg_val.
type keyedObj struct {
	ud  lua.LUserData
	m   *msgObj
	def *fieldDef
}

func newFieldTable(p *Program) *fieldTable {
	t := &fieldTable{byName: map[string]*fieldDef{}}
	add := func(d *fieldDef) {
		d.idx = len(t.list)
		t.list = append(t.list, d)
		t.byName[d.name] = d
	}
	for name := range ownFields {
		f := ownFields[name]
		add(&fieldDef{name: name, own: &f})
	}
	for _, m := range p.order {
		for i := range m.decl.Fields {
			f := &m.decl.Fields[i]
			if t.byName[f.Name] == nil {
				add(&fieldDef{name: f.Name, mod: m, decl: f})
			}
		}
	}
	return t
}

// newMsg makes msg for the run.
func newMsg(r *run) *msgObj {
	m := &msgObj{r: r, epoch: r.epoch, c: r.c, sub: subNone}
	m.ud.Value, m.ud.Metatable = m, r.st.mts.msg
	return m
}

// checkMsg is the message that an access is about; it raises when its handler
// has ended.
func checkMsg(L *lua.LState) *msgObj {
	u, ok := L.Get(1).(*lua.LUserData)
	if !ok {
		L.RaiseError("msg is needed, got %s; a method is called with a colon, as in msg:headers(\"Via\")", article(luaType(L.Get(1))))
	}
	m, ok := u.Value.(*msgObj)
	if !ok {
		L.RaiseError("msg is needed, got %s", article(luaType(u)))
	}
	if m.epoch != m.r.epoch {
		L.RaiseError("msg was used after its handler had ended")
	}
	return m
}

// container is userdata of m with a metatable, the same at each asking.
func container(m *msgObj, box int, mt *lua.LTable) lua.LValue {
	if m.boxes[box] == nil {
		m.boxes[box] = &lua.LUserData{Value: m, Metatable: mt}
	}
	return m.boxes[box]
}

// msgIndex reads msg.NAME.
func msgIndex(L *lua.LState) int {
	m := checkMsg(L)
	key, ok := L.Get(2).(lua.LString)
	if !ok {
		L.RaiseError("msg has no field %s", L.Get(2).String())
	}
	def := m.r.st.prog.fields.byName[string(key)]
	if def == nil {
		if fn := m.r.st.mts.msgMethods[string(key)]; fn != nil {
			L.Push(fn)
			return 1
		}
		L.RaiseError("%s", m.r.st.prog.unknownField(string(key)))
	}
	if def.own != nil {
		L.Push(def.own.get(L, m))
		return 1
	}
	L.Push(m.read(L, def))
	return 1
}

// read is the value of a declared field.
func (m *msgObj) read(L *lua.LState, def *fieldDef) lua.LValue {
	f := def.decl
	if f.Get == nil {
		if f.GetKey == nil && f.SetKey == nil {
			L.RaiseError("msg.%s is write-only", f.Name)
		}
		return m.keyedField(def)
	}
	if !m.means(f) {
		return lua.LNil
	}
	cached := f.Stable && m.sub == subNone && m.c.Msg != nil
	if cached {
		if c := &m.r.cache[def.idx]; c.val != nil && c.version == m.c.Msg.Version() {
			return c.val
		}
	}
	v := m.r.st.encode(m.r.readField(L, def, m.c))
	if cached {
		m.r.cache[def.idx] = fieldCache{v, m.c.Msg.Version()}
	}
	return v
}

// means tells whether a field has a meaning in this route; elsewhere it is nil.
func (m *msgObj) means(f *modules.Field) bool {
	if f.Routes != 0 {
		return f.Routes&m.c.Kind != 0
	}
	return m.c.Msg != nil
}

// readField calls the module's getter and turns a panic into a Lua error.
func (r *run) readField(L *lua.LState, def *fieldDef, c *api.Ctx) modules.Value {
	v, trace := getField(def, c)
	if trace != "" {
		r.st.prog.panicked(r, "msg."+def.name, trace)
		L.RaiseError("msg.%s: internal error; the log has its stack", def.name)
	}
	return v
}

func getField(def *fieldDef, c *api.Ctx) (v modules.Value, trace string) {
	defer func() {
		if p := recover(); p != nil {
			trace = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	return def.decl.Get(def.mod.config, c), ""
}

// guard calls a module's function of a field or variable; a panic becomes an
// error with its stack logged.
func (r *run) guard(what string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.st.prog.panicked(r, what, fmt.Sprintf("%v\n%s", p, debug.Stack()))
			err = fmt.Errorf("internal error; the log has its stack")
		}
	}()
	return f()
}

// msgNewIndex writes msg.NAME.
func msgNewIndex(L *lua.LState) int {
	m := checkMsg(L)
	key := L.Get(2).String()
	v := L.Get(3)
	def := m.r.st.prog.fields.byName[key]
	if def == nil {
		L.RaiseError("%s", m.r.st.prog.unknownField(key))
	}
	if m.sub != subNone {
		L.RaiseError("msg.%s.%s cannot be assigned: that message is read-only", subNames[m.sub], key)
	}
	if def.own != nil {
		if def.own.set == nil {
			L.RaiseError("msg.%s cannot be assigned", key)
		}
		def.own.set(L, m, v)
		return 0
	}
	f := def.decl
	if f.Set == nil {
		if f.SetKey != nil {
			L.RaiseError("msg.%s is written by key: msg.%s[KEY] = VALUE", key, key)
		}
		L.RaiseError("msg.%s is read-only", key)
	}
	if m.c.Msg == nil && f.Routes&m.c.Kind == 0 {
		L.RaiseError("msg.%s cannot be assigned %s: there is no message", key, m.r.whereText())
	}
	val, err := m.r.st.decode(v, "msg."+key)
	if err == nil {
		err = m.r.guard("msg."+key, func() error { return f.Set(def.mod.config, m.c, val) })
	}
	if err != nil {
		L.RaiseError("msg.%s: %s", key, err.Error())
	}
	return 0
}

var subNames = [numSubs]string{"orig", "request", "reply"}

// unknownField is the error for a field that no loaded module has.
func (p *Program) unknownField(name string) string {
	for _, m := range p.all {
		for i := range m.decl.Fields {
			if m.decl.Fields[i].Name == name {
				return fmt.Sprintf("msg has no field %q: it comes with loadmodule %q", name, m.decl.Name)
			}
		}
	}
	names := make([]string, 0, len(p.fields.list))
	for _, f := range p.fields.list {
		names = append(names, f.name)
	}
	return fmt.Sprintf("msg has no field %q%s", name, didYouMean(name, names))
}

// keyedField is the container of an indexed field, one per message.
func (m *msgObj) keyedField(def *fieldDef) lua.LValue {
	if m.sub == subNone {
		if k := m.r.keyed[def.idx]; k != nil && k.m == m {
			return &k.ud
		}
	}
	k := &keyedObj{m: m, def: def}
	k.ud.Value, k.ud.Metatable = k, m.r.st.mts.keyed
	if m.sub == subNone {
		m.r.keyed[def.idx] = k
	}
	return &k.ud
}

func checkKeyed(L *lua.LState) *keyedObj {
	u, _ := L.Get(1).(*lua.LUserData)
	if u == nil {
		L.RaiseError("an indexed field of msg is needed")
	}
	k, ok := u.Value.(*keyedObj)
	if !ok {
		L.RaiseError("an indexed field of msg is needed")
	}
	if k.m.epoch != k.m.r.epoch {
		L.RaiseError("msg was used after its handler had ended")
	}
	return k
}

func keyedIndex(L *lua.LState) int {
	k := checkKeyed(L)
	f := k.def.decl
	if f.GetKey == nil {
		L.RaiseError("msg.%s cannot be read", f.Name)
	}
	if len(f.Keys) > 0 {
		if s, ok := L.Get(2).(lua.LString); ok && !hasWord(f.Keys, string(s)) {
			L.RaiseError("msg.%s has no part %q%s", f.Name, string(s), didYouMean(string(s), f.Keys))
		}
	}
	if !k.m.means(f) {
		L.Push(lua.LNil)
		return 1
	}
	r := k.m.r
	key, err := r.st.decode(L.Get(2), "")
	var v modules.Value
	if err == nil {
		err = r.guard("msg."+f.Name, func() error { v = f.GetKey(k.def.mod.config, k.m.c, key); return nil })
	}
	if err != nil {
		L.RaiseError("msg.%s: %s", f.Name, err.Error())
	}
	L.Push(r.st.encode(v))
	return 1
}

func keyedNewIndex(L *lua.LState) int {
	k := checkKeyed(L)
	f := k.def.decl
	if f.SetKey == nil {
		L.RaiseError("msg.%s is read-only", f.Name)
	}
	if k.m.sub != subNone {
		L.RaiseError("msg.%s.%s cannot be assigned: that message is read-only", subNames[k.m.sub], f.Name)
	}
	if k.m.c.Msg == nil && f.Routes&k.m.c.Kind == 0 {
		L.RaiseError("msg.%s cannot be assigned %s: there is no message", f.Name, k.m.r.whereText())
	}
	st := k.m.r.st
	key, err := st.decode(L.Get(2), "")
	val, err2 := st.decode(L.Get(3), "msg."+f.Name)
	if err == nil {
		err = err2
	}
	if err == nil {
		err = k.m.r.guard("msg."+f.Name, func() error { return f.SetKey(k.def.mod.config, k.m.c, key, val) })
	}
	if err != nil {
		L.RaiseError("msg.%s: %s", f.Name, err.Error())
	}
	return 0
}
