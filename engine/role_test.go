package engine_test

import (
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
)

// freeAfter is when a reader that sits in a handler is relieved at the latest:
// a slow pulse sees the hold, a fast one ends it.
const freeAfter = 25 * time.Millisecond

// startIdle is start and a wait until no token is held: what comes next is
// handled by the reader itself.
func startIdle(t *testing.T, o enginetest.Options, request enginetest.Route) *enginetest.Rig {
	t.Helper()
	r := start(t, o, request)
	synctest.Wait()
	return r
}

// TestPulseTakesTheRole: a handler that sits in its token without parking
// loses the socket to another goroutine; other workers' calls go on.
func TestPulseTakesTheRole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startIdle(t, enginetest.Options{Workers: 2}, func(c *api.Ctx) api.Verdict {
			if c.Host.Worker() == 0 {
				time.Sleep(time.Second)
			}
			return enginetest.Answer(200)(c)
		})
		stuck, other := r.Agent(), r.Agent()
		began := time.Now()
		stuck.Call(r.Pin("stuck", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		for _, id := range []string{"other-1", "other-2"} {
			other.Call(r.Pin(id, 1), "sip:10.0.0.1").Send("OPTIONS", 1)
			other.Expect("200")
			if d := time.Since(began); d > freeAfter {
				t.Errorf("%s was answered after %s; the reader should be free by the next pulse", id, d)
			}
		}
		stuck.Expect("200")
		if d := time.Since(began); d != time.Second {
			t.Errorf("the stuck handler ended after %s", d)
		}
	})
}

// TestBatchGoesOn: what came in one batch with a message whose handler sits is
// delivered by the successor, once and in order.
func TestBatchGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		r := startIdle(t, enginetest.Options{Workers: 2}, func(c *api.Ctx) api.Verdict {
			switch c.CallIDString() {
			case "gate":
				<-gate
			case "stuck":
				time.Sleep(time.Second)
			}
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		began := time.Now()
		a.Call(r.Pin("gate", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait() // the reader is inside; what follows comes as one batch
		r.Pin("stuck", 0)
		a.Call("stuck", "sip:10.0.0.1").Send("OPTIONS", 1)
		for n := range 10 {
			a.Call(r.Pin("next", 1), "sip:10.0.0.1").Send("OPTIONS", n+1)
		}
		open()
		a.Expect("200")
		for n := range 10 {
			if cseq, err := a.Expect("200").CSeq(); err != nil || cseq.Num != uint32(n+1) {
				t.Errorf("reply %d has CSeq %d (%v)", n+1, cseq.Num, err)
			}
		}
		if d := time.Since(began); d > freeAfter {
			t.Errorf("the rest of the batch waited %s", d)
		}
		a.Expect("200")
		a.Quiet(time.Second)
	})
}

// inReader tells whether the calling goroutine is one that reads a socket.
func inReader() bool { return strings.Contains(string(debug.Stack()), "engine.(*Engine).read(") }

// TestDrainLimit: a reader that finds others' work in the inbox does 64 events,
// or a millisecond of them, and goes back to its socket.
func TestDrainLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		each    time.Duration
		atMost  int
		waiting time.Duration
	}{
		"events": {0, 65, 0},
		"time":   {300 * time.Microsecond, 5, 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const posts = 500
				gate := make(chan struct{})
				open := sync.OnceFunc(func() { close(gate) })
				defer open() // also when the test fails
				byReader, done := 0, 0
				r := startIdle(t, enginetest.Options{Workers: 2}, func(c *api.Ctx) api.Verdict {
					if c.CallIDString() == "gate" {
						<-gate
					}
					return enginetest.Answer(200)(c)
				})
				a, b := r.Agent(), r.Agent()
				a.Call(r.Pin("gate", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
				synctest.Wait()
				for range posts {
					r.Engine.Post(0, func() {
						if done++; inReader() {
							byReader++
						}
						time.Sleep(tt.each)
					})
				}
				b.Call(r.Pin("other", 1), "sip:10.0.0.1").Send("OPTIONS", 1)
				opened := time.Now()
				open()
				b.Expect("200")
				if d := time.Since(opened); d > tt.waiting {
					t.Errorf("the reader's next message waited %s", d)
				}
				a.Expect("200")
				time.Sleep(time.Second)
				synctest.Wait()
				if done != posts || byReader == 0 || byReader > tt.atMost {
					t.Errorf("the reader did %d of %d posts (%d done), want 1 to %d", byReader, posts, done, tt.atMost)
				}
			})
		})
	}
}

