package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// The governor runs the program on one processor while one is plenty. Go wakes
// a second thread for most messages as long as a second processor is allowed,
// and at low rates that costs more than it brings: 12% of the CPU per call at
// 1,000 calls/s on two cores.
const (
	procsSample = 100 * time.Millisecond // between looks at the CPU time used
	procsRaise  = 0.5                    // of one processor: use all
	procsLower  = 0.3                    // of one processor, for procsCalm: use one
	procsCalm   = 3 * time.Second
	procsLate   = 15 * time.Millisecond // a pulse this late means that somebody hogs the processor
	procsPulse  = 20 * time.Millisecond // the slowest pulse
)

// governor sets GOMAXPROCS by the load. It is driven by the engine's pulse.
type governor struct {
	most, now int
	last      time.Time     // pulse before this one
	sampled   time.Time     // last look at the CPU time
	used      time.Duration // CPU time then
	busy      time.Time     // when more than procsLower was last seen
	set       func(n int)   // runtime.GOMAXPROCS
	cpu       func() time.Duration
}

// newGovernor is nil where GOMAXPROCS is given, or there is nothing to choose.
func newGovernor(now time.Time) *governor {
	most := runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" || most == 1 {
		return nil
	}
	g := &governor{most: most, now: most, last: now, sampled: now, busy: now,
		set: func(n int) { runtime.GOMAXPROCS(n) }, cpu: cpuTime}
	g.used = g.cpu()
	return g
}

// beat is called at each pulse.
func (g *governor) beat(now time.Time) bool {
	late := now.Sub(g.last) - procsPulse
	g.last = now
	if late > procsLate {
		g.raise(now)
	}
	if d := now.Sub(g.sampled); d >= procsSample {
		used := g.cpu()
		g.decide(now, float64(used-g.used)/float64(d))
		g.used, g.sampled = used, now
	}
	return false
}

// decide acts on the load, in processors.
func (g *governor) decide(now time.Time, load float64) {
	if load > procsLower {
		g.busy = now
	}
	switch {
	case load > procsRaise:
		g.raise(now)
	case g.now > 1 && now.Sub(g.busy) >= procsCalm:
		g.now = 1
		g.set(1)
	}
}

func (g *governor) raise(now time.Time) {
	g.busy = now
	if g.now != g.most {
		g.now = g.most
		g.set(g.most)
	}
}

// cpuTime is the user and system time of the process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
