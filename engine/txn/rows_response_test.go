package txn_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// forked is a rig with an INVITE under way to two or more places.
func forked(t *testing.T, uris ...string) (*rig, []packet) {
	r := newRig(t, nil)
	r.fork(uris...)
	return r, find(r.recv(uac, invite()), "INVITE")
}

// TestRow031_EachTargetItsOwnTransaction: resends and answers are apart.
func TestRow031_EachTargetItsOwnTransaction(t *testing.T) {
	r, inv := forked(t, "sip:bob@10.0.0.3")
	r.recv(uas, answer(inv[0], 100, ""))
	r.advance(600 * time.Millisecond)
	if got := list(find(r.sent[3:], "INVITE")); !slices.Equal(got, []string{"INVITE " + uas2}) {
		t.Errorf("resent %v", got)
	}
}

// TestRow032_Row034_Row052_TimerC: over 3 min; 101-199 restarts it, 100 does not;
// it fires with a CANCEL and counts as 408.
func TestRow032_Row034_Row052_TimerC(t *testing.T) {
	r, inv := forked(t)
	r.recv(uas, answer(inv[0], 100, ""))
	r.advance(100 * time.Second)
	r.recv(uas, answer(inv[0], 180, "b"))
	r.advance(100 * time.Second)
	r.recv(uas, answer(inv[0], 183, "b"))
	mark := len(r.sent)
	r.advance(180 * time.Second)
	r.want(r.sent[mark:])
	r.recv(uas, answer(inv[0], 100, ""))
	r.advance(2 * time.Second)
	r.want(r.sent[mark:], "CANCEL "+uas, "408 "+uac, "408 "+uac, "CANCEL "+uas)
	r.want(r.recv(uas, answer(inv[0], 487, "b")), "ACK "+uas)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestRow033_Row117_NoTransaction: a response to a transaction that is gone is
// dropped, 2xx above all.
func TestRow033_Row117_NoTransaction(t *testing.T) {
	r, inv := forked(t)
	r.recv(uas, answer(inv[0], 486, "b"))
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.advance(time.Minute)
	for _, code := range []int{180, 200, 486} {
		r.want(r.recv(uas, answer(inv[0], code, "b")))
	}
	r.quiet()
}

// TestRow035_OneVia: a response with no Via but ours goes nowhere.
func TestRow035_OneVia(t *testing.T) {
	r, inv := forked(t)
	lone := answer(inv[0], 180, "b")
	lone = strings.Replace(lone, "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKclient1\r\n", "", 1)
	r.want(r.recv(uas, lone))
	r.want(r.recv(uas, answer(inv[0], 180, "b")), "180 "+uac)
}

// TestRow035_ViaList: both Vias in one line.
func TestRow035_ViaList(t *testing.T) {
	r, inv := forked(t)
	vias := inv[0].all("Via")
	listed := answer(inv[0], 180, "b")
	listed = strings.Replace(listed, "Via: "+vias[0]+"\r\nVia: "+vias[1]+"\r\n", "v: "+vias[0]+" , "+vias[1]+"\r\n", 1)
	p := r.one(r.recv(uas, listed), "180")
	if got := p.all("v"); len(got) != 1 || got[0] != vias[1] {
		t.Errorf("Via %q, want %q", got, vias[1])
	}
}

// TestRow035_ViaListFolded: folds between the Vias of one line (RFC 3261 §7.3.1)
// cost no response.
func TestRow035_ViaListFolded(t *testing.T) {
	r, inv := forked(t)
	vias := inv[0].all("Via")
	folded := answer(inv[0], 180, "b")
	folded = strings.Replace(folded, "Via: "+vias[0]+"\r\nVia: "+vias[1]+"\r\n",
		"Via: "+vias[0]+",\r\n "+vias[1]+" ,\r\n\tSIP/2.0/TCP 10.0.0.8\r\n ;branch=z9hG4bKx\r\n", 1)
	p := r.one(r.recv(uas, folded), "180")
	want := vias[1] + " ,  \tSIP/2.0/TCP 10.0.0.8   ;branch=z9hG4bKx"
	if got := p.all("Via"); len(got) != 1 || got[0] != want || p.to.Addr.String() != uac {
		t.Errorf("sent to %v with Via %q, want %q", p.to.Addr, got, want)
	}
}

// TestRow036_NothingAfter6xx: others are cancelled, no new branch is made.
func TestRow036_Row041_NothingAfter6xx(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	failure := r.arm("failure_route.more", func(c *api.Ctx) {
		c.Extra = append(c.Extra, api.Target{URI: "sip:x@10.0.0.4", Q: -1})
		o = c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, failure)
			c.Extra = append(c.Extra, api.Target{URI: "sip:b@10.0.0.3", Q: -1})
		}
		return r.relay(c)
	}
	inv := find(r.recv(uac, invite()), "INVITE")
	r.recv(uas2, answer(inv[1], 180, "c"))
	r.want(r.recv(uas, answer(inv[0], 603, "b")), "ACK "+uas, "CANCEL "+uas2)
	r.want(r.recv(uas2, answer(inv[1], 404, "c")), "ACK "+uas2, "603 "+uac)
	if o.Name != "blocked" {
		t.Errorf("relay after a 6xx: %+v", o)
	}
	r.quiet()
}

