package transport_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

func udpPeer(t testing.TB, addr string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func recv(t testing.TB, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 65536)
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), from
}

func TestUDPBothFamilies(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "[::1]"} {
		t.Run(ip, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			m := start(t, h, transport.Config{Sockets: sockets("udp:" + ip + ":0")})
			s := m.Sockets()[0]
			peer, addr := udpPeer(t, ip+":0")
			if _, err := peer.WriteToUDPAddrPort([]byte(request(1)), s.Addr); err != nil {
				t.Fatal(err)
			}
			got := h.next()
			if got.data != request(1) || got.src.Socket != s || got.src.Remote != addr || got.src.Flow != 0 || got.src.Received.IsZero() {
				t.Fatalf("got %+v", got)
			}
			o := m.NewOutbox(0)
			send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: addr}, "reply", nil)
			if o.Len() != 1 {
				t.Errorf("Len is %d before Flush", o.Len())
			}
			o.Flush()
			if data, from := recv(t, peer); data != "reply" || from != s.Addr || o.Len() != 0 {
				t.Fatalf("peer got %q from %v, %d left", data, from, o.Len())
			}
		})
	}
}

func TestUDPOrderThroughManyBatches(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0", "udp:127.0.0.1:0")})
	a, b := m.Sockets()[0], m.Sockets()[1]
	o := m.NewOutbox(0)
	const n = 200
	for i := range n {
		send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: b.Addr, Socket: a}, fmt.Sprint("m", i), nil)
	}
	o.Flush()
	for i := range n {
		if got := h.next(); got.data != fmt.Sprint("m", i) || got.src.Socket != b || got.src.Remote != a.Addr {
			t.Fatalf("message %d is %+v", i, got)
		}
	}
	if s := m.Stats(); s.Sent != n || s.Received != n || s.SentBytes != s.ReceivedBytes {
		t.Errorf("stats %+v", s)
	}
}

func TestUDPRefusedMessageDoesNotStopOthers(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0", "udp:127.0.0.1:0")})
	a, b := m.Sockets()[0], m.Sockets()[1]
	o, f := m.NewOutbox(0), newFailures()
	good := api.Dest{Proto: api.ProtoUDP, Addr: b.Addr, Socket: a}
	bad := api.Dest{Proto: api.ProtoUDP, Addr: netip.MustParseAddrPort("255.255.255.255:0"), Socket: a}
	send(t, o, good, "one", f.as("one"))
	send(t, o, bad, "two", f.as("two"))
	send(t, o, good, "three", f.as("three"))
	send(t, o, bad, "four", f.as("four"))
	o.Flush()
	if x, y := f.wait(t), f.wait(t); x.name != "two" || y.name != "four" || x.err == nil {
		t.Fatalf("failed: %v, %v", x, y)
	}
	if x, y := h.next(), h.next(); x.data != "one" || y.data != "three" {
		t.Fatalf("got %q, %q", x.data, y.data)
	}
	if s := m.Stats(); s.Sent != 2 || s.SendErrors != 2 {
		t.Errorf("stats %+v", s)
	}
}

// resend sends again, elsewhere, when it hears of a failure.
type resend struct {
	o  *transport.Outbox
	to api.Dest
}

func (r resend) SendFailed(error) {
	if err := r.o.Send(r.to, append(r.o.Buffer(), "second try"...), nil); err != nil {
		panic(err)
	}
	r.o.Flush() // a nested one has to leave the work to the outer
}

func TestObserverMaySend(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0")})
	s := m.Sockets()[0]
	o := m.NewOutbox(0)
	good := api.Dest{Proto: api.ProtoUDP, Addr: s.Addr}
	send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: netip.MustParseAddrPort("255.255.255.255:0")}, "first try", resend{o, good})
	send(t, o, good, "other", nil)
	o.Flush()
	if x, y := h.next(), h.next(); x.data != "other" || y.data != "second try" {
		t.Fatalf("got %q, %q", x.data, y.data)
	}
}

func TestUDPSizes(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0", "udp:[::1]:0")})
	o := m.NewOutbox(0)
	for _, tc := range []struct {
		s    *api.Socket
		size int
	}{{m.Sockets()[0], 65507}, {m.Sockets()[1], 65527}} {
		to := api.Dest{Proto: api.ProtoUDP, Addr: tc.s.Addr}
		if err := o.Send(to, make([]byte, tc.size+1), nil); !errors.Is(err, transport.ErrTooLarge) {
			t.Errorf("%d bytes to %v: %v", tc.size+1, tc.s.Addr, err)
		}
		send(t, o, to, strings.Repeat("x", tc.size), nil)
		o.Flush()
		if got := h.next(); len(got.data) != tc.size {
			t.Errorf("got %d bytes, want %d", len(got.data), tc.size)
		}
	}
}

func TestNoSocket(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0")})
	o := m.NewOutbox(0)
	for _, to := range []api.Dest{
		{Proto: api.ProtoUDP, Addr: netip.MustParseAddrPort("[::1]:5060")},
		{Proto: api.ProtoTCP, Addr: netip.MustParseAddrPort("127.0.0.1:5060")},
	} {
		if err := o.Send(to, []byte("x"), nil); !errors.Is(err, transport.ErrNoSocket) {
			t.Errorf("%+v: %v", to, err)
		}
		if s := o.Pick(to); s != nil {
			t.Errorf("%+v: picked %v", to, s.Name)
		}
	}
}

