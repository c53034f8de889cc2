package txn_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
)

// rejecting is a script that answers code.
func rejecting(t *testing.T, code int) *rig {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() != sip.ACK {
			r.tx(c).Reply(c, code, "", nil)
		}
		return api.VerdictNone
	}
	return r
}

// TestRow062_Row073_FinalResent: 0.5, 1, 2, 4, 4... until the ACK, which goes no
// further; it gives up at 32 s.
func TestRow062_Row073_FinalResent(t *testing.T) {
	r := rejecting(t, 486)
	r.want(r.recv(uac, invite()), "486 "+uac)
	r.advance(40 * time.Second)
	want := []int{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
	if got := times(r.sent, "486"); !slices.Equal(got, want) {
		t.Errorf("486 at %v, want %v", got, want)
	}
	r.quiet()
	r = rejecting(t, 486)
	r.recv(uac, invite())
	r.advance(600 * time.Millisecond)
	mark := len(r.sent)
	r.want(r.recv(uac, req("ACK", "sip:bob@10.0.0.2")))
	r.want(r.recv(uac, req("ACK", "sip:bob@10.0.0.2")))
	r.advance(time.Minute)
	r.want(r.sent[mark:])
	r.quiet()
}

// TestRow073_NoResendOnStreams: over TCP a final response is sent once.
func TestRow073_NoResendOnStreams(t *testing.T) {
	r := rejecting(t, 486)
	r.recvOn(r.socks[1], uac, invite("Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKt"))
	r.advance(40 * time.Second)
	if n := len(find(r.sent, "486")); n != 1 {
		t.Errorf("%d 486s", n)
	}
	r.quiet()
}

// TestRow071_TryingWhileParked: 100 after 200 ms when the script waits.
func TestRow071_TryingWhileParked(t *testing.T) {
	r := newRig(t, nil)
	r.onPark = func() {
		r.advance(190 * time.Millisecond)
		r.want(r.sent)
		r.advance(20 * time.Millisecond)
		r.want(r.sent, "100 "+uac)
		r.want(r.recv(uac, invite()), "100 "+uac)
	}
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.Park(c, func() {})
		return r.relay(c)
	}
	r.want(r.recv(uac, invite()), "100 "+uac, "100 "+uac, "INVITE "+uas)
}

// TestRow108_TryingWhileParked: a request other than INVITE that has a transaction
// gets its 100 when the script waits for longer than 3.5 s, and not before; one
// without a transaction, and a CANCEL, none.
func TestRow108_TryingWhileParked(t *testing.T) {
	r := newRig(t, nil)
	r.onPark = func() {
		r.advance(3400 * time.Millisecond)
		r.want(r.sent)
		r.advance(200 * time.Millisecond)
		r.want(r.sent, "100 "+uac)
		r.want(r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2")), "100 "+uac)
	}
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.tx(c)
		r.Park(c, func() {})
		r.onPark = func() { r.advance(10 * time.Second) }
		r.Park(c, func() {})
		return r.relay(c)
	}
	r.want(r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2")), "100 "+uac, "100 "+uac, "OPTIONS "+uas)
	r.quiet()
	for _, in := range []string{req("OPTIONS", "sip:bob@10.0.0.2"), cancelReq()} {
		r := newRig(t, nil)
		r.onPark = func() { r.advance(10 * time.Second) }
		r.live.main = func(c *api.Ctx) api.Verdict { r.Park(c, func() {}); return api.VerdictDrop }
		r.want(r.recv(uac, in))
		r.quiet()
	}
}

// TestAuto100: the setting and the flag turn the 100 of t_relay off.
func TestAuto100(t *testing.T) {
	cfg := rfcConfig()
	cfg.Auto100 = false
	r := newRig(t, cfg)
	r.want(r.recv(uac, invite()), "INVITE "+uas)
	r = newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict { r.tx(c).Relay(c, api.RelayNoAuto100); return api.VerdictNone }
	r.want(r.recv(uac, invite()), "INVITE "+uas)
}

// TestRow072_RepeatedInvite gets the last provisional and is not relayed again.
func TestRow072_RepeatedInvite(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uac, invite()), "100 "+uac)
	p := r.one(r.recv(uas, answer(inv, 183, "b")), "183")
	again := r.recv(uac, invite())
	r.want(again, "183 "+uac)
	if string(again[0].raw) != string(p.raw) {
		t.Errorf("repeated as\n%s", again[0].raw)
	}
}