// TestDisable6xxBlock takes 6xx as any other failure.
func TestDisable6xxBlock(t *testing.T) {
	cfg := rfcConfig()
	cfg.Disable6xxBlock = true
	r := newRig(t, cfg)
	r.fork("sip:bob@10.0.0.3")
	inv := find(r.recv(uac, invite()), "INVITE")
	r.recv(uas2, answer(inv[1], 180, "c"))
	r.want(r.recv(uas, answer(inv[0], 603, "b")), "ACK "+uas)
	r.want(r.recv(uas2, answer(inv[1], 200, "c")), "200 "+uac)
	r.quiet()
}

// TestRow037_Row038_Row045_Provisionals: 100 stays, 101-199 go on at once, without
// a tag of ours.
func TestRow037_Row038_Row045_Provisionals(t *testing.T) {
	r, inv := forked(t)
	r.want(r.recv(uas, answer(inv[0], 100, "")))
	p := r.one(r.recv(uas, answer(inv[0], 183, "")), "183")
	if p.toTag() != "" {
		t.Errorf("the proxy put tag %q on a relayed response", p.toTag())
	}
	r.want(r.recv(uas, answer(inv[0], 199, "b")), "199 "+uac)
}

// TestRow039_Row116_Every2xx: two forks answer, both arrive; and repeats for 32 s.
func TestRow039_Row116_Every2xx(t *testing.T) {
	r, inv := forked(t, "sip:bob@10.0.0.3")
	r.recv(uas, answer(inv[0], 180, "b"))
	r.recv(uas2, answer(inv[1], 180, "c"))
	r.want(r.recv(uas, answer(inv[0], 200, "b")), "200 "+uac, "CANCEL "+uas2)
	p := r.one(r.recv(uas2, answer(inv[1], 200, "c")), "200")
	if p.toTag() != "c" {
		t.Errorf("second 200 has tag %q", p.toTag())
	}
	for range 20 {
		r.advance(1500 * time.Millisecond)
		r.want(r.recv(uas, answer(inv[0], 200, "b")), "200 "+uac)
		r.want(r.recv(uas2, answer(inv[1], 200, "c")), "200 "+uac)
	}
	r.want(r.recv(uas, answer(inv[0], 200, "third")), "200 "+uac)
	r.advance(5 * time.Second)
	r.want(r.recv(uas, answer(inv[0], 200, "b")))
	r.quiet()
}

