package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// wireQueue is how many datagrams a port in memory holds; more are lost, as
// with a full receive buffer.
const wireQueue = 4096

// Wire is a network in memory, for tests under a stopped clock: UDP ports and
// TCP connections between any addresses, with losses on request. Config.Wire
// puts a Manager on it; test endpoints are opened by ListenUDP, ListenTCP and
// Dial. Nothing in it knows the time, but for delays that the hook asks for.
type Wire struct {
	mu        sync.Mutex
	ifaces    []iface
	ports     map[netip.AddrPort]*WirePort
	listeners map[netip.AddrPort]*wireListener
	holes     map[netip.AddrPort]bool
	hook      func(Datagram) Fate
	lastPort  uint16
}

// NewWire makes a network without hosts. Every address exists on it.
func NewWire() *Wire {
	return &Wire{ports: map[netip.AddrPort]*WirePort{}, listeners: map[netip.AddrPort]*wireListener{}, holes: map[netip.AddrPort]bool{}, lastPort: 32767}
}

// AddInterface gives wildcards and interface names of socket declarations
// something to expand to.
func (w *Wire) AddInterface(name string, addrs ...netip.Prefix) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ifaces = append(w.ifaces, iface{name, addrs})
}

// Datagram is one UDP message on the wire.
type Datagram struct {
	From, To netip.AddrPort
	Data     []byte
}

// Fate is what the network does to a datagram. Its zero value delivers it.
type Fate struct {
	Drop  bool
	Extra int           // further copies
	Delay time.Duration // of the datagram and its copies; others overtake it
}

// SetHook has f decide about, and see, every datagram; nil delivers all. f is
// called without locks, by whoever sends, and must not keep Data.
func (w *Wire) SetHook(f func(d Datagram) Fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = f
}

// Blackhole has connects to addr hang until they time out.
func (w *Wire) Blackhole(addr string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holes[ap] = true
	return nil
}

// ephemeral is a free port; mu is held.
func (w *Wire) ephemeral(ip netip.Addr) netip.AddrPort {
	for {
		if w.lastPort++; w.lastPort < 32768 {
			w.lastPort = 32768
		}
		ap := netip.AddrPortFrom(ip, w.lastPort)
		if w.ports[ap] == nil && w.listeners[ap] == nil {
			return ap
		}
	}
}

func (w *Wire) names() (names, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return names{ifaces: append([]iface(nil), w.ifaces...), lookup: func(host string) ([]netip.Addr, error) {
		return nil, fmt.Errorf("the network in memory has no name %q", host)
	}}, nil
}

// WirePort is a UDP port on a Wire.
type WirePort struct {
	w      *Wire
	addr   netip.AddrPort
	mu     sync.Mutex
	queue  []Datagram
	closed bool
	ready  chan struct{} // holds one when the queue may have something
	done   chan struct{}
	lost   atomic.Uint64
}

// ListenUDP opens a port; port 0 takes any. The error matches EADDRINUSE when
// it is taken.
func (w *Wire) ListenUDP(addr string) (*WirePort, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return w.openUDP(ap)
}

func (w *Wire) openUDP(ap netip.AddrPort) (*WirePort, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ap.Port() == 0 {
		ap = w.ephemeral(ap.Addr())
	}
	if w.ports[ap] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: syscall.EADDRINUSE}
	}
	p := &WirePort{w: w, addr: ap, ready: make(chan struct{}, 1), done: make(chan struct{})}
	w.ports[ap] = p
	return p, nil
}

// Addr is the port's address.
func (p *WirePort) Addr() netip.AddrPort { return p.addr }

// Close ends the port; blocked Recvs return net.ErrClosed.
func (p *WirePort) Close() error {
	p.w.mu.Lock()
	if p.w.ports[p.addr] == p {
		delete(p.w.ports, p.addr)
	}
	p.w.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed = true
	close(p.done)
	return nil
}

// Send sends a copy of b. What arrives where no port is open is lost.
func (p *WirePort) Send(to netip.AddrPort, b []byte) {
	d := Datagram{From: p.addr, To: to, Data: append([]byte(nil), b...)}
	p.w.mu.Lock()
	hook := p.w.hook
	p.w.mu.Unlock()
	var f Fate
	if hook != nil {
		f = hook(d)
	}
	if f.Drop {
		return
	}
	for range 1 + f.Extra {
		if f.Delay <= 0 {
			p.w.deliver(d)
			continue
		}
		time.AfterFunc(f.Delay, func() { p.w.deliver(d) })
	}
}

func (w *Wire) deliver(d Datagram) {
	w.mu.Lock()
	p := w.ports[d.To]
	w.mu.Unlock()
	if p == nil {
		return
	}
	d.Data = append([]byte(nil), d.Data...)
	p.mu.Lock()
	if len(p.queue) < wireQueue {
		p.queue = append(p.queue, d)
	} else {
		p.lost.Add(1)
	}
	p.mu.Unlock()
	p.wake()
}

