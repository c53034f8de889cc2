package api

import (
	"net/netip"
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// Outcome is the yes/no answer of a transaction function: OpenSIPS's integer,
// a word, and a sentence for people.
type Outcome struct {
	Code int    // 1 and above: true; below 0: false
	Name string // "relayed", "cancelled", "no_target", "unresolved", "send_failed", "breadth"
	Text string
}

// OK reports whether the outcome is true in OpenSIPS's sense.
func (o Outcome) OK() bool { return o.Code > 0 }

// RelayFlags are t_relay's flags.
type RelayFlags uint8

// The flags, by their OpenSIPS words.
const (
	RelayNoAuto100     RelayFlags = 1 << iota // no-auto-477 has no meaning here; "no-auto-100"
	RelayNoAuto477                            // "no-auto-477": leave the failure to the script
	RelayNoDNSFailover                        // "no-dns-failover"
	RelayPassReason                           // "reason": pass the Reason header of a CANCEL
	RelayAllowRedirect                        // "allow-no-cancel" and the like are refused by name in tm
)

// Transaction is a server transaction with its branches: what tm's functions
// act on (RFC 3261 §16). All methods need the worker's token; those that take
// a Ctx may park.
type Transaction interface {
	// ID is the hash of OpenSIPS's $T_id: index and label in one printable word.
	ID() string
	// Request is the request as received, with the script's edits up to relay.
	Request() *sip.Draft
	// Source tells where the request came from.
	Source() Source
	// State is shared by all its handlers.
	State() *State

	// Relay sends c's request to c.Target and c.Extra, in parallel, as
	// t_relay does; each branch passes the armed branch route. It parks while
	// a name is not in the cache. In a failure route it adds branches.
	Relay(c *Ctx, flags RelayFlags) Outcome
	// Reply answers upstream (t_reply). A final one cancels what is pending.
	Reply(c *Ctx, code int, reason string, o *ReplyOptions) Outcome
	// Replicate sends a copy that is never answered upstream (t_replicate).
	Replicate(c *Ctx, uri string, flags RelayFlags) Outcome
	// Inject adds branches while the transaction waits (t_inject_branches).
	Inject(c *Ctx, targets []Target, cancelOthers bool) Outcome
	// WaitForBranches keeps the transaction open for injected branches
	// (t_wait_for_new_branches); max 0 is no limit. WaitNoMore ends it.
	WaitForBranches(max int) Outcome
	WaitNoMore() Outcome
	// CancelBranches cancels pending branches: all but keep (-1: all).
	CancelBranches(c *Ctx, which CancelWhich, keep int) int
	// AddHeaders puts whole header lines on every branch sent later
	// (t_add_hdrs); AddCancelReason on every CANCEL (t_add_cancel_reason).
	AddHeaders(lines []byte) error
	AddCancelReason(lines []byte) error

	// Arm sets the handler of a route type (RouteBranch, RouteFailure,
	// RouteReply); nil disarms. In a branch route RouteReply arms that branch.
	Arm(c *Ctx, kind Route, h Handler)
	// Status is the code of the last reply sent upstream; 0 when none was.
	Status() int
	// ReplyCode is $T_reply_code in c's route.
	ReplyCode(c *Ctx) int
	// Cancelled reports whether a CANCEL came (t_was_cancelled).
	Cancelled() bool
	// LocalReplied reports whether the last or all replies were made here
	// (t_local_replied "all" | "last" | "branch").
	LocalReplied(which string) bool
	// FrTimeout and FrInvTimeout are the final response timers in force,
	// seconds as the parameters fr_timeout and fr_inv_timeout (RFC 3261 timer
	// F and B before a provisional, Timer C behind it); set before Relay.
	FrTimeout() time.Duration
	SetFrTimeout(d time.Duration)
	FrInvTimeout() time.Duration
	SetFrInvTimeout(d time.Duration)

	// NumBranches counts branches since the transaction began; BranchInfo
	// tells of one, ok false past the end.
	NumBranches() int
	BranchInfo(i int) (b BranchInfo, ok bool)
	// BranchAVP is $bavp: values kept with one branch.
	BranchAVP(i int, name string) any
	SetBranchAVP(i int, name string, v any)
	// SetBranchFlags and SetBranchAttr write $tm.branch.flag and .attr.
	SetBranchFlags(i int, f Flags)
	SetBranchAttr(i int, name string, v any)
}

// CancelWhich selects branches for CancelBranches.
type CancelWhich uint8

// The selections of t_cancel_branch: this branch, the others, all.
const (
	CancelThis CancelWhich = iota
	CancelOthers
	CancelAll
)

// BranchInfo is a snapshot of one branch of a transaction ($tm.branch.*).
type BranchInfo struct {
	Index      int
	Target     Target
	Dest       Dest
	LastStatus int    // last reply code received, or made here for the branch; 0 when none
	Received   int    // last reply code that came from the network; 0 when none
	Type       string // "sip" or "phony"
	Final      bool
}

// ReplyOptions goes with a reply made here. nil is the zero value.
type ReplyOptions struct {
	Headers     []byte // whole header lines, each ending in CRLF
	ContentType string
	Body        []byte
}

// NewRequest describes a request made by t_new_request.
type NewRequest struct {
	Method  string
	RURI    string
	From    string // name-addr or URI
	To      string
	Body    []byte
	CType   string
	Headers []byte
	// Context, when not empty, is the AVP uac_ctx of the transaction.
	Context string
	// Done is run with the final reply's code when not nil; later, with the
	// worker's token.
	Done func(code int)
}

// Hop is one resolved place of a target, in the order of RFC 3263.
type Hop struct {
	Proto Proto
	Addr  netip.AddrPort
}

// Resolver turns a URI's host into hops (RFC 3263).
type Resolver interface {
	// Cached answers from numeric hosts and the cache alone. ok is false when
	// a query would be needed; err is a cached failure.
	Cached(q Query) (hops []Hop, ok bool, err error)
	// Resolve blocks until answered or the resolver's own deadline passed. A
	// handler calls it inside Host.Park.
	Resolve(q Query) ([]Hop, error)
	// ResolveAsync answers by done, on a goroutine of the resolver's own.
	ResolveAsync(q Query, done func([]Hop, error))
	// Addrs looks up A and AAAA of a name, blocking ({ip.resolve}).
	Addrs(host string) ([]netip.Addr, error)
}

// Query is what RFC 3263 §4 starts from.
type Query struct {
	Host      string // name or literal, brackets allowed
	Port      uint16 // 0 when the URI has none
	Transport Proto  // ProtoAny when the URI names none
	Sips      bool
	// Families that our sockets can reach.
	V4, V6 bool
	// Protos that our sockets speak, a bit per Proto (1<<ProtoUDP ...).
	Protos uint8
}
