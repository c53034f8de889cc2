package luabind_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is the engine of the tests: it starts goroutines, keeps the log, and
// runs what is posted when a test asks.
type env struct {
	t  testing.TB
	wg sync.WaitGroup

	mu     sync.Mutex
	logs   []record
	posted []func()
	flags  map[string]int
	events []string
	park   func(fn func()) // what Park does; nil calls fn
	now    time.Time
}

type record struct {
	level  api.Level
	text   string
	fields map[string]any
}

func (e *env) Go(_ string, fn func()) { e.wg.Go(fn) }
func (e *env) Log(level api.Level, msg string, fields ...api.Field) {
	r := record{level, msg, map[string]any{}}
	for _, f := range fields {
		r.fields[f.Key] = f.Value
	}
	e.mu.Lock()
	e.logs = append(e.logs, r)
	e.mu.Unlock()
}
func (e *env) Workers() int { return 2 }
func (e *env) Post(_ int, fn func()) {
	e.mu.Lock()
	e.posted = append(e.posted, fn)
	e.mu.Unlock()
}
func (e *env) Resolver() api.Resolver { return nil }
func (e *env) Now() time.Time {
	if e.now.IsZero() {
		return time.Now()
	}
	return e.now
}
func (e *env) RaiseEvent(name string, _ map[string]any) { e.events = append(e.events, name) }
func (e *env) Sockets() []*api.Socket                   { return nil }
func (e *env) FlagBit(name string, branch bool) (int, error) {
	key := fmt.Sprint(name, branch)
	if _, ok := e.flags[key]; !ok {
		if len(e.flags) == 64 {
			return 0, errors.New("64 flags are in use")
		}
		e.flags[key] = len(e.flags)
	}
	return e.flags[key], nil
}

// OnPulse beats every 5 ms until the test ends.
func (e *env) OnPulse(fn func(time.Time) bool) (rouse func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	e.t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		t := time.NewTicker(5 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-t.C:
				fn(now)
			}
		}
	}()
	return func() {}
}

func (e *env) ReadFile(path string) ([]byte, error) { return nil, fmt.Errorf("no file %s", path) }

// runPosted runs what was posted so far.
func (e *env) runPosted() {
	e.mu.Lock()
	todo := e.posted
	e.posted = nil
	e.mu.Unlock()
	for _, fn := range todo {
		fn()
	}
}

func (e *env) texts() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, r := range e.logs {
		fmt.Fprintf(&b, "%d %s %v\n", r.level, r.text, r.fields)
	}
	return b.String()
}

// host is a worker. What it does not implement is not called by the tests.
type host struct {
	api.Host
	*env
	worker int
}

func (h host) Worker() int                           { return h.worker }
func (h host) Cancelled(c *api.Ctx) bool             { return c.Tx != nil && c.Tx.Cancelled() }
func (h host) Workers() int                          { return 2 }
func (h host) Go(name string, fn func())             { h.env.Go(name, fn) }
func (h host) Post(w int, fn func())                 { h.env.Post(w, fn) }
func (h host) Now() time.Time                        { return h.env.Now() }
func (h host) Resolver() api.Resolver                { return nil }
func (h host) Sockets() []*api.Socket                { return nil }
func (h host) RaiseEvent(n string, p map[string]any) { h.env.RaiseEvent(n, p) }
func (h host) FlagBit(n string, b bool) (int, error) { return h.env.FlagBit(n, b) }
func (h host) FindSocket(s string) (*api.Socket, string, error) {
	if b, ok := strings.CutPrefix(s, "bond:"); ok {
		return nil, b, nil
	}
	return nil, "", fmt.Errorf("no socket %q", s)
}
func (h host) Log(c *api.Ctx, level api.Level, msg string, f ...api.Field) {
	if p, ok := c.Data.(interface {
		Position() string
		GenerationID() uint64
	}); ok {
		f = append(f, api.Field{Key: "at", Value: p.Position()}, api.Field{Key: "generation", Value: p.GenerationID()})
	}
	h.env.Log(level, msg, f...)
}
func (h host) Park(c *api.Ctx, fn func()) {
	c.Hooks.Parking()
	if h.env.park != nil {
		h.env.park(fn)
	} else {
		fn()
	}
	c.Hooks.Resumed()
}

