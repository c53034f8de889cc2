package engine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
)

// overloadBatches is how many full read batches in a row stand for a long wait
// in the kernel's buffer, where the wait itself is not known.
const overloadBatches = 16

// overloadHold is how long the wait must stay over the mark before new dialogs
// are refused.
const overloadHold = 100 * time.Millisecond

// role is what a reading goroutine owns: a source, its batch, and the messages
// of it that are not delivered yet. It moves whole from one goroutine to the
// next and is touched by its owner alone.
type role struct {
	src    transport.ReadSource
	batch  *transport.Batch
	groups [][]event // by worker
	next   int       // first group not delivered yet
	full   int       // full batches in a row
	late   time.Time // since when batches wait longer than the mark; zero when they do not
	came   int64     // when the oldest of the batch came, UnixNano
	behind bool      // the backlog is over the mark; counted in Engine.behind
	broken error     // the source ended; deliver what is left, then close
}

// Serve starts the reading role of a source: a socket at start, a connection
// when it is accepted or opened.
func (e *Engine) Serve(src transport.ReadSource) {
	ro := &role{src: src, batch: transport.NewBatch(), groups: make([][]event, len(e.workers)), next: len(e.workers)}
	e.succeed(ro)
}

// succeed gives a role to a fresh goroutine.
func (e *Engine) succeed(ro *role) {
	if !e.group.start("reader "+ro.src.Name(), func() { e.read(ro) }) {
		e.endRole(ro)
	}
}

func (e *Engine) endRole(ro *role) {
	if ro.behind {
		ro.behind = false
		e.behind.Add(-1)
	}
	if err := ro.src.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		e.log(api.LevelDebug, "closing a source", api.Field{Key: "source", Value: ro.src.Name()}, api.Field{Key: "error", Value: err})
	}
}

// read is the loop of a reading role. It returns when the source has ended or
// the role was taken away.
func (e *Engine) read(ro *role) {
	r := &runner{}
	reading := false
	defer func() {
		if p := recover(); p != nil {
			e.readPanicked(ro, p, reading)
		}
	}()
	for {
		for ro.next < len(ro.groups) {
			if !e.handOver(ro, r) {
				return
			}
		}
		if ro.broken != nil {
			e.endRole(ro)
			return
		}
		reading = true
		e.fill(ro)
		reading = false
	}
}

// readPanicked tells of a fault of ours. One in reading costs the batch at hand;
// its role goes on.
func (e *Engine) readPanicked(ro *role, p any, reading bool) {
	e.log(api.LevelCrit, "panic in reader", api.Field{Key: "source", Value: ro.src.Name()},
		api.Field{Key: "panic", Value: fmt.Sprint(p)}, api.Field{Key: "stack", Value: string(debug.Stack())})
	if reading {
		e.succeed(ro)
	}
}

// handOver delivers the next group; false when the role is gone.
func (e *Engine) handOver(ro *role, r *runner) bool {
	i := ro.next
	ro.next++
	evs := ro.groups[i]
	if len(evs) == 0 {
		return true
	}
	return e.workers[i].deliver(r, ro, evs...)
}

// fill reads one batch and sorts it by worker.
func (e *Engine) fill(ro *role) {
	for i := range ro.groups {
		clear(ro.groups[i])
		ro.groups[i] = ro.groups[i][:0]
	}
	ro.next = 0
	err := ro.src.Read(ro.batch)
	if err != nil {
		ro.broken = err
		e.sourceEnded(ro, err)
	}
	e.noteBatch(ro)
	for i := 0; i < ro.batch.N; i++ {
		e.sort(ro, &ro.batch.P[i])
	}
}

// sort copies one packet, indexes it and puts it with its worker's.
func (e *Engine) sort(ro *role, p *transport.Packet) {
	in := e.incoming(p.Data)
	in.Source, in.Came = p.Source, ro.came
	var err error
	if ro.src.Stream() {
		err = in.Msg.ParseFrame(in.Buf, &e.net.Transport.Limits)
	} else {
		err = in.Msg.ParseDatagram(in.Buf, &e.net.Transport.Limits)
	}
	if p.Bad != nil {
		err = spoiled(&in.Msg, p.Bad, err)
	}
	ev := event{in: in}
	if err != nil {
		ev.bad = parseError(err)
	}
	w := e.pick(&in.Msg)
	ro.groups[w] = append(ro.groups[w], ev)
}

// parseError is what to answer for a message that could not be read.
func parseError(err error) *sip.ParseError {
	var bad *sip.ParseError
	if errors.As(err, &bad) {
		return bad
	}
	return &sip.ParseError{Reason: "Bad Request", Detail: err.Error(), Code: 400}
}

// spoiled is the error of a header section behind which a stream cannot be cut:
// bad, to be answered where reading the section itself allows it.
func spoiled(m *sip.Message, bad, read error) error {
	var why, of *sip.ParseError
	if !errors.As(bad, &why) {
		return bad
	}
	out := *why
	out.Respond = m.IsRequest()
	if errors.As(read, &of) {
		out.Respond = of.Respond
	}
	return &out
}

func (e *Engine) sourceEnded(ro *role, err error) {
	var fe *transport.FrameError
	switch {
	case errors.As(err, &fe):
		e.log(api.LevelWarn, "connection closed: not SIP", api.Field{Key: "source", Value: ro.src.Name()}, api.Field{Key: "error", Value: err})
	case errors.Is(err, net.ErrClosed):
	case !ro.src.Stream():
		e.log(api.LevelCrit, "socket is not read any more", api.Field{Key: "source", Value: ro.src.Name()}, api.Field{Key: "error", Value: err})
	case errors.Is(err, io.EOF):
	default:
		e.log(api.LevelDebug, "reading ended", api.Field{Key: "source", Value: ro.src.Name()}, api.Field{Key: "error", Value: err})
	}
}

// noteBatch keeps the overload mark: how far this reader is behind what the
// kernel holds for it. A backlog that a pause left behind is worked off in no
// time; only one that stays over the mark for overloadHold counts.
func (e *Engine) noteBatch(ro *role) {
	if ro.batch.N < transport.BatchSize {
		ro.full = 0
	} else {
		ro.full++
	}
	now := time.Now()
	ro.came = now.UnixNano() - int64(ro.batch.Delay)
	if ro.batch.Delay <= e.net.Overload {
		ro.late = time.Time{}
	} else if ro.late.IsZero() {
		ro.late = now
	}
	behind := !ro.late.IsZero() && now.Sub(ro.late) >= overloadHold ||
		ro.batch.Delay == 0 && ro.full >= overloadBatches
	if behind {
		e.behindAt.Store(now.UnixNano())
	}
	if behind == ro.behind {
		return
	}
	ro.behind = behind
	if behind {
		e.behind.Add(1)
	} else {
		e.behind.Add(-1)
	}
}
