package engine_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
)

// TestMaxParkedInDialogs: a To tag costs a sender nothing, so requests with one
// are bounded too, by twice as many; an ACK beyond that is dropped.
func TestMaxParkedInDialogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Workers: 1, Net: engine.Net{MaxParked: 3}}, parkFor(time.Second, enginetest.Answer(200)))
		a := r.Agent()
		for i := range 10 {
			c := a.Call(fmt.Sprint("slow-", i), "sip:10.0.0.1")
			c.ToTag = "made-up"
			c.Send([]string{"OPTIONS", "ACK"}[i/9], 1)
		}
		synctest.Wait()
		if n := r.Parked(); n != 6 {
			t.Errorf("%d handlers parked, want 6", n)
		}
		for range 3 {
			a.Expect("503")
		}
		for range 6 {
			a.Expect("200")
		}
	})
}

// TestTryingWhileQueued: an INVITE that waits behind a parked handler of its
// call gets its 100 Trying after 200 ms too (RFC 3261 §17.2.1).
func TestTryingWhileQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			if c.Msg.Method() == sip.MESSAGE {
				c.Host.Park(c, func() { time.Sleep(5 * time.Second) })
			}
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		c := a.Call("one", "sip:10.0.0.1")
		c.ToTag = "b"
		c.Send("MESSAGE", 1)
		synctest.Wait()
		began := time.Now()
		c.Send("INVITE", 2)
		a.Expect("100")
		if d := time.Since(began); d < 200*time.Millisecond || d > 220*time.Millisecond {
			t.Errorf("100 Trying came after %s, want 200ms", d)
		}
		a.Expect("200")
		a.Expect("200")
	})
}

// TestReloadKeepsReplyRoute: onreply_route.main ends on its own version though
// that is replaced while it waits; what is queued behind it runs on the live one.
func TestReloadKeepsReplyRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ran := map[uint64]int{}
		make := func(id uint64) (p *enginetest.Program) {
			p = enginetest.NewProgram(id, enginetest.Routes{Request: enginetest.Relay, Reply: func(c *api.Ctx) api.Verdict {
				c.Host.Park(c, func() { time.Sleep(5 * time.Second) })
				if p.Gone() {
					t.Errorf("version %d was let go while its reply route ran", id)
				}
				ran[id]++
				return api.VerdictNone
			}})
			return p
		}
		old := make(1)
		r := enginetest.Start(t, enginetest.Options{Workers: 1}, old)
		alice, bob := r.Agent(), r.Agent()
		alice.To("one", bob).Send("INVITE", 1)
		inv := bob.Expect("INVITE")
		bob.Reply(inv, 180)
		bob.Reply(inv, 200)
		synctest.Wait()
		if err := r.Reload(make(2)); err != nil {
			t.Fatal(err)
		}
		alice.Expect("100")
		alice.Expect("180")
		alice.Expect("200")
		synctest.Wait()
		if ran[1] != 1 || ran[2] != 1 || !old.Gone() {
			t.Errorf("runs by version %v, the old one gone: %v", ran, old.Gone())
		}
	})
}

// TestReloadStatelessReplyQueued: the same for a reply without a transaction.
func TestReloadStatelessReplyQueued(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ran := map[uint64]int{}
		make := func(id uint64) (p *enginetest.Program) {
			p = enginetest.NewProgram(id, enginetest.Routes{
				Request: func(c *api.Ctx) api.Verdict {
					if c.Msg.Method() == sip.MESSAGE {
						c.Host.Park(c, func() { time.Sleep(5 * time.Second) })
						return enginetest.Answer(202)(c)
					}
					if err := c.Host.StatelessForward(c, c.Target); err != nil {
						t.Error(err)
					}
					return api.VerdictNone
				},
				Reply: func(c *api.Ctx) api.Verdict {
					if p.Gone() {
						t.Errorf("version %d runs though it was let go", id)
					}
					ran[id]++
					return api.VerdictNone
				},
			})
			return p
		}
		r := enginetest.Start(t, enginetest.Options{Workers: 1}, make(1))
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("one", bob)
		c.Send("OPTIONS", 1)
		opt := bob.Expect("OPTIONS")
		c.Send("MESSAGE", 2)
		synctest.Wait()
		bob.Reply(opt, 200)
		synctest.Wait()
		if err := r.Reload(make(2)); err != nil {
			t.Fatal(err)
		}
		alice.Expect("202")
		alice.Expect("200")
		if ran[1] != 0 || ran[2] != 1 {
			t.Errorf("runs by version %v, want one on the live one", ran)
		}
	})
}

