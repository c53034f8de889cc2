package resolve_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/resolve"
)

// RFC 3263 §4.1, §4.2: a numeric host costs no query, whatever else is given.
func TestNumericHost(t *testing.T) {
	z := newZone(t)
	r := start(t, z)
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{api.Query{Host: "192.0.2.1", V4: true, Protos: all}, "udp 192.0.2.1:5060"},
		{api.Query{Host: "192.0.2.1", Port: 5080, V4: true, Protos: all}, "udp 192.0.2.1:5080"},
		{api.Query{Host: "[2001:db8::1]", V6: true, Protos: all}, "udp [2001:db8::1]:5060"},
		{api.Query{Host: "2001:db8::1", Transport: api.ProtoTCP, V6: true, Protos: all}, "tcp [2001:db8::1]:5060"},
		{api.Query{Host: "[::ffff:192.0.2.1]", V4: true, Protos: all}, "udp 192.0.2.1:5060"},
		{api.Query{Host: "192.0.2.1", Sips: true, V4: true, Protos: all}, "tls 192.0.2.1:5061"},
		{api.Query{Host: "192.0.2.1", Sips: true, Transport: api.ProtoTCP, V4: true, Protos: all}, "tls 192.0.2.1:5061"},
		{api.Query{Host: "192.0.2.1", Sips: true, Transport: api.ProtoWS, V4: true, Protos: all}, "wss 192.0.2.1:443"},
		{api.Query{Host: "192.0.2.1", Transport: api.ProtoWS, V4: true, Protos: all}, "ws 192.0.2.1:80"},
		{api.Query{Host: "192.0.2.1", V4: true, Protos: 1 << api.ProtoTCP}, "tcp 192.0.2.1:5060"},
	} {
		hops, ok, err := r.Cached(c.q)
		if got := show(hops); !ok || err != nil || got != c.want {
			t.Errorf("%+v: got %q, %v, %v, want %q", c.q, got, ok, err, c.want)
		}
	}
	if n := z.questions(""); len(n) != 0 {
		t.Errorf("numeric hosts were asked about: %q", n)
	}
}

func TestNoSocketForTarget(t *testing.T) {
	r := start(t, newZone(t))
	for _, q := range []api.Query{
		{Host: "192.0.2.1", V6: true, Protos: all},
		{Host: "[2001:db8::1]", V4: true, Protos: all},
		{Host: "192.0.2.1", V4: true},
		{Host: "192.0.2.1", Sips: true, V4: true, Protos: 1<<api.ProtoUDP | 1<<api.ProtoTCP},
		{Host: "192.0.2.1", Sips: true, Transport: api.ProtoUDP, V4: true, Protos: all},
		{Host: "a.test", Transport: api.ProtoTLS, V4: true, Protos: 1 << api.ProtoUDP},
		{Host: "a.test", Transport: 0xff, V4: true, Protos: all},
		{Host: "a.test", Protos: all},
	} {
		if _, ok, err := r.Cached(q); !ok || !errors.Is(err, resolve.ErrTransport) {
			t.Errorf("%+v: got %v, %v, want ErrTransport", q, ok, err)
		}
	}
}

func TestBadNames(t *testing.T) {
	z := newZone(t)
	r := start(t, z)
	for _, host := range []string{
		"", ".", "a..test", "-a.test", "a-.test", "a_b.te st", "a\r\n.test", "1.2.3", "1.2.3.4.5", "999.1.1.1", "[a]", "[192.0.2.1]",
		"fe80::1%eth0", "[fe80::1%25eth0]", "caf\u00e9.test", `a\046.test`, strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 127) + "test",
	} {
		if _, ok, err := r.Cached(sip(host)); !ok || !errors.Is(err, resolve.ErrName) {
			t.Errorf("%q: got %v, %v, want ErrName", host, ok, err)
		}
	}
	if n := z.questions(""); len(n) != 0 {
		t.Errorf("bad names were asked about: %q", n)
	}
}

