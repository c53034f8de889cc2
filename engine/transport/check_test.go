package transport_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/transport"
)

// What no machine could take is found without opening a socket or asking a name
// server.
func TestCheck(t *testing.T) {
	sockets := func(listen ...string) (c transport.Config) {
		for _, l := range listen {
			c.Sockets = append(c.Sockets, transport.SocketSpec{Listen: l, Where: "s.lua:1"})
		}
		return c
	}
	tagged := sockets("udp:127.0.0.1:5060", "udp:127.0.0.1:5061")
	tagged.Sockets[0].Tag, tagged.Sockets[1].Tag = "a", "a"
	as := sockets("udp:127.0.0.1:5060", "udp:127.0.0.1:5061")
	as.Sockets[0].As, as.Sockets[1].As = "203.0.113.1:x", "203.0.113.1:0"
	bonded := sockets("udp:127.0.0.1:5060", "tcp:[::1]:5060", "udp:eth7:5060")
	bonded.Bonds = []transport.BondSpec{{Name: "out", Members: []string{"udp:127.0.0.1:5060", "udp:eth7:5060"}}, {Name: "bad", Members: []string{"tls:127.0.0.1:5061"}, Where: "s.lua:4"}}
	aliased := sockets("udp:127.0.0.1:5060")
	aliased.Aliases, aliased.AliasesWhere = []string{"udp:example.com:5060", "xyz:example.com", "udp:example.com:1-2"}, []string{"s.lua:1", "s.lua:2", "s.lua:3"}
	for _, tt := range []struct {
		name string
		cfg  transport.Config
		want []string
	}{
		{"nothing wrong", sockets("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "udp:*:5070", "udp:0.0.0.0:5080-5083", "udp:eth7:5060", "udp:host.invalid"), nil},
		{"no such port", sockets("udp:127.0.0.1:99999", "udp:127.0.0.1:x"), []string{
			`s.lua:1: socket udp:127.0.0.1:99999: port "99999" is not a number from 0 to 65535`, `s.lua:1: socket udp:127.0.0.1:x: port "x"`}},
		{"range upside down", sockets("udp:127.0.0.1:5063-5060"), []string{"s.lua:1: socket udp:127.0.0.1:5063-5060: port range must run from a lower port to a higher one"}},
		{"no brackets", sockets("udp:::1:50600"), []string{"an IPv6 address in brackets"}},
		{"a protocol to come", sockets("wss:127.0.0.1:5060"), []string{"s.lua:1: socket wss:127.0.0.1:5060: wss: transport is not supported; udp and tcp are"}},
		{"twice", sockets("udp:127.0.0.1:5060", "udp:127.0.0.1:5060"), []string{"socket udp:127.0.0.1:5060: declared before at s.lua:1"}},
		{"two names of hosts", sockets("udp:a.invalid:5060", "udp:b.invalid:5060"), nil},
		{"tags", tagged, []string{`tag "a" stands on another socket at s.lua:1`}},
		{"advertised", as, []string{`port "x" is not a number`, "an advertised port cannot be 0"}},
		{"bond", bonded, []string{`s.lua:4: bond bad: member "tls:127.0.0.1:5061" is no socket`}},
		{"alias", aliased, []string{`s.lua:2: alias xyz:example.com: port "example.com" is not a number`, "s.lua:3: alias udp:example.com:1-2: a port range has no meaning here"}},
	} {
		found := transport.Check(tt.cfg)
		if len(found) != len(tt.want) {
			t.Errorf("%s: found %v, want %q", tt.name, found, tt.want)
			continue
		}
		for i, e := range found {
			if !strings.Contains(e.Error(), tt.want[i]) {
				t.Errorf("%s: found %q, want %q", tt.name, e, tt.want[i])
			}
		}
	}
}
