package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/luasips/luasips/engine/api"
)

// batchIO sends and receives datagrams in batches. The system calls are made
// here and not through golang.org/x/net because that allocates an address for
// every message. They do not wait (MSG_DONTWAIT) and work on 32 messages at
// most, so they are raw: telling the scheduler about each costs a tenth of it.
//
// The socket is not in the runtime's poller, which would wait for room to send
// as well: the kernel then wakes it whenever a datagram that was sent has left,
// for nothing. Instead the poller watches a poll set that holds the socket and
// asks for input alone.
//
// Under load it also lets datagrams gather: while they come fast, the reader
// sleeps for gather between two reads, and the poll set is deaf to the socket so
// that nothing ends the sleep. Each wake-up costs about as much as handling a
// message does. The clock is in the poll set as well: a timer of the runtime's
// wakes several threads for each sleep.
type batchIO struct {
	fd     uintptr         // the socket; open until set is closed
	clock  uintptr         // a timer that set looks at; open likewise
	set    *os.File        // the poll set
	raw    syscall.RawConn // of set: waits, and guards fd against Close
	gather time.Duration   // 0: never
	closed atomic.Bool
	pace   pace
	deaf   bool // the poll set does not look at the socket
	last   int  // datagrams of the last read

	armed bool                   // the clock runs for the sleep at hand
	slept func(set uintptr) bool // sleep's wait, bound once
}

const (
	// gatherMin is how many datagrams must be expected for a sleep to pay.
	gatherMin = 3
	// paceWindow is what the pace is measured over.
	paceWindow = 20 * time.Millisecond
)

// pace measures how fast datagrams come.
type pace struct {
	since time.Time
	n     int
	every time.Duration // between two, over the last window; 0 when not known
}

func (p *pace) note(n int, now time.Time) {
	if p.since.IsZero() {
		p.since = now
	}
	p.n += n
	if d := now.Sub(p.since); d >= paceWindow {
		p.every = d / time.Duration(p.n)
		p.since, p.n = now, 0
	}
}

// brings tells whether at least n datagrams come in d.
func (p *pace) brings(n int, d time.Duration) bool {
	return p.every > 0 && p.every*time.Duration(n) <= d
}

// openIO takes over the socket of c, and closes c.
func openIO(c *net.UDPConn, gather time.Duration) (datagramIO, error) {
	fd, err := ownDescriptor(c)
	if err != nil {
		return nil, err
	}
	set, err := inputOf(fd)
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	clock, err := clockIn(set)
	if err != nil {
		return nil, errors.Join(err, set.Close(), unix.Close(fd))
	}
	s := &batchIO{fd: uintptr(fd), clock: uintptr(clock), set: set, gather: gather}
	s.slept = s.arm
	if s.raw, err = set.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// clockIn is a stopped timer that makes the poll set readable when it goes off.
func clockIn(set *os.File) (clock int, err error) {
	if clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return 0, err
	}
	raw, err := set.SyscallConn()
	if err == nil {
		err = control(raw, func(set int) error {
			return unix.EpollCtl(set, unix.EPOLL_CTL_ADD, clock, &unix.EpollEvent{Events: unix.EPOLLIN})
		})
	}
	if err != nil {
		return 0, errors.Join(err, unix.Close(clock))
	}
	return clock, nil
}

// ownDescriptor is a descriptor of c's socket that is not the runtime's.
func ownDescriptor(c *net.UDPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err == nil {
		err = control(raw, func(of int) (err error) {
			fd, err = unix.FcntlInt(uintptr(of), unix.F_DUPFD_CLOEXEC, 0)
			return err
		})
	}
	return fd, errors.Join(err, c.Close())
}

// inputOf is a poll set that becomes readable when the socket fd does.
func inputOf(fd int) (*os.File, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	if err == nil {
		err = unix.SetNonblock(set, true) // so that the runtime's poller takes it
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(set))
	}
	return os.NewFile(uintptr(set), "udp input"), nil
}

// Close ends a waiting read and returns when no call uses the socket any more.
func (s *batchIO) Close() error {
	if s.closed.Swap(true) {
		return net.ErrClosed
	}
	return errors.Join(s.set.Close(), unix.Close(int(s.fd)), unix.Close(int(s.clock)))
}

// why is an error of the poll set as one of a socket.
func (s *batchIO) why(err error) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// sendWait bounds how long a full send buffer is waited for.
const sendWait = 5 // ms

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// sockaddr holds a sockaddr_in6 or, in its first bytes, a sockaddr_in.
type sockaddr = unix.RawSockaddrInet6

// mmsgBatch is what recvmmsg works on, tied to one Batch.
type mmsgBatch struct {
	hdrs  [BatchSize]mmsghdr
	iovs  [BatchSize]unix.Iovec
	names [BatchSize]sockaddr
	ctl   [96]byte // control messages of the first datagram: its time, drops so far

	fd    uintptr // the socket
	n     int
	errno syscall.Errno
	call  func(set uintptr) bool // receive, bound once
	once  func(set uintptr)      // the same without waiting
}

