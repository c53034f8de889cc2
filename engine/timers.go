package engine

import (
	"sync"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// timerSet runs the timer routes of the live program: one goroutine per route,
// ended and made anew when the program changes.
type timerSet struct {
	engine *Engine
	mu     sync.Mutex
	cancel chan struct{}
	beats  map[string]*beat // by route name
}

// beat is when a timer route runs. It outlives the program: reloads that come
// faster than the route's interval do not put it off, and the route of a new
// program waits for a run of the old one's.
type beat struct {
	turn chan struct{} // has one item while the route runs

	mu    sync.Mutex
	every time.Duration
	next  time.Time
}

// replace goes over to p's timer routes.
func (t *timerSet) replace(p Program) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	t.cancel = make(chan struct{})
	old := t.beats
	t.beats = map[string]*beat{}
	for i, tm := range p.Timers() {
		b := old[tm.Name]
		if b == nil {
			b = &beat{turn: make(chan struct{}, 1)}
		}
		b.setInterval(tm.Every, t.engine.Now())
		t.beats[tm.Name] = b
		worker, cancel := i%len(t.engine.workers), t.cancel
		p.Retain() // while it may tick
		if !t.engine.group.start("timer_route "+tm.Name, func() { t.engine.runTimer(p, tm, b, worker, cancel) }) {
			p.Release()
		}
	}
}

func (t *timerSet) end() {
	if t.cancel != nil {
		close(t.cancel)
		t.cancel = nil
	}
}

func (t *timerSet) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
}

// setInterval begins anew when the interval is another.
func (b *beat) setInterval(every time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.every != every {
		b.every, b.next = every, now.Add(every)
	}
}

func (b *beat) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next.Sub(now)
}

// take tells whether a run is due, and sets the next one; intervals that have
// passed meanwhile are left out.
func (b *beat) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	late := now.Sub(b.next)
	if late < 0 {
		return false
	}
	b.next = b.next.Add(late - late%b.every + b.every)
	return true
}

// runTimer runs one timer route at each beat, never twice at once; a run that
// takes longer than the interval delays the next, which is logged.
func (e *Engine) runTimer(p Program, tm Timer, b *beat, worker int, cancel <-chan struct{}) {
	defer p.Release()
	t := time.NewTimer(b.wait(e.Now()))
	defer t.Stop()
	for {
		select {
		case <-cancel:
			return
		case <-t.C:
		}
		select {
		case <-cancel:
			return
		case b.turn <- struct{}{}:
		}
		if ended(cancel) || !b.take(e.Now()) { // another program's goroutine may have been first
			<-b.turn
		} else {
			p.Retain()
			e.Post(worker, func() {
				defer func() { <-b.turn }()
				e.workers[worker].runTimer(p, tm)
			})
		}
		t.Reset(b.wait(e.Now()))
	}
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (w *Worker) runTimer(p Program, tm Timer) {
	defer p.Release()
	start := w.clock()
	c := w.newCtx(api.RouteTimer)
	c.Route = "timer_route." + tm.Name
	s := guard{p.Script(w.id), w}
	s.Run(c, tm.Handler(w.id))
	w.freeCtx(c)
	if took := w.clock().Sub(start); took > tm.Every {
		w.engine.log(api.LevelWarn, "timer route took longer than its interval",
			api.Field{Key: "timer", Value: tm.Name}, api.Field{Key: "took", Value: took}, api.Field{Key: "interval", Value: tm.Every})
	}
}