// TestOverloadByBacklog: many full batches in a row mean that the kernel holds
// more than we read. New requests get 503, those in a dialog and what ends
// calls do not; when the burst is over, or when the reader has fallen silent
// behind a full batch, new ones are served again.
func TestOverloadByBacklog(t *testing.T) {
	const burst, inDialog = 32 * 20, 32 * 18
	bubble(t, func(t *testing.T) {
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		r := startIdle(t, enginetest.Options{Workers: 3}, func(c *api.Ctx) api.Verdict {
			if c.CallIDString() == "gate" {
				<-gate
			}
			return enginetest.Answer(200)(c)
		})
		a, b := r.Agent(), r.Agent()
		a.Call(r.Pin("gate", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		for n := range burst {
			c := a.Call("burst", "sip:10.0.0.1")
			if n == inDialog {
				c.ToTag = "there"
			}
			c.Send("OPTIONS", n+1)
		}
		open()
		a.Expect("200")
		served, refused := 0, 0
		for range burst {
			m := a.Receive(enginetest.Patience)
			if m == nil {
				t.Fatal("a reply is missing")
			}
			cseq, err := m.CSeq()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case m.StatusCode() == 503 && m.Find([]byte("Retry-After")) == nil:
				t.Fatalf("503 without Retry-After:\n%s", m.Raw())
			case m.StatusCode() == 503 && cseq.Num == inDialog+1:
				t.Errorf("a request in a dialog was refused")
			case m.StatusCode() == 503:
				refused++
			default:
				served++
			}
		}
		// The first of the 16 batches is the one with the gate.
		if refused < 32 || served < 32*14 {
			t.Errorf("%d served and %d refused; the mark is 16 full batches", served, refused)
		}
		if n := r.Total(func(c *engine.Counters) uint64 { return c.Overload.Load() }); n != uint64(refused) {
			t.Errorf("counted %d refusals, want %d", n, refused)
		}
		time.Sleep(time.Second)
		b.Call("later", "sip:10.0.0.1").Send("OPTIONS", 1)
		b.Expect("200")
	})
}

// TestSilentReaderIsNotBehind: the last batch of a burst may be a full one.
// Other sockets must not answer 503 for ever because of it.
func TestSilentReaderIsNotBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		r := startIdle(t, enginetest.Options{Listen: []string{"udp:10.0.0.1:5060", "udp:10.0.0.1:5070"}}, func(c *api.Ctx) api.Verdict {
			if c.CallIDString() == "gate" {
				<-gate
			}
			return enginetest.Answer(200)(c)
		})
		a, b := r.Agent(), r.Agent()
		b.Proxy = r.Engine.Sockets()[1].Addr
		a.Call(r.Pin("gate", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		for n := range 32 * 20 {
			a.Call("burst", "sip:10.0.0.1").Send("OPTIONS", n+1)
		}
		open()
		synctest.Wait()
		b.Call("at-once", "sip:10.0.0.1").Send("OPTIONS", 1)
		b.Expect("503")
		time.Sleep(250 * time.Millisecond)
		b.Call("later", "sip:10.0.0.1").Send("OPTIONS", 1)
		b.Expect("200")
	})
}

// TestOverloadByWait: handlers that take long leave the backlog in their worker's
// inbox, where no reader sees it. What has waited there for longer than the mark
// is refused when that has lasted for the hold; requests in a dialog are not.
func TestOverloadByWait(t *testing.T) {
	const sent, inDialog, each = 100, 60, 10 * time.Millisecond
	bubble(t, func(t *testing.T) {
		r := startIdle(t, enginetest.Options{Workers: 2}, func(c *api.Ctx) api.Verdict {
			time.Sleep(each)
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		c := a.Call(r.Pin("slow", 0), "sip:10.0.0.1")
		for n := range sent {
			c.ToTag = ""
			if n == inDialog {
				c.ToTag = "there"
			}
			c.Send("OPTIONS", n+1)
		}
		got := map[string]int{}
		for range sent {
			m := a.Receive(enginetest.Patience)
			if m == nil {
				t.Fatalf("a reply is missing after %v", got)
			}
			cseq, err := m.CSeq()
			if err != nil {
				t.Fatal(err)
			}
			if cseq.Num == inDialog+1 && m.StatusCode() != 200 {
				t.Error("a request in a dialog was refused")
			}
			got[enginetest.Kind(m)]++
		}
		// The first over 200 ms is the 22nd, at 210; the hold of 100 ms ends with the
		// 32nd. Two batches more are read at a pulse, which is after they came.
		if least, most := 31+1, 31+1+4; got["200"] < least || got["200"] > most || got["503"] != sent-got["200"] {
			t.Errorf("got %v, want %d to %d times 200 and else 503", got, least, most)
		}
		time.Sleep(time.Second)
		a.Call(r.Pin("later", 0), "sip:10.0.0.1").Send("OPTIONS", 1)
		a.Expect("200")
	})
}

// TestOverloadByInbox: a worker with more than 1,024 events before it refuses
// new requests until there are fewer.
func TestOverloadByInbox(t *testing.T) {
	const sent, mark = 1500, 1024
	bubble(t, func(t *testing.T) {
		r := startIdle(t, enginetest.Options{Workers: 2}, enginetest.Answer(200))
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		r.Engine.Post(0, func() { <-gate })
		synctest.Wait() // a goroutine of its own sits in it
		a := r.Agent()
		c := a.Call(r.Pin("queued", 0), "sip:10.0.0.1")
		for n := range sent {
			c.Send("OPTIONS", n+1)
			if n%16 == 0 {
				synctest.Wait() // no full batches: it is not the reader that is behind
			}
		}
		synctest.Wait()
		open()
		got := map[string]int{}
		for range sent {
			if m := a.Receive(enginetest.Patience); m != nil {
				got[enginetest.Kind(m)]++
			}
		}
		if want := sent - mark - 1; got["503"] != want || got["200"] != sent-want {
			t.Errorf("got %v, want %d times 503", got, want)
		}
	})
}
