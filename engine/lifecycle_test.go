package engine_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
)

// TestDrain: what runs may end, new dialogs are refused, and the engine stops
// as soon as nothing is left.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{}, enginetest.Relay)
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("running", bob)
		c.Send("INVITE", 1)
		alice.Expect("100")
		invite := bob.Expect("INVITE")
		bob.Reply(invite, 180)
		alice.Expect("180")
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- r.Drain() }()
		time.Sleep(time.Second)

		alice.To("new", bob).Send("INVITE", 1)
		if m := alice.Expect("503"); m.Find([]byte("Retry-After")) == nil {
			t.Errorf("503 without Retry-After:\n%s", m.Raw())
		}
		old := alice.To("old", bob)
		old.ToTag = "there"
		old.Send("BYE", 7)
		bob.Reply(bob.Expect("BYE"), 200)
		alice.Expect("200")

		select {
		case err := <-done:
			t.Fatalf("the engine ended (%v) with a call under way", err)
		default:
		}
		bob.Reply(invite, 200)
		alice.Expect("200")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 1100*time.Millisecond {
			t.Errorf("drained after %s, want right behind the last call", d)
		}
	})
}

// TestDrainTime: a call that does not end is waited for no longer than that.
func TestDrainTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Net: engine.Net{DrainTime: 8 * time.Second}}, enginetest.Relay)
		alice, bob := r.Agent(), r.Agent()
		alice.To("endless", bob).Send("INVITE", 1)
		bob.Reply(bob.Expect("INVITE"), 180)
		synctest.Wait()
		began := time.Now()
		if err := r.Drain(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d < 8*time.Second || d > 8100*time.Millisecond {
			t.Errorf("drained after %s, want 8s", d)
		}
	})
}

// TestDrainWaitsForParked: a parked handler is not cut off.
func TestDrainWaitsForParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{}, parkFor(4*time.Second, enginetest.Answer(200)))
		a := r.Agent()
		a.Call("slow", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		if err := r.Drain(); err != nil {
			t.Error(err)
		}
		a.Expect("200")
	})
}

// TestStopEndsDrain: a second signal ends the wait at once.
func TestStopEndsDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{}, enginetest.Relay)
		alice, bob := r.Agent(), r.Agent()
		alice.To("endless", bob).Send("INVITE", 1)
		bob.Expect("INVITE")
		done := make(chan error, 1)
		go func() { done <- r.Drain() }()
		time.Sleep(time.Second)
		began := time.Now()
		r.Engine.Stop()
		if err := <-done; err != nil || time.Since(began) > 50*time.Millisecond {
			t.Errorf("ended with %v after %s", err, time.Since(began))
		}
	})
}

// TestStartup: the startup route runs before anything is received; its error
// or panic refuses the start and leaves nothing behind.
func TestStartup(t *testing.T) {
	for name, tt := range map[string]struct {
		startup func(*api.Ctx) error
		want    string
	}{
		"fine":  {func(*api.Ctx) error { return nil }, ""},
		"error": {func(*api.Ctx) error { return errors.New("no such list") }, "no such list"},
		"panic": {func(*api.Ctx) error { panic("at startup") }, "startup route panicked"},
		"waits": {func(c *api.Ctx) error { c.Host.Park(c, func() { time.Sleep(time.Second) }); return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := enginetest.New(t, enginetest.Options{})
				a := r.Agent()
				a.Call("early", "sip:10.0.0.1").Send("OPTIONS", 1)
				ran := false
				err := r.Go(enginetest.NewProgram(1, enginetest.Routes{Startup: func(c *api.Ctx) error {
					ran = true
					if c.Kind != api.RouteStartup || c.Host.Worker() != 0 {
						t.Errorf("startup runs as %s on worker %d", c.Kind, c.Host.Worker())
					}
					return tt.startup(c)
				}}))
				if !ran {
					t.Error("the startup route did not run")
				}
				if tt.want == "" {
					if err != nil {
						t.Error(err)
					}
					a.Expect("200")
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("started with %v, want an error with %q", err, tt.want)
				}
				a.Quiet(time.Second)
			})
		})
	}
}