// RFC 3263 §4.2: a port in the URI leaves A and AAAA alone.
func TestPortMeansNoSRV(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "a.test. 60 IN A 192.0.2.2", "a.test. 60 IN AAAA 2001:db8::1",
		"_sip._udp.a.test. 60 IN SRV 0 0 9999 a.test.")
	r := start(t, z)
	q := sip("a.test")
	q.Port, q.V6 = 5070, true
	if got, want := mustResolve(t, r, q), "udp 192.0.2.1:5070, udp 192.0.2.2:5070, udp [2001:db8::1]:5070"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if n := append(z.questions("SRV"), z.questions("NAPTR")...); len(n) != 0 {
		t.Errorf("asked %q for a URI with a port", n)
	}
}

func TestFamilies(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "a.test. 60 IN AAAA 2001:db8::1", "four.test. 60 IN A 192.0.2.4")
	r := start(t, z, func(c *resolve.Config) { c.PreferV6 = true })
	q := sip("a.test")
	q.Port, q.V6 = 5060, true
	if got, want := mustResolve(t, r, q), "udp [2001:db8::1]:5060, udp 192.0.2.1:5060"; got != want {
		t.Errorf("both families: got %s, want %s", got, want)
	}
	q.V4 = false
	if got, want := mustResolve(t, r, q), "udp [2001:db8::1]:5060"; got != want {
		t.Errorf("IPv6 alone: got %s, want %s", got, want)
	}
	q.Host = "four.test"
	if _, err := r.Resolve(q); !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("IPv6 of a name without: got %v", err)
	}
	if n := z.questions("four.test. A"); len(n) != 1 || n[0] != "four.test. AAAA" {
		t.Errorf("asked %q though IPv4 is of no use", n)
	}
}

// RFC 3263 §4.1: order, then preference; services that we lack are passed over.
func TestNAPTR(t *testing.T) {
	z := newZone(t, soa,
		`n.test. 60 IN NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.n.test.`,
		`n.test. 60 IN NAPTR 90 60 "s" "SIP+D2U" "" udp.n.test.`,
		`n.test. 60 IN NAPTR 90 50 "s" "SIP+D2T" "" tcp.n.test.`,
		`n.test. 60 IN NAPTR 10 10 "u" "E2U+sip" "!^.*$!sip:x@n.test!" .`,
		"_sips._tcp.n.test. 60 IN SRV 0 0 5061 h.test.", "udp.n.test. 60 IN SRV 0 0 5062 h.test.", "tcp.n.test. 60 IN SRV 0 0 5063 h.test.",
		"h.test. 60 IN A 192.0.2.9")
	r := start(t, z)
	if got, want := mustResolve(t, r, sip("n.test")), "tls 192.0.2.9:5061"; got != want {
		t.Errorf("lowest order: got %s, want %s", got, want)
	}
	q := sip("n.test")
	q.Protos = 1<<api.ProtoUDP | 1<<api.ProtoTCP
	if got, want := mustResolve(t, r, q), "tcp 192.0.2.9:5063, udp 192.0.2.9:5062"; got != want {
		t.Errorf("without TLS, by preference: got %s, want %s", got, want)
	}
	q.Transport = api.ProtoTCP
	z.add(t, "_sip._tcp.n.test. 60 IN SRV 0 0 5064 h.test.")
	if got, want := mustResolve(t, r, q), "tcp 192.0.2.9:5064"; got != want {
		t.Errorf("transport in the URI: got %s, want %s", got, want)
	}
}

// RFC 3263 §4.1: a sips target goes by TLS or not at all.
func TestSipsStaysSecure(t *testing.T) {
	z := newZone(t, soa,
		`s.test. 60 IN NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.s.test.`, `s.test. 60 IN NAPTR 20 10 "s" "SIPS+D2T" "" _sips._tcp.s.test.`,
		"_sip._udp.s.test. 60 IN SRV 0 0 5060 s.test.", "_sips._tcp.s.test. 60 IN SRV 0 0 5071 s.test.", "s.test. 60 IN A 192.0.2.7",
		"p.test. 60 IN A 192.0.2.8", "_sip._udp.p.test. 60 IN SRV 0 0 5060 p.test.", "_sip._tcp.p.test. 60 IN SRV 0 0 5060 p.test.")
	r := start(t, z)
	q := sip("s.test")
	q.Sips = true
	if got, want := mustResolve(t, r, q), "tls 192.0.2.7:5071"; got != want {
		t.Errorf("NAPTR: got %s, want %s", got, want)
	}
	q.Host = "p.test"
	if got, want := mustResolve(t, r, q), "tls 192.0.2.8:5061"; got != want {
		t.Errorf("no SIPS records: got %s, want %s", got, want)
	}
	if n := append(z.questions("_sip._udp"), z.questions("_sip._tcp")...); len(n) != 0 {
		t.Errorf("asked %q for a sips URI", n)
	}
}

