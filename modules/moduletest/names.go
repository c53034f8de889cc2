package moduletest

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/luasips/luasips/engine/api"
)

// Names is a resolver that knows the addresses of names; numeric hosts answer
// themselves.
type Names map[string][]netip.Addr

// Cached answers numeric hosts.
func (n Names) Cached(q api.Query) ([]api.Hop, bool, error) {
	if _, err := netip.ParseAddr(strings.Trim(q.Host, "[]")); err != nil {
		return nil, false, nil
	}
	hops, err := n.Resolve(q)
	return hops, true, err
}

// Resolve answers every address of the host on the query's port and transport.
func (n Names) Resolve(q api.Query) ([]api.Hop, error) {
	addrs, err := n.Addrs(q.Host)
	if err != nil {
		return nil, err
	}
	proto, port := q.Transport, q.Port
	if proto == api.ProtoAny {
		proto = api.ProtoUDP
	}
	if port == 0 {
		port = proto.DefaultPort()
	}
	var hops []api.Hop
	for _, a := range addrs {
		hops = append(hops, api.Hop{Proto: proto, Addr: netip.AddrPortFrom(a, port)})
	}
	return hops, nil
}

// ResolveAsync answers at once.
func (n Names) ResolveAsync(q api.Query, done func([]api.Hop, error)) { done(n.Resolve(q)) }

// Addrs looks host up.
func (n Names) Addrs(host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.Addr{a}, nil
	}
	if a := n[strings.ToLower(host)]; len(a) > 0 {
		return a, nil
	}
	return nil, fmt.Errorf("no address for %q", host)
}
