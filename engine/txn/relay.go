package txn

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Relay sends c's request to c.Target and c.Extra in parallel (OpenSIPS t_relay,
// RFC 3261 §16.6). Called with a CANCEL it cancels instead (§16.10). It parks
// while a name is not in the cache, and in a branch route that waits.
func (t *transaction) Relay(c *api.Ctx, flags api.RelayFlags) api.Outcome {
	if c.Msg == nil || !c.Msg.IsRequest() {
		return outcome(-1, "error", "there is no request to relay here")
	}
	if c.Msg.Method() == sip.CANCEL {
		return t.relayCancel(c, flags)
	}
	if o := t.mayRelay(); !o.OK() {
		return o
	}
	if o := t.validate(c); !o.OK() {
		return o
	}
	lv := t.live
	lv.noFail = flags&api.RelayNoDNSFailover != 0
	lv.draft.CopyFrom(c.Msg)
	h := lv.onBranch
	lv.onBranch = nil
	o := t.fork(c, flags, h)
	release(h)
	c.Extra = c.Extra[:0]
	if o.OK() {
		c.Done |= api.ActionRelayed
	}
	t.decide()
	return o
}

// fork makes a branch per target and sends them.
func (t *transaction) fork(c *api.Ctx, flags api.RelayFlags, h api.Handler) api.Outcome {
	set := make([]*branch, 0, 4)
	first := *c.Target
	first.URI = ""
	if b := t.addBranch(c.Msg, &first); b != nil {
		set = append(set, b)
	}
	for i := range c.Extra {
		if triedBefore(c, i) {
			continue
		}
		b := t.addBranch(c.Msg, &c.Extra[i])
		if b == nil {
			void(set)
			return outcomeMany
		}
		set = append(set, b)
	}
	if len(set) == 0 {
		return outcomeMany
	}
	if !t.shareBreadth(set) {
		void(set)
		t.refuse(c, 440, "", nil)
		return outcomeBreadth
	}
	return t.launch(c, set, flags, h)
}

// launch runs the branch route on each branch, resolves all of them, and sends.
func (t *transaction) launch(c *api.Ctx, set []*branch, flags api.RelayFlags, h api.Handler) api.Outcome {
	lv := t.live
	lv.launching++
	defer func() { lv.launching-- }()
	if h != nil {
		for _, b := range set {
			if !t.runBranchRoute(c, b, h) {
				b.void()
			}
		}
	}
	o := t.prepareAll(c, set)
	if !o.OK() && !t.cancelled {
		void(set)
		return o
	}
	if o.OK() {
		o = t.resolveAll(c, set)
	}
	if now := t.mayRelay(); !now.OK() {
		void(set)
		return now
	}
	if !o.OK() {
		void(set)
		return o
	}
	return t.sendAll(set, flags)
}

// mayRelay tells whether the transaction may have new branches at all.
func (t *transaction) mayRelay() api.Outcome {
	switch {
	case t.cancelled:
		if !t.final && t.live != nil && t.pendingBranches() == 0 {
			t.reply(487, "", nil)
		}
		return outcomeCancelled
	case t.final || t.live == nil:
		return outcomeFinal
	case t.live.saw6xx:
		return outcomeBlocked
	}
	return outcomeRelayed
}

// validate is RFC 3261 §16.3 for what is about to be relayed: items 3, 5 and,
// since it may fork, 4 (RFC 5393 §4.2).
func (t *transaction) validate(c *api.Ctx) api.Outcome {
	lv := t.live
	if n, present, err := c.Msg.MaxForwards(); err == nil && present && n == 0 && !hopsTouched(c.Msg, &lv.in.Msg) {
		t.refuse(c, 483, "", nil)
		return outcomeHops
	}
	if c.Msg.Has(sip.HdrProxyRequire) {
		var lines []byte
		for v := range c.Msg.Values([]byte("Proxy-Require")) {
			lines = append(append(append(lines, "Unsupported: "...), v...), "\r\n"...)
		}
		t.refuse(c, 420, "", &api.ReplyOptions{Headers: lines})
		return outcomeExtension
	}
	if lv.loop == 0 {
		m := c.Msg.Message()
		loop := t.l.loopHash(m)
		if t.l.looped(m, loop) {
			t.refuse(c, 482, "", nil)
			return outcomeLoop
		}
		if t.merged(m, loop) {
			t.refuse(c, 482, "Merged Request", nil)
			return outcomeMerged
		}
		lv.loop, lv.breadth = loop, t.receivedBreadth(m)
	}
	return outcomeRelayed
}

// refuse answers a request that must not be relayed.
func (t *transaction) refuse(c *api.Ctx, code int, reason string, o *api.ReplyOptions) {
	if t.pendingBranches() == 0 {
		t.Reply(c, code, reason, o)
	}
}

// hopsTouched tells that the script has written Max-Forwards itself: d's is not
// that of the request as it came.
func hopsTouched(d *sip.Draft, came *sip.Message) bool {
	return !bytes.Equal(d.First(sip.HdrMaxForwards), came.First(sip.HdrMaxForwards))
}

