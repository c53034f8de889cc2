package main

import (
	"testing"
	"time"
)

// TestGovernor: one processor when calm for long, all when busy or when a
// pulse comes late.
func TestGovernor(t *testing.T) {
	now := time.Unix(1000, 0)
	var used time.Duration
	procs := 4
	g := &governor{most: 4, now: 4, last: now, sampled: now, busy: now,
		set: func(n int) { procs = n }, cpu: func() time.Duration { return used }}
	run := func(d time.Duration, load float64) {
		for end := now.Add(d); now.Before(end); {
			now = now.Add(procsPulse)
			used += time.Duration(load * float64(procsPulse))
			g.beat(now)
		}
	}
	steps := []struct {
		name string
		span time.Duration
		load float64
		want int
	}{
		{"calm, not yet for long", 2 * time.Second, 0.1, 4},
		{"calm for long", 2 * time.Second, 0.1, 1},
		{"more, but not much", 5 * time.Second, 0.45, 1},
		{"busy", 200 * time.Millisecond, 0.9, 4},
		{"between the marks it stays", 10 * time.Second, 0.4, 4},
		{"calm again", 4 * time.Second, 0.05, 1},
	}
	for _, s := range steps {
		if run(s.span, s.load); procs != s.want {
			t.Errorf("%s: %d processors, want %d", s.name, procs, s.want)
		}
	}
	now = now.Add(procsPulse + 2*procsLate)
	if g.beat(now); procs != 4 {
		t.Errorf("a late pulse left %d processors", procs)
	}
}
