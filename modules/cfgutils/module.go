// Package cfgutils has OpenSIPS's cfgutils module: chance, pauses, locks,
// shared variables and time recurrences.
package cfgutils

import (
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Module declares cfgutils.
func Module() *modules.Module {
	return &modules.Module{
		Name:      "cfgutils",
		Doc:       "Chance, pauses, locks, variables that all workers share, and time recurrences.",
		Params:    params(),
		Functions: functions(),
		Vars:      variables(),
		Omitted:   omissions(),
		Open: func(modules.ProcessHost) (modules.Process, error) {
			p := &process{shared: map[string]modules.Value{}, static: map[string]*lock{}, done: make(chan struct{}), seed: maphash.MakeSeed()}
			p.probability.Store(unset)
			return p, nil
		},
	}
}

func params() []modules.Param {
	return []modules.Param{
		{Name: "initial_probability", Doc: "The probability that rand_event answers true, until rand_set_prob changes it.", Kind: modules.KindNumber,
			Unit: "percent", Default: modules.Int(10), Min: 0, Max: 100},
		{Name: "lock_pool_size", Doc: "How many dynamic locks there are; a power of 2. It is fixed when the program starts.", Kind: modules.KindNumber,
			Default: modules.Int(32), Min: 1, Max: 65536},
		{Name: "shvset", Doc: "First value of a shared variable: \"name=i:1\" a number, \"name=s:text\" a string.", Kind: modules.KindString, Multi: true},
		{Name: "varset", Doc: "First value of a script variable.", Kind: modules.KindString, Multi: true, Ignored: "script variables are Lua's"},
		{Name: "shv_hash_size", Doc: "Size of the table of shared variables.", Kind: modules.KindNumber, Ignored: "the table grows as needed"},
		{Name: "hash_file", Doc: "File whose checksum management commands show.", Kind: modules.KindString, Ignored: "a reload is told apart by its generation"},
	}
}

// unset is the probability before the first script sets it.
const unset = -1

// process is what all generations share.
type process struct {
	probability atomic.Int64 // percent
	seed        maphash.Seed
	done        chan struct{} // closed at the end: whoever waits goes on

	mu     sync.Mutex
	shared map[string]modules.Value
	static map[string]*lock
	pool   []lock // dynamic locks, sized by the first script
}

// Prepare reads the parameters; what all generations share changes in Commit.
func (p *process) Prepare(g modules.GenerationHost, v modules.Params) (modules.Config, error) {
	size := v.Int("lock_pool_size")
	if size&(size-1) != 0 {
		return nil, fmt.Errorf("lock_pool_size %d must be a power of 2", size)
	}
	cfg := &config{process: p, wall: modules.Wall(g), initial: v.Int("initial_probability"), poolSize: size, first: map[string]modules.Value{}}
	for _, s := range v.Strings("shvset") {
		name, value, err := parseShared(s)
		if err != nil {
			return nil, err
		}
		cfg.first[name] = value
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pool != nil && len(p.pool) != size {
		g.Log(api.LevelWarn, "cfgutils: lock_pool_size keeps its value until the program starts anew",
			api.Field{Key: "value", Value: float64(len(p.pool))})
	}
	return cfg, nil
}

// Close lets everyone go on who sleeps or waits for a lock.
func (p *process) Close() { close(p.done) }

// config is one generation's configuration.
type config struct {
	*process
	initial  int
	poolSize int
	wall     time.Duration            // longest wait of one call
	first    map[string]modules.Value // of shvset
	recs     recurrenceCache
}

// Commit puts the first values where there is none yet.
func (c *config) Commit() {
	c.probability.CompareAndSwap(unset, int64(c.initial))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool == nil {
		c.pool = make([]lock, c.poolSize)
	}
	for name, v := range c.first {
		if _, have := c.shared[name]; !have {
			c.shared[name] = v
		}
	}
}

// Abort has nothing to undo.
func (c *config) Abort() {}

// Release has nothing to let go.
func (c *config) Release() {}

// parseShared reads "name=i:1" or "name=s:text".
func parseShared(s string) (string, modules.Value, error) {
	name, rest, ok := strings.Cut(s, "=")
	kind, value, ok2 := strings.Cut(rest, ":")
	if name = strings.TrimSpace(name); !ok || !ok2 || name == "" {
		return "", modules.Nil(), fmt.Errorf("shvset %q wants the form name=i:number or name=s:text", s)
	}
	switch strings.TrimSpace(kind) {
	case "s", "S":
		return name, modules.String(value), nil
	case "i", "I":
		n, err := strconv.Atoi(value)
		if err != nil {
			return "", modules.Nil(), fmt.Errorf("shvset %q: %q is no whole number", s, value)
		}
		return name, modules.Int(n), nil
	}
	return "", modules.Nil(), fmt.Errorf("shvset %q: the type is i (number) or s (string), not %q", s, kind)
}

func omissions() []modules.Omission {
	var out []modules.Omission
	add := func(kind, reason string, names ...string) {
		for _, n := range names {
			out = append(out, modules.Omission{Kind: kind, Name: n, Reason: reason})
		}
	}
	add("function", "A script cannot end the program.", "abort")
	add("function", "Go manages memory; the counters show it.", "pkg_status", "shm_status")
	add("mi", "There are no management commands of this module yet.", "cfgutils:rand_set_prob", "cfgutils:rand_reset_prob", "cfgutils:rand_get_prob", "cfgutils:shv_get", "cfgutils:shv_set")
	add("mi", "A reload is told apart by its generation.", "cfgutils:get_config_hash", "cfgutils:check_config_hash")
	return out
}
