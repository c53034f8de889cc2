package resolve_test

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/resolve"
	"github.com/miekg/dns"
)

// host is a query that needs one A lookup.
func host(name string) api.Query {
	q := sip(name)
	q.Port = 5060
	return q
}

func TestTTL(t *testing.T) {
	z := newZone(t, soa, "a.test. 10 IN A 192.0.2.1", "zero.test. 0 IN A 192.0.2.2", "long.test. 9999999 IN A 192.0.2.3")
	c := newClock()
	r := start(t, z, func(cfg *resolve.Config) { cfg.Now = c.Now; cfg.MaxTTL = time.Hour })
	begin := c.Now()
	for _, name := range []string{"a.test", "zero.test", "long.test", "gone.test"} {
		r.Resolve(host(name))
	}
	for _, step := range []struct {
		name string
		at   time.Duration
		ok   bool
	}{
		{"zero.test", 999 * time.Millisecond, true}, {"zero.test", time.Second, false},
		{"a.test", 9999 * time.Millisecond, true}, {"a.test", 10 * time.Second, false},
		{"gone.test", 19 * time.Second, true}, {"gone.test", 20 * time.Second, false}, // SOA minimum
		{"long.test", 59 * time.Minute, true}, {"long.test", time.Hour, false},
	} {
		c.advance(begin.Add(step.at).Sub(c.Now()))
		if _, ok, _ := r.Cached(host(step.name)); ok != step.ok {
			t.Errorf("%s after %v: cached %v, want %v", step.name, step.at, ok, step.ok)
		}
	}
	if n := len(z.questions("")); n != 4 {
		t.Errorf("%d questions, want 4", n)
	}
}

func TestNegativeBounds(t *testing.T) {
	z := newZone(t, "test. 9000 IN SOA ns.test. root.test. 1 3600 600 86400 9000")
	bare := newZone(t)
	c := newClock()
	clocked := func(cfg *resolve.Config) { cfg.Now = c.Now }
	r, b := start(t, z, clocked), start(t, bare, clocked)
	r.Resolve(host("gone.test"))
	b.Resolve(host("gone.test"))
	c.advance(4999 * time.Millisecond)
	if _, ok, err := b.Cached(host("gone.test")); !ok || !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("no SOA: got %v, %v before 5 s", ok, err)
	}
	c.advance(time.Millisecond)
	if _, ok, _ := b.Cached(host("gone.test")); ok {
		t.Error("no SOA: kept longer than 5 s")
	}
	c.advance(54 * time.Second)
	if _, ok, _ := r.Cached(host("gone.test")); !ok {
		t.Error("SOA minimum of 9,000 s: forgotten before NegativeTTL")
	}
	c.advance(time.Second)
	if _, ok, _ := r.Cached(host("gone.test")); ok {
		t.Error("SOA minimum of 9,000 s: kept longer than NegativeTTL")
	}
}

// A name that was known goes on while the servers are out (RFC 8767).
func TestServeStale(t *testing.T) {
	z := newZone(t, soa, "a.test. 10 IN A 192.0.2.1")
	c := newClock()
	r := start(t, z, func(cfg *resolve.Config) { cfg.Now = c.Now; cfg.Stale = time.Minute })
	mustResolve(t, r, host("a.test"))
	z.setRcode("a.test.", dns.RcodeServerFailure)
	c.advance(11 * time.Second)
	if got := mustResolve(t, r, host("a.test")); got != "udp 192.0.2.1:5060" {
		t.Errorf("during the outage: %s", got)
	}
	asked := len(z.questions(""))
	c.advance(29 * time.Second)
	if _, ok, err := r.Cached(host("a.test")); !ok || err != nil || len(z.questions("")) != asked {
		t.Errorf("a stale set must hold 30 s without a query: %v, %v", ok, err)
	}
	c.advance(31 * time.Second)
	if _, err := r.Resolve(host("a.test")); !errors.Is(err, resolve.ErrUnavailable) {
		t.Errorf("past Stale: got %v, want ErrUnavailable", err)
	}
	z.setRcode("a.test.", 0)
	c.advance(time.Second)
	if got := mustResolve(t, r, host("a.test")); got != "udp 192.0.2.1:5060" {
		t.Errorf("afterwards: %s", got)
	}
}

