package resolve

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// literal reads a numeric host: 192.0.2.1, [2001:db8::1], 2001:db8::1. ok is
// false for a name. An address with a zone is a name here, and no good one.
func literal(host string) (a netip.Addr, ok bool) {
	n := len(host)
	if n < 2 {
		return a, false
	}
	switch {
	case host[0] == '[' && host[n-1] == ']':
		host = host[1 : n-1]
		if strings.IndexByte(host, ':') < 0 {
			return a, false
		}
	case strings.IndexByte(host, ':') >= 0:
	case !digit(host[0]) || !digit(host[n-1]):
		return a, false
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// literalHop is the one place of a numeric host (RFC 3263 §4.1, §4.2).
func literalHop(q *api.Query, a netip.Addr) (api.Hop, error) {
	p, err := chosen(q)
	if err != nil {
		return api.Hop{}, err
	}
	if (a.Is4() && !q.V4) || (a.Is6() && !q.V6) {
		return api.Hop{}, familyError(q)
	}
	return api.Hop{Proto: p, Addr: netip.AddrPortFrom(a, portOr(q.Port, p))}, nil
}

func literalAnswer(q api.Query, addr netip.Addr, expires time.Time) *answer {
	q.Host = strings.Clone(q.Host)
	a := &answer{q: q, expires: expires}
	h, err := literalHop(&q, addr)
	if err != nil {
		a.err = err
		return a
	}
	a.hops = []api.Hop{h}
	return a
}

func portOr(port uint16, p api.Proto) uint16 {
	if port == 0 {
		return p.DefaultPort()
	}
	return port
}

// spoken reports whether our sockets speak p.
func spoken(q *api.Query, p api.Proto) bool { return q.Protos&(1<<p) != 0 }

// preferred is the order of transports where the URI names none and DNS says
// nothing: UDP first (RFC 3263 §4.1); for sips the secure ones alone.
var (
	preferred     = [...]api.Proto{api.ProtoUDP, api.ProtoTCP, api.ProtoTLS, api.ProtoWS, api.ProtoWSS}
	preferredSips = [...]api.Proto{api.ProtoTLS, api.ProtoWSS}
)

// chosen is the transport where no SRV record decides it: the one that the URI
// names, secured for sips, else the first that we speak.
func chosen(q *api.Query) (api.Proto, error) {
	if q.Transport != api.ProtoAny {
		return named(q)
	}
	order := preferred[:]
	if q.Sips {
		order = preferredSips[:]
	}
	for _, p := range order {
		if spoken(q, p) {
			return p, nil
		}
	}
	return 0, transportError(q, order[0])
}

// named is the transport parameter, with TLS below it for sips
// (RFC 3261 §26.2.2: transport=tcp in a sips URI is TLS).
func named(q *api.Query) (api.Proto, error) {
	p := q.Transport
	if q.Sips {
		switch p {
		case api.ProtoTCP:
			p = api.ProtoTLS
		case api.ProtoWS:
			p = api.ProtoWSS
		case api.ProtoUDP:
			return 0, fmt.Errorf("%w: a sips URI cannot go by udp", ErrTransport)
		}
	}
	if !spoken(q, p) {
		return 0, transportError(q, p)
	}
	return p, nil
}

func transportError(q *api.Query, p api.Proto) error {
	scheme := "sip"
	if q.Sips {
		scheme = "sips"
	}
	return fmt.Errorf("%w: a %s URI for %q needs a %s socket", ErrTransport, scheme, q.Host, p)
}

func familyError(q *api.Query) error {
	return fmt.Errorf("%w: %q has no address of a family that our sockets have", ErrTransport, q.Host)
}

// canonical is name in lower case without the last dot. It refuses what
// RFC 1123 §2.1 does not allow as a host name (an underscore apart), and a
// last label of digits alone, which is a mistyped address.
func canonical(name string) (string, error) {
	bare := strings.TrimSuffix(name, ".")
	if bare == "" || len(bare) > 253 {
		return "", nameError(name)
	}
	label, alpha, upper := 0, false, false
	for i := 0; i < len(bare); i++ {
		c := bare[i]
		switch {
		case c == '.':
			if label == 0 || bare[i-1] == '-' {
				return "", nameError(name)
			}
			label, alpha = 0, false
			continue
		case digit(c):
		case c == '-' && label > 0, 'a' <= c && c <= 'z', c == '_':
			alpha = true
		case 'A' <= c && c <= 'Z':
			alpha, upper = true, true
		default:
			return "", nameError(name)
		}
		if label++; label > 63 {
			return "", nameError(name)
		}
	}
	if label == 0 || !alpha || bare[len(bare)-1] == '-' {
		return "", nameError(name)
	}
	if upper {
		bare = strings.ToLower(bare)
	}
	return bare, nil
}

func nameError(name string) error {
	if len(name) > 80 {
		name = name[:80] + "..."
	}
	return fmt.Errorf("%w: %q", ErrName, name)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
