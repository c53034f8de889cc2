package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/miekg/dns"
)

// Cached answers from numeric hosts, the hosts file and the cache alone, as
// api.Resolver says. The slice is shared when its order is final: callers must
// not write to it.
func (r *Resolver) Cached(q api.Query) (hops []api.Hop, ok bool, err error) {
	a := r.kept(&q)
	if a == nil {
		a = r.rebuild(q)
	}
	if a == nil {
		return nil, false, nil
	}
	hops, err = r.read(a)
	return hops, true, err
}

// AppendCached is Cached onto the end of dst. It allocates nothing when dst has
// room and the answer is a finished one.
func (r *Resolver) AppendCached(dst []api.Hop, q *api.Query) (hops []api.Hop, ok bool, err error) {
	return r.appendCached(dst, q, false, 0)
}

// AppendStable is AppendCached in an order that depends on the records and on
// key alone, so that a stateless proxy sends a retransmission where it sent
// the request (RFC 3261 §16.11, RFC 3263 §4.4). key is a hash of what stays the
// same in both, such as the branch.
func (r *Resolver) AppendStable(dst []api.Hop, q *api.Query, key uint64) (hops []api.Hop, ok bool, err error) {
	return r.appendCached(dst, q, true, key)
}

func (r *Resolver) appendCached(dst []api.Hop, q *api.Query, stable bool, seed uint64) ([]api.Hop, bool, error) {
	if addr, ok := literal(q.Host); ok {
		h, err := literalHop(q, addr)
		if err != nil {
			return dst, true, err
		}
		return append(dst, h), true, nil
	}
	a := r.cached(q)
	if a == nil {
		return dst, false, nil
	}
	if a.err != nil {
		return dst, true, a.err
	}
	if !stable && len(a.targets) > 0 {
		seed = r.cfg.Rand()
	}
	return a.appendTo(dst, seed, stable), true, nil
}

// cached is the answer of a name that needs no query, or nil.
func (r *Resolver) cached(q *api.Query) *answer {
	if a := r.kept(q); a != nil {
		return a
	}
	return r.rebuild(*q)
}

// rebuild makes an answer of a numeric host or of cached record sets. It takes
// a copy of the query, so that the caller's stays on its stack.
func (r *Resolver) rebuild(q api.Query) *answer {
	if addr, ok := literal(q.Host); ok {
		a := literalAnswer(q, addr, r.cfg.Now().Add(r.cfg.MaxTTL))
		r.keep(a)
		return a
	}
	a, err := r.make(&q, cachedOnly{r, r.cfg.Now()})
	if err != nil {
		return nil
	}
	r.keep(a)
	return a
}

// read gives out an answer's hops: shared when their order is final, else in
// an order of this reader's own.
func (r *Resolver) read(a *answer) ([]api.Hop, error) {
	if a.err != nil {
		return nil, a.err
	}
	if len(a.targets) == 0 {
		return a.hops[:len(a.hops):len(a.hops)], nil
	}
	return a.appendTo(make([]api.Hop, 0, len(a.hops)), r.cfg.Rand(), false), nil
}

// Resolve blocks until q is answered, at most for Config.Deadline. Errors wrap
// those of this package. The slice is as with Cached.
func (r *Resolver) Resolve(q api.Query) ([]api.Hop, error) {
	if hops, ok, err := r.Cached(q); ok {
		return hops, err
	}
	type result struct {
		hops []api.Hop
		err  error
	}
	ch := make(chan result, 1)
	if err := r.enroll(q, func(h []api.Hop, err error) { ch <- result{h, err} }); err != nil {
		return nil, err
	}
	select {
	case res := <-ch:
		return res.hops, res.err
	case <-r.ctx.Done():
		return nil, ErrClosed
	}
}

// ResolveAsync answers by done, once, on a goroutine of the resolver's own; on
// the caller's only when Config.Go starts none any more. done must be quick: it
// hands the answer on.
func (r *Resolver) ResolveAsync(q api.Query, done func([]api.Hop, error)) {
	hops, ok, err := r.Cached(q)
	if !ok {
		if err = r.enroll(q, done); err == nil {
			return
		}
	}
	r.deliver(func() { done(hops, err) })
}

// Addrs looks up the addresses of a name, blocking; those of a numeric host are
// itself. Port and service records play no part.
func (r *Resolver) Addrs(host string) ([]netip.Addr, error) {
	hops, err := r.Resolve(api.Query{Host: host, Port: 1, Transport: api.ProtoUDP, V4: true, V6: true, Protos: 1 << api.ProtoUDP})
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, len(hops))
	for i, h := range hops {
		addrs[i] = h.Addr.Addr()
	}
	return addrs, nil
}

// flight is one Query under way and those who wait for it.
type flight struct {
	waiters []func([]api.Hop, error)
}

