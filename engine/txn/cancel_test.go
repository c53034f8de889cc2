package txn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

func cancelReq(lines ...string) string { return req("CANCEL", "sip:bob@10.0.0.2", lines...) }

// TestRow054_Row050_Row051_Cancel: 200 at once, a CANCEL per branch once it has a
// provisional, 487 from the user agent.
func TestRow054_Row050_Row051_Cancel(t *testing.T) {
	r := newRig(t, nil)
	r.fork("sip:bob@10.0.0.3")
	inv := find(r.recv(uac, invite("Route: -")), "INVITE")
	r.recv(uas, answer(inv[0], 180, "b"))
	out := r.recv(uac, cancelReq())
	r.want(out, "200 "+uac, "CANCEL "+uas)
	c := out[1]
	if c.branch() != inv[0].branch() || len(c.all("Via")) != 1 || c.header("CSeq") != "1 CANCEL" ||
		string(c.m.RequestURI()) != string(inv[0].m.RequestURI()) || c.header("To") != inv[0].header("To") || c.header("Reason") != "" {
		t.Errorf("CANCEL\n%s", c.raw)
	}
	r.want(r.recv(uac, cancelReq()), "200 "+uac)
	r.want(r.recv(uas2, answer(inv[1], 100, "")), "CANCEL "+uas2)
	r.want(r.recv(uas, answer(c, 200, "b")))
	r.want(r.recv(uas, answer(inv[0], 487, "b")), "ACK "+uas)
	r.want(r.recv(uas2, answer(inv[1], 487, "c")), "ACK "+uas2, "487 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestCancelledIs487: a caller who cancelled hears 487 when a branch says so,
// though another failed by itself; a 6xx is still chosen before.
func TestCancelledIs487(t *testing.T) {
	for _, tc := range []struct {
		code int
		want string
	}{{486, "487"}, {401, "487"}, {503, "487"}, {302, "302"}, {603, "603"}} {
		r, inv := forked(t, "sip:bob@10.0.0.3")
		r.recv(uas, answer(inv[0], 180, "b"))
		r.recv(uas2, answer(inv[1], 180, "c"))
		r.recv(uac, cancelReq())
		r.recv(uas, answer(inv[0], tc.code, "b"))
		r.want(r.recv(uas2, answer(inv[1], 487, "c")), "ACK "+uas2, tc.want+" "+uac)
		r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
		r.quiet()
	}
}

// TestCancelRoute: the CANCEL has the Route of the INVITE as sent.
func TestCancelRoute(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite("Route: <sip:10.0.0.3;lr>")), "INVITE")
	r.recv(uas2, answer(inv, 180, "b"))
	c := r.one(r.recv(uac, cancelReq("Reason: SIP;cause=200", "Route: <sip:10.0.0.9;lr>")), "CANCEL")
	if c.header("Route") != "<sip:10.0.0.3;lr>" || c.header("Reason") != "" {
		t.Errorf("CANCEL\n%s", c.raw)
	}
}

// TestCancelReason: "reason" passes the CANCEL's own on; t_add_cancel_reason adds one.
func TestCancelReason(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		switch c.Msg.Method() {
		case sip.CANCEL:
			r.l.Lookup(c).Relay(c, api.RelayPassReason)
		default:
			if err := r.tx(c).AddCancelReason([]byte("X-Why: 1\r\n")); err != nil {
				t.Error(err)
			}
			r.relay(c)
		}
		return api.VerdictNone
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	c := r.one(r.recv(uac, cancelReq("Reason: Q.850;cause=16")), "CANCEL")
	if c.header("Reason") != "Q.850;cause=16" || c.header("X-Why") != "1" {
		t.Errorf("CANCEL\n%s", c.raw)
	}
}