func newMmsgBatch(buf []byte) *mmsgBatch {
	m := &mmsgBatch{}
	for i := range m.hdrs {
		m.iovs[i].Base = &buf[i*datagramRoom]
		m.iovs[i].SetLen(datagramRoom)
		m.hdrs[i].hdr.Name = (*byte)(unsafe.Pointer(&m.names[i]))
		m.hdrs[i].hdr.Iov = &m.iovs[i]
		m.hdrs[i].hdr.SetIovlen(1)
	}
	m.hdrs[0].hdr.Control = &m.ctl[0]
	m.n = BatchSize
	m.call = m.receive
	m.once = func(set uintptr) { m.receive(set) }
	return m
}

func (m *mmsgBatch) receive(uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, m.fd, uintptr(unsafe.Pointer(&m.hdrs[0])), BatchSize, unix.MSG_DONTWAIT, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		m.errno, m.n = errno, int(n)
		if errno != 0 {
			m.n = 0
		}
		return errno != syscall.EAGAIN
	}
}

func (s *batchIO) read(p *udpPort, b *Batch) error {
	if b.mm == nil {
		b.buf = make([]byte, BatchSize*datagramRoom)
		b.mm = newMmsgBatch(b.buf)
		b.room(BatchSize)
	}
	m := b.mm
	for i := range m.n { // the ones that the last call wrote to
		m.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	m.hdrs[0].hdr.SetControllen(len(m.ctl))
	m.fd = s.fd
	if err := s.receive(m); err != nil {
		return s.why(err)
	}
	s.last = m.n
	if m.errno != 0 {
		return m.errno
	}
	now := p.now()
	s.pace.note(m.n, now)
	b.Delay = p.control(m, now)
	for i := range m.n {
		b.P[i] = Packet{
			Data:   b.buf[i*datagramRoom:][:m.hdrs[i].len:datagramRoom],
			Source: api.Source{Socket: p.sock, Remote: addrPort(&m.names[i]), Received: now},
		}
	}
	b.N = m.n
	return nil
}

// receive brings a batch: what has gathered during a sleep where they come fast,
// else what comes next.
func (s *batchIO) receive(m *mmsgBatch) error {
	if s.gather > 0 && s.last < BatchSize && s.pace.brings(gatherMin, s.gather) {
		if err := s.listen(false); err != nil {
			return err
		}
		s.armed = false
		if err := s.raw.Read(s.slept); err != nil {
			return err
		}
		if err := s.raw.Control(m.once); err != nil || m.errno != syscall.EAGAIN {
			return err
		}
	}
	if err := s.listen(true); err != nil {
		return err
	}
	return s.raw.Read(m.call)
}

// arm starts the clock at its first call; that it is called again means that the
// poll set has woken. It is called inside the poller's wait, so that the clock
// cannot go off unseen before.
func (s *batchIO) arm(uintptr) (woken bool) {
	if s.armed {
		return true
	}
	t := unix.ItimerSpec{Value: unix.NsecToTimespec(s.gather.Nanoseconds())}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMERFD_SETTIME, s.clock, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	s.armed = true
	return errno != 0
}

// listen has the poll set look at the socket, or not.
func (s *batchIO) listen(on bool) error {
	if s.deaf == !on {
		return nil
	}
	return s.turn(on)
}

func (s *batchIO) turn(on bool) error {
	var ev unix.EpollEvent
	if on {
		ev.Events = unix.EPOLLIN
	}
	err := control(s.raw, func(set int) error { return unix.EpollCtl(set, unix.EPOLL_CTL_MOD, int(s.fd), &ev) })
	if err == nil {
		s.deaf = !on
	}
	return err
}

// control reads the first datagram's control messages: how long it waited, and
// how many datagrams the kernel has dropped so far.
func (p *udpPort) control(m *mmsgBatch, now time.Time) (delay time.Duration) {
	left := int(m.hdrs[0].hdr.Controllen)
	for off := 0; left-off >= unix.SizeofCmsghdr; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&m.ctl[off]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || off+size > left {
			break
		}
		data := unsafe.Pointer(&m.ctl[off+unix.CmsgLen(0)])
		if h.Level == unix.SOL_SOCKET {
			switch {
			case h.Type == unix.SO_TIMESTAMPNS && size >= unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{}))):
				delay = max(0, time.Duration(now.UnixNano()-(*unix.Timespec)(data).Nano()))
			case h.Type == unix.SO_RXQ_OVFL && size >= unix.CmsgLen(4):
				p.drops.Store(*(*uint32)(data))
			}
		}
		off += unix.CmsgSpace(size - unix.CmsgLen(0))
	}
	return delay
}

