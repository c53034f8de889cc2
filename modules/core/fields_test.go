package core_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/core"
	"github.com/luasips/luasips/modules/moduletest"
)

const rich = `INVITE sips:+49123:secret@[2001:db8::2];transport=TCP;user=phone?X=1 SIP/2.0
Via: SIP/2.0/TLS 192.0.2.10:5062;branch=z9hG4bKa1
Max-Forwards: 70
f: "Alice A." <sip:alice@example.org>;tag=a-tag
To: <sip:bob@example.com>;tag=b-tag
Call-ID: call-1@192.0.2.10
CSeq: 4711 INVITE
m: "A" <sip:alice@192.0.2.10:5062>;q=0.5;expires=60;methods="INVITE,BYE";received="sip:1.2.3.4", <sip:second@h>
P-Asserted-Identity: "Al" <sip:pai@example.org>
P-Preferred-Identity: "Pref" <sip:ppi@pref.example>
Remote-Party-ID: <sip:rpid@example.org>
Refer-To: <sip:refer@example.org>
Diversion: <sip:div@example.org>;reason="user-busy";privacy=full
Proxy-Authorization: Digest username="alice@auth.example", realm="r", nonce="n", uri="sip:u", response="abc", algorithm=SHA-256, cnonce="c", opaque="o", qop=auth, nc=00000001
WWW-Authenticate: Digest realm="cr, with comma", nonce="cn", opaque="co", algorithm=MD5, qop="auth", ik="i", ck="k"
User-Agent: phone/1.0
Content-Length: 0

`

func load(t *testing.T) *moduletest.Loaded {
	h := moduletest.NewHost(t)
	h.Mine = []string{"example.org"}
	h.Bonds = map[string][]int{"lan": {0, 1}}
	return loadOn(t, h)
}

func loadOn(t *testing.T, h *moduletest.Host) *moduletest.Loaded {
	return moduletest.Load(t, h, core.Module(), nil)
}

func TestFieldsOfRequest(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(rich, api.RouteRequest)
	for name, want := range map[string]any{
		"rm": "INVITE", "ru": "sips:+49123:secret@[2001:db8::2];transport=TCP;user=phone?X=1",
		"rU": "+49123", "rd": "[2001:db8::2]", "rp": 5061.0, "rP": "TCP", "ru_q": nil,
		"ou": "sips:+49123:secret@[2001:db8::2];transport=TCP;user=phone?X=1", "oU": "+49123", "od": "[2001:db8::2]", "op": 5061.0, "oP": "TCP",
		"du": nil, "dd": nil, "dp": nil, "dP": nil, "path": nil,
		"ds": "Contact: <sips:+49123:secret@[2001:db8::2];transport=TCP;user=phone?X=1>",
		"fu": "sip:alice@example.org", "fU": "alice", "fd": "example.org", "fn": `"Alice A."`, "ft": "a-tag",
		"tu": "sip:bob@example.com", "tU": "bob", "td": "example.com", "tn": nil, "tt": "b-tag",
		"ci": "call-1@192.0.2.10", "cs": 4711.0, "cl": 0.0, "cT": nil, "ua": "phone/1.0",
		"ct": `"A" <sip:alice@192.0.2.10:5062>;q=0.5;expires=60;methods="INVITE,BYE";received="sip:1.2.3.4"`,
		"ai": "sip:pai@example.org", "rt": "sip:refer@example.org", "re": "sip:rpid@example.org",
		"di": "sip:div@example.org", "dip": "full", "dir": "user-busy",
		"pu": "sip:ppi@pref.example", "pU": "ppi", "pd": "pref.example", "pn": `"Pref"`,
		"aU": "alice@auth.example", "au": "alice", "ad": "auth.example", "Au": "alice", "ar": "r", "adu": "sip:u", "an": "n",
		"auth_nonce": "n", "auth_resp": "abc", "auth_cnonce": "c", "auth_opaque": "o", "auth_alg": "SHA-256", "auth_qop": "auth", "auth_nc": "00000001",
		"challenge_realm": "cr, with comma", "challenge_nonce": "cn", "challenge_opaque": "co", "challenge_algorithm": "MD5", "challenge_qop": "auth", "challenge_ik": "i", "challenge_ck": "k",
		"rs": nil, "rr": nil, "rb": nil, "mb": moduletest.Wire(rich), "ml": float64(len(moduletest.Wire(rich))), "mf": "",
		"msg_type": "request", "is_request": true, "msg_is_request": true,
		"si": "192.0.2.10", "sp": 5062.0, "pr": "UDP", "proto": "UDP", "socket_in": "udp:127.0.0.1:5060", "socket_out": "udp:127.0.0.1:5060",
		"Ts": 1772446830.0, "Tsm": 0.0, "Tf": "Mon Mar  2 10:20:30 2026",
		"log_level": 2.0, "xlog_level": 2.0, "route": "route", "route_type": "route", "route_name": nil, "sdp": nil,
		"err_class": nil, "err_level": nil, "err_info": nil, "err_rcode": nil, "err_rreason": nil,
	} {
		if got := moduletest.GoOf(l.Get(c, name)); !reflect.DeepEqual(got, want) {
			t.Errorf("msg.%s = %#v, want %#v", name, got, want)
		}
	}
	if pid, started := l.Get(c, "pp"), l.Get(c, "TS"); pid.Num < 1 || started.Num < 1 {
		t.Errorf("pp %v, TS %v", pid.Num, started.Num)
	}
}

