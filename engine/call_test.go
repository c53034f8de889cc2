package engine_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
)

// start runs an engine with one route on a wire; the caller is in a bubble.
func start(t *testing.T, o enginetest.Options, request enginetest.Route) *enginetest.Rig {
	t.Helper()
	return enginetest.Start(t, o, program(1, request))
}

func program(id uint64, request enginetest.Route) *enginetest.Program {
	return enginetest.NewProgram(id, enginetest.Routes{Request: request})
}

// bubble runs fn under a stopped clock.
func bubble(t *testing.T, fn func(t *testing.T)) { synctest.Test(t, fn) }

// both runs fn on a wire under a stopped clock, and on sockets.
func both(t *testing.T, fn func(t *testing.T, o enginetest.Options)) {
	t.Run("wire", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fn(t, enginetest.Options{}) })
	})
	t.Run("sockets", func(t *testing.T) { fn(t, enginetest.Options{Real: true}) })
}

// call drives one call from INVITE to the 200 of its BYE.
func call(t *testing.T, alice, bob *enginetest.Agent, id string) {
	t.Helper()
	c := alice.To(id, bob)
	c.Send("INVITE", 1)
	alice.Expect("100")
	invite := bob.Expect("INVITE")
	bob.Reply(invite, 180)
	alice.Expect("180")
	bob.Reply(invite, 200)
	alice.Expect("200")
	c.ToTag = "agent"
	c.Send("ACK", 1)
	bob.Expect("ACK")
	c.Send("BYE", 2)
	bob.Reply(bob.Expect("BYE"), 200)
	alice.Expect("200")
}

func TestCall(t *testing.T) {
	both(t, func(t *testing.T, o enginetest.Options) {
		r := start(t, o, enginetest.Relay)
		call(t, r.Agent(), r.Agent(), "call-1")
		if n := len(r.Captured()); !o.Real && n != 13 {
			t.Errorf("captured %d datagrams, want 13: %v", n, r.Captured())
		}
	})
}

// ledger writes down, per call, the requests in the order the script saw them.
// It has no lock for one worker's calls: the token must be enough.
type ledger struct {
	workers [8]map[string][]uint32
}

func (l *ledger) note(c *api.Ctx) {
	w := c.Host.Worker()
	if l.workers[w] == nil {
		l.workers[w] = map[string][]uint32{}
	}
	cseq, err := c.Msg.CSeq()
	if err != nil {
		panic(err)
	}
	l.workers[w][c.CallIDString()] = append(l.workers[w][c.CallIDString()], cseq.Num)
}

// calls are all calls; one that two workers saw has its entries one after the other.
func (l *ledger) calls() map[string][]uint32 {
	out := map[string][]uint32{}
	for _, w := range l.workers {
		for id, n := range w {
			out[id] = append(out[id], n...)
		}
	}
	return out
}

// TestOrderPerCall sends bursts by many agents to several readers: every call
// is seen, and relayed, in the order it was sent.
func TestOrderPerCall(t *testing.T) {
	const agents, calls, burst = 8, 25, 4
	both(t, func(t *testing.T, o enginetest.Options) {
		o.Workers = 4
		o.Listen = []string{"udp:10.0.0.1:5060", "udp:10.0.0.1:5061", "udp:10.0.0.1:5062"}
		if o.Real {
			o.Listen = []string{"udp:127.0.0.1:0", "udp:127.0.0.1:0", "udp:127.0.0.1:0"}
		}
		var seen ledger
		r := start(t, o, func(c *api.Ctx) api.Verdict {
			seen.note(c)
			return enginetest.Relay(c)
		})
		sink := r.Agent()
		var group sync.WaitGroup
		for i := range agents {
			a := r.Agent()
			a.Proxy = r.Engine.Sockets()[i%len(o.Listen)].Addr
			group.Go(func() {
				for k := range calls {
					c := a.To(fmt.Sprintf("order-%d-%d", i, k), sink)
					for n := range burst {
						c.Send("MESSAGE", n+1)
					}
					for range burst {
						if m := a.Receive(enginetest.Patience); m == nil || enginetest.Kind(m) != "200" {
							t.Errorf("agent %d: a MESSAGE of call %d was not answered 200", i, k)
							return
						}
					}
				}
			})
		}
		relayed := answerAll(t, sink, agents*calls*burst)
		group.Wait()
		r.Stop()
		for name, got := range map[string]map[string][]uint32{"script": seen.calls(), "callee": relayed} {
			if len(got) != agents*calls {
				t.Errorf("the %s saw %d calls, want %d", name, len(got), agents*calls)
			}
			for id, n := range got {
				if !slices.Equal(n, []uint32{1, 2, 3, 4}) {
					t.Errorf("the %s saw call %s as %v", name, id, n)
				}
			}
		}
	})
}

