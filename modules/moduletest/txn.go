package moduletest

import (
	"slices"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Transaction records what modules do with a transaction. Its fields are what
// its methods answer.
type Transaction struct {
	Name        string
	Req         *sip.Draft
	From        api.Source
	Shared      *api.State
	Answer      api.Outcome // of Relay, Reply, Replicate, Inject and the waits
	LastStatus  int
	WasCancel   bool
	Local       bool
	Code        int // ReplyCode
	Fr, FrInv   time.Duration
	Branches    []api.BranchInfo
	Armed       map[api.Route]api.Handler
	Relayed     []api.Target // Target and Extra of each Relay, in order
	RelayedWith []api.RelayFlags
	Replies     []Reply
	Replicated  []string
	Injected    []api.Target
	Waiting     bool // between WaitForBranches and WaitNoMore
	Cancels     []api.CancelWhich
	Headers     string // of AddHeaders
	CancelHdrs  string // of AddCancelReason

	avps map[int]map[string]any
}

// NewTransaction is a transaction for c's message that answers true to all.
func NewTransaction(c *api.Ctx) *Transaction {
	return &Transaction{Name: "1.2", Req: c.Msg, From: c.Source, Shared: c.State,
		Answer: api.Outcome{Code: 1, Name: "relayed"}, Fr: 30 * time.Second, FrInv: 120 * time.Second,
		Armed: map[api.Route]api.Handler{}, avps: map[int]map[string]any{}}
}

// ID is Name.
func (x *Transaction) ID() string { return x.Name }

// Request is Req.
func (x *Transaction) Request() *sip.Draft { return x.Req }

// Source is From.
func (x *Transaction) Source() api.Source { return x.From }

// State is Shared.
func (x *Transaction) State() *api.State { return x.Shared }

// Relay records c's targets.
func (x *Transaction) Relay(c *api.Ctx, flags api.RelayFlags) api.Outcome {
	first := *c.Target
	first.URI = string(c.Msg.RequestURI())
	x.Relayed = append(append(x.Relayed, first), c.Extra...)
	x.RelayedWith = append(x.RelayedWith, flags)
	if x.Answer.OK() {
		c.Done |= api.ActionRelayed
	}
	return x.Answer
}

// Reply records a reply.
func (x *Transaction) Reply(c *api.Ctx, code int, reason string, o *api.ReplyOptions) api.Outcome {
	x.Replies = append(x.Replies, Reply{Code: code, Reason: reason, Options: copyOptions(o)})
	x.LastStatus = code
	if x.Answer.OK() {
		c.Done |= actionOf(code)
	}
	return x.Answer
}

// Replicate records the URI.
func (x *Transaction) Replicate(_ *api.Ctx, uri string, _ api.RelayFlags) api.Outcome {
	x.Replicated = append(x.Replicated, uri)
	return x.Answer
}

// Inject records the targets.
func (x *Transaction) Inject(_ *api.Ctx, targets []api.Target, cancelOthers bool) api.Outcome {
	x.Injected = append(x.Injected, targets...)
	if cancelOthers {
		x.Cancels = append(x.Cancels, api.CancelOthers)
	}
	return x.Answer
}

// WaitForBranches sets Waiting.
func (x *Transaction) WaitForBranches(int) api.Outcome { x.Waiting = true; return x.Answer }

// WaitNoMore clears Waiting.
func (x *Transaction) WaitNoMore() api.Outcome { x.Waiting = false; return x.Answer }

// CancelBranches records which and answers the number of Branches.
func (x *Transaction) CancelBranches(_ *api.Ctx, which api.CancelWhich, _ int) int {
	x.Cancels = append(x.Cancels, which)
	return len(x.Branches)
}

// AddHeaders records.
func (x *Transaction) AddHeaders(lines []byte) error { x.Headers += string(lines); return nil }

// AddCancelReason records.
func (x *Transaction) AddCancelReason(lines []byte) error { x.CancelHdrs += string(lines); return nil }

// Arm records; nil disarms.
func (x *Transaction) Arm(_ *api.Ctx, kind api.Route, h api.Handler) {
	if h == nil {
		delete(x.Armed, kind)
		return
	}
	x.Armed[kind] = h
}

// Status is LastStatus.
func (x *Transaction) Status() int { return x.LastStatus }

// ReplyCode is Code.
func (x *Transaction) ReplyCode(*api.Ctx) int { return x.Code }

// Cancelled is WasCancel.
func (x *Transaction) Cancelled() bool { return x.WasCancel }

// LocalReplied is Local.
func (x *Transaction) LocalReplied(string) bool { return x.Local }

// FrTimeout is Fr.
func (x *Transaction) FrTimeout() time.Duration { return x.Fr }

// SetFrTimeout writes Fr.
func (x *Transaction) SetFrTimeout(d time.Duration) { x.Fr = d }

// FrInvTimeout is FrInv.
func (x *Transaction) FrInvTimeout() time.Duration { return x.FrInv }

// SetFrInvTimeout writes FrInv.
func (x *Transaction) SetFrInvTimeout(d time.Duration) { x.FrInv = d }

// NumBranches counts Branches.
func (x *Transaction) NumBranches() int { return len(x.Branches) }

// BranchInfo is Branches[i].
func (x *Transaction) BranchInfo(i int) (api.BranchInfo, bool) {
	if i < 0 || i >= len(x.Branches) {
		return api.BranchInfo{}, false
	}
	return x.Branches[i], true
}

// BranchAVP reads what SetBranchAVP wrote.
func (x *Transaction) BranchAVP(i int, name string) any { return x.avps[i][name] }

// SetBranchAVP writes.
func (x *Transaction) SetBranchAVP(i int, name string, v any) {
	if x.avps[i] == nil {
		x.avps[i] = map[string]any{}
	}
	x.avps[i][name] = v
}

// SetBranchFlags writes Branches[i].
func (x *Transaction) SetBranchFlags(i int, f api.Flags) {
	if i >= 0 && i < len(x.Branches) {
		x.Branches[i].Target.Flags = f
	}
}

// SetBranchAttr writes Branches[i].
func (x *Transaction) SetBranchAttr(i int, name string, v any) {
	if i < 0 || i >= len(x.Branches) {
		return
	}
	t := &x.Branches[i].Target
	if t.Attrs == nil {
		t.Attrs = map[string]any{}
	}
	t.Attrs[name] = v
}

// Codes are the codes of the replies made, in order.
func (x *Transaction) Codes() []int {
	var out []int
	for _, r := range x.Replies {
		out = append(out, r.Code)
	}
	return slices.Clip(out)
}

// Handler is an armed route made for tests.
type Handler string

// Name is the string.
func (h Handler) Name() string { return string(h) }

// Generation is nil: nothing retains it.
func (h Handler) Generation() api.Generation { return nil }
