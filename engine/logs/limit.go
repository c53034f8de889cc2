package logs

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// limiter gives each source line its rate. Lines are told apart by a hash in a
// table of fixed size, so that messages made of a peer's words cost no memory.
type limiter struct {
	every time.Duration // between records of one line; 0 is no limit
	burst time.Duration // how far ahead of that a line may be
	seed  maphash.Seed
	rows  [limitRows]limitRow
	total atomic.Uint64
	lost  atomic.Uint64 // dropped by lines whose account others took
}

const (
	limitRows = 256
	limitWays = 4
)

type limitRow struct {
	mu   sync.Mutex
	ways [limitWays]limitLine
}

// limitLine is one line's account: the time at which it will have nothing left
// to make up for (the generic cell rate algorithm), and what it dropped since
// its last record.
type limitLine struct {
	hash    uint64
	due     time.Duration
	dropped uint64
}

func (m *limiter) set(rate, burst int) {
	m.seed = maphash.MakeSeed()
	if rate > 0 {
		m.every = time.Second / time.Duration(rate)
		m.burst = m.every * time.Duration(max(burst, 1)-1)
	}
}

// hash is the line's key: the script's file:line, else component and message.
func (m *limiter) hash(r *Record) uint64 {
	if r.Where != "" {
		return maphash.String(m.seed, r.Where) | 1
	}
	return (maphash.String(m.seed, r.Component)*31 + maphash.String(m.seed, r.Msg)) | 1
}

// allow tells whether r is written at now, the time since the start, and how
// many of its line were dropped before it.
func (m *limiter) allow(r *Record, now time.Duration) (ok bool, dropped uint64) {
	if m.every == 0 {
		return true, 0
	}
	h := m.hash(r)
	row := &m.rows[h>>32%limitRows]
	row.mu.Lock()
	defer row.mu.Unlock()
	line := row.find(h, &m.lost)
	if line.due > now+m.burst {
		line.dropped++
		m.total.Add(1)
		return false, 0
	}
	line.due = max(line.due, now) + m.every
	dropped, line.dropped = line.dropped, 0
	return true, dropped
}

// untold is how many dropped records no record has told of yet; they count as
// told from then on.
func (m *limiter) untold() uint64 {
	n := m.lost.Swap(0)
	for i := range m.rows {
		row := &m.rows[i]
		row.mu.Lock()
		for j := range row.ways {
			n += row.ways[j].dropped
			row.ways[j].dropped = 0
		}
		row.mu.Unlock()
	}
	return n
}

// find is the account of h; a new line takes that of the one that was quiet
// the longest, and what that one dropped is added to lost.
func (row *limitRow) find(h uint64, lost *atomic.Uint64) *limitLine {
	oldest := &row.ways[0]
	for i := range row.ways {
		w := &row.ways[i]
		if w.hash == h {
			return w
		}
		if w.due < oldest.due {
			oldest = w
		}
	}
	if oldest.dropped > 0 {
		lost.Add(oldest.dropped)
	}
	*oldest = limitLine{hash: h}
	return oldest
}
