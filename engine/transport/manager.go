package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// Manager holds all sockets and connections of one engine. Its methods may be
// called from any goroutine.
type Manager struct {
	cfg      Config
	host     Host
	net      network
	bindings []*binding // by api.Socket.Index
	sockets  []*api.Socket
	book     book
	done     chan struct{} // closed by Close
	start    time.Time
	stats    counters
	bufs     sync.Pool // of *[]byte, read buffers of connections

	mu       sync.RWMutex
	closed   bool
	nextFlow api.Flow
	flows    map[api.Flow]*conn
	peers    map[peerKey]*conn // connections to send by without naming the flow
	sources  map[netip.Prefix]int
	accepted int
	opened   int
	fresh    freshList // accepted connections that have not brought a message yet
}

// binding is one bound address.
type binding struct {
	sock   *api.Socket
	spec   *SocketSpec
	subnet netip.Prefix
	ports  []datagramPort // UDP: SocketSpec.ReusePort of them
	ln     net.Listener   // streams
}

// peerKey finds a connection to reuse (RFC 3261 §18.1.1): same local socket,
// same peer.
type peerKey struct {
	sock *api.Socket
	addr netip.AddrPort
}

// network is where sockets live: the system's, or a Wire.
type network interface {
	names() (names, error)
	listenUDP(w want, sock *api.Socket, cfg *Config, host Host) ([]datagramPort, netip.AddrPort, error)
	listenTCP(w want, cfg *Config) (net.Listener, netip.AddrPort, error)
	dialTCP(ctx context.Context, local netip.Addr, remote netip.AddrPort, tos int, cfg *Config) (net.Conn, error)
}

// Listen binds everything that cfg names, or nothing and returns an error that
// names the declaration. Nothing is received before Start.
func Listen(cfg Config, h Host) (*Manager, error) {
	m := &Manager{
		cfg: cfg.withDefaults(), host: h, done: make(chan struct{}), start: h.Now(),
		flows: map[api.Flow]*conn{}, peers: map[peerKey]*conn{}, sources: map[netip.Prefix]int{},
	}
	m.net = systemNet{}
	if cfg.Wire != nil {
		m.net = cfg.Wire
	}
	n, err := m.net.names()
	if err != nil {
		return nil, err
	}
	wants, err := expand(cfg.Sockets, &n)
	if err != nil {
		return nil, err
	}
	for _, w := range wants {
		if err := m.bind(w, &n); err != nil {
			m.closeSockets()
			return nil, err
		}
	}
	if err := m.book.build(m, wants); err != nil {
		m.closeSockets()
		return nil, err
	}
	return m, nil
}

func (m *Manager) bind(w want, n *names) (err error) {
	b := &binding{spec: w.spec, subnet: n.subnet(w.addr.Addr())}
	b.sock, err = newSocket(w, len(m.sockets))
	if err == nil {
		var got netip.AddrPort
		if w.proto.Stream() {
			b.ln, got, err = m.net.listenTCP(w, &m.cfg)
		} else {
			b.ports, got, err = m.net.listenUDP(w, b.sock, &m.cfg, m.host)
		}
		if err == nil {
			settlePort(b.sock, got)
		}
	}
	if err != nil {
		return &BindError{Listen: w.proto.String() + ":" + w.addr.String(), Where: w.spec.Where, Err: err}
	}
	m.bindings = append(m.bindings, b)
	m.sockets = append(m.sockets, b.sock)
	return nil
}

// newSocket describes what is about to be bound.
func newSocket(w want, index int) (*api.Socket, error) {
	s := &api.Socket{Index: index, Proto: w.proto, Addr: w.addr, Tag: w.spec.Tag}
	if w.spec.As == "" {
		// A zone means nothing to others and has no place in a Via (RFC 3261 §25.1).
		s.Host = bracketed(w.addr.Addr().WithZone("").String())
		return s, nil
	}
	host, port, err := splitHostPort(w.spec.As)
	if err != nil {
		return nil, fmt.Errorf("advertised address %q: %w", w.spec.As, err)
	}
	s.Host, s.Advertised = bracketed(host), true
	if port == "" {
		return s, nil
	}
	if s.Port, err = parsePort(port); err == nil && s.Port == 0 {
		err = errors.New("an advertised port cannot be 0")
	}
	return s, err
}

// settlePort fills in what depends on the port, which the system chose when 0
// was asked for.
func settlePort(s *api.Socket, got netip.AddrPort) {
	s.Addr = got
	if s.Port == 0 {
		s.Port = got.Port()
	}
	s.Name = s.Proto.String() + ":" + got.String()
	s.SentBy = fmt.Sprintf("%s:%d", s.Host, s.Port)
}

// Start hands all sockets to Host.Serve and begins to accept connections.
func (m *Manager) Start() {
	for _, b := range m.bindings {
		for _, p := range b.ports {
			m.host.Serve(p)
		}
		if b.ln != nil {
			m.host.Go("accept "+b.sock.Name, func() { m.accept(b) })
		}
	}
}

