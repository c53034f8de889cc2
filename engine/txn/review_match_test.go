package txn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// stateless is a script that forwards everything without a transaction.
func (r *rig) stateless(c *api.Ctx) api.Verdict {
	if err := r.l.StatelessForward(c, c.Target); err != nil {
		r.t.Errorf("%s not forwarded: %v", c.Msg.MethodName(), err)
	}
	return api.VerdictNone
}

// TestStatelessCancelAndAck: the CANCEL of a request that was forwarded
// without a transaction, and the ACK to its non-2xx, carry the branch of the
// request: they would match nothing at the next hop otherwise (RFC 3261 §9.1,
// §16.11, §17.1.1.3). A CANCEL repeats no credentials; an ACK has a To tag.
func TestStatelessCancelAndAck(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = r.stateless
	auth := "Proxy-Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\""
	inv := r.one(r.recv(uac, invite(auth)), "INVITE")
	if c := r.one(r.recv(uac, req("CANCEL", "sip:bob@10.0.0.2")), "CANCEL"); c.branch() != inv.branch() {
		t.Errorf("CANCEL leaves with branch %s, its INVITE with %s", c.branch(), inv.branch())
	}
	ack := req("ACK", "sip:bob@10.0.0.2", "To: <sip:bob@10.0.0.9>;tag=b1")
	if a := r.one(r.recv(uac, ack), "ACK"); a.branch() != inv.branch() {
		t.Errorf("ACK leaves with branch %s, its INVITE with %s", a.branch(), inv.branch())
	}
	r.quiet()
}

// TestResponseToAck: nobody answers an ACK (RFC 3261 §17.1.1.3). What says so is
// dropped, though its branch is that of an ACK we relayed.
func TestResponseToAck(t *testing.T) {
	r := newRig(t, nil)
	ack := r.one(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", "To: <sip:bob@10.0.0.9>;tag=b1")), "ACK")
	r.want(r.recv(uas, answer(ack, 200, "")))
	r.quiet()
}

// TestAckToOwnReply: the ACK to a final response that was made here without a
// transaction, or whose transaction is gone, ends here (RFC 3261 §8.2.7); the
// script does not see it. One with another tag is the script's.
func TestAckToOwnReply(t *testing.T) {
	r := newRig(t, nil)
	acks := 0
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.ACK {
			acks++
			return api.VerdictNone
		}
		if err := r.l.StatelessReply(c, 503, "", nil); err != nil {
			t.Error(err)
		}
		return api.VerdictNone
	}
	no := r.one(r.recv(uac, invite()), "503")
	r.want(r.recv(uac, req("ACK", "sip:bob@10.0.0.2", "To: <sip:bob@10.0.0.9>;tag="+no.toTag())))
	if acks != 0 {
		t.Error("the ACK to our own 503 reached the script")
	}
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2", "To: <sip:bob@10.0.0.9>;tag=0123456789abcdef"))
	r.recv(uac, req("ACK", "sip:bob@10.0.0.2", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKother", "To: <sip:bob@10.0.0.9>;tag="+no.toTag()))
	if acks != 2 {
		t.Errorf("the script saw %d other ACKs, want 2", acks)
	}
	r.quiet()
}

// TestForceRportOnCancel: a CANCEL is answered to where the script has replies
// to its INVITE go, whether the script sees the CANCEL or not.
func TestForceRportOnCancel(t *testing.T) {
	nat := "192.0.2.7:40001"
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		c.State.AddRport = true
		return r.relay(c)
	}
	inv := r.one(r.recv(nat, invite()), "INVITE")
	r.recv(uas, answer(inv, 180, "b"))
	out := r.recv(nat, req("CANCEL", "sip:bob@10.0.0.2"))
	if p := r.one(out, "200"); p.to.Addr.String() != nat {
		t.Errorf("200 to the CANCEL goes to %v, want %s", p.to.Addr, nat)
	}
	out = r.recv(nat, req("CANCEL", "sip:bob@10.0.0.2")) // the script does not see this one
	if p := r.one(out, "200"); p.to.Addr.String() != nat {
		t.Errorf("200 to the repeated CANCEL goes to %v, want %s", p.to.Addr, nat)
	}
	r.quiet()
}

// TestLateRepeatOfUnanswered: a request other than INVITE that nobody
// answered is not taken for a new one when the client repeats it for the last
// time, 31.5 s after the first (RFC 3261 §17.1.2.2, RFC 4320 §4.2).
func TestLateRepeatOfUnanswered(t *testing.T) {
	cfg := rfcConfig()
	cfg.FrTimeout = 30 * time.Second
	r := newRig(t, cfg)
	opt := req("OPTIONS", "sip:bob@10.0.0.2")
	r.recv(uac, opt)
	r.advance(31500 * time.Millisecond)
	r.want(find(r.recv(uac, opt), "OPTIONS"))
	r.quiet()
}

// TestScriptSlowerThanItsTransaction: a script that makes a transaction, waits
// for longer than 64*T1 and then does nothing leaves nothing behind.
func TestScriptSlowerThanItsTransaction(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		r.tx(c)
		r.onPark = func() { r.advance(50 * time.Second) }
		r.Park(c, func() {})
		return api.VerdictNone
	}
	r.recv(uac, invite())
	r.quiet()
}