// What a server fails at is not asked again for a second, and is no "not found".
func TestServerFailure(t *testing.T) {
	z := newZone(t, soa, "a.test. 10 IN A 192.0.2.1", "_sip._udp.d.test. 60 IN SRV 0 0 5060 a.test.", "d.test. 60 IN A 192.0.2.2")
	for _, n := range []string{"a.test.", "_sip._tcp.e.test.", "_sip._udp.e.test.", "_sips._tcp.e.test."} {
		z.setRcode(n, dns.RcodeServerFailure)
	}
	z.add(t, "e.test. 60 IN A 192.0.2.2")
	c := newClock()
	r := start(t, z, func(cfg *resolve.Config) { cfg.Now = c.Now; cfg.Attempts = 3 })
	for _, q := range []api.Query{host("a.test"), sip("d.test"), sip("e.test")} {
		hops, err := r.Resolve(q)
		if !errors.Is(err, resolve.ErrUnavailable) {
			t.Errorf("%s: got %v, %v, want ErrUnavailable", q.Host, hops, err)
		}
		if _, ok, err := r.Cached(q); !ok || !errors.Is(err, resolve.ErrUnavailable) {
			t.Errorf("%s: failure not kept: %v, %v", q.Host, ok, err)
		}
	}
	if n := len(z.questions("a.test. A")); n != 1 {
		t.Errorf("asked %d times, want 1: saying SERVFAIL again helps nobody", n)
	}
	c.advance(time.Second)
	if _, ok, _ := r.Cached(host("a.test")); ok {
		t.Error("failure kept longer than a second")
	}
}

func TestServerFailover(t *testing.T) {
	bad, good := newZone(t, soa), newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "b.test. 60 IN A 192.0.2.2")
	bad.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { return true })
	logged := make(chan string, 9)
	r := start(t, bad, func(cfg *resolve.Config) {
		cfg.Servers = []string{bad.addr, good.addr}
		cfg.Timeout = 300 * time.Millisecond
		cfg.Log = func(_ api.Level, msg string, f ...api.Field) { logged <- fmt.Sprint(msg, f) }
	})
	mustResolve(t, r, host("a.test"))
	mustResolve(t, r, host("b.test"))
	if n := len(bad.questions("")); n != 1 {
		t.Errorf("the silent server was asked %d times, want once", n)
	}
	if s := <-logged; !strings.Contains(s, bad.addr) {
		t.Errorf("logged %q, want the server's address", s)
	}
}

func TestRetries(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1")
	var n atomic.Int32
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { return n.Add(1) < 3 })
	r := start(t, z, func(c *resolve.Config) { c.Timeout, c.Attempts = 300*time.Millisecond, 3 })
	if got := mustResolve(t, r, host("a.test")); got != "udp 192.0.2.1:5060" || n.Load() != 3 {
		t.Errorf("got %s after %d tries, want it at the third", got, n.Load())
	}
}

func TestTruncatedGoesByTCP(t *testing.T) {
	records := []string{soa}
	for i := range 100 {
		records = append(records, fmt.Sprintf("_sip._udp.many.test. 60 IN SRV 1 1 %d h.test.", 6000+i))
	}
	z := newZone(t, append(records, "h.test. 60 IN A 192.0.2.1")...)
	var tcp atomic.Int32
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool {
		if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
			tcp.Add(1)
		}
		return false
	})
	r := start(t, z)
	hops, err := r.Resolve(sip("many.test"))
	if err != nil || len(hops) != 32 || tcp.Load() != 1 {
		t.Errorf("got %d places, %v, %d questions by TCP", len(hops), err, tcp.Load())
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1")
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool {
		if q.IsEdns0() == nil {
			return false
		}
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeFormatError)
		m.Question = nil
		w.WriteMsg(m)
		return true
	})
	if got := mustResolve(t, start(t, z), host("a.test")); got != "udp 192.0.2.1:5060" {
		t.Error(got)
	}
}

// Answers with another id, question or owner name are not believed.
func TestForgedAnswers(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1")
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool {
		evil, _ := dns.NewRR("a.test. 60 IN A 203.0.113.66")
		for _, edit := range []func(*dns.Msg){
			func(m *dns.Msg) { m.Id++ },
			func(m *dns.Msg) { m.Question[0].Name = "b.test." },
			func(m *dns.Msg) { m.Response = false },
		} {
			m := new(dns.Msg)
			m.SetReply(q)
			m.Answer = []dns.RR{evil}
			edit(m)
			w.WriteMsg(m)
		}
		w.Write([]byte("no DNS message at all"))
		other, _ := dns.NewRR("other.test. 60 IN A 203.0.113.67")
		mine, _ := dns.NewRR("A.TEST. 60 IN A 192.0.2.1")
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{other, mine}
		w.WriteMsg(m)
		return true
	})
	if got := mustResolve(t, start(t, z), host("a.test")); got != "udp 192.0.2.1:5060" {
		t.Error(got)
	}
}

