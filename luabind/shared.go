package luabind

import (
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/modules"
)

// The bounds of shared: keys and values of scripts cannot grow memory without
// a limit.
const (
	sharedShards   = 64
	sharedKey      = 1024    // bytes of a key
	sharedValue    = 1 << 20 // bytes of a value
	sharedPerShard = 1 << 24 // bytes of a shard
	sharedSweep    = 256     // writes between sweeps of a shard for expired entries
	sharedOverhead = 96      // bytes counted beside key and value
)

// sharedStore is shared:get and its kin: values that all workers and all
// generations see. Values are Go's own copies.
type sharedStore struct {
	seed   maphash.Seed
	shards [sharedShards]sharedShard
}

type sharedShard struct {
	mu     sync.Mutex
	m      map[string]sharedEntry
	bytes  int
	writes int
}

type sharedEntry struct {
	v       modules.Value
	size    int
	expires time.Time // zero: never
}

func newSharedStore() *sharedStore { return &sharedStore{seed: maphash.MakeSeed()} }

func (s *sharedStore) shard(key string) *sharedShard {
	return &s.shards[maphash.String(s.seed, key)%sharedShards]
}

var errSharedFull = errors.New("shared is full; give values a ttl or delete them")

func (e *sharedEntry) expired(now time.Time) bool {
	return !e.expires.IsZero() && !now.Before(e.expires)
}

// get reads with the shard's lock held.
func (sh *sharedShard) get(key string, now time.Time) (modules.Value, bool) {
	e, ok := sh.m[key]
	if !ok || e.expired(now) {
		return modules.Value{}, false
	}
	return e.v, true
}

// put writes with the shard's lock held; nil removes.
func (sh *sharedShard) put(key string, v modules.Value, ttl time.Duration, now time.Time) error {
	if sh.writes++; sh.writes%sharedSweep == 0 {
		sh.sweep(now)
	}
	old, had := sh.m[key]
	if v.IsNil() {
		if had {
			sh.bytes -= old.size
			delete(sh.m, key)
		}
		return nil
	}
	n := sharedOverhead + len(key) + size(v)
	if sh.bytes-old.size+n > sharedPerShard {
		sh.sweep(now)
		if old = sh.m[key]; sh.bytes-old.size+n > sharedPerShard {
			return errSharedFull
		}
	}
	if sh.m == nil {
		sh.m = map[string]sharedEntry{}
	}
	e := sharedEntry{v: v, size: n}
	if ttl > 0 {
		e.expires = now.Add(ttl)
	}
	sh.bytes += n - old.size
	sh.m[key] = e
	return nil
}

// sweep removes what has expired.
func (sh *sharedShard) sweep(now time.Time) {
	for k, e := range sh.m {
		if e.expired(now) {
			sh.bytes -= e.size
			delete(sh.m, k)
		}
	}
}

// openShared makes the table shared with its methods.
func (st *State) openShared() {
	st.module("shared", map[string]lua.LGFunction{"get": sharedGet, "set": sharedSet, "incr": sharedIncr,
		"cas": sharedCAS, "delete": sharedDelete})
}

// sharedArgs checks the receiver and the key.
func sharedArgs(L *lua.LState, what string) (r *run, sh *sharedShard, key string) {
	r = runOf(L)
	if _, ok := L.Get(1).(*lua.LTable); !ok {
		L.RaiseError("shared:%s is called with a colon: shared:%s(key, ...)", what, what)
	}
	key = textOf(L, L.Get(2), "shared:"+what+": argument 1 \"key\"")
	if len(key) > sharedKey {
		L.RaiseError("shared:%s: the key has more than %d bytes", what, sharedKey)
	}
	return r, r.st.prog.proc.shared.shard(key), key
}

func sharedTTL(L *lua.LState, what string, at int) time.Duration {
	v := L.Get(at)
	if v == lua.LNil {
		return 0
	}
	n, ok := v.(lua.LNumber)
	if !ok || n < 0 || n > 1e9 {
		L.RaiseError("shared:%s: ttl must be seconds from 0, got %s", what, showValue(v))
	}
	return time.Duration(float64(n) * float64(time.Second))
}

