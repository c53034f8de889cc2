package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
)

type connState uint8

const (
	stateConnecting connState = iota
	stateOpen
	stateClosing // no new messages; closed when the queue is written
	stateClosed
)

// conn is one flow: an accepted connection or one that we open. The reading
// side is in stream.go.
type conn struct {
	m      *Manager
	id     api.Flow
	sock   *api.Socket
	remote netip.AddrPort
	used   atomic.Int64 // when bytes last came or went, Manager.tick

	leaving atomic.Bool // set when it begins to close: not to be used any more

	mu      sync.Mutex
	state   connState
	writing bool // a goroutine writes the queue; others only append to it
	nc      net.Conn
	direct  directConn // nil: all messages go by the queue
	q       []outgoing
	qBytes  int
	cancel  context.CancelFunc // of the connect
	ended   chan struct{}      // made by gone, closed when closed

	// Guarded by Manager.mu.
	accepted, listed bool
	born             int64 // when accepted, Manager.tick
	aliased          netip.AddrPort
	prev, next       *conn

	in inbound
}

// outgoing is one queued message.
type outgoing struct {
	b      []byte
	obs    api.SendObserver
	worker int
}

// entryBytes is what a queued message costs beside its bytes, so that a great
// many small ones (the answers to keep-alives) are bounded too.
const entryBytes = 64

func (m *outgoing) cost() int { return len(m.b) + entryBytes }

// directConn is a connection that can be read and written without waiting.
type directConn interface {
	// writeNow writes what the kernel takes at once: n whole messages of run,
	// and part bytes of the next one.
	writeNow(s *streamSender, run []queued) (n, part int, err error)
	// read waits for bytes. It takes in's buffer only when there are some.
	read(c *conn) (n int, err error)
}

// errStale is a connection that was closed before it took the message.
var errStale = errors.New("connection is stale")

func (c *conn) touch(now time.Time) { c.used.Store(c.m.tick(now)) }

// writeStream sends run, all of it to one destination.
func (o *Outbox) writeStream(run []queued) {
	for len(run) > 0 {
		c, err := o.m.connFor(&run[0])
		n := 0
		if err == nil {
			n, err = c.send(o, run)
		}
		o.sent(run[:n])
		run = run[n:]
		if err == nil || errors.Is(err, errStale) {
			continue // the rest goes by a new connection
		}
		for i := range run {
			o.failed(&run[i], err)
			o.recycle(run[i].b)
		}
		return
	}
}

// send writes or queues run and returns how many messages were taken. The
// memory of a queued one is the connection's from then on.
func (c *conn) send(o *Outbox, run []queued) (n int, err error) {
	c.touch(o.now)
	c.mu.Lock()
	if c.state >= stateClosing {
		c.mu.Unlock()
		return 0, errStale
	}
	part := 0
	if c.state == stateOpen && c.direct != nil && len(c.q) == 0 && !c.writing {
		n, part, err = c.direct.writeNow(&o.stream, run)
		if err != nil {
			c.mu.Unlock()
			c.fail(err)
			return n, errStale
		}
	}
	for n < len(run) && c.qBytes+len(run[n].b)-part+entryBytes <= c.m.cfg.WriteQueueBytes {
		c.queue(outgoing{run[n].b[part:], run[n].obs, o.worker})
		run[n].b, part = nil, 0
		n++
	}
	start := c.startWriter()
	c.mu.Unlock()
	if n < len(run) {
		c.fail(ErrQueueFull)
		return n, ErrQueueFull
	}
	if start {
		c.m.host.Go("stream writer", c.drain)
	}
	return n, nil
}

// queue appends m; mu is held.
func (c *conn) queue(m outgoing) {
	c.q = append(c.q, m)
	c.qBytes += m.cost()
}

// startWriter reports whether the caller has to start drain; mu is held.
func (c *conn) startWriter() bool {
	if c.writing || len(c.q) == 0 || c.state == stateConnecting {
		return false
	}
	c.writing = true
	return true
}

// sendRaw queues bytes that no one waits for: a keep-alive's answer.
func (c *conn) sendRaw(b []byte) {
	c.mu.Lock()
	if c.state != stateOpen {
		c.mu.Unlock()
		return
	}
	full := c.qBytes+len(b)+entryBytes > c.m.cfg.WriteQueueBytes
	if !full {
		c.queue(outgoing{b: b})
	}
	start := c.startWriter()
	c.mu.Unlock()
	if full {
		c.fail(ErrQueueFull)
	} else if start {
		c.m.host.Go("stream writer", c.drain)
	}
}