// answerAll answers n requests with 200 and returns their CSeqs by call.
func answerAll(t *testing.T, a *enginetest.Agent, n int) map[string][]uint32 {
	t.Helper()
	out := map[string][]uint32{}
	for range n {
		m := a.Receive(enginetest.Patience)
		if m == nil {
			t.Errorf("a request is missing")
			return out
		}
		cseq, err := m.CSeq()
		if err != nil {
			t.Fatal(err)
		}
		out[string(m.CallID())] = append(out[string(m.CallID())], cseq.Num)
		a.Reply(m, 200)
	}
	return out
}

// TestPost has many goroutines post to all workers: each function runs with its
// worker's token, and those of one goroutine in order.
func TestPost(t *testing.T) {
	const producers, posts, workers = 8, 200, 3
	r := start(t, enginetest.Options{Workers: workers}, nil)
	var last [workers][producers]int
	var done, producing sync.WaitGroup
	for p := range producers {
		done.Add(posts * workers)
		producing.Go(func() {
			for i := range posts {
				for w := range workers {
					r.Engine.Post(w, func() {
						defer done.Done()
						if last[w][p] != i {
							t.Errorf("worker %d ran post %d of producer %d behind %d", w, i, p, last[w][p])
						}
						last[w][p] = i + 1
					})
				}
			}
		})
	}
	producing.Wait()
	done.Wait()
}

// TestPostFromHandler reaches another worker and comes back, holding one token
// at a time.
func TestPostFromHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		got := make(chan int, 2)
		r := start(t, enginetest.Options{Workers: 2}, func(c *api.Ctx) api.Verdict {
			here, h := c.Host.Worker(), c.Host
			h.Post(1-here, func() {
				got <- 1 - here
				h.Post(here, func() { got <- here })
			})
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		a.Call(r.Pin("post", 1), "sip:10.0.0.1").Send("OPTIONS", 1)
		a.Expect("200")
		if x, y := <-got, <-got; x != 0 || y != 1 {
			t.Errorf("posts ran on workers %d and %d, want 0 and 1", x, y)
		}
	})
}

// TestAlias: requests of an aliased Call-ID go to its worker, replies to the
// worker that relayed, whatever the Call-ID says.
func TestAlias(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var requests, replies []int
		var mu sync.Mutex
		add := func(to *[]int, c *api.Ctx) {
			mu.Lock()
			defer mu.Unlock()
			*to = append(*to, c.Host.Worker())
		}
		r := enginetest.Start(t, enginetest.Options{Workers: 5}, enginetest.NewProgram(1, enginetest.Routes{
			Request: func(c *api.Ctx) api.Verdict { add(&requests, c); return enginetest.Relay(c) },
			Reply:   func(c *api.Ctx) api.Verdict { add(&replies, c); return api.VerdictNone },
		}))
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("aliased", bob)
		for w := range 5 {
			r.Engine.Alias(c.ID, w)
			c.Send("MESSAGE", w+1)
			m := bob.Expect("MESSAGE")
			r.Engine.Unalias(c.ID)
			bob.Reply(m, 200)
			alice.Expect("200")
		}
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(requests, want) || !slices.Equal(replies, want) {
			t.Errorf("requests ran on %v, replies on %v, want %v both", requests, replies, want)
		}
		requests = nil
		for n := range 4 {
			c.Send("MESSAGE", 10+n)
			bob.Reply(bob.Expect("MESSAGE"), 200)
			alice.Expect("200")
		}
		if slices.Max(requests) != slices.Min(requests) {
			t.Errorf("without an alias one call ran on workers %v", requests)
		}
	})
}

// TestTimestampsUseTheWorkersClock: the host's clock moves with the bubble's.
func TestTimestampsUseTheWorkersClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var at []time.Time
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			at = append(at, c.Host.Now())
			c.Host.Park(c, func() { time.Sleep(time.Minute) })
			at = append(at, c.Host.Now())
			if c.Msg.Method() != sip.OPTIONS {
				t.Errorf("after the park the message is %s", c.Msg.MethodName())
			}
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		a.Call("clock", "sip:10.0.0.1").Send("OPTIONS", 1)
		time.Sleep(time.Minute)
		a.Expect("200")
		if d := at[1].Sub(at[0]); d != time.Minute {
			t.Errorf("the clock moved by %s over a park of a minute", d)
		}
	})
}
