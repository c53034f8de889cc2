package rr_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/rr"
)

// request is a request of a dialog with that request URI and Route lines; tag
// "" makes it one without a To tag.
func request(ruri, tag string, routes ...string) string {
	if tag != "" {
		tag = ";tag=" + tag
	}
	var b strings.Builder
	b.WriteString("BYE " + ruri + " SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKb1\n")
	for _, r := range routes {
		b.WriteString("Route: " + r + "\n")
	}
	b.WriteString("Max-Forwards: 70\nFrom: <sip:alice@example.org>;tag=a-tag\nTo: <sip:bob@example.com>" + tag +
		"\nCall-ID: call-1@192.0.2.10\nCSeq: 4712 BYE\nContent-Length: 0\n\n")
	return b.String()
}

func TestLooseRoute(t *testing.T) {
	const (
		mine  = "<sip:127.0.0.1:5060;lr;ftag=a-tag>"
		out   = "<sip:127.0.0.1:5060;transport=tcp;r2=on;lr>"
		in    = "<sip:127.0.0.1:5060;r2=on;lr>"
		next  = "<sip:p2.example.com;lr>"
		third = "<sip:p3.example.com;lr>"
		uas   = "sip:bob@192.0.2.20"
	)
	for _, tt := range []struct {
		name, ruri, tag string
		routes          []string
		ok              bool
		word            string
		wantURI         string
		wantRoutes      []string
		duri            string
		socket          int // index, -1 for none
	}{
		{"no Route", uas, "b", nil, false, "no_route", uas, nil, "", -1},
		{"only ours", uas, "b", []string{mine}, true, "", uas, nil, "", 0},
		{"only ours, preloaded", uas, "", []string{mine}, false, "no_route", uas, nil, "", -1},
		{"ours and a next", uas, "b", []string{mine, next}, true, "", uas, []string{next}, "sip:p2.example.com;lr", 0},
		{"one line", uas, "b", []string{mine + ", " + next + "," + third}, true, "", uas, []string{next + ", " + third}, "sip:p2.example.com;lr", 0},
		{"preloaded with a next", uas, "", []string{mine, next}, true, "", uas, []string{next}, "sip:p2.example.com;lr", -1},
		{"not ours", uas, "b", []string{next, third}, true, "", uas, []string{next, third}, "sip:p2.example.com;lr", -1},
		{"two of ours", uas, "b", []string{in, out}, true, "", uas, nil, "", 1},
		{"two of ours, the other way", uas, "b", []string{out, in, next}, true, "", uas, []string{next}, "sip:p2.example.com;lr", 0},
		{"two of ours in one line", uas, "b", []string{in + "," + out + "," + next}, true, "", uas, []string{next}, "sip:p2.example.com;lr", 1},
		{"second is not ours", uas, "b", []string{in, next}, true, "", uas, []string{next}, "sip:p2.example.com;lr", 0},
		{"next is strict", uas, "b", []string{mine, "<sip:strict.example.com>", third}, true, "",
			"sip:strict.example.com", []string{third + ", <" + uas + ">"}, "sip:strict.example.com", 0},
		{"next is strict and last", uas, "b", []string{mine, "<sip:strict.example.com>"}, true, "",
			"sip:strict.example.com", []string{"<" + uas + ">"}, "sip:strict.example.com", 0},
		{"from a strict router", "sip:127.0.0.1:5060;lr;ftag=a-tag", "b", []string{"<" + uas + ">"}, true, "", uas, nil, "", 0},
		{"from a strict router, loose next", "sip:127.0.0.1:5060;lr", "b", []string{next + ", " + third + ", <" + uas + ">"}, true, "",
			uas, []string{next + ", " + third}, "sip:p2.example.com;lr", 0},
		{"from a strict router, strict next", "sip:127.0.0.1:5060;lr", "b", []string{"<sip:strict.example.com>", "<" + uas + ">"}, true, "",
			"sip:strict.example.com", []string{"<" + uas + ">"}, "sip:strict.example.com", 0},
		{"from a strict router, two of ours", "sip:127.0.0.1:5060;r2=on;lr", "b", []string{out, "<" + uas + ">"}, true, "", uas, nil, "", 1},
		{"from a strict router, target lost", "sip:127.0.0.1:5060;r2=on;lr", "b", []string{out}, false, "no_target", "sip:127.0.0.1:5060;r2=on;lr", []string{out}, "", 1},
		{"in-dialog to our address", "sip:127.0.0.1:5060", "b", []string{mine}, true, "", "sip:127.0.0.1:5060", nil, "", 0},
		{"GRUU of ours", "sip:127.0.0.1:5060;lr;gr=x", "b", []string{mine}, true, "", "sip:127.0.0.1:5060;lr;gr=x", nil, "", 0},
		{"folded", uas, "b", []string{mine + ",\n " + next + ";x\n ;y," + third}, true, "", uas, []string{next + ";x   ;y, " + third}, "sip:p2.example.com;lr", 0},
		{"folded, next is strict", uas, "b", []string{mine, "<sip:strict.example.com>", third + ",\n " + next}, true, "",
			"sip:strict.example.com", []string{third + ",   " + next + ", <" + uas + ">"}, "sip:strict.example.com", 0},
		{"broken Route", uas, "b", []string{"<sip:127.0.0.1"}, false, "bad_route", uas, []string{"<sip:127.0.0.1"}, "", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mt.NewCtx(t, request(tt.ruri, tt.tag, tt.routes...), api.RouteRequest)
			r := mt.Call(t, c, rr.Module(), "loose_route")
			if r.Err != nil || r.OK != tt.ok || r.Name != tt.word {
				t.Errorf("answered %+v", r)
			}
			if got := string(c.Msg.RequestURI()); got != tt.wantURI {
				t.Errorf("request URI %s, want %s", got, tt.wantURI)
			}
			if got := lines(mt.WireOf(c), "Route: "); !slices.Equal(got, tt.wantRoutes) {
				t.Errorf("Route %q, want %q", got, tt.wantRoutes)
			}
			if c.Target.Duri != tt.duri {
				t.Errorf("destination %q, want %q", c.Target.Duri, tt.duri)
			}
			got := -1
			if c.Target.Socket != nil {
				got = c.Target.Socket.Index
			}
			if got != tt.socket {
				t.Errorf("socket %d, want %d", got, tt.socket)
			}
		})
	}
}