// triedBefore tells that Extra[i] repeats the message's own target or an
// earlier one (RFC 3261 §16.5: no URI twice).
func triedBefore(c *api.Ctx, i int) bool {
	e := &c.Extra[i]
	if sip.EqualFold(e.URI, c.Msg.RequestURI()) && sameWay(e, c.Target) && e.URI == string(c.Msg.RequestURI()) {
		return true
	}
	for j := range i {
		if o := &c.Extra[j]; o.URI == e.URI && sameWay(o, e) {
			return true
		}
	}
	return false
}

func sameWay(a, b *api.Target) bool {
	return a.Duri == b.Duri && a.Path == b.Path && a.Flow == b.Flow && a.Socket == b.Socket && a.Bond == b.Bond
}

// addBranch makes a branch from a request and a target; an empty URI is the
// request's own.
func (t *transaction) addBranch(d *sip.Draft, to *api.Target) *branch {
	b := t.newBranch()
	if b == nil {
		return nil
	}
	b.draft.CopyFrom(d)
	b.to = *to
	if to.URI != "" && to.URI != string(d.RequestURI()) {
		if err := b.draft.SetRequestURI([]byte(to.URI)); err != nil {
			t.l.logEdit(err)
			b.void()
		}
	}
	b.to.URI = ""
	return b
}

// void takes a branch that was never sent out of the reckoning.
func (b *branch) void() {
	b.replica, b.decided = true, true
	b.breadth = 0
	b.stop()
}

func void(set []*branch) {
	for _, b := range set {
		b.void()
	}
}

// runBranchRoute runs the armed branch route on one branch; false when it was
// dropped, or failed (LUA_API: the branch is not sent).
func (t *transaction) runBranchRoute(parent *api.Ctx, b *branch, h api.Handler) bool {
	if b.decided || t.cancelled || t.live == nil {
		return false
	}
	c := t.handlerCtx(api.RouteBranch, h)
	c.Msg, c.Target, c.Branch = &b.draft, &b.to, int(b.index)
	if parent.Tx == t { // who injects may be of another call
		c.CallID = parent.CallID
	}
	v := t.l.host.Script().Run(c, h)
	b.to.URI = ""
	t.l.host.FreeCtx(c)
	return v == api.VerdictNone
}

// handlerCtx is a context for an armed handler of t.
func (t *transaction) handlerCtx(kind api.Route, h api.Handler) *api.Ctx {
	c := t.l.host.NewCtx(kind)
	c.Route = "main"
	if h != nil {
		_, c.Route, _ = strings.Cut(h.Name(), ".")
	}
	c.Tx, c.Source, c.State = t, t.live.source, &t.live.state
	return c
}

// prepareAll makes the branches' requests ready but for what needs the socket.
func (t *transaction) prepareAll(c *api.Ctx, set []*branch) api.Outcome {
	n := 0
	bad := outcomeNoTarget
	for _, b := range set {
		if b.decided {
			continue
		}
		if !b.prepare() {
			b.void()
			bad = outcomeScheme
			continue
		}
		n++
	}
	if n > 0 {
		return outcomeRelayed
	}
	if bad == outcomeScheme {
		t.refuse(c, 416, "", nil)
	}
	return bad
}

// prepare applies RFC 3261 §16.6 items 2, 3 and 6, Path (RFC 3327 §5.3),
// Max-Breadth and received. False when nothing tells where to send it: the
// Request-URI's scheme leads nowhere (§16.3 item 2).
func (b *branch) prepare() bool {
	t := b.tx
	d := &b.draft
	turned := turnedRound(d, &b.to)
	cleanRequestURI(t.l, d)
	countHop(t.l, d, &t.live.in.Msg)
	if b.breadth > 0 {
		var n [8]byte
		t.l.logEdit(d.Set(maxBreadthName, strconv.AppendUint(n[:0], uint64(b.breadth), 10)))
	}
	if t.state != serverNone {
		t.l.setReceived(d, &t.live.source, t.live.state.AddRport)
	}
	if b.to.Path != "" {
		t.l.logEdit(d.Prepend(sip.HdrRoute, []byte(b.to.Path)))
	}
	b.sips = isSips(d.RequestURI())
	b.strict = turned || strictRoute(t.l, d)
	return usable(b.nextURI())
}

var (
	maxForwardsName = []byte("Max-Forwards")
	maxBreadthName  = []byte("Max-Breadth")
)

// countHop lowers Max-Forwards by one, or adds 70, unless the script did
// (RFC 3261 §16.6 item 3).
func countHop(l *Layer, d *sip.Draft, came *sip.Message) {
	if hopsTouched(d, came) {
		return
	}
	n, present, err := d.MaxForwards()
	if !present || err != nil {
		n = 71
	}
	var v [4]byte
	l.logEdit(d.Set(maxForwardsName, strconv.AppendUint(v[:0], uint64(max(n-1, 0)), 10)))
}

