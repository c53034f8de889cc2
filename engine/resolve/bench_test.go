package resolve_test

import (
	"testing"

	"github.com/luasips/luasips/engine/api"
)

var weighted = []string{soa, "a.test. 600 IN A 192.0.2.1", "b.test. 600 IN A 192.0.2.2", "c.test. 600 IN A 192.0.2.3",
	"_sip._udp.w.test. 600 IN SRV 1 60 5060 a.test.", "_sip._udp.w.test. 600 IN SRV 1 40 5060 b.test.", "_sip._udp.w.test. 600 IN SRV 2 1 5060 c.test."}

// What is known costs no allocation; into a slice of the caller's own also an
// order by weight.
func TestCachedAllocates(t *testing.T) {
	r := start(t, newZone(t, weighted...))
	w, one, num := sip("w.test"), host("a.test"), host("192.0.2.9")
	mustResolve(t, r, w)
	mustResolve(t, r, one)
	buf := make([]api.Hop, 0, 8)
	for _, q := range []*api.Query{&w, &one, &num} {
		if n := testing.AllocsPerRun(200, func() {
			if _, ok, err := r.AppendCached(buf, q); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if _, ok, err := r.AppendStable(buf, q, 7); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}); n != 0 {
			t.Errorf("%s: AppendCached and AppendStable allocate %v times", q.Host, n)
		}
	}
	for q, want := range map[*api.Query]float64{&one: 0, &num: 0, &w: 1} {
		if n := testing.AllocsPerRun(200, func() {
			if _, ok, err := r.Cached(*q); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}); n != want {
			t.Errorf("%s: Cached allocates %v times, want %v", q.Host, n, want)
		}
	}
}

func BenchmarkCached(b *testing.B) {
	r := start(b, newZone(b, weighted...))
	mustResolve(b, r, sip("w.test"))
	mustResolve(b, r, host("a.test"))
	for name, q := range map[string]api.Query{"numeric": host("192.0.2.9"), "address": host("a.test"), "srv": sip("w.test")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]api.Hop, 0, 8)
			for b.Loop() {
				if _, ok, _ := r.AppendCached(buf, &q); !ok {
					b.Fatal("not cached")
				}
			}
		})
	}
}

func BenchmarkCachedParallel(b *testing.B) {
	r := start(b, newZone(b, weighted...))
	q := host("a.test")
	mustResolve(b, r, q)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok, _ := r.Cached(q); !ok {
				b.Error("not cached")
			}
		}
	})
}