const invite = "INVITE sip:bob@example.com SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1;rport\r\n" +
	"Max-Forwards: 70\r\n" +
	"f: \"Alice A.\" <sip:alice@example.org>;tag=a-tag\r\n" +
	"To: <sip:bob@example.com>\r\n" +
	"Call-ID: call-1@192.0.2.10\r\n" +
	"CSeq: 4711 INVITE\r\n" +
	"X-Foo: one\r\n" +
	"X-Foo: two\r\n" +
	"Content-Type: application/sdp\r\n" +
	"Content-Length: 5\r\n\r\nv=0\r\n"

const ok200 = "SIP/2.0 200 OK\r\n" +
	"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKp1\r\n" +
	"From: <sip:alice@example.org>;tag=a-tag\r\n" +
	"To: <sip:bob@example.com>;tag=b-tag\r\n" +
	"Call-ID: call-1@192.0.2.10\r\n" +
	"CSeq: 4711 INVITE\r\n" +
	"Content-Length: 0\r\n\r\n"

func parse(t testing.TB, text string) *sip.Message {
	t.Helper()
	m := &sip.Message{}
	lim := sip.DefaultLimits()
	if err := m.ParseDatagram([]byte(text), &lim); err != nil {
		t.Fatal(err)
	}
	return m
}

func draft(t testing.TB, text string) *sip.Draft {
	d := &sip.Draft{}
	d.Init(parse(t, text))
	return d
}

// ctx makes a context for a handler; without a message for kinds that have
// none.
func ctx(t testing.TB, e *env, kind api.Route) *api.Ctx {
	c := &api.Ctx{Kind: kind, Host: host{env: e}, Branch: -1, State: &api.State{}, Target: &api.Target{Q: -1}}
	switch {
	case kind == api.RouteReply:
		c.Msg, c.Request = draft(t, ok200), draft(t, invite)
	case kind&api.RouteMessage != 0:
		c.Msg = draft(t, invite)
	}
	return c
}

func newEnv(t testing.TB) *env {
	return &env{t: t, flags: map[string]int{}}
}

func options(e *env, files map[string]string, mods []*modules.Module) luabind.Options {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return luabind.Options{Path: "main.lua", FS: fsys, Modules: mods, Workers: 2, Env: e}
}

// load loads a script of one file and ends it with the test.
func load(t testing.TB, script string) (*luabind.Program, *env) {
	t.Helper()
	e := newEnv(t)
	p, err := luabind.Load(options(e, map[string]string{"main.lua": script}, fakeModules()))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	p.Commit()
	t.Cleanup(func() {
		p.Shutdown()
		p.Release()
		e.wg.Wait()
	})
	return p, e
}

// loadError loads a script that must be refused.
func loadError(t testing.TB, files map[string]string) *luabind.Error {
	t.Helper()
	e := newEnv(t)
	p, err := luabind.Load(options(e, files, fakeModules()))
	if err == nil {
		p.Abort()
		e.wg.Wait()
		t.Errorf("the script was loaded: %q", files["main.lua"])
		return &luabind.Error{}
	}
	e.wg.Wait()
	var le *luabind.Error
	if !errors.As(err, &le) {
		t.Fatalf("error is a %T: %v", err, err)
	}
	return le
}

// request runs route.main of a script on an INVITE and gives the log.
func request(t testing.TB, script string) (api.Verdict, string) {
	t.Helper()
	p, e := load(t, script)
	v := p.Worker(0).Request(ctx(t, e, api.RouteRequest))
	return v, e.texts()
}

// passes runs route.main and expects it to end without an error.
func passes(t testing.TB, body string) {
	t.Helper()
	v, logs := request(t, wrap(body))
	if v != api.VerdictNone {
		t.Errorf("verdict %d, log:\n%s", v, logs)
	}
}

// raises runs route.main and expects an error whose text holds want.
func raises(t testing.TB, body, want string) {
	t.Helper()
	v, logs := request(t, wrap(body))
	if v != api.VerdictError || !strings.Contains(logs, want) {
		t.Errorf("verdict %d, want an error with %q, log:\n%s", v, want, logs)
	}
}

func wrap(body string) string {
	return "local fake = loadmodule \"fake\"\nfunction route.main(msg)\n" + body + "\nend\n"
}

// fakeConfig is the configuration of the test's module.
type fakeConfig struct {
	modules.NoLifecycle
	params modules.Params
}

