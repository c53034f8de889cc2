package txn

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Layer is the transaction layer of one worker. See the package comment.
type Layer struct {
	host  Host
	cfg   *Config
	key   hashKey
	seed  maphash.Seed
	epoch time.Time
	wheel wheel

	requests table                   // server transactions and pending entries
	merges   map[uint64]*transaction // relayed requests outside dialogs, by loop hash and method
	slots    []*transaction          // by branchID.index
	unused   []uint32                // indices of slots that are free
	label    uint32
	serial   uint64
	active   []running // requests whose script has not ended, newest last

	freeTx     *transaction
	freeLive   *live
	freeBranch *branch
	nLive      int
	nLinger    int

	buffers  buffers
	drafts   []*sip.Draft
	scratch  sip.Draft // a branch as it goes out
	response sip.Draft // a response that no script edits
	bytes    []byte    // for keys and values being put together
}

// running ties a request's context to its pending entry; tx is nil for an ACK.
type running struct {
	c  *api.Ctx
	in *api.Incoming
	tx *transaction
}

// New makes a layer. cfg may be replaced later by SetConfig; cfg.Secret counts
// here alone.
func New(h Host, cfg *Config) *Layer {
	return &Layer{host: h, cfg: cfg.filled(), key: newHashKey(&cfg.Secret), seed: maphash.MakeSeed(),
		epoch: h.Now(), merges: make(map[uint64]*transaction), label: rand.Uint32()}
}

// SetConfig replaces the settings for transactions that begin from now on.
func (l *Layer) SetConfig(cfg *Config) { l.cfg = cfg.filled() }

// now is the worker's clock as a time since the layer was made.
func (l *Layer) now() time.Duration { return l.host.Now().Sub(l.epoch) }

// Tick fires the timers that are due.
func (l *Layer) Tick(now time.Time) { l.wheel.advance(now.Sub(l.epoch)) }

// Next is when Tick should be called; zero when no timer is set. It may be
// earlier than the first timer is due.
func (l *Layer) Next() time.Time {
	due, ok := l.wheel.next()
	if !ok {
		return time.Time{}
	}
	return l.epoch.Add(due)
}

// Live counts transactions that are under way; lingering ones, which only
// absorb and resend, are not among them.
func (l *Layer) Live() int { return l.nLive }

// Lingering counts transactions that wait for their last timer.
func (l *Layer) Lingering() int { return l.nLinger }

// Close ends every transaction without sending anything, so that handlers,
// generations and messages are let go. Nothing may be parked.
func (l *Layer) Close() {
	for _, t := range l.slots {
		if t != nil && t.state != serverGone {
			t.hold = 0
			t.destroy()
		}
	}
}

// Request handles the protocol side of a received request. With run set the
// engine runs the script on c and then calls Done; otherwise the request has
// been absorbed, answered or dropped here.
func (l *Layer) Request(in *api.Incoming) (c *api.Ctx, run bool) {
	m := &in.Msg
	via, err := m.Via()
	if err != nil {
		return nil, false
	}
	method := m.Method()
	key := l.requestKey(m, via, method)
	if t := l.requests.find(key); t != nil {
		if method != sip.ACK {
			t.retransmitted(in)
			return nil, false
		}
		if t.acknowledged(m) {
			return nil, false
		}
	} else if method == sip.ACK && l.taggedHere(m, key) {
		return nil, false
	}
	if method == sip.CANCEL && l.cancelAtOnce(in, via) {
		return nil, false
	}
	c = l.host.NewCtx(api.RouteRequest)
	c.Route, c.Source = "main", in.Source
	c.Msg.Init(m)
	l.stripOwnMaddr(c)
	r := running{c: c, in: in}
	if method != sip.ACK {
		r.tx = l.newPending(in, key, via)
	}
	l.active = append(l.active, r)
	return c, true
}

// Done ends what Request began, after the script has run: 500 after an error
// without a final reply, the implicit handling of a CANCEL (RFC 3261 §9.2,
// §16.10), a warning about silence. c is freed.
func (l *Layer) Done(c *api.Ctx, v api.Verdict) {
	i := l.find(c)
	if i < 0 {
		l.host.FreeCtx(c)
		return
	}
	r := l.active[i]
	if v == api.VerdictDrop {
		c.Done |= api.ActionDropped
	}
	l.finish(&r, v)
	l.forget(l.find(c))
	if r.tx != nil && r.tx.live != nil {
		r.tx.routeEnded(c)
	}
	l.host.FreeCtx(c)
	if t := r.tx; t != nil {
		t.hold--
		t.settle()
	}
}

// routeEnded keeps the edits of a request route that has not relayed, for
// branches that are injected later.
func (t *transaction) routeEnded(c *api.Ctx) {
	if t.live.loop == 0 && !t.final {
		t.live.draft.CopyFrom(c.Msg)
	}
	t.live.c = nil
}