// cleanRequestURI takes out what a Request-URI may not have: the method
// parameter and headers (RFC 3261 §16.6 item 2, §19.1.1).
func cleanRequestURI(l *Layer, d *sip.Draft) {
	uri := d.RequestURI()
	if bytes.IndexByte(uri, '?') < 0 && bytes.IndexByte(uri, ';') < 0 {
		return
	}
	var u sip.URI
	if sip.ParseURI(uri, &u) != nil || !u.IsSIP() {
		return
	}
	if _, has := u.Param("method"); !has && u.Headers == nil {
		return
	}
	end := len(uri)
	if u.Headers != nil {
		end -= len(u.Headers) + 1
	}
	out := append(l.bytes[:0], uri[:end-lenWithSemi(u.Params)]...)
	sip.EachParam(u.Params, func(name, value []byte) bool {
		if sip.EqualFold(name, "method") {
			return true
		}
		out = append(append(out, ';'), name...)
		if value != nil {
			out = append(append(out, '='), value...)
		}
		return true
	})
	l.bytes = out
	l.logEdit(d.SetRequestURI(out))
}

func lenWithSemi(params []byte) int {
	if params == nil {
		return 0
	}
	return len(params) + 1
}

// turnedRound tells that loose_route has turned the request round for a strict
// router already: the destination that it set is the Request-URI itself.
func turnedRound(d *sip.Draft, to *api.Target) bool {
	return to.Duri != "" && to.Duri == string(d.RequestURI())
}

// strictRoute turns the request round for a next hop that is a strict router:
// its URI becomes the Request-URI, which goes behind the last Route
// (RFC 3261 §16.6 item 6). It tells whether it did.
func strictRoute(l *Layer, d *sip.Draft) bool {
	pos, h, ok := d.FindID(sip.HdrRoute)
	if !ok {
		return false
	}
	var top sip.NameAddr
	rest, err := sip.ParseNameAddr(h.Value, &top)
	if err != nil || top.URI.LR() || !top.URI.IsSIP() {
		return false
	}
	own := append(append(append([]byte(nil), '<'), d.RequestURI()...), '>')
	next := append([]byte(nil), top.Addr...)
	if len(rest) > 0 {
		l.logEdit(d.SetAt(pos, sip.Unfold(bytes.Clone(bytes.TrimSpace(rest)))))
	} else {
		d.RemoveAt(pos)
	}
	if d.Has(sip.HdrRoute) {
		l.logEdit(d.InsertAfter([]byte("Route"), []byte("Route"), own))
	} else {
		l.logEdit(d.Prepend(sip.HdrRoute, own))
	}
	l.logEdit(d.SetRequestURI(next))
	return true
}

// nextURI is where the branch goes next: destination URI, else top Route
// unless that has become the Request-URI, else Request-URI
// (RFC 3261 §16.6 items 6 and 7).
func (b *branch) nextURI() []byte {
	if b.to.Duri != "" {
		return []byte(b.to.Duri)
	}
	return nextHopURI(&b.draft, b.strict)
}

// nextHopURI is the URI that names the next hop of a request after strictRoute,
// which answered strict.
func nextHopURI(d *sip.Draft, strict bool) []byte {
	if v := d.First(sip.HdrRoute); v != nil && !strict {
		var top sip.NameAddr
		if _, err := sip.ParseNameAddr(v, &top); err == nil && top.URI.LR() {
			return top.Addr
		}
	}
	return d.RequestURI()
}

// isSips tells a sips URI by its scheme.
func isSips(uri []byte) bool { return len(uri) > 5 && sip.EqualFold(uri[:5], "sips:") }

// usable tells that a URI names a host to send to.
func usable(uri []byte) bool {
	var u sip.URI
	return sip.ParseURI(uri, &u) == nil && u.IsSIP() && len(u.Host) > 0
}

// sendAll sends the branches that are ready. It answers true when one at least
// could be sent; the others count as 503 then (RFC 3261 §16.9).
func (t *transaction) sendAll(set []*branch, flags api.RelayFlags) api.Outcome {
	if t.method == sip.INVITE && t.cfg.Auto100 && flags&api.RelayNoAuto100 == 0 && t.state == serverProceeding {
		t.send100()
	}
	sent, failed := 0, outcomeSendFailed
	for _, b := range set {
		if b.decided {
			continue
		}
		if b.sendSomewhere() {
			sent++
			continue
		}
		if !b.dest.Addr.IsValid() {
			failed = outcomeUnresolved
		}
		b.decided, b.local, b.status = true, true, 503
	}
	if sent == 0 {
		void(set)
		return failed
	}
	if t.live.wait == 0 { // from here on the branches' own timers end it
		t.endAt = never
	}
	if t.method != sip.INVITE && t.state == serverProceeding && t.status == 0 { // RFC 4320 §4.1
		t.tryAt = t.l.since(t.live.source.Received) + 7*t.cfg.T1
	}
	t.schedule()
	return outcomeRelayed
}

// sendSomewhere sends to the first hop that takes the request.
func (b *branch) sendSomewhere() bool {
	if b.dest.Socket != nil && b.send() == nil {
		return true
	}
	for hop, ok := b.nextHop(); ok; hop, ok = b.nextHop() {
		if b.aim(hop) && b.send() == nil {
			return true
		}
	}
	return false
}
