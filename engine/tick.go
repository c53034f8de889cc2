package engine

import (
	"slices"
	"sync/atomic"
	"time"
)

// The pulse is the engine's one clock: it brings due timers to the workers,
// relieves readers that sit in one handler, and lets scripts be watched. Each
// wake-up of a sleeping process costs more than what is then done, so it is slow
// until something takes long, and rests while nobody works and no timer is due.
const (
	pulseSlow = 20 * time.Millisecond
	pulseFast = 5 * time.Millisecond
	// pulseRest is the longest rest.
	pulseRest = time.Hour
	// longHold is how old a token hold must be to make the pulse fast.
	longHold = time.Millisecond
)

// pulser is what the pulse and those who wake it share.
type pulser struct {
	watchers atomic.Pointer[[]func(now time.Time) (busy bool)]
	resting  atomic.Bool
	called   atomic.Bool   // by a watcher's rouse
	wake     chan struct{} // ends a rest
}

func newPulser() *pulser {
	p := &pulser{wake: make(chan struct{}, 1)}
	p.watchers.Store(&[]func(time.Time) bool{})
	return p
}

// rouse ends a rest. The caller has left a sign before that stirred sees: a rest
// begins only when there is none.
func (p *pulser) rouse() {
	if p.resting.Load() && p.resting.CompareAndSwap(true, false) {
		select {
		case p.wake <- struct{}{}:
		default: // one is on its way
		}
	}
}

// pulse beats until stop is closed.
func (e *Engine) pulse(stop <-chan struct{}) {
	t := time.NewTimer(pulseSlow)
	defer t.Stop()
	var round *tickRound
	for {
		select {
		case <-stop:
			return
		case <-e.pulser.wake:
			t.Reset(pulseSlow) // who works now is looked at then
			continue
		case <-t.C:
		}
		e.pulser.resting.Store(false)
		now := time.Now()
		round = e.tick(now, round)
		busy := e.relieve(now)
		for _, fn := range *e.pulser.watchers.Load() {
			busy = fn(now) || busy
		}
		t.Reset(e.untilBeat(now, busy, round != nil))
	}
}

// untilBeat is how long the pulse waits after a beat. Without work it rests
// until a timer is due or rouse is called.
func (e *Engine) untilBeat(now time.Time, busy, ticking bool) time.Duration {
	switch {
	case busy:
		return pulseFast
	case ticking, e.stirred():
		return pulseSlow
	}
	e.pulser.resting.Store(true)
	if e.stirred() { // between the look and the word
		e.pulser.resting.Store(false)
		return pulseSlow
	}
	rest := pulseRest
	for _, w := range e.bound() {
		if due := w.nextDue.Load(); due != 0 {
			rest = min(rest, time.Duration(due-e.since(now)))
		}
	}
	return max(rest, pulseSlow)
}

// since is t in nanoseconds of the clock that no one can set: a step of the system's
// time neither holds up timers nor hurries them.
func (e *Engine) since(t time.Time) int64 { return int64(t.Sub(e.epoch)) }

// stirred tells whether anyone has worked since it was asked last, or does.
func (e *Engine) stirred() bool {
	any := e.pulser.called.Swap(false)
	for _, w := range e.bound() {
		if w.worked.Swap(false) || w.holding.Load() != nil {
			any = true
		}
	}
	return any
}

// OnPulse has fn called at each pulse until the engine ends: every 5 to 20 ms
// while any worker is at work. fn must not block; it answers true to be called
// again after 5 ms. Who runs what fn watches without a worker calls rouse first.
func (e *Engine) OnPulse(fn func(now time.Time) (busy bool)) (rouse func()) {
	for {
		old := e.pulser.watchers.Load()
		list := append(slices.Clip(*old), fn)
		if e.pulser.watchers.CompareAndSwap(old, &list) {
			return func() {
				e.pulser.called.Store(true)
				e.pulser.rouse()
			}
		}
	}
}

// tickRound are the workers whose timers are due at one pulse.
type tickRound struct {
	due  []*Worker
	next atomic.Int32 // first one that nobody has taken
}

// run brings the tick to each worker that is left. Whose handler waits or takes
// long holds up no other: the next pulse starts a second goroutine for the rest.
func (t *tickRound) run() {
	r := &runner{}
	for {
		i := int(t.next.Add(1)) - 1
		if i >= len(t.due) {
			return
		}
		t.due[i].deliver(r, nil, event{tick: true})
	}
}

// tick brings due timers to the workers; last is the round of the pulse before.
func (e *Engine) tick(now time.Time, last *tickRound) *tickRound {
	if last != nil && int(last.next.Load()) < len(last.due) {
		e.group.start("ticker", last.run)
	}
	at := e.since(now)
	t := &tickRound{}
	for _, w := range e.bound() {
		if due := w.nextDue.Load(); due != 0 && due <= at {
			t.due = append(t.due, w)
		}
	}
	if len(t.due) == 0 {
		return nil
	}
	e.group.start("ticker", t.run)
	return t
}

// relieve starts successors for readers that have been inside one token hold
// for longer than pulseFast, and tells whether any hold takes long.
func (e *Engine) relieve(now time.Time) (long bool) {
	for _, w := range e.bound() {
		r := w.holding.Load()
		if r == nil {
			continue
		}
		ro := r.slot.Load()
		if ro == nil {
			continue
		}
		age := now.UnixNano() - r.since.Load()
		if age > int64(longHold) {
			long = true
		}
		if age > int64(pulseFast) && r.slot.CompareAndSwap(ro, nil) {
			e.succeed(ro)
		}
	}
	return long
}

// bound are the workers once Bind has made them.
func (e *Engine) bound() []*Worker {
	if !e.ready.Load() {
		return nil
	}
	return e.workers
}
