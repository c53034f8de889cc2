package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/luasips/luasips/engine/api"
)

// ErrTooManyGenerations refuses a reload while too many older versions of the
// script still have calls.
var ErrTooManyGenerations = errors.New("too many versions of the script still have calls; wait for them to end and reload again")

// errStartupPanic is what Start answers after a panic in the startup route.
var errStartupPanic = errors.New("the startup route panicked; the log tells where")

// generations counts the script versions that can still run.
type generations struct {
	mu   sync.Mutex
	live map[uint64]struct{}
	max  int
}

// Reload makes p the live generation by one pointer swap: calls that began on
// an older one end there. A refusal aborts p and leaves everything as it was.
// One reload waits for another.
func (e *Engine) Reload(p Program) error {
	select {
	case e.swapping <- struct{}{}:
		defer func() { <-e.swapping }()
	case <-e.stop:
	}
	if e.draining.Load() || ended(e.stop) {
		p.Abort()
		return errors.New("the proxy is shutting down")
	}
	return e.swap(p)
}

// swap commits p and has every worker go over to it, each between two events;
// it returns when all have.
func (e *Engine) swap(p Program) error {
	if err := e.generations.admit(p.ID()); err != nil {
		p.Abort()
		return err
	}
	p.Commit()
	cfg := p.Transactions()
	cfg.Secret = e.secret
	var switched sync.WaitGroup
	for _, w := range e.workers {
		p.Retain()
		switched.Add(1)
		w.post(event{fn: func() {
			defer switched.Done()
			w.use(p)
			w.layer.SetConfig(cfg)
		}})
	}
	switched.Wait()
	old := e.program.Swap(&liveProgram{p})
	e.timers.replace(p)
	if old != nil {
		old.Release()
	}
	return nil
}

// use makes p, which the caller has retained, the worker's program.
func (w *Worker) use(p Program) {
	old := w.program
	w.program, w.script = p, &guard{p.Script(w.id), w}
	if old != nil {
		old.Release()
	}
}

// admit takes a generation into account; Forget takes it out.
func (g *generations) admit(id uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.live) >= g.max {
		return fmt.Errorf("%d of %d: %w", len(g.live), g.max, ErrTooManyGenerations)
	}
	if g.live == nil {
		g.live = make(map[uint64]struct{})
	}
	g.live[id] = struct{}{}
	return nil
}

// Forget is called when a generation's Lua is gone.
func (e *Engine) Forget(id uint64) {
	g := &e.generations
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.live, id)
}

// Generations is the number of script versions that can still run.
func (e *Engine) Generations() int {
	g := &e.generations
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.live)
}

// startup runs the startup route, on worker 0, before anything is received.
func (e *Engine) startup(p Program) error {
	done := make(chan error, 1)
	w := e.workers[0]
	e.Post(0, func() {
		err := errStartupPanic
		defer func() { done <- err }()
		c := w.newCtx(api.RouteStartup)
		err = p.RunStartup(c)
		w.freeCtx(c)
	})
	return <-done
}
