package transport

import (
	"net/netip"
	"time"

	"github.com/luasips/luasips/engine/api"
)

const (
	bufferRoom  = 2048     // an empty buffer; most messages fit
	bufferKeep  = 16 << 10 // larger buffers are left to the collector
	buffersKept = 2 * BatchSize
)

// queued is one message on its way out.
type queued struct {
	to  api.Dest
	via *binding
	b   []byte
	obs api.SendObserver
}

// Outbox gathers what one worker sends while it holds its token. It implements
// api.Outbox; it is touched only with the token held.
type Outbox struct {
	m      *Manager
	worker int
	queue  []queued
	head   int // queue[:head] has been handed over
	free   [][]byte
	mm     *mmsgSender
	stream streamSender
	busy   bool // inside Flush
	now    time.Time
}

var _ api.Outbox = (*Outbox)(nil)

// NewOutbox makes the outbox of one worker; failures that come later are told
// through Host.Post to that worker.
func (m *Manager) NewOutbox(worker int) *Outbox {
	o := &Outbox{m: m, worker: worker, mm: newMmsgSender()}
	o.stream.init()
	return o
}

// Buffer is an empty slice with room for a usual message.
func (o *Outbox) Buffer() []byte {
	if n := len(o.free); n > 0 {
		b := o.free[n-1]
		o.free = o.free[:n-1]
		return b
	}
	return make([]byte, 0, bufferRoom)
}

// recycle takes back a message's memory; that of a queued one is gone (nil).
func (o *Outbox) recycle(b []byte) {
	if cap(b) >= bufferRoom && cap(b) <= bufferKeep && len(o.free) < buffersKept {
		o.free = append(o.free, b[:0])
	}
}

// Len is how many messages wait for Flush.
func (o *Outbox) Len() int { return len(o.queue) - o.head }

// Pick returns the local socket that Send would use for to; nil when none fits.
// A connection's own socket comes first, then to.Socket when it fits, then one
// of the same address, then the one nearest to the destination.
func (o *Outbox) Pick(to api.Dest) *api.Socket {
	if b := o.via(&to); b != nil {
		return b.sock
	}
	return nil
}

func (o *Outbox) via(to *api.Dest) *binding {
	if to.Flow != 0 {
		if c := o.m.flow(to.Flow); c != nil {
			return o.m.binding(c.sock)
		}
	}
	return o.m.pick(to)
}

// Send queues b for Flush. obs hears of failures that come later and may be
// nil. Errors: ErrNoSocket, ErrTooLarge, ErrFlowGone.
func (o *Outbox) Send(to api.Dest, b []byte, obs api.SendObserver) error {
	if to.Addr.Addr().Is4In6() {
		to.Addr = netip.AddrPortFrom(to.Addr.Addr().Unmap(), to.Addr.Port())
	}
	via := o.via(&to)
	if err := o.check(&to, via, len(b)); err != nil {
		o.m.stats.sendErrors.Add(1)
		o.recycle(b)
		return err
	}
	o.queue = append(o.queue, queued{to, via, b, obs})
	return nil
}

func (o *Outbox) check(to *api.Dest, via *binding, size int) error {
	if via == nil {
		return ErrNoSocket
	}
	if to.Proto.Stream() {
		if to.NoOpen && to.Flow != 0 && o.m.flow(to.Flow) == nil {
			return ErrFlowGone
		}
		return nil
	}
	if size > maxDatagram6 || size > maxDatagram4 && to.Addr.Addr().Unmap().Is4() {
		return ErrTooLarge
	}
	return nil
}

// Flush hands everything to the kernel or to the connections' queues, in the
// order of Send, and does not wait for any peer. Observers of messages that
// failed at once are called from here; what they send is flushed too.
func (o *Outbox) Flush() {
	if o.busy || len(o.queue) == 0 {
		return
	}
	o.busy, o.now = true, o.m.host.Now()
	defer o.flushed() // also when an observer panics: what is left goes next time
	for o.head < len(o.queue) {
		n := o.run()
		// Observers may Send from inside, so the run is copied by its bounds,
		// never by a pointer kept across calls.
		first := o.head
		o.head += n
		run := o.queue[first:o.head:o.head]
		if b := run[0].via; len(b.ports) > 0 {
			b.ports[o.worker%len(b.ports)].write(o, run)
			o.sent(run)
		} else {
			o.writeStream(run)
		}
	}
	clear(o.queue)
	o.queue, o.head = o.queue[:0], 0
}

func (o *Outbox) flushed() { o.busy = false }

// run is how many messages at the head can be handed over in one call: by one
// UDP socket, or to one peer by stream.
func (o *Outbox) run() int {
	q := o.queue[o.head:]
	first := &q[0]
	n := 1
	for n < len(q) && n < BatchSize && q[n].via == first.via && (!first.to.Proto.Stream() || q[n].to == first.to) {
		n++
	}
	return n
}

// sent counts and recycles datagrams behind their write.
func (o *Outbox) sent(run []queued) {
	n, size := uint64(0), uint64(0)
	for i := range run {
		if run[i].via != nil {
			n++
			size += uint64(len(run[i].b))
		}
		o.recycle(run[i].b)
	}
	o.m.stats.sent.Add(n)
	o.m.stats.sentBytes.Add(size)
}

// failed tells q's observer, with the token held. The mark it leaves keeps q
// out of the count of what was sent.
func (o *Outbox) failed(q *queued, err error) {
	q.via = nil
	o.m.stats.sendErrors.Add(1)
	if q.obs != nil {
		q.obs.SendFailed(err)
	}
}
