package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
)

// parkFor is a route that waits, on calls whose Call-ID begins with "slow", and
// then goes on with next.
func parkFor(d time.Duration, next enginetest.Route) enginetest.Route {
	return func(c *api.Ctx) api.Verdict {
		if strings.HasPrefix(c.CallIDString(), "slow") {
			c.Host.Park(c, func() { time.Sleep(d) })
		}
		return next(c)
	}
}

// TestParkLetsOthersRun: one worker, one reader; a parked handler holds up
// neither.
func TestParkLetsOthersRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Workers: 1}, parkFor(5*time.Second, enginetest.Answer(200)))
		slow, fast := r.Agent(), r.Agent()
		began := time.Now()
		slow.Call("slow", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		if r.Parked() != 1 {
			t.Fatalf("%d handlers parked, want 1", r.Parked())
		}
		for i := range 20 {
			fast.Call(fmt.Sprint("fast-", i), "sip:10.0.0.1").Send("OPTIONS", 1)
			fast.Expect("200")
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("other calls waited %s", d)
		}
		slow.Expect("200")
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("the parked handler ended after %s, want 5s", d)
		}
		if r.Parked() != 0 {
			t.Errorf("%d handlers parked at the end", r.Parked())
		}
	})
}

// TestParkedCallQueues: later messages of the call wait and keep their order.
func TestParkedCallQueues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen ledger
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			seen.note(c)
			return parkFor(time.Second, enginetest.Answer(200))(c)
		})
		a, b := r.Agent(), r.Agent()
		c, other := a.Call("slow", "sip:10.0.0.1"), b.Call("other", "sip:10.0.0.1")
		began := time.Now()
		for n := range 5 {
			c.Send("MESSAGE", n+1)
			other.Send("MESSAGE", n+1)
			b.Expect("200")
		}
		for n := range 5 {
			cseq, err := a.Expect("200").CSeq()
			if err != nil || cseq.Num != uint32(n+1) {
				t.Errorf("reply %d has CSeq %d (%v)", n+1, cseq.Num, err)
			}
			if d := time.Since(began); d != time.Duration(n+1)*time.Second {
				t.Errorf("reply %d came after %s: each waits for the one before", n+1, d)
			}
		}
		r.Stop()
		if got := seen.calls()["slow"]; !slices.Equal(got, []uint32{1, 2, 3, 4, 5}) {
			t.Errorf("the script saw %v", got)
		}
	})
}

// TestCancelWhileParked: the CANCEL is answered at once, the script then learns
// of it, and the caller gets 487.
func TestCancelWhileParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var outcome api.Outcome
		var cancelled bool
		r := start(t, enginetest.Options{}, func(c *api.Ctx) api.Verdict {
			if c.Msg.Method() != sip.INVITE {
				t.Errorf("%s reached the script", c.Msg.MethodName())
				return api.VerdictNone
			}
			c.Host.Park(c, func() { time.Sleep(3 * time.Second) })
			tx, err := c.Host.Transaction(c)
			if err != nil {
				t.Error(err)
				return api.VerdictError
			}
			cancelled = tx.Cancelled()
			outcome = tx.Relay(c, 0)
			return api.VerdictNone
		})
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("slow", bob)
		began := time.Now()
		c.Send("INVITE", 1)
		alice.Expect("100")
		if d := time.Since(began); d < 200*time.Millisecond || d > 220*time.Millisecond {
			t.Errorf("100 Trying came after %s, want 200ms", d)
		}
		time.Sleep(time.Second)
		sent := time.Now()
		c.Send("CANCEL", 1)
		m := alice.Expect("200")
		if d := time.Since(sent); d != 0 || m.Method() != sip.CANCEL {
			t.Errorf("the CANCEL was answered after %s by a reply to %s", d, m.Method())
		}
		alice.Expect("487")
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("487 came after %s, want 3s, when the script knew", d)
		}
		c.Send("ACK", 1)
		if !cancelled || outcome.OK() || outcome.Name != "cancelled" {
			t.Errorf("the script saw cancelled=%v, relay=%+v", cancelled, outcome)
		}
		bob.Quiet(time.Second)
	})
}

