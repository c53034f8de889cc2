package txn_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// TestRandomTraffic throws requests, responses, CANCELs, ACKs, lost packets, send errors,
// parks and time at the layer in any order. Whatever came, everything ends, and no
// generation, context or timer is left.
func TestRandomTraffic(t *testing.T) {
	for seed := range uint64(100) {
		x := &random{rng: rand.New(rand.NewPCG(seed, 9)), rig: newRig(t, nil)}
		x.script()
		for range 120 {
			x.step()
		}
		x.over = true
		x.quiet()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type random struct {
	*rig
	rng   *rand.Rand
	calls int
	depth int
	over  bool // nothing new is begun
}

func (x *random) chance(percent int) bool { return !x.over && x.rng.IntN(100) < percent }

func (x *random) target() api.Target {
	return api.Target{URI: fmt.Sprintf("sip:b@10.0.0.%d", 2+x.rng.IntN(3)), Q: -1}
}

// script relays, answers, waits, or does nothing, as it comes.
func (x *random) script() {
	r := x.rig
	r.slow["slow.test"] = []api.Hop{hop(uas), hop(uas2)}
	r.refuse = func(d api.Dest) error {
		if x.chance(3) && d.Addr.String() != uac {
			return errName
		}
		return nil
	}
	var failure, branch, reply *handler
	failure = r.arm("failure_route.f", func(c *api.Ctx) {
		x.maybePark(c)
		if x.over {
			return
		}
		switch x.rng.IntN(4) {
		case 0:
			c.Tx.Reply(c, 480, "", nil)
		case 1:
			c.Tx.Arm(c, api.RouteFailure, failure)
			c.Extra = append(c.Extra, x.target())
			c.Tx.Relay(c, 0)
		case 2:
			c.Tx.Relay(c, 0)
			x.maybePark(c)
		}
	})
	branch = r.arm("branch_route.b", func(c *api.Ctx) {
		x.maybePark(c)
		c.Tx.Arm(c, api.RouteReply, reply)
	})
	branch.fn = func(c *api.Ctx) api.Verdict {
		x.maybePark(c)
		return api.Verdict(x.rng.IntN(8) / 6)
	}
	reply = r.arm("onreply_route.r", func(c *api.Ctx) { x.maybePark(c) })
	r.live.main = func(c *api.Ctx) api.Verdict {
		x.maybePark(c)
		switch c.Msg.Method() {
		case sip.ACK:
			return api.VerdictNone
		case sip.CANCEL:
			if tx := r.l.Lookup(c); tx != nil && x.chance(50) {
				tx.Relay(c, 0)
			}
			return api.VerdictNone
		}
		if x.chance(8) {
			return api.Verdict(x.rng.IntN(3))
		}
		tx := r.tx(c)
		for _, h := range []struct {
			kind api.Route
			h    *handler
		}{{api.RouteFailure, failure}, {api.RouteBranch, branch}, {api.RouteReply, reply}} {
			if x.chance(50) {
				tx.Arm(c, h.kind, h.h)
			}
		}
		if x.chance(10) {
			tx.WaitForBranches(x.rng.IntN(3))
		}
		for range x.rng.IntN(4) {
			c.Extra = append(c.Extra, x.target())
		}
		if o := tx.Relay(c, 0); !o.OK() || x.chance(5) {
			tx.Reply(c, 500, "", nil)
		}
		if x.chance(5) {
			tx.Replicate(c, "sip:10.0.0.4", 0)
		}
		x.maybePark(c)
		return api.VerdictNone
	}
}

func (x *random) maybePark(c *api.Ctx) {
	if x.depth > 1 || !x.chance(20) {
		return
	}
	x.depth++
	x.rig.onPark = func() {
		for range x.rng.IntN(6) {
			x.step()
		}
	}
	x.rig.Park(c, func() {})
	x.rig.onPark = nil
	x.depth--
}

// step is one thing that happens.
func (x *random) step() {
	r := x.rig
	switch n := x.rng.IntN(100); {
	case n < 12:
		x.calls++
		x.request("INVITE", x.calls)
	case n < 17:
		x.calls++
		x.request("OPTIONS", x.calls)
	case n < 25 && x.calls > 0:
		x.request([]string{"INVITE", "OPTIONS"}[x.rng.IntN(2)], 1+x.rng.IntN(x.calls))
	case n < 35 && x.calls > 0:
		x.request("CANCEL", 1+x.rng.IntN(x.calls))
	case n < 42 && x.calls > 0:
		x.request("ACK", 1+x.rng.IntN(x.calls))
	case n < 80 && len(r.sent) > 0:
		p := r.sent[max(0, len(r.sent)-1-x.rng.IntN(12))]
		if p.m.IsRequest() && p.m.Method() != sip.ACK {
			codes := []int{100, 180, 183, 200, 302, 401, 404, 407, 486, 487, 503, 603}
			r.recv(p.to.Addr.String(), answer(p, codes[x.rng.IntN(len(codes))], fmt.Sprint("t", x.rng.IntN(2))))
		}
	case n < 84 && len(r.sent) > 0:
		p := r.sent[x.rng.IntN(len(r.sent))]
		if p.obs != nil && p.to.Proto.Stream() {
			p.obs.SendFailed(errName)
			r.run()
		}
	default:
		r.advance([]time.Duration{10 * time.Millisecond, 600 * time.Millisecond, 3 * time.Second, 35 * time.Second}[x.rng.IntN(4)])
	}
}

func (x *random) request(method string, call int) {
	uri := []string{"sip:bob@10.0.0.2", "sip:bob@slow.test", "sip:bob@10.0.0.3;transport=tcp"}[call%3]
	x.rig.recv(uac, req(method, uri, fmt.Sprintf("Call-ID: c%d", call), fmt.Sprintf("Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKr%d", call)))
}
