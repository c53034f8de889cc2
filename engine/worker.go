package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/engine/txn"
)

const (
	// drainEvents and drainTime bound what a goroutine with a role of its own
	// does for others before it passes the token to a servant.
	drainEvents = 64
	drainTime   = time.Millisecond
	// flushEvery is the most that is queued before it is handed to the kernel
	// while the token is still held.
	flushEvery = 32
	// inboxRoom bounds what waits in an inbox for a worker that does not keep
	// up, in bytes; messageCost is what a message takes beside its buffer.
	inboxRoom   = 32 << 20
	messageCost = 4 << 10
)

// event is one item of a worker's inbox. Exactly one of in, fn and back is set;
// tick is set alone.
type event struct {
	in   *api.Incoming
	bad  *sip.ParseError // in did not parse
	fn   func()
	back *parked // a parked handler wants its token again
	tick bool
}

// Worker owns the calls that hash to it: their transactions, their timers and
// one Lua state per script generation. It is a token rather than a goroutine:
// whoever brings an event and finds the token free runs it on the spot.
//
// Fields below the line are touched only by the token's holder.
type Worker struct {
	id     int
	engine *Engine

	mu      sync.Mutex // guards held, queue, size and stopped; nothing else is locked below it
	held    bool
	queue   []event
	size    int              // bytes that the messages in queue take
	room    *sync.Cond       // of mu: queue has been taken, or a stream may be read on
	stopped map[api.Flow]int // responses of a stream that wait for their call's queue

	nextDue  atomic.Int64           // Engine.since of the next timer; 0 when none
	live     atomic.Int64           // transactions without a final reply
	holding  atomic.Pointer[runner] // the holder, for the pulse; nil when free
	worked   atomic.Bool            // somebody has held the token since the pulse looked
	counters Counters

	// ---- token ----
	local   []event // taken from queue, not yet handled
	pos     int
	jobs    []job // script runs to do when the protocol step has returned
	calls   map[string]*callQueue
	parked  int
	now     time.Time
	late    time.Time // since when new requests have waited here over the overload mark; zero when they do not
	out     *transport.Outbox
	layer   *txn.Layer
	program Program // live one; new requests run on it
	script  *guard  // program's side of this worker
	apiHost api.Host
	ctxFree []*api.Ctx
}

// Counters are one worker's, read by anyone.
type Counters struct {
	Requests     atomic.Uint64 // received, well-formed
	Responses    atomic.Uint64
	Malformed    atomic.Uint64
	Overload     atomic.Uint64 // requests answered 503 for overload
	QueueFull    atomic.Uint64 // messages refused because their call's queue was full
	InboxFull    atomic.Uint64 // datagrams dropped because the worker's inbox was full
	Parks        atomic.Uint64
	ScriptErrors atomic.Uint64
	Panics       atomic.Uint64 // caught: each ended one script run or event
	Parked       atomic.Int64  // handlers parked now
}

// runner is a goroutine that may hold tokens. slot is its role while it is
// inside a token hold, so that the pulse or a park can take the role away.
type runner struct {
	slot  atomic.Pointer[role]
	since atomic.Int64
}

// deliver puts events into the worker's inbox and, when the token is free,
// takes it and drains. r is the calling goroutine and ro its role, which it
// may lose meanwhile: false then. When the inbox is full datagrams are dropped,
// as the kernel does with what nobody reads, and the reader of a stream waits:
// until the token's holder takes the queue, or what it brought has had its turn.
// ro may be nil where evs are no messages.
func (w *Worker) deliver(r *runner, ro *role, evs ...event) (kept bool) {
	size := 0
	for i := range evs {
		if in := evs[i].in; in != nil {
			size += cap(in.Buf) + messageCost
		}
	}
	w.mu.Lock()
	for size > 0 && (w.size > inboxRoom || len(w.stopped) > 0 && w.stopped[evs[0].in.Source.Flow] > 0) {
		if !ro.src.Stream() {
			w.mu.Unlock()
			w.drop(evs)
			return true
		}
		w.room.Wait()
	}
	w.queue = append(w.queue, evs...)
	w.size += size
	if w.held {
		w.mu.Unlock()
		return true
	}
	w.held = true
	w.mu.Unlock()
	// From here on the role may be taken away; evs is its and not used again.
	r.since.Store(time.Now().UnixNano())
	r.slot.Store(ro)
	w.drain(r)
	return r.slot.Swap(nil) != nil
}

// drop frees messages that nobody else has seen.
func (w *Worker) drop(evs []event) {
	w.counters.InboxFull.Add(uint64(len(evs)))
	for i := range evs {
		evs[i].in.Release()
	}
}

// post is deliver for a goroutine that must not run handlers itself: a servant
// is started when the token is free.
func (w *Worker) post(ev event) {
	w.mu.Lock()
	w.queue = append(w.queue, ev)
	if w.held {
		w.mu.Unlock()
		return
	}
	w.held = true
	w.mu.Unlock()
	w.servant()
}

// servant passes the held token to a fresh goroutine that drains the inbox.
func (w *Worker) servant() {
	if !w.engine.group.start("servant", func() { w.drain(&runner{}) }) {
		w.drain(&runner{})
	}
}

