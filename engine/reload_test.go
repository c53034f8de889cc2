package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
)

// marked is a program whose every reply carries its number.
func marked(id uint64) *enginetest.Program {
	return program(id, func(c *api.Ctx) api.Verdict {
		o := &api.ReplyOptions{Headers: fmt.Appendf(nil, "X-Generation: %d\r\n", id)}
		if err := c.Host.StatelessReply(c, 200, "", o); err != nil {
			return api.VerdictError
		}
		return api.VerdictNone
	})
}

// TestReloadUnderLoad swaps programs while calls run: no call fails, none sees
// an older version after a newer one, and only the last version stays.
func TestReloadUnderLoad(t *testing.T) {
	const reloads, agents = 40, 4
	both(t, func(t *testing.T, o enginetest.Options) {
		r := enginetest.Start(t, o, marked(1))
		stop := make(chan struct{})
		var load sync.WaitGroup
		for i := range agents {
			a := r.Agent()
			load.Go(func() {
				last := ""
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					a.Call(fmt.Sprintf("load-%d-%d", i, n), "sip:10.0.0.1").Send("OPTIONS", 1)
					m := a.Receive(enginetest.Patience)
					if m == nil || enginetest.Kind(m) != "200" {
						t.Errorf("call %d of agent %d failed", n, i)
						return
					}
					g := fmt.Sprintf("%4s", m.Find([]byte("X-Generation")))
					if g < last {
						t.Errorf("generation %s answered after %s", g, last)
					}
					last = g
					time.Sleep(time.Millisecond)
				}
			})
		}
		var programs []*enginetest.Program
		for id := uint64(2); id <= reloads; id++ {
			p := marked(id)
			programs = append(programs, p)
			if err := r.Reload(p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
		close(stop)
		load.Wait()
		if n := r.Engine.Generations(); n != 1 {
			t.Errorf("%d generations live, want 1", n)
		}
		for i, p := range programs {
			if last := i == len(programs)-1; p.Gone() == last || !p.Committed() {
				t.Errorf("generation %d: gone=%v committed=%v", p.ID(), p.Gone(), p.Committed())
			}
		}
	})
}

// TestReloadKeepsParked: a parked handler ends on its own version.
func TestReloadKeepsParked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old := program(1, parkFor(5*time.Second, enginetest.Answer(486)))
		r := enginetest.Start(t, enginetest.Options{}, old)
		a, b := r.Agent(), r.Agent()
		a.Call("slow", "sip:10.0.0.1").Send("OPTIONS", 1)
		synctest.Wait()
		if err := r.Reload(program(2, enginetest.Answer(200))); err != nil {
			t.Fatal(err)
		}
		b.Call("new", "sip:10.0.0.1").Send("OPTIONS", 1)
		b.Expect("200")
		if old.Gone() || r.Engine.Generations() != 2 {
			t.Errorf("a handler is parked: gone=%v, %d generations", old.Gone(), r.Engine.Generations())
		}
		a.Expect("486")
		synctest.Wait()
		if !old.Gone() || r.Engine.Generations() != 1 {
			t.Errorf("the handler has ended: gone=%v, %d generations", old.Gone(), r.Engine.Generations())
		}
	})
}

// TestReloadKeepsArmed: an armed handler runs on its version, which is let go
// with the final reply and not with the last timer.
func TestReloadKeepsArmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var old *enginetest.Program
		failed := 0
		old = program(1, func(c *api.Ctx) api.Verdict {
			tx, err := c.Host.Transaction(c)
			if err != nil {
				t.Error(err)
				return api.VerdictError
			}
			tx.Arm(c, api.RouteFailure, old.Handler("failure_route.old", func(c *api.Ctx) api.Verdict {
				failed++
				tx.Reply(c, 480, "by the old version", nil)
				return api.VerdictNone
			}))
			tx.Relay(c, 0)
			return api.VerdictNone
		})
		r := enginetest.Start(t, enginetest.Options{}, old)
		alice, bob := r.Agent(), r.Agent()
		c := alice.To("armed", bob)
		c.Send("INVITE", 1)
		alice.Expect("100")
		invite := bob.Expect("INVITE")
		if err := r.Reload(program(2, enginetest.Answer(200))); err != nil {
			t.Fatal(err)
		}
		if old.Gone() {
			t.Fatal("the old version is gone while it has an armed handler")
		}
		bob.Reply(invite, 486)
		bob.Expect("ACK")
		if m := alice.Expect("480"); string(m.Reason()) != "by the old version" || failed != 1 {
			t.Errorf("failure route ran %d times; reply:\n%s", failed, m.Raw())
		}
		synctest.Wait()
		if !old.Gone() {
			t.Error("the old version stays though nothing of it can run")
		}
		c.Send("ACK", 1)
	})
}