func TestSingleFlight(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "b.test. 60 IN A 192.0.2.2")
	gate := make(chan struct{})
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { <-gate; return false })
	r := start(t, z)
	var wg sync.WaitGroup
	for i := range 300 {
		q := host("a.test")
		q.Port = 5060 + uint16(i%3) // three queries, one record set
		wg.Add(1)
		r.ResolveAsync(q, func(hops []api.Hop, err error) {
			defer wg.Done()
			if err != nil || len(hops) != 1 || hops[0].Addr.Port() != q.Port {
				t.Errorf("got %v, %v", hops, err)
			}
		})
	}
	if s := r.Stats(); s.Waiting != 300 || s.Asking != 3 {
		t.Errorf("%d wait on %d goroutines, want 300 on 3", s.Waiting, s.Asking)
	}
	close(gate)
	wg.Wait()
	if n := len(z.questions("")); n != 1 {
		t.Errorf("%d questions, want 1", n)
	}
}

// A storm of unknown names meets a server that does not answer: goroutines and
// waiting callers stay bounded, numeric and cached hosts answer at once.
func TestStormAgainstSilentServer(t *testing.T) {
	z := newZone(t, soa, "good.test. 60 IN A 192.0.2.1")
	gate := make(chan struct{})
	r := start(t, z, func(c *resolve.Config) { c.MaxQueries, c.MaxWaiting = 8, 20 })
	mustResolve(t, r, host("good.test"))
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { <-gate; return false })
	before := runtime.NumGoroutine()
	var busy, answered atomic.Int32
	var wg sync.WaitGroup
	for i := range 2000 {
		wg.Add(1)
		r.ResolveAsync(host(fmt.Sprintf("n%d.test", i)), func(_ []api.Hop, err error) {
			defer wg.Done()
			if errors.Is(err, resolve.ErrBusy) {
				busy.Add(1)
			} else {
				answered.Add(1)
			}
		})
	}
	if n := runtime.NumGoroutine() - before; n > 40 {
		t.Errorf("%d goroutines came of 2,000 names, want the bound of 8 and the server's", n)
	}
	for range 30 {
		r.ResolveAsync(host("n0.test"), func([]api.Hop, error) {})
	}
	if s := r.Stats(); s.Asking != 8 || s.Waiting != 20 {
		t.Errorf("asking %d, waiting %d, want 8 and 20", s.Asking, s.Waiting)
	}
	for _, q := range []api.Query{host("good.test"), host("192.0.2.7")} {
		if _, ok, err := r.Cached(q); !ok || err != nil {
			t.Errorf("%s in the storm: %v, %v", q.Host, ok, err)
		}
	}
	close(gate)
	wg.Wait()
	if busy.Load() != 1992 || answered.Load() != 8 {
		t.Errorf("%d refused, %d answered, want 1,992 and 8", busy.Load(), answered.Load())
	}
}

// Unknown names give way to each other, not to names that are known.
func TestStormKeepsGoodNames(t *testing.T) {
	z := newZone(t, soa, "good.test. 3600 IN A 192.0.2.1")
	r := start(t, z, func(c *resolve.Config) { c.MaxEntries = 40 })
	mustResolve(t, r, host("good.test"))
	for i := range 200 {
		r.Resolve(host(fmt.Sprintf("n%d.test", i)))
	}
	if s := r.Stats(); s.Entries != 11 || s.Evicted != 190 {
		t.Errorf("%d kept, %d evicted, want 1 good and 10 bad kept, 190 evicted", s.Entries, s.Evicted)
	}
	q := host("good.test")
	q.Port++ // an answer of its own, of the same record set
	if _, ok, _ := r.Cached(q); !ok {
		t.Error("the storm pushed out a good name")
	}
}

