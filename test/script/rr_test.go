package script_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
)

// values are those of all headers of that name, with commas between.
func values(m *sip.Message, name string) string {
	var out []string
	for _, h := range strings.Split(string(m.Raw()), "\r\n") {
		if n, v, ok := strings.Cut(h, ":"); ok && strings.EqualFold(n, name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return strings.Join(out, ", ")
}

func TestRecordRoutes(t *testing.T) {
	route := func(body string) string {
		return "function route.main(msg) " + body + " tm.t_relay() end function branch_route.b(msg) rr.record_route(';b=1') end"
	}
	shows := func(want string) func(*testing.T, *proxy) {
		return func(t *testing.T, p *proxy) {
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			if got := values(p.bob.Expect("INVITE"), "Record-Route"); got != want {
				t.Errorf("Record-Route: %s\nwant %s", got, want)
			}
		}
	}
	play(t, []act{
		{"plain", route(`rr.record_route()`), shows("<sip:10.0.0.1:5060;lr;ftag=a>")},
		{"with parameters", route(`rr.add_rr_param(";a=1") rr.record_route(";x=y") rr.add_rr_param(";c=2")`), shows("<sip:10.0.0.1:5060;lr;ftag=a;x=y;a=1;c=2>")},
		{"once only", route(`rr.record_route() local ok, why = rr.record_route() assert(not ok and why.name == "already")`), shows("<sip:10.0.0.1:5060;lr;ftag=a>")},
		{"of a branch", route(`tm.t_on_branch("b")`), shows("<sip:10.0.0.1:5060;lr;ftag=a;b=1>")},
		{"preset", route(`rr.record_route_preset("192.0.2.1:5090;transport=tcp")`), shows("<sip:192.0.2.1:5090;transport=tcp;ftag=a;lr>")},
		{"preset, two", route(`rr.record_route_preset("out.example:5090", "[2001:db8::1]:5070")`),
			shows("<sip:out.example:5090;ftag=a;lr>, <sip:[2001:db8::1]:5070;ftag=a;lr>")},
		{"advertised", route(`core.set_advertised_address("edge.example.net") core.set_advertised_port("5099") rr.record_route()`), shows("<sip:edge.example.net:5099;lr;ftag=a>")},
	})
}

// What record_route put into the URI comes back with each request of the dialog,
// whichever side sends it.
func TestDialogRoutes(t *testing.T) {
	play(t, []act{{"both ways", `
function route.main(msg)
  if msg.rm == "ACK" then rr.loose_route() return tm.t_relay() end
  if sipmsgops.has_totag() then
    local ok = rr.loose_route()
    msg.hdr["X-Seen"] = table.concat({ tostring(ok), tostring(rr.check_route_param("x=[a-z]$")), tostring(rr.check_route_param("nope")),
      tostring(rr.is_direction("downstream")), tostring(rr.is_direction("upstream")), msg.rr_params }, " ")
  else
    assert(not rr.loose_route())
    rr.record_route(";x=y")
  end
  tm.t_relay()
end`, func(t *testing.T, p *proxy) {
		c := p.call()
		c.Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		rr := "Route: " + header(invite, "Record-Route")
		p.bob.Reply(invite, 200, "Record-Route: "+header(invite, "Record-Route"))
		p.alice.Expect("200")
		c.ToTag, c.URI = "agent", "sip:agent@"+p.bob.Addr.String()
		c.Send("ACK", 1, rr)
		p.bob.Expect("ACK")
		c.Send("INFO", 2, rr)
		info := p.bob.Expect("INFO")
		want(t, info, map[string]string{"X-Seen": "true true false true false lr;ftag=a;x=y", "Route": ""})
		p.bob.Reply(info, 200)
		p.alice.Expect("200")

		bye := strings.NewReplacer("From: <sip:a@"+p.bob.Addr.String()+">;tag=a", "From: <sip:b@x>;tag=agent").Replace(
			(&enginetest.Call{ID: c.ID, URI: "sip:a@" + p.alice.Addr.String(), ToTag: "a", Agent: p.bob}).Request("BYE", 1, rr))
		p.bob.Send(bye)
		got := p.alice.Expect("BYE")
		want(t, got, map[string]string{"X-Seen": "true true false false true lr;ftag=a;x=y"})
		p.alice.Reply(got, 200)
		p.bob.Expect("200")
	}}})
}

func TestViaHandling(t *testing.T) {
	play(t, []act{
		{"rport both ways", `
function route.main(msg)
  core.set_via_handling("force-rport,add-local-rport")
  tm.t_relay()
end`, func(t *testing.T, p *proxy) {
			p.call().Send("MESSAGE", 1)
			m := p.bob.Expect("MESSAGE")
			vias := strings.Split(values(m, "Via"), ", ")
			if len(vias) != 2 || !strings.HasSuffix(vias[0], ";rport") || !strings.Contains(vias[1], ";rport=5060") {
				t.Errorf("Via: %s", vias)
			}
			p.bob.Reply(m, 200)
			p.alice.Expect("200")
		}},
		{"advertised", `
function route.main(msg)
  core.set_advertised_address("2001:db8::7") core.set_advertised_port(5099)
  core.forward()
end`, func(t *testing.T, p *proxy) {
			p.call().Send("MESSAGE", 1)
			if m := p.bob.Expect("MESSAGE"); !strings.HasPrefix(values(m, "Via"), "SIP/2.0/UDP [2001:db8::7]:5099;branch=") {
				t.Errorf("Via: %s", values(m, "Via"))
			}
		}},
	})
}

func TestOptionsReply(t *testing.T) {
	play(t, []act{{"to the proxy alone", `
local options = loadmodule("options", { support = "path", accept_language = "" })
function route.main(msg)
  local ok, why = options.options_reply()
  if not ok then signaling.send_reply(404, why.name) end
end`, func(t *testing.T, p *proxy) {
		for uri, code := range map[string]int{"sip:10.0.0.1": 200, "sip:10.0.0.1:5060;lr": 200, "sip:x@10.0.0.1": 404} {
			p.alice.Call("opt"+uri[4:5]+uri[len(uri)-1:], uri).Send("OPTIONS", 1)
			m := p.final()
			if m.StatusCode() != code {
				t.Errorf("%s: %d %s", uri, m.StatusCode(), m.Reason())
			}
			if code == 200 {
				want(t, m, map[string]string{"Accept": "*/*", "Accept-Language": "", "Supported": "path", "Accept-Encoding": ""})
			}
		}
	}}})
}
