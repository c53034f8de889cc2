package txn

import (
	"strconv"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

var _ api.Transaction = (*transaction)(nil)

// ID is index and label in hexadecimal, as OpenSIPS's $T_id is.
func (t *transaction) ID() string {
	return strconv.FormatUint(uint64(t.index), 16) + "." + strconv.FormatUint(uint64(t.label), 16)
}

// Request is the request with the script's edits up to relay. While its
// request route runs, that is the message under edit; nil once the transaction
// only lingers.
func (t *transaction) Request() *sip.Draft {
	switch {
	case t.live == nil:
		return nil
	case t.live.c != nil:
		return t.live.c.Msg
	}
	return &t.live.draft
}

// Source tells where the request came from.
func (t *transaction) Source() api.Source {
	if t.live == nil {
		return api.Source{Socket: t.up.Socket, Remote: t.up.Addr, Flow: t.up.Flow}
	}
	return t.live.source
}

// State is shared by all handlers; nil once the transaction only lingers.
func (t *transaction) State() *api.State {
	if t.live == nil {
		return nil
	}
	return &t.live.state
}

// AddHeaders puts whole lines on every branch sent later.
func (t *transaction) AddHeaders(lines []byte) error {
	if err := sip.CheckLines(lines); err != nil {
		return err
	}
	if t.live != nil {
		t.live.headers = append(t.live.headers, lines...)
	}
	return nil
}

// AddCancelReason puts whole lines on every CANCEL sent later.
func (t *transaction) AddCancelReason(lines []byte) error {
	if err := sip.CheckLines(lines); err != nil {
		return err
	}
	if t.live != nil {
		t.live.cancelReason = append(t.live.cancelReason, lines...)
	}
	return nil
}

// Arm sets the handler of a route type; nil disarms. Its generation is kept
// alive until the handler is disarmed, has fired, or the transaction lingers.
func (t *transaction) Arm(c *api.Ctx, kind api.Route, h api.Handler) {
	if t.live == nil {
		return
	}
	at := &t.live.onReply
	switch kind {
	case api.RouteBranch:
		at = &t.live.onBranch
	case api.RouteFailure:
		at = &t.live.onFailure
	case api.RouteReply:
		if c != nil && c.Kind == api.RouteBranch {
			if b := t.branchAt(c.Branch); b != nil {
				at = &b.onReply
			}
		}
	default:
		return
	}
	old := *at
	*at = retained(h)
	release(old)
}

// Status is the code of the last response sent upstream; 0 when none was.
func (t *transaction) Status() int { return int(t.status) }

// ReplyCode is $T_reply_code: in a reply route the reply's, in a failure route
// the winning one's, elsewhere the last one sent.
func (t *transaction) ReplyCode(c *api.Ctx) int {
	switch {
	case c == nil:
	case c.Kind == api.RouteFailure:
		return c.ReplyCode
	case c.Kind == api.RouteReply && c.Msg != nil:
		return c.Msg.StatusCode()
	}
	return int(t.status)
}

// Cancelled reports whether a CANCEL came.
func (t *transaction) Cancelled() bool { return t.cancelled }

// LocalReplied reports whether the last reply, all of them, or one branch's
// were made here (OpenSIPS t_local_replied). In a failure route "last" is the
// winning reply.
func (t *transaction) LocalReplied(which string) bool {
	if t.live == nil {
		return t.lastLocal
	}
	best := t.best()
	switch which {
	case "all":
		for _, b := range t.live.list {
			if !b.replica && !b.local {
				return false
			}
		}
		return t.status == 0 || t.lastLocal
	case "branch":
		return best != nil && best.local
	}
	if t.status >= 200 || best == nil {
		return t.lastLocal
	}
	return best.local
}

// FrTimeout is how long a branch waits for a first reply.
func (t *transaction) FrTimeout() time.Duration {
	if t.live == nil {
		return 0
	}
	return t.live.fr
}

// SetFrTimeout sets it for branches sent later; 0 is the setting's value.
func (t *transaction) SetFrTimeout(d time.Duration) {
	if t.live != nil {
		t.live.fr = orDefault(d, t.cfg.FrTimeout)
	}
}

// FrInvTimeout is how long an INVITE branch may ring.
func (t *transaction) FrInvTimeout() time.Duration {
	if t.live == nil {
		return 0
	}
	return t.live.frInv
}

// SetFrInvTimeout sets it for branches that will ring, and anew from now on for
// those that do; 0 is the setting's value.
func (t *transaction) SetFrInvTimeout(d time.Duration) {
	if t.live == nil {
		return
	}
	t.live.frInv = orDefault(d, t.cfg.FrInvTimeout)
	for _, b := range t.live.list {
		if b.rings() {
			b.timeoutAt = t.l.now() + t.live.frInv
			b.schedule()
		}
	}
	if t.live.wait != 0 {
		t.waitAt()
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// NumBranches counts branches since the transaction began.
func (t *transaction) NumBranches() int { return int(t.branches) }

// BranchInfo tells of branch i; false past the end and once the transaction
// only lingers.
func (t *transaction) BranchInfo(i int) (api.BranchInfo, bool) {
	if t.live == nil {
		return api.BranchInfo{}, false
	}
	b := t.branchAt(i)
	if b == nil {
		return api.BranchInfo{}, false
	}
	info := api.BranchInfo{Index: i, Target: b.to, Dest: b.dest, LastStatus: int(b.lastCode), Received: int(b.lastCode), Type: "sip", Final: b.decided}
	info.Target.URI = string(b.draft.RequestURI())
	if info.LastStatus == 0 {
		info.LastStatus = int(b.status)
	}
	return info, true
}

// BranchAVP is $bavp of branch i; nil when unset.
func (t *transaction) BranchAVP(i int, name string) any {
	if t.live == nil {
		return nil
	}
	if b := t.branchAt(i); b != nil {
		return b.avps[name]
	}
	return nil
}

// SetBranchAVP writes $bavp of branch i; nil removes it.
func (t *transaction) SetBranchAVP(i int, name string, v any) {
	if t.live == nil {
		return
	}
	b := t.branchAt(i)
	switch {
	case b == nil:
	case v == nil:
		delete(b.avps, name)
	default:
		if b.avps == nil {
			b.avps = make(map[string]any, 2)
		}
		b.avps[name] = v
	}
}

// SetBranchFlags writes the flags of branch i.
func (t *transaction) SetBranchFlags(i int, f api.Flags) {
	if t.live == nil {
		return
	}
	if b := t.branchAt(i); b != nil {
		b.to.Flags = f
	}
}

// SetBranchAttr writes an attribute of branch i; nil removes it.
func (t *transaction) SetBranchAttr(i int, name string, v any) {
	if t.live == nil {
		return
	}
	b := t.branchAt(i)
	if b == nil {
		return
	}
	attrs := make(map[string]any, len(b.to.Attrs)+1) // the map may be shared with the script's target
	for k, old := range b.to.Attrs {
		attrs[k] = old
	}
	if v == nil {
		delete(attrs, name)
	} else {
		attrs[name] = v
	}
	b.to.Attrs = attrs
}

// Cancelled tells whether a CANCEL came for c's request, also before it has a
// transaction (msg.cancelled, t_was_cancelled).
func (l *Layer) Cancelled(c *api.Ctx) bool {
	if t := l.of(c); t != nil {
		return t.cancelled
	}
	return c.Tx != nil && c.Tx.Cancelled()
}
