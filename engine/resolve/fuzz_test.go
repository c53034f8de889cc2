package resolve_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/resolve"
)

// Whatever stands in a URI as its host: an address is answered as netip reads
// it, and anything else is a name that fits DNS or an error, with no query.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "[2001:db8::1]", "::1", "a.test", "A.Test.", "_sip._udp.x", "1.2.3", "[]", "[", "a..b", "::ffff:1.2.3.4", "fe80::1%x", "\x00"} {
		f.Add(s)
	}
	r := start(f, nil, func(c *resolve.Config) { c.Servers = []string{"192.0.2.53"} })
	f.Fuzz(func(t *testing.T, host string) {
		hops, ok, err := r.Cached(api.Query{Host: host, V4: true, V6: true, Protos: all})
		bare := host
		if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") && strings.Contains(host, ":") {
			bare = host[1 : len(host)-1]
		}
		if want, e := netip.ParseAddr(bare); e == nil && want.Zone() == "" {
			if !ok || err != nil || len(hops) != 1 || hops[0].Addr.Addr() != want.Unmap() {
				t.Fatalf("%q: got %v, %v, %v, want %v", host, hops, ok, err, want)
			}
			return
		}
		if local := strings.ToLower(strings.TrimSuffix(host, ".")); local == "localhost" || strings.HasSuffix(local, ".localhost") {
			return
		}
		if hops != nil || (ok && !errors.Is(err, resolve.ErrName)) {
			t.Fatalf("%q: got %v, %v, %v, want an error or a miss", host, hops, ok, err)
		}
		if !ok && (len(host) > 254 || strings.ContainsAny(host, " \r\n\\\x00[]:%")) {
			t.Fatalf("%q would be asked about", host)
		}
	})
}
