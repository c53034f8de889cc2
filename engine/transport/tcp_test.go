package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
)

func dial(t testing.TB, s *api.Socket) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(s.Addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func readN(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// server is a TCP peer that the proxy connects to.
type server struct {
	ln   net.Listener
	addr netip.AddrPort
}

func listen(t testing.TB, addr string) server {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return server{ln, ln.Addr().(*net.TCPAddr).AddrPort()}
}

func (s server) accept(t testing.TB) *net.TCPConn {
	t.Helper()
	if err := s.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := s.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func tcp(t testing.TB, cfg transport.TCP, listen ...string) (*host, *transport.Manager) {
	t.Helper()
	if len(listen) == 0 {
		listen = []string{"tcp:127.0.0.1:0"}
	}
	h := newHost(t)
	return h, start(t, h, transport.Config{Sockets: sockets(listen...), TCP: cfg})
}

func TestTCPRequestAndReplyOnOneConnection(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "[::1]"} {
		h, m := tcp(t, transport.TCP{}, "tcp:"+ip+":0")
		c := dial(t, m.Sockets()[0])
		write(t, c, request(1))
		got := h.next()
		if got.data != request(1) || got.src.Flow == 0 || got.src.Remote != c.LocalAddr().(*net.TCPAddr).AddrPort() || !got.via.Stream() {
			t.Fatalf("got %+v", got)
		}
		if f := m.FlowTo(c.LocalAddr().String()); f != got.src.Flow {
			t.Errorf("FlowTo gives %d, want %d", f, got.src.Flow)
		}
		o := m.NewOutbox(0)
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: got.src.Remote, Flow: got.src.Flow}, "the reply", nil)
		o.Flush()
		if s := readN(t, c, 9); s != "the reply" {
			t.Fatalf("peer got %q", s)
		}
	}
}

func TestTCPByteByByte(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	for i := range len(request(1)) {
		write(t, c, request(1)[i:i+1])
	}
	if got := h.next(); got.data != request(1) {
		t.Fatalf("got %q", got.data)
	}
}

func TestTCPHundredPipelinedAnsweredInOrder(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	var all strings.Builder
	for i := range 100 {
		all.WriteString(request(i))
	}
	write(t, c, all.String())
	o := m.NewOutbox(0)
	for i := range 100 {
		got := h.next()
		if got.data != request(i) {
			t.Fatalf("message %d is %q", i, got.data)
		}
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: got.src.Remote, Flow: got.src.Flow}, fmt.Sprintf("reply %d\n", i), nil)
		if i%7 == 0 {
			o.Flush()
		}
	}
	o.Flush()
	r := bufio.NewReader(c)
	for i := range 100 {
		if s, err := r.ReadString('\n'); err != nil || s != fmt.Sprintf("reply %d\n", i) {
			t.Fatalf("reply %d is %q, %v", i, s, err)
		}
	}
}

func TestTCPMessageOfTheLargestSize(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	head := "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 65000\r\n\r\n"
	big := head + strings.Repeat("b", 65000)
	write(t, c, big+request(1))
	if got := h.next(); got.data != big {
		t.Fatalf("got %d bytes, want %d", len(got.data), len(big))
	}
	if got := h.next(); got.data != request(1) {
		t.Fatalf("behind it came %q", got.data)
	}
}

func TestTCPPing(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	write(t, c, "\r\n\r\n")
	if s := readN(t, c, 2); s != "\r\n" {
		t.Fatalf("ping answered by %q", s)
	}
	write(t, c, "\r\n\r\n"+request(1))
	if s := readN(t, c, 2); s != "\r\n" {
		t.Fatalf("second ping answered by %q", s)
	}
	if got := h.next(); got.data != request(1) {
		t.Fatalf("got %q", got.data)
	}
}