// enroll adds a waiter for q and begins the lookup when he is the first.
func (r *Resolver) enroll(q api.Query, done func([]api.Hop, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	f := r.flights[q]
	if r.waiting >= r.cfg.MaxWaiting || (f == nil && !r.takeSlot()) {
		r.refused.Add(1)
		return fmt.Errorf("%w: %q", ErrBusy, q.Host)
	}
	if f == nil {
		q.Host = strings.Clone(q.Host)
		f = &flight{}
		r.flights[q] = f
		if !r.cfg.Go("resolve.query", func() { r.fly(q, f) }) {
			delete(r.flights, q)
			<-r.slots
			return ErrClosed
		}
	}
	f.waiters = append(f.waiters, done)
	r.waiting++
	return nil
}

func (r *Resolver) takeSlot() bool {
	select {
	case r.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// fly makes the answer and tells the waiters. They are told even when making it
// panicked, which is for Config.Go's owner to report.
func (r *Resolver) fly(q api.Query, f *flight) {
	var a *answer
	err := ErrUnavailable
	defer func() { r.land(q, f, a, err) }()
	a, err = r.ask(&q)
}

// land ends a flight: each waiter gets the hops in an order of his own.
func (r *Resolver) land(q api.Query, f *flight, a *answer, err error) {
	<-r.slots
	r.mu.Lock()
	delete(r.flights, q)
	waiters := f.waiters
	r.waiting -= len(waiters)
	r.mu.Unlock()
	for _, done := range waiters {
		if err != nil {
			done(nil, err)
			continue
		}
		done(r.read(a))
	}
}

func (r *Resolver) ask(q *api.Query) (*answer, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Deadline)
	defer cancel()
	a, err := r.make(q, asking{r, ctx})
	if err != nil {
		return nil, err
	}
	r.keep(a)
	return a, nil
}

// deliver calls fn on a goroutine that is there for such calls.
func (r *Resolver) deliver(fn func()) {
	r.mu.Lock()
	r.ready = append(r.ready, fn)
	start := !r.calling
	r.calling = true
	r.mu.Unlock()
	if start && !r.cfg.Go("resolve.deliver", r.callReady) {
		r.callReady()
	}
}

func (r *Resolver) callReady() {
	for {
		r.mu.Lock()
		fns := r.ready
		r.ready = nil
		r.calling = len(fns) > 0
		r.mu.Unlock()
		if len(fns) == 0 {
			return
		}
		for _, fn := range fns {
			fn()
		}
	}
}

// known is the set of k that needs no query: of the hosts file, or cached.
func (r *Resolver) known(k key, now time.Time) *set {
	if k.typ == dns.TypeA || k.typ == dns.TypeAAAA {
		if addrs, ok := r.hosts.lookup(k.name, now); ok {
			return hostsSet(k, addrs, now)
		}
	}
	return r.cache.fresh(k, now)
}

func hostsSet(k key, addrs []netip.Addr, now time.Time) *set {
	s := &set{key: k, expires: now.Add(hostsTTL)}
	for _, a := range addrs {
		if a.Is4() == (k.typ == dns.TypeA) {
			s.addrs = append(s.addrs, a)
		}
	}
	if s.addrs == nil {
		s.err = notFound(k.name, "has no address of that family in the hosts file")
	}
	return s
}

// cachedOnly is the source that asks nobody.
type cachedOnly struct {
	r   *Resolver
	now time.Time
}

func (c cachedOnly) prefetch(...key) {}

func (c cachedOnly) get(k key) (*set, error) {
	if s := c.r.known(k, c.now); s != nil {
		return s, nil
	}
	return nil, errMiss
}

// asking is the source that asks the servers for what the cache has not.
type asking struct {
	r   *Resolver
	ctx context.Context
}

// helpers is how many goroutines one lookup may take besides its own.
const helpers = 7

// prefetch asks for all of ks at once, as far as there are slots. A set that
// fails is reported by get.
func (s asking) prefetch(ks ...key) {
	now := s.r.cfg.Now()
	var missing []key
	for _, k := range ks {
		if s.r.known(k, now) == nil {
			missing = append(missing, k)
		}
	}
	if len(missing) < 2 {
		return
	}
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(missing)); i = next.Add(1) - 1 {
			if _, err := s.get(missing[i]); err != nil {
				return
			}
		}
	}
	n := min(helpers, len(missing)-1)
	done := make(chan struct{}, n)
	started := 0
	for started < n && s.r.takeSlot() {
		if !s.r.cfg.Go("resolve.helper", func() {
			defer func() { <-s.r.slots; done <- struct{}{} }()
			work()
		}) {
			<-s.r.slots
			break
		}
		started++
	}
	work()
	for range started {
		<-done
	}
}

// get asks for k, or waits for the one who does.
func (s asking) get(k key) (*set, error) {
	for {
		now := s.r.cfg.Now()
		if set := s.r.known(k, now); set != nil {
			return set, nil
		}
		set, a, first := s.r.cache.join(k, now)
		switch {
		case set != nil:
			return set, nil
		case first:
			return s.first(k, a)
		}
		select {
		case <-a.done:
			if a.set != nil {
				return a.set, nil
			}
		case <-s.ctx.Done():
		}
		if err := s.ended(); err != nil {
			return nil, err
		}
	}
}

// first asks on behalf of all who wait for k.
func (s asking) first(k key, a *asked) (set *set, err error) {
	defer func() { s.r.cache.finish(k, a, set, s.r.cfg.Now()) }()
	return s.r.lookup(s.ctx, k)
}

// ended tells why the lookup must stop, or nil.
func (s asking) ended() error { return s.r.ended(s.ctx) }

func (r *Resolver) ended(ctx context.Context) error {
	switch {
	case r.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w within %v", ErrUnavailable, r.cfg.Deadline)
	}
	return nil
}
