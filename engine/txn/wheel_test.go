package txn

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type alarm struct {
	timer timer
	want  time.Duration
	at    time.Duration
	fires int
}

func (a *alarm) expire(now time.Duration) { a.at = now; a.fires++ }

// TestWheelFires: every timer once, not before its time and at most a tick late, at any
// distance, whatever the steps of the clock.
func TestWheelFires(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, step := range []time.Duration{tick, 37 * time.Millisecond, 3 * time.Second, 5 * time.Minute} {
		var w wheel
		var now time.Duration
		alarms := make([]*alarm, 2000)
		for i := range alarms {
			a := &alarm{want: time.Duration(rng.Int64N(int64(4 * time.Hour)))}
			if i%3 == 0 {
				a.want = time.Duration(rng.Int64N(int64(3 * time.Second)))
			}
			a.timer.owner = a
			w.set(&a.timer, a.want)
			alarms[i] = a
		}
		for now < 4*time.Hour+time.Minute {
			next, ok := w.next()
			if !ok {
				break
			}
			now = max(now+tick, next.Truncate(step)+step)
			w.advance(now)
		}
		for _, a := range alarms {
			if a.fires != 1 || a.at < a.want || a.at > a.want+tick+step {
				t.Fatalf("step %v: due %v, fired %d times at %v", step, a.want, a.fires, a.at)
			}
		}
		if _, ok := w.next(); ok || w.n != 0 || slices.IndexFunc(w.used[:], func(u uint64) bool { return u != 0 }) >= 0 {
			t.Error("something is left in the wheel")
		}
	}
}

// TestWheelExact: next is exact within 2.5 s, so that a timer is not late by a spurious tick.
func TestWheelExact(t *testing.T) {
	var w wheel
	w.advance(12345 * time.Millisecond)
	for _, d := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 500 * time.Millisecond, 2500 * time.Millisecond} {
		a := &alarm{}
		a.timer.owner = a
		due := 12345*time.Millisecond + d
		w.set(&a.timer, due)
		if next, ok := w.next(); !ok || next < due || next >= due+2*tick {
			t.Errorf("due %v, next %v", due, next)
		}
		w.clear(&a.timer)
	}
}

// TestWheelMoves: set again moves, clear forgets, also from within a firing.
func TestWheelMoves(t *testing.T) {
	var w wheel
	a, b := &alarm{}, &alarm{}
	a.timer.owner, b.timer.owner = a, b
	w.set(&a.timer, time.Second)
	w.set(&b.timer, time.Second)
	w.set(&a.timer, 100*time.Second)
	w.set(&a.timer, 2*time.Second)
	w.clear(&b.timer)
	w.clear(&b.timer)
	w.advance(time.Minute)
	if a.fires != 1 || b.fires != 0 {
		t.Errorf("fired %d and %d times", a.fires, b.fires)
	}
	w.set(&a.timer, 0)
	w.advance(w.mustNext(t))
	if a.fires != 2 {
		t.Error("a deadline that has passed did not fire at once")
	}
}

func (w *wheel) mustNext(t *testing.T) time.Duration {
	due, ok := w.next()
	if !ok {
		t.Fatal("no timer is set")
	}
	return due
}

// TestWheelAllocates nothing.
func TestWheelAllocates(t *testing.T) {
	var w wheel
	a := &alarm{}
	a.timer.owner = a
	now := time.Duration(0)
	if n := testing.AllocsPerRun(100, func() {
		now += 20 * time.Millisecond
		w.set(&a.timer, now+500*time.Millisecond)
		w.set(&a.timer, now)
		w.advance(now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestBranchID: each field comes back; none can be changed unnoticed.
func TestBranchID(t *testing.T) {
	k := newHashKey(&[16]byte{7})
	for _, id := range []branchID{{}, {stateless: true, worker: 1<<15 - 1, index: maxIndex, label: 1<<32 - 1, branch: maxBranch, loop: loopMask},
		{worker: 5, index: 70000, label: 1 << 31, branch: 300, loop: 1 << 39}} {
		v := id.append(nil, &k)
		if got, ok := parseBranch(v, &k); !ok || got != id || len(v) != branchLen {
			t.Errorf("%q: %+v %v, want %+v", v, got, ok, id)
		}
	}
	if _, ok := parseBranch([]byte("z9hG4bK"), &k); ok {
		t.Error("too short")
	}
}

// TestSipHash: the vectors of the paper's appendix A.
func TestSipHash(t *testing.T) {
	var key [16]byte
	msg := make([]byte, 15)
	for i := range key {
		key[i] = byte(i)
	}
	for i := range msg {
		msg[i] = byte(i)
	}
	k := newHashKey(&key)
	if got := k.sum(msg); got != 0xa129ca6149be45e5 {
		t.Errorf("%x", got)
	}
}