// TestRetransmissionsWhileParked: the script runs once.
func TestRetransmissionsWhileParked(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				runs := 0
				r := start(t, enginetest.Options{}, func(c *api.Ctx) api.Verdict {
					runs++
					return parkFor(2*time.Second, enginetest.Answer(486))(c)
				})
				a := r.Agent()
				c := a.Call("slow", "sip:10.0.0.1")
				for range 3 {
					c.Send(method, 1)
					time.Sleep(500 * time.Millisecond)
				}
				if method == "INVITE" { // at 200 ms, then one for each repetition
					for range 3 {
						a.Expect("100")
					}
				}
				a.Expect("486")
				a.Quiet(time.Second)
				if runs != 1 {
					t.Errorf("the script ran %d times", runs)
				}
			})
		})
	}
}

// TestQueueBounds: behind a parked handler wait 32 messages or 64 KiB; what is
// beyond gets 503, in-dialog or not, and the others are served in order.
func TestQueueBounds(t *testing.T) {
	for name, tt := range map[string]struct {
		size, send, served int
	}{
		"messages": {0, 40, 1 + 32},
		"bytes":    {20 << 10, 6, 1 + 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var seen ledger
				gate := make(chan struct{})
				open := sync.OnceFunc(func() { close(gate) })
				defer open() // also when the test fails
				r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
					seen.note(c)
					c.Host.Park(c, func() { <-gate })
					return enginetest.Answer(200)(c)
				})
				a := r.Agent()
				c := a.Call("slow", "sip:10.0.0.1")
				for n := range tt.send {
					a.Send(c.RequestWithBody("MESSAGE", n+1, strings.Repeat("x", tt.size)))
				}
				for range tt.send - tt.served {
					if m := a.Expect("503"); m.Find([]byte("Retry-After")) == nil {
						t.Errorf("503 without Retry-After:\n%s", m.Raw())
					}
				}
				open()
				for n := range tt.served {
					if cseq, err := a.Expect("200").CSeq(); err != nil || cseq.Num != uint32(n+1) {
						t.Errorf("reply %d has CSeq %d (%v)", n+1, cseq.Num, err)
					}
				}
				a.Quiet(time.Second)
				r.Stop()
				if n := r.Total(func(c *engine.Counters) uint64 { return c.QueueFull.Load() }); n != uint64(tt.send-tt.served) {
					t.Errorf("counted %d refusals, want %d", n, tt.send-tt.served)
				}
			})
		})
	}
}

// TestMaxParked: beyond the bound new requests get 503; requests in a dialog
// and those behind the parked go on.
func TestMaxParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Workers: 1, Net: engine.Net{MaxParked: 3}}, parkFor(time.Second, enginetest.Answer(200)))
		a := r.Agent()
		for i := range 3 {
			a.Call(fmt.Sprint("slow-", i), "sip:10.0.0.1").Send("OPTIONS", 1)
		}
		synctest.Wait()
		a.Call("new", "sip:10.0.0.1").Send("OPTIONS", 1)
		if m := a.Expect("503"); m.Find([]byte("Retry-After")) == nil {
			t.Errorf("503 without Retry-After:\n%s", m.Raw())
		}
		c := a.Call("old", "sip:10.0.0.1")
		c.ToTag = "there"
		c.Send("OPTIONS", 1)
		a.Expect("200")
		for range 3 {
			a.Expect("200")
		}
		a.Call("new-2", "sip:10.0.0.1").Send("OPTIONS", 1)
		a.Expect("200")
	})
}

// TestPanicWhileParked: the token comes back, the request gets 500, and the
// worker, the reader and later messages of the call go on.
func TestPanicWhileParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			if c.CallIDString() == "bad" && c.Msg.Method() == sip.OPTIONS {
				c.Host.Park(c, func() {
					time.Sleep(time.Second)
					panic("out of the blue")
				})
			}
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		bad := a.Call("bad", "sip:10.0.0.1")
		bad.Send("OPTIONS", 1)
		bad.Send("MESSAGE", 2)
		a.Expect("500")
		if m := a.Expect("200"); m.Method() != sip.MESSAGE {
			t.Errorf("got a 200 to %s", m.Method())
		}
		a.Call("good", "sip:10.0.0.1").Send("OPTIONS", 1)
		a.Expect("200")
		if r.Parked() != 0 || !r.Logged("out of the blue") {
			t.Errorf("parked %d, log:\n%s", r.Parked(), r.Log())
		}
	})
}