// TestCancelResent on UDP until it is answered.
func TestCancelResent(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	c := r.one(r.recv(uac, cancelReq()), "CANCEL")
	r.advance(3600 * time.Millisecond)
	if n := len(find(r.sent, "CANCEL")); n != 4 {
		t.Errorf("%d CANCELs in 3.6 s, want 4", n)
	}
	r.recv(uas, answer(c, 200, "b"))
	r.advance(10 * time.Second)
	if n := len(find(r.sent, "CANCEL")); n != 4 {
		t.Errorf("%d CANCELs after its 200", n)
	}
	mark := len(r.sent)
	r.advance(30 * time.Second)
	if p := r.one(r.sent[mark:mark+1], "487"); p.toTag() == "" {
		t.Error("a branch that never ends is 487 after 64*T1")
	}
	r.quiet()
}

// TestCancelNeverAnswered: no provisional ever: Timer B, 487 upstream.
func TestCancelNeverAnswered(t *testing.T) {
	r := newRig(t, nil)
	r.recv(uac, invite())
	r.want(r.recv(uac, cancelReq()), "200 "+uac)
	r.advance(40 * time.Second)
	if len(find(r.sent, "CANCEL")) != 0 || len(find(r.sent, "487")) == 0 || len(find(r.sent, "408")) != 0 {
		t.Errorf("sent %v", list(r.sent))
	}
	r.quiet()
}

// TestRow055_CancelWithoutInvite: the script may pass it on statelessly.
func TestRow055_CancelWithoutInvite(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		if r.l.Lookup(c) != nil {
			t.Error("a CANCEL of nothing was matched")
		}
		if err := r.l.StatelessForward(c, c.Target); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	c := r.one(r.recv(uac, cancelReq()), "CANCEL")
	if c.branch() != inv.branch() {
		t.Errorf("stateless CANCEL %q, its INVITE %q", c.branch(), inv.branch())
	}
	r.quiet()
}

