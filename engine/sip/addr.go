package sip

import (
	"errors"
	"net/netip"
)

// ErrAddr says that a host is no numeric address.
var ErrAddr = errors.New("not a numeric IPv4 or IPv6 address")

// ParseAddr reads a host as a numeric address, IPv6 with or without brackets,
// IPv4 in IPv6 unmapped (RFC 5118 §4.5, §4.9). It does not allocate for IPv4.
// Names give ErrAddr.
func ParseAddr(host []byte) (netip.Addr, error) {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if a, ok := parseIPv4(host); ok {
		return a, nil
	}
	for _, c := range host {
		if c == ':' {
			a, err := netip.ParseAddr(string(host))
			if err != nil || a.Zone() != "" {
				return netip.Addr{}, ErrAddr
			}
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, ErrAddr
}

func parseIPv4(b []byte) (netip.Addr, bool) {
	if len(b) < 7 || len(b) > 15 {
		return netip.Addr{}, false
	}
	var ip [4]byte
	part, digits, n := 0, 0, 0
	for _, c := range b {
		switch {
		case c == '.':
			if digits == 0 || part == 3 {
				return netip.Addr{}, false
			}
			ip[part] = byte(n)
			part, digits, n = part+1, 0, 0
		case c >= '0' && c <= '9':
			if digits > 0 && n == 0 {
				return netip.Addr{}, false
			}
			n = n*10 + int(c-'0')
			if digits++; n > 255 {
				return netip.Addr{}, false
			}
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	ip[3] = byte(n)
	return netip.AddrFrom4(ip), true
}
