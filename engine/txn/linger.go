package txn

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// settle lets a transaction go as far as it can: a pending entry whose script
// has ended is forgotten, one that has answered and whose branches have ended
// gives up all but its last response.
func (t *transaction) settle() {
	if t.hold > 0 {
		return
	}
	if t.state == serverPending {
		t.destroy()
		return
	}
	if t.live == nil || !t.final || t.live.deciding {
		return
	}
	for _, b := range t.live.list {
		if !b.over() {
			return
		}
	}
	t.linger()
}

// linger drops request, edits, branches and handlers. What an INVITE's branches
// may still be asked for are their ACKs (Timer D).
func (t *transaction) linger() {
	if t.method == sip.INVITE {
		for _, b := range t.live.list {
			if len(b.ack) > 0 && !b.dest.Proto.Stream() {
				t.acks = append(t.acks, lateAck{branch: b.index, dest: b.dest, ack: t.l.buffers.copyOf(b.ack)})
			}
		}
	}
	t.dropLive()
	t.l.nLinger++
	if len(t.acks) > 0 && t.state != serverCompleted {
		t.endAt = max(t.endAt, t.l.now()+64*t.cfg.T1)
		if t.endAt == never {
			t.endAt = t.l.now() + 64*t.cfg.T1
		}
	}
	if t.endAt == never || t.state == serverNone && len(t.acks) == 0 {
		t.destroy()
		return
	}
	t.schedule()
}

// dropLive releases everything that only a live transaction needs.
func (t *transaction) dropLive() {
	lv := t.live
	for _, b := range lv.list {
		t.l.putBranch(b)
	}
	release(lv.onBranch)
	release(lv.onFailure)
	release(lv.onReply)
	if lv.merge != 0 {
		if t.l.merges[lv.merge] == t {
			delete(t.l.merges, lv.merge)
		}
	}
	lv.in.Release()
	t.live = nil
	t.l.putLive(lv)
	t.l.nLive--
}

// destroy removes the transaction.
func (t *transaction) destroy() {
	if t.state == serverGone {
		return
	}
	l := t.l
	switch {
	case t.live != nil:
		t.dropLive()
	case t.state != serverPending:
		l.nLinger--
	}
	l.wheel.clear(&t.timer)
	if t.state != serverNone {
		l.requests.remove(t)
	}
	if t.index < uint32(len(l.slots)) && l.slots[t.index] == t {
		l.slots[t.index] = nil
		l.unused = append(l.unused, t.index)
	}
	l.putTx(t)
}

// lateResponse handles a response to a lingering transaction: a final one to
// INVITE is acknowledged again, and a further 2xx to it relayed, as it left
// before where a script had edited it (RFC 6026 §7.2).
func (t *transaction) lateResponse(in *api.Incoming, branch int, method sip.Method) {
	code := in.Msg.StatusCode()
	if t.method != sip.INVITE || method != sip.INVITE || code < 200 {
		return
	}
	if code >= 300 {
		for i := range t.acks {
			if a := &t.acks[i]; int(a.branch) == branch {
				out := t.l.host.Out()
				t.l.sendFailed(out.Send(a.dest, append(out.Buffer(), a.ack...), nil))
			}
		}
		return
	}
	if t.state == serverNone {
		return
	}
	if len(t.last) > 0 && t.tag2x == t.l.tagHash(&in.Msg) {
		t.resendLast()
		return
	}
	if t.l.host.Script().HasReply() {
		t.lateScript(in)
		return
	}
	d := &t.l.response
	d.Init(&in.Msg)
	t.sendLate(d)
}

// lateScript shows a further 2xx to onreply_route.main. Armed routes have gone.
func (t *transaction) lateScript(in *api.Incoming) {
	in.Retain()
	label := t.label
	ok := t.l.host.Schedule(in.Msg.CallID(), len(in.Buf), func() {
		defer in.Release()
		if t.label != label || t.state == serverGone {
			return
		}
		c := t.l.host.NewCtx(api.RouteReply)
		defer t.l.host.FreeCtx(c)
		c.Route, c.Source, c.ReplyCode = "main", in.Source, in.Msg.StatusCode()
		c.Msg.Init(&in.Msg)
		if s := t.l.host.Script(); s.HasReply() && s.Reply(c) == api.VerdictError {
			c.Msg.Init(&in.Msg)
		}
		if t.label == label && t.state != serverGone {
			t.sendLate(c.Msg)
		}
	})
	if !ok {
		in.Release()
	}
}

// sendLate relays a 2xx whose transaction lingers.
func (t *transaction) sendLate(d *sip.Draft) {
	if dropTopVia(t.l, d) {
		out := t.l.host.Out()
		t.l.sendFailed(out.Send(t.up, d.Serialise(out.Buffer()), nil))
	}
}
