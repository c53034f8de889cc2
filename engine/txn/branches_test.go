package txn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// TestResolveParallel: names of a fork are asked for in one park; one that does not
// resolve counts as 503.
func TestResolveParallel(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:b@slow2.test", "sip:b@nowhere.test")
	r.slow["slow1.test"], r.slow["slow2.test"] = []api.Hop{hop(uas)}, []api.Hop{hop(uas2)}
	parks := 0
	r.onPark = func() { parks++ }
	out := r.recv(uac, req("INVITE", "sip:bob@slow1.test"))
	r.want(out, "100 "+uac, "INVITE "+uas, "INVITE "+uas2)
	if parks != 1 {
		t.Errorf("%d parks", parks)
	}
	r.recv(uas, answer(out[1], 404, "b"))
	r.want(r.recv(uas2, answer(out[2], 486, "c")), "ACK "+uas2, "404 "+uac)
	r.recv(uac, req("ACK", "sip:bob@slow1.test"))
	r.quiet()
}

// TestUnresolved: none resolves: false, and the script answers.
func TestUnresolved(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict {
		if o = r.doRelay(c); !o.OK() {
			r.tx(c).Reply(c, 478, "", nil)
		}
		return api.VerdictNone
	}
	r.want(r.recv(uac, req("INVITE", "sip:bob@nowhere.test")), "478 "+uac)
	if o.Name != "unresolved" || o.Code != -4 {
		t.Errorf("outcome %+v", o)
	}
	r.recv(uac, req("ACK", "sip:bob@nowhere.test"))
	r.quiet()
}

// TestBranchRoute: what it writes changes that branch alone, and it fires once.
func TestBranchRoute(t *testing.T) {
	r := newRig(t, nil)
	runs := 0
	each := r.arm("branch_route.each", func(c *api.Ctx) {
		runs++
		if c.Kind != api.RouteBranch || c.Route != "each" {
			t.Errorf("kind %v route %q", c.Kind, c.Route)
		}
		if err := c.Msg.Set([]byte("X-Branch"), []byte{byte('0' + c.Branch)}); err != nil {
			t.Error(err)
		}
		if c.Branch == 1 {
			c.Target.Duri = "sip:10.0.0.4"
			c.Target.Flags = 5
		}
	})
	raised := &handler{name: "branch_route.bad", gen: r.live.gen, fn: func(c *api.Ctx) api.Verdict {
		if c.Branch == 1 {
			return api.VerdictError
		}
		return api.VerdictNone
	}}
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		tx.Arm(c, api.RouteBranch, each)
		c.Extra = append(c.Extra, api.Target{URI: "sip:b@10.0.0.3", Q: -1})
		tx.Relay(c, 0)
		if b, ok := tx.BranchInfo(1); !ok || b.Target.Flags != 5 || b.Target.URI != "sip:b@10.0.0.3" || b.Dest.Addr.String() != uas3 || b.Final {
			t.Errorf("branch 1: %+v %v", b, ok)
		}
		if _, ok := tx.BranchInfo(2); ok || tx.NumBranches() != 2 {
			t.Error("a third branch")
		}
		return api.VerdictNone
	}
	out := find(r.recv(uac, invite()), "INVITE")
	r.want(out, "INVITE "+uas, "INVITE "+uas3)
	if out[0].header("X-Branch") != "0" || out[1].header("X-Branch") != "1" || runs != 2 {
		t.Errorf("%d runs\n%s", runs, dump(out))
	}
	r.quiet()
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.tx(c).Arm(c, api.RouteBranch, raised)
		c.Extra = append(c.Extra, api.Target{URI: "sip:b@10.0.0.3", Q: -1})
		return r.relay(c)
	}
	r.want(find(r.recv(uac, invite("CSeq: 9 INVITE")), "INVITE"), "INVITE "+uas)
	r.quiet()
}