// Sockets are all sockets in the order of declaration. The slice is shared.
func (m *Manager) Sockets() []*api.Socket { return m.sockets }

// Close stops accepting, waits until what is queued on connections is written
// or ctx is done, and closes everything. Blocked Reads return net.ErrClosed.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	all := make([]*conn, 0, len(m.flows))
	for _, c := range m.flows {
		all = append(all, c)
	}
	m.mu.Unlock()
	close(m.done)
	err := m.closeSockets()
	for _, c := range all {
		c.closeWhenWritten()
	}
	for _, c := range all {
		select {
		case <-c.gone():
		case <-ctx.Done():
			c.fail(ErrClosedFlow)
		}
	}
	return err
}

func (m *Manager) closeSockets() error {
	var errs []error
	for _, b := range m.bindings {
		for _, p := range b.ports {
			errs = append(errs, p.Close())
		}
		if b.ln != nil {
			errs = append(errs, b.ln.Close())
		}
	}
	return errors.Join(errs...)
}

// binding finds a socket's own record; nil when the socket is not ours.
func (m *Manager) binding(s *api.Socket) *binding {
	if s == nil || s.Index >= len(m.bindings) || m.bindings[s.Index].sock != s {
		return nil
	}
	return m.bindings[s.Index]
}

// pick chooses the socket to send from: the one asked for when it fits, then
// one of the same address, then one in the destination's network, then one that
// agrees on being loopback or not, then any; each time the first declared.
func (m *Manager) pick(to *api.Dest) *binding {
	if b := m.binding(to.Socket); b != nil && b.fits(to) {
		return b
	}
	var best *binding
	score := 0
	for _, b := range m.bindings {
		if !b.fits(to) {
			continue
		}
		if s := b.score(to); best == nil || s > score {
			best, score = b, s
		}
	}
	return best
}

func (b *binding) fits(to *api.Dest) bool {
	return b.sock.Proto == to.Proto && sameFamily(b.sock.Addr.Addr(), to.Addr.Addr())
}

func (b *binding) score(to *api.Dest) int {
	s := 0
	if to.Socket != nil && to.Socket.Addr.Addr() == b.sock.Addr.Addr() {
		s += 4
	}
	if b.subnet.Contains(to.Addr.Addr()) {
		s += 2
	}
	if b.sock.Addr.Addr().IsLoopback() == to.Addr.Addr().IsLoopback() {
		s++
	}
	return s
}

// Stats are counts since the start, but for the numbers of what is open now.
type Stats struct {
	Received, Sent           uint64 // messages
	ReceivedBytes, SentBytes uint64
	SendErrors               uint64 // messages that could not be handed over
	KernelDrops              uint64 // datagrams dropped because a socket's receive buffer was full
	KeepAlives               uint64 // datagrams without a message, CRLFCRLF pings

	Accepted, Opened uint64 // connections
	ConnectFailed    uint64
	Refused          uint64 // accepted connections closed for MaxConns or MaxConnsPerSource
	AcceptErrors     uint64
	FrameErrors      uint64 // connections closed because they were not SIP
	TimedOut         uint64 // connections closed for MaxMsgTime, SendTimeout or IdleLifetime
	QueueFull        uint64 // connections closed for WriteQueueBytes
	Connections      int    // open or connecting now
}

type counters struct {
	received, sent, receivedBytes, sentBytes, sendErrors, keepAlives    atomic.Uint64
	accepted, opened, connectFailed, refused, acceptErrors, frameErrors atomic.Uint64
	timedOut, queueFull                                                 atomic.Uint64
}

// Stats reads all counters; each is exact, together they are not one instant.
func (m *Manager) Stats() Stats {
	c := &m.stats
	s := Stats{
		Received: c.received.Load(), Sent: c.sent.Load(), ReceivedBytes: c.receivedBytes.Load(), SentBytes: c.sentBytes.Load(),
		SendErrors: c.sendErrors.Load(), KeepAlives: c.keepAlives.Load(),
		Accepted: c.accepted.Load(), Opened: c.opened.Load(), ConnectFailed: c.connectFailed.Load(), Refused: c.refused.Load(),
		AcceptErrors: c.acceptErrors.Load(), FrameErrors: c.frameErrors.Load(), TimedOut: c.timedOut.Load(), QueueFull: c.queueFull.Load(),
	}
	for _, b := range m.bindings {
		for _, p := range b.ports {
			p.count(&s)
		}
	}
	m.mu.RLock()
	s.Connections = len(m.flows)
	m.mu.RUnlock()
	return s
}

// tick is t as nanoseconds on the monotonic clock.
func (m *Manager) tick(t time.Time) int64 { return int64(t.Sub(m.start)) }
