package engine

import (
	"fmt"
	"sync"
)

// maxFlags is how many names a Flags value can hold.
const maxFlags = 64

// flagTable gives flag names their bits, for the life of the process, so that
// flags kept with a registration survive a reload.
type flagTable struct {
	mu    sync.RWMutex
	names [2][]string
	bits  [2]map[string]int
}

func newFlagTable() *flagTable {
	return &flagTable{bits: [2]map[string]int{{}, {}}}
}

func side(branch bool) int {
	if branch {
		return 1
	}
	return 0
}

func (t *flagTable) bit(name string, branch bool) (int, error) {
	s := side(branch)
	t.mu.RLock()
	b, ok := t.bits[s][name]
	t.mu.RUnlock()
	if ok {
		return b, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if b, ok = t.bits[s][name]; ok {
		return b, nil
	}
	if len(t.names[s]) == maxFlags {
		return 0, fmt.Errorf("flag %q: all %d flag names are in use", name, maxFlags)
	}
	b = len(t.names[s])
	t.names[s] = append(t.names[s], name)
	t.bits[s][name] = b
	return b, nil
}

func (t *flagTable) name(bit int, branch bool) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := t.names[side(branch)]; bit >= 0 && bit < len(n) {
		return n[bit]
	}
	return ""
}