// TestParkInEveryRoute: a wait in any kind of handler ends, and what came for
// the call meanwhile is served behind it.
func TestParkInEveryRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var order []string
		wait := func(name string, c *api.Ctx) {
			order = append(order, name)
			c.Host.Park(c, func() { time.Sleep(time.Second) })
			order = append(order, name+" done")
		}
		var p *enginetest.Program
		p = enginetest.NewProgram(1, enginetest.Routes{
			Request: func(c *api.Ctx) api.Verdict {
				if c.Msg.Method() != sip.INVITE {
					order = append(order, string(c.Msg.MethodName()))
					return enginetest.Answer(200)(c)
				}
				tx, err := c.Host.Transaction(c)
				if err != nil {
					t.Error(err)
					return api.VerdictError
				}
				tx.Arm(c, api.RouteBranch, p.Handler("branch_route.b", func(c *api.Ctx) api.Verdict { wait("branch", c); return api.VerdictNone }))
				tx.Arm(c, api.RouteFailure, p.Handler("failure_route.f", func(c *api.Ctx) api.Verdict { wait("failure", c); return api.VerdictNone }))
				tx.Relay(c, 0)
				return api.VerdictNone
			},
			Reply: func(c *api.Ctx) api.Verdict { wait("reply", c); return api.VerdictNone },
			Error: func(c *api.Ctx) api.Verdict { wait("error", c); return api.VerdictNone },
		})
		r := enginetest.Start(t, enginetest.Options{Workers: 1}, p)
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("everywhere", bob)
		c.Send("INVITE", 1)
		c.Send("MESSAGE", 2) // behind the branch route
		alice.Expect("100")
		m := bob.Expect("INVITE")
		alice.Expect("200")
		bob.Reply(m, 486)
		bob.Expect("ACK")
		c.Send("MESSAGE", 3) // behind the reply route, and before what that leads to
		alice.Expect("200")
		alice.Expect("486")
		c.Send("ACK", 1)
		alice.Send(strings.Replace(c.Request("MESSAGE", 4), "CSeq: 4 MESSAGE", "CSeq: 4 OPTIONS", 1))
		c.Send("MESSAGE", 5) // behind the error route
		alice.Expect("400")
		alice.Expect("200")
		want := []string{"branch", "branch done", "MESSAGE", "reply", "reply done", "MESSAGE", "failure", "failure done",
			"error", "error done", "MESSAGE"}
		if !slices.Equal(order, want) {
			t.Errorf("handlers ran as\n%q, want\n%q", order, want)
		}
		if r.Parked() != 0 {
			t.Errorf("%d handlers parked at the end", r.Parked())
		}
	})
}

// TestThousandParks: readers, ticks and a thousand handlers that come and go.
// Each worker's counts have no lock but the token.
func TestThousandParks(t *testing.T) {
	const agents, rounds, each = 4, 10, 25
	both(t, func(t *testing.T, o enginetest.Options) {
		var counts [4]struct{ in, out int }
		var together, most atomic.Int64
		o.Workers = 4
		r := start(t, o, func(c *api.Ctx) api.Verdict {
			n := &counts[c.Host.Worker()]
			n.in++
			tx, err := c.Host.Transaction(c)
			if err != nil {
				t.Error(err)
				return api.VerdictError
			}
			c.Host.Park(c, func() {
				if k := together.Add(1); k > most.Load() {
					most.Store(k)
				}
				time.Sleep(20 * time.Millisecond)
				together.Add(-1)
			})
			n.out++
			tx.Reply(c, 200, "", nil)
			return api.VerdictNone
		})
		ended := make(chan struct{})
		for i := range agents {
			a := r.Agent()
			go func() { // ends with the sends below
				defer func() { ended <- struct{}{} }()
				for round := range rounds {
					for k := range each {
						a.Call(fmt.Sprintf("park-%d-%d-%d", i, round, k), "sip:x@"+a.Proxy.String()).Send("OPTIONS", 1)
					}
					for k := range each {
						if m := a.Receive(enginetest.Patience); m == nil || enginetest.Kind(m) != "200" {
							t.Errorf("agent %d round %d: reply %d is missing", i, round, k)
							return
						}
					}
				}
			}()
		}
		for range agents {
			<-ended
		}
		r.Stop()
		in, out := 0, 0
		for _, n := range counts {
			in, out = in+n.in, out+n.out
		}
		if in != agents*rounds*each || out != in {
			t.Errorf("%d handlers began and %d ended, want %d", in, out, agents*rounds*each)
		}
		if n := r.Total(func(c *engine.Counters) uint64 { return c.Parks.Load() }); n != uint64(in) {
			t.Errorf("counted %d parks, want %d", n, in)
		}
		if most.Load() < each/2 {
			t.Errorf("at most %d handlers were parked at once: they do not run side by side", most.Load())
		}
	})
}

