package transport

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// starved is a listener without file descriptors until healed.
type starved struct {
	net.Listener
	healed atomic.Bool
	calls  atomic.Int32
}

func (s *starved) Accept() (net.Conn, error) {
	s.calls.Add(1)
	if !s.healed.Load() {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return s.Listener.Accept()
}

type plainHost struct {
	wg     sync.WaitGroup
	served chan ReadSource
	logs   atomic.Int32
}

func (h *plainHost) Go(_ string, fn func())              { h.wg.Go(fn) }
func (h *plainHost) Serve(s ReadSource)                  { h.served <- s }
func (h *plainHost) Post(_ int, fn func())               { fn() }
func (h *plainHost) Log(api.Level, string, ...api.Field) { h.logs.Add(1) }
func (h *plainHost) Now() time.Time                      { return time.Now() }

func TestAcceptBacksOffWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := NewWire(), &plainHost{served: make(chan ReadSource, 8)}
		m, err := Listen(Config{Wire: w, Sockets: []SocketSpec{{Listen: "tcp:10.0.0.1:5060"}}}, h)
		if err != nil {
			t.Fatal(err)
		}
		s := &starved{Listener: m.bindings[0].ln}
		m.bindings[0].ln = s
		m.Start()
		time.Sleep(time.Minute)
		if n := s.calls.Load(); n < 30 || n > 80 {
			t.Errorf("%d tries in a minute, want about one a second", n)
		}
		if n := h.logs.Load(); n != 1 {
			t.Errorf("%d log records, want one", n)
		}
		s.healed.Store(true)
		begin := time.Now()
		c, err := w.Dial(context.Background(), "10.0.0.9:0", "10.0.0.1:5060")
		if err != nil {
			t.Fatal(err)
		}
		src := <-h.served
		if took := time.Since(begin); took > time.Second {
			t.Errorf("recovered after %v", took)
		}
		if m.Stats().AcceptErrors == 0 {
			t.Error("accept errors are not counted")
		}
		s.healed.Store(false)
		if err := m.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.wg.Wait()
		if err := src.Read(NewBatch()); err == nil {
			t.Error("connection outlived Close")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The portable path is what other systems run; here it is run on purpose.
func TestPortableDatagrams(t *testing.T) {
	h := &plainHost{served: make(chan ReadSource, 8)}
	m, err := Listen(Config{Sockets: []SocketSpec{{Listen: "udp:127.0.0.1:0"}, {Listen: "udp:[::1]:0"}}}, h)
	if err != nil {
		t.Fatal(err)
	}
	o := m.NewOutbox(0)
	for _, b := range m.bindings {
		p := b.ports[0].(*udpPort)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		conn, err := openUDP(b.sock.Addr, false, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.io = singleIO{conn}
		to := api.Dest{Proto: api.ProtoUDP, Addr: b.sock.Addr}
		for _, s := range []string{"\r\n", "one", "two"} {
			if err := o.Send(to, []byte(s), nil); err != nil {
				t.Fatal(err)
			}
		}
		o.Flush()
		batch := NewBatch()
		for _, want := range []string{"one", "two"} {
			if err := p.Read(batch); err != nil || batch.N != 1 || string(batch.P[0].Data) != want || batch.P[0].Source.Remote != b.sock.Addr {
				t.Fatalf("%v, %+v", err, batch.P[0])
			}
		}
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A link-local address is bound with its zone and named without: others cannot
// read the zone, and our own parser refuses it in a Via.
func TestLinkLocalIsNamedWithoutZone(t *testing.T) {
	for _, listen := range []string{"udp:[fe80::1%eth0]:5060", "tcp:[fe80::1%2]:5060"} {
		wants, err := expand([]SocketSpec{{Listen: listen}}, &names{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSocket(wants[0], 0)
		if err != nil {
			t.Fatal(err)
		}
		settlePort(s, wants[0].addr)
		if s.SentBy != "[fe80::1]:5060" || s.Name != listen || s.Addr.Addr().Zone() == "" {
			t.Errorf("%s: name %s, sent-by %s, address %v", listen, s.Name, s.SentBy, s.Addr)
		}
	}
}

// A connection that is not the system's is read and written by net.Conn alone.
type opaque struct{ net.Conn }

func TestStreamOverAnyConn(t *testing.T) {
	w, h := NewWire(), &plainHost{served: make(chan ReadSource, 8)}
	m, err := Listen(Config{Wire: w, Sockets: []SocketSpec{{Listen: "tcp:10.0.0.1:5060"}}}, h)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Dial(context.Background(), "10.0.0.9:0", "10.0.0.1:5060")
	if err != nil {
		t.Fatal(err)
	}
	there, err := m.bindings[0].ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	m.admit(m.bindings[0], opaque{there})
	msg := "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi"
	if _, err := c.Write([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	src, b, o := <-h.served, NewBatch(), m.NewOutbox(0)
	if err := src.Read(b); err != nil || string(b.P[0].Data) != msg {
		t.Fatalf("%v, %q", err, b.P[0].Data)
	}
	if err := o.Send(api.Dest{Proto: api.ProtoTCP, Addr: b.P[0].Source.Remote, Flow: b.P[0].Source.Flow}, []byte("reply"), nil); err != nil {
		t.Fatal(err)
	}
	o.Flush()
	got := make([]byte, 5)
	if _, err := c.Read(got); err != nil || string(got) != "reply" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.wg.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
