package txn

import (
	"math"
	"math/bits"
	"time"
)

// tick is the grain of every timer here.
const tick = 10 * time.Millisecond

// never is the deadline of a timer that is not set.
const never = time.Duration(math.MaxInt64)

// expirer is what a timer belongs to.
type expirer interface{ expire(now time.Duration) }

// timer is one entry of a wheel, part of the object it wakes. A set timer is
// in exactly one slot.
type timer struct {
	next, prev *timer
	owner      expirer
	due        int64  // tick
	slot       uint16 // 1 + slot number; 0 when not set
}

// The wheel's levels: 256 ticks, then 64 slots each of 256 ticks (2.56 s), of
// 2^14 (164 s) and of 2^20 (2.9 h). Later deadlines wait in the last level and
// are sorted in again.
const (
	baseBits  = 8
	levelBits = 6
	baseSlots = 1 << baseBits
	lvlSlots  = 1 << levelBits
	levels    = 3
	maxDelta  = 1<<(baseBits+levels*levelBits) - 1
)

// wheel is a hierarchical timer wheel: setting, moving and clearing a timer is
// O(1) and allocates nothing.
type wheel struct {
	cur   int64 // last tick that has been processed
	n     int
	slots [baseSlots + levels*lvlSlots]*timer
	used  [(baseSlots + levels*lvlSlots) / 64]uint64 // a bit per slot with timers
}

// ticksUp is the first tick that is not before t.
func ticksUp(t time.Duration) int64 { return int64((t + tick - 1) / tick) }

// set arms t for due, or clears it when due is never.
func (w *wheel) set(t *timer, due time.Duration) {
	if due == never {
		w.clear(t)
		return
	}
	d := max(ticksUp(due), w.cur+1)
	if t.slot != 0 {
		if t.due == d {
			return
		}
		w.clear(t)
	}
	t.due = d
	w.insert(t)
}

// insert puts t into the slot of its due tick, which is at least cur.
func (w *wheel) insert(t *timer) {
	delta := t.due - w.cur
	s := int(t.due & (baseSlots - 1))
	switch {
	case delta < baseSlots:
	case delta < 1<<(baseBits+levelBits):
		s = baseSlots + int(t.due>>baseBits)&(lvlSlots-1)
	case delta < 1<<(baseBits+2*levelBits):
		s = baseSlots + lvlSlots + int(t.due>>(baseBits+levelBits))&(lvlSlots-1)
	default:
		far := min(t.due, w.cur+maxDelta)
		s = baseSlots + 2*lvlSlots + int(far>>(baseBits+2*levelBits))&(lvlSlots-1)
	}
	t.slot = uint16(s + 1)
	t.prev, t.next = nil, w.slots[s]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[s] = t
	w.used[s/64] |= 1 << (s % 64)
	w.n++
}

// clear takes t out; there is nothing to do when it is not set.
func (w *wheel) clear(t *timer) {
	if t.slot == 0 {
		return
	}
	s := int(t.slot - 1)
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.slots[s] = t.next; t.next == nil {
		w.used[s/64] &^= 1 << (s % 64)
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.slot = nil, nil, 0
	w.n--
}

// advance fires everything due up to now. Owners may set and clear timers.
func (w *wheel) advance(now time.Duration) {
	end := int64(now / tick)
	for w.cur < end {
		at, ok := w.nextTick()
		if !ok || at > end {
			w.cur = end
			return
		}
		w.cur = at
		w.cascade(at)
		s := int(at & (baseSlots - 1))
		for t := w.slots[s]; t != nil; t = w.slots[s] {
			w.clear(t)
			t.owner.expire(now)
		}
	}
}

// cascade sorts the slots that begin at tick at into the levels below.
func (w *wheel) cascade(at int64) {
	shift := uint(baseBits)
	for l := range levels {
		if at&(1<<shift-1) != 0 {
			return
		}
		s := baseSlots + l*lvlSlots + int(at>>shift)&(lvlSlots-1)
		t := w.slots[s]
		w.slots[s] = nil
		w.used[s/64] &^= 1 << (s % 64)
		for t != nil {
			next := t.next
			w.n--
			w.insert(t)
			t = next
		}
		shift += levelBits
	}
}

// nextTick is the tick at which something is to be done: a timer is due, or a
// slot must be sorted in. ok is false when no timer is set.
func (w *wheel) nextTick() (at int64, ok bool) {
	if w.n == 0 {
		return 0, false
	}
	at = math.MaxInt64
	if d := distance(w.used[:baseSlots/64], int(w.cur&(baseSlots-1))); d > 0 {
		at = w.cur + int64(d)
	}
	shift := uint(baseBits)
	for l := range levels {
		i := baseSlots/64 + l
		c := w.cur >> shift
		if d := distance(w.used[i:i+1], int(c&(lvlSlots-1))); d > 0 {
			at = min(at, (c+int64(d))<<shift)
		}
		shift += levelBits
	}
	return at, true
}

// distance is how far behind slot from the next used one lies, going round;
// the slot itself is a whole round away. 0 when none is used.
func distance(used []uint64, from int) int {
	n := len(used) * 64
	for i := range len(used) + 1 {
		p := (from + 1 + i*64) % n
		rest := used[p/64] >> (p % 64)
		if p%64 != 0 {
			rest |= used[(p/64+1)%len(used)] << (64 - p%64)
		}
		if rest != 0 {
			return min(i*64+bits.TrailingZeros64(rest)+1, n)
		}
	}
	return 0
}

// next is when advance should be called next; ok is false when no timer is set.
func (w *wheel) next() (due time.Duration, ok bool) {
	at, ok := w.nextTick()
	return time.Duration(at) * tick, ok
}
