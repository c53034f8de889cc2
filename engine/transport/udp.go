package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// What one datagram carries (RFC 768 less the IP header): 65,507 bytes over
// IPv4, and over IPv6 without jumbograms 65,527.
const (
	maxDatagram4 = 65507
	maxDatagram6 = 65527
	datagramRoom = 65536
)

// datagramPort is one UDP socket, real or in memory.
type datagramPort interface {
	ReadSource
	// write sends run, which goes out by this port, in order, and tells o of
	// every message that was not taken. Any number of goroutines may call it.
	write(o *Outbox, run []queued)
	count(s *Stats)
}

// udpPort is a UDP socket of the system.
type udpPort struct {
	io   datagramIO
	sock *api.Socket
	now  func() time.Time

	received, bytes, keepAlives atomic.Uint64
	drops                       atomic.Uint32 // by the kernel, since the socket was made
}

// datagramIO is how datagrams get in and out of a socket: in batches where the
// system can, one by one elsewhere.
type datagramIO interface {
	// read brings what waits, at least one datagram; an error may pass.
	read(p *udpPort, b *Batch) error
	// write sends run in order and tells o of what was not taken.
	write(o *Outbox, run []queued)
	Close() error
}

func (p *udpPort) Name() string { return p.sock.Name }
func (p *udpPort) Stream() bool { return false }
func (p *udpPort) Close() error { return p.io.Close() }

func (p *udpPort) count(s *Stats) {
	s.Received += p.received.Load()
	s.ReceivedBytes += p.bytes.Load()
	s.KeepAlives += p.keepAlives.Load()
	s.KernelDrops += uint64(p.drops.Load())
}

// Read brings the datagrams that wait, after at least one has come. Those that
// only keep a NAT binding open are dropped here.
func (p *udpPort) Read(b *Batch) error {
	for {
		b.N = 0
		if err := p.io.read(p, b); err != nil {
			if passing(err) {
				continue
			}
			return err
		}
		p.received.Add(uint64(b.N))
		if p.dropKeepAlives(b); b.N > 0 {
			return nil
		}
	}
}

// passing tells that a read failed for what does not last: an ICMP error about
// something sent before, an interface that went down, memory that was short.
func passing(err error) bool {
	for _, e := range [...]error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dropKeepAlives takes out what holds no message (RFC 5626 §3.5.1 and the
// NULs and CRLFs that phones send to keep their NAT open).
func (p *udpPort) dropKeepAlives(b *Batch) {
	n, size := 0, 0
	for i := range b.N {
		size += len(b.P[i].Data)
		if isKeepAlive(b.P[i].Data) {
			continue
		}
		if n != i {
			b.P[n] = b.P[i]
		}
		n++
	}
	if n < b.N {
		p.keepAlives.Add(uint64(b.N - n))
	}
	p.bytes.Add(uint64(size))
	b.N = n
}

func isKeepAlive(d []byte) bool {
	for _, c := range d {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

func (p *udpPort) write(o *Outbox, run []queued) { p.io.write(o, run) }

// singleIO is the portable way: one datagram a call.
type singleIO struct{ conn *net.UDPConn }

func (s singleIO) Close() error { return s.conn.Close() }

func (s singleIO) read(p *udpPort, b *Batch) error {
	if b.buf == nil {
		b.buf = make([]byte, datagramRoom)
	}
	b.room(BatchSize)
	n, from, err := s.conn.ReadFromUDPAddrPort(b.buf)
	if err != nil {
		return err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	b.N = 1
	b.P[0] = Packet{Data: b.buf[:n], Source: api.Source{Socket: p.sock, Remote: from, Received: p.now()}}
	return nil
}

func (s singleIO) write(o *Outbox, run []queued) {
	for i := range run {
		if _, err := s.conn.WriteToUDPAddrPort(run[i].b, run[i].to.Addr); err != nil {
			o.failed(&run[i], err)
		}
	}
}

// systemNet is the system's network.
type systemNet struct{}

func (systemNet) names() (names, error) { return machine() }

func (systemNet) listenUDP(w want, sock *api.Socket, cfg *Config, host Host) ([]datagramPort, netip.AddrPort, error) {
	n, addr := max(w.spec.ReusePort, 1), w.addr
	first, err := openUDP(addr, false, w.spec.TOS)
	if err != nil {
		return nil, addr, err
	}
	addr = first.LocalAddr().(*net.UDPAddr).AddrPort()
	conns := []*net.UDPConn{first}
	if n > 1 {
		// The port was free: the first socket was bound without sharing. Now
		// that no other program has it, all of them are bound with it.
		if conns, err = shareUDP(first, addr, n, w.spec.TOS); err != nil {
			return nil, addr, err
		}
	}
	ports := make([]datagramPort, 0, n)
	for _, c := range conns {
		raw, err := c.SyscallConn()
		if err != nil {
			return nil, addr, err
		}
		if got := setBuffers(raw, cfg.RcvBuf); got < cfg.RcvBuf && len(ports) == 0 {
			host.Log(api.LevelWarn, fmt.Sprintf("receive buffer is smaller than asked; bursts will be lost; remedy: sysctl -w net.core.rmem_max=%d", cfg.RcvBuf),
				api.Field{Key: "socket", Value: w.proto.String() + ":" + addr.String()}, api.Field{Key: "bytes", Value: float64(got)}, api.Field{Key: "asked", Value: float64(cfg.RcvBuf)})
		}
		dio, err := openIO(c, cfg.Gather)
		if err != nil {
			return nil, addr, err
		}
		ports = append(ports, &udpPort{io: dio, sock: sock, now: host.Now})
	}
	return ports, addr, nil
}

func shareUDP(probe *net.UDPConn, addr netip.AddrPort, n, tos int) (conns []*net.UDPConn, err error) {
	if err := probe.Close(); err != nil {
		return nil, err
	}
	for range n {
		c, err := openUDP(addr, true, tos)
		if err != nil {
			for _, c := range conns {
				err = errors.Join(err, c.Close())
			}
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func openUDP(addr netip.AddrPort, share bool, tos int) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return setUDPOptions(c, addr.Addr().Is6(), share, tos)
	}}
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	pc, err := lc.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}