func TestKeyedFields(t *testing.T) {
	l := load(t)
	l.Host.AddSocket(api.ProtoTCP, "192.0.2.1", 5070, "sip.example.org:5080")
	c := l.Host.Ctx(rich, api.RouteRequest)
	c.Source.ProxySrc = netip.MustParseAddrPort("198.51.100.1:7")
	c.Source.ProxyDst = netip.MustParseAddrPort("[2001:db8::9]:8")
	if err := l.Set(c, "socket_out", "tcp:192.0.2.1:5070"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		field string
		key   any
		want  any
	}{
		{"ct_fields", "name", `"A"`}, {"ct_fields", "uri", "sip:alice@192.0.2.10:5062"}, {"ct_fields", "q", "0.5"},
		{"ct_fields", "expires", "60"}, {"ct_fields", "methods", "INVITE,BYE"}, {"ct_fields", "received", "sip:1.2.3.4"},
		{"ct_fields", "params", `q=0.5;expires=60;methods="INVITE,BYE";received="sip:1.2.3.4"`}, {"ct_fields", "tag", nil},
		{"hdrcnt", "Contact", 1.0}, {"hdrcnt", "X-None", 0.0},
		{"hdr_name", 0, "Via"}, {"hdr_name", -1, "Content-Length"}, {"hdr_name", 99, nil}, {"hdr_name", -99, nil}, {"hdr_name", "x", nil},
		{"socket_in_info", "ip", "127.0.0.1"}, {"socket_in_info", "port", 5060.0}, {"socket_in_info", "proto", "UDP"},
		{"socket_in_info", "tag", "main"}, {"socket_in_info", "anycast", 0.0}, {"socket_in_info", "af", "INET"},
		{"socket_in_info", "advertised_ip", nil}, {"socket_in_info", "nope", nil},
		{"socket_out_info", "forced", "tcp:192.0.2.1:5070"}, {"socket_out_info", "advertised_ip", "sip.example.org"},
		{"socket_out_info", "advertised_port", 5080.0}, {"socket_out_info", "proto", "TCP"},
		{"proxy_protocol", "src_ip", "198.51.100.1"}, {"proxy_protocol", "src_port", 7.0}, {"proxy_protocol", "dst_ip", "2001:db8::9"},
		{"proxy_protocol", "dst_port", 8.0}, {"proxy_protocol", "af", "INET"},
		{"time", "%Y-%m-%dT%H:%M:%S %j %a %U %W %V %u %w %C %y %s %% %e|%k|%l %p %Q", "2026-03-02T10:20:30 061 Mon 09 09 10 1 1 20 26 1772446830 %  2|10|10 AM %Q"},
	} {
		if got := moduletest.GoOf(l.GetKey(c, r.field, r.key)); !reflect.DeepEqual(got, r.want) {
			t.Errorf("msg.%s[%v] = %#v, want %#v", r.field, r.key, got, r.want)
		}
	}
}

