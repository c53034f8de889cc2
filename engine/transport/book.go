package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/luasips/luasips/engine/api"
)

// book knows the names of sockets: what is ours, tags, bonds. It is built by
// Listen and only read behind that.
type book struct {
	mine  map[string][]identity // by host: lower case, no brackets, no final dot
	names map[string]*api.Socket
	bonds map[string]*bond
	all   []*api.Socket
}

type identity struct {
	proto api.Proto // ProtoAny: all
	port  uint16    // 0: all
}

type bond struct {
	members []*api.Socket
	strict  bool
}

func (k *book) build(m *Manager, wants []want) error {
	k.mine, k.names, k.bonds = map[string][]identity{}, map[string]*api.Socket{}, map[string]*bond{}
	k.all = m.sockets
	declared := map[string][]*api.Socket{}
	for i, s := range m.sockets {
		w := wants[i]
		k.own(s.Addr.Addr().String(), s.Proto, s.Addr.Port())
		k.own(s.Host, s.Proto, s.Port)
		if w.name != "" {
			k.own(w.name, s.Proto, s.Addr.Port())
		}
		if m.cfg.AutoAliases {
			for _, n := range reverse(s.Addr.Addr()) {
				k.own(n, s.Proto, s.Addr.Port())
			}
		}
		k.names[s.Name] = s
		declared[w.spec.Listen] = append(declared[w.spec.Listen], s)
	}
	if err := k.tags(m); err != nil {
		return err
	}
	for _, a := range m.cfg.Aliases {
		e, err := parseEndpoint(a)
		if err != nil {
			return fmt.Errorf("alias %w", err)
		}
		if e.last > e.first {
			return fmt.Errorf("alias %q: a port range has no meaning here", a)
		}
		k.own(e.host, e.proto, e.first)
	}
	for i := range m.cfg.Bonds {
		if err := k.bond(&m.cfg.Bonds[i], declared); err != nil {
			return err
		}
	}
	return nil
}

// tags enters the tags; a tag on a wildcard means the first of its sockets.
func (k *book) tags(m *Manager) error {
	owner := map[string]*SocketSpec{}
	for _, b := range m.bindings {
		tag := b.sock.Tag
		if tag == "" || owner[tag] == b.spec {
			continue
		}
		if o := owner[tag]; o != nil {
			return &BindError{Listen: b.spec.Listen, Where: b.spec.Where, Err: fmt.Errorf("tag %q stands on another socket%s; tags must differ", tag, at(o.Where))}
		}
		owner[tag] = b.spec
		k.names[tag] = b.sock
	}
	return nil
}

func (k *book) own(host string, p api.Proto, port uint16) {
	host = normalHost(host)
	k.mine[host] = append(k.mine[host], identity{p, port})
}

func (k *book) bond(spec *BondSpec, declared map[string][]*api.Socket) error {
	b := &bond{strict: spec.Strict}
	fail := func(format string, args ...any) error {
		return &BindError{Listen: "bond:" + spec.Name, Where: spec.Where, Err: fmt.Errorf(format, args...)}
	}
	if spec.Name == "" || k.bonds[spec.Name] != nil {
		return fail("a bond needs a name that no other bond has")
	}
	for _, name := range spec.Members {
		if list := declared[name]; list != nil {
			b.members = append(b.members, list...)
			continue
		}
		s, err := k.find(name)
		if err != nil {
			return fail("member %w", err)
		}
		b.members = append(b.members, s)
	}
	if len(b.members) == 0 {
		return fail("a bond needs at least one socket")
	}
	k.bonds[spec.Name] = b
	return nil
}

// find reads [proto:]host[:port], a tag, or a socket's name.
func (k *book) find(s string) (*api.Socket, error) {
	if sock := k.names[s]; sock != nil {
		return sock, nil
	}
	e, err := parseEndpoint(s)
	if err != nil {
		return nil, err
	}
	for _, sock := range k.all {
		if e.names(sock) {
			return sock, nil
		}
	}
	return nil, fmt.Errorf("%q is no socket; declared are %s", s, k.list())
}

// names reports whether e means s: by its bound or its advertised address.
func (e *endpoint) names(s *api.Socket) bool {
	if e.proto != api.ProtoAny && e.proto != s.Proto {
		return false
	}
	if normalHost(e.host) == s.Addr.Addr().String() {
		return !e.hasPort || e.first == s.Addr.Port()
	}
	return normalHost(e.host) == normalHost(s.Host) && (!e.hasPort || e.first == s.Port)
}

func (k *book) list() string {
	out := make([]string, 0, len(k.all))
	for _, s := range k.all {
		out = append(out, s.Name)
	}
	return strings.Join(out, ", ")
}

// normalHost is host in the form of the book's keys.
func normalHost(host string) string {
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	if strings.IndexByte(host, ':') >= 0 {
		if a, err := netip.ParseAddr(host); err == nil {
			return a.Unmap().String()
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func reverse(a netip.Addr) []string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupAddr(ctx, a.String())
	if err != nil {
		return nil
	}
	return found
}

// IsMyself tells whether host (a name or address, brackets allowed), port (0:
// any) and p (ProtoAny: any) are ours: sockets, advertised addresses, names
// sockets were declared by, aliases (RFC 3261 §16.4, OpenSIPS is_myself).
func (m *Manager) IsMyself(host string, port uint16, p api.Proto) bool {
	ids, ok := m.book.mine[host]
	if !ok {
		ids = m.book.mine[normalHost(host)]
	}
	for _, id := range ids {
		if (port == 0 || id.port == 0 || id.port == port) && (p == api.ProtoAny || id.proto == api.ProtoAny || id.proto == p) {
			return true
		}
	}
	return false
}

// FindSocket reads what force_send_socket takes: "udp:1.2.3.4:5060" (protocol
// and port may be left out, an advertised address will do), a tag, or
// "bond:NAME", which gives a nil socket and the bond's name.
func (m *Manager) FindSocket(s string) (sock *api.Socket, bondName string, err error) {
	if name, ok := strings.CutPrefix(s, "bond:"); ok {
		if m.book.bonds[name] == nil {
			return nil, "", fmt.Errorf("%q is no bond of this script", s)
		}
		return nil, name, nil
	}
	sock, err = m.book.find(s)
	return sock, "", err
}

// BondHas tells whether s is a member of the bond (socket_belongs_to_bond);
// false for a bond that does not exist.
func (m *Manager) BondHas(bondName string, s *api.Socket) bool {
	b := m.book.bonds[bondName]
	if b == nil {
		return false
	}
	for _, member := range b.members {
		if member == s {
			return true
		}
	}
	return false
}

// PickBond is the first member of the bond, in the order written, of that
// protocol and family. With none it is nil; strictNoMatch then tells that no
// other socket may be taken instead.
func (m *Manager) PickBond(bondName string, proto api.Proto, v6 bool) (s *api.Socket, strictNoMatch bool) {
	b := m.book.bonds[bondName]
	if b == nil {
		return nil, false
	}
	for _, member := range b.members {
		if member.Proto == proto && member.Addr.Addr().Is6() == v6 {
			return member, false
		}
	}
	return nil, b.strict
}
