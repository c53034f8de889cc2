package conformance_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// dialogs is the usual script for requests within dialogs; others are
// record-routed and go where their Request-URI says.
const dialogs = head + `
local rr = loadmodule "rr"
function route.main(msg)
  if msg.rU == "probe" then return sl.sl_send_reply(200, "Probe") end
  if sipmsgops.has_totag() then
    if not rr.loose_route() then return sl.sl_send_reply(404, "Not Here") end
    return tm.t_relay()
  end
  rr.record_route()
  tm.t_relay()
end`

// inDialog writes a request within a dialog; headers are whole lines.
func inDialog(s *sender, ruri, id, headers string) []byte {
	proto := "TCP"
	if s.udp {
		proto = "UDP"
	}
	return fmt.Appendf(nil, "INFO %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\n"+
		"To: <sip:b@example.com>;tag=b\r\nCall-ID: %s\r\nCSeq: 2 INFO\r\n%sContent-Length: 0\r\n\r\n", ruri, proto, s.addr, id, id, headers)
}

// TestTraversal is RFC 3261 §16.12.1: what a proxy makes of Request-URI and Route
// between loose and strict routers. {c} is the callee, who is the next hop each
// time, {p} the proxy.
func TestTraversal(t *testing.T) {
	b := start(t, dialogs, "127.0.0.1")
	for name, tc := range map[string]struct{ ruri, route, wantURI, wantRoute string }{
		"the last proxy":                   {"sip:b@{c}", "<sip:{p};lr>", "sip:b@{c}", ""},
		"loose next":                       {"sip:b@far.test", "<sip:{p};lr>, <sip:{c};lr>", "sip:b@far.test", "<sip:{c};lr>"},
		"loose next, more behind it":       {"sip:b@far.test", "<sip:{p};lr>, <sip:{c};lr>, <sip:r.test;lr>", "sip:b@far.test", "<sip:{c};lr>, <sip:r.test;lr>"},
		"strict next":                      {"sip:b@far.test", "<sip:{p};lr>, <sip:{c}>", "sip:{c}", "<sip:b@far.test>"},
		"strict next, loose behind it":     {"sip:b@far.test", "<sip:{p};lr>, <sip:{c}>, <sip:r.test;lr>", "sip:{c}", "<sip:r.test;lr>, <sip:b@far.test>"},
		"strict next, strict behind it":    {"sip:b@far.test", "<sip:{p};lr>, <sip:{c}>, <sip:r.test>", "sip:{c}", "<sip:r.test>, <sip:b@far.test>"},
		"from a strict router":             {"sip:{p};lr", "<sip:b@{c}>", "sip:b@{c}", ""},
		"from a strict router, loose next": {"sip:{p};lr", "<sip:{c};lr>, <sip:b@far.test>", "sip:b@far.test", "<sip:{c};lr>"},
		"strict on both sides":             {"sip:{p};lr", "<sip:{c}>, <sip:r.test>, <sip:b@far.test>", "sip:{c}", "<sip:r.test>, <sip:b@far.test>"},
		"strict on both sides, the last":   {"sip:{p};lr", "<sip:{c}>, <sip:b@far.test>", "sip:{c}", "<sip:b@far.test>"},
	} {
		t.Run(name, func(t *testing.T) {
			own := b.of(t)
			s := own.udp()
			fill := strings.NewReplacer("{p}", b.proxy.String(), "{c}", b.callee.addr.String())
			s.send(inDialog(s, fill.Replace(tc.ruri), strings.ReplaceAll(name, " ", "-"), fill.Replace("Route: "+tc.route+"\r\n")))
			if m := s.final(); m == nil || m.StatusCode() != 404 || string(m.Reason()) != "Callee" {
				t.Errorf("answered with %s", show(m))
			}
			got := b.callee.requests()
			if len(got) != 1 {
				t.Fatalf("%d requests at the callee", len(got))
			}
			var m sip.Message
			if err := m.ParseDatagram(got[0], nil); err != nil {
				t.Fatal(err)
			}
			var route []string
			for i := range m.NumHeaders() {
				if h := m.HeaderAt(i); h.ID == sip.HdrRoute {
					route = append(route, string(m.Bytes(h.Value)))
				}
			}
			if uri := string(m.RequestURI()); uri != fill.Replace(tc.wantURI) {
				t.Errorf("Request-URI %q, want %q", uri, fill.Replace(tc.wantURI))
			}
			if r := strings.Join(route, ", "); r != fill.Replace(tc.wantRoute) {
				t.Errorf("Route %q, want %q", r, fill.Replace(tc.wantRoute))
			}
		})
	}
	b.alive()
}

// TestLargeRequest: more than 1,300 bytes go by TCP with a Via that says so, and by
// UDP where nobody listens for TCP (RFC 3261 §18.1.1), with a transaction and
// without.
func TestLargeRequest(t *testing.T) {
	for name, script := range map[string]string{"stateful": dialogs, "stateless": stateless} {
		t.Run(name, func(t *testing.T) {
			b := start(t, strings.ReplaceAll(script, "sip:{callee}", ""), "127.0.0.1")
			s := b.udp()
			large := "Subject: " + strings.Repeat("x", 1400) + "\r\n"
			s.send(to(b.callee.addr.String(), request("MESSAGE", "by-tcp", s, large)))
			if b.callee.wait(1) != 1 {
				t.Fatal("nothing came to a callee who listens for both")
			}
			if got := string(b.callee.requests()[0]); !strings.Contains(got, "\r\nVia: SIP/2.0/TCP "+b.proxy.String()+";") {
				t.Errorf("not by TCP:\n%s", got)
			}
			udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer udp.Close()
			s.send(to(udp.LocalAddr().String(), request("MESSAGE", "by-udp", s, large)))
			if err := udp.SetReadDeadline(time.Now().Add(2 * patience)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1<<16)
			n, _, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil || !strings.Contains(string(buf[:n]), "\r\nVia: SIP/2.0/UDP "+b.proxy.String()+";") {
				t.Errorf("where TCP is refused: %v\n%s", err, buf[:n])
			}
			b.alive()
		})
	}
}

// to puts another address into a request's Request-URI.
func to(addr string, msg []byte) []byte {
	before, rest, _ := strings.Cut(string(msg), "@")
	return []byte(before + "@" + addr + rest[strings.IndexByte(rest, ' '):])
}