// TestLate2xxKeepsEdits: a 2xx repeated after the transaction has let go of its
// script leaves as the reply route left the first.
func TestLate2xxKeepsEdits(t *testing.T) {
	r := newRig(t, nil)
	runs := 0
	onreply := r.arm("onreply_route.nat", func(c *api.Ctx) {
		runs++
		if err := c.Msg.Append([]byte("X-Edit"), []byte("yes")); err != nil {
			t.Error(err)
		}
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteReply, onreply)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	first := r.one(r.recv(uas, answer(inv, 200, "b")), "200")
	if r.live.gen.refs != 0 {
		t.Error("the generation is kept behind the final response")
	}
	again := r.one(r.recv(uas, answer(inv, 200, "b")), "200")
	if first.header("X-Edit") != "yes" || string(first.raw) != string(again.raw) || runs != 1 {
		t.Errorf("%d runs, then sent\n%s", runs, again.raw)
	}
	r.quiet()
}

// TestRow040_Row042_BestResponse: no failure goes up while branches run; the lowest class
// wins.
func TestRow040_Row042_Row046_BestResponse(t *testing.T) {
	for _, tc := range []struct {
		codes []int
		want  string
	}{
		{[]int{500, 404}, "404"}, {[]int{404, 302}, "302"}, {[]int{503, 500}, "500"}, {[]int{486, 404}, "404"},
		{[]int{404, 484}, "484"}, {[]int{486, 407}, "407"}, {[]int{404, 415}, "415"}, {[]int{408, 480}, "480"}, {[]int{603, 302}, "603"},
		{[]int{401, 302}, "302"}, {[]int{484, 380}, "380"}, {[]int{484, 407}, "407"}, {[]int{400, 420}, "420"}, {[]int{503, 408}, "408"},
		{[]int{606, 401}, "606"}, {[]int{503, 401}, "401"},
	} {
		r, inv := forked(t, "sip:bob@10.0.0.3")
		r.want(r.recv(uas, answer(inv[0], tc.codes[0], "b")), "ACK "+uas)
		if tc.codes[0] >= 600 {
			r.recv(uas2, answer(inv[1], 180, "c"))
		}
		out := r.recv(uas2, answer(inv[1], tc.codes[1], "c"))
		r.want(out, "ACK "+uas2, tc.want+" "+uac)
	}
}

// TestRow043_Lone503: becomes 500 upstream.
func TestRow043_Lone503(t *testing.T) {
	r, inv := forked(t)
	p := r.one(r.recv(uas, answer(inv[0], 503, "b")), "500")
	if string(p.m.Reason()) != "Server Internal Error" || p.toTag() != "b" {
		t.Errorf("sent %s", p.raw)
	}
	r.quiet()
}

// TestRow043_TransportError: the 503 that a failed connection counts as is no less a
// lone one.
func TestRow043_TransportError(t *testing.T) {
	r := newRig(t, nil)
	p := r.one(r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;transport=tcp")), "INVITE")
	mark := len(r.sent)
	p.obs.SendFailed(errName)
	r.run()
	r.want(r.sent[mark:], "500 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestRow044_NoAnswer: nobody answers: 408.
func TestRow044_NoAnswer(t *testing.T) {
	r, _ := forked(t, "sip:bob@10.0.0.3")
	r.advance(33 * time.Second)
	r.one(r.sent[:len(find(r.sent, "INVITE"))+2], "408")
	r.quiet()
}

// TestRow047_Challenges: all of them, unchanged.
func TestRow047_Challenges(t *testing.T) {
	r, inv := forked(t, "sip:bob@10.0.0.3", "sip:bob@10.0.0.4")
	r.recv(uas, answer(inv[0], 401, "b", `WWW-Authenticate: Digest  realm="a", nonce="1"`))
	r.recv(uas2, answer(inv[1], 407, "c", `Proxy-Authenticate: Digest realm="b",nonce="2"`, `Proxy-Authenticate: Digest realm="b2"`))
	p := r.one(r.recv(uas3, answer(inv[2], 404, "d", `WWW-Authenticate: Digest realm="no"`)), "401")
	if got := p.all("WWW-Authenticate"); !slices.Equal(got, []string{`Digest  realm="a", nonce="1"`}) {
		t.Errorf("WWW-Authenticate %q", got)
	}
	if got := p.all("Proxy-Authenticate"); !slices.Equal(got, []string{`Digest realm="b",nonce="2"`, `Digest realm="b2"`}) {
		t.Errorf("Proxy-Authenticate %q", got)
	}
}

// TestRow048_ResponseUntouched: body and headers as they came.
func TestRow048_ResponseUntouched(t *testing.T) {
	r, inv := forked(t)
	odd := "X-Odd :  \"q\" ;; z\r\n"
	in := strings.Replace(answer(inv[0], 200, "b"), "Content-Length: 0\r\n\r\n", odd+"l: 5\r\n\r\na\x00b\xff\n", 1)
	p := r.one(r.recv(uas, in), "200")
	via := "Via: " + inv[0].all("Via")[0] + "\r\n"
	if want := strings.Replace(in, via, "", 1); string(p.raw) != want {
		t.Errorf("sent\n%q\nwant\n%q", p.raw, want)
	}
}

// TestRow049_LosersCancelled, with the reason.
func TestRow049_LosersCancelled(t *testing.T) {
	r, inv := forked(t, "sip:bob@10.0.0.3", "sip:bob@10.0.0.4")
	for i, p := range inv[:2] {
		r.recv(p.to.Addr.String(), answer(p, 180, "t"+string(rune('0'+i))))
	}
	out := r.recv(uas, answer(inv[0], 200, "b"))
	r.want(out, "200 "+uac, "CANCEL "+uas2)
	if got := out[1].header("Reason"); !strings.HasPrefix(got, "SIP;cause=200") {
		t.Errorf("Reason %q", got)
	}
	r.want(r.recv(uas3, answer(inv[2], 180, "d")), "CANCEL "+uas3)
	r.want(r.recv(uas3, answer(inv[2], 487, "d")), "ACK "+uas3)
	r.want(r.recv(uas2, answer(inv[1], 487, "c")), "ACK "+uas2)
	r.quiet()
}

// TestRow053_TransportError: as a 503; a failure route tries the next target.
func TestRow053_TransportError(t *testing.T) {
	r := newRig(t, nil)
	code, local := 0, false
	next := r.arm("failure_route.next", func(c *api.Ctx) {
		code, local = c.ReplyCode, c.Tx.LocalReplied("last")
		if err := c.Msg.SetRequestURI([]byte("sip:bob@10.0.0.3")); err != nil {
			t.Error(err)
		}
		c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, next)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;transport=tcp")), "INVITE")
	mark := len(r.sent)
	inv.obs.SendFailed(errName)
	r.run()
	r.want(r.sent[mark:], "INVITE "+uas2)
	if code != 503 || !local {
		t.Errorf("failure route saw %d, local %v", code, local)
	}
	r.recv(uas2, answer(r.sent[mark], 486, "b"))
	r.one(r.sent, "486")
	r.quiet()
}

// TestSendFailsAtOnce: Relay tells, and the script answers.
func TestSendFailsAtOnce(t *testing.T) {
	r := newRig(t, nil)
	r.refuse = func(d api.Dest) error {
		if d.Addr.String() == uas {
			return errName
		}
		return nil
	}
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict {
		if o = r.doRelay(c); !o.OK() {
			r.tx(c).Reply(c, 500, "", nil)
		}
		return api.VerdictNone
	}
	r.want(r.recv(uac, invite()), "100 "+uac, "500 "+uac)
	if o.Name != "send_failed" || o.Code != -6 {
		t.Errorf("outcome %+v", o)
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestRow102_Failover: timeout, 503 and a transport error go to the next place of
// the name, by a new branch and without the script.
func TestRow102_Failover(t *testing.T) {
	r := newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas), hop(uas2), hop(uas3)}
	first := r.one(r.recv(uac, req("INVITE", "sip:bob@pool.test")), "INVITE")
	out := r.recv(uas, answer(first, 503, "b"))
	r.want(out, "ACK "+uas, "INVITE "+uas2)
	second := out[1]
	mark := len(r.sent)
	r.advance(33 * time.Second)
	third := r.sent[len(r.sent)-1]
	r.want(find(r.sent[mark:], "408"))
	if third.to.Addr.String() != uas3 || third.branch() == second.branch() || second.branch() == first.branch() {
		t.Fatalf("third try: %v", list(r.sent[mark:]))
	}
	r.want(r.recv(uas3, answer(third, 200, "d")), "200 "+uac)
	r.quiet()
}

// TestNoFailover: the flag and a provisional forbid it.
func TestNoFailover(t *testing.T) {
	r := newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas), hop(uas2)}
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.tx(c).Relay(c, api.RelayNoDNSFailover)
		return api.VerdictNone
	}
	inv := r.one(r.recv(uac, req("INVITE", "sip:bob@pool.test")), "INVITE")
	r.want(r.recv(uas, answer(inv, 503, "b")), "ACK "+uas, "500 "+uac)
}

func hop(addr string) api.Hop {
	return api.Hop{Proto: api.ProtoUDP, Addr: socket(0, api.ProtoUDP, addr).Addr}
}

// TestRow066_Row067_Ack: same branch, one Via, To tag of the response, Route kept;
// each repeated final gets one, for 32 s.
func TestRow066_Row067_Ack(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite("Route: <sip:10.0.0.2;lr>")), "INVITE")
	ack := r.one(r.recv(uas, answer(inv, 486, "b")), "ACK")
	if ack.branch() != inv.branch() || len(ack.all("Via")) != 1 || ack.toTag() != "b" || ack.header("Route") != "<sip:10.0.0.2;lr>" ||
		ack.header("CSeq") != "1 ACK" || string(ack.m.RequestURI()) != string(inv.m.RequestURI()) {
		t.Errorf("ACK\n%s", ack.raw)
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	for range 15 {
		r.advance(2 * time.Second)
		again := r.one(r.recv(uas, answer(inv, 486, "b")), "ACK")
		if string(again.raw) != string(ack.raw) {
			t.Errorf("repeated ACK differs\n%s", again.raw)
		}
	}
	r.advance(5 * time.Second)
	r.want(r.recv(uas, answer(inv, 486, "b")))
	r.quiet()
}

// TestRow067_StreamAck: nothing is kept for a stream.
func TestRow067_Row069_StreamKeepsNothing(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recvOn(r.socks[1], uac, req("INVITE", "sip:bob@10.0.0.2;transport=tcp", "Via: SIP/2.0/TCP 10.0.0.1:5060;branch=z9hG4bKs")), "INVITE")
	r.recvOn(r.socks[1], uas, answer(inv, 486, "b"))
	r.recvOn(r.socks[1], uac, req("ACK", "sip:bob@10.0.0.2", "Via: SIP/2.0/TCP 10.0.0.1:5060;branch=z9hG4bKs"))
	r.advance(20 * time.Millisecond)
	if n := r.l.Lingering(); n != 0 {
		t.Errorf("%d lingering", n)
	}
	o := r.one(r.recvOn(r.socks[1], uac, req("OPTIONS", "sip:bob@10.0.0.2;transport=tcp", "Via: SIP/2.0/TCP 10.0.0.1:5060;branch=z9hG4bKo")), "OPTIONS")
	r.recvOn(r.socks[1], uas, answer(o, 200, "b"))
	r.advance(20 * time.Millisecond)
	if n := r.l.Lingering(); n != 0 {
		t.Errorf("%d lingering after OPTIONS", n)
	}
	r.quiet()
}

