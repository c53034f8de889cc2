package luabind

import (
	"sync/atomic"
	"time"
)

// watchdogTick is how often running handlers are sampled when nothing else
// beats: the grain of the CPU budget.
const watchdogTick = 5 * time.Millisecond

// watchdog ends runs that hold their worker's token longer than their budget.
// The engine's pulse drives it; it beats fast while a handler is seen twice.
type watchdog struct {
	proc  *process
	ended atomic.Bool
	rouse func()        // has it sample though no worker is at work
	stop  chan struct{} // not nil when it has a goroutine of its own
	done  chan struct{}
	last  time.Time
	seen  []sample // by worker
}

type sample struct {
	run    *run
	number uint64
	used   time.Duration
}

func newWatchdog(p *process) *watchdog {
	return &watchdog{proc: p, seen: make([]sample, len(p.slots))}
}

// start has the engine's pulse drive the watchdog, or a goroutine of its own
// where there is no engine: a script that is only checked.
func (d *watchdog) start(env ProcessEnv) {
	if env != nil {
		d.rouse = env.OnPulse(d.beat)
		return
	}
	d.rouse = func() {}
	d.stop, d.done = make(chan struct{}), make(chan struct{})
	go d.watch()
}

// end stops the watchdog; no run is left by then.
func (d *watchdog) end() {
	if d.ended.Swap(true) || d.stop == nil {
		return
	}
	close(d.stop)
	<-d.done
}

func (d *watchdog) watch() {
	defer close(d.done)
	t := time.NewTicker(watchdogTick)
	defer t.Stop()
	for {
		select {
		case <-d.stop:
			return
		case now := <-t.C:
			d.beat(now)
		}
	}
}

// beat samples once; true asks for the next beat soon.
func (d *watchdog) beat(now time.Time) bool {
	if d.ended.Load() {
		return false
	}
	elapsed := now.Sub(d.last)
	d.last = now
	return d.sample(min(elapsed, 2*watchdogTick))
}

// sample charges elapsed to each handler that runs since the sample before, and
// ends those over budget; busy when there is one.
func (d *watchdog) sample(elapsed time.Duration) (busy bool) {
	for i := range d.seen {
		s := &d.seen[i]
		r := d.proc.slots[i].cur.Load()
		if r == nil {
			s.run = nil
			continue
		}
		word := r.word.Load()
		if s.run != r || s.number != word>>2 {
			*s = sample{run: r, number: word >> 2}
			busy = busy || i == len(d.seen)-1 // a top level, which no worker's work tells of
			continue
		}
		busy = true
		s.used += elapsed
		if s.used >= time.Duration(r.cpu.Load()) {
			r.kill(word, causeCPU)
		}
	}
	return busy
}
