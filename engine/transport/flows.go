package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// evictAge is how long an accepted connection has at least before it may make
// room for another because it has not brought a message yet.
const evictAge = time.Second

// flow finds a live connection; nil when it is gone or about to be.
func (m *Manager) flow(f api.Flow) *conn {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return usable(m.flows[f])
}

func usable(c *conn) *conn {
	if c == nil || c.leaving.Load() {
		return nil
	}
	return c
}

// connFor finds the connection that q goes by, or begins to open one
// (RFC 3261 §18.1.1 and, for a response whose connection is gone, §18.2.2).
func (m *Manager) connFor(q *queued) (*conn, error) {
	if q.to.Flow != 0 {
		if c := m.flow(q.to.Flow); c != nil {
			return c, nil
		}
	}
	m.mu.RLock()
	c := usable(m.peers[peerKey{q.via.sock, q.to.Addr}])
	m.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	if q.to.NoOpen {
		return nil, ErrFlowGone
	}
	return m.open(q.via, q.to.Addr)
}

// open enters a connecting flow; messages queue in it from now on.
func (m *Manager) open(b *binding, addr netip.AddrPort) (*conn, error) {
	key := peerKey{b.sock, addr}
	m.mu.Lock()
	if c := usable(m.peers[key]); c != nil {
		m.mu.Unlock()
		return c, nil
	}
	if m.closed || m.opened >= m.cfg.MaxConns {
		closed := m.closed
		m.mu.Unlock()
		if closed {
			return nil, ErrClosedFlow
		}
		return nil, ErrTooManyConns
	}
	c := m.enter(b, addr)
	m.opened++
	m.peers[key] = c
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.ConnectTimeout)
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	m.host.Go("connect "+addr.String(), func() { c.connect(ctx, b) })
	return c, nil
}

// enter makes a flow; mu is held.
func (m *Manager) enter(b *binding, remote netip.AddrPort) *conn {
	m.nextFlow++
	c := &conn{m: m, id: m.nextFlow, sock: b.sock, remote: remote}
	c.touch(m.host.Now())
	m.flows[c.id] = c
	return c
}

// forget takes a closed connection out of the tables.
func (m *Manager) forget(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flows[c.id] != c {
		return
	}
	delete(m.flows, c.id)
	m.unkey(c, c.remote)
	if c.aliased.IsValid() {
		m.unkey(c, c.aliased)
	}
	if !c.accepted {
		m.opened--
		return
	}
	m.accepted--
	m.fresh.remove(c)
	src := source(c.remote.Addr())
	if m.sources[src]--; m.sources[src] <= 0 {
		delete(m.sources, src)
	}
}

func (m *Manager) unkey(c *conn, addr netip.AddrPort) {
	if k := (peerKey{c.sock, addr}); m.peers[k] == c {
		delete(m.peers, k)
	}
}

// source is what MaxConnsPerSource counts by.
func source(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// accept takes connections until the listener is closed. Handshakes and bytes
// are the reading role's; here nothing waits for a peer.
func (m *Manager) accept(b *binding) {
	var wait time.Duration
	for {
		nc, err := b.ln.Accept()
		if err == nil {
			wait = 0
			m.admit(b, nc)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m.stats.acceptErrors.Add(1)
		if wait == 0 {
			m.host.Log(api.LevelError, "cannot accept connections; trying again", api.Field{Key: "socket", Value: b.sock.Name}, api.Field{Key: "error", Value: err})
		}
		wait = min(max(2*wait, 10*time.Millisecond), time.Second)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-m.done:
			t.Stop()
			return
		}
	}
}

// admit starts a connection, or closes it when there are too many.
func (m *Manager) admit(b *binding, nc net.Conn) {
	ta, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		m.refuse(nc)
		return
	}
	remote := ta.AddrPort()
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	c, victim := m.admitted(b, remote)
	if victim != nil {
		victim.fail(ErrTooManyConns)
	}
	if c == nil {
		m.refuse(nc)
		return
	}
	m.stats.accepted.Add(1)
	c.mu.Lock()
	closed := c.state != stateConnecting
	if !closed {
		c.state, c.nc, c.direct = stateOpen, nc, directOf(nc)
	}
	c.mu.Unlock()
	if closed { // by Close, meanwhile
		m.refuse(nc)
		c.fail(net.ErrClosed)
		return
	}
	m.host.Serve(c)
}

func (m *Manager) refuse(nc net.Conn) {
	m.stats.refused.Add(1)
	if err := nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		m.host.Log(api.LevelDebug, "closing a refused connection", api.Field{Key: "error", Value: err})
	}
}

