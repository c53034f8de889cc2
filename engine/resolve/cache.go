package resolve

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// key names a record set.
type key struct {
	name string // canonical
	typ  uint16 // dns.TypeA ...
}

// set is what is known of one key. It is immutable but for its place in the
// cache.
type set struct {
	key     key
	expires time.Time
	stale   time.Time // until when records serve while servers are silent
	err     error     // wraps ErrNotFound or ErrUnavailable; nil when there are records
	addrs   []netip.Addr
	srvs    []srv
	naptrs  []naptr

	used atomic.Bool // read since the clock's hand passed
	at   int         // place in its ring
}

// srv is one SRV record (RFC 2782); target is "" for "no such service".
type srv struct {
	priority, weight, port uint16
	target                 string
}

// naptr is one NAPTR record of SIP's (RFC 3263 §4.1) with flag "s".
type naptr struct {
	order, preference uint16
	service           string // upper case: "SIP+D2U"
	replacement       string // canonical name of the SRV records
}

// cache keeps record sets, records and failures bounded apart, so that a storm
// of unknown names pushes out no known one. What gives way is found by a clock
// with a second chance.
type cache struct {
	mu      sync.RWMutex
	sets    map[key]*set
	good    ring
	bad     ring
	evicted uint64
	asking  map[key]*asked
}

// asked is a query under way; others who want its key wait for done.
type asked struct {
	done chan struct{}
	set  *set // nil when the asker gave up
}

type ring struct {
	sets []*set
	hand int
	max  int
}

func newCache(good, bad int) *cache {
	return &cache{
		sets: make(map[key]*set), asking: make(map[key]*asked),
		good: ring{max: good}, bad: ring{max: bad},
	}
}

// fresh is the set of k when it is known and its time is not over.
func (c *cache) fresh(k key, now time.Time) *set {
	c.mu.RLock()
	s := c.sets[k]
	c.mu.RUnlock()
	if s == nil || !now.Before(s.expires) {
		return nil
	}
	if !s.used.Load() {
		s.used.Store(true)
	}
	return s
}

// join tells who asks for k: the caller when first is true, who then calls
// finish; else another, for whose a.done the caller waits. It returns s
// instead when the set has come meanwhile.
func (c *cache) join(k key, now time.Time) (s *set, a *asked, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sets[k]; s != nil && now.Before(s.expires) {
		return s, nil, false
	}
	if a := c.asking[k]; a != nil {
		return nil, a, false
	}
	a = &asked{done: make(chan struct{})}
	c.asking[k] = a
	return nil, a, true
}

// finish ends what join began: s is kept and given to those who wait; when it
// is nil they may ask themselves.
func (c *cache) finish(k key, a *asked, s *set, now time.Time) {
	c.mu.Lock()
	if s != nil {
		c.store(s, now)
	}
	delete(c.asking, k)
	c.mu.Unlock()
	a.set = s
	close(a.done)
}

// old is the set of k, however old; nil when there is none.
func (c *cache) old(k key) *set {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sets[k]
}

func (c *cache) store(s *set, now time.Time) {
	if o := c.sets[s.key]; o != nil {
		c.ringOf(o).remove(o)
	}
	g := c.ringOf(s)
	if len(g.sets) >= g.max {
		v := g.victim(now)
		g.remove(v)
		delete(c.sets, v.key)
		c.evicted++
	}
	g.add(s)
	c.sets[s.key] = s
}

func (c *cache) ringOf(s *set) *ring {
	if s.err != nil {
		return &c.bad
	}
	return &c.good
}

func (c *cache) stats() (entries int, evicted uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.sets), c.evicted
}

func (g *ring) add(s *set) {
	s.at = len(g.sets)
	g.sets = append(g.sets, s)
}

func (g *ring) remove(s *set) {
	last := len(g.sets) - 1
	g.sets[s.at] = g.sets[last]
	g.sets[s.at].at = s.at
	g.sets[last] = nil
	g.sets = g.sets[:last]
}

// victim is the next set that is over or was not read since the hand last
// passed; after one round it is whatever the hand is at.
func (g *ring) victim(now time.Time) *set {
	for range len(g.sets) {
		s := g.sets[g.hand%len(g.sets)]
		if !now.Before(s.expires) || !s.used.Swap(false) {
			return s
		}
		g.hand = (g.hand + 1) % len(g.sets)
	}
	return g.sets[g.hand%len(g.sets)]
}
