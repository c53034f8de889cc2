package txn

// table finds server transactions by the hash of what RFC 3261 §17.2.3 matches
// on. The chains run through the transactions themselves.
type table struct {
	slots []*transaction
	n     int
}

const tableMin = 64

func (t *table) find(key uint64) *transaction {
	if len(t.slots) == 0 {
		return nil
	}
	x := t.slots[key&uint64(len(t.slots)-1)]
	for x != nil && x.key != key {
		x = x.chain
	}
	return x
}

func (t *table) add(x *transaction) {
	if t.n >= len(t.slots) {
		t.grow()
	}
	s := &t.slots[x.key&uint64(len(t.slots)-1)]
	x.chain, *s = *s, x
	t.n++
}

func (t *table) remove(x *transaction) {
	if len(t.slots) == 0 {
		return
	}
	p := &t.slots[x.key&uint64(len(t.slots)-1)]
	for *p != nil && *p != x {
		p = &(*p).chain
	}
	if *p == x {
		*p, x.chain = x.chain, nil
		t.n--
	}
}

// grow doubles the slots, so that chains stay about one long.
func (t *table) grow() {
	old := t.slots
	t.slots = make([]*transaction, max(tableMin, 2*len(old)))
	for _, x := range old {
		for x != nil {
			next := x.chain
			s := &t.slots[x.key&uint64(len(t.slots)-1)]
			x.chain, *s = *s, x
			x = next
		}
	}
}
