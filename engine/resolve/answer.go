package resolve

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// answer is what one Query came to. It is immutable.
type answer struct {
	q       api.Query
	expires time.Time
	err     error
	hops    []api.Hop
	// targets split hops by SRV record, or are empty when the order of hops is
	// final. Those of one group are put in order by weight at each use.
	targets []target
}

// target is the part of an answer that one SRV record brought.
type target struct {
	group    int // records that share service and priority
	weight   uint16
	from, to int // its hops
}

// slot is where the table keeps the answer of q.
func (r *Resolver) slot(q *api.Query) int {
	h := maphash.String(r.seed, q.Host)
	h ^= uint64(q.Port)<<16 | uint64(q.Transport)<<8 | uint64(q.Protos)
	if q.Sips {
		h ^= 1 << 40
	}
	if q.V4 {
		h ^= 1 << 41
	}
	if q.V6 {
		h ^= 1 << 42
	}
	h *= 0x9e3779b97f4a7c15
	return int(h >> 32 % answerSlots)
}

// kept is the finished answer of q when the table has it and it is fresh.
func (r *Resolver) kept(q *api.Query) *answer {
	a := r.answers[r.slot(q)].Load()
	if a == nil || a.q != *q || !r.cfg.Now().Before(a.expires) {
		return nil
	}
	return a
}

func (r *Resolver) keep(a *answer) { r.answers[r.slot(&a.q)].Store(a) }

// appendTo adds the hops in the order that seed gives. The same seed and the
// same records give the same order. sorted also puts the addresses of each
// record in order, whichever way round the server gave them.
func (a *answer) appendTo(dst []api.Hop, seed uint64, sorted bool) []api.Hop {
	if len(a.targets) == 0 {
		dst = append(dst, a.hops...)
		if sorted {
			sortHops(dst[len(dst)-len(a.hops):])
		}
		return dst
	}
	rng := rand.NewPCG(seed, 0x5ca1ab1e)
	var weights, order [maxTargets]uint16
	for i := 0; i < len(a.targets); {
		n := 0
		for i+n < len(a.targets) && a.targets[i+n].group == a.targets[i].group {
			weights[n] = a.targets[i+n].weight
			n++
		}
		byWeight(order[:n], weights[:n], rng)
		for _, k := range order[:n] {
			t := a.targets[i+int(k)]
			at := len(dst)
			dst = append(dst, a.hops[t.from:t.to]...)
			if sorted {
				sortHops(dst[at:])
			}
		}
		i += n
	}
	return dst
}

func sortHops(h []api.Hop) {
	slices.SortStableFunc(h, func(a, b api.Hop) int { return a.Addr.Compare(b.Addr) })
}

// byWeight fills order with the indexes of weights in the random order of
// RFC 2782: each next one is drawn with a chance that is its share of the
// weight that is left. Records of weight 0 have a small chance beside others,
// and equal ones among themselves.
func byWeight(order, weights []uint16, rng *rand.PCG) {
	var sum uint64
	for i, w := range weights {
		order[i] = uint16(i)
		sum += uint64(w)
	}
	for i := range order {
		left := order[i:]
		k := draw(left, weights, sum, rng)
		sum -= uint64(weights[left[k]])
		left[0], left[k] = left[k], left[0]
	}
}

func draw(left, weights []uint16, sum uint64, rng *rand.PCG) int {
	if sum == 0 {
		return int(rng.Uint64() % uint64(len(left)))
	}
	n := rng.Uint64() % (sum + 1)
	if n == 0 {
		if k := slices.IndexFunc(left, func(i uint16) bool { return weights[i] == 0 }); k >= 0 {
			return k
		}
		n = 1 + rng.Uint64()%sum
	}
	for k, i := range left {
		if w := uint64(weights[i]); n <= w {
			return k
		} else {
			n -= w
		}
	}
	return len(left) - 1
}
