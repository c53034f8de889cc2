package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
)

// endpoint is proto:host:port as written in a script.
type endpoint struct {
	proto       api.Proto // ProtoAny when not written
	host        string    // lower case, no brackets
	first, last uint16    // port range; 0, 0 when not written
	hasPort     bool
}

// parseEndpoint reads [proto:]host[:port[-port]].
func parseEndpoint(s string) (e endpoint, err error) {
	rest := s
	if i := strings.IndexByte(s, ':'); i > 0 {
		if p, ok := api.ParseProto(s[:i]); ok {
			e.proto, rest = p, s[i+1:]
		}
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return e, fmt.Errorf("%q: %w", s, err)
	}
	e.host = strings.ToLower(host)
	if port == "" {
		return e, nil
	}
	e.hasPort = true
	first, last, isRange := strings.Cut(port, "-")
	if e.first, err = parsePort(first); err != nil {
		return e, fmt.Errorf("%q: %w", s, err)
	}
	e.last = e.first
	if isRange {
		if e.last, err = parsePort(last); err != nil {
			return e, fmt.Errorf("%q: %w", s, err)
		}
	}
	if e.last < e.first || isRange && e.first == 0 {
		return e, fmt.Errorf("%q: port range must run from a lower port to a higher one", s)
	}
	return e, nil
}

// splitHostPort cuts host[:port]; an IPv6 address with a port needs brackets.
func splitHostPort(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New("[ without ]")
		}
		host, rest := s[1:end], s[end+1:]
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", "", errors.New("brackets need an IPv6 address in them")
		}
		if rest == "" {
			return host, "", nil
		}
		if rest[0] != ':' || rest == ":" {
			return "", "", errors.New("behind ] only :port may stand")
		}
		return host, rest[1:], nil
	}
	switch strings.Count(s, ":") {
	case 0:
		host = s
	case 1:
		if host, port, _ = strings.Cut(s, ":"); port == "" {
			return "", "", errors.New("port is missing behind the colon")
		}
	default:
		if a, err := netip.ParseAddr(s); err != nil || !a.Is6() {
			return "", "", errors.New("want proto:host:port, an IPv6 address in brackets")
		}
		host = s
	}
	if host == "" {
		return "", "", errors.New("host is missing")
	}
	return host, port, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number from 0 to 65535", s)
	}
	return uint16(n), nil
}

// bracketed is host as it stands in a URI: IPv6 addresses in brackets.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// sameFamily reports whether a packet can go from a to b.
func sameFamily(a, b netip.Addr) bool { return a.Unmap().Is4() == b.Unmap().Is4() }