func TestStripMaddr(t *testing.T) {
	for ruri, want := range map[string]string{
		"sip:bob@example.com;maddr=127.0.0.1":                   "sip:bob@example.com",
		"sip:bob:pw@example.com:5060;x=1;maddr=127.0.0.1;y":     "sip:bob:pw@example.com:5060;x=1;y",
		"sip:bob@example.com;transport=udp;maddr=127.0.0.1?a=b": "sip:bob@example.com?a=b",
		"sip:bob@example.com;transport=tcp;maddr=127.0.0.1":     "sip:bob@example.com;transport=tcp;maddr=127.0.0.1",
		"sip:bob@example.com:5070;maddr=127.0.0.1":              "sip:bob@example.com:5070;maddr=127.0.0.1",
		"sip:bob@example.com;maddr=198.51.100.9":                "sip:bob@example.com;maddr=198.51.100.9",
		"sip:bob@example.com":                                   "sip:bob@example.com",
	} {
		c := mt.NewCtx(t, request(ruri, "b"), api.RouteRequest)
		mt.Call(t, c, rr.Module(), "loose_route")
		if got := string(c.Msg.RequestURI()); got != want {
			t.Errorf("%s became %s, want %s", ruri, got, want)
		}
	}
}

func TestIgnoreUser(t *testing.T) {
	c := mt.NewCtx(t, request("sip:bob@192.0.2.20", "b", "<sip:gw@127.0.0.1:5060;lr>"), api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), map[string]any{"ignore_user": "gw"})
	if r := m.Call(c, "loose_route"); r.OK || r.Name != "no_route" {
		t.Errorf("%+v", r)
	}
}

func TestSocketWarning(t *testing.T) {
	for _, warn := range []bool{true, false} {
		c := mt.NewCtx(t, request("sip:bob@192.0.2.20", "b", "<sip:127.0.0.1:5060;r2=on;lr>", "<sip:edge.example.com;r2=on;lr>"), api.RouteRequest)
		h := mt.HostOf(c)
		h.Mine = []string{"edge.example.com"}
		m := mt.Load(t, h, rr.Module(), map[string]any{"enable_socket_mismatch_warning": warn})
		if r := m.Call(c, "loose_route"); !r.OK {
			t.Fatalf("%+v", r)
		}
		if got := len(h.Logs()); (got == 1) != warn {
			t.Errorf("warning %v: %d records", warn, got)
		}
	}
}