// admitted enters an accepted connection; nil when the limits forbid it. A
// victim is an older one that has brought nothing and has to go for it. What is
// sent to the very address and port that the peer connected from goes by it.
func (m *Manager) admitted(b *binding, remote netip.AddrPort) (c, victim *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	src, limit := source(remote.Addr()), m.cfg.MaxConnsPerSource
	if m.closed || limit > 0 && m.sources[src] >= limit {
		return nil, nil
	}
	if m.accepted >= m.cfg.MaxConns {
		victim = m.fresh.oldest()
		if victim == nil || m.tick(m.host.Now())-victim.born < int64(evictAge) {
			return nil, nil
		}
		m.fresh.remove(victim)
	}
	c = m.enter(b, remote)
	c.accepted, c.born = true, c.used.Load()
	if k := (peerKey{b.sock, remote}); usable(m.peers[k]) == nil {
		m.peers[k] = c
	}
	m.accepted++
	m.sources[src]++
	m.fresh.push(c)
	return c, victim
}

// proved notes that an accepted connection has brought a whole message.
func (m *Manager) proved(c *conn) {
	m.mu.Lock()
	m.fresh.remove(c)
	m.mu.Unlock()
}

// freshList holds connections in the order of their coming.
type freshList struct{ first, last *conn }

func (l *freshList) oldest() *conn { return l.first }

func (l *freshList) push(c *conn) {
	c.listed, c.prev = true, l.last
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
}

func (l *freshList) remove(c *conn) {
	if !c.listed {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.listed, c.prev, c.next = false, nil, nil
}

// CloseFlow closes a connection behind what is queued on it
// (tcp_close_conn); false when it is gone already.
func (m *Manager) CloseFlow(f api.Flow) bool {
	c := m.flow(f)
	if c == nil {
		return false
	}
	c.closeWhenWritten()
	return true
}

// FlowTo finds an open connection to "ip:port", the newest of several; 0 when
// there is none or addr is no such thing.
func (m *Manager) FlowTo(addr string) api.Flow {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return 0
	}
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	m.mu.RLock()
	defer m.mu.RUnlock()
	var best api.Flow
	for f, c := range m.flows {
		if f > best && usable(c) != nil && (c.remote == ap || c.aliased == ap) {
			best = f
		}
	}
	return best
}

// AddAlias lets requests to the peer's address and port go by its accepted
// connection (RFC 5923 §5, force_tcp_alias). false when aliases are not
// accepted, the connection is gone, or another one has that address.
func (m *Manager) AddAlias(f api.Flow, port uint16) bool {
	if !m.cfg.AcceptAlias || port == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := usable(m.flows[f])
	if c == nil || !c.accepted {
		return false
	}
	addr := netip.AddrPortFrom(c.remote.Addr(), port)
	key := peerKey{c.sock, addr}
	if owner := usable(m.peers[key]); owner != nil || c.aliased.IsValid() {
		return owner == c
	}
	m.peers[key], c.aliased = c, addr
	return true
}

func (systemNet) listenTCP(w want, cfg *Config) (net.Listener, netip.AddrPort, error) {
	v6 := w.addr.Addr().Is6()
	lc := net.ListenConfig{KeepAliveConfig: cfg.keepAlive(), Control: func(_, _ string, c syscall.RawConn) error {
		return setStreamOptions(c, v6, w.spec.TOS)
	}}
	if cfg.NoKeepAlive {
		lc.KeepAlive = -1
	}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), tcpNetwork(v6), w.addr.String())
	if err != nil {
		return nil, w.addr, err
	}
	if err := setBacklog(ln, cfg.Backlog); err != nil {
		return nil, w.addr, errors.Join(err, ln.Close())
	}
	return ln, ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (systemNet) dialTCP(ctx context.Context, local netip.Addr, remote netip.AddrPort, tos int, cfg *Config) (net.Conn, error) {
	v6 := remote.Addr().Is6()
	d := net.Dialer{
		LocalAddr:       net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)),
		KeepAliveConfig: cfg.keepAlive(),
		Control:         func(_, _ string, c syscall.RawConn) error { return setStreamOptions(c, v6, tos) },
	}
	if cfg.NoKeepAlive {
		d.KeepAlive = -1
	}
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(ctx, tcpNetwork(v6), remote.String())
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return nc, nil
}

func (c *Config) keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: !c.NoKeepAlive, Idle: c.KeepAliveIdle, Interval: c.KeepAliveInterval, Count: c.KeepAliveCount}
}

func tcpNetwork(v6 bool) string {
	if v6 {
		return "tcp6"
	}
	return "tcp4"
}
