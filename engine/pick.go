package engine

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
)

// aliases maps Call-IDs to workers where a call is known by more than one
// (topology hiding, injected branches). It costs one atomic load while empty.
type aliases struct {
	n  atomic.Int64
	mu sync.RWMutex
	m  map[string]int
}

func (a *aliases) get(callID []byte) (worker int, ok bool) {
	if a.n.Load() == 0 {
		return 0, false
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	worker, ok = a.m[string(callID)]
	return worker, ok
}

// Alias makes requests of a Call-ID go to a worker, until Unalias.
func (e *Engine) Alias(callID string, worker int) {
	a := &e.aliases
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = make(map[string]int)
	}
	a.m[callID] = worker
	a.n.Store(int64(len(a.m)))
}

// Unalias ends what Alias began.
func (e *Engine) Unalias(callID string) {
	a := &e.aliases
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.m, callID)
	a.n.Store(int64(len(a.m)))
}

// pick is the worker that owns a message's call: the one named in our Via for
// a response, by alias or by hash of the Call-ID for a request.
func (e *Engine) pick(m *sip.Message) int {
	if !m.IsRequest() {
		if v, err := m.Via(); err == nil {
			if w, ok := txn.WorkerOf(v.Branch, &e.secret); ok && w < len(e.workers) {
				return w
			}
		}
	}
	id := m.CallID()
	if w, ok := e.aliases.get(id); ok {
		return w
	}
	return int(maphash.Bytes(e.seed, id) % uint64(len(e.workers)))
}
