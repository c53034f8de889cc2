package enginetest

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/transport"
)

// Options say how an engine under test is made. The zero value is three
// workers with one UDP and one TCP socket on a wire in memory.
type Options struct {
	// Real takes loopback sockets in place of the wire in memory.
	Real bool
	// Workers is how many; 0 is 3.
	Workers int
	// Listen are its sockets; none is UDP and TCP at 10.0.0.1:5060 on the wire,
	// and on free ports of 127.0.0.1 with Real.
	Listen []string
	// Net are further settings; its sockets and its wire are set by Start.
	Net engine.Net
}

// logShown is how much of the log a failing test shows, bytes.
const logShown = 4 << 10

// Rig is an engine under test with the network around it.
type Rig struct {
	Engine *engine.Engine
	Wire   *transport.Wire // nil with Options.Real

	t       testing.TB
	real    bool
	log     *logText
	capture capture
	agents  int
	stopped sync.Once
}

// New makes an engine and binds it; nothing is received before Go. It is shut
// down at the end of the test, which fails when that does not end in time.
func New(t testing.TB, o Options) *Rig {
	t.Helper()
	r := &Rig{t: t, real: o.Real, log: &logText{}}
	if o.Workers == 0 {
		o.Workers = 3
	}
	log := logs.New(logs.Options{Out: r.log, Level: api.LevelDebug, Rate: -1})
	e, err := engine.New(engine.Config{Workers: o.Workers, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = e
	if err := e.Bind(r.netOf(&o)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		if t.Failed() {
			log := r.Log()
			t.Logf("the end of the engine's log:\n%s", log[max(0, len(log)-logShown):])
		}
	})
	return r
}

func (r *Rig) netOf(o *Options) engine.Net {
	n := o.Net
	if !o.Real {
		r.Wire = transport.NewWire()
		r.Wire.SetHook(r.capture.see)
		n.Transport.Wire = r.Wire
	}
	listen := o.Listen
	switch {
	case len(listen) > 0:
	case o.Real:
		listen = []string{"udp:127.0.0.1:0", "tcp:127.0.0.1:0"}
	default:
		listen = []string{"udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"}
	}
	for _, l := range listen {
		n.Transport.Sockets = append(n.Transport.Sockets, transport.SocketSpec{Listen: l})
	}
	return n
}

// Start is New and Go; a program that does not start fails the test.
func Start(t testing.TB, o Options, p engine.Program) *Rig {
	t.Helper()
	r := New(t, o)
	if err := r.Go(p); err != nil {
		t.Fatal(err)
	}
	return r
}

// Go makes p the first generation and begins to receive. A scripted program
// tells the engine when it is gone.
func (r *Rig) Go(p engine.Program) error {
	r.adopt(p)
	return r.Engine.Start(p)
}

// Reload makes p the live generation.
func (r *Rig) Reload(p engine.Program) error {
	r.adopt(p)
	return r.Engine.Reload(p)
}

func (r *Rig) adopt(p engine.Program) {
	if sp, ok := p.(*Program); ok {
		sp.WhenGone(r.Engine.Forget)
	}
}

// Stop ends the engine at once; later calls do nothing.
func (r *Rig) Stop() {
	r.stopped.Do(func() {
		r.Engine.Stop()
		if err := r.Engine.Shutdown(); err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
	})
}

// Drain ends the engine as SIGTERM does and returns its error.
func (r *Rig) Drain() error {
	err := error(nil)
	r.stopped.Do(func() { err = r.Engine.Shutdown() })
	return err
}

// Log is what the engine logged so far, one JSON object a line.
func (r *Rig) Log() string { return r.log.String() }

// Logged tells whether a text stands in the log.
func (r *Rig) Logged(text string) bool { return strings.Contains(r.Log(), text) }

// Total adds up one counter over all workers.
func (r *Rig) Total(of func(*engine.Counters) uint64) uint64 {
	n := uint64(0)
	for i := range r.Engine.Workers() {
		n += of(r.Engine.Counters(i))
	}
	return n
}

// Parked is the number of handlers parked now.
func (r *Rig) Parked() int {
	n := int64(0)
	for i := range r.Engine.Workers() {
		n += r.Engine.Counters(i).Parked.Load()
	}
	return int(n)
}

// Pin has the calls of a Call-ID handled by one worker and returns the Call-ID.
func (r *Rig) Pin(callID string, worker int) string {
	r.Engine.Alias(callID, worker)
	return callID
}

// socket is the engine's first socket of a protocol.
func (r *Rig) socket(p api.Proto) *api.Socket {
	for _, s := range r.Engine.Sockets() {
		if s.Proto == p {
			return s
		}
	}
	r.t.Helper()
	r.t.Fatalf("the engine has no %s socket", p)
	return nil
}

// logText is a writer that may be read meanwhile.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds a line.
func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Captured is one datagram as it was put on the wire.
type Captured struct {
	transport.Datagram
	At time.Time
}

// String is its first line with sender and receiver.
func (c Captured) String() string {
	line, _, _ := strings.Cut(string(c.Data), "\r\n")
	return fmt.Sprintf("%s > %s: %s", c.From, c.To, line)
}

// capture keeps what passes over the wire.
type capture struct {
	mu   sync.Mutex
	seen []Captured
	fate func(transport.Datagram) transport.Fate
}

func (k *capture) see(d transport.Datagram) transport.Fate {
	d.Data = append([]byte(nil), d.Data...)
	k.mu.Lock()
	k.seen = append(k.seen, Captured{d, time.Now()})
	fate := k.fate
	k.mu.Unlock()
	if fate == nil {
		return transport.Fate{}
	}
	return fate(d)
}

// Captured is every datagram sent over the wire so far, in order. It is empty
// with Options.Real.
func (r *Rig) Captured() []Captured {
	r.capture.mu.Lock()
	defer r.capture.mu.Unlock()
	return append([]Captured(nil), r.capture.seen...)
}

// CapturedTo is what was sent to one address, by first line.
func (r *Rig) CapturedTo(to netip.AddrPort) []string {
	var out []string
	for _, c := range r.Captured() {
		if c.To == to {
			line, _, _ := strings.Cut(string(c.Data), "\r\n")
			out = append(out, line)
		}
	}
	return out
}

// Fate has f decide what the wire does to each datagram; nil delivers all.
func (r *Rig) Fate(f func(transport.Datagram) transport.Fate) {
	r.capture.mu.Lock()
	defer r.capture.mu.Unlock()
	r.capture.fate = f
}