func sharedInput(L *lua.LState, r *run, what string, at int) modules.Value {
	v, err := r.st.decode(L.Get(at), "")
	if err == nil && holdsFunction(v) {
		err = errors.New("cannot take a function")
	}
	if err == nil && size(v) > sharedValue {
		err = fmt.Errorf("is more than %d bytes", sharedValue)
	}
	if err != nil {
		L.RaiseError("shared:%s: the value %s", what, err.Error())
	}
	return v
}

func holdsFunction(v modules.Value) bool {
	if v.Kind == modules.KindFunc {
		return true
	}
	for _, x := range v.List() {
		if holdsFunction(x) {
			return true
		}
	}
	for _, x := range v.Map() {
		if holdsFunction(x) {
			return true
		}
	}
	return false
}

// sharedGet is shared:get(key): the value, or nil.
func sharedGet(L *lua.LState) int {
	r, sh, key := sharedArgs(L, "get")
	now := r.c.Host.Now()
	sh.mu.Lock()
	v, _ := sh.get(key, now)
	sh.mu.Unlock()
	r.charge(L, size(v))
	L.Push(r.st.encode(v))
	return 1
}

// sharedSet is shared:set(key, value, ttl); ttl in seconds.
func sharedSet(L *lua.LState) int {
	r, sh, key := sharedArgs(L, "set")
	v, ttl, now := sharedInput(L, r, "set", 3), sharedTTL(L, "set", 4), r.c.Host.Now()
	sh.mu.Lock()
	err := sh.put(key, v, ttl, now)
	sh.mu.Unlock()
	if err != nil {
		L.RaiseError("shared:set: %s", err.Error())
	}
	return 0
}

// sharedIncr is shared:incr(key, by, ttl): the new value. A key that is not
// there begins at 0, and ttl is for that.
func sharedIncr(L *lua.LState) int {
	r, sh, key := sharedArgs(L, "incr")
	by := 1.0
	if v := L.Get(3); v != lua.LNil {
		n, ok := looseNumber(v)
		if !ok {
			L.RaiseError("shared:incr: argument 2 \"by\" must be a number, got %s", showValue(v))
		}
		by = n
	}
	ttl, now := sharedTTL(L, "incr", 4), r.c.Host.Now()
	sh.mu.Lock()
	n, err := sh.incr(key, by, ttl, now)
	sh.mu.Unlock()
	if err != nil {
		L.RaiseError("shared:incr: %s", err.Error())
	}
	L.Push(lua.LNumber(n))
	return 1
}

func (sh *sharedShard) incr(key string, by float64, ttl time.Duration, now time.Time) (float64, error) {
	old, ok := sh.get(key, now)
	if !ok {
		return by, sh.put(key, modules.Number(by), ttl, now)
	}
	if old.Kind != modules.KindNumber {
		return 0, fmt.Errorf("key %q holds %s, not a number", clip(key), article(old.Kind.String()))
	}
	e := sh.m[key]
	e.v.Num += by
	sh.m[key] = e
	return e.v.Num, nil
}

// sharedCAS is shared:cas(key, old, new, ttl): true when the value was old, nil
// for none, and is new now.
func sharedCAS(L *lua.LState) int {
	r, sh, key := sharedArgs(L, "cas")
	old, v := sharedInput(L, r, "cas", 3), sharedInput(L, r, "cas", 4)
	ttl, now := sharedTTL(L, "cas", 5), r.c.Host.Now()
	sh.mu.Lock()
	cur, _ := sh.get(key, now)
	same := reflect.DeepEqual(cur, old)
	var err error
	if same {
		err = sh.put(key, v, ttl, now)
	}
	sh.mu.Unlock()
	if err != nil {
		L.RaiseError("shared:cas: %s", err.Error())
	}
	L.Push(lua.LBool(same))
	return 1
}

// sharedDelete is shared:delete(key): whether it was there.
func sharedDelete(L *lua.LState) int {
	r, sh, key := sharedArgs(L, "delete")
	now := r.c.Host.Now()
	sh.mu.Lock()
	_, had := sh.get(key, now)
	err := sh.put(key, modules.Value{}, 0, now)
	sh.mu.Unlock()
	if err != nil {
		L.RaiseError("shared:delete: %s", err.Error())
	}
	L.Push(lua.LBool(had))
	return 1
}