// TestHooksAndHeaders: hooks see the socket; AddHeaders is on every branch, and a
// resend is the same.
func TestHooksAndHeaders(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		c.State.AddOnSend(func(_ *api.State, d *sip.Draft, in, out *api.Socket) {
			if err := d.Prepend(sip.HdrRecordRoute, []byte("<sip:"+out.SentBy+";transport="+out.Proto.String()+";lr>")); err != nil {
				t.Error(err)
			}
		})
		if err := tx.AddHeaders([]byte("X-All: 1\r\n")); err != nil {
			t.Error(err)
		}
		if tx.AddHeaders([]byte("not a line")) == nil {
			t.Error("a broken line was taken")
		}
		return r.relay(c)
	}
	p := r.one(r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;transport=tcp")), "INVITE")
	if p.header("Record-Route") != "<sip:"+ours+";transport=tcp;lr>" || p.header("X-All") != "1" {
		t.Errorf("sent\n%s", p.raw)
	}
	r.quiet()
}

// TestTimeoutsByScript: fr_timeout and fr_inv_timeout of one transaction.
func TestTimeoutsByScript(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		if tx.FrTimeout() != 32*time.Second || tx.FrInvTimeout() != 181*time.Second {
			t.Errorf("defaults %v %v", tx.FrTimeout(), tx.FrInvTimeout())
		}
		tx.SetFrTimeout(5 * time.Second)
		tx.SetFrInvTimeout(20 * time.Second)
		return r.relay(c)
	}
	r.recv(uac, invite())
	r.advance(4900 * time.Millisecond)
	r.want(find(r.sent, "408"))
	r.advance(200 * time.Millisecond)
	r.one(r.sent, "408")
	inv := r.one(r.recv(uac, invite("CSeq: 2 INVITE", "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2")), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	r.advance(20100 * time.Millisecond)
	r.one(r.sent, "CANCEL")
	r.recv(uas, answer(inv, 487, "b"))
	r.quiet()
}

// TestNoAnswerNextTarget: no answer goes on to voicemail without waiting for the 487.
func TestNoAnswerNextTarget(t *testing.T) {
	cfg := rfcConfig()
	cfg.FrInvTimeout = 10 * time.Second
	r := newRig(t, cfg)
	code := 0
	failure := r.arm("failure_route.voicemail", func(c *api.Ctx) {
		code = c.ReplyCode
		if c.Reply != nil {
			t.Error("a local timeout has no reply")
		}
		if err := c.Msg.SetRequestURI([]byte("sip:vm@10.0.0.4")); err != nil {
			t.Error(err)
		}
		c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, failure)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	mark := len(r.sent)
	r.advance(10020 * time.Millisecond)
	r.want(r.sent[mark:], "CANCEL "+uas, "INVITE "+uas3)
	if code != 408 {
		t.Errorf("code %d", code)
	}
	vm := r.sent[mark+1]
	r.want(r.recv(uas, answer(inv, 487, "b")), "ACK "+uas)
	r.want(r.recv(uas3, answer(vm, 200, "v")), "200 "+uac)
	r.quiet()
}

// TestMaxBranches bounds a transaction.
func TestMaxBranches(t *testing.T) {
	cfg := rfcConfig()
	cfg.MaxBranches = 2
	r := newRig(t, cfg)
	var o api.Outcome
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.Extra = append(c.Extra, api.Target{URI: "sip:b@10.0.0.3", Q: -1}, api.Target{URI: "sip:b@10.0.0.4", Q: -1})
		o = r.doRelay(c)
		r.tx(c).Reply(c, 500, "", nil)
		return api.VerdictNone
	}
	r.want(r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2")), "500 "+uac)
	if o.Name != "too_many_branches" {
		t.Errorf("outcome %+v", o)
	}
	r.quiet()
}

// TestInject: a transaction that waits takes branches later; the first answer wins.
func TestInject(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx = r.tx(c)
		if o := tx.WaitForBranches(2); !o.OK() {
			t.Errorf("wait: %+v", o)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uas, answer(inv, 404, "b")), "ACK "+uas)
	c := r.NewCtx(api.RouteRequest)
	mark := len(r.sent)
	if o := tx.Inject(c, []api.Target{{URI: "sip:b@10.0.0.3", Q: -1}}, false); !o.OK() {
		t.Fatalf("inject: %+v", o)
	}
	r.FreeCtx(c)
	r.want(r.sent[mark:], "INVITE "+uas2)
	p := r.sent[mark]
	if p.header("Max-Breadth") == "" || len(p.all("Via")) != 2 {
		t.Errorf("injected\n%s", p.raw)
	}
	r.want(r.recv(uas2, answer(p, 486, "c")), "ACK "+uas2)
	mark = len(r.sent)
	if o := tx.WaitNoMore(); !o.OK() {
		t.Errorf("no more: %+v", o)
	}
	r.want(r.sent[mark:], "404 "+uac)
	if o := tx.WaitNoMore(); o.OK() {
		t.Error("waited no more twice")
	}
	r.quiet()
}

