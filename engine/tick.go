package engine

import (
	"sync"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// tickEvery is the grain of transaction timers.
const tickEvery = 10 * time.Millisecond

// tick brings due timers to the workers until stop is closed. Like a reader it
// may lose its role to a park or to the monitor; a successor goes on.
func (e *Engine) tick(stop <-chan struct{}) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			now := time.Now().UnixNano()
			for _, w := range e.workers {
				if due := w.nextDue.Load(); due != 0 && due <= now {
					w.post(event{tick: true})
				}
			}
		}
	}
}

// timerSet runs the timer routes of the live program: one goroutine per route,
// ended and made anew when the program changes.
type timerSet struct {
	engine *Engine
	mu     sync.Mutex
	cancel chan struct{}
}

func (t *timerSet) replace(p Program) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	t.cancel = make(chan struct{})
	for i, tm := range p.Timers() {
		worker, cancel := i%len(t.engine.workers), t.cancel
		p.Retain() // while it may tick
		if !t.engine.group.start("timer_route "+tm.Name, func() { t.engine.runTimer(p, tm, worker, cancel) }) {
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

// runTimer runs one timer route every tm.Every, never twice at once; a run
// that takes longer than the interval delays the next, which is logged.
func (e *Engine) runTimer(p Program, tm Timer, worker int, cancel <-chan struct{}) {
	defer p.Release()
	t := time.NewTicker(tm.Every)
	defer t.Stop()
	done := make(chan struct{}, 1)
	for {
		select {
		case <-cancel:
			return
		case <-t.C:
		}
		p.Retain()
		e.Post(worker, func() {
			defer func() { done <- struct{}{} }()
			e.workers[worker].runTimer(p, tm)
		})
		select {
		case <-done:
		case <-cancel:
			return
		}
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