func TestParams(t *testing.T) {
	c := mt.NewCtx(t, request("sip:bob@192.0.2.20", "b", "<sip:127.0.0.1:5060;lr;ftag=a-tag;nat=yes>"), api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
	if v := m.Get(c, "rr_params"); !v.IsNil() {
		t.Errorf("before: %v", v)
	}
	if r := m.Call(c, "check_route_param", "nat"); r.OK || r.Name != "no_params" {
		t.Errorf("before: %+v", r)
	}
	m.Call(c, "loose_route")
	if v := m.Get(c, "rr_params"); v.Str != "lr;ftag=a-tag;nat=yes" {
		t.Errorf("%q", v.Str)
	}
	for pattern, want := range map[string]bool{";nat=yes": true, "^;lr": true, "NAT=(yes|no)": true, "nat=no": false} {
		if r := m.Call(c, "check_route_param", pattern); r.OK != want {
			t.Errorf("%s: %+v", pattern, r)
		}
	}
	if r := m.Call(c, "check_route_param", "("); r.Err == nil {
		t.Error("a broken pattern was taken")
	}
	if v, ok := rr.RouteParam(c.State, "NAT"); !ok || v != "yes" {
		t.Errorf("nat is %q, %v", v, ok)
	}
	if v, ok := rr.RouteParam(c.State, "x"); ok {
		t.Errorf("x is %q", v)
	}
}

func TestIsDirection(t *testing.T) {
	for params, want := range map[string]string{";ftag=a-tag": "downstream", ";ftag=b-tag": "upstream", "": "downstream"} {
		c := mt.NewCtx(t, request("sip:bob@192.0.2.20", "b", "<sip:127.0.0.1:5060;lr"+params+">"), api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
		m.Call(c, "loose_route")
		for _, dir := range []string{"upstream", "downstream"} {
			if r := m.Call(c, "is_direction", dir); r.Err != nil || r.OK != (dir == want) {
				t.Errorf("%q, %s: %+v", params, dir, r)
			}
		}
	}
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), map[string]any{"append_fromtag": false})
	if r := m.Call(c, "is_direction", "upstream"); r.Err == nil {
		t.Error("worked without append_fromtag")
	}
}

// What record_route makes for one side, loose_route takes off on the way back.
func TestRoundTrip(t *testing.T) {
	h := mt.NewHost(t)
	m := mt.Load(t, h, rr.Module(), nil)
	for _, out := range h.Socks {
		c := h.Ctx(mt.Invite, api.RouteRequest)
		m.Call(c, "record_route")
		set := recordRoutes(send(c, out))
		up := slices.Clone(set) // the callee's route set is in the order of the message
		down := slices.Clone(set)
		slices.Reverse(down)
		for from, routes := range map[*api.Socket][]string{out: up, c.Source.Socket: down} {
			bye := h.Ctx(request("sip:x@192.0.2.99", "b", routes...), api.RouteRequest)
			bye.Source.Socket = from
			if r := m.Call(bye, "loose_route"); !r.OK {
				t.Errorf("%s: %+v for %q", out.Name, r, routes)
			}
			if left := lines(mt.WireOf(bye), "Route: "); left != nil {
				t.Errorf("%s: %q left", out.Name, left)
			}
			want := c.Source.Socket
			if from == want {
				want = out
			}
			if bye.Target.Socket != want {
				t.Errorf("by %s from %s: leaves by %v, want %s", out.Name, from.Name, bye.Target.Socket, want.Name)
			}
		}
	}
}

func FuzzLooseRoute(f *testing.F) {
	f.Add("sip:bob@192.0.2.20", "<sip:127.0.0.1:5060;r2=on;lr>, <sip:127.0.0.1:5060;transport=tcp;r2=on;lr>", true)
	f.Add("sip:127.0.0.1:5060;lr", "<sip:strict.example.com>,\"a,b\" <sip:x;lr>;p=\"<\"", true)
	f.Add("sip:bob@h;maddr=127.0.0.1;transport=udp?a=b", "sip:127.0.0.1", false)
	f.Fuzz(func(t *testing.T, ruri, route string, tag bool) {
		c := mt.NewCtx(t, request("sip:bob@192.0.2.20", map[bool]string{true: "b"}[tag]), api.RouteRequest)
		if c.Msg.SetRequestURI([]byte(ruri)) != nil || c.Msg.Prepend(sip.HdrRoute, []byte(route)) != nil {
			return
		}
		m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
		m.Call(c, "record_route", ";x=1")
		m.Call(c, "loose_route")
		send(c, mt.HostOf(c).Socks[1])
		if wire := mt.WireOf(c); !strings.Contains(wire, "\r\n\r\n") || strings.Count(wire, "Call-ID: ") != 1 {
			t.Errorf("broke the message:\n%s", wire)
		}
	})
}
