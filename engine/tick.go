package engine

import (
	"slices"
	"sync/atomic"
	"time"
)

// The pulse is the engine's one clock: it brings due timers to the workers,
// relieves readers that sit in one handler, and lets scripts be watched. Each
// wake-up of a sleeping process costs more than what is then done, so it is slow
// until something takes long.
const (
	pulseSlow = 20 * time.Millisecond
	pulseFast = 5 * time.Millisecond
	// longHold is how old a token hold must be to make the pulse fast.
	longHold = time.Millisecond
)

// pulse beats until stop is closed.
func (e *Engine) pulse(stop <-chan struct{}) {
	t := time.NewTimer(pulseSlow)
	defer t.Stop()
	var round *tickRound
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		now := time.Now()
		round = e.tick(now, round)
		busy := e.relieve(now)
		for _, fn := range *e.watchers.Load() {
			busy = fn(now) || busy
		}
		if busy {
			t.Reset(pulseFast)
		} else {
			t.Reset(pulseSlow)
		}
	}
}

// OnPulse has fn called at each pulse, every 5 to 20 ms, until the engine ends.
// fn must not block; it answers true to be called again after 5 ms.
func (e *Engine) OnPulse(fn func(now time.Time) (busy bool)) {
	for {
		old := e.watchers.Load()
		list := append(slices.Clip(*old), fn)
		if e.watchers.CompareAndSwap(old, &list) {
			return
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
	at := now.UnixNano()
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