func TestFieldsOfReply(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.OK, api.RouteReply)
	for name, want := range map[string]any{
		"rm": "INVITE", "rs": 200.0, "rr": "OK", "ru": nil, "rU": nil, "rp": nil, "ou": nil, "op": nil,
		"is_request": false, "msg_type": "reply", "tt": "b-tag", "route_type": "onreply_route", "ds": nil,
	} {
		if got := moduletest.GoOf(l.Get(c, name)); !reflect.DeepEqual(got, want) {
			t.Errorf("msg.%s = %#v, want %#v", name, got, want)
		}
	}
	if err := l.Set(c, "ru", "sip:x@h"); err == nil {
		t.Error("a reply took a Request-URI")
	}
	if err := l.Set(c, "du", "sip:x@h"); err == nil {
		t.Error("a reply took a destination URI")
	}
}

func TestFieldsWithoutMessage(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	c.Route = "tick"
	for name, want := range map[string]any{"ru": nil, "si": nil, "rb": nil, "Ts": 1772446830.0, "route": "timer_route[tick]", "route_name": "tick"} {
		if got := moduletest.GoOf(l.Get(c, name)); !reflect.DeepEqual(got, want) {
			t.Errorf("msg.%s = %#v, want %#v", name, got, want)
		}
	}
}

func TestErrorFields(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteError)
	c.ParseErr = &sip.ParseError{Code: 505, Reason: "Version Not Supported", Detail: "SIP/3.0"}
	for name, want := range map[string]any{"err_class": 1.0, "err_level": 3.0, "err_info": "SIP/3.0 (505)", "err_rcode": 505.0, "err_rreason": "Version Not Supported"} {
		if got := moduletest.GoOf(l.Get(c, name)); !reflect.DeepEqual(got, want) {
			t.Errorf("msg.%s = %#v, want %#v", name, got, want)
		}
	}
}

func TestLevels(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	for set, want := range map[any]float64{"info": 3, "L_DBG": 4, 1: 1, -1.0: -1, "loud": 2} {
		l.Host.Set = map[string]any{"log_level": set}
		if got := l.Get(c, "log_level").Num; got != want {
			t.Errorf("log_level of %v = %v, want %v", set, got, want)
		}
	}
}

