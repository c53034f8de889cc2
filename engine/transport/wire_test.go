package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

// onWire runs f in a bubble of stopped time with a manager on a wire.
func onWire(t *testing.T, cfg transport.TCP, f func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, h := transport.NewWire(), newHost(t)
		m, err := transport.Listen(transport.Config{Sockets: sockets("udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"), TCP: cfg, Wire: w}, h)
		if err != nil {
			t.Fatal(err)
		}
		m.Start()
		defer stop(t, h, m)
		f(t, w, h, m)
	})
}

func wirePort(t *testing.T, w *transport.Wire, addr string) *transport.WirePort {
	t.Helper()
	p, err := w.ListenUDP(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wireDial(t *testing.T, w *transport.Wire) net.Conn {
	t.Helper()
	c, err := w.Dial(context.Background(), "10.0.0.9:0", "10.0.0.1:5060")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWireSplitAtEveryByte(t *testing.T) {
	onWire(t, transport.TCP{}, func(t *testing.T, w *transport.Wire, h *host, _ *transport.Manager) {
		two := "\r\n" + request(1) + request(2)
		for i := 1; i < len(two); i++ {
			c := wireDial(t, w)
			write(t, c, two[:i])
			synctest.Wait() // the first part has been read
			write(t, c, two[i:])
			if x, y := h.next(), h.next(); x.data != request(1) || y.data != request(2) {
				t.Fatalf("split at %d: %q, %q", i, x.data, y.data)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if e := h.end(); e.err != io.EOF {
				t.Fatalf("split at %d: ended by %v", i, e.err)
			}
		}
	})
}

func TestWireDatagramsAndFates(t *testing.T) {
	onWire(t, transport.TCP{}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		p := wirePort(t, w, "10.0.0.9:0")
		o := m.NewOutbox(0)
		to := api.Dest{Proto: api.ProtoUDP, Addr: p.Addr()}
		seen := 0
		w.SetHook(func(d transport.Datagram) transport.Fate {
			seen++
			switch string(d.Data) {
			case "lost":
				return transport.Fate{Drop: true}
			case "twice":
				return transport.Fate{Extra: 1}
			case "late":
				return transport.Fate{Delay: time.Second}
			}
			return transport.Fate{}
		})
		for _, s := range []string{"late", "lost", "twice", "plain"} {
			send(t, o, to, s, nil)
		}
		begin := time.Now()
		o.Flush()
		for _, want := range []string{"twice", "twice", "plain", "late"} {
			d, err := p.Recv(patience)
			if err != nil || string(d.Data) != want || d.From != m.Sockets()[0].Addr {
				t.Fatalf("got %q from %v, %v; want %q", d.Data, d.From, err, want)
			}
		}
		if took := time.Since(begin); took != time.Second || seen != 4 {
			t.Errorf("took %v, hook saw %d", took, seen)
		}
		p.Send(m.Sockets()[0].Addr, []byte("\r\n"))
		p.Send(m.Sockets()[0].Addr, []byte("in"))
		if got := h.next(); got.data != "in" || got.src.Remote != p.Addr() {
			t.Errorf("got %+v", got)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Recv(time.Second); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Recv behind Close: %v", err)
		}
	})
}

func TestWireBusyAddress(t *testing.T) {
	onWire(t, transport.TCP{}, func(t *testing.T, w *transport.Wire, h *host, _ *transport.Manager) {
		for _, s := range []string{"udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"} {
			if _, err := transport.Listen(transport.Config{Sockets: sockets(s), Wire: w}, h); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
}

func TestWireConnectDeadline(t *testing.T) {
	onWire(t, transport.TCP{ConnectTimeout: 3 * time.Second}, func(t *testing.T, w *transport.Wire, _ *host, m *transport.Manager) {
		if err := w.Blackhole("10.0.0.7:5060"); err != nil {
			t.Fatal(err)
		}
		o, f := m.NewOutbox(0), newFailures()
		to := api.Dest{Proto: api.ProtoTCP, Addr: netip.MustParseAddrPort("10.0.0.7:5060")}
		begin := time.Now()
		send(t, o, to, "a", f.as("a"))
		o.Flush()
		send(t, o, to, "b", f.as("b"))
		o.Flush()
		if took := time.Since(begin); took != 0 {
			t.Fatalf("Flush waited %v", took)
		}
		for _, want := range []string{"a", "b"} {
			if got := f.wait(t); got.name != want || !errors.Is(got.err, context.DeadlineExceeded) {
				t.Fatalf("failure %+v, want of %q", got, want)
			}
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("told after %v, want 3s", took)
		}
	})
}

func TestWireMessageAndIdleTimes(t *testing.T) {
	onWire(t, transport.TCP{}, func(t *testing.T, w *transport.Wire, h *host, _ *transport.Manager) {
		slow, idle := wireDial(t, w), wireDial(t, w)
		begin := time.Now()
		for i := range 3 { // one byte a second
			write(t, slow, request(1)[i:i+1])
			time.Sleep(time.Second)
		}
		e := <-h.ends
		if took := time.Since(begin); !errors.Is(e.err, transport.ErrMsgTime) || took != 4*time.Second {
			t.Errorf("slow one ended by %v after %v", e.err, took)
		}
		write(t, idle, "\r\n") // a keep-alive counts
		begin = time.Now()
		synctest.Wait()
		e = <-h.ends
		if took := time.Since(begin); !errors.Is(e.err, transport.ErrIdle) || took != 120*time.Second {
			t.Errorf("idle one ended by %v after %v", e.err, took)
		}
	})
}

func TestWireOwnTrafficKeepsConnection(t *testing.T) {
	onWire(t, transport.TCP{}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		c := wireDial(t, w)
		write(t, c, request(1))
		src := h.next().src
		o := m.NewOutbox(0)
		begin := time.Now()
		for range 4 { // a minute apart
			send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: src.Remote, Flow: src.Flow}, "x", nil)
			o.Flush()
			readN(t, c, 1)
			time.Sleep(time.Minute)
		}
		e := <-h.ends
		if took := time.Since(begin); !errors.Is(e.err, transport.ErrIdle) || took != 5*time.Minute {
			t.Errorf("ended by %v after %v, want two minutes behind the last message", e.err, took)
		}
	})
}

func TestWireNeverReadingPeer(t *testing.T) {
	onWire(t, transport.TCP{SendTimeout: 2 * time.Second}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		c := wireDial(t, w)
		write(t, c, request(1))
		src := h.next().src
		o, f := m.NewOutbox(0), newFailures()
		begin := time.Now()
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: src.Remote, Flow: src.Flow}, strings.Repeat("x", 256<<10), f)
		o.Flush()
		if time.Since(begin) != 0 {
			t.Fatal("Flush waited")
		}
		if got := f.wait(t); !errors.Is(got.err, transport.ErrSendTimeout) || time.Since(begin) != 2*time.Second {
			t.Errorf("failed by %v after %v", got.err, time.Since(begin))
		}
		h.end()
	})
}