// TestRow070_MatchByCSeqMethod.
func TestRow070_MatchByCSeqMethod(t *testing.T) {
	r, inv := forked(t)
	r.want(r.recv(uas, strings.Replace(answer(inv[0], 200, "b"), "1 INVITE", "1 OPTIONS", 1)))
	r.want(r.recv(uas, answer(inv[0], 200, "b")), "200 "+uac)
}

// TestRow079_ForeignSentBy is dropped, as is a branch that is not ours.
func TestRow079_Row059_ForeignVia(t *testing.T) {
	r, inv := forked(t)
	ok := answer(inv[0], 180, "b")
	r.want(r.recv(uas, strings.Replace(ok, "UDP "+ours, "UDP 10.9.9.9:5060", 1)))
	r.want(r.recv(uas, strings.Replace(ok, inv[0].branch(), "z9hG4bKguess", 1)))
	b := []byte(inv[0].branch())
	for i := len(sip.BranchCookie); i < len(b); i++ {
		forged := slices.Clone(b)
		if forged[i]++; forged[i] == ':' {
			forged[i] = 'a'
		}
		r.want(r.recv(uas, strings.Replace(ok, string(b), string(forged), 1)))
	}
	r.want(r.recv(uas, strings.Replace(ok, string(b), sip.BranchCookie+strings.ToUpper(string(b[7:])), 1)), "180 "+uac)
}

