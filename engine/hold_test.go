package engine_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
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
