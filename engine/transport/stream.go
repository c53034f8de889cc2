package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

const (
	readRoom = 8 << 10 // a connection's buffer while it has bytes; grows to the message limit
	// lingerTime and lingerBytes bound how long a connection that is not SIP
	// is kept for the answer to reach the peer.
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

var pong = []byte("\r\n")

// inbound is the reading side of a connection. Its reading role owns it.
type inbound struct {
	buf      []byte // nil while the connection is idle
	off, end int    // buf[off:end] is not cut yet
	frame    sip.FrameState
	proved   bool
	err      error     // final
	last     time.Time // when bytes last came
	began    time.Time // when the first byte of an unfinished message came; zero: none
	deadline time.Time // as set on the connection
	fill     func(fd uintptr) bool
	n        int // of the last fill
	errno    error
}

// Name is protocol, our address and the peer's.
func (c *conn) Name() string { return c.sock.Name + " " + c.remote.String() }

// Stream is true.
func (c *conn) Stream() bool { return true }

// Read cuts messages out of what the peer has sent, waiting for a whole one.
func (c *conn) Read(b *Batch) error {
	b.N, b.Delay = 0, 0
	for c.in.err == nil {
		if err := c.cut(b); err != nil {
			return err
		}
		if b.N > 0 {
			return nil
		}
		if err := c.more(); err != nil {
			c.in.err = err
			c.fail(err)
		}
	}
	return c.in.err
}

// cut moves whole messages into b.
func (c *conn) cut(b *Batch) error {
	in := &c.in
	size := 0
	for b.N < BatchSize && in.off < in.end {
		skip, n, ping, err := sip.Frame(in.buf[in.off:in.end], &c.m.cfg.Limits, &in.frame)
		in.off += skip
		if ping {
			c.m.stats.keepAlives.Add(1)
			c.sendRaw(pong)
		}
		if n > 0 {
			c.put(b, n, err)
			size += n
		}
		if err != nil {
			c.m.stats.frameErrors.Add(1)
			in.err = &FrameError{Source: c.source(), Err: err}
			return in.err
		}
		if n == 0 {
			break
		}
	}
	if b.N > 0 {
		c.m.stats.received.Add(uint64(b.N))
		c.m.stats.receivedBytes.Add(uint64(size))
		if !in.proved {
			in.proved = true
			c.m.proved(c)
		}
	}
	return nil
}

func (c *conn) put(b *Batch, n int, bad error) {
	in := &c.in
	b.room(b.N)
	b.P[b.N] = Packet{Data: in.buf[in.off : in.off+n : in.off+n], Source: c.source(), Bad: bad}
	b.N++
	in.off += n
	in.began = time.Time{}
}

func (c *conn) source() api.Source {
	return api.Source{Socket: c.sock, Remote: c.remote, Flow: c.id, Received: c.in.last}
}

// more waits for further bytes, at most until the message at hand, or the
// connection, is out of time.
func (c *conn) more() error {
	in := &c.in
	c.makeRoom()
	if in.began.IsZero() && in.end > 0 && !(in.end == 1 && in.buf[0] == '\r') {
		in.began = in.last
	}
	for {
		if err := c.arm(); err != nil {
			return err
		}
		n, err := c.receive()
		if n > 0 {
			in.end += n
			in.last = c.m.host.Now()
			c.touch(in.last)
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		in.deadline = time.Time{}
		if limit, why := c.limit(); !c.m.host.Now().Before(limit) {
			return why
		}
	}
}

// makeRoom moves what is left to the front, and lends the buffer back when
// nothing is.
func (c *conn) makeRoom() {
	in := &c.in
	switch {
	case in.off == in.end:
		if in.buf != nil {
			c.m.giveBuf(in.buf)
			in.buf = nil
		}
	case in.off > 0:
		copy(in.buf, in.buf[in.off:in.end])
	}
	in.end -= in.off
	in.off = 0
	if in.buf != nil && in.end == len(in.buf) {
		grown := make([]byte, 2*len(in.buf))
		copy(grown, in.buf[:in.end])
		c.m.giveBuf(in.buf)
		in.buf = grown
	}
}

// receive reads once. An idle connection that can be asked whether there is
// anything holds no buffer meanwhile.
func (c *conn) receive() (int, error) {
	c.mu.Lock()
	nc, direct := c.nc, c.direct
	c.mu.Unlock()
	if direct != nil {
		return direct.read(c)
	}
	if c.in.buf == nil {
		c.in.buf = c.m.takeBuf()
	}
	return nc.Read(c.in.buf[c.in.end:])
}

// limit is when the connection is out of time, and why.
func (c *conn) limit() (time.Time, error) {
	if !c.in.began.IsZero() {
		return c.in.began.Add(c.m.cfg.MaxMsgTime), ErrMsgTime
	}
	return c.m.start.Add(time.Duration(c.used.Load())).Add(c.m.cfg.IdleLifetime), ErrIdle
}

// arm sets the read deadline. One that stands earlier is left: when it fires,
// more finds that there is time yet. So a busy connection sets few.
func (c *conn) arm() error {
	limit, _ := c.limit()
	if !c.in.deadline.IsZero() && !c.in.deadline.After(limit) {
		return nil
	}
	c.in.deadline = limit
	return c.nc.SetReadDeadline(limit)
}

// Close ends the connection behind what is queued. When the peer was not
// speaking SIP it is kept for a moment, so that the answer is not overtaken by
// a reset.
func (c *conn) Close() error {
	var fe *FrameError
	if errors.As(c.in.err, &fe) {
		c.m.host.Go("linger", c.linger)
		return nil
	}
	c.closeWhenWritten()
	return nil
}

// linger swallows what the peer still sends.
func (c *conn) linger() {
	if err := c.nc.SetReadDeadline(c.m.host.Now().Add(lingerTime)); err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(c.nc, lingerBytes))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
			c.m.host.Log(api.LevelDebug, "closing a broken stream", api.Field{Key: "error", Value: err})
		}
	}
	c.closeWhenWritten()
}

func (m *Manager) takeBuf() []byte {
	if p, ok := m.bufs.Get().(*[readRoom]byte); ok {
		return p[:]
	}
	return make([]byte, readRoom)
}

func (m *Manager) giveBuf(b []byte) {
	if len(b) == readRoom {
		m.bufs.Put((*[readRoom]byte)(b))
	}
}