// TestWaitEnds: a wait for nothing ends with fr_inv_timeout, as 408 that a failure route sees.
func TestWaitEnds(t *testing.T) {
	cfg := rfcConfig()
	cfg.FrInvTimeout = 7 * time.Second
	r := newRig(t, cfg)
	code := 0
	failure := r.arm("failure_route.none", func(c *api.Ctx) { code = c.ReplyCode })
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		tx.Arm(c, api.RouteFailure, failure)
		tx.WaitForBranches(0)
		return api.VerdictNone
	}
	r.recv(uac, invite())
	r.advance(7100 * time.Millisecond)
	r.one(r.sent, "408")
	if code != 408 {
		t.Errorf("failure route saw %d", code)
	}
	r.quiet()
}

// TestInjectCancelsOthers.
func TestInjectCancelsOthers(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx = r.tx(c)
		tx.WaitForBranches(1)
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	c := r.NewCtx(api.RouteRequest)
	mark := len(r.sent)
	tx.Inject(c, []api.Target{{URI: "sip:b@10.0.0.3", Q: -1}}, true)
	r.FreeCtx(c)
	r.want(r.sent[mark:], "CANCEL "+uas, "INVITE "+uas2)
	p := r.sent[mark+1]
	r.recv(uas, answer(inv, 487, "b"))
	r.want(r.recv(uas2, answer(p, 200, "c")), "200 "+uac)
	r.quiet()
}

// TestReplicate: the copy is never answered upstream.
func TestReplicate(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		if o := tx.Replicate(c, "sip:10.0.0.3", 0); !o.OK() {
			t.Errorf("replicate: %+v", o)
		}
		tx.Reply(c, 200, "", nil)
		return api.VerdictNone
	}
	out := r.recv(uac, req("REGISTER", "sip:proxy.test"))
	r.want(out, "REGISTER "+uas2, "200 "+uac)
	r.want(r.recv(uas2, answer(out[0], 403, "x")))
	r.quiet()
}