// inboxFill is more than an inbox takes, in messages of 50 KiB.
const inboxFill = 1500

func fat(c *enginetest.Call, cseq int) string {
	return c.RequestWithBody("MESSAGE", cseq, strings.Repeat("x", 50<<10))
}

// stuckRig is one worker whose first handler waits for the gate with the token.
func stuckRig(t *testing.T) (r *enginetest.Rig, gate chan struct{}) {
	gate = make(chan struct{})
	r = startIdle(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.OPTIONS {
			<-gate
		}
		return enginetest.Answer(200)(c)
	})
	r.Agent().Call("stuck", "sip:10.0.0.1").Send("OPTIONS", 1)
	synctest.Wait()
	time.Sleep(time.Second) // the reader is relieved meanwhile
	return r, gate
}

// TestInboxBoundDatagrams: what comes for a worker that does not keep up is
// bounded; datagrams beyond it are dropped, and counted.
func TestInboxBoundDatagrams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, gate := stuckRig(t)
		a := r.Agent()
		c := a.Call("flood", "sip:10.0.0.1")
		c.ToTag = "b"
		for n := range inboxFill {
			a.Send(fat(c, n+1))
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		dropped := r.Total(func(c *engine.Counters) uint64 { return c.InboxFull.Load() })
		if dropped < inboxFill/3 || dropped > inboxFill*9/10 {
			t.Errorf("%d of %d messages dropped", dropped, inboxFill)
		}
		if n := r.Total(func(c *engine.Counters) uint64 { return c.Requests.Load() }); n != inboxFill+1-dropped {
			t.Errorf("%d requests handled, %d dropped of %d", n, dropped, inboxFill+1)
		}
	})
}

// TestInboxBoundStreams: nothing that comes by a stream is dropped; its reader
// waits instead.
func TestInboxBoundStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, gate := stuckRig(t)
		a := r.Dial()
		c := a.Call("flood", "sip:10.0.0.1")
		c.ToTag = "b"
		go func() {
			for n := range inboxFill {
				a.Send(fat(c, n+1))
			}
		}()
		synctest.Wait()
		close(gate)
		for n := range inboxFill {
			if cseq, err := a.Expect("200").CSeq(); err != nil || cseq.Num != uint32(n+1) {
				t.Fatalf("reply %d has CSeq %d (%v)", n+1, cseq.Num, err)
			}
		}
		if n := r.Total(func(c *engine.Counters) uint64 { return c.InboxFull.Load() }); n != 0 {
			t.Errorf("%d messages of a stream dropped", n)
		}
	})
}

// faultySource is a source whose first Read panics; the second brings a message.
type faultySource struct {
	sock  *api.Socket
	reads int
	msg   string
	ended chan struct{}
}

func (s *faultySource) Read(b *transport.Batch) error {
	b.N = 0
	switch s.reads++; s.reads {
	case 1:
		panic("out of the blue")
	case 2:
		b.N, b.P = 1, []transport.Packet{{Data: []byte(s.msg), Source: api.Source{Socket: s.sock, Remote: netip.MustParseAddrPort("10.0.9.9:5060")}}}
		return nil
	}
	return io.EOF
}
func (s *faultySource) Name() string { return "faulty" }
func (s *faultySource) Close() error { close(s.ended); return nil }
func (s *faultySource) Stream() bool { return false }

// TestPanicWhileReading: a fault of ours in reading costs the batch at hand and
// not the socket.
func TestPanicWhileReading(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := 0
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			seen++
			return api.VerdictDrop
		})
		a := r.Agent()
		src := &faultySource{sock: r.Engine.Sockets()[0], msg: a.Call("one", "sip:10.0.0.1").Request("OPTIONS", 1), ended: make(chan struct{})}
		r.Engine.Serve(src)
		<-src.ended
		synctest.Wait()
		if seen != 1 || !r.Logged("out of the blue") {
			t.Errorf("%d messages read behind the panic, want 1; logged: %v", seen, r.Logged("out of the blue"))
		}
		if !r.Logged("socket is not read any more") {
			t.Error("a socket whose reading ended is not told of")
		}
	})
}