// TestRow107_Row108_Row109_NonInvite (RFC 4320): no 408, no provisional but 100 and that
// late, no late final.
func TestRow107_Row108_Row109_NonInvite(t *testing.T) {
	r := newRig(t, nil)
	o := r.one(r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2")), "OPTIONS")
	r.want(r.recv(uas, answer(o, 183, "b")))
	r.advance(3400 * time.Millisecond)
	r.want(find(r.sent, "100"))
	r.advance(200 * time.Millisecond)
	r.want(find(r.sent, "100"), "100 "+uac)
	r.advance(40 * time.Second)
	r.want(find(r.sent, "408"))
	r.want(r.recv(uas, answer(o, 200, "b")))
	r.quiet()
}

// TestReplyRoutes: main, then the branch's, then the transaction's; drop of a
// provisional; an error leaves the reply as it came.
func TestReplyRoutes(t *testing.T) {
	r := newRig(t, nil)
	var order []string
	r.live.reply = func(c *api.Ctx) api.Verdict {
		order = append(order, "main")
		if c.Request == nil || c.Branch != 0 || c.Tx == nil {
			t.Errorf("reply context %+v", c)
		}
		return api.VerdictNone
	}
	all := r.arm("onreply_route.all", func(c *api.Ctx) { order = append(order, c.Route) })
	each := r.arm("onreply_route.each", func(c *api.Ctx) { order = append(order, c.Route) })
	branch := r.arm("branch_route.b", func(c *api.Ctx) { c.Tx.Arm(c, api.RouteReply, each) })
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			tx := r.tx(c)
			tx.Arm(c, api.RouteReply, all)
			tx.Arm(c, api.RouteBranch, branch)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uas, answer(inv, 180, "b")), "180 "+uac)
	if got := strings.Join(order, " "); got != "main each all" {
		t.Errorf("ran %q", got)
	}
	all.fn = func(c *api.Ctx) api.Verdict { return api.VerdictDrop }
	r.want(r.recv(uas, answer(inv, 183, "b")))
	all.fn = func(c *api.Ctx) api.Verdict {
		if err := c.Msg.Append([]byte("X-Half"), []byte("done")); err != nil {
			t.Error(err)
		}
		return api.VerdictError
	}
	if p := r.one(r.recv(uas, answer(inv, 183, "b")), "183"); p.header("X-Half") != "" {
		t.Error("edits of a failed run were sent")
	}
	all.fn = func(c *api.Ctx) api.Verdict { return api.VerdictDrop }
	r.want(r.recv(uas, answer(inv, 200, "b")), "200 "+uac)
	r.quiet()
}