// TestGenerationCap: beyond the bound a reload is refused, with nothing
// changed, until calls have ended.
func TestGenerationCap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := func(id uint64) *enginetest.Program { return program(id, parkFor(time.Minute, enginetest.Answer(200))) }
		r := enginetest.Start(t, enginetest.Options{Net: engine.Net{MaxGenerations: 3}}, slow(1))
		a := r.Agent()
		for id := uint64(1); ; id++ {
			a.Call(fmt.Sprint("slow-", id), "sip:10.0.0.1").Send("OPTIONS", 1)
			synctest.Wait()
			if id == 3 {
				break
			}
			if err := r.Reload(slow(id + 1)); err != nil {
				t.Fatal(err)
			}
		}
		refused := slow(4)
		err := r.Reload(refused)
		if !errors.Is(err, engine.ErrTooManyGenerations) {
			t.Errorf("the fourth version got %v, want %v", err, engine.ErrTooManyGenerations)
		}
		if !refused.Aborted() || refused.Committed() || r.Engine.Generations() != 3 {
			t.Errorf("aborted=%v committed=%v, %d generations", refused.Aborted(), refused.Committed(), r.Engine.Generations())
		}
		for range 3 {
			a.Receive(2 * time.Minute)
		}
		synctest.Wait()
		if err := r.Reload(slow(5)); err != nil {
			t.Errorf("all calls have ended: %v", err)
		}
	})
}

// TestReloadWhileDraining is refused.
func TestReloadWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, enginetest.Options{}, nil)
		if err := r.Drain(); err != nil {
			t.Fatal(err)
		}
		p := program(2, nil)
		if err := r.Reload(p); err == nil || !p.Aborted() {
			t.Errorf("reload while draining: error %v, aborted %v", err, p.Aborted())
		}
	})
}

// TestTimerRoutes run once per process at their interval, never twice at once,
// and end with their version.
func TestTimerRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var fast, slow, running int
		first := enginetest.NewProgram(1, enginetest.Routes{Timers: []enginetest.Timer{
			{Name: "fast", Every: time.Second, Run: func(c *api.Ctx) api.Verdict {
				if c.Kind != api.RouteTimer || c.Msg != nil || c.Route != "timer_route.fast" {
					t.Errorf("a timer's context is %s %q with message %v", c.Kind, c.Route, c.Msg)
				}
				fast++
				return api.VerdictNone
			}},
			{Name: "slow", Every: time.Second, Run: func(c *api.Ctx) api.Verdict {
				if running++; running != 1 {
					t.Error("a timer route runs twice at once")
				}
				slow++
				c.Host.Park(c, func() { time.Sleep(3500 * time.Millisecond) })
				running--
				return api.VerdictNone
			}},
			{Name: "bad", Every: time.Second, Run: func(*api.Ctx) api.Verdict { panic("in a timer") }},
		}})
		r := enginetest.Start(t, enginetest.Options{Workers: 3}, first)
		time.Sleep(10*time.Second + 500*time.Millisecond)
		synctest.Wait()
		if fast != 10 {
			t.Errorf("in 10.5 s a timer of 1 s ran %d times, want 10", fast)
		}
		if slow != 3 || !r.Logged("timer route took longer than its interval") {
			t.Errorf("a timer that takes 3.5 s ran %d times, want 3; log:\n%s", slow, r.Log())
		}
		if n := r.Total(func(c *engine.Counters) uint64 { return c.Panics.Load() }); n != 10 {
			t.Errorf("%d panics counted, want 10", n)
		}
		second := 0
		if err := r.Reload(enginetest.NewProgram(2, enginetest.Routes{Timers: []enginetest.Timer{
			{Name: "second", Every: time.Second, Run: func(*api.Ctx) api.Verdict { second++; return api.VerdictNone }},
		}})); err != nil {
			t.Fatal(err)
		}
		fast, slow = 0, 0
		time.Sleep(5*time.Second + 500*time.Millisecond)
		synctest.Wait()
		if fast != 0 || slow != 0 || second != 5 || !first.Gone() {
			t.Errorf("after the reload: %d, %d old runs, %d new ones, first gone=%v", fast, slow, second, first.Gone())
		}
	})
}

