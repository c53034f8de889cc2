package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// schedule sets the transaction's one timer to its earliest deadline.
func (t *transaction) schedule() {
	t.l.wheel.set(&t.timer, min(t.resendAt, t.endAt, t.tryAt))
}

// expire runs the deadlines that have passed.
func (t *transaction) expire(now time.Duration) {
	if t.tryAt <= now {
		t.tryAt = never
		t.send100()
	}
	if t.resendAt <= now {
		t.resendFinal(now)
	}
	if t.endAt <= now {
		t.endAt = never
		t.ended()
		return
	}
	t.schedule()
}

// ended is Timer H, I, J or L (RFC 3261 §17.2, RFC 6026 §7.1), or the end of
// waiting for a script that made a transaction and did nothing with it.
func (t *transaction) ended() {
	switch {
	case t.live == nil:
		t.destroy()
	case t.live.wait != 0:
		t.stopWaiting()
	case t.state == serverProceeding && t.idle():
		t.final = true
		t.settle()
	default: // branches still run: they end the transaction, or the script does
		if t.hold > 0 {
			t.endAt = t.l.now() + 64*t.cfg.T1
		}
		t.schedule()
	}
}

// idle tells that nothing is under way that could still answer.
func (t *transaction) idle() bool {
	return t.hold == 0 && t.parks == 0 && t.pendingBranches() == 0 && t.live.wait == 0 && !t.live.deciding
}

// retransmitted answers or absorbs a request that has been seen
// (RFC 3261 §17.2.1, §17.2.2; RFC 6026 §7.1).
func (t *transaction) retransmitted(in *api.Incoming) {
	switch t.state {
	case serverPending, serverProceeding:
		if len(t.last) > 0 {
			t.resendLast()
		} else if t.sent100 {
			t.write100(&in.Msg, &in.Source)
		}
	case serverCompleted:
		if len(t.last) > 0 {
			t.resendLast()
		}
	}
}

// resendLast sends the last response again, byte for byte.
func (t *transaction) resendLast() {
	out := t.l.host.Out()
	t.l.sendFailed(out.Send(t.up, append(out.Buffer(), t.last...), nil))
}

// resendFinal is Timer G: doubled up to T2, UDP alone (RFC 3261 §17.2.1).
func (t *transaction) resendFinal(now time.Duration) {
	if t.state != serverCompleted || t.method != sip.INVITE {
		t.resendAt = never
		return
	}
	t.interval = min(2*t.interval, t.cfg.T2)
	t.resendAt = now + t.interval
	t.resendLast()
}

// acknowledged handles an ACK whose branch matches (RFC 3261 §17.2.1). It is
// false in Accepted, where the ACK is between the user agents (RFC 6026 §7.1).
func (t *transaction) acknowledged(m *sip.Message) bool {
	switch t.state {
	case serverAccepted:
		return false
	case serverCompleted:
		if t.method == sip.INVITE {
			t.confirm()
		}
	}
	return true
}

// confirm enters Confirmed: Timer I is T4 on UDP and zero elsewhere. A branch
// that may have to repeat its own ACK keeps the entry for Timer D.
func (t *transaction) confirm() {
	t.state, t.resendAt = serverConfirmed, never
	t.keepFor(t.cfg.T4, t.up.Proto.Stream())
	t.schedule()
}

// keepFor sets the end to d from now, or to now when not needed, but not
// before the last late ACK can be asked for (Timer D).
func (t *transaction) keepFor(d time.Duration, none bool) {
	if none {
		d = 0
	}
	if len(t.acks) > 0 {
		d = 64 * t.cfg.T1
	}
	t.endAt = t.l.now() + d
}

// answered moves the server transaction on after a response of that status has
// been sent (RFC 3261 figures 7 and 8, RFC 6026 figure 3).
func (t *transaction) answered(code int, local bool) {
	t.status, t.lastLocal = uint16(code), local
	t.tryAt = never
	if code < 200 {
		t.schedule()
		return
	}
	now := t.l.now()
	switch {
	case t.method == sip.INVITE && code < 300: // Timer L
		t.state, t.endAt = serverAccepted, now+64*t.cfg.T1
	case t.method == sip.INVITE: // Timers G, H
		t.state, t.endAt = serverCompleted, now+64*t.cfg.T1
		if !t.up.Proto.Stream() {
			t.interval = t.cfg.T1
			t.resendAt = now + t.interval
		}
	default: // Timer J
		t.state, t.endAt = serverCompleted, now+64*t.cfg.T1
		if t.up.Proto.Stream() {
			t.endAt = now
		}
	}
	t.final = true
	t.schedule()
}

// remember keeps a response for retransmissions.
func (t *transaction) remember(b []byte) {
	t.forgetLast()
	t.last = t.l.buffers.copyOf(b)
}

// forgetLast gives the kept response back.
func (t *transaction) forgetLast() {
	t.l.buffers.put(t.last)
	t.last = nil
}

// send100 sends 100 Trying unless something has been sent.
func (t *transaction) send100() {
	if t.status != 0 || t.sent100 || t.final {
		return
	}
	if t.live != nil {
		t.write100(&t.live.in.Msg, &t.live.source)
		return
	}
	for i := range t.l.active {
		if r := &t.l.active[i]; r.tx == t {
			t.write100(&r.in.Msg, &r.in.Source)
		}
	}
}

// write100 sends 100 Trying to a request (RFC 3261 §8.2.6.1).
func (t *transaction) write100(m *sip.Message, src *api.Source) {
	t.sent100 = true
	if t.live != nil {
		t.setUp()
	}
	out := t.l.host.Out()
	o := sip.ReplyOptions{ViaReceived: src.Remote}
	t.l.sendFailed(out.Send(t.up, sip.AppendReply(out.Buffer(), m, 100, "Trying", &o), nil))
}

// sendFailed logs that a response could not be sent; its sender repeats the
// request, or gives up.
func (l *Layer) sendFailed(err error) {
	if err != nil {
		l.host.Log(nil, api.LevelInfo, "response not sent", api.Field{Key: "error", Value: err})
	}
}