// TestNewRequest: From tag, Call-ID, Via and Max-Forwards are ours; the asker hears of the end.
func TestNewRequest(t *testing.T) {
	cfg := rfcConfig()
	cfg.UserAgent = "luasips"
	r := newRig(t, cfg)
	c := r.NewCtx(api.RouteTimer)
	defer r.FreeCtx(c)
	var codes []int
	ask := func(ruri string) error {
		return r.l.NewRequest(c, &api.NewRequest{Method: "MESSAGE", RURI: ruri, From: "sip:p@proxy.test", To: "\"B\" <sip:b@x.test>",
			Body: []byte("hi"), CType: "text/plain", Headers: []byte("X-A: 1\r\n"), Done: func(code int) { codes = append(codes, code) }})
	}
	if err := ask("sip:b@10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	p := r.one(r.sent, "MESSAGE")
	if len(p.all("Via")) != 1 || p.header("Max-Forwards") != "70" || !strings.HasPrefix(p.header("From"), "<sip:p@proxy.test>;tag=") ||
		p.header("X-A") != "1" || string(p.m.Body()) != "hi" || p.header("User-Agent") != "luasips" || p.header("CSeq") != "1 MESSAGE" {
		t.Errorf("sent\n%s", p.raw)
	}
	r.want(r.recv(uas, answer(p, 202, "b")))
	if err := ask("sip:b@10.0.0.2"); err != nil {
		t.Fatal(err)
	}
	if q := r.sent[len(r.sent)-1]; q.header("Call-ID") == p.header("Call-ID") || q.branch() == p.branch() {
		t.Error("two requests, one Call-ID or branch")
	}
	r.advance(33 * time.Second)
	r.slow["late.test"] = []api.Hop{hop(uas2)}
	if err := ask("sip:b@late.test"); err != nil {
		t.Fatal(err)
	}
	r.run()
	q := r.sent[len(r.sent)-1]
	r.want([]packet{q}, "MESSAGE "+uas2)
	r.want(r.recv(uas2, answer(q, 404, "b")))
	if err := ask("sip:b@never.test"); err != nil {
		t.Fatal(err)
	}
	r.run()
	if got := len(codes); got != 4 || codes[0] != 202 || codes[1] != 408 || codes[2] != 404 || codes[3] != 503 {
		t.Errorf("codes %v", codes)
	}
	for _, m := range []string{"ACK", "CANCEL"} {
		if r.l.NewRequest(c, &api.NewRequest{Method: m, RURI: "sip:b@10.0.0.2", From: "sip:a@a", To: "sip:b@b"}) == nil {
			t.Errorf("%s was sent", m)
		}
	}
	if r.l.NewRequest(c, &api.NewRequest{Method: "OPTIONS", RURI: "sip:b@10.0.0.2 x", From: "sip:a@a", To: "sip:b@b"}) == nil {
		t.Error("a broken Request-URI was taken")
	}
	r.ctxs--
	r.quiet()
	r.ctxs++
}

// TestLocalRoute edits, drops, or fails without effect.
func TestLocalRoute(t *testing.T) {
	r := newRig(t, nil)
	verdict := api.VerdictNone
	r.live.local = func(c *api.Ctx) api.Verdict {
		if c.Kind != api.RouteLocal || c.Msg.Has(sip.HdrVia) {
			t.Errorf("kind %v", c.Kind)
		}
		if err := c.Msg.Set([]byte("X-Local"), []byte("1")); err != nil {
			t.Error(err)
		}
		c.Target.Duri = "sip:10.0.0.3"
		return verdict
	}
	ask := func() []packet {
		mark := len(r.sent)
		if err := r.l.NewRequest(nil, &api.NewRequest{Method: "OPTIONS", RURI: "sip:b@10.0.0.2", From: "sip:a@a.test", To: "sip:b@b.test"}); err != nil {
			t.Fatal(err)
		}
		return r.sent[mark:]
	}
	out := ask()
	r.want(out, "OPTIONS "+uas2)
	if out[0].header("X-Local") != "1" {
		t.Error("the edit was lost")
	}
	verdict = api.VerdictDrop
	r.want(ask())
	verdict = api.VerdictError
	out = ask()
	r.want(out, "OPTIONS "+uas)
	if out[0].header("X-Local") != "" {
		t.Error("edits of a failed run were sent")
	}
	r.recv(uas, answer(out[0], 200, "b"))
	r.quiet()
}

// TestBranchValues: $bavp, flags and attributes of a branch.
func TestBranchValues(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx = r.tx(c)
		c.Target.Attrs = map[string]any{"a": "1"}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	tx.SetBranchAVP(0, "x", "y")
	tx.SetBranchFlags(0, 3)
	tx.SetBranchAttr(0, "b", 2.0)
	tx.SetBranchAttr(0, "a", nil)
	if b, _ := tx.BranchInfo(0); tx.BranchAVP(0, "x") != "y" || b.Target.Flags != 3 || b.Target.Attrs["b"] != 2.0 || len(b.Target.Attrs) != 1 {
		t.Errorf("branch %+v", b)
	}
	tx.SetBranchAVP(0, "x", nil)
	tx.SetBranchAVP(9, "x", 1.0)
	if tx.BranchAVP(0, "x") != nil || tx.BranchAVP(9, "x") != nil {
		t.Error("values that should not be")
	}
	if tx.ID() == "" || tx.Request() == nil || tx.Source().Remote.String() != uac || tx.State() == nil {
		t.Error("a live transaction hides what it has")
	}
	r.recv(uas, answer(inv, 200, "b"))
	if tx.Request() != nil || tx.State() != nil || tx.BranchAVP(0, "x") != nil || tx.Status() != 200 {
		t.Error("a lingering transaction still has what it gave up")
	}
	if o := tx.Reply(nil, 200, "", nil); o.OK() {
		t.Error("answered twice")
	}
	r.quiet()
}

// TestMinorBranch: the decision does not wait for one, which is cancelled then.
func TestMinorBranch(t *testing.T) {
	cfg := rfcConfig()
	cfg.MinorBranch = 1 << 4
	r := newRig(t, cfg)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			c.Extra = append(c.Extra, api.Target{URI: "sip:b@10.0.0.3", Q: -1, Flags: 1 << 4})
		}
		return r.relay(c)
	}
	inv := find(r.recv(uac, invite()), "INVITE")
	r.recv(uas2, answer(inv[1], 180, "c"))
	r.want(r.recv(uas, answer(inv[0], 486, "b")), "ACK "+uas, "486 "+uac, "CANCEL "+uas2)
	r.want(r.recv(uas2, answer(inv[1], 487, "c")), "ACK "+uas2)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestInjectKeepsEdits: what the request route wrote is on branches that come later, even