// mmsgSender is what sendmmsg works on, tied to one Outbox.
type mmsgSender struct {
	hdrs  [BatchSize]mmsghdr
	iovs  [BatchSize]unix.Iovec
	names [BatchSize]sockaddr

	from, n int     // hdrs[from:n] are to be sent
	fd      uintptr // the socket
	sent    int
	errno   syscall.Errno
	call    func(set uintptr) // send, bound once
}

func newMmsgSender() *mmsgSender {
	m := &mmsgSender{}
	for i := range m.hdrs {
		m.hdrs[i].hdr.Iov = &m.iovs[i]
		m.hdrs[i].hdr.SetIovlen(1)
		m.hdrs[i].hdr.Name = (*byte)(unsafe.Pointer(&m.names[i]))
	}
	m.call = m.send
	return m
}

func (m *mmsgSender) send(uintptr) {
	waited := false
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, m.fd, uintptr(unsafe.Pointer(&m.hdrs[m.from])), uintptr(m.n-m.from), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN && !waited:
			waited = true
			poll := []unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLOUT}}
			if _, err := unix.Poll(poll, sendWait); err == nil || err == syscall.EINTR {
				continue
			}
		}
		m.errno, m.sent = errno, int(n)
		if errno != 0 {
			m.sent = 0
		}
		return
	}
}

func (s *batchIO) write(o *Outbox, run []queued) {
	m := o.mm
	m.fd = s.fd
	for len(run) > 0 {
		k := min(len(run), BatchSize)
		for i := range k {
			m.iovs[i].Base = unsafe.SliceData(run[i].b)
			m.iovs[i].SetLen(len(run[i].b))
			m.hdrs[i].hdr.Namelen = setSockaddr(&m.names[i], run[i].to.Addr)
		}
		s.sendAll(o, run[:k])
		run = run[k:]
	}
}

// sendAll sends what is laid out in o.mm. A message that the kernel refuses is
// told to its observer, and the ones behind it go on.
func (s *batchIO) sendAll(o *Outbox, run []queued) {
	m := o.mm
	m.from, m.n = 0, len(run)
	for m.from < m.n {
		if err := s.raw.Control(m.call); err != nil {
			for i := m.from; i < m.n; i++ {
				o.failed(&run[i], s.why(err))
			}
			return
		}
		m.from += m.sent
		if m.errno != 0 {
			o.failed(&run[m.from], m.errno)
			m.from++
		}
	}
}

// addrPort reads a socket address without allocating.
func addrPort(sa *sockaddr) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	p := uint16(port[0])<<8 | uint16(port[1])
	if sa.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr), p)
	}
	a := netip.AddrFrom16(sa.Addr).Unmap()
	if sa.Scope_id != 0 && a.IsLinkLocalUnicast() {
		a = a.WithZone(strconv.Itoa(int(sa.Scope_id)))
	}
	return netip.AddrPortFrom(a, p)
}

// setSockaddr writes ap and returns the length of what it wrote.
func setSockaddr(sa *sockaddr, ap netip.AddrPort) uint32 {
	a := ap.Addr().Unmap()
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port[0], port[1] = byte(ap.Port()>>8), byte(ap.Port())
	if a.Is4() {
		sa.Family = unix.AF_INET
		(*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr = a.As4()
		return unix.SizeofSockaddrInet4
	}
	sa.Family, sa.Addr, sa.Scope_id, sa.Flowinfo = unix.AF_INET6, a.As16(), 0, 0
	if z := a.Zone(); z != "" {
		sa.Scope_id = scopeID(z)
	}
	return unix.SizeofSockaddrInet6
}

func scopeID(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// setUDPOptions prepares a socket before it is bound.
func setUDPOptions(c syscall.RawConn, v6, share bool, tos int) error {
	return control(c, func(fd int) error {
		if share {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
				return err
			}
		}
		for _, opt := range []int{unix.SO_RXQ_OVFL, unix.SO_TIMESTAMPNS} {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 1); err != nil {
				return err
			}
		}
		return setTOS(fd, v6, tos)
	})
}

func setTOS(fd int, v6 bool, tos int) error {
	switch {
	case tos == 0:
		return nil
	case v6:
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tos)
}

// setBuffers asks for size bytes each way and returns what is in effect for
// receiving. The forced form needs CAP_NET_ADMIN, the other obeys rmem_max.
func setBuffers(c syscall.RawConn, size int) (got int) {
	err := control(c, func(fd int) error {
		for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], size) == nil {
				continue
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], size); err != nil {
				return err
			}
		}
		v, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		got = v / 2 // the kernel doubles it for its own use
		return err
	})
	if err != nil {
		return 0
	}
	return got
}

// control runs f on the descriptor and returns its error or that of reaching it.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
