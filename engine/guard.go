package engine

import (
	"fmt"
	"runtime/debug"

	"github.com/luasips/luasips/engine/api"
)

// guard is a worker's side of a script with a net under it: a panic that gets
// out of a handler ends that handler as an error would, and nothing else. A
// handler's version is kept while it runs: a reload may come while it is parked.
type guard struct {
	api.Script
	w *Worker
}

func (g *guard) Request(c *api.Ctx) (v api.Verdict) {
	defer begin(g.Generation()).Release()
	defer g.end(&v)
	return g.Script.Request(c)
}

func (g *guard) Reply(c *api.Ctx) (v api.Verdict) {
	defer begin(g.Generation()).Release()
	defer g.end(&v)
	return g.Script.Reply(c)
}

func (g *guard) Local(c *api.Ctx) (v api.Verdict) {
	defer begin(g.Generation()).Release()
	defer g.end(&v)
	return g.Script.Local(c)
}

func (g *guard) Error(c *api.Ctx) (v api.Verdict) {
	defer begin(g.Generation()).Release()
	defer g.end(&v)
	return g.Script.Error(c)
}

func (g *guard) Run(c *api.Ctx, h api.Handler, args ...any) (v api.Verdict) {
	defer begin(h.Generation()).Release()
	defer g.end(&v)
	return g.Script.Run(c, h, args...)
}

// begin keeps a version for a run, at whose end it is released.
func begin(gen api.Generation) api.Generation {
	gen.Retain()
	return gen
}

// end is deferred by each run.
func (g *guard) end(v *api.Verdict) {
	if p := recover(); p != nil {
		g.w.panicked("handler", p)
		*v = api.VerdictError
	}
}

// caught is deferred around what a worker does; what names it.
func (w *Worker) caught(what string) {
	if p := recover(); p != nil {
		w.panicked(what, p)
	}
}

func (w *Worker) panicked(what string, p any) {
	w.counters.Panics.Add(1)
	w.engine.log(api.LevelCrit, "panic in "+what, api.Field{Key: "panic", Value: fmt.Sprint(p)},
		api.Field{Key: "stack", Value: string(debug.Stack())})
}
