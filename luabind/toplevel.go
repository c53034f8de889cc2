package luabind

import (
	"fmt"
	"sort"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// declared is what the top level of one state declares.
type declared struct {
	settings map[string]any
	sockets  []SocketDecl
	bonds    []BondDecl
	aliases  []AliasDecl
	timers   []TimerDecl
	routes   []string // "route.main", sorted
	loaded   []string // modules in order
	params   map[string]map[string]modules.Value
	lines    map[string]int // of loadmodule, by module
	pending  []pendingRoute
}

// pendingRoute is a route given by name before all routes are known.
type pendingRoute struct {
	kind  api.Route
	name  string
	what  string
	place string
}

// topOnly raises outside of the top level.
func topOnly(L *lua.LState, what string) *run {
	r := runOf(L)
	if !r.top {
		L.RaiseError("%s belongs to the top level of the script", what)
	}
	return r
}

// finding notes what is wrong at the caller's line, so that loading goes on
// and finds more.
func (r *run) finding(L *lua.LState, format string, args ...any) {
	f := Finding{Text: fmt.Sprintf(format, args...)}
	f.File, f.Line, _ = splitPosition(position(L) + ": ")
	r.st.prog.find(f)
}

// note is finding for what is taken without effect.
func (r *run) note(L *lua.LState, format string, args ...any) {
	f := Finding{Severity: SeverityNote, Text: fmt.Sprintf(format, args...)}
	f.File, f.Line, _ = splitPosition(position(L) + ": ")
	r.st.prog.find(f)
}

// topConfig is config{ name = value }.
func topConfig(L *lua.LState) int {
	r := topOnly(L, "config{}")
	t, ok := L.Get(1).(*lua.LTable)
	if !ok {
		L.RaiseError("config takes a table: config { log_level = \"info\" }")
	}
	d := &r.st.decl
	t.ForEach(func(k, v lua.LValue) {
		name := k.String()
		if why, ok := ignoredSettings[name]; ok {
			r.note(L, "config %s is taken without effect: %s", name, why)
			return
		}
		s := settingIndex[name]
		if s == nil {
			r.finding(L, "config has no name %q%s", name, didYouMean(name, settingNames()))
			return
		}
		if s.Ignored != "" {
			r.note(L, "config %s is taken without effect: %s", name, s.Ignored)
			return
		}
		val, err := readSetting(s, v)
		if err != nil {
			r.finding(L, "%s", err.Error())
			return
		}
		d.settings[name] = val
	})
	return 0
}

// options reads the option table of socket, bond and alias.
type options struct {
	L    *lua.LState
	r    *run
	form string
	t    *lua.LTable
	left map[string]bool
}

func newOptions(L *lua.LState, r *run, form string, at int) *options {
	o := &options{L: L, r: r, form: form, left: map[string]bool{}}
	switch v := L.Get(at).(type) {
	case *lua.LNilType:
	case *lua.LTable:
		o.t = v
		v.ForEach(func(k, _ lua.LValue) { o.left[k.String()] = true })
	default:
		L.RaiseError("%s: argument %d must be a table of options, got %s", form, at, article(luaType(v)))
	}
	return o
}

func (o *options) get(name string) lua.LValue {
	if o.t == nil {
		return lua.LNil
	}
	delete(o.left, name)
	return o.t.RawGetString(name)
}

func (o *options) str(name string) string {
	switch v := o.get(name).(type) {
	case *lua.LNilType:
		return ""
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return numberText(float64(v))
	default:
		o.r.finding(o.L, "%s: option %s must be a string, got %s", o.form, name, article(luaType(v)))
		return ""
	}
}

func (o *options) num(name string, low, high float64) int {
	v := o.get(name)
	if v == lua.LNil {
		return 0
	}
	n, ok := looseNumber(v)
	if !ok || n < low || n > high || n != float64(int(n)) {
		o.r.finding(o.L, "%s: option %s must be a whole number from %s to %s, got %s", o.form, name, numberText(low), numberText(high), showValue(v))
		return 0
	}
	return int(n)
}

func (o *options) flag(name string) bool {
	v := o.get(name)
	if v == lua.LNil {
		return false
	}
	b, ok := looseBool(v)
	if !ok {
		o.r.finding(o.L, "%s: option %s must be a boolean, got %s", o.form, name, showValue(v))
	}
	return b
}

// done finds the options that nobody asked for.
func (o *options) done(known ...string) {
	for _, name := range sortedKeys(o.left) {
		o.r.finding(o.L, "%s has no option %q%s", o.form, name, didYouMean(name, known))
	}
}

// topSocket is socket("udp:127.0.0.1:5060", {...}).
func topSocket(L *lua.LState) int {
	r := topOnly(L, "socket")
	listen, ok := L.Get(1).(lua.LString)
	if !ok {
		L.RaiseError("socket takes \"proto:host:port\", got %s", article(luaType(L.Get(1))))
	}
	o := newOptions(L, r, "socket", 2)
	s := SocketDecl{Listen: string(listen), Tag: o.str("tag"), As: o.str("as"), TOS: o.num("tos", 0, 255),
		ReusePort: o.num("reuse_port", 0, 64), Workers: o.num("use_workers", 0, 1024), AcceptSub: o.flag("accept_subdomain"),
		Anycast: o.flag("anycast"), Frag: o.flag("frag"), Where: position(L)}
	s.ProxyProtocol = o.proxyProtocol()
	o.done("tag", "as", "tos", "reuse_port", "use_workers", "accept_subdomain", "anycast", "frag", "proxy_protocol", "allow_proxy_protocol", "send_proxy_protocol")
	proto, rest, found := strings.Cut(s.Listen, ":")
	if _, known := api.ParseProto(proto); !found || !known || rest == "" {
		r.finding(L, "socket %q must be \"proto:host[:port]\" with udp, tcp, tls, ws or wss", s.Listen)
	}
	r.st.decl.sockets = append(r.st.decl.sockets, s)
	return 0
}

func (o *options) proxyProtocol() string {
	allow, send := o.flag("allow_proxy_protocol"), o.flag("send_proxy_protocol")
	switch v := o.get("proxy_protocol").(type) {
	case *lua.LNilType:
	case lua.LString:
		allow, send = allow || v == "allow" || v == "both", send || v == "send" || v == "both"
		if v != "allow" && v != "send" && v != "both" {
			o.r.finding(o.L, "socket: option proxy_protocol must be true, \"allow\", \"send\" or \"both\", got %q", clip(string(v)))
		}
	default:
		b, ok := looseBool(v)
		if !ok {
			o.r.finding(o.L, "socket: option proxy_protocol must be true, \"allow\", \"send\" or \"both\"")
		}
		allow, send = allow || b, send || b
	}
	switch {
	case allow && send:
		return "both"
	case allow:
		return "allow"
	case send:
		return "send"
	}
	return ""
}

// topBond is bond("name", {members}, {strict = true}).
func topBond(L *lua.LState) int {
	r := topOnly(L, "bond")
	name, ok := L.Get(1).(lua.LString)
	list, ok2 := L.Get(2).(*lua.LTable)
	if !ok || !ok2 {
		L.RaiseError("bond takes a name and a list of sockets: bond(\"out\", { \"udp:127.0.0.1:5060\" })")
	}
	o := newOptions(L, r, "bond", 3)
	b := BondDecl{Name: string(name), Strict: o.flag("strict"), Where: position(L)}
	o.done("strict")
	for i := 1; i <= list.Len(); i++ {
		m, ok := list.RawGetInt(i).(lua.LString)
		if !ok {
			r.finding(L, "bond %q: member %d must be a string, got %s", b.Name, i, article(luaType(list.RawGetInt(i))))
			continue
		}
		b.Members = append(b.Members, string(m))
	}
	if list.Len() == 0 {
		r.finding(L, "bond %q has no members", b.Name)
	}
	for _, other := range r.st.decl.bonds {
		if other.Name == b.Name {
			r.finding(L, "bond %q was declared at %s already", b.Name, other.Where)
		}
	}
	r.st.decl.bonds = append(r.st.decl.bonds, b)
	return 0
}

// topAlias is alias "udp:example.com:5060".
func topAlias(L *lua.LState) int {
	r := topOnly(L, "alias")
	name, ok := L.Get(1).(lua.LString)
	if !ok || name == "" {
		L.RaiseError("alias takes \"[proto:]host[:port]\", got %s", article(luaType(L.Get(1))))
	}
	o := newOptions(L, r, "alias", 2)
	a := AliasDecl{Name: string(name), AcceptSub: o.flag("accept_subdomain"), Where: position(L)}
	o.done("accept_subdomain")
	r.st.decl.aliases = append(r.st.decl.aliases, a)
	return 0
}

// topTimer is timer_route(name, seconds, fn).
func topTimer(L *lua.LState) int {
	r := topOnly(L, "timer_route")
	name, ok := L.Get(1).(lua.LString)
	secs, ok2 := looseNumber(L.Get(2))
	fn, ok3 := L.Get(3).(*lua.LFunction)
	if !ok || !ok2 || !ok3 {
		L.RaiseError("timer_route takes a name, seconds and a function: timer_route(\"tick\", 60, function(msg) ... end)")
	}
	if secs < 1 || secs != float64(int(secs)) || secs > 1<<31 {
		L.RaiseError("timer_route %q: seconds must be a whole number from 1, got %s", string(name), numberText(secs))
	}
	for _, t := range r.st.decl.timers {
		if t.Name == string(name) {
			L.RaiseError("timer_route %q was declared at %s already", string(name), t.Where)
		}
	}
	h := r.st.bind("timer_route."+string(name), fn)
	r.st.decl.timers = append(r.st.decl.timers, TimerDecl{Name: string(name), Seconds: int(secs), Handler: h, Where: position(L)})
	return 0
}

// routeTable makes one of route, branch_route, ...: strict when read, checked
// when written.
func (st *State) routeTable(name string, kind api.Route) *lua.LTable {
	t, mt := st.base.NewTable(), st.base.NewTable()
	mt.RawSetString("__index", st.base.NewFunction(func(L *lua.LState) int {
		if runOf(L).top {
			L.Push(lua.LNil)
			return 1
		}
		var known []string
		t.ForEach(func(k, _ lua.LValue) { known = append(known, k.String()) })
		L.RaiseError("the script has no %s.%s%s", name, L.Get(2).String(), didYouMean(L.Get(2).String(), known))
		return 0
	}))
	mt.RawSetString("__newindex", st.base.NewFunction(func(L *lua.LState) int {
		r := runOf(L)
		key := L.Get(2).String()
		if !r.top {
			L.RaiseError("%s.%s cannot be declared in a handler: routes belong to the top level", name, key)
		}
		if _, ok := L.Get(3).(*lua.LFunction); !ok {
			L.RaiseError("%s.%s must be a function, got %s", name, key, article(luaType(L.Get(3))))
		}
		if onlyMain(kind) && key != "main" {
			L.RaiseError("%s has one route, %s.main; %q is not it", name, name, key)
		}
		t.RawSetString(key, L.Get(3))
		return 0
	}))
	mt.RawSetString("__metatable", lua.LString(name))
	t.Metatable = mt
	return t
}

func onlyMain(kind api.Route) bool {
	return kind == api.RouteLocal || kind == api.RouteError || kind == api.RouteStartup
}

// collectRoutes gives every declared route its handler, after the top level.
func (st *State) collectRoutes() {
	for _, rt := range routeTables {
		t, ok := st.base.G.Global.RawGetString(rt.name).(*lua.LTable)
		if !ok {
			continue
		}
		t.ForEach(func(k, v lua.LValue) {
			if fn, ok := v.(*lua.LFunction); ok {
				full := rt.name + "." + k.String()
				st.bind(full, fn)
				st.decl.routes = append(st.decl.routes, full)
			}
		})
	}
	sort.Strings(st.decl.routes)
	p := st.prog
	st.fnMain, st.fnReply = p.declaredRoute("route.main"), p.declaredRoute("onreply_route.main")
	st.fnLocal, st.fnError = p.declaredRoute("local_route.main"), p.declaredRoute("error_route.main")
	for _, w := range st.decl.pending {
		if _, err := p.route(w.kind, w.name); err != nil {
			f := Finding{Text: w.what + " " + err.Error()}
			f.File, f.Line, _ = splitPosition(w.place + ": ")
			p.find(f)
		}
	}
}