// Bounds of one write of the queue, so that SendTimeout is about progress.
const (
	drainMsgs  = 64
	drainBytes = 64 << 10
)

// drain writes the queue until it is empty. It alone takes messages off it.
func (c *conn) drain() {
	var bufs net.Buffers
	for {
		c.mu.Lock()
		if len(c.q) == 0 || c.state == stateClosed {
			c.q = nil
			c.writing = false
			closing := c.state == stateClosing
			c.mu.Unlock()
			if closing {
				c.fail(net.ErrClosed)
			}
			return
		}
		bufs = bufs[:0]
		size, cost := 0, 0
		for i := 0; i < len(c.q) && i < drainMsgs && size < drainBytes; i++ {
			bufs = append(bufs, c.q[i].b)
			size += len(c.q[i].b)
			cost += c.q[i].cost()
		}
		n, nc := len(bufs), c.nc
		c.mu.Unlock()
		if err := c.write(nc, bufs); err != nil {
			c.fail(err)
			continue
		}
		c.mu.Lock()
		if c.state != stateClosed {
			clear(c.q[:n])
			c.q = c.q[n:]
			c.qBytes -= cost
		}
		c.mu.Unlock()
	}
}

func (c *conn) write(nc net.Conn, bufs net.Buffers) error {
	now := c.m.host.Now()
	err := nc.SetWriteDeadline(now.Add(c.m.cfg.SendTimeout))
	if err == nil {
		_, err = bufs.WriteTo(nc)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSendTimeout
	}
	c.touch(c.m.host.Now())
	return err
}

// connect opens the connection and writes what has queued up meanwhile.
func (c *conn) connect(ctx context.Context, b *binding) {
	defer c.cancel()
	nc, err := c.m.net.dialTCP(ctx, c.sock.Addr.Addr(), c.remote, b.spec.TOS, &c.m.cfg)
	if err != nil {
		c.m.stats.connectFailed.Add(1)
		c.fail(err)
		return
	}
	c.mu.Lock()
	if c.state == stateClosed {
		c.mu.Unlock()
		c.m.shut(nc)
		return
	}
	serve := c.state == stateConnecting
	if serve {
		c.state = stateOpen
	}
	c.nc, c.direct, c.writing = nc, directOf(nc), true
	c.mu.Unlock()
	c.m.stats.opened.Add(1)
	c.touch(c.m.host.Now())
	if serve {
		c.m.host.Serve(c)
	}
	c.drain()
}

// fail closes the connection at once and tells the observers of all that was
// still queued. The first reason counts.
func (c *conn) fail(why error) {
	c.mu.Lock()
	if c.state == stateClosed {
		c.mu.Unlock()
		return
	}
	c.state = stateClosed
	c.leaving.Store(true)
	q, nc, cancel, ended := c.q, c.nc, c.cancel, c.ended
	c.q, c.qBytes, c.direct = nil, 0, nil
	c.mu.Unlock()
	c.m.forget(c)
	c.m.noteEnd(why)
	if nc != nil {
		c.m.shut(nc)
	} else if cancel != nil {
		cancel()
	}
	if ended != nil {
		close(ended)
	}
	if errors.Is(why, net.ErrClosed) {
		why = ErrClosedFlow
	}
	for _, m := range q {
		if m.obs == nil {
			continue
		}
		c.m.stats.sendErrors.Add(1)
		c.m.host.Post(m.worker, func() { m.obs.SendFailed(why) })
	}
}

// shut closes a connection; that it is closed already is no news.
func (m *Manager) shut(nc net.Conn) {
	if err := nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		m.host.Log(api.LevelDebug, "closing a connection", api.Field{Key: "error", Value: err})
	}
}

func (m *Manager) noteEnd(why error) {
	switch {
	case errors.Is(why, ErrQueueFull):
		m.stats.queueFull.Add(1)
	case errors.Is(why, ErrSendTimeout), errors.Is(why, ErrMsgTime), errors.Is(why, ErrIdle):
		m.stats.timedOut.Add(1)
	}
}

// closeWhenWritten closes the connection behind what is queued.
func (c *conn) closeWhenWritten() {
	c.mu.Lock()
	idle := c.state == stateOpen && len(c.q) == 0 && !c.writing
	if !idle && c.state < stateClosing {
		c.state = stateClosing
		c.leaving.Store(true)
	}
	c.mu.Unlock()
	if idle {
		c.fail(net.ErrClosed)
	}
}

// gone is closed when the connection is.
func (c *conn) gone() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = make(chan struct{})
		if c.state == stateClosed {
			close(c.ended)
		}
	}
	return c.ended
}