func TestTCPBadFrameIsHandedOverAndClosed(t *testing.T) {
	for name, tc := range map[string]struct {
		msg  string
		head bool
		code int
	}{
		"no length":       {"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: x\r\n\r\nbody", true, 400},
		"two lengths":     {"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\nl: 4\r\n\r\nbody", true, 400},
		"huge length":     {"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4294967296\r\n\r\n", true, 400},
		"over the limit":  {"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 70000\r\n\r\n", true, 513},
		"endless headers": {"OPTIONS sip:a@b SIP/2.0\r\nX: " + strings.Repeat("y", 70000), false, 513},
		"not SIP":         {"\x16\x03\x01\x02\x00", false, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, m := tcp(t, transport.TCP{})
			c := dial(t, m.Sockets()[0])
			write(t, c, request(7)+tc.msg)
			got := h.next()
			if got.data != request(7) {
				t.Fatalf("good message before it: %q", got.data)
			}
			if tc.head {
				bad := h.next()
				var pe *sip.ParseError
				if !strings.HasPrefix(tc.msg, bad.data) || !strings.HasSuffix(bad.data, "\r\n\r\n") || !errors.As(bad.bad, &pe) || pe.Code != tc.code && name != "huge length" {
					t.Fatalf("bad message: %+v", bad)
				}
			}
			e := h.end()
			var fe *transport.FrameError
			var pe *sip.ParseError
			if !errors.As(e.err, &fe) || !errors.As(e.err, &pe) || fe.Source.Flow != got.src.Flow {
				t.Fatalf("ended by %v", e.err)
			}
			// The role has closed the source; an answer still reaches the peer.
			o := m.NewOutbox(0)
			send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: got.src.Remote, Flow: got.src.Flow, NoOpen: true}, "400", nil)
			o.Flush()
			if all, err := io.ReadAll(c); string(all) != "400" || err != nil {
				t.Fatalf("peer read %q, %v", all, err)
			}
		})
	}
}

func TestTCPOpensQueuesInOrderAndReuses(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "[::1]"} {
		h, m := tcp(t, transport.TCP{}, "tcp:"+ip+":0")
		peer := listen(t, ip+":0")
		o := m.NewOutbox(0)
		to := api.Dest{Proto: api.ProtoTCP, Addr: peer.addr}
		want := ""
		for i := range 50 {
			send(t, o, to, request(i), nil)
			want += request(i)
			if i%3 == 0 {
				o.Flush()
			}
		}
		o.Flush()
		c := peer.accept(t)
		if s := readN(t, c, len(want)); s != want {
			t.Fatal("messages came in another order")
		}
		if got := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != m.Sockets()[0].Addr.Addr() {
			t.Errorf("came from %v", got)
		}
		// A response on the connection that we opened, then more requests.
		write(t, c, request(99))
		got := h.next()
		if got.data != request(99) || got.src.Remote != peer.addr || got.src.Socket != m.Sockets()[0] {
			t.Fatalf("got %+v", got)
		}
		send(t, o, to, "again", nil)
		o.Flush()
		if s := readN(t, c, 5); s != "again" {
			t.Fatalf("got %q", s)
		}
		if s := m.Stats(); s.Opened != 1 || s.Connections != 1 {
			t.Errorf("stats %+v", s)
		}
	}
}

func TestTCPConnectFailureReachesEveryObserver(t *testing.T) {
	_, m := tcp(t, transport.TCP{})
	ln := listen(t, "127.0.0.1:0")
	if err := ln.ln.Close(); err != nil { // nobody listens there
		t.Fatal(err)
	}
	o, f := m.NewOutbox(0), newFailures()
	to := api.Dest{Proto: api.ProtoTCP, Addr: ln.addr}
	for i := range 5 {
		send(t, o, to, request(i), f.as(fmt.Sprint(i)))
	}
	o.Flush()
	for i := range 5 {
		if got := f.wait(t); got.name != fmt.Sprint(i) || !errors.Is(got.err, syscall.ECONNREFUSED) {
			t.Fatalf("failure %d is %+v", i, got)
		}
	}
	// A connection that fails while the messages are still being handed over
	// leaves the rest of them to another.
	if s := m.Stats(); s.ConnectFailed < 1 || s.ConnectFailed > 5 || s.Connections != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestTCPResponseWhoseConnectionIsGone(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1))
	got := h.next()
	_ = c.Close()
	h.end()
	peer := listen(t, "127.0.0.1:0") // the sent-by port of the Via
	o := m.NewOutbox(0)
	if err := o.Send(api.Dest{Proto: api.ProtoTCP, Addr: peer.addr, Flow: got.src.Flow, NoOpen: true}, []byte("x"), nil); !errors.Is(err, transport.ErrFlowGone) {
		t.Errorf("NoOpen: %v", err)
	}
	send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: peer.addr, Flow: got.src.Flow}, "reply", nil)
	o.Flush()
	if s := readN(t, peer.accept(t), 5); s != "reply" {
		t.Fatalf("got %q", s)
	}
}

