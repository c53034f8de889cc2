package transport

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// streamSender is what sendmsg works on, tied to one Outbox.
type streamSender struct {
	hdr   unix.Msghdr
	iovs  [BatchSize]unix.Iovec
	n     int
	errno syscall.Errno
	call  func(fd uintptr) // send, bound once
}

func (s *streamSender) init() {
	s.hdr.Iov = &s.iovs[0]
	s.call = s.send
}

func (s *streamSender) send(fd uintptr) {
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&s.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == syscall.EINTR {
			continue
		}
		s.n, s.errno = int(n), errno
		if errno != 0 {
			s.n = 0
		}
		return
	}
}

// systemStream is a TCP connection of the system.
type systemStream struct{ raw syscall.RawConn }

func directOf(nc net.Conn) directConn {
	if d, ok := nc.(directConn); ok {
		return d
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return systemStream{raw}
}

func (d systemStream) writeNow(s *streamSender, run []queued) (n, part int, err error) {
	total := 0
	for i := range run {
		s.iovs[i].Base = unsafe.SliceData(run[i].b)
		s.iovs[i].SetLen(len(run[i].b))
		total += len(run[i].b)
	}
	s.hdr.SetIovlen(len(run))
	if err := d.raw.Control(s.call); err != nil {
		return 0, 0, err
	}
	if s.errno != 0 && s.errno != syscall.EAGAIN {
		return 0, 0, s.errno
	}
	if s.n == total {
		return len(run), 0, nil
	}
	part = s.n
	for n < len(run) && part >= len(run[n].b) {
		part -= len(run[n].b)
		n++
	}
	return n, part, nil
}

func (d systemStream) read(c *conn) (int, error) {
	if c.in.fill == nil {
		c.in.fill = c.readNow
	}
	if err := d.raw.Read(c.in.fill); err != nil {
		return 0, err
	}
	if c.in.errno == nil && c.in.n == 0 {
		return 0, io.EOF
	}
	return c.in.n, c.in.errno
}

// readNow reads what is there; false means wait until there is something. The
// buffer is taken for as long as there is.
func (c *conn) readNow(fd uintptr) bool {
	in := &c.in
	if in.buf == nil {
		in.buf = c.m.takeBuf()
	}
	for {
		in.n, in.errno = unix.Read(int(fd), in.buf[in.end:])
		switch in.errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			if in.end == 0 {
				c.m.giveBuf(in.buf)
				in.buf = nil
			}
			return false
		}
		return true
	}
}

// setStreamOptions prepares a listener or a connection before it is bound;
// what a listener accepts inherits them.
func setStreamOptions(c syscall.RawConn, v6 bool, tos int) error {
	return control(c, func(fd int) error { return setTOS(fd, v6, tos) })
}

// setBacklog makes the listener's queue n long; 0 leaves the system's maximum.
func setBacklog(ln net.Listener, n int) error {
	tl, ok := ln.(*net.TCPListener)
	if n <= 0 || !ok {
		return nil
	}
	raw, err := tl.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error { return unix.Listen(fd, n) })
}
