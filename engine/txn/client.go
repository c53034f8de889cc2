package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
)

// schedule sets the branch's one timer to its earliest deadline.
func (b *branch) schedule() {
	b.tx.l.wheel.set(&b.timer, min(b.resendAt, b.timeoutAt, b.cancelAt))
}

// expire runs the deadlines that have passed. The end comes before a resend.
func (b *branch) expire(now time.Duration) {
	if b.timeoutAt <= now {
		b.timeoutAt = never
		b.timedOut()
		return
	}
	serial := b.serial
	if b.resendAt <= now {
		if b.resend(now); b.serial != serial { // it failed, and that ended the transaction
			return
		}
	}
	if b.cancelAt <= now {
		b.resendCancel(now)
	}
	b.schedule()
}

// start enters Calling or Trying: Timers A and B, or E and F
// (RFC 3261 §17.1.1.2, §17.1.2.2).
func (b *branch) start() {
	now := b.tx.l.now()
	b.state = clientCalling
	b.resendAt, b.cancelAt = never, never
	b.timeoutAt = now + b.tx.live.fr
	if !b.dest.Proto.Stream() {
		b.interval = b.tx.cfg.T1
		b.resendAt = now + b.interval
	}
	b.schedule()
}

// resend is Timer A, doubled without bound, or Timer E, doubled up to T2 and
// always T2 in Proceeding.
func (b *branch) resend(now time.Duration) {
	switch {
	case b.invite && b.state == clientCalling:
		b.interval *= 2
	case !b.invite && b.state == clientCalling:
		b.interval = min(2*b.interval, b.tx.cfg.T2)
	case !b.invite && b.state == clientProceeding:
		b.interval = b.tx.cfg.T2
	default:
		b.resendAt = never
		return
	}
	b.resendAt = now + b.interval
	if err := b.transmit(); err != nil {
		b.SendFailed(err)
	}
}

// received steps the client transaction by a response (RFC 3261 figures 5 and
// 6, RFC 6026 figure 5). fresh is false for a repeated final one, which has
// been dealt with here.
func (b *branch) receive(in *api.Incoming) (fresh bool) {
	code := in.Msg.StatusCode()
	switch b.state {
	case clientCalling, clientProceeding:
		b.lastCode = uint16(code)
		if code < 200 {
			b.provisional(code)
		} else {
			b.finalReceived(in)
		}
		return true
	case clientAccepted: // RFC 6026 §7.2: each 2xx goes on, all else ends here
		return code >= 200 && code < 300
	case clientCompleted:
		if b.invite && code >= 300 {
			b.sendAck(in)
		}
		return b.invite && code >= 200 && code < 300
	case clientEnded: // a late 2xx to INVITE is relayed, other late finals are not (RFC 4320 §4.2)
		if b.invite && code >= 300 {
			b.sendAck(in)
		}
		return b.invite && code >= 200 && code < 300
	}
	return false
}

// provisional enters Proceeding. An INVITE is resent no more and Timer C runs;
// 100 starts it too but restarts it never (RFC 3261 §16.7 item 2).
func (b *branch) provisional(code int) {
	first := b.state == clientCalling
	b.state = clientProceeding
	if b.invite {
		b.resendAt = never
		if !b.decided && !b.cSent && (first || code > 100 && b.tx.cfg.RestartFrOnReply) {
			b.timeoutAt = b.tx.l.now() + b.tx.live.frInv
		}
		if b.cancelled && !b.cSent {
			b.sendCancel()
		}
	} else if first && b.resendAt != never {
		b.interval = b.tx.cfg.T2
		b.resendAt = b.tx.l.now() + b.interval
	}
	b.schedule()
}

// rings tells whether Timer C runs.
func (b *branch) rings() bool {
	return b.invite && b.state == clientProceeding && !b.decided && !b.cSent
}

// finalReceived enters Completed or Accepted; the ACK to a non-2xx leaves at
// once (RFC 3261 §17.1.1.2).
func (b *branch) finalReceived(in *api.Incoming) {
	code := in.Msg.StatusCode()
	b.resendAt, b.cancelAt, b.timeoutAt = never, never, never
	b.schedule()
	b.state = clientCompleted
	if b.invite {
		if code < 300 {
			b.state = clientAccepted
		} else {
			b.sendAck(in)
		}
	}
}

