package txn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// TestRow001_UnknownMethodIsRelayed.
func TestRow001_UnknownMethodIsRelayed(t *testing.T) {
	r := newRig(t, nil)
	out := r.recv(uac, req("FROBNICATE", "sip:bob@10.0.0.2"))
	r.want(out, "FROBNICATE "+uas)
	r.want(r.recv(uas, answer(out[0], 200, "b1")), "200 "+uac)
	r.quiet()
}

// TestRow002_UnknownHeaderUntouched, rows 15 and 16: what is not ours to edit
// leaves byte for byte, in order.
func TestRow002_Row015_Row016_Untouched(t *testing.T) {
	r := newRig(t, nil)
	odd := "X-Odd  :  a,, b ;=x"
	body := "--b\r\n\r\n\x00\x01\xff\r\n--b--\r\n"
	in := invite(odd, "Subject: one", "X-N: 1", "body:"+body)
	in = strings.Replace(in, "X-N: 1\r\n", "X-N: 1\r\nx-n: 2, 3\r\nX-N: 4\r\n", 1)
	inv := r.one(r.recv(uac, in), "INVITE")
	for _, want := range []string{"\r\n" + odd + "\r\n", "\r\n\r\n" + body, "\r\nX-N: 1\r\nx-n: 2, 3\r\nX-N: 4\r\n"} {
		if !strings.Contains(string(inv.raw), want) {
			t.Errorf("%q is not in\n%q", want, inv.raw)
		}
	}
}

// TestRow003_UnsupportedScheme: 416, and a destination URI makes it relayable.
func TestRow003_UnsupportedScheme(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict { o = r.doRelay(c); return api.VerdictNone }
	out := r.recv(uac, req("INVITE", "urn:service:sos"))
	r.want(out, "416 "+uac)
	if o.OK() || o.Name != "bad_scheme" {
		t.Errorf("outcome %+v", o)
	}
	r = newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.Target.Duri = "sip:10.0.0.3"
		return r.relay(c)
	}
	r.want(r.recv(uac, req("INVITE", "tel:+4930123")), "100 "+uac, "INVITE "+uas2)
}

// TestRow004_NoHopsLeft: 483, not relayed; a script that lowered the header itself
// may send a 0 on.
func TestRow004_NoHopsLeft(t *testing.T) {
	r := newRig(t, nil)
	r.want(r.recv(uac, invite("Max-Forwards: 0")), "483 "+uac)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if err := c.Msg.Set([]byte("Max-Forwards"), []byte("0")); err != nil {
			t.Error(err)
		}
		return r.relay(c)
	}
	p := r.one(r.recv(uac, invite("Max-Forwards: 1", "Call-ID: other", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx")), "INVITE")
	if got := p.header("Max-Forwards"); got != "0" {
		t.Errorf("Max-Forwards %q", got)
	}
}

// TestRow005_Row019_NoMaxForwards: absent is no error; 70 is added.
func TestRow005_Row019_NoMaxForwards(t *testing.T) {
	r := newRig(t, nil)
	p := r.one(r.recv(uac, invite("Max-Forwards: -")), "INVITE")
	if got := p.all("Max-Forwards"); fmt.Sprint(got) != "[70]" {
		t.Errorf("Max-Forwards %v", got)
	}
}

// TestRow018_HopCounted: exactly one less.
func TestRow018_HopCounted(t *testing.T) {
	r := newRig(t, nil)
	p := r.one(r.recv(uac, invite("Max-Forwards: 12")), "INVITE")
	if got := p.all("Max-Forwards"); fmt.Sprint(got) != "[11]" {
		t.Errorf("Max-Forwards %v", got)
	}
}

// TestRow006_ProxyRequire: 420 with exactly those tags.
func TestRow006_ProxyRequire(t *testing.T) {
	r := newRig(t, nil)
	out := r.recv(uac, invite("Proxy-Require: foo, bar"))
	r.want(out, "420 "+uac)
	if got := out[0].header("Unsupported"); got != "foo, bar" {
		t.Errorf("Unsupported %q", got)
	}
}

// TestRow013_EmptyTargetSet: every branch dropped: false and the script answers.
func TestRow013_EmptyTargetSet(t *testing.T) {
	r := newRig(t, nil)
	drop := r.arm("branch_route.drop", func(*api.Ctx) {})
	drop.fn = func(*api.Ctx) api.Verdict { return api.VerdictDrop }
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		tx.Arm(c, api.RouteBranch, drop)
		if o := tx.Relay(c, 0); o.Name != "no_target" || o.Code != -3 {
			t.Errorf("outcome %+v", o)
		}
		tx.Reply(c, 480, "", nil)
		return api.VerdictNone
	}
	r.want(r.recv(uac, invite()), "480 "+uac)
	r.quiet()
}

// TestRow014_NoURITwice within one fork.
func TestRow014_NoURITwice(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:bob@10.0.0.2", "sip:bob@10.0.0.3", "sip:bob@10.0.0.3")
	r.want(r.recv(uac, invite()), "100 "+uac, "INVITE "+uas, "INVITE "+uas2)
}

// TestRow010_OwnMaddr is stripped before the script sees it.
func TestRow010_OwnMaddr(t *testing.T) {
	r := newRig(t, nil)
	seen := ""
	r.live.main = func(c *api.Ctx) api.Verdict {
		seen = string(c.Msg.RequestURI())
		return api.VerdictDrop
	}
	r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;maddr=10.0.0.9;transport=udp;user=phone"))
	if seen != "sip:bob@10.0.0.2;user=phone" {
		t.Errorf("ours: %q", seen)
	}
	r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;maddr=10.0.0.7", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2"))
	if seen != "sip:bob@10.0.0.2;maddr=10.0.0.7" {
		t.Errorf("not ours: %q", seen)
	}
}

