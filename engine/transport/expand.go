package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// lookupTimeout bounds the name queries of Listen, each.
const lookupTimeout = 5 * time.Second

// iface is one interface of the machine, or of the in-memory network.
type iface struct {
	name  string
	addrs []netip.Prefix
}

// names is what expanding a socket needs to know of the machine.
type names struct {
	ifaces []iface
	lookup func(host string) ([]netip.Addr, error)
}

// machine reads the interfaces that are up. IPv6 link-local addresses are left
// out: they mean nothing in a Via.
func machine() (names, error) {
	n := names{lookup: lookupHost}
	list, err := net.Interfaces()
	if err != nil {
		return n, fmt.Errorf("cannot list the machine's interfaces: %w", err)
	}
	for _, i := range list {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return n, fmt.Errorf("cannot list the addresses of %s: %w", i.Name, err)
		}
		n.ifaces = append(n.ifaces, iface{i.Name, prefixes(addrs)})
	}
	return n, nil
}

func prefixes(addrs []net.Addr) (out []netip.Prefix) {
	for _, a := range addrs {
		ipn, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(ipn.IP)
		ip = ip.Unmap()
		bits, _ := ipn.Mask.Size()
		if ip.IsLinkLocalUnicast() && ip.Is6() {
			continue
		}
		out = append(out, netip.PrefixFrom(ip, bits))
	}
	return out
}

func lookupHost(host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

// subnet is the network that addr is in; a host route when it is no
// interface's.
func (n *names) subnet(addr netip.Addr) netip.Prefix {
	for _, i := range n.ifaces {
		for _, p := range i.addrs {
			if p.Addr() == addr {
				return p.Masked()
			}
		}
	}
	return netip.PrefixFrom(addr, addr.BitLen())
}

// want is one address to bind.
type want struct {
	spec     *SocketSpec
	proto    api.Proto
	addr     netip.AddrPort
	expanded bool   // from a wildcard or an interface
	name     string // host name it was declared by; "" when an address
}

// expand makes one want per address and port of each spec. An address that is
// declared by itself is taken out of the wildcards and interfaces that hold it
// too; the same address declared twice is an error.
func expand(specs []SocketSpec, n *names) ([]want, error) {
	var all []want
	for i := range specs {
		w, err := expandOne(&specs[i], n)
		if err != nil {
			return nil, &BindError{Listen: specs[i].Listen, Where: specs[i].Where, Err: err}
		}
		all = append(all, w...)
	}
	return dedupe(all)
}

func expandOne(spec *SocketSpec, n *names) ([]want, error) {
	e, err := parseEndpoint(spec.Listen)
	switch {
	case err != nil:
		return nil, err
	case e.proto == api.ProtoAny:
		return nil, fmt.Errorf("protocol is missing; want proto:host:port with udp or tcp")
	case e.proto != api.ProtoUDP && e.proto != api.ProtoTCP:
		return nil, fmt.Errorf("%v: %w", e.proto, errProto)
	case spec.TOS < 0 || spec.TOS > 255:
		return nil, fmt.Errorf("tos %d is not from 0 to 255", spec.TOS)
	case e.last > e.first && spec.Tag != "":
		return nil, fmt.Errorf("tag %q cannot name a port range; declare the ports one by one", spec.Tag)
	}
	if !e.hasPort {
		e.first = e.proto.DefaultPort()
		e.last = e.first
	}
	addrs, name, expanded, err := addresses(e.host, n)
	if err != nil {
		return nil, err
	}
	var out []want
	for _, a := range addrs {
		for p := int(e.first); p <= int(e.last); p++ {
			out = append(out, want{spec, e.proto, netip.AddrPortFrom(a, uint16(p)), expanded, name})
		}
	}
	return out, nil
}

// addresses are what a host of a socket declaration stands for.
func addresses(host string, n *names) (addrs []netip.Addr, name string, expanded bool, err error) {
	ip, perr := netip.ParseAddr(host)
	switch {
	case host == "*":
		addrs, expanded = n.all(func(netip.Addr) bool { return true }), true
	case perr == nil && ip.IsUnspecified():
		addrs, expanded = n.all(func(a netip.Addr) bool { return a.Is4() == ip.Is4() }), true
	case perr == nil:
		return []netip.Addr{ip.Unmap()}, "", false, nil
	default:
		if addrs = n.of(host); addrs != nil {
			expanded = true
			break
		}
		name = host
		if addrs, err = n.lookup(host); err != nil {
			return nil, "", false, fmt.Errorf("%w (%w)", errNoInterface, err)
		}
	}
	if len(addrs) == 0 {
		return nil, "", false, errNoInterface
	}
	return addrs, name, expanded, nil
}

// all are the addresses of all interfaces that ok accepts.
func (n *names) all(ok func(netip.Addr) bool) (out []netip.Addr) {
	for _, i := range n.ifaces {
		for _, p := range i.addrs {
			if ok(p.Addr()) {
				out = append(out, p.Addr())
			}
		}
	}
	return out
}

// of are the addresses of the interface named so; nil when there is none.
func (n *names) of(name string) []netip.Addr {
	for _, i := range n.ifaces {
		if i.name != name {
			continue
		}
		out := make([]netip.Addr, 0, len(i.addrs))
		for _, p := range i.addrs {
			out = append(out, p.Addr())
		}
		return out
	}
	return nil
}

type bindKey struct {
	stream bool
	addr   netip.AddrPort
}

func dedupe(all []want) ([]want, error) {
	chosen := make(map[bindKey]int, len(all))
	for i, w := range all {
		k := bindKey{w.proto.Stream(), w.addr}
		j, taken := chosen[k]
		switch {
		case w.addr.Port() == 0:
		case !taken, all[j].expanded && !w.expanded:
			chosen[k] = i
		case w.expanded:
		default:
			return nil, &BindError{Listen: w.proto.String() + ":" + w.addr.String(), Where: w.spec.Where,
				Err: fmt.Errorf("declared before%s; once is right", at(all[j].spec.Where))}
		}
	}
	out := all[:0:0]
	for i, w := range all {
		if w.addr.Port() == 0 || chosen[bindKey{w.proto.Stream(), w.addr}] == i {
			out = append(out, w)
		}
	}
	return out, nil
}

func at(where string) string {
	if where == "" {
		return ""
	}
	return " at " + where
}
