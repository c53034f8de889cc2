package txn

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// pendingBranches counts branches whose answer is still awaited. Minor ones are
// awaited only where there are no others.
func (t *transaction) pendingBranches() int {
	if t.live == nil {
		return 0
	}
	major, minor, majors := 0, 0, 0
	for _, b := range t.live.list {
		pending := b.pending()
		switch {
		case b.replica:
		case b.to.Flags&t.cfg.MinorBranch == 0:
			majors++
			if pending {
				major++
			}
		case pending:
			minor++
		}
	}
	if majors > 0 {
		return major
	}
	return minor
}

// decide ends the search when every branch has answered: the failure route gets
// its say, or the best response goes upstream (RFC 3261 §16.7 item 6).
func (t *transaction) decide() {
	lv := t.live
	if lv == nil || t.final || lv.deciding || lv.launching > 0 || lv.wait != 0 || t.pendingBranches() > 0 {
		return
	}
	best := t.best()
	if best == nil {
		return
	}
	if t.state == serverNone {
		t.doneLocal(int(best.status))
		return
	}
	h := lv.onFailure
	if h == nil {
		t.sendBest(best)
		return
	}
	lv.onFailure = nil
	lv.deciding = true
	t.hold++
	size := 0
	if best.reply != nil {
		size = len(best.reply.Buf)
	}
	ok := t.l.host.Schedule(lv.in.Msg.CallID(), size, func() {
		t.runFailure(best, h)
		t.hold--
		t.settle()
	})
	if !ok {
		lv.deciding = false
		t.hold--
		release(h)
		t.sendBest(best)
	}
}

// runFailure runs the failure route on the winning response. When it has
// neither answered nor relayed, that response goes upstream.
func (t *transaction) runFailure(best *branch, h api.Handler) {
	defer release(h)
	lv := t.live
	if lv == nil {
		return
	}
	if t.final { // a 2xx came while the route waited its turn
		lv.deciding = false
		return
	}
	known := int(t.branches)
	c := t.failureCtx(best, h)
	lv.since = known
	t.l.host.Script().Run(c, h)
	t.l.host.FreeCtx(c)
	if t.live != lv {
		return
	}
	lv.deciding = false
	switch {
	case t.final, t.pendingBranches() > 0, lv.wait != 0:
	case t.cancelled && best.status != 487:
		t.reply(487, "", nil)
	case t.answeredSince(known):
		t.decide()
	default:
		t.sendBest(best)
	}
}

// answeredSince tells that the failure route, which waited meanwhile, sent
// branches that have all answered before it ended.
func (t *transaction) answeredSince(known int) bool {
	for _, b := range t.live.list {
		if int(b.index) >= known && !b.replica {
			return true
		}
	}
	return false
}

// failureCtx is the context of a failure route: the request with the script's
// edits, and URI, destination, path and flags as on the winning branch. Where that
// went to a strict router, its Request-URI is the router's and not taken.
func (t *transaction) failureCtx(best *branch, h api.Handler) *api.Ctx {
	c := t.handlerCtx(api.RouteFailure, h)
	c.Msg.CopyFrom(&t.live.draft)
	if uri := best.draft.RequestURI(); !best.strict && string(uri) != string(c.Msg.RequestURI()) {
		t.l.logEdit(c.Msg.SetRequestURI(uri))
	}
	*c.Target = best.to
	c.Branch, c.ReplyCode = int(best.index), int(best.status)
	if best.reply != nil {
		c.Reply = &best.reply.Msg
	}
	return c
}

// best is the branch whose response wins: a 6xx, else the lowest class; within
// 4xx those that let the client try again; 503 last in its class
// (RFC 3261 §16.7 item 6). nil when none has a final response.
func (t *transaction) best() *branch {
	if b := t.bestSince(t.live.since); b != nil {
		return b
	}
	return t.bestSince(0)
}

// bestSince is the best of the branches that began with index first: a failure
// route that has tried again judges what it tried, as OpenSIPS has it, and not
// what it had judged before.
func (t *transaction) bestSince(first int) *branch {
	var best *branch
	rank := 1 << 30
	for _, b := range t.live.list {
		if int(b.index) < first || !b.decided || b.replica || b.moved || b.status < 300 {
			continue
		}
		r := rankOf(int(b.status))
		if t.cancelled && b.status == 487 {
			r = 3999 // the caller has asked for it: first of the 4xx
		}
		if r < rank {
			best, rank = b, r
		}
	}
	return best
}

// rankOf orders final responses, best first.
func rankOf(code int) int {
	switch {
	case code >= 600:
		return code - 600
	case code == 401, code == 407:
		return 4000
	case code == 415, code == 420, code == 484:
		return 4001
	case code == 408:
		return 4999
	case code == 503:
		return 5999
	}
	return code/100*1000 + 2 + code%100
}

// sendBest sends the winning response upstream (RFC 3261 §16.7 items 6 to 9).
func (t *transaction) sendBest(b *branch) {
	code := int(b.status)
	switch {
	case t.method != sip.INVITE && code == 408:
		// RFC 4320 §4.2: a 408 would come after the client has given up. Until
		// it has, what it repeats is no new request.
		t.final, t.tryAt = true, never
		t.keepFor(64*t.cfg.T1, t.up.Proto.Stream())
		t.schedule()
		t.settle()
	case b.local && code == 503:
		t.reply(500, "", nil)
	case b.local:
		t.reply(code, "", nil)
	default:
		t.forwardBest(b)
	}
}

// forwardBest relays the winning response as received: 503 as 500, and a 401
// or 407 with the challenges of all others (RFC 3261 §16.7 items 6 and 7).
func (t *transaction) forwardBest(b *branch) {
	d := &t.l.response
	if b.edited != nil {
		d.CopyFrom(b.edited)
	} else {
		d.Init(&b.reply.Msg)
	}
	code := int(b.status)
	if code == 503 {
		code = 500
		t.l.logEdit(d.SetStatus(500, nil))
	}
	if code == 401 || code == 407 {
		t.addChallenges(d, b)
	}
	t.passUp(b.reply, d, code)
	t.cancelPending()
}

// addChallenges adds the WWW-Authenticate and Proxy-Authenticate values of all
// other 401 and 407 responses, as they came (RFC 3261 §16.7 item 7).
func (t *transaction) addChallenges(d *sip.Draft, best *branch) {
	for _, b := range t.live.list {
		if b == best || b.reply == nil || b.replica || b.status != 401 && b.status != 407 {
			continue
		}
		m := &b.reply.Msg
		for i := range m.NumHeaders() {
			if h := m.HeaderAt(i); h.ID == sip.HdrWWWAuthenticate || h.ID == sip.HdrProxyAuthenticate {
				t.l.logEdit(d.Append(m.Bytes(h.Name), m.Bytes(h.Value)))
			}
		}
	}
}

// retained is h with its generation held for one more holder.
func retained(h api.Handler) api.Handler {
	if h != nil {
		h.Generation().Retain()
	}
	return h
}

// release lets go of an armed handler's generation.
func release(h api.Handler) {
	if h != nil {
		h.Generation().Release()
	}
}
