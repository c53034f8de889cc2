package resolve_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/resolve"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a DNS server on loopback with the records it is given.
type zone struct {
	addr string

	mu    sync.Mutex
	rrs   map[string][]dns.RR // "name. TYPE"
	rcode map[string]int      // by name
	hook  func(w dns.ResponseWriter, q *dns.Msg) bool
	asked []string // "name. TYPE" in order of arrival
}

// newZone starts a server on UDP and TCP with records in zone file form.
func newZone(t testing.TB, records ...string) *zone {
	t.Helper()
	z := &zone{rrs: map[string][]dns.RR{}, rcode: map[string]int{}}
	z.add(t, records...)
	pc, l := samePort(t)
	z.addr = pc.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: l, Handler: z}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() {
			s.Shutdown()
			<-ended
		})
	}
	return z
}

// samePort listens on UDP and TCP with one port, which others may take for
// either of them meanwhile.
func samePort(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return pc, l
		}
		l.Close()
		if !errors.Is(err, syscall.EADDRINUSE) || try == 100 {
			t.Fatal(err)
		}
	}
}

func (z *zone) add(t testing.TB, records ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		k := strings.ToLower(rr.Header().Name) + " " + dns.TypeToString[rr.Header().Rrtype]
		z.rrs[k] = append(z.rrs[k], rr)
	}
}

func (z *zone) setRcode(name string, rcode int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rcode[name] = rcode
}

func (z *zone) setHook(f func(w dns.ResponseWriter, q *dns.Msg) bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hook = f
}

// questions is what was asked, as "name. TYPE", optionally of one kind.
func (z *zone) questions(containing string) []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []string
	for _, q := range z.asked {
		if strings.Contains(q, containing) {
			out = append(out, q)
		}
	}
	return out
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name := strings.ToLower(q.Question[0].Name)
	k := name + " " + dns.TypeToString[q.Question[0].Qtype]
	z.mu.Lock()
	z.asked = append(z.asked, k)
	hook, rcode := z.hook, z.rcode[name]
	m := z.answer(q, name, k)
	z.mu.Unlock()
	if hook != nil && hook(w, q) {
		return
	}
	if rcode != 0 {
		m.Rcode, m.Answer = rcode, nil
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	w.WriteMsg(m)
}

// answer is called with z.mu held.
func (z *zone) answer(q *dns.Msg, name, k string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Answer = append(m.Answer, z.rrs[k]...)
	for n := name; len(m.Answer) < 20; {
		c := z.rrs[n+" CNAME"]
		if len(c) == 0 {
			break
		}
		n = strings.ToLower(c[0].(*dns.CNAME).Target)
		m.Answer = append(m.Answer, c[0])
		m.Answer = append(m.Answer, z.rrs[n+" "+dns.TypeToString[q.Question[0].Qtype]]...)
	}
	if len(m.Answer) > 0 {
		return m
	}
	m.Rcode = dns.RcodeNameError
	for known := range z.rrs {
		if strings.HasPrefix(known, name+" ") {
			m.Rcode = dns.RcodeSuccess
		}
	}
	m.Ns = append(m.Ns, z.rrs["test. SOA"]...)
	return m
}

// clock is a clock that stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start makes a Resolver that asks z; its goroutines are awaited at the end.
func start(t testing.TB, z *zone, edit ...func(*resolve.Config)) *resolve.Resolver {
	t.Helper()
	var wg sync.WaitGroup
	cfg := resolve.Config{
		Timeout: 2 * time.Second, Attempts: 1, Hosts: hosts(t, ""),
		Go: func(_ string, fn func()) bool {
			wg.Add(1)
			go func() { defer wg.Done(); fn() }()
			return true
		},
	}
	if z != nil {
		cfg.Servers = []string{z.addr}
	}
	for _, f := range edit {
		f(&cfg)
	}
	r, err := resolve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); wg.Wait() })
	return r
}

func hosts(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const all = 1<<api.ProtoUDP | 1<<api.ProtoTCP | 1<<api.ProtoTLS | 1<<api.ProtoWS | 1<<api.ProtoWSS

// sip is the query of sip:host on IPv4 with sockets of every protocol.
func sip(host string) api.Query { return api.Query{Host: host, V4: true, Protos: all} }

// show writes hops as "udp 192.0.2.1:5060, ...".
func show(hops []api.Hop) string {
	s := make([]string, len(hops))
	for i, h := range hops {
		s[i] = fmt.Sprintf("%s %s", h.Proto, h.Addr)
	}
	return strings.Join(s, ", ")
}

func mustResolve(t testing.TB, r *resolve.Resolver, q api.Query) string {
	t.Helper()
	hops, err := r.Resolve(q)
	if err != nil {
		t.Fatalf("%s: %v", q.Host, err)
	}
	return show(hops)
}

const soa = "test. 30 IN SOA ns.test. root.test. 1 3600 600 86400 20"