// TestWrites goes through every writable field: what it makes of the
// Request-URI or the destination, or the word that its refusal must hold.
func TestWrites(t *testing.T) {
	const from = "sip:bob@example.com"
	for _, r := range []struct {
		field string
		value any
		start string
		want  string
	}{
		{"ru", "sips:carol@h:5070;lr", from, "sips:carol@h:5070;lr"},
		{"ru", "tel:+49123", from, "tel:+49123"},
		{"ru", "sip:a b@h", from, "!must be escaped"},
		{"ru", "sip:a@h\r\nX: y", from, "!must be escaped"},
		{"ru", "sip:a@h\x00", from, "!must be escaped"},
		{"ru", "carol", from, "!no scheme"},
		{"ru", nil, from, "!no scheme"},
		{"rU", "carol", from, "sip:carol@example.com"},
		{"rU", "a@b:c#d", from, "sip:a%40b%3Ac%23d@example.com"},
		{"rU", "a%40b%zz", from, "sip:a%40b%25zz@example.com"},
		{"rU", "\xc3\xa9", from, "sip:%C3%A9@example.com"},
		{"rU", 4711, from, "sip:4711@example.com"},
		{"rU", nil, "sip:bob:pw@example.com;x", "sip:example.com;x"},
		{"rU", "a b", from, "!would break"},
		{"rU", "a\r\n", from, "!would break"},
		{"rU", "+1", "tel:+49", "tel:+1"},
		{"rU", nil, "tel:+49", "!without its number"},
		{"rU", "x", "urn:service:sos", "!only sip, sips and tel"},
		{"rd", "other.example", "sip:bob@example.com:5070;x?Y=1", "sip:bob@other.example:5070;x?Y=1"},
		{"rd", "2001:db8::1", from, "sip:bob@[2001:db8::1]"},
		{"rd", "[2001:db8::1]", from, "sip:bob@[2001:db8::1]"},
		{"rd", "a b", from, "!not a host"},
		{"rd", "h:5060", from, "!not a host"},
		{"rd", "x@y", from, "!not a host"},
		{"rd", nil, from, "!not a host"},
		{"rd", "h", "tel:+49", "!tel URI"},
		{"rp", 5070, from, "sip:bob@example.com:5070"},
		{"rp", "5070", from, "sip:bob@example.com:5070"},
		{"rp", nil, "sip:bob@example.com:5070", "sip:bob@example.com"},
		{"rp", 70000, from, "!1 to 65535"},
		{"rp", "x", from, "!not a number"},
	} {
		l := load(t)
		c := l.Host.Ctx(strings.Replace(moduletest.Invite, from, r.start, 1), api.RouteRequest)
		err := l.Set(c, r.field, r.value)
		if msg, refused := strings.CutPrefix(r.want, "!"); refused {
			if err == nil || !strings.Contains(err.Error(), msg) {
				t.Errorf("msg.%s = %q: error %v, want one with %q", r.field, r.value, err, msg)
			}
			if got := l.Get(c, "ru").Str; got != r.start {
				t.Errorf("msg.%s = %q was refused but left %s", r.field, r.value, got)
			}
			continue
		}
		if got := l.Get(c, "ru").Str; err != nil || got != r.want {
			t.Errorf("msg.%s = %q made %q (%v), want %q", r.field, r.value, got, err, r.want)
		}
		if wire := moduletest.WireOf(c); !strings.HasPrefix(wire, "INVITE "+r.want+" SIP/2.0\r\n") {
			t.Errorf("msg.%s = %q begins the wire with %q", r.field, r.value, strings.SplitN(wire, "\r\n", 2)[0])
		}
	}
}

func TestDestinationWrites(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if err := l.Set(c, "dd", "h"); err == nil || !strings.Contains(err.Error(), "set msg.du first") {
		t.Errorf("dd without du: %v", err)
	}
	for _, bad := range []string{"tel:+1", "h", "sip:a b@h"} {
		if l.Set(c, "du", bad) == nil {
			t.Errorf("du took %q", bad)
		}
	}
	for _, w := range []struct {
		field string
		value any
	}{{"du", "sip:192.0.2.1;transport=tls"}, {"dd", "2001:db8::7"}, {"dp", 5080}, {"ru_q", 500}} {
		if err := l.Set(c, w.field, w.value); err != nil {
			t.Fatalf("%s: %v", w.field, err)
		}
	}
	for name, want := range map[string]any{"du": "sip:[2001:db8::7]:5080;transport=tls", "dd": "[2001:db8::7]", "dp": 5080.0, "dP": "tls", "ru_q": 500.0,
		"ds": "Contact: <sip:bob@example.com>;q=0.5"} {
		if got := moduletest.GoOf(l.Get(c, name)); got != want {
			t.Errorf("msg.%s = %v, want %v", name, got, want)
		}
	}
	for _, bad := range []any{-1, 1001, 0.5, "1"} {
		if l.Set(c, "ru_q", bad) == nil {
			t.Errorf("ru_q took %v", bad)
		}
	}
	if l.Set(c, "du", nil) != nil || l.Set(c, "ru_q", nil) != nil || c.Target.Duri != "" || c.Target.Q != -1 {
		t.Errorf("nil left du %q, q %d", c.Target.Duri, c.Target.Q)
	}
}