func TestSRVByProtocol(t *testing.T) {
	z := newZone(t, soa, "d.test. 60 IN A 192.0.2.1", "h.test. 60 IN A 192.0.2.2",
		"_sip._tcp.d.test. 60 IN SRV 0 0 5070 h.test.", "_sips._tcp.d.test. 60 IN SRV 0 0 5071 h.test.",
		"bare.test. 60 IN A 192.0.2.3", "off.test. 60 IN A 192.0.2.4", "_sip._udp.off.test. 60 IN SRV 0 0 0 .")
	r := start(t, z, func(c *resolve.Config) { c.NoNAPTR = true })
	udp := sip("d.test")
	udp.Protos = 1 << api.ProtoUDP
	tls := sip("d.test")
	tls.Transport = api.ProtoTLS
	ws := sip("d.test")
	ws.Transport = api.ProtoWS
	for _, c := range []struct {
		q    api.Query
		want string
	}{
		{sip("d.test"), "tcp 192.0.2.2:5070, tls 192.0.2.2:5071"},
		{udp, "udp 192.0.2.1:5060"},
		{tls, "tls 192.0.2.2:5071"},
		{ws, "ws 192.0.2.1:80"},
		{sip("bare.test"), "udp 192.0.2.3:5060"},
		{sip("BARE.Test."), "udp 192.0.2.3:5060"},
	} {
		if got := mustResolve(t, r, c.q); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.q, got, c.want)
		}
	}
	if _, err := r.Resolve(sip("off.test")); !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf(`target ".": got %v, want ErrNotFound and no fallback to the address`, err)
	}
	if n := z.questions("NAPTR"); len(n) != 0 {
		t.Errorf("NoNAPTR asked %q", n)
	}
}

// RFC 2782: priority first; within one, 1,000 calls spread by weight within 5%.
func TestSRVWeightSpread(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "b.test. 60 IN A 192.0.2.2", "c.test. 60 IN A 192.0.2.3", "z.test. 60 IN A 192.0.2.9",
		"_sip._udp.w.test. 60 IN SRV 1 60 5060 a.test.", "_sip._udp.w.test. 60 IN SRV 1 30 5060 b.test.",
		"_sip._udp.w.test. 60 IN SRV 1 10 5060 c.test.", "_sip._udp.w.test. 60 IN SRV 2 9000 5060 z.test.")
	n := uint64(0)
	r := start(t, z, func(c *resolve.Config) { c.Rand = func() uint64 { n++; return n } })
	mustResolve(t, r, sip("w.test"))
	first := map[string]float64{}
	const calls = 1000
	for range calls {
		hops, ok, err := r.Cached(sip("w.test"))
		if !ok || err != nil || len(hops) != 4 {
			t.Fatalf("got %v, %v, %v", hops, ok, err)
		}
		first[hops[0].Addr.Addr().String()]++
		if last := hops[3].Addr.Addr().String(); last != "192.0.2.9" {
			t.Fatalf("priority 2 comes at %s, want it last", show(hops))
		}
	}
	for addr, want := range map[string]float64{"192.0.2.1": 0.6, "192.0.2.2": 0.3, "192.0.2.3": 0.1} {
		if got := first[addr] / calls; math.Abs(got-want) > 0.05 {
			t.Errorf("%s was first in %.1f%%, want %.0f%% within 5", addr, got*100, want*100)
		}
	}
}

