package engine_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/transport"
)

// TestOutputOfALongHold: a goroutine that works off a long inbox hands over what
// has waited for a millisecond, and not only when 32 messages have gathered.
func TestOutputOfALongHold(t *testing.T) {
	const each, requests = 2 * time.Millisecond, 10
	bubble(t, func(t *testing.T) {
		r := startIdle(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			time.Sleep(each)
			return enginetest.Answer(200)(c)
		})
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		r.Engine.Post(0, func() { <-gate })
		synctest.Wait()
		a := r.Agent()
		for n := range requests {
			a.Call("long", "sip:10.0.0.1").Send("OPTIONS", n+1)
		}
		synctest.Wait()
		began := time.Now()
		open()
		for range requests {
			a.Expect("200")
		}
		n := 0
		for _, c := range r.Captured() {
			if !strings.HasPrefix(string(c.Data), "SIP/2.0 200") {
				continue
			}
			n++
			if d := c.At.Sub(began) - time.Duration(n)*each; d > each {
				t.Errorf("reply %d was sent %s after it was made", n, d)
			}
		}
	})
}

// TestTimersOfALongHold: a worker whose inbox is never empty has timers too.
func TestTimersOfALongHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startIdle(t, enginetest.Options{Workers: 1}, enginetest.Relay)
		gate := make(chan struct{})
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		ended := time.Now().Add(3 * time.Second)
		var busy func()
		busy = func() {
			time.Sleep(time.Millisecond)
			if time.Now().Before(ended) {
				r.Engine.Post(0, busy)
			}
		}
		r.Engine.Post(0, func() { <-gate; r.Engine.Post(0, busy) })
		synctest.Wait()
		alice, bob := r.Agent(), r.Agent()
		alice.To("timed", bob).Send("INVITE", 1)
		synctest.Wait()
		open()
		bob.Expect("INVITE")
		bob.Expect("INVITE") // Timer A
		if time.Now().After(ended) {
			t.Error("the INVITE was repeated only when the inbox was empty")
		}
	})
}

// TestOutputBeforeRelease: while what a worker sends is on its way to the
// kernel, nobody else takes the worker, or a second reader would overtake.
func TestOutputBeforeRelease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		r := startIdle(t, enginetest.Options{Workers: 1, Listen: []string{"udp:10.0.0.1:5060", "udp:10.0.0.1:5070"}}, func(c *api.Ctx) api.Verdict {
			note("runs for " + c.Source.Remote.String())
			return enginetest.Answer(200)(c)
		})
		a, b := r.Agent(), r.Agent()
		b.Proxy = r.Engine.Sockets()[1].Addr
		r.Fate(func(d transport.Datagram) transport.Fate {
			if strings.HasPrefix(string(d.Data), "SIP/2.0") {
				time.Sleep(time.Second) // a slow system call
				note("sent to " + d.To.String())
			}
			return transport.Fate{}
		})
		a.Call("one", "sip:10.0.0.1").Send("OPTIONS", 1)
		time.Sleep(100 * time.Millisecond)
		b.Call("one", "sip:10.0.0.1").Send("OPTIONS", 2)
		a.Expect("200")
		b.Expect("200")
		want := []string{"runs for " + a.Addr.String(), "sent to " + a.Addr.String(), "runs for " + b.Addr.String(), "sent to " + b.Addr.String()}
		if !slices.Equal(order, want) {
			t.Errorf("in the order\n%q, want\n%q", order, want)
		}
	})
}

// TestOutputBeforePark: what a handler has sent is on its way before it waits.
func TestOutputBeforePark(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var r *enginetest.Rig
		r = start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			if err := c.Host.StatelessReply(c, 180, "", nil); err != nil {
				t.Error(err)
			}
			c.Host.Park(c, func() {
				if got := r.CapturedTo(c.Source.Remote); len(got) != 1 {
					t.Errorf("when the handler waits, %q was sent", got)
				}
			})
			return enginetest.Answer(200)(c)
		})
		a := r.Agent()
		a.Call("one", "sip:10.0.0.1").Send("INVITE", 1)
		a.Expect("180")
		a.Expect("200")
	})
}

// TestOutputBeforeComingBack: what waits to be sent goes before the token is
// handed to a handler whose wait is over: it may take long.
func TestOutputBeforeComingBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		wait, gate := make(chan struct{}), make(chan struct{})
		over := sync.OnceFunc(func() { close(wait) })
		open := sync.OnceFunc(func() { close(gate) })
		defer open() // also when the test fails
		defer over()
		r := start(t, enginetest.Options{Workers: 1}, func(c *api.Ctx) api.Verdict {
			if c.CallIDString() == "slow" {
				c.Host.Park(c, func() { <-wait })
				time.Sleep(time.Second) // with the token
			}
			return enginetest.Answer(200)(c)
		})
		slow, fast := r.Agent(), r.Agent()
		slow.Call("slow", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		r.Engine.Post(0, func() { <-gate })
		synctest.Wait()
		fast.Call("fast", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		over()
		synctest.Wait()
		began := time.Now()
		open()
		fast.Expect("200")
		if d := time.Since(began); d != 0 {
			t.Errorf("the reply waited %s for a handler that came back", d)
		}
		slow.Expect("200")
	})
}
