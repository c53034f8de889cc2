package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/luasips/luasips/engine/api"
)

// ErrSlow says that the lines were not written in the time given.
var ErrSlow = errors.New("logs: the output did not take all lines in time")

// sink holds whole lines until its goroutine has written them. Two buffers take
// turns: one is filled while the other is written.
type sink struct {
	out   io.Writer
	max   int
	async bool
	tell  func(n uint64) // writes a line on n lost ones

	mu      sync.Mutex
	fill    []byte
	spare   []byte
	lines   uint64 // in fill
	lost    uint64 // lines not yet told of
	telling bool
	told    uint64 // lost lines that a line in fill tells of
	failing bool   // the last write failed
	swaps   uint64 // buffers taken for writing
	done    uint64 // buffers written
	flushes []flush
	closed  bool
	wake    chan struct{}
	ended   chan struct{}

	lostTotal atomic.Uint64
	torn      bool // the last write ended within a line; the writer's own
}

// flush is a caller that waits until so many buffers are written.
type flush struct {
	until uint64
	ok    chan struct{}
}

func (s *sink) init(out io.Writer, limit int, tell func(uint64)) {
	s.out, s.max, s.tell = out, limit, tell
	s.wake, s.ended = make(chan struct{}, 1), make(chan struct{})
}

// Write takes one line; it is what the encoders write to. A line that finds the
// buffer full is counted and forgotten. It never fails.
func (s *sink) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.async:
		s.lose(s.put(line, 1))
		return len(line), nil
	case s.closed, len(s.fill)+len(line) > s.max && !s.telling:
		s.lose(1)
		return len(line), nil
	}
	s.fill = append(s.fill, line...)
	s.lines++
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

// lose is called with s.mu held.
func (s *sink) lose(n uint64) {
	if n > 0 {
		s.lost += n
		s.lostTotal.Add(n)
	}
}

// run writes until close, and then what is left.
func (s *sink) run() {
	defer close(s.ended)
	for range s.wake {
		for s.step() {
		}
		s.mu.Lock()
		end := s.closed && len(s.fill) == 0
		s.mu.Unlock()
		if end {
			return
		}
	}
}

// step writes what has gathered; false says that there was nothing.
func (s *sink) step() bool {
	s.tellLost()
	s.mu.Lock()
	buf, lines, told := s.fill, s.lines, s.told
	if len(buf) == 0 {
		s.mu.Unlock()
		return false
	}
	s.fill, s.spare, s.lines, s.told = s.spare[:0], nil, 0, 0
	s.swaps++
	s.mu.Unlock()
	lost := s.put(buf, lines)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose(lost)
	if s.failing = lost > 0; s.failing {
		s.lost += told
	}
	s.spare = buf[:0]
	s.done++
	s.flushes = slices.DeleteFunc(s.flushes, func(f flush) bool {
		if f.until <= s.done {
			close(f.ok)
		}
		return f.until <= s.done
	})
	return true
}

// tellLost adds a line on the lines that were lost, once there is room again
// and a write has succeeded.
func (s *sink) tellLost() {
	s.mu.Lock()
	n := s.lost
	if n == 0 || s.closed || s.failing || len(s.fill) > s.max/2 {
		s.mu.Unlock()
		return
	}
	s.lost, s.told, s.telling = 0, n, true
	s.mu.Unlock()
	s.tell(n)
	s.mu.Lock()
	s.telling = false
	s.mu.Unlock()
}

// put writes buf and returns how many of its lines did not get out whole. After
// a write that ended within a line the next begins a new one.
func (s *sink) put(buf []byte, lines uint64) (lost uint64) {
	if s.torn {
		if _, err := s.out.Write([]byte{'\n'}); err != nil {
			return lines
		}
		s.torn = false
	}
	n, err := s.out.Write(buf)
	if err == nil && n == len(buf) {
		return 0
	}
	n = min(max(n, 0), len(buf))
	s.torn = n > 0 && buf[n-1] != '\n'
	return lines - uint64(bytes.Count(buf[:n], []byte{'\n'}))
}

// Flush waits until every record logged before the call is written, or ctx
// ends: ErrSlow then.
func (l *Logger) Flush(ctx context.Context) error {
	s := &l.sink
	s.mu.Lock()
	f := flush{until: s.swaps, ok: make(chan struct{})}
	if len(s.fill) > 0 {
		f.until++
	}
	if f.until <= s.done {
		s.mu.Unlock()
		return nil
	}
	s.flushes = append(s.flushes, f)
	s.mu.Unlock()
	select {
	case <-f.ok:
		return nil
	case <-ctx.Done():
		return ErrSlow
	}
}

// Close writes what is left, tells of what the rate limit dropped and no record
// has told yet, and ends the goroutine; records logged afterwards are lost. It waits for Options.CloseTimeout at most and then returns ErrSlow.
// It may be called more than once.
func (l *Logger) Close() error {
	if n := l.limit.untold(); n > 0 {
		l.encode(&Record{Level: api.LevelWarn, Component: "logs", Msg: "records were dropped by the rate limit"}, l.now(), n)
	}
	s := &l.sink
	s.mu.Lock()
	if !s.async {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), l.patient)
	defer cancel()
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ErrSlow
	}
}
