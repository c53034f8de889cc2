package tr

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func ipFunctions() []modules.Function {
	return []modules.Function{
		text("ip.pton", "The 4 or 16 bytes of an address; nil when it is none.", Pton),
		text("ip.ntop", "The text of an address of 4 or 16 bytes; nil for other lengths.", Ntop),
		ipCheck("ip.isip", "Whether the value is an IPv4 or IPv6 address.", netip.Addr.IsValid),
		ipCheck("ip.isip4", "Whether the value is an IPv4 address.", netip.Addr.Is4),
		ipCheck("ip.isip6", "Whether the value is an IPv6 address.", netip.Addr.Is6),
		text("ip.family", "INET or INET6 for an address of 4 or 16 bytes, as ip.pton gives it.", Family),
		resolve("ip.resolve", "The first address of a name; an address stays as it is, nil when it has none.", netip.Addr.IsValid),
		resolve("ip.resolve4", "The first IPv4 address of a name; an address stays as it is, nil when it has none.", netip.Addr.Is4),
		resolve("ip.resolve6", "The first IPv6 address of a name; an address stays as it is, nil when it has none.", netip.Addr.Is6),
		define("ip.matches", modules.KindBool, "Whether an address lies in a network; nil when either is none or the families differ.",
			func(s string, p *params) modules.Value {
				in, ok := Matches(s, p.str(0))
				if !ok {
					return modules.Nil()
				}
				return modules.Bool(in)
			}, strArg("network", "address and bits of the mask: 10.0.0.0/8")),
		define("ip.isprivate", modules.KindBool, "Whether an address is an IPv4 one of private use (RFC 1918, RFC 6598) or of the loopback; nil when it is none.",
			func(s string, _ *params) modules.Value {
				a, ok := ParseIP(s)
				if !ok {
					return modules.Nil()
				}
				return modules.Bool(IsPrivate(a))
			}),
	}
}

// ParseIP reads an address, IPv6 with or without brackets.
func ParseIP(s string) (netip.Addr, bool) {
	a, err := sip.ParseAddr([]byte(s))
	return a, err == nil
}

func ipCheck(name, doc string, f func(netip.Addr) bool) modules.Function {
	return define(name, modules.KindBool, doc, func(s string, _ *params) modules.Value {
		a, _ := ParseIP(s)
		return modules.Bool(f(a))
	})
}

// Pton is {ip.pton}.
func Pton(s string) (string, bool) {
	a, ok := ParseIP(s)
	return string(a.AsSlice()), ok
}

// Ntop is {ip.ntop}.
func Ntop(s string) (string, bool) {
	a, ok := netip.AddrFromSlice([]byte(s))
	if !ok {
		return "", false
	}
	return a.String(), true
}

// Family is {ip.family}.
func Family(s string) (string, bool) {
	switch len(s) {
	case 4:
		return "INET", true
	case 16:
		return "INET6", true
	}
	return "", false
}

// Matches is {ip.matches,network}. ok is false when ip or network cannot be
// read, or when their families differ. Host bits in network are ignored.
func Matches(ip, network string) (in, ok bool) {
	a, ok := ParseIP(ip)
	if !ok {
		return false, false
	}
	base, bits, found := strings.Cut(network, "/")
	b, ok := ParseIP(base)
	if !found || !ok || a.BitLen() != b.BitLen() {
		return false, false
	}
	n, err := strconv.ParseUint(bits, 10, 8)
	if err != nil {
		return false, false
	}
	prefix, err := b.Prefix(int(n))
	if err != nil {
		return false, false
	}
	return prefix.Contains(a), true
}

// IsPrivate is {ip.isprivate}.
func IsPrivate(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	b := a.As4()
	return a.IsPrivate() || a.IsLoopback() || b[0] == 100 && b[1]&0xC0 == 64
}

// resolve declares a lookup that answers the first address that fits.
func resolve(name, doc string, fits func(netip.Addr) bool) modules.Function {
	spec := modules.Spec{Name: name, OpenSIPS: "{" + name + "}", Doc: doc, Blocks: true,
		Outputs: []modules.OutputDoc{{Name: "value", Kind: modules.KindString, Doc: "the result"}}}
	return modules.FN(spec, []modules.Arg{subject()}, func(_ *config, c *api.Ctx, a *modules.Args) modules.Ret {
		if a.V[0].IsNil() {
			return modules.Output(modules.Nil())
		}
		host := a.V[0].Text()
		if _, ok := ParseIP(host); ok {
			return modules.Output(modules.String(host))
		}
		return modules.Output(lookup(c, host, fits))
	})
}

func lookup(c *api.Ctx, host string, fits func(netip.Addr) bool) modules.Value {
	var addrs []netip.Addr
	resolver := c.Host.Resolver()
	c.Host.Park(c, func() { addrs, _ = resolver.Addrs(host) })
	for _, a := range addrs {
		if a = a.Unmap(); fits(a) {
			return modules.String(a.String())
		}
	}
	return modules.Nil()
}
