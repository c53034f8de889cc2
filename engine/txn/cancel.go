package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// elsewhere is the Reason of a CANCEL to branches that lost (RFC 3326 §2).
const elsewhere = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"

// cancelAtOnce deals with a CANCEL whose INVITE's handler waits, or that has
// come before: 200, and the call is marked (DESIGN: only Lua waits).
func (l *Layer) cancelAtOnce(in *api.Incoming, via *sip.Via) bool {
	t := l.requests.find(l.requestKey(&in.Msg, via, sip.INVITE))
	if t == nil || !t.cancelled && !l.queued(t) && (t.parks == 0 || t.live == nil) {
		return false
	}
	l.answerCancel(in, t, l.symmetric(in, t))
	t.cancelByPeer(nil)
	return true
}

// symmetric tells that the script has responses to the INVITE t go to the port
// that it came from.
func (l *Layer) symmetric(in *api.Incoming, t *transaction) bool {
	if t.live != nil {
		return t.live.state.AddRport
	}
	for i := range l.active {
		if r := &l.active[i]; r.tx == t {
			return r.c.State.AddRport
		}
	}
	return t.up.Addr == in.Source.Remote
}

// queued tells that the request's script has not begun or not ended, and has
// not sent the request on without a transaction: then the CANCEL must follow it.
func (l *Layer) queued(t *transaction) bool {
	for i := range l.active {
		if r := &l.active[i]; r.tx == t {
			return t.live != nil || r.c.Done&api.ActionRelayed == 0
		}
	}
	return false
}

// answerCancel sends 200 to a CANCEL that matched (RFC 3261 §9.2), with the To
// tag of the INVITE's responses; force sends it to the port the CANCEL came from.
func (l *Layer) answerCancel(in *api.Incoming, t *transaction, force bool) {
	via, err := in.Msg.Via()
	if err != nil {
		return
	}
	var tag [tagLen]byte
	o := sip.ReplyOptions{ToTag: t.toTag(tag[:0]), ViaReceived: in.Source.Remote}
	out := l.host.Out()
	b := sip.AppendReply(out.Buffer(), &in.Msg, 200, "canceling", &o)
	l.sendFailed(out.Send(replyDest(via, &in.Source, force), b, nil))
}

// cancelByPeer marks the call and cancels its branches (RFC 3261 §16.10).
// reason are header lines for the CANCELs.
func (t *transaction) cancelByPeer(reason []byte) {
	if t.method != sip.INVITE || t.final {
		return
	}
	t.cancelled = true
	lv := t.live
	if lv == nil {
		return
	}
	lv.wait = 0
	if len(reason) > 0 {
		lv.cancelReason = append(lv.cancelReason, reason...)
	}
	for _, b := range lv.list {
		b.cancel()
	}
	if t.pendingBranches() == 0 && t.hold == 0 && !lv.deciding {
		t.reply(487, "", nil)
		t.settle()
	}
}

// relayCancel is Relay called for a CANCEL: 200 to it, and every branch that
// has not answered is cancelled (RFC 3261 §9.2, §16.10).
func (t *transaction) relayCancel(c *api.Ctx, flags api.RelayFlags) api.Outcome {
	i := t.l.find(c)
	if i < 0 {
		return api.Outcome{Code: -1, Name: "error", Text: "a CANCEL is relayed from the request route it came to"}
	}
	if c.Done&api.ActionReplied == 0 {
		in := t.l.active[i].in
		t.l.answerCancel(in, t, c.State.AddRport || t.l.symmetric(in, t))
		c.Done |= api.ActionReplied
	}
	c.Done |= api.ActionRelayed
	var reason []byte
	if flags&api.RelayPassReason != 0 {
		for _, v := range c.Msg.Headers() {
			if v.ID == sip.HdrReason {
				reason = append(reason, v.Line...)
			}
		}
	}
	t.cancelByPeer(reason)
	return outcomeCancelDone
}

// finishCancel does what RFC 3261 §9.2 and §16.10 ask where the script neither
// relayed nor answered a CANCEL that matches.
func (l *Layer) finishCancel(c *api.Ctx, v api.Verdict) {
	if c.Done&(api.ActionReplied|api.ActionRelayed|api.ActionDropped|api.ActionHandled) != 0 {
		return
	}
	if t := l.inviteOf(c.Msg.Message()); t != nil {
		t.relayCancel(c, 0)
		return
	}
	if v == api.VerdictError {
		if err := l.StatelessReply(c, 500, "", nil); err != nil {
			l.host.Log(c, api.LevelWarn, "no 500 after a script error", api.Field{Key: "error", Value: err})
		}
	}
}

// cancel asks the branch to end. Before a provisional the CANCEL is held
// (RFC 3261 §9.1).
func (b *branch) cancel() {
	if !b.cancellable() || b.cancelled {
		return
	}
	b.cancelled = true
	b.hops, b.fallback = nil, false
	if b.state == clientProceeding {
		b.sendCancel()
	}
}

// sendCancel sends the branch's CANCEL and gives the other side 64*T1 to end
// the INVITE (RFC 3261 §9.1).
func (b *branch) sendCancel() {
	now := b.tx.l.now()
	b.cSent = true
	b.timeoutAt = now + 64*b.tx.cfg.T1
	b.cancelAt = never
	if !b.dest.Proto.Stream() {
		b.cInterval = b.tx.cfg.T1
		b.cancelAt = now + b.cInterval
	}
	b.writeCancel()
	b.schedule()
}

func (b *branch) writeCancel() {
	out := b.tx.l.host.Out()
	d := b.compose()
	lines := append(b.tx.l.bytes[:0], b.ownLines()...)
	if reason := b.tx.live.cancelReason; len(reason) > 0 {
		lines = append(lines, reason...)
	} else if b.tx.state == serverAccepted {
		lines = append(lines, elsewhere...)
	}
	b.tx.l.bytes = lines
	b.tx.l.sendFailed(out.Send(b.dest, d.AppendCancel(out.Buffer(), lines), nil))
}

// resendCancel is Timer E of the CANCEL's own client transaction.
func (b *branch) resendCancel(now time.Duration) {
	b.cInterval = min(2*b.cInterval, b.tx.cfg.T2)
	b.cancelAt = now + b.cInterval
	b.writeCancel()
}

// cancelAnswered ends the CANCEL's client transaction.
func (b *branch) cancelAnswered(code int) {
	if code >= 200 && b.cSent {
		b.cancelAt = never
		b.schedule()
	}
}

// cancelPending cancels every branch that has not ended.
func (t *transaction) cancelPending() {
	for _, b := range t.live.list {
		b.cancel()
	}
}

// CancelBranches cancels pending branches and returns how many there were
// (OpenSIPS t_cancel_branch): keep itself, the others, or all.
func (t *transaction) CancelBranches(_ *api.Ctx, which api.CancelWhich, keep int) int {
	if t.live == nil {
		return 0
	}
	n := 0
	for _, b := range t.live.list {
		this := int(b.index) == keep
		if which == api.CancelThis && !this || which == api.CancelOthers && this {
			continue
		}
		if b.cancellable() && !b.cancelled {
			b.cancel()
			n++
		}
	}
	return n
}