// TestBusyPort: a second engine on the same address is refused by name.
func TestBusyPort(t *testing.T) {
	r := start(t, enginetest.Options{Real: true}, nil)
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Bind(engine.Net{Transport: transport.Config{Sockets: []transport.SocketSpec{{Listen: r.Engine.Sockets()[0].Name, Where: "a.lua:3"}}}})
	var bind *transport.BindError
	if !errors.As(err, &bind) || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "a.lua:3") {
		t.Errorf("binding a busy port: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestEvents run on worker 0, later, with their parameters.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got := make(chan any, 1)
		r := enginetest.Start(t, enginetest.Options{}, enginetest.NewProgram(1, enginetest.Routes{
			Events: map[string]func(*api.Ctx, map[string]any){
				"E_TEST": func(c *api.Ctx, params map[string]any) {
					if c.Kind != api.RouteEvent || c.Host.Worker() != 0 {
						t.Errorf("an event runs as %s on worker %d", c.Kind, c.Host.Worker())
					}
					got <- params["x"]
				},
				"E_BAD": func(*api.Ctx, map[string]any) { panic("in an event") },
			}}))
		r.Engine.RaiseEvent("E_NONE", nil)
		r.Engine.RaiseEvent("E_BAD", nil)
		r.Engine.RaiseEvent("E_TEST", map[string]any{"x": "y"})
		if x := <-got; x != "y" {
			t.Errorf("parameter x is %v", x)
		}
	})
}

// TestPanics: a panic in any callback ends that run as an error does; worker
// and reader go on.
func TestPanics(t *testing.T) {
	var p *enginetest.Program
	boom := func(*api.Ctx) api.Verdict { panic("boom") }
	relayWith := func(kind api.Route, name string) enginetest.Route {
		return func(c *api.Ctx) api.Verdict {
			if tx, err := c.Host.Transaction(c); err == nil && kind != 0 {
				tx.Arm(c, kind, p.Handler(name, boom))
			}
			return enginetest.Relay(c)
		}
	}
	for name, tt := range map[string]struct {
		routes  enginetest.Routes
		answer  int // of the callee; 0 is not reached
		want    string
		message func(string) string
	}{
		"request": {routes: enginetest.Routes{Request: boom}, want: "500"},
		"request behind a transaction": {routes: enginetest.Routes{Request: func(c *api.Ctx) api.Verdict {
			if _, err := c.Host.Transaction(c); err != nil {
				t.Error(err)
			}
			panic("boom")
		}}, want: "500"},
		"branch":        {routes: enginetest.Routes{Request: relayWith(api.RouteBranch, "branch_route.b")}, want: ""},
		"failure":       {routes: enginetest.Routes{Request: relayWith(api.RouteFailure, "failure_route.f")}, answer: 486, want: "486"},
		"onreply armed": {routes: enginetest.Routes{Request: relayWith(api.RouteReply, "onreply_route.r")}, answer: 200, want: "200"},
		"onreply main":  {routes: enginetest.Routes{Request: enginetest.Relay, Reply: boom}, answer: 200, want: "200"},
		"error": {routes: enginetest.Routes{Error: boom}, want: "400",
			message: func(m string) string { return strings.Replace(m, "CSeq: 1 MESSAGE", "CSeq: 1 INFO", 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p = enginetest.NewProgram(1, tt.routes)
				r := enginetest.Start(t, enginetest.Options{Workers: 1}, p)
				alice, bob := r.Agent(), r.Agent()
				m := alice.To("boom", bob).Request("MESSAGE", 1)
				if tt.message != nil {
					m = tt.message(m)
				}
				alice.Send(m)
				if tt.answer != 0 {
					bob.Reply(bob.Expect("MESSAGE"), tt.answer)
				}
				if tt.want != "" {
					alice.Expect(tt.want)
				}
				synctest.Wait()
				if n := r.Total(func(c *engine.Counters) uint64 { return c.Panics.Load() }); n != 1 || !r.Logged("boom") {
					t.Errorf("%d panics counted, want 1; log:\n%s", n, r.Log())
				}
				if err := r.Reload(program(2, enginetest.Answer(200))); err != nil {
					t.Fatal(err)
				}
				alice.Call("after", "sip:10.0.0.1").Send("OPTIONS", 1)
				alice.Expect("200")
			})
		})
	}
}

