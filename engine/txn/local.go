package txn

import (
	"errors"
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

var (
	errHops      = errors.New("Max-Forwards is 0: the request must not be forwarded")
	errCancelled = errors.New("a CANCEL came for this request: it is not sent on")
	errNewMethod = errors.New("a request of our own cannot be an ACK or a CANCEL: these belong to an INVITE")
)

// NewRequest sends a request of our own by a client transaction that has no
// server side (OpenSIPS t_new_request). local_route.main sees it first. It does
// not wait: r.Done hears of the final status later, with the worker's token; 503
// when it could not be sent.
func (l *Layer) NewRequest(c *api.Ctx, r *api.NewRequest) error {
	switch sip.ParseMethod([]byte(r.Method)) {
	case sip.ACK, sip.CANCEL:
		return errNewMethod
	}
	t, err := l.newLocal(r)
	if err != nil {
		return err
	}
	b := t.addBranch(&t.live.draft, &t.live.target)
	if !t.runLocal(b) {
		b.void()
		t.final = true
		t.settle()
		return nil
	}
	if o := t.prepareAll(nil, []*branch{b}); !o.OK() {
		t.abandon(b)
		return errors.New(o.Text)
	}
	return t.resolveLocal(b)
}

// newLocal makes the transaction of a request made here.
func (l *Layer) newLocal(r *api.NewRequest) (*transaction, error) {
	in := api.NewIncoming(nil)
	in.Use()
	in.Buf = l.appendRequest(nil, r)
	if err := in.Msg.ParseDatagram(in.Buf, nil); err != nil {
		return nil, err
	}
	t := l.takeTx()
	t.cfg, t.method, t.state = l.cfg, in.Msg.Method(), serverNone
	if !t.number() {
		l.putTx(t)
		return nil, errFull
	}
	lv := l.takeLive()
	t.live = lv
	l.nLive++
	lv.in, lv.done = in, r.Done
	lv.fr, lv.frInv = t.cfg.FrTimeout, t.cfg.FrInvTimeout
	lv.target.Q = -1
	lv.draft.Init(&in.Msg)
	if r.Context != "" {
		lv.state.SetAVP("uac_ctx", r.Context)
	}
	return t, nil
}

// appendRequest writes the request; tags and Call-ID are new (RFC 3261 §8.1.1).
// A Via stands in for the one that each send puts on top, since a message
// without one would not be read.
func (l *Layer) appendRequest(dst []byte, r *api.NewRequest) []byte {
	l.serial++
	var id, tag [tagLen]byte
	callID, from := l.tag(id[:0], l.serial^uint64(l.label)<<32), l.tag(tag[:0], ^l.serial^uint64(l.label)<<32)
	dst = append(append(append(dst, r.Method...), ' '), r.RURI...)
	dst = append(dst, " SIP/2.0\r\nVia: SIP/2.0/UDP 0.0.0.0\r\nFrom: "...)
	dst = append(append(append(appendAddr(dst, r.From), ";tag="...), from...), "\r\nTo: "...)
	dst = append(appendAddr(dst, r.To), "\r\nCall-ID: "...)
	dst = append(dst, callID...)
	dst = append(append(append(dst, "\r\nCSeq: 1 "...), r.Method...), "\r\n"...)
	if l.cfg.UserAgent != "" {
		dst = append(append(append(dst, "User-Agent: "...), l.cfg.UserAgent...), "\r\n"...)
	}
	dst = append(dst, r.Headers...)
	if r.CType != "" && len(r.Body) > 0 {
		dst = append(append(append(dst, "Content-Type: "...), r.CType...), "\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
	return append(append(dst, "\r\n\r\n"...), r.Body...)
}

// appendAddr writes From or To, a bare URI in <> so that parameters behind it
// are the header's.
func appendAddr(dst []byte, s string) []byte {
	var a sip.NameAddr
	if _, err := sip.ParseNameAddr([]byte(s), &a); err == nil && !a.Bracket {
		return append(append(append(dst, '<'), s...), '>')
	}
	return append(dst, s...)
}

// runLocal runs local_route.main; false when it dropped the request. Edits of
// a run that failed are undone.
func (t *transaction) runLocal(b *branch) bool {
	b.draft.RemoveID(sip.HdrVia)
	s := t.l.host.Script()
	if !s.HasLocal() {
		return true
	}
	c := t.handlerCtx(api.RouteLocal, nil)
	c.Msg, c.Target, c.Branch = &b.draft, &b.to, int(b.index)
	t.hold++
	v := s.Local(c)
	t.hold--
	b.to.URI = ""
	t.l.host.FreeCtx(c)
	if v == api.VerdictError {
		b.draft.Init(&t.live.in.Msg)
		b.draft.RemoveID(sip.HdrVia)
		b.to = t.live.target
	}
	return v != api.VerdictDrop
}

// resolveLocal sends at once where the destination is known, and later where
// a query is needed: nothing waits for it.
func (t *transaction) resolveLocal(b *branch) error {
	q, hop, numeric := t.l.question(b.nextURI(), &b.to, b.sips)
	if numeric {
		b.aim(hop)
		return t.sendLocal(b)
	}
	hops, ok, err := t.l.host.Resolver().Cached(q)
	if ok {
		if err != nil {
			t.abandon(b)
			return err
		}
		b.hops = hops
		return t.sendLocal(b)
	}
	t.hold++
	t.l.host.Resolver().ResolveAsync(q, func(hops []api.Hop, err error) {
		t.l.host.Post(func() {
			t.hold--
			if t.live == nil {
				return
			}
			b.hops = hops
			if err != nil {
				t.l.logUnresolved(nil, &q, err)
			}
			done := t.live.done
			if t.sendLocal(b) != nil && done != nil {
				done(503)
			}
		})
	})
	return nil
}

func (t *transaction) sendLocal(b *branch) error {
	if !b.sendSomewhere() {
		t.abandon(b)
		return errNoSocket
	}
	return nil
}

// abandon ends a request of our own that was not sent.
func (t *transaction) abandon(b *branch) {
	b.void()
	t.final = true
	t.live.done = nil
	t.settle()
}

// considerLocal ends a request of our own with its final response.
func (b *branch) considerLocal(code int) {
	if code < 200 || b.decided {
		return
	}
	b.decided, b.status = true, uint16(code)
	b.reached()
	if code == 503 && b.tryNextHop() {
		return
	}
	b.tx.doneLocal(code)
}

// doneLocal tells the asker.
func (t *transaction) doneLocal(code int) {
	done := t.live.done
	t.live.done = nil
	t.final = true
	t.endAt = t.l.now()
	if done != nil {
		done(code)
	}
	t.settle()
}