// TestCancelImplicit: a script that returns without a word cancels nevertheless; one
// that drops or answers itself does not.
func TestCancelImplicit(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig, c *api.Ctx) api.Verdict
		want []string
	}{
		{"nothing", func(*rig, *api.Ctx) api.Verdict { return api.VerdictNone }, []string{"200 " + uac, "CANCEL " + uas}},
		{"error", func(*rig, *api.Ctx) api.Verdict { return api.VerdictError }, []string{"200 " + uac, "CANCEL " + uas}},
		{"drop", func(*rig, *api.Ctx) api.Verdict { return api.VerdictDrop }, nil},
		{"reply", func(r *rig, c *api.Ctx) api.Verdict {
			if err := r.l.StatelessReply(c, 481, "", nil); err != nil {
				r.t.Error(err)
			}
			return api.VerdictNone
		}, []string{"481 " + uac}},
	} {
		r := newRig(t, nil)
		r.live.main = func(c *api.Ctx) api.Verdict {
			if c.Msg.Method() == sip.CANCEL {
				return tc.do(r, c)
			}
			return r.relay(c)
		}
		inv := r.one(r.recv(uac, invite()), "INVITE")
		r.recv(uas, answer(inv, 180, "b"))
		if got := list(r.recv(uac, cancelReq())); strings.Join(got, ";") != strings.Join(tc.want, ";") {
			t.Errorf("%s: sent %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestLate200AfterCancel is relayed.
func TestLate200AfterCancel(t *testing.T) {
	r := newRig(t, nil)
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	r.recv(uac, cancelReq())
	r.want(r.recv(uas, answer(inv, 200, "b")), "200 "+uac)
	r.want(r.recv(uac, cancelReq()), "200 "+uac)
	r.quiet()
}

// TestCancelWhileParked: 200 at once without the script; t_relay then answers
// "cancelled" and 487 goes out.
func TestCancelWhileParked(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		r := newRig(t, nil)
		var o api.Outcome
		scripts := 0
		r.live.main = func(c *api.Ctx) api.Verdict {
			scripts++
			if c.Msg.Method() == sip.ACK {
				return api.VerdictNone
			}
			if stateful {
				r.tx(c)
			}
			r.onPark = func() { r.want(r.recv(uac, cancelReq()), "200 "+uac) }
			r.Park(c, func() {})
			tx := r.tx(c)
			if !tx.Cancelled() {
				t.Error("not marked")
			}
			o = tx.Relay(c, 0)
			return api.VerdictNone
		}
		r.want(r.recv(uac, invite()), "200 "+uac, "487 "+uac)
		if o.OK() || o.Name != "cancelled" || scripts != 1 {
			t.Errorf("outcome %+v, %d scripts", o, scripts)
		}
		r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
		r.quiet()
	}
}

// TestCancelWhileResolving: no branch is sent once the name is there.
func TestCancelWhileResolving(t *testing.T) {
	r := newRig(t, nil)
	r.slow["slow.test"] = []api.Hop{hop(uas)}
	r.onPark = func() { r.want(r.recv(uac, req("CANCEL", "sip:bob@slow.test")), "200 "+uac) }
	r.want(r.recv(uac, req("INVITE", "sip:bob@slow.test")), "200 "+uac, "487 "+uac)
	r.recv(uac, req("ACK", "sip:bob@slow.test"))
	r.quiet()
}

// TestCancelParkedSilent: a cancelled handler that does nothing more ends with 487.
func TestCancelParkedSilent(t *testing.T) {
	r := newRig(t, nil)
	r.onPark = func() { r.recv(uac, cancelReq()) }
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() != sip.ACK {
			r.Park(c, func() {})
		}
		return api.VerdictNone
	}
	r.want(r.recv(uac, invite()), "200 "+uac, "487 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestCancelAfterRelayParked: branches that are out are cancelled though the handler
// still waits.
func TestCancelAfterRelayParked(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.relay(c)
		if c.Msg.Method() != sip.INVITE {
			return api.VerdictNone
		}
		r.onPark = func() {
			inv := r.one(r.sent, "INVITE")
			r.recv(uas, answer(inv, 100, ""))
			r.want(r.recv(uac, cancelReq()), "200 "+uac, "CANCEL "+uas)
			r.want(r.recv(uas, answer(inv, 487, "b")), "ACK "+uas)
		}
		r.Park(c, func() {})
		return api.VerdictNone
	}
	r.want(find(r.recv(uac, invite()), "487"), "487 "+uac)
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestCancelInFailureRoute: a failure route that waits, or relays on, is told; 487 goes up.
func TestCancelInFailureRoute(t *testing.T) {
	r := newRig(t, nil)
	var o api.Outcome
	failure := r.arm("failure_route.wait", func(c *api.Ctx) {
		r.onPark = func() { r.want(r.recv(uac, cancelReq()), "200 "+uac) }
		r.Park(c, func() {})
		o = c.Tx.Relay(c, 0)
	})
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE {
			r.tx(c).Arm(c, api.RouteFailure, failure)
		}
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.want(r.recv(uas, answer(inv, 486, "b")), "ACK "+uas, "200 "+uac, "487 "+uac)
	if o.Name != "cancelled" {
		t.Errorf("outcome %+v", o)
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2"))
	r.quiet()
}

// TestCancelBranches: one, the others, all.
func TestCancelBranches(t *testing.T) {
	for _, tc := range []struct {
		which api.CancelWhich
		n     int
		want  string
	}{{api.CancelThis, 1, uas2}, {api.CancelOthers, 2, uas + " " + uas3}, {api.CancelAll, 3, uas + " " + uas2 + " " + uas3}} {
		r, inv := forked(t, "sip:b@10.0.0.3", "sip:b@10.0.0.4")
		for _, p := range inv[:2] {
			r.recv(p.to.Addr.String(), answer(p, 180, "x"))
		}
		var where []string
		all := r.live
		all.reply = func(c *api.Ctx) api.Verdict {
			if n := c.Tx.CancelBranches(c, tc.which, 1); n != tc.n {
				t.Errorf("%v: %d cancelled, want %d", tc.which, n, tc.n)
			}
			all.reply = nil
			return api.VerdictNone
		}
		for _, p := range find(r.recv(uas3, answer(inv[2], 183, "y")), "CANCEL") {
			where = append(where, p.to.Addr.String())
		}
		if got := strings.Join(where, " "); got != tc.want {
			t.Errorf("%v: CANCEL to %s, want %s", tc.which, got, tc.want)
		}
	}
}
