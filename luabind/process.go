package luabind

import (
	"fmt"
	"sync/atomic"

	"github.com/luasips/luasips/modules"
)

// process is what outlives generations: it is handed from program to program.
type process struct {
	env    ProcessEnv
	opened map[string]modules.Process // process parts by module name
	order  []string                   // in the order of opening
	shared *sharedStore
	dog    *watchdog
	slots  []slot // by worker; the last is for top levels, which workers know nothing of
	lastID uint64

	errors  atomic.Uint64
	budgets atomic.Uint64
	panics  atomic.Uint64
	live    atomic.Int64
}

// slot is a worker's place for the run that holds its token.
type slot struct {
	cur atomic.Pointer[run]
	_   [56]byte // one cache line each
}

func newProcess(o *Options) *process {
	p := &process{env: o.Env, opened: map[string]modules.Process{}, slots: make([]slot, o.Workers+1)}
	p.shared = newSharedStore()
	p.dog = newWatchdog(p)
	return p
}

// open makes the process part of m when there is none yet.
func (p *process) open(m *modules.Module) (made bool, err error) {
	if p.opened[m.Name] != nil || m.Open == nil {
		return false, nil
	}
	part, err := m.Open(p.env)
	if err != nil {
		return false, fmt.Errorf("module %s: %w", m.Name, err)
	}
	p.opened[m.Name] = part
	p.order = append(p.order, m.Name)
	return true, nil
}

// closeParts ends the named process parts, the last opened first.
func (p *process) closeParts(names []string) {
	for i := len(names) - 1; i >= 0; i-- {
		if part := p.opened[names[i]]; part != nil {
			part.Close()
			delete(p.opened, names[i])
		}
	}
	kept := p.order[:0]
	for _, n := range p.order {
		if p.opened[n] != nil {
			kept = append(kept, n)
		}
	}
	p.order = kept
}

// Stats are counters of the process since it began.
type Stats struct {
	Errors      uint64 // handlers that raised
	OverBudget  uint64 // handlers ended by a budget, also counted in Errors
	Panics      uint64 // Go panics caught in bindings
	Generations int64  // generations not yet let go
}