func TestSRVWeightZero(t *testing.T) {
	z := newZone(t, soa, "a.test. 60 IN A 192.0.2.1", "b.test. 60 IN A 192.0.2.2",
		"_sip._udp.even.test. 60 IN SRV 1 0 5060 a.test.", "_sip._udp.even.test. 60 IN SRV 1 0 5060 b.test.",
		"_sip._udp.rare.test. 60 IN SRV 1 0 5060 a.test.", "_sip._udp.rare.test. 60 IN SRV 1 9 5060 b.test.")
	n := uint64(0)
	r := start(t, z, func(c *resolve.Config) { c.Rand = func() uint64 { n++; return n } })
	for name, want := range map[string]float64{"even.test": 0.5, "rare.test": 0.1} {
		mustResolve(t, r, sip(name))
		hits := 0.0
		for range 1000 {
			hops, _, _ := r.Cached(sip(name))
			if hops[0].Addr.Addr().String() == "192.0.2.1" {
				hits++
			}
		}
		if got := hits / 1000; math.Abs(got-want) > 0.05 {
			t.Errorf("%s: weight 0 was first in %.1f%%, want %.0f%% within 5", name, got*100, want*100)
		}
	}
}

// RFC 3263 §4.4: a stateless proxy finds the same order for a retransmission,
// also from another cache and with the records the other way round.
func TestStableOrder(t *testing.T) {
	records := []string{soa, "a.test. 60 IN A 192.0.2.1", "a.test. 60 IN A 192.0.2.11", "b.test. 60 IN A 192.0.2.2", "c.test. 60 IN A 192.0.2.3",
		"_sip._udp.w.test. 60 IN SRV 1 5 5060 a.test.", "_sip._udp.w.test. 60 IN SRV 1 5 5060 b.test.", "_sip._udp.w.test. 60 IN SRV 1 5 5060 c.test."}
	var back []string
	for _, s := range records {
		back = append([]string{s}, back...)
	}
	q := sip("w.test")
	orders := map[string]bool{}
	r1, r2 := start(t, newZone(t, records...)), start(t, newZone(t, back...))
	mustResolve(t, r1, q)
	mustResolve(t, r2, q)
	for key := range uint64(50) {
		h1, ok1, _ := r1.AppendStable(nil, &q, key)
		h2, ok2, _ := r2.AppendStable(nil, &q, key)
		if !ok1 || !ok2 || show(h1) != show(h2) {
			t.Fatalf("key %d: %s and %s", key, show(h1), show(h2))
		}
		orders[show(h1)] = true
	}
	if len(orders) < 4 {
		t.Errorf("50 keys gave %d orders of 6, want them spread", len(orders))
	}
}

func TestManySRVBounded(t *testing.T) {
	records := []string{soa, "lo.test. 60 IN A 192.0.2.255", "_sip._udp.big.test. 60 IN SRV 1 1 5060 lo.test."}
	for i := range 512 {
		records = append(records, fmt.Sprintf("h%d.test. 60 IN A 192.0.%d.%d", i, 3+i/250, i%250), fmt.Sprintf("_sip._udp.big.test. 60 IN SRV 2 %d 5060 h%d.test.", 1+i%7, i))
	}
	z := newZone(t, records...)
	r := start(t, z, func(c *resolve.Config) { c.Timeout = 5 * time.Second })
	hops, err := r.Resolve(sip("big.test"))
	if err != nil {
		t.Fatal(err)
	}
	if len(hops) != 32 || hops[0].Addr.Addr().String() != "192.0.2.255" {
		t.Errorf("got %d places from %v on, want 32 from priority 1 on", len(hops), hops[0])
	}
	if n := len(z.questions(" A")); n > 40 {
		t.Errorf("asked for %d addresses, want 32", n)
	}
}

