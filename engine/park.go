package engine

import (
	"github.com/luasips/luasips/engine/api"
)

// parked is a handler that gave its token away.
type parked struct {
	ready chan struct{}
}

// Park gives the token away, calls fn on this goroutine as plain Go, and comes
// back with the token. What the handler sent so far is on its way before fn
// begins; the goroutine's role goes to a successor; a panic in fn is passed on
// with the token held.
func (w *Worker) Park(c *api.Ctx, fn func()) {
	r := w.holding.Load()
	w.parking(c)
	w.flush()
	if ro := r.slot.Swap(nil); ro != nil {
		w.engine.succeed(ro)
	}
	w.letGo()
	defer w.comeBack(c, r)
	fn()
}

func (w *Worker) parking(c *api.Ctx) {
	w.parked++
	w.counters.Parks.Add(1)
	w.counters.Parked.Add(1)
	if c.Msg != nil {
		w.join(c)
		w.layer.Parking(c)
	}
	if c.Hooks != nil {
		c.Hooks.Parking()
	}
}

// letGo passes the token to a servant when work waits, and frees it otherwise.
func (w *Worker) letGo() {
	w.publish()
	if len(w.jobs) > 0 || w.pos < len(w.local) || w.out.Len() > 0 {
		w.servant()
		return
	}
	w.mu.Lock()
	if len(w.queue) > 0 {
		w.mu.Unlock()
		w.servant()
		return
	}
	w.holding.Store(nil)
	w.held = false
	w.mu.Unlock()
}

// comeBack takes the token when it is free and else queues for it.
func (w *Worker) comeBack(c *api.Ctx, r *runner) {
	w.mu.Lock()
	if !w.held {
		w.held = true
		w.mu.Unlock()
	} else {
		p := &parked{ready: make(chan struct{}, 1)}
		w.queue = append(w.queue, event{back: p})
		w.mu.Unlock()
		<-p.ready
	}
	w.take(r)
	w.now = w.clock()
	w.parked--
	w.counters.Parked.Add(-1)
	if c.Hooks != nil {
		c.Hooks.Resumed()
	}
	if c.Msg != nil {
		w.layer.Resumed(c)
	}
}