// forget takes a request out of those whose script has not ended.
func (l *Layer) forget(i int) {
	last := len(l.active) - 1
	l.active[i] = l.active[last]
	l.active[last] = running{}
	l.active = l.active[:last]
}

// find is the position of c's request among those whose script has not ended.
func (l *Layer) find(c *api.Ctx) int {
	for i := len(l.active) - 1; i >= 0; i-- {
		if l.active[i].c == c {
			return i
		}
	}
	return -1
}

// finish does what the script left undone.
func (l *Layer) finish(r *running, v api.Verdict) {
	c, t := r.c, r.tx
	switch {
	case t == nil: // an ACK is never answered
		return
	case t.method == sip.CANCEL:
		l.finishCancel(c, v)
		return
	case t.state != serverPending && t.final, c.Done&api.ActionReplied != 0:
		return
	case t.cancelled:
		l.finishCancelled(c, t)
		return
	case v == api.VerdictError:
		l.finishError(c, t)
		return
	}
	acted := c.Done&(api.ActionReplied|api.ActionProvision|api.ActionRelayed|api.ActionDropped|api.ActionHandled) != 0
	if !acted && t.pendingBranches() == 0 {
		l.host.Log(c, api.LevelWarn, "script ended without reply, relay or drop", api.Field{Key: "ruri", Value: string(c.Msg.RequestURI())})
	}
}

// finishCancelled sends the 487 of a request whose CANCEL came while its
// handler waited and that the handler has sent nowhere.
func (l *Layer) finishCancelled(c *api.Ctx, t *transaction) {
	if t.pendingBranches() > 0 || t.live != nil && t.live.deciding {
		return
	}
	if _, err := l.Transaction(c); err == nil {
		t.reply(487, "", nil)
	}
}

// finishError answers 500 after a script error, unless a branch is under way
// that will be answered (LUA_API: 500 if no final reply was sent).
func (l *Layer) finishError(c *api.Ctx, t *transaction) {
	if t.pendingBranches() > 0 {
		return
	}
	if t.state == serverPending {
		if err := l.StatelessReply(c, 500, "", nil); err != nil {
			l.host.Log(c, api.LevelWarn, "no 500 after a script error", api.Field{Key: "error", Value: err})
		}
		return
	}
	t.reply(500, "", nil)
}

// errors of the layer's own functions.
var (
	errNoRequest = errors.New("there is no request of the script's to act on here")
	errACK       = errors.New("an ACK has no transaction and is never answered (RFC 3261 §17)")
	errFull      = errors.New("this worker has no room for another transaction")
)

// Transaction is c's transaction, made when there is none (OpenSIPS t_newtran,
// RFC 3261 §16.2).
func (l *Layer) Transaction(c *api.Ctx) (api.Transaction, error) {
	if c.Tx != nil {
		return c.Tx, nil
	}
	if c.Msg == nil || c.Kind != api.RouteRequest {
		return nil, errNoRequest
	}
	if c.Msg.Method() == sip.ACK {
		return nil, errACK
	}
	i := l.find(c)
	if i < 0 {
		return nil, errNoRequest
	}
	t := l.active[i].tx
	if t.state == serverPending && !t.begin(c, l.active[i].in) {
		return nil, errFull
	}
	c.Tx = t
	return t, nil
}

// Parking tells that c's handler gives the token away: an INVITE that has been
// answered by nothing gets 100 Trying after 200 ms (RFC 3261 §17.2.1), another
// request that has a transaction when its client would repeat it every T2
// (RFC 4320 §4.1), and a CANCEL will be taken without the script.
func (l *Layer) Parking(c *api.Ctx) {
	t := l.of(c)
	if t == nil {
		return
	}
	t.parks++
	if t.state == serverNone || t.status != 0 || t.tryAt != never || t.sent100 {
		return
	}
	switch {
	case t.method == sip.INVITE:
		t.tryAt = l.since(c.Source.Received) + 200*time.Millisecond
	case t.state == serverProceeding:
		t.tryAt = l.since(c.Source.Received) + 7*t.cfg.T1
	}
	t.schedule()
}

// Resumed ends what Parking began.
func (l *Layer) Resumed(c *api.Ctx) {
	if t := l.of(c); t != nil && t.parks > 0 {
		t.parks--
	}
}

// since is a moment on the layer's clock; now for one that is not set.
func (l *Layer) since(t time.Time) time.Duration {
	if t.IsZero() {
		return l.now()
	}
	return t.Sub(l.epoch)
}

// of is the transaction, or pending entry, that c's handler belongs to.
func (l *Layer) of(c *api.Ctx) *transaction {
	if t, ok := c.Tx.(*transaction); ok {
		return t
	}
	if i := l.find(c); i >= 0 {
		return l.active[i].tx
	}
	return nil
}
