package transport_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

func find(t testing.TB, m *transport.Manager, s string) *api.Socket {
	t.Helper()
	sock, _, err := m.FindSocket(s)
	if err != nil {
		t.Fatal(err)
	}
	return sock
}

func TestListenRefuses(t *testing.T) {
	busy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	busyTCP := listen(t, "127.0.0.1:0")
	for _, tc := range []struct {
		spec transport.SocketSpec
		says string
		is   error
	}{
		{transport.SocketSpec{Listen: "udp:" + busy.LocalAddr().String()}, "the port is busy", syscall.EADDRINUSE},
		{transport.SocketSpec{Listen: "tcp:" + busyTCP.addr.String()}, "the port is busy", syscall.EADDRINUSE},
		{transport.SocketSpec{Listen: "udp:203.0.113.7:5060"}, "no interface of this machine has that address", syscall.EADDRNOTAVAIL},
		{transport.SocketSpec{Listen: "udp:nosuch0.invalid:5060"}, "name one of its interfaces", nil},
		{transport.SocketSpec{Listen: "127.0.0.1:5060"}, "protocol is missing", nil},
		{transport.SocketSpec{Listen: "sctp:127.0.0.1:5060"}, "proto:host:port", nil},
		{transport.SocketSpec{Listen: "tls:127.0.0.1:5061"}, "udp and tcp are", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:70000"}, "not a number from 0 to 65535", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:"}, "port is missing", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:5070-5060"}, "from a lower port to a higher", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:5060-5070", Tag: "x"}, "cannot name a port range", nil},
		{transport.SocketSpec{Listen: "udp:[::1"}, "[ without ]", nil},
		{transport.SocketSpec{Listen: "udp:[127.0.0.1]:5060"}, "brackets need an IPv6", nil},
		{transport.SocketSpec{Listen: "udp:[::1]5060"}, "only :port", nil},
		{transport.SocketSpec{Listen: "udp:"}, "host is missing", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:0", As: "host:0"}, "cannot be 0", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:0", As: "[host]"}, "advertised address", nil},
		{transport.SocketSpec{Listen: "udp:127.0.0.1:0", TOS: 256}, "tos 256", nil},
	} {
		tc.spec.Where = "edge.lua:12"
		_, err := transport.Listen(transport.Config{Sockets: []transport.SocketSpec{tc.spec}}, newHost(t))
		var be *transport.BindError
		if !errors.As(err, &be) || !strings.HasPrefix(err.Error(), "edge.lua:12: cannot listen on ") || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v; want %q in it", tc.spec, err, tc.says)
		}
		if tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%+v: %v is not %v", tc.spec, err, tc.is)
		}
	}
}

func TestListenIsAllOrNothing(t *testing.T) {
	h := newHost(t)
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.LocalAddr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Listen(transport.Config{Sockets: sockets("udp:"+addr, "tcp:"+addr, "udp:203.0.113.7:5060")}, h); err == nil {
		t.Fatal("bound an address that no one has")
	}
	m := start(t, h, transport.Config{Sockets: sockets("udp:"+addr, "tcp:"+addr)}) // all free again
	if len(m.Sockets()) != 2 {
		t.Fatal("want two sockets")
	}
}

func TestDeclaredTwice(t *testing.T) {
	specs := []transport.SocketSpec{{Listen: "udp:127.0.0.1:5999", Where: "a.lua:1"}, {Listen: "udp:127.0.0.1:5999", Where: "a.lua:2"}}
	_, err := transport.Listen(transport.Config{Sockets: specs}, newHost(t))
	if err == nil || err.Error() != "a.lua:2: cannot listen on udp:127.0.0.1:5999: declared before at a.lua:1; once is right" {
		t.Errorf("%v", err)
	}
	specs = []transport.SocketSpec{{Listen: "udp:127.0.0.1:0", Tag: "x", Where: "a.lua:1"}, {Listen: "udp:127.0.0.1:0", Tag: "x", Where: "a.lua:2"}}
	_, err = transport.Listen(transport.Config{Sockets: specs}, newHost(t))
	if err == nil || !strings.Contains(err.Error(), `tag "x" stands on another socket at a.lua:1`) {
		t.Errorf("%v", err)
	}
}

func TestBindErrorText(t *testing.T) {
	for _, tc := range []struct {
		err  error
		says string
	}{
		{&os.SyscallError{Syscall: "bind", Err: syscall.EACCES}, "CAP_NET_BIND_SERVICE"},
		{&os.SyscallError{Syscall: "socket", Err: syscall.EMFILE}, "raise ulimit -n"},
		{errors.New("odd"), "cannot listen on udp:x: odd"},
	} {
		if got := (&transport.BindError{Listen: "udp:x", Err: tc.err}).Error(); !strings.Contains(got, tc.says) {
			t.Errorf("%v: %q", tc.err, got)
		}
	}
}