// drain runs events until the inbox is empty and gives the token away; the
// caller holds it. Output goes out before the token does.
func (w *Worker) drain(r *runner) {
	w.take(r)
	start := time.Now()
	queued := start // since when there may be output in the outbox
	w.now = start
	w.runJobs() // left by the goroutine that had the token before
	if due := w.nextDue.Load(); due != 0 && due <= w.engine.since(start) {
		w.step(&event{tick: true}) // cheaper than the pulse's ticker
		w.runJobs()
	}
	for n := 0; ; n++ {
		ev, ok := w.next()
		if !ok {
			if w.settle() {
				continue
			}
			if w.release() {
				return
			}
			continue
		}
		if n > 0 {
			w.now = time.Now()
			if w.out.Len() == 0 {
				queued = w.now
			} else if w.now.Sub(queued) > drainTime {
				w.settle()
			}
		}
		if n%drainEvents == drainEvents-1 {
			w.publish() // who never comes to an end has timers too
		}
		if ev.back != nil {
			w.flush()
			ev.back.ready <- struct{}{} // the token is its now
			return
		}
		w.step(&ev)
		w.runJobs()
		if w.out.Len() >= flushEvery {
			w.settle()
		}
		if r.slot.Load() != nil && (n >= drainEvents || w.now.Sub(start) > drainTime) && w.more() {
			w.settle()
			w.servant()
			return
		}
	}
}

// take tells the pulse who has the token.
func (w *Worker) take(r *runner) {
	w.holding.Store(r)
	if !w.worked.Load() {
		w.worked.Store(true)
	}
	w.engine.pulser.rouse()
}

// settle hands queued output to the kernel and runs what its failures caused;
// it reports whether anything was done.
func (w *Worker) settle() bool {
	did := false
	for w.out.Len() > 0 || len(w.jobs) > 0 {
		did = true
		w.flush()
		w.runJobs()
	}
	return did
}

func (w *Worker) flush() {
	if w.out.Len() > 0 {
		defer w.caught("send failure") // the token must not be lost
		w.out.Flush()
	}
}

// next is the next event, refilled from the inbox in one swap.
func (w *Worker) next() (event, bool) {
	if w.pos == len(w.local) {
		clear(w.local)
		w.mu.Lock()
		w.local, w.queue = w.queue, w.local[:0]
		if w.size > inboxRoom {
			w.room.Broadcast()
		}
		w.size = 0
		w.mu.Unlock()
		w.pos = 0
		if len(w.local) == 0 {
			return event{}, false
		}
	}
	ev := w.local[w.pos]
	w.pos++
	return ev, true
}

// more reports whether events wait.
func (w *Worker) more() bool {
	if w.pos < len(w.local) {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) > 0
}

// release gives the token away unless something has arrived meanwhile.
func (w *Worker) release() bool {
	w.publish()
	w.mu.Lock()
	if len(w.queue) > 0 {
		w.mu.Unlock()
		return false
	}
	w.holding.Store(nil)
	w.held = false
	w.mu.Unlock()
	return true
}

// publish tells others what only the token's holder knows.
func (w *Worker) publish() {
	if n := int64(w.layer.Live()); w.live.Load() != n {
		w.live.Store(n)
	}
	due := int64(0)
	if t := w.layer.Next(); !t.IsZero() {
		due = max(w.engine.since(t), 1)
	}
	if w.nextDue.Load() != due {
		w.nextDue.Store(due)
	}
}

// step is handle with a net under it: a fault of ours ends one event.
func (w *Worker) step(ev *event) {
	defer w.caught("event")
	w.handle(ev)
}

// handle runs the protocol side of one event and, for a new request, its
// script.
func (w *Worker) handle(ev *event) {
	switch {
	case ev.tick:
		w.layer.Tick(w.now)
	case ev.fn != nil:
		ev.fn()
	case ev.bad != nil:
		w.malformed(ev.in, ev.bad)
		ev.in.Release()
	case ev.in.Msg.IsRequest():
		w.counters.Requests.Add(1)
		w.request(ev.in)
	default:
		w.counters.Responses.Add(1)
		if len(w.calls) > 0 && w.hold(ev.in) {
			return
		}
		w.layer.Response(ev.in)
		ev.in.Release()
	}
}

// request runs a new request's script at once, or behind a parked handler of
// the same call.
func (w *Worker) request(in *api.Incoming) {
	c, run := w.layer.Request(in)
	if !run {
		in.Release()
		return
	}
	if why := w.refuse(c, in); why != "" {
		w.unavailable(c, why)
		in.Release()
		return
	}
	if !w.busy(in.Msg.CallID()) {
		w.runRequest(c)
		in.Release()
		return
	}
	w.layer.Parking(c) // as far as the protocol goes, it waits like the parked one
	run = w.Schedule(in.Msg.CallID(), len(in.Buf), func() {
		w.layer.Resumed(c)
		w.runRequest(c)
		in.Release()
	})
	if !run {
		w.layer.Resumed(c)
		w.counters.QueueFull.Add(1)
		w.unavailable(c, "the call has too many messages waiting")
		in.Release()
	}
}

// runRequest runs route.main and ends what the transaction layer began.
func (w *Worker) runRequest(c *api.Ctx) {
	v := w.script.Request(c)
	if v == api.VerdictError {
		w.counters.ScriptErrors.Add(1)
	}
	w.layer.Done(c, v)
}

// unavailable answers 503 with Retry-After and ends the request; an ACK is
// silently dropped.
func (w *Worker) unavailable(c *api.Ctx, why string) {
	if c.Msg.Method() != sip.ACK {
		err := w.layer.StatelessReply(c, 503, "Service Unavailable", &api.ReplyOptions{Headers: retryAfter})
		if err != nil {
			w.log(c, api.LevelWarn, "could not answer 503", api.Field{Key: "error", Value: err})
		}
	}
	c.Done |= api.ActionReplied
	w.log(c, api.LevelWarn, "request refused", api.Field{Key: "reason", Value: why})
	w.layer.Done(c, api.VerdictNone)
}

var retryAfter = []byte("Retry-After: 5\r\n")