// TestRow074_RepeatedNonInvite gets the same final for 32 s.
func TestRow074_RepeatedNonInvite(t *testing.T) {
	r := newRig(t, nil)
	in := req("OPTIONS", "sip:bob@10.0.0.2")
	o := r.one(r.recv(uac, in), "OPTIONS")
	r.want(r.recv(uac, in))
	p := r.one(r.recv(uas, answer(o, 200, "b")), "200")
	for range 6 {
		r.advance(5 * time.Second)
		again := r.recv(uac, in)
		r.want(again, "200 "+uac)
		if string(again[0].raw) != string(p.raw) {
			t.Errorf("repeated as\n%s", again[0].raw)
		}
	}
	r.advance(3 * time.Second)
	r.want(r.recv(uac, in), "OPTIONS "+uas)
}

// TestRow075_MatchBySentBy: same branch, other sent-by: another transaction; other
// case: the same.
func TestRow075_MatchBySentBy(t *testing.T) {
	r := newRig(t, nil)
	in := func(sentBy, branch, call string) string {
		return invite("Via: SIP/2.0/UDP "+sentBy+";branch="+branch, "Call-ID: "+call)
	}
	r.recv(uac, in("pc.test:5060", "z9hG4bKabc", "c1"))
	r.want(r.recv(uac, in("PC.test:5060", "Z9HG4BKABC", "c1")), "100 "+uac)
	if n := len(find(r.recv(uac, in("pc.test:5061", "z9hG4bKabc", "c2")), "INVITE")); n != 1 {
		t.Error("another port is another transaction")
	}
	if n := len(find(r.recv(uac, in("other.test:5060", "z9hG4bKabc", "c3")), "INVITE")); n != 1 {
		t.Error("another host is another transaction")
	}
}

// TestRow076_RFC2543: no magic cookie: INVITE, repetition, CANCEL and ACK match.
func TestRow076_RFC2543(t *testing.T) {
	r := newRig(t, nil)
	via := "Via: SIP/2.0/UDP 10.0.0.1:5060"
	inv := r.one(r.recv(uac, invite(via)), "INVITE")
	r.want(r.recv(uac, invite(via)), "100 "+uac)
	r.recv(uas, answer(inv, 180, "b"))
	r.want(r.recv(uac, req("CANCEL", "sip:bob@10.0.0.2", via)), "200 "+uac, "CANCEL "+uas)
	r.want(r.recv(uas, answer(inv, 487, "b")), "ACK "+uas, "487 "+uac)
	r.want(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", via, "To: <sip:bob@10.0.0.9>;tag=b")))
	mark := len(r.sent)
	r.advance(time.Minute)
	r.want(r.sent[mark:])
	inv2 := r.recv(uac, invite(via, "CSeq: 2 INVITE"))
	r.one(inv2, "INVITE")
}

// TestRow095_OwnResponses: Via, From, Call-ID, CSeq as they came, To tag but in 100.
func TestRow095_OwnResponses(t *testing.T) {
	cfg := rfcConfig()
	cfg.ServerHeader = "luasips"
	r := newRig(t, cfg)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.State.ReplyHeaders = []byte("X-Later: 1\r\n")
		tx := r.tx(c)
		for _, code := range []int{100, 180, 404} {
			if o := tx.Reply(c, code, "", &api.ReplyOptions{Headers: []byte("X-H: 2\r\n"), ContentType: "text/plain", Body: []byte("hi")}); !o.OK() {
				t.Errorf("%d: %+v", code, o)
			}
		}
		if o := tx.Reply(c, 500, "", nil); o.OK() || o.Name != "replied" {
			t.Errorf("second final: %+v", o)
		}
		if tx.Status() != 404 || !tx.LocalReplied("last") {
			t.Errorf("status %d", tx.Status())
		}
		return api.VerdictNone
	}
	vias := "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKclient1"
	out := r.recv(uac, strings.Replace(invite(vias), vias, vias+"\r\nVia: SIP/2.0/UDP 10.5.5.5;branch=z9hG4bKq", 1))
	r.want(out, "100 "+uac, "180 "+uac, "404 "+uac)
	tag := out[1].toTag()
	if tag == "" || out[2].toTag() != tag || out[0].toTag() != "" {
		t.Errorf("To tags %q %q %q", out[0].toTag(), tag, out[2].toTag())
	}
	p := out[2]
	if len(p.all("Via")) != 2 || p.header("From") != "<sip:alice@10.0.0.1>;tag=a1" || p.header("CSeq") != "1 INVITE" || p.header("Call-ID") != "call-1@10.0.0.1" {
		t.Errorf("404\n%s", p.raw)
	}
	if p.header("X-H") != "2" || string(p.m.Body()) != "hi" || p.header("Server") != "luasips" || out[1].header("X-Later") != "1" || p.header("X-Later") != "" {
		t.Errorf("headers of 180 and 404\n%s%s", out[1].raw, p.raw)
	}
	r.quiet()
}