// TestWirePingsOfANeverReadingPeer: answers of two bytes wait in a queue for which
// their bytes alone are no bound.
func TestWirePingsOfANeverReadingPeer(t *testing.T) {
	onWire(t, transport.TCP{WriteQueueBytes: 32 << 10}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		c := wireDial(t, w)
		write(t, c, request(1))
		src, o := h.next().src, m.NewOutbox(0)
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: src.Remote, Flow: src.Flow}, strings.Repeat("x", 65<<10), nil) // more than the wire takes
		o.Flush()
		pings := 0
		for ; m.Stats().Connections == 1 && pings < 1000; pings++ {
			write(t, c, "\r\n\r\n")
			synctest.Wait() // it has been read
		}
		if pings == 1000 {
			t.Errorf("%d answers wait in %d bytes", pings, 32<<10)
		}
		if e := h.end(); !errors.Is(e.err, net.ErrClosed) {
			t.Errorf("ended by %v", e.err)
		}
		if s := m.Stats(); s.QueueFull != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestWireEvictsSilentConnections(t *testing.T) {
	onWire(t, transport.TCP{MaxConns: 2}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		spoke, silent := wireDial(t, w), wireDial(t, w)
		write(t, spoke, request(1))
		h.next()
		young := wireDial(t, w)
		if _, err := young.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a connection of the same instant gave way: %v", err)
		}
		time.Sleep(2 * time.Second)
		next := wireDial(t, w)
		write(t, next, request(2))
		if got := h.next(); got.data != request(2) {
			t.Fatalf("got %q", got.data)
		}
		if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("silent connection: %v", err)
		}
		if s := m.Stats(); s.Connections != 2 || s.Refused != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestWireSlowlorisLeavesOthersAlone(t *testing.T) {
	onWire(t, transport.TCP{MaxConns: 100}, func(t *testing.T, w *transport.Wire, h *host, m *transport.Manager) {
		phone := wireDial(t, w)
		write(t, phone, request(1))
		src := h.next().src
		o := m.NewOutbox(0)
		for second := range 20 {
			for range 100 { // as many as there are places, each one byte and then silence
				c, err := w.Dial(context.Background(), "10.6.6.6:0", "10.0.0.1:5060")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(c, "O"); err != nil && !errors.Is(err, syscall.EPIPE) {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			write(t, phone, request(second))
			if got := h.next(); got.data != request(second) || got.src != withTime(src, got.src) {
				t.Fatalf("second %d: got %+v", second, got)
			}
			send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: src.Remote, Flow: src.Flow}, "fine", nil)
			o.Flush()
			if s := readN(t, phone, 4); s != "fine" || time.Since(begin) != 0 {
				t.Fatalf("second %d: phone read %q after %v", second, s, time.Since(begin))
			}
			time.Sleep(time.Second)
			if n := m.Stats().Connections; n > 100 {
				t.Fatalf("%d connections", n)
			}
			late := wireDial(t, w) // a new phone finds a place: a silent one gives way
			write(t, late, request(1000+second))
			if got := h.next(); got.data != request(1000+second) {
				t.Fatalf("second %d: new phone: %q", second, got.data)
			}
			if err := late.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// withTime is a with b's time of receipt.
func withTime(a, b api.Source) api.Source {
	a.Received = b.Received
	return a
}

func TestWireInterfaces(t *testing.T) {
	w := transport.NewWire()
	w.AddInterface("lo", netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"))
	w.AddInterface("lan", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8::1/64"))
	w.AddInterface("wan", netip.MustParsePrefix("192.0.2.1/24"))
	names := func(listen ...string) string {
		h := newHost(t)
		m := start(t, h, transport.Config{Sockets: sockets(listen...), Wire: w})
		defer stop(t, h, m)
		var out []string
		for _, s := range m.Sockets() {
			out = append(out, s.Name)
		}
		return strings.Join(out, " ")
	}
	for listen, want := range map[string]string{
		"udp:*:5060":    "udp:127.0.0.1:5060 udp:[::1]:5060 udp:10.0.0.1:5060 udp:[2001:db8::1]:5060 udp:192.0.2.1:5060",
		"udp:0.0.0.0":   "udp:127.0.0.1:5060 udp:10.0.0.1:5060 udp:192.0.2.1:5060",
		"tcp:[::]:5080": "tcp:[::1]:5080 tcp:[2001:db8::1]:5080",
		"UDP:lan:5060":  "udp:10.0.0.1:5060 udp:[2001:db8::1]:5060",
	} {
		if got := names(listen); got != want {
			t.Errorf("%s gives %s, want %s", listen, got, want)
		}
	}
	if got := names("udp:10.0.0.1:5060-5062"); got != "udp:10.0.0.1:5060 udp:10.0.0.1:5061 udp:10.0.0.1:5062" {
		t.Errorf("range gives %s", got)
	}
	// An address of its own declaration is not the wildcard's too.
	if got := names("udp:0.0.0.0:5060", "udp:10.0.0.1:5060"); got != "udp:127.0.0.1:5060 udp:192.0.2.1:5060 udp:10.0.0.1:5060" {
		t.Errorf("wildcard and address give %s", got)
	}
}

func TestPickNearestSocket(t *testing.T) {
	w := transport.NewWire()
	w.AddInterface("lo", netip.MustParsePrefix("127.0.0.1/8"))
	w.AddInterface("wan", netip.MustParsePrefix("192.0.2.1/24"))
	w.AddInterface("lan", netip.MustParsePrefix("10.0.0.1/24"))
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:*:5060", "udp:10.0.0.1:5070", "tcp:10.0.0.1:5060", "tcp:192.0.2.1:5060"), Wire: w})
	o := m.NewOutbox(0)
	for _, tc := range []struct {
		to     string
		proto  api.Proto
		forced string
		want   string
	}{
		{"10.0.0.77:5060", api.ProtoUDP, "", "udp:10.0.0.1:5060"},
		{"203.0.113.1:5060", api.ProtoUDP, "", "udp:192.0.2.1:5060"},
		{"127.0.0.1:5070", api.ProtoUDP, "", "udp:127.0.0.1:5060"},
		{"203.0.113.1:5060", api.ProtoUDP, "udp:10.0.0.1:5070", "udp:10.0.0.1:5070"},
		{"203.0.113.1:5060", api.ProtoTCP, "udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"},
		{"203.0.113.1:5060", api.ProtoTCP, "", "tcp:10.0.0.1:5060"},
	} {
		to := api.Dest{Proto: tc.proto, Addr: netip.MustParseAddrPort(tc.to)}
		if tc.forced != "" {
			to.Socket = find(t, m, tc.forced)
		}
		if got := o.Pick(to); got == nil || got.Name != tc.want {
			t.Errorf("%v to %s by %q: picked %v, want %s", tc.proto, tc.to, tc.forced, got, tc.want)
		}
	}
}