// TestRow017_RequestURICleaned: the method parameter and headers go.
func TestRow017_RequestURICleaned(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:carol@10.0.0.3;user=phone;method=INVITE;x=1?Subject=hi&Route=x")
	out := find(r.recv(uac, invite()), "INVITE")
	if got := string(out[1].m.RequestURI()); got != "sip:carol@10.0.0.3;user=phone;x=1" {
		t.Errorf("Request-URI %q", got)
	}
}

// TestRow025_StrictRouter: its URI becomes the Request-URI, which goes last.
func TestRow025_StrictRouter(t *testing.T) {
	r := newRig(t, nil)
	p := r.one(r.recv(uac, invite("Route: <sip:10.0.0.3>, <sip:10.0.0.4;lr>")), "INVITE")
	if got := string(p.m.RequestURI()); got != "sip:10.0.0.3" {
		t.Errorf("Request-URI %q", got)
	}
	if got := strings.Join(p.all("Route"), ", "); got != "<sip:10.0.0.4;lr>, <sip:bob@10.0.0.2>" {
		t.Errorf("Route %q", got)
	}
	r.want([]packet{p}, "INVITE "+uas2)
	p = r.one(r.recv(uac, invite("Route: <sip:10.0.0.3>", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2", "Call-ID: c2")), "INVITE")
	if got := strings.Join(p.all("Route"), ", "); got != "<sip:bob@10.0.0.2>" || p.to.Addr.String() != uas2 {
		t.Errorf("a single strict Route: Route %q, sent to %v", got, p.to.Addr)
	}
	folded := invite("Route: <sip:10.0.0.3>,\r\n <sip:10.0.0.4;lr>,\r\n <sip:10.0.0.1;lr>", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK3", "Call-ID: c3")
	p = r.one(r.recv(uac, folded), "INVITE")
	if got := strings.Join(p.all("Route"), ", "); got != "<sip:10.0.0.4;lr>,   <sip:10.0.0.1;lr>, <sip:bob@10.0.0.2>" {
		t.Errorf("folded Routes: %q", got)
	}
}

// TestRow025_TurnedRoundOnce: loose_route has done it where the destination is the
// Request-URI, and it is not done again, with a transaction or without.
func TestRow025_TurnedRoundOnce(t *testing.T) {
	for _, stateless := range []bool{false, true} {
		r := newRig(t, nil)
		r.live.main = func(c *api.Ctx) api.Verdict {
			c.Target.Duri = "sip:10.0.0.3"
			if !stateless {
				return r.relay(c)
			}
			if err := r.l.StatelessForward(c, c.Target); err != nil {
				t.Error(err)
			}
			return api.VerdictNone
		}
		p := r.one(r.recv(uac, req("INFO", "sip:10.0.0.3", "Route: <sip:10.0.0.4>, <sip:bob@10.0.0.2>")), "INFO")
		if uri, route := string(p.m.RequestURI()), p.header("Route"); uri != "sip:10.0.0.3" || route != "<sip:10.0.0.4>, <sip:bob@10.0.0.2>" || p.to.Addr.String() != uas2 {
			t.Errorf("stateless %v: %s with Route %q to %v", stateless, uri, route, p.to.Addr)
		}
	}
}

// TestRow025_TriedAgain: a failure route that relays again sends to the strict
// router what it was sent before.
func TestRow025_TriedAgain(t *testing.T) {
	r := newRig(t, nil)
	seen := ""
	again := r.arm("failure_route.again", func(c *api.Ctx) {
		seen = string(c.Msg.RequestURI())
		c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, again)
		}
		return r.relay(c)
	}
	first := r.one(r.recv(uac, invite("Route: <sip:10.0.0.3>")), "INVITE")
	second := r.one(r.recv(uas2, answer(first, 486, "b")), "INVITE")
	if uri, route := string(second.m.RequestURI()), second.header("Route"); uri != "sip:10.0.0.3" || route != "<sip:bob@10.0.0.2>" || seen != "sip:bob@10.0.0.2" {
		t.Errorf("%s with Route %q; the failure route saw %s", uri, route, seen)
	}
	r.recv(uas2, answer(second, 486, "b"))
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestRow026_NextHop: destination URI, then Route, then Request-URI; Path becomes
// Route (RFC 3327 §5.3).
func TestRow026_NextHop(t *testing.T) {
	r := newRig(t, nil)
	r.want(find(r.recv(uac, invite("Route: <sip:10.0.0.3;lr>")), "INVITE"), "INVITE "+uas2)
	r.live.main = func(c *api.Ctx) api.Verdict { c.Target.Duri = "sip:10.0.0.4"; return r.relay(c) }
	r.want(find(r.recv(uac, invite("Route: <sip:10.0.0.3;lr>", "Call-ID: c2", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2")), "INVITE"), "INVITE "+uas3)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.Target.Path = "<sip:10.0.0.3;lr>, <sip:10.0.0.4;lr>"
		return r.relay(c)
	}
	p := r.one(r.recv(uac, invite("Call-ID: c3", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK3")), "INVITE")
	if got := p.header("Route"); got != "<sip:10.0.0.3;lr>, <sip:10.0.0.4;lr>" || p.to.Addr.String() != uas2 {
		t.Errorf("Path: Route %q, sent to %v", got, p.to.Addr)
	}
}

// TestRow027_Row028_Branches: unique per branch, the same for a resend, never the
// same for another request.
func TestRow027_Row028_Branches(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:bob@10.0.0.3")
	r.recv(uac, invite())
	r.advance(600 * time.Millisecond)
	r.recv(uac, invite("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2", "Call-ID: c2"))
	seen := map[string]string{}
	raw := map[string]string{}
	for _, p := range find(r.sent, "INVITE") {
		b := p.branch()
		if !strings.HasPrefix(b, sip.BranchCookie) {
			t.Errorf("branch %q", b)
		}
		where := p.to.Addr.String() + p.header("Call-ID")
		if old, ok := seen[b]; ok && (old != where || raw[b] != string(p.raw)) {
			t.Errorf("branch %q for two requests", b)
		}
		seen[b], raw[b] = where, string(p.raw)
	}
	if len(seen) != 4 || len(find(r.sent, "INVITE")) != 6 {
		t.Errorf("%d branches in %d requests, want 4 in 6", len(seen), len(find(r.sent, "INVITE")))
	}
}

// loopBack is a request of ours that has come back to us.
func loopBack(p packet, edit ...string) string {
	raw := string(p.raw)
	for i := 0; i+1 < len(edit); i += 2 {
		raw = strings.Replace(raw, edit[i], edit[i+1], 1)
	}
	return raw
}

// TestRow029_Row110_Loop: the same again is a loop (482), another Request-URI a
// spiral.
func TestRow029_Row110_Loop(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:bob@10.0.0.3")
	inv := find(r.recv(uac, invite()), "INVITE")
	r = newRig(t, nil)
	r.fork("sip:bob@10.0.0.3")
	out := r.recv(uas, loopBack(inv[0], "branch=z9hG4bK", "branch=z9hG4bKelse;x=", "Via: ", "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKback\r\nVia: "))
	r.want(find(out, "482"))
	r.want(find(out, "INVITE"), "INVITE "+uas, "INVITE "+uas2) // a Via that only looks like ours
	r = newRig(t, nil)
	r.fork("sip:bob@10.0.0.3")
	inv = find(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uas, loopBack(inv[0], "Via: ", "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKback\r\nVia: ")), "482 "+uas)
	out = r.recv(uas2, loopBack(inv[1], "Via: ", "Via: SIP/2.0/UDP 10.0.0.3;branch=z9hG4bKback\r\nVia: "))
	if len(find(out, "482")) != 0 || len(find(out, "INVITE")) == 0 {
		t.Errorf("a spiral was not relayed:\n%s", dump(out))
	}
}

// TestMergedRequest: the same request by two ways: 482 to the second while the
// first is under way, and not behind it.
func TestMergedRequest(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite()), "INVITE")
	other := invite("Via: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKelsewhere")
	r.want(r.recv("10.0.0.7:5060", other), "482 10.0.0.7:5060")
	r.recv(uas, answer(inv, 486, "b1"))
	r.advance(40 * time.Second)
	r.want(find(r.recv("10.0.0.7:5060", other), "INVITE"), "INVITE "+uas)
	r.advance(time.Minute)
	r.quiet()
}

// TestRow030_ContentLengthOnStreams.
func TestRow030_ContentLengthOnStreams(t *testing.T) {
	r := newRig(t, nil)
	in := strings.Replace(req("INVITE", "sip:bob@10.0.0.2;transport=tcp"), "Content-Length: 0\r\n", "", 1)
	p := r.one(r.recv(uac, in), "INVITE")
	if p.header("Content-Length") != "0" {
		t.Errorf("no Content-Length over TCP:\n%s", p.raw)
	}
}

// TestRow077_LargeRequest goes by TCP, and by UDP when that fails.
func TestRow077_LargeRequest(t *testing.T) {
	r := newRig(t, nil)
	big := "body:" + strings.Repeat("x", 1400)
	p := r.one(r.recv(uac, invite(big)), "INVITE")
	if p.to.Proto != api.ProtoTCP || !strings.HasPrefix(p.header("Via"), "SIP/2.0/TCP ") {
		t.Fatalf("sent by %v with Via %q", p.to.Proto, p.header("Via"))
	}
	mark := len(r.sent)
	p.obs.SendFailed(errName)
	r.run()
	again := r.one(r.sent[mark:], "INVITE")
	if again.to.Proto != api.ProtoUDP || again.branch() == p.branch() {
		t.Errorf("fallback by %v, branch %q then %q", again.to.Proto, p.branch(), again.branch())
	}
	r.recv(uas, answer(again, 486, "b1"))
	r.quiet()

	r = newRig(t, nil)
	if p := r.one(r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;transport=udp", big)), "INVITE"); p.to.Proto != api.ProtoUDP {
		t.Error("transport=udp was not obeyed")
	}
	r = newRig(t, nil)
	r.socks = r.socks[:1]
	if p := r.one(r.recv(uac, invite(big)), "INVITE"); p.to.Proto != api.ProtoUDP {
		t.Error("without a TCP socket there is only UDP")
	}
}

// TestRow077_FallbackIsForNoConnection: an answer over the stream, or none for the
// whole of Timer B, is no reason to send the same by UDP to the same place; the
// next place of the name is another matter, and goes by stream again.
func TestRow077_FallbackIsForNoConnection(t *testing.T) {
	big := "body:" + strings.Repeat("x", 1400)
	r := newRig(t, nil)
	p := r.one(r.recv(uac, invite(big)), "INVITE")
	r.want(r.recv(uas, answer(p, 503, "b")), "ACK "+uas, "500 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()

	r = newRig(t, nil)
	p = r.one(r.recv(uac, invite(big)), "INVITE")
	r.recv(uas, answer(p, 180, "b"))
	r.recv(uac, cancelReq())
	r.want(r.recv(uas, answer(p, 487, "b")), "ACK "+uas, "487 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()

	r = newRig(t, nil)
	r.recv(uac, invite(big))
	mark := len(r.sent)
	r.advance(33 * time.Second)
	r.want(find(r.sent[mark:], "INVITE"))
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()

	r = newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas), hop(uas2)}
	p = r.one(r.recv(uac, req("INVITE", "sip:bob@pool.test", big)), "INVITE")
	p = r.one(r.recv(uas, answer(p, 503, "b")), "INVITE")
	if p.to.Proto != api.ProtoTCP || p.to.Addr.String() != uas2 {
		t.Errorf("after a 503 by %v to %v", p.to.Proto, p.to.Addr)
	}
	mark = len(r.sent)
	p.obs.SendFailed(errName)
	r.run()
	if p = r.one(r.sent[mark:], "INVITE"); p.to.Proto != api.ProtoUDP || p.to.Addr.String() != uas2 {
		t.Errorf("without a connection by %v to %v", p.to.Proto, p.to.Addr)
	}
	r.recv(uas2, answer(p, 486, "b"))
	r.recv(uac, req("ACK", "sip:bob@pool.test"))
	r.quiet()
}

// TestRow077_LargeStateless: what is forwarded without a transaction, such as the
// ACK to a 2xx, goes by the same rule.
func TestRow077_LargeStateless(t *testing.T) {
	big := "body:" + strings.Repeat("x", 1400)
	r := newRig(t, nil)
	p := r.one(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", big)), "ACK")
	if p.to.Proto != api.ProtoTCP || !strings.HasPrefix(p.header("Via"), "SIP/2.0/TCP ") || len(p.all("Via")) != 2 || p.header("Max-Forwards") != "69" {
		t.Fatalf("sent by %v as\n%s", p.to.Proto, p.raw)
	}
	mark := len(r.sent)
	p.obs.SendFailed(errName)
	q := r.one(r.sent[mark:], "ACK")
	if q.to.Proto != api.ProtoUDP || string(q.raw) != strings.Replace(string(p.raw), "SIP/2.0/TCP "+ours, "SIP/2.0/UDP "+ours, 1) {
		t.Errorf("then by %v as\n%s", q.to.Proto, q.raw)
	}
	if p := r.one(r.recv(uac, req("ACK", "sip:bob@10.0.0.2;transport=udp", big)), "ACK"); p.to.Proto != api.ProtoUDP {
		t.Error("transport=udp was not obeyed")
	}
	r.refuse = func(d api.Dest) error {
		if d.Proto == api.ProtoTCP {
			return errName
		}
		return nil
	}
	if p := r.one(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", big)), "ACK"); p.to.Proto != api.ProtoUDP {
		t.Error("not sent where TCP refuses at once")
	}
	r.refuse, r.socks = nil, r.socks[:1]
	if p := r.one(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", big)), "ACK"); p.to.Proto != api.ProtoUDP {
		t.Error("without a TCP socket there is only UDP")
	}
}

// TestRow093_SipsNeverPlain: without a TLS socket a sips target is not sent.
func TestRow093_SipsNeverPlain(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict {
		o = r.doRelay(c)
		r.tx(c).Reply(c, 480, "", nil)
		return api.VerdictNone
	}
	for i, uri := range []string{"sips:bob@10.0.0.2", "sips:bob@10.0.0.2;transport=udp", "sips:bob@10.0.0.2;transport=tcp"} {
		out := r.recv(uac, req("INVITE", uri, fmt.Sprintf("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%d", i)))
		if len(find(out, "INVITE")) != 0 || o.OK() {
			t.Errorf("%s: %v %+v", uri, list(out), o)
		}
	}
	r.socks = append(r.socks, socket(2, api.ProtoTLS, "10.0.0.9:5061"))
	p := r.one(r.recv(uac, req("INVITE", "sips:bob@10.0.0.2", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKtls")), "INVITE")
	if p.to.Proto != api.ProtoTLS || p.to.Addr.Port() != 5061 {
		t.Errorf("sent by %v to %v", p.to.Proto, p.to.Addr)
	}
}

// TestRow093_SipsAlongARoute: the Request-URI decides, wherever the next hop comes
// from (RFC 3261 §16.6 item 7), with a transaction and without.
func TestRow093_SipsAlongARoute(t *testing.T) {
	for name, in := range map[string]struct{ route, duri string }{
		"loose route":     {route: "<sip:10.0.0.3;lr>"},
		"with udp":        {route: "<sip:10.0.0.3;transport=udp;lr>"},
		"strict route":    {route: "<sip:10.0.0.3>"},
		"destination URI": {route: "-", duri: "sip:10.0.0.3"},
	} {
		for _, stateless := range []bool{false, true} {
			r := newRig(t, nil)
			tls := socket(2, api.ProtoTLS, "10.0.0.9:5061")
			r.live.main = func(c *api.Ctx) api.Verdict {
				c.Target.Duri = in.duri
				if stateless {
					if err := r.l.StatelessForward(c, c.Target); (err == nil) != (len(r.socks) == 3) {
						t.Errorf("%s: forwarded with %d sockets: %v", name, len(r.socks), err)
					}
					return api.VerdictNone
				}
				if o := r.doRelay(c); o.OK() != (len(r.socks) == 3) {
					t.Errorf("%s: relayed with %d sockets: %+v", name, len(r.socks), o)
				}
				return api.VerdictNone
			}
			plain := r.recv(uac, req("MESSAGE", "sips:bob@10.0.0.2", "Route: "+in.route))
			if len(find(plain, "MESSAGE")) != 0 {
				t.Errorf("%s, stateless %v: sent in the clear:\n%s", name, stateless, dump(plain))
			}
			r.socks = append(r.socks, tls)
			p := r.one(r.recv(uac, req("MESSAGE", "sips:bob@10.0.0.2", "Route: "+in.route, "Call-ID: c2", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2")), "MESSAGE")
			if p.to.Proto != api.ProtoTLS || p.to.Addr.String() != "10.0.0.3:5061" {
				t.Errorf("%s, stateless %v: sent by %v to %v", name, stateless, p.to.Proto, p.to.Addr)
			}
		}
	}
}

// TestUnknownTransport: the transport that a URI names must be used (RFC 3263
// §4.1), so one that we do not have leads nowhere.
func TestUnknownTransport(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict {
		if o = r.doRelay(c); !o.OK() {
			r.tx(c).Reply(c, 500, "", nil)
		}
		return api.VerdictNone
	}
	for i, uri := range []string{"sip:bob@10.0.0.2;transport=sctp", "sips:bob@10.0.0.2;transport=tls-sctp", "sip:bob@10.0.0.2;transport=", "sip:10.0.0.2;TRANSPORT=carrier-pigeon"} {
		out := r.recv(uac, req("MESSAGE", uri, fmt.Sprintf("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%d", i), fmt.Sprintf("Call-ID: c%d", i)))
		r.want(out, "500 "+uac)
		if o.Name != "send_failed" {
			t.Errorf("%s: outcome %+v", uri, o)
		}
	}
	r.want(r.recv(uac, req("MESSAGE", "sip:bob@10.0.0.2;transport=UdP", "Call-ID: good", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKg")), "MESSAGE "+uas)
	r.quiet()
}

// TestRow080_Row105_Received: received where the source differs or sent-by is a
// name, rport filled where asked, what was there overwritten.
func TestRow080_Row105_Received(t *testing.T) {
	for i, tc := range []struct{ via, from, want, back string }{
		{"10.0.0.1:5060;branch=z9hG4bK%d", uac, "10.0.0.1:5060;branch=z9hG4bK%d", uac},
		{"10.0.0.1:5060;branch=z9hG4bK%d", "10.0.0.8:4000", "10.0.0.1:5060;branch=z9hG4bK%d;received=10.0.0.8", "10.0.0.8:5060"},
		{"pc.test;branch=z9hG4bK%d", "10.0.0.8:4000", "pc.test;branch=z9hG4bK%d;received=10.0.0.8", "10.0.0.8:5060"},
		{"10.0.0.1;branch=z9hG4bK%d;received=1.2.3.4", "10.0.0.8:4000", "10.0.0.1;branch=z9hG4bK%d;received=10.0.0.8", "10.0.0.8:5060"},
		{"10.0.0.1;rport;branch=z9hG4bK%d", "10.0.0.1:4000", "rport=4000", "10.0.0.1:4000"},
	} {
		r := newRig(t, nil)
		in := invite("Via: SIP/2.0/UDP " + fmt.Sprintf(tc.via, i))
		inv := r.one(r.recv(tc.from, in), "INVITE")
		want := strings.ReplaceAll(tc.want, "%d", fmt.Sprint(i))
		if got := inv.all("Via")[1]; !strings.Contains(got, want) {
			t.Errorf("%s from %s: Via %q, want %q in it", tc.via, tc.from, got, want)
		}
		if tc.want == "rport=4000" && !strings.Contains(inv.all("Via")[1], "received=10.0.0.1") {
			t.Errorf("rport without received: %q", inv.all("Via")[1])
		}
		r.want(r.recv(uas, answer(inv, 180, "b")), "180 "+tc.back)
	}
}

// TestRow106_ReplySocket: the reply leaves by the socket that the request came to.
func TestRow106_ReplySocket(t *testing.T) {
	r := newRig(t, nil)
	second := socket(2, api.ProtoUDP, "10.0.0.10:5060")
	r.socks = append(r.socks, second)
	inv := r.one(r.recvOn(second, uac, invite()), "INVITE")
	if inv.to.Socket != second {
		t.Errorf("request left by %v", inv.to.Socket.Name)
	}
	if p := r.one(r.recv(uas, answer(inv, 180, "b")), "180"); p.to.Socket != second {
		t.Errorf("reply left by %v", p.to.Socket.Name)
	}
}

// TestForceRport: force_rport sends replies to the source port and says so in Via.
func TestForceRport(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.State.AddRport, c.State.AddLocalRport = true, true
		return r.relay(c)
	}
	inv := r.one(r.recv("10.0.0.8:4000", invite()), "INVITE")
	if v := inv.all("Via"); !strings.HasSuffix(v[0], ";rport") || !strings.Contains(v[1], ";received=10.0.0.8;rport=4000") {
		t.Errorf("Via %q", v)
	}
	r.want(r.recv(uas, answer(inv, 180, "b")), "180 10.0.0.8:4000")
}

// TestRow082_Maddr: a UDP response goes to maddr.
func TestRow082_Maddr(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite("Via: SIP/2.0/UDP 10.0.0.1:5062;maddr=10.0.0.7;branch=z9hG4bKm")), "INVITE")
	r.want(r.recv(uas, answer(inv, 180, "b")), "180 10.0.0.7:5062")
}

// TestRow081_StreamReply goes back by its connection, with sent-by's port for a
// new one.
func TestRow081_Row078_StreamReply(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recvOn(r.socks[1], "10.0.0.1:33000", invite("Via: SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bKt")), "INVITE")
	p := r.one(r.recv(uas, answer(inv, 180, "b")), "180")
	if p.to.Flow != 7 || p.to.Addr.String() != "10.0.0.1:5070" || p.to.Proto != api.ProtoTCP {
		t.Errorf("reply to %+v", p.to)
	}
}

// TestSockets: forced socket, bond, and set_advertised_address in Via.
func TestSockets(t *testing.T) {
	r := newRig(t, nil)
	second := socket(2, api.ProtoUDP, "10.0.0.10:5080")
	r.socks = append(r.socks, second)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.Target.Socket = second
		c.State.AdvHost = "edge.test"
		return r.relay(c)
	}
	p := r.one(r.recv(uac, invite()), "INVITE")
	if p.to.Socket != second || !strings.Contains(p.header("Via"), "UDP edge.test:5080;") {
		t.Errorf("left by %v with %q", p.to.Socket.Name, p.header("Via"))
	}
	r.want(r.recv(uas, answer(p, 180, "b")), "180 "+uac)
	r.live.main = func(c *api.Ctx) api.Verdict { c.Target.Bond = "none"; r.doRelay(c); return api.VerdictError }
	out := r.recv(uac, invite("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKbond", "Call-ID: c2"))
	if len(find(out, "INVITE")) != 0 || len(find(out, "500")) != 1 {
		t.Errorf("a bond without a member: %v", list(out))
	}
}

// TestRow111_Row112_Row113_MaxBreadth.
func TestRow111_Row112_Row113_MaxBreadth(t *testing.T) {
	breadths := func(ps []packet) string {
		s := ""
		for _, p := range find(ps, "INVITE") {
			s += p.header("Max-Breadth") + " "
		}
		return s
	}
	r := newRig(t, nil)
	r.fork("sip:b@10.0.0.3", "sip:b@10.0.0.4", "sip:b@10.0.0.5", "sip:b@10.0.0.6", "sip:b@10.0.0.7", "sip:b@10.0.0.8")
	if got := breadths(r.recv(uac, invite())); got != "9 9 9 9 8 8 8 " {
		t.Errorf("absent: %s", got)
	}
	r = newRig(t, nil)
	r.fork("sip:b@10.0.0.3", "sip:b@10.0.0.4")
	if got := breadths(r.recv(uac, invite("Max-Breadth: 3"))); got != "1 1 1 " {
		t.Errorf("3 for 3: %s", got)
	}
	r = newRig(t, nil)
	r.fork("sip:b@10.0.0.3", "sip:b@10.0.0.4")
	r.want(r.recv(uac, invite("Max-Breadth: 2")), "440 "+uac)
	r.quiet()
	r = newRig(t, nil)
	r.want(r.recv(uac, invite("Max-Breadth: 0")), "440 "+uac)
}

// TestFork300: wide forks need max_breadth raised.
func TestFork300(t *testing.T) {
	uris := make([]string, 299)
	for i := range uris {
		uris[i] = fmt.Sprintf("sip:b@10.1.%d.%d", i/250, i%250+1)
	}
	r := newRig(t, nil)
	r.fork(uris...)
	r.want(r.recv(uac, invite()), "440 "+uac)
	cfg := rfcConfig()
	cfg.MaxBreadth = 300
	r = newRig(t, cfg)
	r.fork(uris...)
	inv := find(r.recv(uac, invite()), "INVITE")
	if len(inv) != 300 {
		t.Fatalf("%d branches", len(inv))
	}
	for _, p := range inv {
		r.recv(p.to.Addr.String(), answer(p, 180, "t"+p.branch()))
	}
	out := r.recv(inv[77].to.Addr.String(), answer(inv[77], 200, "x"))
	if len(find(out, "200")) != 1 || len(find(out, "CANCEL")) != 299 {
		t.Errorf("on the 200: %d and %d CANCELs", len(find(out, "200")), len(find(out, "CANCEL")))
	}
	r.quiet()
}

// TestRow114_AmplificationIsBounded: two addresses of record that each lead to
// both (RFC 5393 §3): the messages are counted.
func TestRow114_AmplificationIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.Extra = append(c.Extra, api.Target{URI: "sip:a@10.0.0.9", Q: -1})
		if err := c.Msg.SetRequestURI([]byte("sip:b@10.0.0.9")); err != nil {
			t.Error(err)
		}
		return r.relay(c)
	}
	r.recv(uac, req("OPTIONS", "sip:a@10.0.0.9"))
	n := 0
	for i := 0; i < len(r.sent); i++ {
		p := r.sent[i]
		if p.m.IsRequest() {
			n++
			if n > 1000 {
				t.Fatal("more than 1,000 requests")
			}
			r.recv(ours, string(p.raw))
		} else if p.to.Addr.String() == ours {
			r.recv(ours, string(p.raw))
		}
	}
	if n > 4 {
		t.Errorf("%d requests from one", n)
	}
	if len(find(r.sent, "482")) == 0 {
		t.Error("no loop was found")
	}
	r.quiet()
}