func TestSocketOut(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if err := l.Set(c, "socket_out", "udp:9.9.9.9:1"); err == nil {
		t.Error("an unknown socket was taken")
	}
	if err := l.Set(c, "socket_out", "bond:lan"); err != nil || l.Get(c, "socket_out").Str != "bond:lan" || c.Target.Bond != "lan" {
		t.Errorf("bond: %v, %q", err, l.Get(c, "socket_out").Str)
	}
	if err := l.Set(c, "socket_out", nil); err != nil || c.Target.Bond != "" || !l.GetKey(c, "socket_out_info", "forced").IsNil() {
		t.Errorf("nil: %v, %q", err, c.Target.Bond)
	}
}

func TestMessageFlagNames(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	l.Call(c, "setflag", "NAT")
	l.Call(c, "setflag", "ACC")
	if got := l.Get(c, "mf").Str; got != "NAT ACC" {
		t.Errorf("mf = %q", got)
	}
}

// TestEveryFieldReads reads each field in each route type, with a request that
// lacks nearly all, and with none: nil is an answer, a panic is not.
func TestEveryFieldReads(t *testing.T) {
	l := load(t)
	for kind := api.RouteRequest; kind <= api.RouteLaunch; kind <<= 1 {
		for _, raw := range []string{moduletest.Invite, moduletest.OK, ""} {
			c := l.Host.Ctx(raw, kind)
			c.Source = api.Source{}
			for _, f := range l.M.Fields {
				if f.Get != nil {
					l.Get(c, f.Name)
				}
				for _, k := range append(f.Keys, "x", "[", "0") {
					if f.GetKey != nil {
						l.GetKey(c, f.Name, k)
					}
				}
				if f.Kind == modules.KindNil || f.Doc == "" || f.OpenSIPS == "" {
					t.Fatalf("%s lacks kind, doc or OpenSIPS name", f.Name)
				}
			}
		}
	}
}

func TestBodyParts(t *testing.T) {
	const multipart = `MESSAGE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKm1
From: <sip:alice@example.org>;tag=1
To: <sip:bob@example.com>
Call-ID: m1
CSeq: 1 MESSAGE
Content-Type: multipart/mixed;boundary="b"

--b
Content-Type: application/sdp;charset=x

v=0
--b
Content-Type: text/plain

Hello
--b--
`
	l := load(t)
	for _, r := range []struct {
		raw  string
		key  any
		want any
	}{
		{multipart, "application/sdp", "v=0"}, {multipart, "TEXT/plain", "Hello"}, {multipart, 0, "v=0"}, {multipart, -1, "Hello"},
		{multipart, 2, nil}, {multipart, -3, nil}, {multipart, 0.5, nil}, {multipart, "text/html", nil},
		{moduletest.Invite, "text/plain", nil}, {moduletest.OK, "application/sdp", nil}, {moduletest.OK, 0, nil},
	} {
		kind := api.RouteRequest
		if r.raw == moduletest.OK {
			kind = api.RouteReply
		}
		if got := moduletest.GoOf(l.GetKey(l.Host.Ctx(r.raw, kind), "rb_info", r.key)); got != r.want {
			t.Errorf("rb_info[%v] = %q, want %v", r.key, got, r.want)
		}
	}
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if got := l.GetKey(c, "rb_info", "application/sdp").Str; got == "" || got != l.Get(c, "rb").Str {
		t.Errorf("the one part is %q", got)
	}
}
