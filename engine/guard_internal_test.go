package engine

import (
	"testing"

	"github.com/luasips/luasips/engine/logs"
)

// brokenLog is an output that panics.
type brokenLog struct{ written int }

func (b *brokenLog) Write([]byte) (int, error) {
	b.written++
	panic("the log is broken")
}

// TestFaultWhileLoggingAFault: an event that panics ends alone, even where the
// log that should tell of it panics too.
func TestFaultWhileLoggingAFault(t *testing.T) {
	out := &brokenLog{}
	w := &Worker{engine: &Engine{log_: logs.New(logs.Options{Out: out})}}
	w.step(&event{fn: func() { panic("an event") }})
	w.runJob(&job{fn: func() { panic("a job") }})
	if n := w.counters.Panics.Load(); n != 2 || out.written != 2 {
		t.Errorf("%d panics counted and %d records tried, want 2 of each", n, out.written)
	}
}