func fakeModules() []*modules.Module {
	type cfg = *fakeConfig
	msgText := func(get func(c *api.Ctx) []byte) func(cfg, *api.Ctx) modules.Value {
		return func(_ cfg, c *api.Ctx) modules.Value { return modules.BytesOrNil(get(c)) }
	}
	fake := &modules.Module{Name: "fake",
		Params: []modules.Param{
			{Name: "timeout", Kind: modules.KindNumber, Default: modules.Int(30), Min: 1, Max: 100},
			{Name: "enabled", Kind: modules.KindBool},
			{Name: "sets", Kind: modules.KindString, Multi: true},
			{Name: "on_done", Kind: modules.KindFunc, Route: api.RouteRequest},
			{Name: "format", Kind: modules.KindFunc},
			{Name: "old_one", Kind: modules.KindString, Ignored: "there is nothing to do"},
		},
		New: func(_ modules.GenerationHost, p modules.Params) (modules.Config, error) {
			return &fakeConfig{params: p}, nil
		},
		Functions: []modules.Function{
			modules.F0(modules.Spec{Name: "yes"}, func(cfg, *api.Ctx) modules.Ret { return modules.Yes() }),
			modules.F0(modules.Spec{Name: "push"}, func(cfg, *api.Ctx) modules.Ret { return modules.YesCode(2, "push_sent") }),
			modules.F0(modules.Spec{Name: "no"}, func(cfg, *api.Ctx) modules.Ret { return modules.No(-2, "not_found", "there is none") }),
			modules.F0(modules.Spec{Name: "noextra"}, func(cfg, *api.Ctx) modules.Ret {
				r := modules.No(-3, "late", "too late")
				r.Extra = map[string]modules.Value{"delay": modules.Int(7)}
				return r
			}),
			modules.F2(modules.Spec{Name: "reply", Routes: api.RouteRequest | api.RouteFailure}, modules.IntArg("code", "").With(func(a *modules.Arg) { a.Min, a.Max = 100, 699 }),
				modules.OptStrArg("reason", "", ""), func(_ cfg, c *api.Ctx, code int, reason string) modules.Ret {
					c.Host.Log(c, api.LevelInfo, fmt.Sprintf("reply %d %s", code, reason))
					return modules.Yes()
				}),
			modules.F1(modules.Spec{Name: "mode"}, modules.WordArg("mode", "", "fast", "slow"), func(_ cfg, _ *api.Ctx, m string) modules.Ret { return modules.Output(modules.String(m)) }),
			modules.F1(modules.Spec{Name: "flags"}, modules.FlagsArg("flags", "", "no-auto-100", "reason"), func(_ cfg, _ *api.Ctx, m string) modules.Ret { return modules.Output(modules.String(m)) }),
			modules.F1(modules.Spec{Name: "echo", TopLevel: true}, modules.AnyArg("value", ""), func(_ cfg, _ *api.Ctx, v modules.Value) modules.Ret { return modules.Output(v) }),
			modules.F0(modules.Spec{Name: "fetch", Outputs: []modules.OutputDoc{{Name: "value"}}}, func(cfg, *api.Ctx) modules.Ret { return modules.NoOutput(-1, "empty", "nothing there") }),
			modules.F0(modules.Spec{Name: "crash"}, func(cfg, *api.Ctx) modules.Ret { panic("broken on purpose") }),
			modules.F1(modules.Spec{Name: "match"}, modules.PatternArg("pattern", ""), func(_ cfg, _ *api.Ctx, p string) modules.Ret { return modules.Yes() }),
			modules.F1(modules.Spec{Name: "arm", Routes: api.RouteMessage}, modules.RouteArg("route", api.RouteFailure, ""), func(_ cfg, c *api.Ctx, h api.Handler) modules.Ret {
				c.State.SetSlot(armKey, h)
				return modules.Yes()
			}),
			modules.F1(modules.Spec{Name: "run", Routes: api.RouteMessage}, modules.RouteArg("route", api.RouteBranch, ""), func(_ cfg, c *api.Ctx, h api.Handler) modules.Ret {
				c2 := *c
				c2.Kind, c2.Route, c2.Hooks, c2.Data = api.RouteBranch, "", nil, nil
				return modules.YesIf(c.Tx.(scriptTx).s.Run(&c2, h) == api.VerdictNone, "branch", "the branch failed")
			}),
			modules.F0(modules.Spec{Name: "overwall", Blocks: true}, func(_ cfg, c *api.Ctx) modules.Ret {
				c.Host.Park(c, func() {})
				return modules.WallOver(30 * time.Second)
			}),
			modules.F0(modules.Spec{Name: "wait", Blocks: true}, func(_ cfg, c *api.Ctx) modules.Ret { c.Host.Park(c, func() {}); return modules.Yes() }),
			modules.F0(modules.Spec{Name: "timeout", Outputs: []modules.OutputDoc{{Name: "seconds"}}}, func(k cfg, _ *api.Ctx) modules.Ret { return modules.Output(k.params["timeout"]) }),
			modules.F0(modules.Spec{Name: "sets"}, func(k cfg, _ *api.Ctx) modules.Ret {
				return modules.Output(modules.String(strings.Join(k.params.Strings("sets"), "+")))
			}),
		},
		Fields: []modules.Field{
			modules.SetBy(modules.FieldOf("ru", "$ru", modules.KindString, "", msgText(func(c *api.Ctx) []byte { return c.Msg.RequestURI() })),
				func(_ cfg, c *api.Ctx, v modules.Value) error { return c.Msg.SetRequestURI([]byte(v.Text())) }),
			modules.FieldOf("rm", "$rm", modules.KindString, "", msgText(func(c *api.Ctx) []byte { return c.Msg.MethodName() })),
			modules.FieldOf("ci", "$ci", modules.KindString, "", msgText(func(c *api.Ctx) []byte { return c.Msg.CallID() })),
			modules.FieldOf("ml", "$ml", modules.KindNumber, "", func(_ cfg, c *api.Ctx) modules.Value { return modules.Int(len(c.Msg.Message().Raw())) }),
			modules.FieldOf("crash", "", modules.KindString, "", func(_ cfg, c *api.Ctx) modules.Value { panic("field") }),
			modules.SetKeyBy(modules.KeyedBy(modules.Field{Name: "dlg_val", Kind: modules.KindAny, Routes: api.RouteAll}, func(_ cfg, c *api.Ctx, k modules.Value) modules.Value {
				if vals := c.State.AVP("dlg:" + k.Text()); len(vals) > 0 {
					return modules.String(vals[0].(string))
				}
				return modules.Nil()
			}), func(_ cfg, c *api.Ctx, k, v modules.Value) error {
				c.State.SetAVP("dlg:"+k.Text(), v.Text())
				return nil
			}),
		},
		Vars: []modules.Var{
			{Name: "COUNT", Kind: modules.KindNumber, Get: func(modules.Config, *api.Ctx) modules.Value { return modules.Int(42) }},
			{Name: "stat", GetKey: func(_ modules.Config, _ *api.Ctx, k modules.Value) modules.Value {
				return modules.String("stat " + k.Text())
			}},
		},
	}
	tr := &modules.Module{Name: "tr", Builtin: true, Functions: []modules.Function{
		modules.F1(modules.Spec{Name: "s.len", TopLevel: true, Outputs: []modules.OutputDoc{{Name: "length"}}}, modules.StrArg("v", ""), func(_ modules.Config, _ *api.Ctx, s string) modules.Ret { return modules.Output(modules.Int(len(s))) }),
		modules.F3(modules.Spec{Name: "s.select", TopLevel: true, Outputs: []modules.OutputDoc{{Name: "part"}}}, modules.StrArg("v", ""), modules.IntArg("index", ""), modules.StrArg("sep", ""),
			func(_ modules.Config, _ *api.Ctx, s string, i int, sep string) modules.Ret {
				parts := strings.Split(s, sep)
				if i >= len(parts) {
					return modules.Output(modules.Nil())
				}
				return modules.Output(modules.String(parts[i]))
			}),
		modules.F2(modules.Spec{Name: "ip.matches", TopLevel: true}, modules.StrArg("v", ""), modules.StrArg("net", ""), func(_ modules.Config, _ *api.Ctx, a, b string) modules.Ret {
			return modules.YesIf(a == b, "other", "other")
		}),
	}}
	core := &modules.Module{Name: "core", Builtin: true, Functions: []modules.Function{
		modules.F1(modules.Spec{Name: "is_myself"}, modules.StrArg("host", ""), func(_ modules.Config, _ *api.Ctx, h string) modules.Ret {
			return modules.YesIf(h == "example.com", "foreign", "not ours")
		}),
		modules.F1(modules.Spec{Name: "append_msg_branch", Routes: api.RouteRequest}, modules.StrArg("uri", ""), func(_ modules.Config, c *api.Ctx, u string) modules.Ret {
			c.Extra = append(c.Extra, api.Target{URI: u, Q: -1})
			return modules.Yes()
		}),
	}}
	return []*modules.Module{core, tr, fake, {Name: "needy", Needs: []string{"fake"}}}
}

// armKey is where fake.arm puts its handler.
var armKey = new(int)

// scriptTx lets fake.run reach the script.
type scriptTx struct {
	api.Transaction
	s api.Script
}

func (scriptTx) Cancelled() bool { return false }