func (p *WirePort) wake() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// take moves up to max datagrams to out.
func (p *WirePort) take(out []Datagram, max int) []Datagram {
	p.mu.Lock()
	n := min(max, len(p.queue))
	out = append(out, p.queue[:n]...)
	clear(p.queue[:n])
	p.queue = p.queue[n:]
	rest := len(p.queue) > 0
	p.mu.Unlock()
	if rest {
		p.wake()
	}
	return out
}

// Recv waits for one datagram, at most timeout (os.ErrDeadlineExceeded).
func (p *WirePort) Recv(timeout time.Duration) (Datagram, error) {
	t := time.NewTimer(timeout)
	defer t.Stop()
	for {
		if got := p.take(nil, 1); len(got) > 0 {
			return got[0], nil
		}
		select {
		case <-p.ready:
		case <-p.done:
			return Datagram{}, net.ErrClosed
		case <-t.C:
			return Datagram{}, os.ErrDeadlineExceeded
		}
	}
}

// wireUDP is a WirePort as the Manager's socket.
type wireUDP struct {
	port     *WirePort
	sock     *api.Socket
	now      func() time.Time
	scratch  []Datagram
	received atomic.Uint64
	bytes    atomic.Uint64
}

func (w *Wire) listenUDP(want want, sock *api.Socket, _ *Config, host Host) ([]datagramPort, netip.AddrPort, error) {
	p, err := w.openUDP(want.addr)
	if err != nil {
		return nil, want.addr, err
	}
	return []datagramPort{&wireUDP{port: p, sock: sock, now: host.Now}}, p.addr, nil
}

func (p *wireUDP) Name() string { return p.sock.Name }
func (p *wireUDP) Stream() bool { return false }
func (p *wireUDP) Close() error { return p.port.Close() }

func (p *wireUDP) count(s *Stats) {
	s.Received += p.received.Load()
	s.ReceivedBytes += p.bytes.Load()
	s.KernelDrops += p.port.lost.Load()
}

func (p *wireUDP) Read(b *Batch) error {
	b.room(BatchSize)
	for b.N = 0; b.N == 0; {
		p.scratch = p.port.take(p.scratch[:0], BatchSize)
		if len(p.scratch) == 0 {
			select {
			case <-p.port.ready:
				continue
			case <-p.port.done:
				return net.ErrClosed
			}
		}
		p.put(b)
	}
	return nil
}

func (p *wireUDP) put(b *Batch) {
	now := p.now()
	for _, d := range p.scratch {
		p.bytes.Add(uint64(len(d.Data)))
		if isKeepAlive(d.Data) {
			continue
		}
		b.P[b.N] = Packet{Data: d.Data, Source: api.Source{Socket: p.sock, Remote: d.From, Received: now}}
		b.N++
	}
	p.received.Add(uint64(b.N))
}

func (p *wireUDP) write(_ *Outbox, run []queued) {
	for i := range run {
		p.port.Send(run[i].to.Addr, run[i].b)
	}
}

// wireListener accepts connections in memory.
type wireListener struct {
	w     *Wire
	addr  netip.AddrPort
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// ListenTCP opens a listener; port 0 takes any.
func (w *Wire) ListenTCP(addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return w.openTCP(ap)
}

func (w *Wire) openTCP(ap netip.AddrPort) (*wireListener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ap.Port() == 0 {
		ap = w.ephemeral(ap.Addr())
	}
	if w.listeners[ap] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	l := &wireListener{w: w, addr: ap, queue: make(chan net.Conn, 128), done: make(chan struct{})}
	w.listeners[ap] = l
	return l, nil
}

func (w *Wire) listenTCP(want want, _ *Config) (net.Listener, netip.AddrPort, error) {
	l, err := w.openTCP(want.addr)
	if err != nil {
		return nil, want.addr, err
	}
	return l, l.addr, nil
}

// Accept waits for a connection; net.ErrClosed after Close.
func (l *wireListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr is the listening address.
func (l *wireListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// Close frees the address and resets connections that wait to be accepted.
func (l *wireListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		l.w.mu.Lock()
		delete(l.w.listeners, l.addr)
		l.w.mu.Unlock()
		close(l.done)
		err = nil
		for {
			select {
			case c := <-l.queue:
				err = errors.Join(err, c.Close())
			default:
				return
			}
		}
	})
	return err
}

// Dial connects from an address (port 0: any) to another.
func (w *Wire) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	f, err := netip.ParseAddrPort(from)
	if err != nil {
		return nil, err
	}
	t, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil, err
	}
	return w.dial(ctx, f, t)
}

func (w *Wire) dialTCP(ctx context.Context, local netip.Addr, remote netip.AddrPort, _ int, _ *Config) (net.Conn, error) {
	return w.dial(ctx, netip.AddrPortFrom(local, 0), remote)
}

func (w *Wire) dial(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	if from.Port() == 0 {
		from = w.ephemeral(from.Addr())
	}
	l, hole := w.listeners[to], w.holes[to]
	w.mu.Unlock()
	fail := func(err error) (net.Conn, error) {
		return nil, fmt.Errorf("cannot connect: %w", &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err})
	}
	if hole {
		<-ctx.Done()
		return fail(ctx.Err())
	}
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	here, there := wirePair(from, to)
	select {
	case l.queue <- there:
		return here, nil
	case <-l.done:
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}