// when it relayed nothing; the failure route that waits while its branch fails goes on.
func TestInjectKeepsEdits(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() != sip.INVITE {
			return r.relay(c)
		}
		tx = r.tx(c)
		if err := c.Msg.Append([]byte("X-Script"), []byte("1")); err != nil {
			t.Error(err)
		}
		tx.WaitForBranches(1)
		return api.VerdictNone
	}
	r.recv(uac, invite())
	c := r.NewCtx(api.RouteEvent)
	mark := len(r.sent)
	tx.Inject(c, []api.Target{{URI: "sip:b@10.0.0.3", Q: -1}}, false)
	r.FreeCtx(c)
	p := r.one(r.sent[mark:], "INVITE")
	if p.header("X-Script") != "1" || string(p.m.RequestURI()) != "sip:b@10.0.0.3" {
		t.Errorf("injected\n%s", p.raw)
	}
	r.want(r.recv(uas2, answer(p, 486, "b")), "ACK "+uas2, "486 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestFailureRouteParks: its branch fails while it waits; the route that it armed runs then.
func TestFailureRouteParks(t *testing.T) {
	r := newRig(t, nil)
	var codes []int
	second := r.arm("failure_route.second", func(c *api.Ctx) { codes = append(codes, c.ReplyCode) })
	first := r.arm("failure_route.first", func(c *api.Ctx) {
		codes = append(codes, c.ReplyCode)
		if err := c.Msg.SetRequestURI([]byte("sip:b@10.0.0.3")); err != nil {
			t.Error(err)
		}
		c.Tx.Arm(c, api.RouteFailure, second)
		mark := len(r.sent)
		c.Tx.Relay(c, 0)
		p := r.one(r.sent[mark:], "INVITE")
		r.onPark = func() { r.recv(uas2, answer(p, 404, "c")) }
		r.Park(c, func() {})
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, first)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 486, "b"))
	r.one(r.sent, "404")
	if len(codes) != 2 || codes[0] != 486 || codes[1] != 404 {
		t.Errorf("failure routes saw %v", codes)
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestFailureRouteJudgesWhatItTried: 480 then 486 shows the second failure
// route the 486, although RFC 3261 would call the 480 as good; 486 goes
// upstream.
func TestFailureRouteJudgesWhatItTried(t *testing.T) {
	r := newRig(t, nil)
	var codes []int
	second := r.arm("failure_route.second", func(c *api.Ctx) { codes = append(codes, c.ReplyCode) })
	first := r.arm("failure_route.first", func(c *api.Ctx) {
		codes = append(codes, c.ReplyCode)
		if err := c.Msg.SetRequestURI([]byte("sip:b@10.0.0.3")); err != nil {
			t.Error(err)
		}
		c.Tx.Arm(c, api.RouteFailure, second)
		c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, first)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	next := r.one(r.recv(uas, answer(inv, 480, "b")), "INVITE")
	r.one(r.recv(uas2, answer(next, 486, "c")), "486")
	if len(codes) != 2 || codes[0] != 480 || codes[1] != 486 {
		t.Errorf("failure routes saw %v", codes)
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}
