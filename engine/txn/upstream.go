package txn

import (
	"hash/maphash"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Response handles a received response: it finds the branch by the numbers in
// the top Via (RFC 3261 §17.1.3), steps its client transaction and passes the
// response on. What is not ours, or whose transaction is gone, is dropped
// (§18.1.2, RFC 6026 §8.9); that of a stateless forward is relayed (§16.11).
func (l *Layer) Response(in *api.Incoming) {
	via, err := in.Msg.Via()
	if err != nil {
		return
	}
	id, ok := parseBranch(via.Branch, &l.key)
	if !ok {
		return
	}
	cseq, err := in.Msg.CSeq()
	if err != nil || cseq.Method == sip.ACK { // an ACK is never answered (§17.1.1.3)
		return
	}
	if id.stateless {
		l.relayStateless(in)
		return
	}
	if int(id.index) >= len(l.slots) {
		return
	}
	t := l.slots[id.index]
	if t == nil || t.label != id.label || t.state == serverGone {
		return
	}
	if t.live == nil {
		t.lateResponse(in, int(id.branch), cseq.Method)
		return
	}
	b := t.branchAt(int(id.branch))
	if b == nil || !l.ourSentBy(via, b) {
		return
	}
	if cseq.Method == sip.CANCEL && t.method != sip.CANCEL {
		b.cancelAnswered(in.Msg.StatusCode())
		return
	}
	if cseq.Method != t.method || t.method == sip.MethodOther && string(in.Msg.MethodName()) != string(t.live.in.Msg.MethodName()) {
		return
	}
	b.response(in)
}

// branchAt is branch number i; nil when there is none.
func (t *transaction) branchAt(i int) *branch {
	if i < len(t.live.list) && int(t.live.list[i].index) == i {
		return t.live.list[i]
	}
	for _, b := range t.live.list {
		if int(b.index) == i {
			return b
		}
	}
	return nil
}

// ourSentBy tells that the top Via names the socket that the branch left by
// (RFC 3261 §18.1.2).
func (l *Layer) ourSentBy(via *sip.Via, b *branch) bool {
	host, port := b.dest.Socket.Host, b.dest.Socket.Port
	if b.way.host != "" || b.way.port != 0 {
		return true
	}
	return sip.EqualFold(via.Host, host) && (via.Port == port || via.Port == 0)
}

// response steps the branch and hands the response to the reply routes, or on
// at once where there are none. When the call's queue is full it is dropped as
// if it had been lost: nothing has been stepped then.
func (b *branch) response(in *api.Incoming) {
	t := b.tx
	lv := t.live
	code := in.Msg.StatusCode()
	repeated := b.over() && (code < 200 || code >= 300 || !b.invite)
	queue := !repeated && !b.replica &&
		(b.onReply != nil || lv.onReply != nil || t.l.host.Script().HasReply() || t.l.host.Waiting(in.Msg.CallID()))
	if queue && code != 100 {
		serial := b.serial
		in.Retain()
		t.hold++
		ok := t.l.host.Schedule(in.Msg.CallID(), len(in.Buf), func() {
			if b.serial == serial && t.live != nil {
				b.runReply(in)
			}
			t.hold--
			t.settle()
			in.Release()
		})
		if !ok {
			t.hold--
			in.Release()
			return
		}
		b.receive(in)
		return
	}
	if b.receive(in) {
		d := &t.l.response
		d.Init(&in.Msg)
		b.consider(in, d, false)
		t.settle()
	}
}

// runReply runs the reply routes, onreply_route.main first, then the branch's,
// then the transaction's, and goes on with what they left.
func (b *branch) runReply(in *api.Incoming) {
	t := b.tx
	c := t.handlerCtx(api.RouteReply, nil)
	defer t.l.host.FreeCtx(c)
	c.Msg.Init(&in.Msg)
	c.Request, c.Branch, c.Source = &t.live.draft, int(b.index), in.Source
	c.ReplyCode = in.Msg.StatusCode()
	c.Target = &b.to
	armed := [2]api.Handler{retained(b.onReply), retained(t.live.onReply)} // a run may disarm them
	defer release(armed[0])
	defer release(armed[1])
	v := api.VerdictNone
	if s := t.l.host.Script(); s.HasReply() {
		v = s.Reply(c)
	}
	for _, h := range armed {
		if h == nil {
			continue
		}
		if v != api.VerdictNone {
			break
		}
		_, c.Route, _ = strings.Cut(h.Name(), ".")
		v = t.l.host.Script().Run(c, h)
		if t.live == nil {
			return
		}
	}
	code := in.Msg.StatusCode()
	if v == api.VerdictError {
		c.Msg.Init(&in.Msg)
	}
	if v == api.VerdictDrop && code < 200 {
		return
	}
	b.consider(in, c.Msg, true)
}

// consider decides what a response means for the transaction (RFC 3261 §16.7
// items 4 and 5). kept tells that d may hold edits of a script.
func (b *branch) consider(in *api.Incoming, d *sip.Draft, kept bool) {
	t := b.tx
	code := in.Msg.StatusCode()
	if b.replica || code == 100 {
		b.decided = b.decided || code >= 200
		return
	}
	if t.state == serverNone {
		b.considerLocal(code)
		return
	}
	switch {
	case code < 200:
		if b.invite && !t.final && !b.decided {
			t.passUp(in, d, code)
		}
	case code < 300:
		b.succeeded(in, d, code)
	default:
		b.failed(in, d, code, kept)
	}
}

// succeeded passes a 2xx on at once: every one to an INVITE, the first to
// anything else (RFC 3261 §16.7 item 5), and cancels the rest (item 10).
func (b *branch) succeeded(in *api.Incoming, d *sip.Draft, code int) {
	t := b.tx
	if !b.decided {
		b.decided, b.status = true, uint16(code)
	}
	if b.invite || !t.final {
		t.passUp(in, d, code)
	}
	t.live.wait = 0
	t.cancelPending()
}

// failed keeps a final response until all branches have one. A 6xx ends the
// search: the others are cancelled and no new branch is tried (§16.7 item 5).
// A 503 goes to the next hop of the same name first (RFC 3263 §4.3).
func (b *branch) failed(in *api.Incoming, d *sip.Draft, code int, kept bool) {
	t := b.tx
	if b.decided {
		return
	}
	b.decided, b.status = true, uint16(code)
	in.Retain()
	b.reply = in
	if kept && d.Edited() {
		b.edited = &sip.Draft{}
		b.edited.CopyFrom(d)
	}
	b.reached()
	if code == 503 && b.tryNextHop() {
		return
	}
	if code >= 600 && !t.cfg.Disable6xxBlock {
		t.live.saw6xx = true
		t.live.wait = 0
		t.cancelPending()
	}
	t.decide()
}

// passUp relays a response upstream without our Via (RFC 3261 §16.7 items 3
// and 9).
func (t *transaction) passUp(in *api.Incoming, d *sip.Draft, code int) {
	edited := d.Edited()
	if !dropTopVia(t.l, d) {
		return
	}
	t.setUp()
	out := t.l.host.Out()
	b := d.Serialise(out.Buffer())
	if t.final { // a further 2xx to INVITE goes by the transaction's side (RFC 6026 §7.1)
		t.l.sendFailed(out.Send(t.up, b, nil))
		return
	}
	if code < 200 || code >= 300 || t.method != sip.INVITE {
		t.remember(b)
	} else {
		t.forgetLast()
		if edited {
			t.remember(b)
			t.tag2x = t.l.tagHash(&in.Msg)
		}
	}
	t.allLocal = false
	t.answered(code, false)
	t.l.sendFailed(out.Send(t.up, b, nil))
}

// tagHash is a hash of a response's To tag, which tells apart the 2xx of user
// agents behind one branch.
func (l *Layer) tagHash(m *sip.Message) uint64 {
	to, err := m.To()
	if err != nil {
		return 0
	}
	return maphash.Bytes(l.seed, to.Tag) | 1
}

// dropTopVia removes our Via; false when no other would be left: the response
// would end here (RFC 3261 §16.7 item 3).
func dropTopVia(l *Layer, d *sip.Draft) bool {
	pos, h, ok := d.FindID(sip.HdrVia)
	if !ok {
		return false
	}
	var v sip.Via
	rest, err := sip.ParseVia(h.Value, &v)
	if err != nil {
		return false
	}
	if len(rest) > 0 {
		l.bytes = append(l.bytes[:0], trimLeft(rest)...)
		return d.SetAt(pos, sip.Unfold(l.bytes)) == nil
	}
	d.RemoveAt(pos)
	return d.Has(sip.HdrVia)
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}