// TestJobsLeftByAPark: one tick lets two calls fail; while the first one's
// failure route waits, the second's runs before a later request of its call.
func TestJobsLeftByAPark(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var order []string
		var p *enginetest.Program
		settings := txn.DefaultConfig()
		settings.FrTimeout = time.Second
		p = enginetest.NewProgram(1, enginetest.Routes{Transactions: settings, Request: func(c *api.Ctx) api.Verdict {
			id := c.CallIDString()
			if c.Msg.Method() == sip.MESSAGE {
				order = append(order, "message "+id)
				return enginetest.Answer(200)(c)
			}
			tx, err := c.Host.Transaction(c)
			if err != nil {
				t.Error(err)
				return api.VerdictError
			}
			tx.Arm(c, api.RouteFailure, p.Handler("failure_route.f", func(c *api.Ctx) api.Verdict {
				order = append(order, "failure "+id)
				c.Host.Park(c, func() { time.Sleep(time.Second) })
				return api.VerdictNone
			}))
			tx.Relay(c, 0)
			return api.VerdictNone
		}})
		r := enginetest.Start(t, enginetest.Options{Workers: 1}, p)
		alice, bob := r.Agent(), r.Agent()
		for _, id := range []string{"a", "b"} {
			alice.To(id, bob).Send("INVITE", 1)
			alice.Expect("100")
		}
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		time.Sleep(990 * time.Millisecond)
		r.Engine.Post(0, func() { <-gate })
		time.Sleep(25 * time.Millisecond) // a tick, and one alone, waits in the inbox
		alice.To("a", bob).Send("MESSAGE", 2)
		alice.To("b", bob).Send("MESSAGE", 2)
		synctest.Wait()
		open()
		for range 4 {
			alice.Receive(enginetest.Patience)
		}
		for _, id := range []string{"a", "b"} {
			if i, j := slices.Index(order, "failure "+id), slices.Index(order, "message "+id); i < 0 || j < i {
				t.Errorf("handlers ran as %q", order)
			}
		}
	})
}

// TestCancelWhileQueued: an INVITE that waits behind a parked handler of its
// call can be cancelled: the CANCEL is answered at once, and the script, when it
// comes to the INVITE, relays no more.
func TestCancelWhileQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var outcome api.Outcome
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			if c.Msg.Method() == sip.MESSAGE {
				c.Host.Park(c, func() { time.Sleep(3 * time.Second) })
				return enginetest.Answer(200)(c)
			}
			if !c.Host.Cancelled(c) {
				t.Error("the script is not told of the CANCEL")
			}
			tx, err := c.Host.Transaction(c)
			if err != nil {
				t.Error(err)
				return api.VerdictError
			}
			outcome = tx.Relay(c, 0)
			return api.VerdictNone
		})
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("queued", bob)
		c.Send("MESSAGE", 1)
		synctest.Wait()
		c.Send("INVITE", 2)
		time.Sleep(time.Second)
		alice.Expect("100")
		sent := time.Now()
		c.Send("CANCEL", 2)
		if m := alice.Expect("200"); m.Method() != sip.CANCEL || time.Since(sent) != 0 {
			t.Errorf("a 200 to %s after %s", m.Method(), time.Since(sent))
		}
		if m := alice.Expect("200"); m.Method() != sip.MESSAGE {
			t.Errorf("a 200 to %s", m.Method())
		}
		alice.Expect("487")
		c.Send("ACK", 2)
		if outcome.Name != "cancelled" {
			t.Errorf("relay: %+v", outcome)
		}
		bob.Quiet(time.Second)
	})
}