func TestTCPPeerReset(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1)[:40])
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if e := h.end(); !errors.Is(e.err, syscall.ECONNRESET) && e.err != io.EOF {
		t.Fatalf("ended by %v", e.err)
	}
	if s := m.Stats(); s.Connections != 0 {
		t.Errorf("%d connections left", s.Connections)
	}
}

func TestTCPNeverReadingPeerIsCutAlone(t *testing.T) {
	h, m := tcp(t, transport.TCP{SendTimeout: 300 * time.Millisecond, WriteQueueBytes: 8 << 20})
	stuck, fine := dial(t, m.Sockets()[0]), dial(t, m.Sockets()[0])
	write(t, stuck, request(1))
	bad := h.next().src
	write(t, fine, request(2))
	good := h.next().src
	o, f := m.NewOutbox(0), newFailures()
	big := strings.Repeat("x", 64<<10)
	var slowest time.Duration
	for i := 0; len(f.ch) == 0; i++ {
		begin := time.Now()
		if err := o.Send(api.Dest{Proto: api.ProtoTCP, Addr: bad.Remote, Flow: bad.Flow, NoOpen: true}, []byte(big), f); err != nil {
			break
		}
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: good.Remote, Flow: good.Flow}, "hello", nil)
		o.Flush()
		slowest = max(slowest, time.Since(begin))
		if s := readN(t, fine, 5); s != "hello" {
			t.Fatalf("good peer got %q", s)
		}
	}
	if got := f.wait(t); !errors.Is(got.err, transport.ErrSendTimeout) && !errors.Is(got.err, transport.ErrQueueFull) {
		t.Fatalf("failure is %v", got.err)
	}
	if slowest > 200*time.Millisecond {
		t.Errorf("a flush took %v", slowest)
	}
	if e := h.end(); e.src.Name() == "" || !errors.Is(e.err, net.ErrClosed) {
		t.Errorf("ended by %v", e.err)
	}
	if s := m.Stats(); s.Connections != 1 || s.TimedOut+s.QueueFull != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestTCPFullQueueTellsAll(t *testing.T) {
	h, m := tcp(t, transport.TCP{WriteQueueBytes: 256 << 10})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1))
	src := h.next().src
	o, f := m.NewOutbox(0), newFailures()
	big := strings.Repeat("x", 64<<10)
	sent := 0
	for ; m.Stats().QueueFull == 0; sent++ {
		if err := o.Send(api.Dest{Proto: api.ProtoTCP, Addr: src.Remote, Flow: src.Flow, NoOpen: true}, []byte(big), f); err != nil {
			t.Fatal(err)
		}
		o.Flush()
	}
	queued := 0
	for queued < 4 { // what fits into the queue, and the one too many
		if got := f.wait(t); !errors.Is(got.err, transport.ErrQueueFull) {
			t.Fatalf("failure is %v", got.err)
		}
		queued++
	}
	if sent <= queued {
		t.Errorf("%d sent, %d failed: nothing was written directly", sent, queued)
	}
	h.end()
}

func TestTCPSlowMessageIsCut(t *testing.T) {
	h, m := tcp(t, transport.TCP{MaxMsgTime: 200 * time.Millisecond})
	c := dial(t, m.Sockets()[0])
	begin := time.Now()
	write(t, c, request(1)+"OPTIONS ")
	if got := h.next(); got.data != request(1) {
		t.Fatalf("got %q", got.data)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // drips on
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	e := h.end()
	close(stop)
	<-done
	if took := time.Since(begin); !errors.Is(e.err, transport.ErrMsgTime) || took < 200*time.Millisecond || took > 2*time.Second {
		t.Fatalf("ended by %v after %v", e.err, took)
	}
}

func TestTCPIdleLifetime(t *testing.T) {
	h, m := tcp(t, transport.TCP{IdleLifetime: 300 * time.Millisecond})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1))
	h.next()
	if e := h.end(); !errors.Is(e.err, transport.ErrIdle) {
		t.Fatalf("ended by %v", e.err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("peer sees %v", err)
	}
}

