package transport

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// wireBuffer is what one direction of a connection in memory holds before the
// writer has to wait, like a kernel's socket buffers.
const wireBuffer = 64 << 10

// wireConn is one end of a TCP connection in memory.
type wireConn struct {
	in, out       *wireHalf
	local, remote net.Addr
}

// wireHalf is one direction.
type wireHalf struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	eof     bool // the writer has closed
	cut     bool // the reader has closed
	rd, wr  wireDeadline
}

type wireDeadline struct {
	at    time.Time
	timer *time.Timer
}

func wirePair(from, to netip.AddrPort) (here, there *wireConn) {
	a, b := newWireHalf(), newWireHalf()
	fa, ta := net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)
	return &wireConn{a, b, fa, ta}, &wireConn{b, a, ta, fa}
}

func newWireHalf() *wireHalf {
	h := &wireHalf{}
	h.changed.L = &h.mu
	return h
}

// expired reports whether the deadline has passed; the half's mu is held.
func (d *wireDeadline) expired() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set is called with h.mu held.
func (h *wireHalf) set(d *wireDeadline, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
}

func (h *wireHalf) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.cut:
			return 0, net.ErrClosed
		case h.rd.expired():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.changed.Broadcast()
			return n, nil
		case h.eof:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

// write takes what there is room for; wait has it wait for more room.
func (h *wireHalf) write(p []byte, wait bool) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.eof:
			return n, net.ErrClosed
		case h.cut:
			return n, syscall.EPIPE
		case wait && h.wr.expired():
			return n, os.ErrDeadlineExceeded
		}
		if k := min(len(p)-n, wireBuffer-len(h.buf)); k > 0 {
			h.buf = append(h.buf, p[n:n+k]...)
			n += k
			h.changed.Broadcast()
		}
		if n == len(p) || !wait {
			return n, nil
		}
		h.changed.Wait()
	}
}

// Read waits for bytes, the deadline, or the end.
func (c *wireConn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write waits for room.
func (c *wireConn) Write(p []byte) (int, error) { return c.out.write(p, true) }

// LocalAddr is a *net.TCPAddr.
func (c *wireConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is a *net.TCPAddr.
func (c *wireConn) RemoteAddr() net.Addr { return c.remote }

// Close lets the peer read what was written and then the end.
func (c *wireConn) Close() error {
	c.out.mu.Lock()
	again := c.out.eof
	c.out.eof = true
	c.out.set(&c.out.wr, time.Time{})
	c.out.mu.Unlock()
	c.in.mu.Lock()
	c.in.cut = true
	c.in.set(&c.in.rd, time.Time{})
	c.in.mu.Unlock()
	if again {
		return net.ErrClosed
	}
	return nil
}

// SetDeadline sets both.
func (c *wireConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Reads, the one under way too.
func (c *wireConn) SetReadDeadline(t time.Time) error { return c.in.deadline(&c.in.rd, t) }

// SetWriteDeadline bounds Writes, the one under way too.
func (c *wireConn) SetWriteDeadline(t time.Time) error { return c.out.deadline(&c.out.wr, t) }

func (h *wireHalf) deadline(d *wireDeadline, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d == &h.rd && h.cut || d == &h.wr && h.eof {
		return net.ErrClosed
	}
	h.set(d, t)
	return nil
}

func (c *wireConn) writeNow(_ *streamSender, run []queued) (n, part int, err error) {
	for n < len(run) {
		part, err = c.out.write(run[n].b, false)
		if err != nil || part < len(run[n].b) {
			return n, part, err
		}
		n++
	}
	return n, 0, nil
}

func (c *wireConn) read(f *conn) (int, error) {
	if f.in.buf == nil {
		f.in.buf = f.m.takeBuf()
	}
	return c.Read(f.in.buf[f.in.end:])
}