func TestAdvertisedAddresses(t *testing.T) {
	for as, want := range map[string]string{
		"":                     "127.0.0.1:port",
		"sip.example.com":      "sip.example.com:port",
		"sip.example.com:5999": "sip.example.com:5999",
		"192.0.2.7:5060":       "192.0.2.7:5060",
		"2001:db8::1":          "[2001:db8::1]:port",
		"[2001:db8::1]:5060":   "[2001:db8::1]:5060",
	} {
		h := newHost(t)
		m := start(t, h, transport.Config{Sockets: []transport.SocketSpec{{Listen: "udp:127.0.0.1:0", As: as}}})
		s := m.Sockets()[0]
		port := s.Addr.String()[strings.LastIndex(s.Addr.String(), ":")+1:]
		if want = strings.Replace(want, "port", port, 1); s.SentBy != want || s.Advertised != (as != "") || s.Name != "udp:127.0.0.1:"+port {
			t.Errorf("as %q: %+v, want %s", as, s, want)
		}
		if as != "" && !m.IsMyself(s.Host, s.Port, api.ProtoUDP) {
			t.Errorf("as %q is not ours", as)
		}
	}
}

func TestSystemWildcardInterfaceAndName(t *testing.T) {
	for _, listen := range []string{"udp:*:0", "udp:lo:0", "udp:localhost:0", "tcp:0.0.0.0:0"} {
		h := newHost(t)
		m := start(t, h, transport.Config{Sockets: sockets(listen)})
		if !m.IsMyself("127.0.0.1", 0, api.ProtoAny) {
			t.Errorf("%s does not hold 127.0.0.1", listen)
		}
		for _, s := range m.Sockets() {
			if a := s.Addr.Addr(); a.IsUnspecified() || a.IsLinkLocalUnicast() || s.Port == 0 {
				t.Errorf("%s gives %v", listen, s)
			}
		}
		if got := m.IsMyself("localhost", 0, api.ProtoAny); got != strings.Contains(listen, "localhost") {
			t.Errorf("%s: localhost is ours: %v", listen, got)
		}
	}
}

func identity(t *testing.T) *transport.Manager {
	w := transport.NewWire()
	return start(t, newHost(t), transport.Config{
		Wire: w,
		Sockets: []transport.SocketSpec{
			{Listen: "udp:10.0.0.1:5060", Tag: "lan"},
			{Listen: "udp:10.0.0.2:5060", As: "edge.example.com:5080"},
			{Listen: "tcp:10.0.0.1:5060"},
			{Listen: "udp:[2001:db8::1]:5060"},
			{Listen: "tcp:10.0.0.3:6000-6001"},
		},
		Aliases: []string{"udp:Example.COM:5060", "example.net", "tcp:[2001:db8::99]"},
		Bonds: []transport.BondSpec{
			{Name: "out", Members: []string{"tcp:10.0.0.1:5060", "lan", "udp:10.0.0.2:5060", "udp:[2001:db8::1]:5060"}},
			{Name: "strict", Members: []string{"lan"}, Strict: true},
			{Name: "range", Members: []string{"tcp:10.0.0.3:6000-6001"}},
		},
	})
}

