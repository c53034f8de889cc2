package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is one packet as a role got it, copied.
type message struct {
	data string
	src  api.Source
	bad  error
	via  transport.ReadSource
}

// ending is a source that ended.
type ending struct {
	src transport.ReadSource
	err error
}

// host plays the engine: a goroutine per source, everything it reads on one
// channel. Outboxes are used by the test alone; Post runs fn under mu.
type host struct {
	t    testing.TB
	wg   sync.WaitGroup
	got  chan message
	ends chan ending

	mu   sync.Mutex
	logs []string
}

func newHost(t testing.TB) *host {
	return &host{t: t, got: make(chan message, 4096), ends: make(chan ending, 4096)}
}

func (h *host) Go(_ string, fn func())       { h.wg.Go(fn) }
func (h *host) Serve(s transport.ReadSource) { h.wg.Go(func() { h.read(s) }) }
func (h *host) Now() time.Time               { return time.Now() }

func (h *host) Post(_ int, fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
}

func (h *host) Log(l api.Level, msg string, f ...api.Field) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs = append(h.logs, fmt.Sprint(l, " ", msg, f))
}

func (h *host) logged(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(strings.Join(h.logs, "\n"), s)
}

func (h *host) read(s transport.ReadSource) {
	b := transport.NewBatch()
	for {
		err := s.Read(b)
		for i := range b.N {
			p := &b.P[i]
			h.got <- message{string(p.Data), p.Source, p.Bad, s}
		}
		if err != nil {
			h.ends <- ending{s, err}
			if err := s.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				h.t.Errorf("closing %s: %v", s.Name(), err)
			}
			return
		}
	}
}

// start binds and starts a manager that the test closes at its end.
func start(t testing.TB, h *host, cfg transport.Config) *transport.Manager {
	t.Helper()
	m, err := transport.Listen(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	m.Start()
	t.Cleanup(func() { stop(t, h, m) })
	return m
}

func stop(t testing.TB, h *host, m *transport.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	h.wg.Wait()
}

func sockets(listen ...string) (out []transport.SocketSpec) {
	for _, l := range listen {
		out = append(out, transport.SocketSpec{Listen: l, Where: "test.lua:1"})
	}
	return out
}

const patience = 5 * time.Second

func (h *host) next() message {
	h.t.Helper()
	select {
	case m := <-h.got:
		return m
	case <-time.After(patience):
		h.t.Fatal("no message came")
	}
	return message{}
}

func (h *host) end() ending {
	h.t.Helper()
	select {
	case e := <-h.ends:
		return e
	case <-time.After(patience):
		h.t.Fatal("no source ended")
	}
	return ending{}
}

// failures is a SendObserver that keeps what it hears.
type failures struct {
	name string
	ch   chan failure
}

type failure struct {
	name string
	err  error
}

func (f failures) SendFailed(err error) { f.ch <- failure{f.name, err} }

func (f failures) as(name string) failures { return failures{name, f.ch} }

func newFailures() failures { return failures{ch: make(chan failure, 4096)} }

func (f failures) wait(t testing.TB) failure {
	t.Helper()
	select {
	case got := <-f.ch:
		return got
	case <-time.After(patience):
		t.Fatal("observer heard nothing")
	}
	return failure{}
}

// request is a small whole message with a number in it and a body.
func request(n int) string {
	body := fmt.Sprintf("body %d", n)
	return fmt.Sprintf("OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK%d\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c%d\r\nCSeq: %d OPTIONS\r\nContent-Length: %d\r\n\r\n%s", n, n, n, len(body), body)
}

func send(t testing.TB, o *transport.Outbox, to api.Dest, msg string, obs api.SendObserver) {
	t.Helper()
	if err := o.Send(to, append(o.Buffer(), msg...), obs); err != nil {
		t.Fatal(err)
	}
}