func TestUDPKeepAlivesAreNoMessages(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0")})
	peer, _ := udpPeer(t, "127.0.0.1:0")
	for _, d := range []string{"\r\n\r\n", "", "\x00\x00\x00\x00", "real", "\r\n", "too"} {
		if _, err := peer.WriteToUDPAddrPort([]byte(d), m.Sockets()[0].Addr); err != nil {
			t.Fatal(err)
		}
	}
	if x, y := h.next(), h.next(); x.data != "real" || y.data != "too" {
		t.Fatalf("got %q, %q", x.data, y.data)
	}
	if s := m.Stats(); s.KeepAlives != 4 || s.Received != 6 {
		t.Errorf("stats %+v", s)
	}
}

func TestReusePort(t *testing.T) {
	h := newHost(t)
	spec := transport.SocketSpec{Listen: "udp:127.0.0.1:0", ReusePort: 4}
	m := start(t, h, transport.Config{Sockets: []transport.SocketSpec{spec}})
	if len(m.Sockets()) != 1 {
		t.Fatalf("%d sockets for one address", len(m.Sockets()))
	}
	readers := map[transport.ReadSource]bool{}
	for i := range 64 {
		peer, addr := udpPeer(t, "127.0.0.1:0")
		for j := range 2 {
			if _, err := peer.WriteToUDPAddrPort(fmt.Append(nil, i, j), m.Sockets()[0].Addr); err != nil {
				t.Fatal(err)
			}
		}
		first, second := h.next(), h.next()
		if first.via != second.via || first.src.Remote != addr {
			t.Fatal("one source met two readers")
		}
		readers[first.via] = true
	}
	if len(readers) < 2 {
		t.Errorf("64 sources met %d reader", len(readers))
	}
	o := m.NewOutbox(3)
	send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: m.Sockets()[0].Addr}, "by the fourth", nil)
	o.Flush()
	if got := h.next(); got.src.Remote != m.Sockets()[0].Addr {
		t.Errorf("came from %v", got.src.Remote)
	}
	// A second program is refused whether it would share or not.
	for _, n := range []int{1, 2} {
		_, err := transport.Listen(transport.Config{Sockets: []transport.SocketSpec{{Listen: m.Sockets()[0].Name, ReusePort: n, Where: "b.lua:7"}}}, h)
		var be *transport.BindError
		if !errors.As(err, &be) || !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), "b.lua:7: cannot listen on udp:127.0.0.1:") {
			t.Errorf("ReusePort %d: %v", n, err)
		}
	}
}

func TestReceiveBufferWarning(t *testing.T) {
	h := newHost(t)
	start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0"), RcvBuf: math.MaxInt32}) // more than any system grants
	if !h.logged("remedy: sysctl -w net.core.rmem_max=2147483647") {
		t.Error("no warning about a small buffer")
	}
}

func TestKernelDropsAreCounted(t *testing.T) {
	h := newHost(t)
	m, err := transport.Listen(transport.Config{Sockets: sockets("udp:127.0.0.1:0"), RcvBuf: 4096}, h)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, h, m)
	peer, _ := udpPeer(t, "127.0.0.1:0")
	big := make([]byte, 1000)
	big[0] = 'x'
	put := func() {
		if _, err := peer.WriteToUDPAddrPort(big, m.Sockets()[0].Addr); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // no one reads yet
		put()
	}
	m.Start()
	h.next()
	for m.Stats().KernelDrops == 0 { // told with the next datagram behind the loss
		put()
		h.next()
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	h := newHost(t)
	m, err := transport.Listen(transport.Config{Sockets: sockets("udp:127.0.0.1:0")}, &holdback{host: h})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, h, m)
	hb := &holdback{host: h}
	m2, err := transport.Listen(transport.Config{Sockets: sockets("udp:127.0.0.1:0")}, hb)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, h, m2)
	m2.Start()
	src, b := hb.sources[0], transport.NewBatch()
	o := m.NewOutbox(0)
	to := api.Dest{Proto: api.ProtoUDP, Addr: m2.Sockets()[0].Addr}
	msg := []byte(request(1))
	round := func() {
		for range 5 {
			if err := o.Send(to, append(o.Buffer(), msg...), nil); err != nil {
				t.Fatal(err)
			}
		}
		o.Flush()
		for n := 0; n < 5; n += b.N {
			if err := src.Read(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("%v allocations for five datagrams sent and received, want none", n)
	}
	if b.Delay < 0 || b.Delay > time.Minute {
		t.Errorf("delay is %v", b.Delay)
	}
}

// holdback keeps sources for the test to read.
type holdback struct {
	*host
	sources []transport.ReadSource
	ch      chan transport.ReadSource // instead of sources, when not nil
}

func (h *holdback) Serve(s transport.ReadSource) {
	if h.ch != nil {
		h.ch <- s
		return
	}
	h.sources = append(h.sources, s)
}