func TestIsMyself(t *testing.T) {
	m := identity(t)
	for _, tc := range []struct {
		host string
		port uint16
		p    api.Proto
		want bool
	}{
		{"10.0.0.1", 5060, api.ProtoUDP, true},
		{"10.0.0.1", 0, api.ProtoAny, true},
		{"10.0.0.1", 5061, api.ProtoUDP, false},
		{"10.0.0.2", 5060, api.ProtoTCP, false},
		{"10.0.0.9", 5060, api.ProtoUDP, false},
		{"edge.example.com", 5080, api.ProtoUDP, true},
		{"EDGE.example.com.", 0, api.ProtoAny, true},
		{"edge.example.com", 5060, api.ProtoUDP, false},
		{"example.com", 5060, api.ProtoUDP, true},
		{"example.com", 5060, api.ProtoTCP, false},
		{"example.com", 5061, api.ProtoUDP, false},
		{"example.net", 4242, api.ProtoTCP, true},
		{"[2001:db8::1]", 5060, api.ProtoUDP, true},
		{"2001:DB8:0::1", 5060, api.ProtoUDP, true},
		{"2001:db8::99", 7, api.ProtoTCP, true},
		{"2001:db8::99", 7, api.ProtoUDP, false},
		{"[2001:db8::2]", 0, api.ProtoAny, false},
		{"", 0, api.ProtoAny, false},
		{"[", 0, api.ProtoAny, false},
	} {
		if got := m.IsMyself(tc.host, tc.port, tc.p); got != tc.want {
			t.Errorf("IsMyself(%q, %d, %v) = %v", tc.host, tc.port, tc.p, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { m.IsMyself("edge.example.com", 5080, api.ProtoUDP) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFindSocket(t *testing.T) {
	m := identity(t)
	for s, want := range map[string]string{
		"lan":                       "udp:10.0.0.1:5060",
		"udp:10.0.0.1:5060":         "udp:10.0.0.1:5060",
		"UDP:10.0.0.1:5060":         "udp:10.0.0.1:5060",
		"tcp:10.0.0.1":              "tcp:10.0.0.1:5060",
		"10.0.0.2":                  "udp:10.0.0.2:5060",
		"10.0.0.3:6001":             "tcp:10.0.0.3:6001",
		"udp:edge.example.com:5080": "udp:10.0.0.2:5060",
		"udp:[2001:DB8::1]:5060":    "udp:[2001:db8::1]:5060",
	} {
		if got, bond, err := m.FindSocket(s); err != nil || got.Name != want || bond != "" {
			t.Errorf("%s: %v, %q, %v", s, got, bond, err)
		}
	}
	if s, bond, err := m.FindSocket("bond:out"); s != nil || bond != "out" || err != nil {
		t.Errorf("bond: %v, %q, %v", s, bond, err)
	}
	for _, s := range []string{"", "bond:none", "udp:10.0.0.1:5099", "tcp:10.0.0.2:5060", "wan", "udp:[::"} {
		if got, _, err := m.FindSocket(s); err == nil || got != nil {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if _, _, err := m.FindSocket("wan"); !strings.Contains(err.Error(), "declared are udp:10.0.0.1:5060, ") {
		t.Errorf("error does not list sockets: %v", err)
	}
}

func TestBonds(t *testing.T) {
	m := identity(t)
	for _, tc := range []struct {
		bond   string
		p      api.Proto
		v6     bool
		want   string
		strict bool
	}{
		{"out", api.ProtoTCP, false, "tcp:10.0.0.1:5060", false},
		{"out", api.ProtoUDP, false, "udp:10.0.0.1:5060", false}, // the first written
		{"out", api.ProtoUDP, true, "udp:[2001:db8::1]:5060", false},
		{"out", api.ProtoTCP, true, "", false},
		{"strict", api.ProtoUDP, false, "udp:10.0.0.1:5060", false},
		{"strict", api.ProtoTCP, false, "", true},
		{"range", api.ProtoTCP, false, "tcp:10.0.0.3:6000", false},
		{"none", api.ProtoTCP, false, "", false},
	} {
		s, strict := m.PickBond(tc.bond, tc.p, tc.v6)
		name := ""
		if s != nil {
			name = s.Name
		}
		if name != tc.want || strict != tc.strict {
			t.Errorf("%s %v v6=%v: %s %v", tc.bond, tc.p, tc.v6, name, strict)
		}
	}
	lan := find(t, m, "lan")
	if !m.BondHas("out", lan) || m.BondHas("range", lan) || m.BondHas("none", lan) || !m.BondHas("range", find(t, m, "10.0.0.3:6001")) {
		t.Error("BondHas is wrong")
	}
	for _, b := range []transport.BondSpec{
		{Name: "x", Members: []string{"udp:10.0.0.9:5060"}},
		{Name: "x"},
		{Members: []string{"udp:10.0.0.1:5060"}},
	} {
		b.Where = "b.lua:3"
		_, err := transport.Listen(transport.Config{Wire: transport.NewWire(), Sockets: sockets("udp:10.0.0.1:5060"), Bonds: []transport.BondSpec{b}}, newHost(t))
		if err == nil || !strings.HasPrefix(err.Error(), "b.lua:3: ") {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

func TestAliasErrors(t *testing.T) {
	for _, a := range []string{"udp:[x]", "a:b:c", "host:5060-5070"} {
		if _, err := transport.Listen(transport.Config{Wire: transport.NewWire(), Aliases: []string{a}}, newHost(t)); err == nil {
			t.Errorf("alias %q was taken", a)
		}
	}
}

func TestAutoAliases(t *testing.T) {
	names, err := net.LookupAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, auto := range []bool{false, true} {
		m := start(t, newHost(t), transport.Config{Sockets: sockets("udp:127.0.0.1:0"), AutoAliases: auto})
		if got := m.IsMyself(names[0], 0, api.ProtoUDP); got != auto {
			t.Errorf("AutoAliases %v: %s is ours: %v", auto, names[0], got)
		}
	}
}