func TestEvictionSparesWhatIsUsed(t *testing.T) {
	var records []string
	for i := range 30 {
		records = append(records, fmt.Sprintf("h%d.test. 3600 IN A 192.0.2.%d", i, i))
	}
	r := start(t, newZone(t, records...), func(c *resolve.Config) { c.MaxEntries = 10 })
	for i := range 30 {
		mustResolve(t, r, host(fmt.Sprintf("h%d.test", i)))
		q := host("h0.test")
		q.Port += uint16(i + 1)
		if _, ok, _ := r.Cached(q); !ok {
			t.Fatalf("h0 was evicted at %d though it is in use", i)
		}
	}
	if s := r.Stats(); s.Entries != 10 || s.Evicted != 20 {
		t.Errorf("%d kept, %d evicted, want 10 and 20", s.Entries, s.Evicted)
	}
}

// One Resolve ends at Config.Deadline, however many tries are left.
func TestDeadline(t *testing.T) {
	z := newZone(t, soa)
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { return true })
	r := start(t, z, func(c *resolve.Config) { c.Timeout, c.Attempts, c.Deadline = 5*time.Second, 9, 100*time.Millisecond })
	begin := time.Now()
	_, err := r.Resolve(sip("a.test"))
	if d := time.Since(begin); !errors.Is(err, resolve.ErrUnavailable) || d > 2*time.Second {
		t.Errorf("got %v after %v", err, d)
	}
}

func TestClose(t *testing.T) {
	z := newZone(t, soa, "good.test. 60 IN A 192.0.2.1")
	r := start(t, z, func(c *resolve.Config) { c.Timeout = 30 * time.Second; c.Deadline = 30 * time.Second })
	mustResolve(t, r, host("good.test"))
	arrived := make(chan struct{}, 9)
	z.setHook(func(w dns.ResponseWriter, q *dns.Msg) bool { arrived <- struct{}{}; return true })
	got := make(chan error, 3)
	r.ResolveAsync(host("slow.test"), func(_ []api.Hop, err error) { got <- err })
	<-arrived
	begin := time.Now()
	r.Close()
	if err := <-got; !errors.Is(err, resolve.ErrClosed) || time.Since(begin) > 5*time.Second {
		t.Errorf("under way: got %v after %v", err, time.Since(begin))
	}
	r.ResolveAsync(host("later.test"), func(_ []api.Hop, err error) { got <- err })
	if err := <-got; !errors.Is(err, resolve.ErrClosed) {
		t.Errorf("afterwards: got %v", err)
	}
	if _, err := r.Resolve(host("later.test")); !errors.Is(err, resolve.ErrClosed) {
		t.Errorf("afterwards, blocking: got %v", err)
	}
	if _, err := r.Resolve(host("good.test")); err != nil {
		t.Errorf("cached after Close: %v", err)
	}
}

// When no goroutine is started any more, callers still get their answer.
func TestNoMoreGoroutines(t *testing.T) {
	r := start(t, newZone(t), func(c *resolve.Config) { c.Go = func(string, func()) bool { return false } })
	calls := 0
	for _, h := range []string{"a.test", "192.0.2.1"} {
		r.ResolveAsync(host(h), func(hops []api.Hop, err error) {
			calls++
			if (h == "192.0.2.1") != (err == nil) {
				t.Errorf("%s: %v, %v", h, hops, err)
			}
		})
	}
	if s := r.Stats(); calls != 2 || s.Asking != 0 || s.Waiting != 0 {
		t.Errorf("%d calls, %+v", calls, s)
	}
}

// A panic on the way leaves no caller without an answer and no slot taken.
func TestPanicLeavesNothingBehind(t *testing.T) {
	z := newZone(t, soa)
	z.setRcode("a.test.", dns.RcodeServerFailure)
	r := start(t, z, func(c *resolve.Config) {
		inner := c.Go
		c.Go = func(name string, fn func()) bool {
			return inner(name, func() {
				defer func() { recover() }()
				fn()
			})
		}
		c.Log = func(api.Level, string, ...api.Field) { panic("a log that fails") }
	})
	if _, err := r.Resolve(host("a.test")); !errors.Is(err, resolve.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	if s := r.Stats(); s.Asking != 0 || s.Waiting != 0 {
		t.Errorf("left behind: %+v", s)
	}
	if _, err := r.Resolve(host("a.test")); !errors.Is(err, resolve.ErrUnavailable) {
		t.Errorf("again: got %v, want ErrUnavailable", err)
	}
}
