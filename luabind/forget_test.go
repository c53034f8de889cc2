package luabind_test

import (
	"runtime"
	"testing"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

// TestGenerationsAreForgotten reloads many times: when the old ones have been
// released nothing of them is left on the heap.
func TestGenerationsAreForgotten(t *testing.T) {
	e, err := engine.New(engine.Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	mods := all.List()
	var live *luabind.Program
	reload := func(times int) uint64 {
		for range times {
			p, err := luabind.Load(luabind.Options{Path: "../examples-lua/proxy.lua", Modules: mods, Workers: 2, Env: e, Previous: live})
			if err != nil {
				t.Fatal(err)
			}
			p.Commit()
			if live != nil {
				live.Release()
			}
			live = p
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	first := reload(20)
	last := reload(80)
	if last > first+first/5 {
		t.Errorf("%d objects after 20 reloads, %d after 100", first, last)
	}
	live.Shutdown()
	live.Release()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