// TestEditedFailureGoesUp: a reply route's edits of a losing response are in what goes
// upstream.
func TestEditedFailureGoesUp(t *testing.T) {
	r := newRig(t, nil)
	r.live.reply = func(c *api.Ctx) api.Verdict {
		if err := c.Msg.Append([]byte("X-Seen"), []byte("1")); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	if p := r.one(r.recv(uas, answer(inv, 404, "b")), "404"); p.header("X-Seen") != "1" {
		t.Errorf("sent %s", p.raw)
	}
}

// TestQueueFull: a response that finds no room is as good as lost, and its
// repetition is taken.
func TestQueueFull(t *testing.T) {
	r := newRig(t, nil)
	r.live.reply = func(*api.Ctx) api.Verdict { return api.VerdictNone }
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.full = true
	r.want(r.recv(uas, answer(inv, 486, "b")))
	r.full = false
	r.want(r.recv(uas, answer(inv, 486, "b")), "ACK "+uas, "486 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestSerialFork: three rounds by failure routes, each re-armed; then the last reply
// goes up.
func TestSerialFork(t *testing.T) {
	r := newRig(t, nil)
	targets := []string{"sip:bob@10.0.0.3", "sip:bob@10.0.0.4"}
	var seen []string
	var failure *handler
	failure = r.arm("failure_route.next", func(c *api.Ctx) {
		seen = append(seen, string(c.Msg.RequestURI()))
		if c.Reply == nil || c.ReplyCode != c.Reply.StatusCode() {
			t.Errorf("reply %v code %d", c.Reply, c.ReplyCode)
		}
		if len(targets) == 0 {
			return
		}
		if err := c.Msg.SetRequestURI([]byte(targets[0])); err != nil {
			t.Error(err)
		}
		targets = targets[1:]
		c.Tx.Arm(c, api.RouteFailure, failure)
		if o := c.Tx.Relay(c, 0); !o.OK() {
			t.Errorf("relay %+v", o)
		}
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			if err := c.Msg.Append([]byte("X-Script"), []byte("1")); err != nil {
				t.Error(err)
			}
			r.tx(c).Arm(c, api.RouteFailure, failure)
		}
		return r.relay(c)
	}
	p := r.one(r.recv(uac, invite()), "INVITE")
	for i, where := range []string{uas, uas2} {
		out := r.recv(where, answer(p, 486-i, "b"))
		p = r.one(out, "INVITE")
		if len(p.all("Via")) != 2 || len(p.all("X-Script")) != 1 || p.header("Max-Forwards") != "69" {
			t.Errorf("round %d:\n%s", i, p.raw)
		}
	}
	r.want(r.recv(uas3, answer(p, 480, "b")), "ACK "+uas3, "480 "+uac)
	want := "sip:bob@10.0.0.2 sip:bob@10.0.0.3 sip:bob@10.0.0.4"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("failure routes saw %q, want %q", got, want)
	}
	if r.live.gen.refs != 0 {
		t.Error("generation kept")
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestFailureRouteReplies: then the winning response does not go up.
func TestFailureRouteReplies(t *testing.T) {
	r := newRig(t, nil)
	failure := r.arm("failure_route.answer", func(c *api.Ctx) { c.Tx.Reply(c, 480, "Later", nil) })
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, failure)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uas, answer(inv, 486, "b")), "ACK "+uas, "480 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}
