package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// SpecError is a declaration of a socket, a bond or an alias that no machine
// could take. What depends on the machine, such as a busy port, is a BindError.
type SpecError struct {
	What  string // "socket udp:10.0.0.1:5060", "bond out", "alias example.com"
	Where string // file:line; "" when not known
	Err   error
}

// Error names place, declaration and reason.
func (e *SpecError) Error() string {
	if e.Where == "" {
		return e.Text()
	}
	return e.Where + ": " + e.Text()
}

// Text is the error without its place.
func (e *SpecError) Text() string {
	// Errors of reading an address begin with the address.
	_, name, _ := strings.Cut(e.What, " ")
	return e.What + ": " + strings.TrimPrefix(e.Err.Error(), fmt.Sprintf("%q: ", name))
}

// Unwrap is the reason.
func (e *SpecError) Unwrap() error { return e.Err }

// Check finds what is wrong with cfg on every machine. It binds nothing and
// asks no name server: a host name or an interface may be any.
func Check(cfg Config) []*SpecError {
	var found []*SpecError
	var wants []want
	n := stand()
	for i := range cfg.Sockets {
		s := &cfg.Sockets[i]
		w, err := expandOne(s, n)
		if err == nil && s.As != "" {
			_, err = newSocket(w[0], 0)
		}
		if err != nil {
			found = append(found, &SpecError{"socket " + s.Listen, s.Where, err})
		}
		wants = append(wants, w...)
	}
	for i, a := range cfg.Aliases {
		if err := checkAlias(a); err != nil {
			found = append(found, &SpecError{"alias " + a, cfg.aliasWhere(i), err})
		}
	}
	if len(found) > 0 {
		return found
	}
	if err := checkNames(cfg, wants); err != nil {
		found = append(found, err)
	}
	return found
}

func (c *Config) aliasWhere(i int) string {
	if i < len(c.AliasesWhere) {
		return c.AliasesWhere[i]
	}
	return ""
}

func checkAlias(a string) error {
	e, err := parseEndpoint(a)
	if err == nil && e.last > e.first {
		err = errors.New("a port range has no meaning here")
	}
	return err
}

// checkNames finds addresses and tags declared twice, and members of bonds that
// are no socket.
func checkNames(cfg Config, wants []want) *SpecError {
	wants, err := dedupe(wants)
	m := &Manager{cfg: cfg}
	m.cfg.AutoAliases = false
	for _, w := range wants {
		s, serr := newSocket(w, len(m.sockets))
		if serr != nil {
			return &SpecError{"socket " + w.spec.Listen, w.spec.Where, serr}
		}
		settlePort(s, w.addr)
		m.sockets = append(m.sockets, s)
		m.bindings = append(m.bindings, &binding{spec: w.spec, sock: s})
	}
	if err == nil {
		err = m.book.build(m, wants)
	}
	var be *BindError
	switch {
	case errors.As(err, &be):
		what := "socket " + be.Listen
		if name, ok := strings.CutPrefix(be.Listen, "bond:"); ok {
			what = "bond " + name
		}
		return &SpecError{what, be.Where, be.Err}
	case err != nil:
		return &SpecError{What: "sockets", Err: err}
	}
	return nil
}

// stand is a machine for Check: any name has an address of its own in
// 240.0.0.0/4, which no interface has.
func stand() *names {
	hosts := map[string]netip.Addr{}
	return &names{
		ifaces: []iface{{addrs: []netip.Prefix{netip.MustParsePrefix("240.0.0.1/32"), netip.MustParsePrefix("100::1/128")}}},
		lookup: func(host string) ([]netip.Addr, error) {
			if _, ok := hosts[host]; !ok {
				n := len(hosts) + 2
				hosts[host] = netip.AddrFrom4([4]byte{240, byte(n >> 16), byte(n >> 8), byte(n)})
			}
			return []netip.Addr{hosts[host]}, nil
		},
	}
}