// TestMalformed: a request that does not parse is answered where it can be,
// everything else is dropped; the error route sees it first.
func TestMalformed(t *testing.T) {
	good := "MESSAGE sip:b@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK-m\r\nMax-Forwards: 70\r\nFrom: <sip:a@h>;tag=a\r\n" +
		"To: <sip:b@h>\r\nCall-ID: m\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, tt := range map[string]struct{ send, want string }{
		"method differs":    {with("1 MESSAGE", "1 INFO"), "400"},
		"version":           {with(" SIP/2.0\r\n", " SIP/7.0\r\n"), "505"},
		"body is short":     {with("Content-Length: 0", "Content-Length: 10"), "400"},
		"two lengths":       {with("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 1"), "400"},
		"no Via":            {with("Via: SIP/2.0/UDP {me};branch=z9hG4bK-m\r\n", ""), ""},
		"no Call-ID":        {with("Call-ID: m\r\n", ""), "400"},
		"response":          {strings.Replace(with("1 MESSAGE", "x MESSAGE"), "MESSAGE sip:b@10.0.0.1 SIP/2.0", "SIP/2.0 200 OK", 1), ""},
		"ACK":               {strings.ReplaceAll(with("Content-Length: 0", "Content-Length: 10"), "MESSAGE", "ACK"), ""},
		"garbage":           {"hello there\r\n\r\n", ""},
		"keep-alive":        {"\r\n\r\n", ""},
		"nothing of SIP/2.": {"\x00\x01\x02\xff", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				seen := 0
				r := enginetest.Start(t, enginetest.Options{}, enginetest.NewProgram(1, enginetest.Routes{
					Error: func(c *api.Ctx) api.Verdict {
						if seen++; c.ParseErr == nil || c.Kind != api.RouteError {
							t.Errorf("error route as %s without the reason", c.Kind)
						}
						return api.VerdictNone
					}}))
				a := r.Agent()
				a.Send(strings.Replace(tt.send, "{me}", a.Addr.String(), 1))
				if got := a.Raw(time.Second); (tt.want == "") != (got == "") || !strings.HasPrefix(got, strings.TrimSpace("SIP/2.0 "+tt.want)) && got != "" {
					t.Errorf("want %q, got %q", tt.want, got)
				}
				a.Quiet(time.Second)
				malformed := r.Total(func(c *engine.Counters) uint64 { return c.Malformed.Load() })
				if want := uint64(1); name != "keep-alive" && (seen != 1 || malformed != want) {
					t.Errorf("error route ran %d times, %d malformed counted, want 1", seen, malformed)
				}
			})
		})
	}
}

// TestErrorRouteDecides: it can answer otherwise, or drop.
func TestErrorRouteDecides(t *testing.T) {
	for want, route := range map[string]enginetest.Route{
		"488": enginetest.Answer(488),
		"":    func(c *api.Ctx) api.Verdict { c.Done |= api.ActionDropped; return api.VerdictDrop },
		"400": func(*api.Ctx) api.Verdict { return api.VerdictError },
	} {
		t.Run("answer "+want, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := enginetest.Start(t, enginetest.Options{}, enginetest.NewProgram(1, enginetest.Routes{Error: route}))
				a := r.Agent()
				a.Send(strings.Replace(a.Call("m", "sip:10.0.0.1").Request("MESSAGE", 1), "1 MESSAGE", "1 INFO", 1))
				if want != "" {
					a.Expect(want)
				}
				a.Quiet(time.Second)
			})
		})
	}
}

// TestMalformedOnStream: what spoils the framing is answered, and then the
// connection is closed; what does not, is answered and the connection goes on.
func TestMalformedOnStream(t *testing.T) {
	both(t, func(t *testing.T, o enginetest.Options) {
		r := start(t, o, nil)
		a := r.Dial()
		c := a.Call("stream", "sip:b@"+a.Proxy.String())
		a.Send(strings.Replace(c.Request("MESSAGE", 1), "1 MESSAGE", "1 INFO", 1) + c.Request("MESSAGE", 2))
		got := map[string]bool{enginetest.Kind(a.Receive(enginetest.Patience)): true, enginetest.Kind(a.Receive(enginetest.Patience)): true}
		if !got["400"] || !got["200"] {
			t.Errorf("got %v, want 400 and 200", got)
		}
		a.Send(strings.Replace(c.Request("MESSAGE", 3), "Content-Length: 0", "Content-Length: -1", 1) + c.Request("MESSAGE", 4))
		a.Expect("400")
		a.Closed()
		b := r.Dial()
		b.Send("GET / HTTP/1.1\r\n\r\n")
		b.Closed()
		again := r.Dial()
		again.Call("again", "sip:b@"+a.Proxy.String()).Send("MESSAGE", 1)
		if m := again.Expect("200"); m.Method() != sip.MESSAGE {
			t.Errorf("a reply to %s", m.Method())
		}
	})
}

// TestNoResolver: an engine without a resolver relays to addresses and fails
// on names, without a panic.
func TestNoResolver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var outcome api.Outcome
		r := start(t, enginetest.Options{}, func(c *api.Ctx) api.Verdict {
			tx, err := c.Host.Transaction(c)
			if err != nil {
				return api.VerdictError
			}
			if outcome = tx.Relay(c, 0); !outcome.OK() {
				tx.Reply(c, 478, "", nil)
			}
			return api.VerdictNone
		})
		a := r.Agent()
		a.Call("name", "sip:b@example.com").Send("MESSAGE", 1)
		a.Expect("478")
		if outcome.Name != "unresolved" {
			t.Errorf("relay to a name: %+v", outcome)
		}
	})
}