// TestRow115_Accepted: a repeated INVITE is absorbed for 32 s behind a 2xx; the ACK goes
// to the script.
func TestRow115_Accepted(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 200, "b"))
	for range 6 {
		r.want(r.recv(uac, invite()))
		r.advance(5 * time.Second)
	}
	r.want(r.recv(uac, req("ACK", "sip:bob@10.0.0.2")), "ACK "+uas)
	r.quiet()
}

// TestRow061_Ack2xx: relayed as a request of its own, by a stateless branch, and never
// answered.
func TestRow061_Ack2xx(t *testing.T) {
	r := newRig(t, nil)
	in := req("ACK", "sip:bob@10.0.0.7", "Route: <sip:10.0.0.2;lr>", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKack")
	a, b := r.one(r.recv(uac, in), "ACK"), r.one(r.recv(uac, in), "ACK")
	if string(a.raw) != string(b.raw) || a.to.Addr.String() != uas || len(a.all("Via")) != 2 || a.header("Max-Forwards") != "69" {
		t.Errorf("ACK\n%s", a.raw)
	}
	r.live.main = func(c *api.Ctx) api.Verdict {
		if _, err := r.l.Transaction(c); err == nil {
			t.Error("an ACK got a transaction")
		}
		if r.l.StatelessReply(c, 500, "", nil) == nil {
			t.Error("an ACK was answered")
		}
		return api.VerdictError
	}
	r.want(r.recv(uac, in))
	r.quiet()
}

// TestRow056_Row057_Row058_Row104_Stateless: one branch for 1,000 retransmissions, the same
// place, and no 100, 408 or resend.
func TestRow056_Row057_Row058_Row104_Stateless(t *testing.T) {
	r := newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas2), hop(uas3)}
	r.live.main = func(c *api.Ctx) api.Verdict {
		if err := r.l.StatelessForward(c, c.Target); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	in := req("INVITE", "sip:bob@pool.test")
	first := r.one(r.recv(uac, in), "INVITE")
	for range 1000 {
		if p := r.one(r.recv(uac, in), "INVITE"); string(p.raw) != string(first.raw) || p.to != first.to {
			t.Fatalf("another retransmission:\n%s", p.raw)
		}
	}
	mark := len(r.sent)
	r.advance(time.Minute)
	r.want(r.sent[mark:])
	other := r.one(r.recv(uac, req("INVITE", "sip:bob@pool.test", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKother")), "INVITE")
	if other.branch() == first.branch() {
		t.Error("two requests, one branch")
	}
	if p := r.one(r.recv(uas2, answer(first, 200, "b")), "200"); p.to.Addr.String() != uac || len(p.all("Via")) != 1 {
		t.Errorf("reply to %v\n%s", p.to.Addr, p.raw)
	}
	if w, ok := txn.WorkerOf([]byte(first.branch()), &[16]byte{1, 2, 3}); !ok || w != 3 {
		t.Errorf("worker %d %v", w, ok)
	}
	if _, ok := txn.WorkerOf([]byte(first.branch()), &[16]byte{9}); ok {
		t.Error("a branch of another secret is taken for ours")
	}
	r.quiet()
}

// TestRow103_StatelessReply: received, rport, and a name in the next Via, which is resolved;
// onreply_route.main sees it.
func TestRow103_StatelessReply(t *testing.T) {
	r := newRig(t, nil)
	seen := 0
	r.live.reply = func(c *api.Ctx) api.Verdict { seen++; return api.VerdictNone }
	r.live.main = func(c *api.Ctx) api.Verdict {
		if err := r.l.StatelessForward(c, c.Target); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	o := r.one(r.recv("10.0.0.8:4444", req("OPTIONS", "sip:bob@10.0.0.2", "Via: SIP/2.0/UDP pc.test;rport;branch=z9hG4bK1")), "OPTIONS")
	r.want(r.recv(uas, answer(o, 200, "b")), "200 10.0.0.8:4444")
	r.slow["named.test"] = []api.Hop{hop("10.0.0.6:5062")}
	named := strings.Replace(answer(o, 200, "b"), "SIP/2.0/UDP pc.test;", "SIP/2.0/UDP named.test:5062;x-", 1)
	named = strings.Replace(named, "received=10.0.0.8", "y=1", 1)
	named = strings.Replace(named, "rport=4444;", "", 1)
	out := r.recv(uas, named)
	r.want(out, "200 10.0.0.6:5062")
	if seen != 2 {
		t.Errorf("reply route ran %d times", seen)
	}
	r.quiet()
}

// TestSilence: a script that does nothing is warned of, one that drops is not.
func TestSilence(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict { return api.VerdictNone }
	r.want(r.recv(uac, invite()))
	if len(r.logs) != 1 || !strings.Contains(r.logs[0], "without reply") {
		t.Errorf("logs %q", r.logs)
	}
	r.live.main = func(c *api.Ctx) api.Verdict { return api.VerdictDrop }
	r.want(r.recv(uac, invite()))
	if len(r.logs) != 1 {
		t.Errorf("logs %q", r.logs)
	}
	r.quiet()
}

// TestScriptError: 500 where nothing final was sent.
func TestScriptError(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict { return api.VerdictError }
	r.want(r.recv(uac, invite()), "500 "+uac)
	r.live.main = func(c *api.Ctx) api.Verdict { r.tx(c).Reply(c, 180, "", nil); return api.VerdictError }
	r.want(r.recv(uac, invite()), "180 "+uac, "500 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.live.main = func(c *api.Ctx) api.Verdict { r.relay(c); return api.VerdictError }
	r.want(r.recv(uac, invite("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2", "CSeq: 3 INVITE")), "100 "+uac, "INVITE "+uas)
	r.quiet()
}

// TestNothingDoneWithTransaction: t_newtran and silence ends by itself.
func TestNothingDoneWithTransaction(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict { r.tx(c); return api.VerdictNone }
	r.want(r.recv(uac, invite()))
	if r.l.Live() != 1 {
		t.Errorf("%d live", r.l.Live())
	}
	r.quiet()
}

// TestStatelessReplyTag: a retransmission gets the same reply.
func TestStatelessReplyTag(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if err := r.l.StatelessReply(c, 404, "", nil); err != nil {
			t.Error(err)
		}
		if c.Done&api.ActionReplied == 0 {
			t.Error("not noted as replied")
		}
		return api.VerdictNone
	}
	a, b := r.recv(uac, invite()), r.recv(uac, invite())
	r.want(a, "404 "+uac)
	if string(a[0].raw) != string(b[0].raw) || a[0].toTag() == "" {
		t.Errorf("replies\n%s%s", a[0].raw, b[0].raw)
	}
	r.quiet()
}

// TestClose lets everything go at once.
func TestClose(t *testing.T) {
	r := newRig(t, nil)
	h := r.arm("failure_route.x", func(*api.Ctx) {})
	r.live.main = func(c *api.Ctx) api.Verdict { r.tx(c).Arm(c, api.RouteFailure, h); return r.relay(c) }
	for i := range 10 {
		r.recv(uac, invite(fmt.Sprintf("Call-ID: c%d", i), fmt.Sprintf("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%d", i)))
	}
	if r.l.Live() != 10 || r.live.gen.refs != 10 {
		t.Fatalf("%d live, generation kept %d times", r.l.Live(), r.live.gen.refs)
	}
	r.l.Close()
	r.quiet()
}

// TestStatelessReplyOverItsConnection: the response to a request that came by a
// connection goes back by it, whatever its sent-by says (RFC 3261 §18.2.2). A
// callee that changes the parameter gets no say in which.
func TestStatelessReplyOverItsConnection(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if err := r.l.StatelessForward(c, c.Target); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	tcp := r.socks[0]
	for _, s := range r.socks {
		if s.Proto == api.ProtoTCP {
			tcp = s
			break
		}
	}
	p := r.one(r.recvOn(tcp, "10.0.0.1:40001", req("INVITE", "sip:bob@10.0.0.2;transport=tcp", "Via: SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bKconn")), "INVITE")
	good := answer(p, 200, "b")
	if q := r.one(r.recvOn(tcp, "10.0.0.2:5060", good), "200"); q.to.Flow != 7 {
		t.Errorf("the reply goes by flow %d", q.to.Flow)
	}
	i := strings.Index(good, ";i=") + 3
	bad := good[:i] + "1" + good[i+1:]
	if q := r.one(r.recvOn(tcp, "10.0.0.2:5060", bad), "200"); q.to.Flow != 0 {
		t.Errorf("a forged parameter chose flow %d", q.to.Flow)
	}
}
