package script_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/transport"
)

// What a script sends by: a socket, or a bond whose first fitting member is
// taken. An alias is a name that is ours.
func TestSockets(t *testing.T) {
	for _, tt := range []struct{ name, body, via string }{
		{"by itself", ``, "UDP 10.0.0.1:5060"},
		{"force_send_socket", `core.force_send_socket("udp:10.0.0.2:5060")`, "UDP 10.0.0.2:5060"},
		{"socket_out", `msg.socket_out = "udp:10.0.0.2:5060"`, "UDP 10.0.0.2:5060"},
		{"a bond", `core.force_send_socket("bond:out")`, "UDP 10.0.0.2:5060"},
		{"a bond by socket_out", `msg.socket_out = "bond:out"`, "UDP 10.0.0.2:5060"},
		{"a branch's own", `msg.branch[0].socket = "udp:10.0.0.2:5060"`, "UDP 10.0.0.2:5060"},
		{"in a branch route", `tm.t_on_branch("b")`, "UDP 10.0.0.2:5060"},
		{"none of that name", `local ok = pcall(core.force_send_socket, "udp:192.0.2.1:5060") assert(not ok)`, "UDP 10.0.0.1:5060"},
		{"aliases", `assert(core.is_myself("example.com", 5060) and not core.is_myself("example.net") and core.is_myself("10.0.0.2"))`, "UDP 10.0.0.1:5060"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o := enginetest.Options{Listen: []string{"udp:10.0.0.1:5060", "udp:10.0.0.2:5060", "tcp:10.0.0.1:5060"}}
				o.Net = engine.Net{Transport: transport.Config{Aliases: []string{"udp:example.com:5060"},
					Bonds: []transport.BondSpec{{Name: "out", Members: []string{"tcp:10.0.0.1:5060", "udp:10.0.0.2:5060", "udp:10.0.0.1:5060"}}}}}
				p := startWith(t, o, map[string]string{"main.lua": prelude + `
function route.main(msg) ` + tt.body + ` tm.t_relay() end
function branch_route.b(msg) msg.socket_out = "udp:10.0.0.2:5060" end`})
				p.call().Send("OPTIONS", 1)
				m := p.bob.Expect("OPTIONS")
				if via := header(m, "Via"); !strings.HasPrefix(via, "SIP/2.0/"+tt.via+";") {
					t.Errorf("Via %s, want %s", via, tt.via)
				}
				p.bob.Reply(m, 200)
				p.status(200)
			})
		})
	}
}