// TestInjectWaits: while an injected branch waits for its destination, the
// failure of all others does not end the transaction.
func TestInjectWaits(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx = r.tx(c)
		tx.WaitForBranches(1)
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.slow["late.test"] = []api.Hop{hop(uas2)}
	r.onPark = func() { r.recv(uas, answer(inv, 404, "b")) }
	c := r.NewCtx(api.RouteRequest)
	mark := len(r.sent)
	if o := tx.Inject(c, []api.Target{{URI: "sip:b@late.test", Q: -1}}, false); !o.OK() {
		t.Errorf("inject: %+v", o)
	}
	r.FreeCtx(c)
	r.run()
	r.want(r.sent[mark:], "ACK "+uas, "INVITE "+uas2)
	late := r.sent[len(r.sent)-1]
	r.want(r.recv(uas2, answer(late, 200, "c")), "200 "+uac)
	r.quiet()
}

// TestNoDNSFailoverOfOneRelay: "no-dns-failover" counts for the relay it was
// given with, not for a later one.
func TestNoDNSFailoverOfOneRelay(t *testing.T) {
	r := newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas2), hop(uas3)}
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx := r.tx(c)
		tx.Arm(c, api.RouteFailure, r.arm("failure_route.again", func(c *api.Ctx) {
			if err := c.Msg.SetRequestURI([]byte("sip:bob@pool.test")); err != nil {
				t.Error(err)
			}
			tx.Relay(c, 0)
		}))
		tx.Relay(c, api.RelayNoDNSFailover)
		return api.VerdictNone
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	second := r.one(r.recv(uas, answer(inv, 404, "b")), "INVITE")
	r.want(r.recv(uas2, answer(second, 503, "c")), "ACK "+uas2, "INVITE "+uas3)
	r.quiet()
}

// TestAdvertisedAddressOfOneBranch: a branch keeps the sent-by it was first sent
// with, in its resends, its CANCEL and its ACK (RFC 3261 §9.1, §17.1.1.3),
// whatever the script advertises for later ones.
func TestAdvertisedAddressOfOneBranch(t *testing.T) {
	r := newRig(t, nil)
	r.live.main = func(c *api.Ctx) api.Verdict {
		v := r.relay(c)
		c.State.AdvHost, c.State.AdvPort = "later.test", 5099
		if err := r.tx(c).AddHeaders([]byte("X-Later: 1\r\n")); err != nil {
			t.Error(err)
		}
		return v
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	r.advance(600 * time.Millisecond)
	if p := find(r.sent, "INVITE")[1]; string(p.raw) != string(inv.raw) {
		t.Errorf("resent as\n%s\nfirst sent as\n%s", p.raw, inv.raw)
	}
	ack := r.one(r.recv(uas, answer(inv, 404, "b")), "ACK")
	if got, want := ack.header("Via"), inv.header("Via"); got != want {
		t.Errorf("ACK has Via %s, its INVITE %s", got, want)
	}
	if !strings.Contains(inv.header("Via"), "10.0.0.9") {
		t.Errorf("Via %s", inv.header("Via"))
	}
	r.quiet()
}

// AppendStable makes the rig's resolver one that orders equals by a key.
func (r *rig) AppendStable(dst []api.Hop, q *api.Query, key uint64) ([]api.Hop, bool, error) {
	hops, ok := r.names[q.Host]
	for i := range hops {
		dst = append(dst, hops[(uint64(i)+key)%uint64(len(hops))])
	}
	return dst, ok, nil
}

// TestStatelessKeepsToOneHop: of a name's places with equal standing one is
// taken for a request, its retransmissions, its CANCEL and its ACK, by a hash
// of the branch received (RFC 3261 §16.11); others get others.
func TestStatelessKeepsToOneHop(t *testing.T) {
	r := newRig(t, nil)
	r.names["pool.test"] = []api.Hop{hop(uas), hop(uas2), hop(uas3)}
	r.live.main = r.stateless
	used := map[string]bool{}
	for i := range 40 {
		via := fmt.Sprintf("Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK%d", i)
		to := r.one(r.recv(uac, req("INVITE", "sip:bob@pool.test", via)), "INVITE").to
		r.want(r.recv(uac, req("CANCEL", "sip:bob@pool.test", via)), "CANCEL "+to.Addr.String())
		r.want(r.recv(uac, req("ACK", "sip:bob@pool.test", via, "To: <sip:bob@pool.test>;tag=b")), "ACK "+to.Addr.String())
		used[to.Addr.String()] = true
	}
	if len(used) != 3 {
		t.Errorf("of three places only %v were used", used)
	}
	r.quiet()
}

// TestInjectFromAnotherCall: the branch route of an injected branch belongs to
// the transaction's call, not to the one that the injecting handler is of: it is
// logged under that, and queues there when it waits.
func TestInjectFromAnotherCall(t *testing.T) {
	r := newRig(t, nil)
	var tx api.Transaction
	r.live.main = func(c *api.Ctx) api.Verdict {
		tx = r.tx(c)
		tx.WaitForBranches(1)
		return r.relay(c)
	}
	inv := r.one(r.recv(uac, invite()), "INVITE")
	c := r.NewCtx(api.RouteEvent)
	c.CallID = "register-1"
	got := ""
	tx.Arm(c, api.RouteBranch, r.arm("branch_route.push", func(c *api.Ctx) { got = c.CallIDString() }))
	if o := tx.Inject(c, []api.Target{{URI: "sip:b@10.0.0.3", Q: -1}}, false); !o.OK() {
		t.Errorf("inject: %+v", o)
	}
	r.FreeCtx(c)
	if got != "call-1@10.0.0.1" {
		t.Errorf("the branch route ran as of call %q", got)
	}
	r.recv(uas, answer(inv, 200, "b"))
	r.quiet()
}