// TestLocalRouteParks: a request made here waits in local_route; nobody gets a
// 100 Trying for it.
func TestLocalRouteParks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var bob *enginetest.Agent
		r := enginetest.Start(t, enginetest.Options{Workers: 1}, enginetest.NewProgram(1, enginetest.Routes{
			Request: func(c *api.Ctx) api.Verdict {
				err := c.Host.NewRequest(c, &api.NewRequest{Method: "INVITE", RURI: "sip:b@" + bob.Addr.String(),
					From: "<sip:a@h>", To: "<sip:b@h>"})
				if err != nil {
					t.Error(err)
				}
				return enginetest.Answer(200)(c)
			},
			Local: func(c *api.Ctx) api.Verdict {
				c.Host.Park(c, func() { time.Sleep(time.Second) })
				return api.VerdictNone
			},
		}))
		alice := r.Agent()
		bob = r.Agent()
		alice.Call("one", "sip:10.0.0.1").Send("OPTIONS", 1)
		bob.Expect("INVITE")
		alice.Expect("200")
		if r.Logged("not sent") {
			t.Errorf("log:\n%s", r.Log())
		}
	})
}

// TestResponsesBeyondTheQueue: while a reply route waits, 32 further responses
// of the call do too. Of what comes by UDP the rest is as good as lost, since
// who sent it repeats what matters; a stream is not read on meanwhile, and
// nothing of it is lost or overtaken.
func TestResponsesBeyondTheQueue(t *testing.T) {
	const ringing = 100
	for name, tt := range map[string]struct {
		stream bool
		want   int
	}{"udp": {false, 1 + 32}, "tcp": {true, ringing + 1}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var flow api.Flow
				var bob *enginetest.Agent
				gate := make(chan struct{})
				open := sync.OnceFunc(func() { close(gate) })
				defer open() // also when the test fails
				r := enginetest.Start(t, enginetest.Options{Workers: 1}, enginetest.NewProgram(1, enginetest.Routes{
					Request: func(c *api.Ctx) api.Verdict {
						if c.Msg.Method() == sip.OPTIONS {
							flow = c.Source.Flow
							return enginetest.Answer(200)(c)
						}
						c.Target.Flow = flow
						return enginetest.Relay(c)
					},
					Reply: func(c *api.Ctx) api.Verdict {
						c.Host.Park(c, func() { <-gate })
						return api.VerdictNone
					},
				}))
				alice := r.Agent()
				if bob = r.Agent(); tt.stream {
					bob = r.Dial()
				}
				bob.Call("register", "sip:10.0.0.1").Send("OPTIONS", 1)
				bob.Expect("200")
				alice.To("many", bob).Send("INVITE", 1)
				alice.Expect("100")
				invite := bob.Expect("INVITE")
				for n := range ringing {
					bob.Reply(invite, 183, fmt.Sprint("X-Number: ", n))
				}
				bob.Reply(invite, 200)
				bob.Call("behind", "sip:10.0.0.1").Send("OPTIONS", 1)
				synctest.Wait()
				if m := bob.Receive(time.Millisecond); (m == nil) != tt.stream {
					t.Errorf("what came behind was answered: %v", m != nil)
				}
				open()
				if tt.stream {
					bob.Expect("200")
				}
				for n := range tt.want {
					m := alice.Receive(time.Second)
					if m == nil {
						t.Fatalf("reply %d of %d is missing", n, tt.want)
					}
					if got := string(m.Find([]byte("X-Number"))); m.StatusCode() == 183 && got != fmt.Sprint(n) || tt.stream && (m.StatusCode() == 200) != (n == ringing) {
						t.Errorf("reply %d is %d, number %s", n, m.StatusCode(), got)
					}
				}
				alice.Quiet(100 * time.Millisecond)
			})
		})
	}
}

// TestComingBackIsInOrder: a handler whose wait is over gets the token behind
// what came before, and before what came after.
func TestComingBackIsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var order []string
		wait, gate := make(chan struct{}), make(chan struct{})
		over := sync.OnceFunc(func() { close(wait) })
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		defer over()
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			c.Host.Park(c, func() { <-wait })
			order = append(order, "back")
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		a.Call("one", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		note := func(what string) { r.Engine.Post(0, func() { order = append(order, what) }) }
		r.Engine.Post(0, func() { <-gate })
		synctest.Wait()
		note("before")
		over()
		synctest.Wait()
		note("after")
		open()
		a.Expect("200")
		synctest.Wait()
		if want := []string{"before", "back", "after"}; !slices.Equal(order, want) {
			t.Errorf("ran as %q, want %q", order, want)
		}
	})
}