func TestTCPLimits(t *testing.T) {
	refused := func(c net.Conn) bool {
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	t.Run("source", func(t *testing.T) {
		h, m := tcp(t, transport.TCP{MaxConns: 10, MaxConnsPerSource: 2})
		a, b := dial(t, m.Sockets()[0]), dial(t, m.Sockets()[0])
		write(t, a, request(1))
		write(t, b, request(1))
		h.next()
		h.next()
		if !refused(dial(t, m.Sockets()[0])) {
			t.Fatal("third connection of the source was kept")
		}
		_ = a.Close()
		h.end()
		write(t, dial(t, m.Sockets()[0]), request(3))
		if got := h.next(); got.data != request(3) {
			t.Fatal("a freed place was not given again")
		}
	})
	t.Run("all", func(t *testing.T) {
		h, m := tcp(t, transport.TCP{MaxConns: 1})
		a := dial(t, m.Sockets()[0])
		write(t, a, request(1))
		h.next()
		if !refused(dial(t, m.Sockets()[0])) {
			t.Fatal("second connection was kept")
		}
		if s := m.Stats(); s.Refused != 1 || s.Accepted != 1 {
			t.Errorf("stats %+v", s)
		}
	})
	t.Run("opened", func(t *testing.T) {
		_, m := tcp(t, transport.TCP{MaxConns: 1})
		x, y := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
		o, f := m.NewOutbox(0), newFailures()
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: x.addr}, "x", f.as("x"))
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: y.addr}, "y", f.as("y"))
		o.Flush()
		if got := f.wait(t); got.name != "y" || !errors.Is(got.err, transport.ErrTooManyConns) {
			t.Fatalf("%+v", got)
		}
		readN(t, x.accept(t), 1)
	})
}

func TestTCPAlias(t *testing.T) {
	for _, on := range []bool{false, true} {
		h, m := tcp(t, transport.TCP{AcceptAlias: on})
		peer := listen(t, "127.0.0.1:0")
		c := dial(t, m.Sockets()[0])
		write(t, c, request(1))
		src := h.next().src
		if got := m.AddAlias(src.Flow, peer.addr.Port()); got != on {
			t.Errorf("AddAlias is %v with AcceptAlias %v", got, on)
		}
		o := m.NewOutbox(0)
		send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: peer.addr}, "hello", nil)
		o.Flush()
		if !on {
			c = peer.accept(t)
		}
		if s := readN(t, c, 5); s != "hello" {
			t.Errorf("got %q", s)
		}
		if !on {
			continue
		}
		thief := dial(t, m.Sockets()[0])
		write(t, thief, request(2))
		if m.AddAlias(h.next().src.Flow, peer.addr.Port()) {
			t.Error("a second connection took the alias over")
		}
	}
}

func TestCloseFlow(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1))
	src := h.next().src
	if !m.CloseFlow(src.Flow) || m.CloseFlow(src.Flow) {
		t.Error("CloseFlow: want true, then false")
	}
	h.end()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("connection is still open")
	}
	if m.FlowTo(src.Remote.String()) != 0 || m.FlowTo("nonsense") != 0 {
		t.Error("FlowTo finds a closed connection")
	}
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	h := newHost(t)
	m, err := transport.Listen(transport.Config{Sockets: sockets("tcp:127.0.0.1:0")}, h)
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	peer := listen(t, "127.0.0.1:0")
	o := m.NewOutbox(0)
	send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: peer.addr}, "last words", nil)
	o.Flush() // still connecting
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Fatal(err)
	}
	h.wg.Wait()
	if all, err := io.ReadAll(peer.accept(t)); string(all) != "last words" || err != nil {
		t.Fatalf("peer read %q, %v", all, err)
	}
	f := newFailures()
	send(t, o, api.Dest{Proto: api.ProtoTCP, Addr: peer.addr}, "too late", f)
	o.Flush()
	if got := f.wait(t); !errors.Is(got.err, transport.ErrClosedFlow) {
		t.Errorf("after Close: %v", got.err)
	}
}
