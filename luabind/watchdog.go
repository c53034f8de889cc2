package luabind

import (
	"sync/atomic"
	"time"
)

// watchdogTick is how often running handlers are sampled: the grain of the CPU
// budget. watchdogIdle ticks without a running handler put the watchdog to
// sleep, so that an idle program wakes nobody.
const (
	watchdogTick = 5 * time.Millisecond
	watchdogIdle = 200
)

// watchdog ends runs that hold their worker's token longer than their budget.
type watchdog struct {
	proc   *process
	asleep atomic.Bool
	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	seen   []sample // by worker
}

type sample struct {
	run    *run
	number uint64
	used   time.Duration
}

func newWatchdog(p *process) *watchdog {
	return &watchdog{proc: p, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), seen: make([]sample, len(p.slots))}
}

// start runs the watchdog on a goroutine of the engine's, or on its own when
// a script is only checked.
func (d *watchdog) start(env ProcessEnv) {
	if env == nil {
		go d.watch()
		return
	}
	env.Go("lua watchdog", d.watch)
}

func (d *watchdog) end() {
	close(d.stop)
	<-d.done
}

// running is called when a handler starts or resumes.
func (d *watchdog) running() {
	if d.asleep.Load() && d.asleep.CompareAndSwap(true, false) {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

func (d *watchdog) watch() {
	defer close(d.done)
	t := time.NewTicker(watchdogTick)
	defer t.Stop()
	last, idle := time.Now(), 0
	for {
		select {
		case <-d.stop:
			return
		case <-t.C:
		}
		now := time.Now()
		busy := d.sample(min(now.Sub(last), 2*watchdogTick))
		last = now
		if idle++; busy {
			idle = 0
		}
		if idle < watchdogIdle {
			continue
		}
		t.Stop()
		if !d.sleep() {
			return
		}
		last, idle = time.Now(), 0
		t.Reset(watchdogTick)
	}
}

// sleep waits for a handler to start; false at the end.
func (d *watchdog) sleep() bool {
	d.asleep.Store(true)
	// A run that started before the store did not see it.
	if d.sample(0) {
		d.asleep.Store(false)
		return true
	}
	select {
	case <-d.stop:
		return false
	case <-d.wake:
		return true
	}
}

// sample charges elapsed to each running handler and ends those over budget.
func (d *watchdog) sample(elapsed time.Duration) (busy bool) {
	for i := range d.seen {
		s := &d.seen[i]
		r := d.proc.slots[i].cur.Load()
		if r == nil {
			s.run = nil
			continue
		}
		busy = true
		word := r.word.Load()
		if s.run != r || s.number != word>>2 {
			*s = sample{run: r, number: word >> 2}
			continue
		}
		s.used += elapsed
		if s.used >= time.Duration(r.cpu.Load()) {
			r.kill(word, causeCPU)
		}
	}
	return busy
}
