package cfgutils

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// lease is how long a lock may be held. Behind it a waiter takes it over, so
// that a handler that failed before its release stops nobody for good.
const lease = 30 * time.Second

// maxStatic bounds the names of static locks.
const maxStatic = 65536

// lock is one script lock. It belongs to a transaction, by an owner kept in its
// state, and not to a worker: its holder may wait, and may release it in another
// handler.
type lock struct {
	mu      sync.Mutex
	holder  any // nil: free
	since   time.Time
	waiters []*waiter // in the order they came
}

// owner is who takes locks: a request, and the transaction that is made of it.
type owner struct{ _ byte } // not empty: each has an address of its own

// ownerKey is the slot of a message's state, which the transaction takes over.
type ownerKey struct{}

// ownerOf is the owner of c's locks, made at the first.
func ownerOf(c *api.Ctx) *owner {
	if o, ok := c.State.Slot(ownerKey{}).(*owner); ok {
		return o
	}
	o := &owner{}
	c.State.SetSlot(ownerKey{}, o)
	return o
}

type waiter struct {
	owner any
	ready chan struct{} // closed when the lock is handed over
}

// state of a try.
type tried uint8

const (
	taken tried = iota
	mine        // owner holds it already
	busy
)

// try takes a free lock.
func (l *lock) try(owner any) tried {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.holder {
	case nil:
		l.give(owner)
		return taken
	case owner:
		return mine
	}
	return busy
}

func (l *lock) give(owner any) { l.holder, l.since = owner, time.Now() }

// waited is how waiting for a lock ended.
type waited uint8

const (
	waitGot   waited = iota
	waitLate         // the lease ran out and the lock was taken over
	waitEnded        // the program ends
	waitOver         // the longest wait is over
)

// await waits, at most for longest, for a lock that try found busy.
func (l *lock) await(owner any, longest time.Duration, done <-chan struct{}) waited {
	w := &waiter{owner, make(chan struct{})}
	left, got := l.enqueue(w)
	for end := time.Now().Add(longest); !got; {
		timer := time.NewTimer(min(left, time.Until(end)))
		select {
		case <-w.ready:
			timer.Stop()
			return waitGot
		case <-done:
			timer.Stop()
			l.leave(w)
			return waitEnded
		case <-timer.C:
			if left, got = l.expire(w); got && left == 0 {
				return waitLate
			}
			if !got && !time.Now().Before(end) {
				l.leave(w)
				return waitOver
			}
		}
	}
	return waitGot
}

// enqueue adds a waiter, or gives it the lock when that has become free. left
// is what remains of the lease.
func (l *lock) enqueue(w *waiter) (left time.Duration, got bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == nil {
		l.give(w.owner)
		return 0, true
	}
	l.waiters = append(l.waiters, w)
	return l.left(), false
}

func (l *lock) left() time.Duration { return max(lease-time.Since(l.since), time.Millisecond) }

// expire takes over a lock whose lease has run out. When it was handed over
// meanwhile, got is true and left is not 0.
func (l *lock) expire(w *waiter) (left time.Duration, got bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiters, w)
	if i < 0 {
		return 1, true
	}
	if time.Since(l.since) < lease {
		return l.left(), false
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	l.give(w.owner)
	return 0, true
}

// leave gives up waiting; a lock handed over meanwhile goes on to the next.
func (l *lock) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiters, w); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
		return
	}
	l.next()
}

// release frees the lock when owner holds it.
func (l *lock) release(owner any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != owner {
		return false
	}
	l.next()
	return true
}

func (l *lock) next() {
	l.holder = nil
	if len(l.waiters) > 0 {
		w := l.waiters[0]
		l.waiters = slices.Delete(l.waiters, 0, 1)
		l.give(w.owner)
		close(w.ready)
	}
}

func lockFunctions() []modules.Function {
	key := func(name string) modules.ArgOf[string] { return modules.StrArg(name, "what to lock") }
	get := func(name, doc string, find func(*config, string) (*lock, error)) modules.Function {
		s := modules.Spec{Name: name, Doc: doc, Blocks: true, Results: []modules.Result{
			{Code: -1, Name: "held", Doc: "this transaction holds it already"}, {Code: -1, Name: "ending", Doc: "the program ends"}}}
		return modules.F1(s, key("key"), func(cfg *config, c *api.Ctx, k string) modules.Ret {
			l, err := find(cfg, k)
			if err != nil {
				return modules.Misuse(err)
			}
			return cfg.acquire(c, l, k)
		})
	}
	release := func(name, doc string, find func(*config, string) (*lock, error)) modules.Function {
		return modules.F1(modules.Spec{Name: name, Doc: doc}, key("key"), func(cfg *config, c *api.Ctx, k string) modules.Ret {
			l, err := find(cfg, k)
			if err != nil {
				return modules.Misuse(err)
			}
			return modules.YesIf(l.release(ownerOf(c)), "not_held", "this transaction does not hold the lock")
		})
	}
	return []modules.Function{
		get("get_static_lock", "Takes the lock of a name, waiting while another transaction holds it. Different names never share one.", (*config).staticLock),
		release("release_static_lock", "Releases the lock of a name.", (*config).staticLock),
		get("get_dynamic_lock", "Takes the lock that a string hashes to, waiting while another transaction holds it. Different strings may share one.", (*config).dynamicLock),
		release("release_dynamic_lock", "Releases the lock that a string hashes to.", (*config).dynamicLock),
		modules.F2(modules.Spec{Name: "strings_share_lock", Doc: "Whether two strings have the same dynamic lock."}, key("key1"), key("key2"), func(cfg *config, _ *api.Ctx, a, b string) modules.Ret {
			return modules.YesIf(cfg.slot(a) == cfg.slot(b), "apart", "the strings have locks of their own")
		}),
	}
}

// acquire takes a lock; it parks only when the lock is busy.
func (cfg *config) acquire(c *api.Ctx, l *lock, key string) modules.Ret {
	owner := ownerOf(c)
	switch l.try(owner) {
	case taken:
		return modules.Yes()
	case mine:
		return modules.No(-1, "held", "this transaction holds the lock already")
	}
	var how waited
	c.Host.Park(c, func() { how = l.await(owner, cfg.wall, cfg.done) })
	switch how {
	case waitOver:
		return modules.WallOver(cfg.wall)
	case waitLate:
		c.Host.Log(c, api.LevelError, "a lock was not released in time and is taken over",
			api.Field{Key: "lock", Value: key}, api.Field{Key: "after", Value: lease})
	}
	return modules.YesIf(how != waitEnded, "ending", "the program ends")
}

func (cfg *config) staticLock(name string) (*lock, error) {
	cfg.mu.Lock()
	defer cfg.mu.Unlock()
	if l := cfg.static[name]; l != nil {
		return l, nil
	}
	if len(cfg.static) >= maxStatic {
		return nil, fmt.Errorf("there are %d static locks already; use get_dynamic_lock for keys that change", maxStatic)
	}
	l := &lock{}
	cfg.static[name] = l
	return l, nil
}

func (cfg *config) slot(key string) uint64 {
	return maphash.String(cfg.seed, key) & uint64(len(cfg.pool)-1)
}

func (cfg *config) dynamicLock(key string) (*lock, error) { return &cfg.pool[cfg.slot(key)], nil }