// TestReloadWithTimersAtOnce swaps programs at the very moment their timers
// are due: a version that is gone is never run again (the fake would panic).
func TestReloadWithTimersAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ticking := func(id uint64) *enginetest.Program {
			return enginetest.NewProgram(id, enginetest.Routes{Timers: []enginetest.Timer{
				{Name: "t", Every: 10 * time.Millisecond, Run: func(*api.Ctx) api.Verdict { return api.VerdictNone }}}})
		}
		r := enginetest.Start(t, enginetest.Options{}, ticking(1))
		for id := uint64(2); id < 200; id++ {
			time.Sleep(10 * time.Millisecond)
			if err := r.Reload(ticking(id)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := r.Engine.Generations(); n != 1 || r.Logged("panic") {
			t.Errorf("%d generations live; log:\n%s", n, r.Log())
		}
	})
}

// TestTimersAcrossReloads: reloads that come faster than a timer route's
// interval do not put it off; another interval begins anew.
func TestTimersAcrossReloads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		ticking := func(id uint64, every time.Duration) *enginetest.Program {
			return enginetest.NewProgram(id, enginetest.Routes{Timers: []enginetest.Timer{
				{Name: "t", Every: every, Run: func(*api.Ctx) api.Verdict { at = append(at, time.Since(began)); return api.VerdictNone }}}})
		}
		r := enginetest.Start(t, enginetest.Options{}, ticking(1, time.Second))
		for id := uint64(2); id <= 11; id++ {
			time.Sleep(310 * time.Millisecond)
			if err := r.Reload(ticking(id, time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Reload(ticking(12, 2*time.Second)); err != nil { // at 3.1 s
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5100 * time.Millisecond}
		if !slices.Equal(at, want) {
			t.Errorf("the route ran at %v, want %v", at, want)
		}
	})
}

// TestTimerOfTwoPrograms: a timer route does not run while the one of that name
// in the program before still does.
func TestTimerOfTwoPrograms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var order []string
		slow := func(id uint64) *enginetest.Program {
			return enginetest.NewProgram(id, enginetest.Routes{Timers: []enginetest.Timer{
				{Name: "t", Every: time.Second, Run: func(c *api.Ctx) api.Verdict {
					order = append(order, fmt.Sprint("begin ", id))
					c.Host.Park(c, func() { time.Sleep(4 * time.Second) })
					order = append(order, fmt.Sprint("end ", id))
					return api.VerdictNone
				}}}})
		}
		first := slow(1)
		r := enginetest.Start(t, enginetest.Options{}, first)
		time.Sleep(1500 * time.Millisecond)
		if err := r.Reload(slow(2)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if want := []string{"begin 1", "end 1", "begin 2", "end 2", "begin 2"}; !slices.Equal(order, want) || !first.Gone() {
			t.Errorf("ran as %q, want %q; the first program is gone: %v", order, want, first.Gone())
		}
	})
}

// TestConcurrentReloads: each is made live whole, on all workers, before the
// next; the last one stays and nothing holds the others.
func TestConcurrentReloads(t *testing.T) {
	const reloads = 50
	r := enginetest.Start(t, enginetest.Options{Real: true, Workers: 8}, marked(1))
	programs := make([]*enginetest.Program, reloads)
	var reloading sync.WaitGroup
	for i := range programs {
		p := marked(uint64(i + 2))
		programs[i] = p
		reloading.Go(func() {
			if err := r.Reload(p); err != nil {
				t.Error(err)
			}
		})
	}
	reloading.Wait()
	if n := r.Engine.Generations(); n != 1 {
		t.Errorf("%d generations live, want 1", n)
	}
	gone := 0
	for _, p := range programs {
		if p.Gone() {
			gone++
		}
	}
	if gone != reloads-1 {
		t.Errorf("%d of %d programs are gone, want all but one", gone, reloads)
	}
}

// TestReloadAfterTheEnd is refused, with nothing left behind.
func TestReloadAfterTheEnd(t *testing.T) {
	r := enginetest.Start(t, enginetest.Options{Real: true}, marked(1))
	r.Stop()
	p := marked(2)
	if err := r.Reload(p); err == nil || !p.Aborted() || p.Committed() {
		t.Errorf("reload after the end: error %v, aborted %v, committed %v", err, p.Aborted(), p.Committed())
	}
}
