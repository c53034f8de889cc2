package luabind_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

// collections is how many the collector may take over what is released: pools
// keep their items for two, and a finalizer costs one.
const collections = 5

// byHand is an engine whose pulse beats when the test says so: the watchdog
// keeps the run that it saw at one beat until the next.
type byHand struct {
	*engine.Engine
	beats []func(time.Time) bool
}

func (e *byHand) OnPulse(fn func(time.Time) bool) (rouse func()) {
	e.beats = append(e.beats, fn)
	return func() {}
}

func (e *byHand) beat() {
	for _, fn := range e.beats {
		fn(e.Now())
	}
}

// TestGenerationsAreForgotten reloads many times. Of a program that has been
// released, and of its workers' states, nothing holds anything any more: not
// the one that followed it, not the modules, not the engine.
func TestGenerationsAreForgotten(t *testing.T) {
	const reloads = 20
	plain, err := engine.New(engine.Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	e := &byHand{Engine: plain}
	mods := all.List()
	var live *luabind.Program
	var programs []weak.Pointer[luabind.Program]
	var states []weak.Pointer[luabind.State]
	for range reloads {
		p, err := luabind.Load(luabind.Options{Path: "../examples-lua/proxy.lua", Modules: mods, Workers: 2, Env: e, Previous: live})
		if err != nil {
			t.Fatal(err)
		}
		p.Commit()
		if live != nil {
			live.Release()
		}
		live = p
		programs = append(programs, weak.Make(p))
		states = append(states, weak.Make(p.Worker(0)), weak.Make(p.Worker(1)))
	}
	// A load that is refused leaves as little.
	refused, err := luabind.Load(luabind.Options{Path: "../examples-lua/proxy.lua", Modules: mods, Workers: 2, Env: e, Previous: live})
	if err != nil {
		t.Fatal(err)
	}
	programs = append(programs, weak.Make(refused))
	refused.Abort()
	refused = nil
	e.beat()
	for range collections {
		runtime.GC()
	}
	if n := alive(programs); n != 1 {
		t.Errorf("%d programs of %d are on the heap, want the live one alone", n, len(programs))
	}
	if n := alive(states); n != 2 {
		t.Errorf("%d states of %d are on the heap, want the live program's 2", n, len(states))
	}
	if n := live.Stats().Generations; n != 1 {
		t.Errorf("%d generations are counted, want 1", n)
	}
	live.Shutdown()
	live.Release()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// alive counts what has not been collected.
func alive[T any](all []weak.Pointer[T]) (n int) {
	for _, p := range all {
		if p.Value() != nil {
			n++
		}
	}
	return n
}