// sendAck answers a non-2xx final response hop by hop (RFC 3261 §17.1.1.3).
func (b *branch) sendAck(in *api.Incoming) {
	out := b.tx.l.host.Out()
	if len(b.ack) == 0 {
		d := b.compose()
		b.ack = d.AppendAck(b.ack[:0], &in.Msg, b.ownLines())
	}
	b.tx.l.sendFailed(out.Send(b.dest, append(out.Buffer(), b.ack...), nil))
}

// timedOut is Timer B, F, C, or the end behind a CANCEL.
func (b *branch) timedOut() {
	switch {
	case b.invite && b.state == clientProceeding && !b.cancelled:
		// Timer C: RFC 3261 §16.8. The branch counts as 408 at once; its client
		// transaction waits for what the CANCEL brings.
		b.cancel()
		b.fail(408)
	default:
		b.end(408)
	}
}

// end finishes the client transaction without a response and counts as code.
func (b *branch) end(code int) {
	b.stop()
	if b.cancelled && !b.decided {
		code = 487
	}
	b.fail(code)
}

// stop ends the client transaction.
func (b *branch) stop() {
	b.state = clientEnded
	b.resendAt, b.cancelAt, b.timeoutAt = never, never, never
	b.schedule()
}

// fail counts the branch as answered by code here, or goes to its next hop.
func (b *branch) fail(code int) {
	t := b.tx
	if b.decided {
		t.settle()
		return
	}
	b.decided, b.local, b.status = true, true, uint16(code)
	if code != 503 {
		b.reached()
	}
	if !b.tryNextHop() {
		t.decide()
	}
	t.settle()
}

// SendFailed is a transport error: the branch counts as 503
// (RFC 3261 §16.9, §17.1.4). api.SendObserver.
func (b *branch) SendFailed(err error) {
	if b.state != clientCalling && b.state != clientNew {
		return
	}
	b.tx.l.host.Log(nil, api.LevelInfo, "branch could not be sent", api.Field{Key: "error", Value: err},
		api.Field{Key: "to", Value: b.dest.Addr})
	b.end(503)
}

// sendObserver stands between a connection, which may report long after, and a
// branch, whose object may have been used again by then.
type sendObserver struct {
	b      *branch
	serial uint64
}

// SendFailed passes the error on while the branch is the one that sent.
func (o *sendObserver) SendFailed(err error) {
	if o.b.serial == o.serial {
		o.b.SendFailed(err)
	}
}

// observer hears of errors of the first send. A UDP one comes before the token
// is let go, when no response can have come yet.
func (b *branch) observer() api.SendObserver {
	if b.dest.Proto.Stream() {
		return &sendObserver{b, b.serial}
	}
	return b
}

// tryNextHop sends the request to the next place of a name that has several,
// as a new branch (RFC 3263 §4.3). It is false when there is none left.
func (b *branch) tryNextHop() bool {
	t := b.tx
	if len(b.hops) == 0 || t.cancelled || t.final || t.live.noFail || b.replica || b.state == clientProceeding {
		return false
	}
	n := t.newBranch()
	if n == nil {
		return false
	}
	n.draft.CopyFrom(&b.draft)
	n.to, n.breadth, n.onReply = b.to, b.breadth, retained(b.onReply)
	n.strict, n.sips = b.strict, b.sips
	b.breadth, b.moved = 0, true
	n.dest, n.hops, n.fallback = b.dest, b.hops, b.fallback
	for hop, ok := n.nextHop(); ok; hop, ok = n.nextHop() {
		if n.aim(hop) && n.send() == nil {
			return true
		}
	}
	n.decided, n.local, n.status, n.state = true, true, b.status, clientEnded
	return false
}

// pending tells that the branch has still to answer.
func (b *branch) pending() bool { return !b.decided && !b.replica && b.state != clientNew }

// over tells that the client transaction has ended.
func (b *branch) over() bool { return b.state >= clientCompleted || b.state == clientNew }

// sentInvite is used by CANCEL: the branch is an INVITE that may be answered yet.
func (b *branch) cancellable() bool {
	return b.invite && (b.state == clientCalling || b.state == clientProceeding)
}