func TestCNAME(t *testing.T) {
	records := []string{soa, "alias.test. 60 IN CNAME b.test.", "b.test. 5 IN CNAME c.test.", "c.test. 60 IN A 192.0.2.3",
		"l1.test. 60 IN CNAME l2.test.", "l2.test. 60 IN CNAME l1.test.", "_sip._udp.srv.test. 60 IN SRV 0 0 5060 alias.test."}
	for i := range 12 {
		records = append(records, fmt.Sprintf("long%d.test. 60 IN CNAME long%d.test.", i, i+1))
	}
	records = append(records, "long12.test. 60 IN A 192.0.2.12", "dangling.test. 60 IN CNAME gone.test.")
	z, c := newZone(t, records...), newClock()
	r := start(t, z, func(cfg *resolve.Config) { cfg.Now = c.Now; cfg.NoNAPTR = true })
	for host, want := range map[string]string{"alias.test": "udp 192.0.2.3:5060", "srv.test": "udp 192.0.2.3:5060", "long6.test": "udp 192.0.2.12:5060"} {
		if got := mustResolve(t, r, sip(host)); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
	for _, host := range []string{"l1.test", "long0.test", "dangling.test"} {
		if hops, err := r.Resolve(sip(host)); !errors.Is(err, resolve.ErrNotFound) {
			t.Errorf("%s: got %v, %v, want ErrNotFound", host, hops, err)
		}
		if _, ok, _ := r.Cached(sip(host)); !ok {
			t.Errorf("%s: the failure is not cached", host)
		}
	}
	c.advance(6 * time.Second)
	if _, ok, _ := r.Cached(sip("alias.test")); ok {
		t.Error("kept past the TTL of a CNAME on the way")
	}
}

func TestHostsFile(t *testing.T) {
	z, c := newZone(t, soa, "pbx.test. 60 IN A 203.0.113.1"), newClock()
	path := hosts(t, "# comment\n192.0.2.1\tpbx.test PBX # x\n2001:db8::1 pbx.test\nnonsense pbx.test\n")
	r := start(t, z, func(cfg *resolve.Config) { cfg.Hosts = path; cfg.Now = c.Now })
	q := sip("pbx")
	if hops, ok, err := r.Cached(q); !ok || err != nil || show(hops) != "udp 192.0.2.1:5060" {
		t.Errorf("got %s, %v, %v", show(hops), ok, err)
	}
	addrs, err := r.Addrs("pbx.test")
	if err != nil || fmt.Sprint(addrs) != "[192.0.2.1 2001:db8::1]" {
		t.Errorf("got %v, %v", addrs, err)
	}
	if addrs, err := r.Addrs("localhost"); err != nil || fmt.Sprint(addrs) != "[127.0.0.1 ::1]" {
		t.Errorf("localhost: got %v, %v", addrs, err)
	}
	if n := z.questions(""); len(n) != 0 {
		t.Errorf("asked %q for names of the hosts file", n)
	}
	if err := os.WriteFile(path, []byte("192.0.2.77 pbx longer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.advance(5 * time.Second)
	if hops, _, err := r.Cached(q); err != nil || show(hops) != "udp 192.0.2.77:5060" {
		t.Errorf("after a change: got %s, %v", show(hops), err)
	}
}

func TestSearchList(t *testing.T) {
	z := newZone(t, soa, "pbx.test. 60 IN A 192.0.2.1", "a.b.test. 60 IN A 192.0.2.2")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.53\nsearch nowhere.invalid test\noptions ndots:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, z, func(c *resolve.Config) { c.ResolvConf, c.Search = conf, true })
	for host, want := range map[string]string{"pbx": "udp 192.0.2.1:5060", "a.b": "udp 192.0.2.2:5060", "a.b.test": "udp 192.0.2.2:5060"} {
		if got := mustResolve(t, r, sip(host)); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
	off := start(t, z)
	if _, err := off.Resolve(sip("pbx")); !errors.Is(err, resolve.ErrNotFound) {
		t.Errorf("search is off: got %v", err)
	}
}

func TestResolvConf(t *testing.T) {
	for _, c := range []struct{ servers, want string }{
		{"nonsense", "not an address"}, {"192.0.2.1:0", "not an address"}, {"dns.test:53", "not an address"},
	} {
		_, err := resolve.New(resolve.Config{Servers: []string{c.servers}, Go: func(string, func()) bool { return false }})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.servers, err)
		}
	}
	if _, err := resolve.New(resolve.Config{}); err == nil {
		t.Error("no Go: no error")
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	cfg := resolve.Config{ResolvConf: conf, Go: func(string, func()) bool { return false }}
	if _, err := resolve.New(cfg); err != nil {
		t.Errorf("no resolv.conf: %v", err)
	}
	if err := os.WriteFile(conf, []byte("nameserver dns.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve.New(cfg); err == nil || !strings.Contains(err.Error(), `"dns.test" is not an address`) {
		t.Errorf("resolv.conf with a name: got %v", err)
	}
}
