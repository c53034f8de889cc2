package api

import (
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// Route is a set of the script's route types. A handler runs in exactly one;
// a declaration names those that a function may be called from.
type Route uint16

// The route types, with the letters of OpenSIPS's manual behind them.
const (
	RouteRequest Route = 1 << iota // R: route.main and what it calls
	RouteFailure                   // F
	RouteReply                     // O: onreply_route
	RouteBranch                    // B
	RouteLocal                     // L: requests that tm made
	RouteError                     // E: messages that do not parse
	RouteStartup                   // S
	RouteTimer                     // T
	RouteEvent                     // V
	RouteLaunch                    // functions started by launch()

	// RouteMessage is every type that has a message.
	RouteMessage = RouteRequest | RouteFailure | RouteReply | RouteBranch | RouteLocal | RouteError
	// RouteAll is every type.
	RouteAll = RouteMessage | RouteStartup | RouteTimer | RouteEvent | RouteLaunch
)

var routeNames = [...]string{"request", "failure", "onreply", "branch", "local", "error", "startup", "timer", "event", "launch"}

// String names the types in the set: "request", "request|failure", "none".
func (r Route) String() string {
	s := ""
	for i, n := range routeNames {
		if r&(1<<i) == 0 {
			continue
		}
		if s != "" {
			s += "|"
		}
		s += n
	}
	if s == "" {
		return "none"
	}
	return s
}

// Handler is a piece of a script that can be run later: an armed route, a
// function given as a parameter. It belongs to one generation and one worker.
type Handler interface {
	// Name is how messages call it: "failure_route.voicemail".
	Name() string
	// Generation is the script version it belongs to.
	Generation() Generation
}

// Generation is one loaded version of the script. A transaction that armed a
// handler, a parked run and a timer retain it; at zero its Lua states go.
type Generation interface {
	ID() uint64
	Retain()
	Release()
}

// Verdict is what a handler run decided about its message.
type Verdict uint8

// The verdicts. What each means by route type stands in the script language's
// table "nothing done, drop(), raises".
const (
	VerdictNone  Verdict = iota // returned or exit(): the implicit action follows
	VerdictDrop                 // drop(): the implicit action is suppressed
	VerdictError                // raised, or went over its budget
)

// Script is what the engine runs handlers by: one worker's side of one
// generation. Every method is called with the worker's token held, on a
// goroutine that may give the token away inside (Host.Park) and holds it again
// when the method returns.
type Script interface {
	Generation() Generation
	// Request runs route.main on a new request.
	Request(c *Ctx) Verdict
	// HasReply, HasLocal and HasError tell whether the script declares
	// onreply_route.main, local_route.main and error_route.main.
	HasReply() bool
	HasLocal() bool
	HasError() bool
	// Reply runs onreply_route.main.
	Reply(c *Ctx) Verdict
	// Local runs local_route.main on a request that the transaction layer made.
	Local(c *Ctx) Verdict
	// Error runs error_route.main; c.ParseErr tells what was wrong.
	Error(c *Ctx) Verdict
	// Run runs an armed handler (branch, failure, onreply route, timer,
	// event) in the state of the handler's own generation. args follow msg.
	Run(c *Ctx, h Handler, args ...any) Verdict
}

// Ctx is what one handler run acts on: the message, and what goes with it.
// Module functions get it first. Fields are nil or zero where the route type
// has no such thing.
type Ctx struct {
	Kind  Route  // exactly one type
	Route string // name of the route the run entered by, "main"
	Host  Host   // the worker's services; never nil

	// Msg is the message under edit: the request, or the reply in an onreply
	// route. In branch, failure and local routes its edits are those of the
	// branch at hand. nil without a message.
	Msg *sip.Draft
	// Request is the transaction's request in an onreply route (read only).
	Request *sip.Draft
	// Reply is the winning reply in a failure route; nil when none came
	// (a local timeout: ReplyCode is 408 then).
	Reply     *sip.Message
	ReplyCode int

	Source Source // where Msg came from
	CallID string // of Msg; set when a log record or a park needs it, see CallIDString

	// Tx is the transaction: nil in a request route until one is made.
	Tx Transaction
	// Branch is the branch of a branch or onreply route, the winning one in a
	// failure route; -1 where there is none.
	Branch int

	// State holds AVPs and message flags, shared by all handlers of the
	// transaction. Never nil in a running handler.
	State *State
	// Target is what the request is about to go to: destination URI, path,
	// q, branch flags, send socket. Its URI is Msg's request URI. Never nil
	// in a running handler with a request.
	Target *Target
	// Extra are the further branches that the script added
	// (append_msg_branch, lookup); msg.branch[1] is Extra[0].
	Extra []Target

	// ParseErr is set in an error route.
	ParseErr *sip.ParseError

	// Done records what the run did with a request, for the warning about
	// silence and for the 500 after an error.
	Done Action

	// Hooks hear of parking; luabind's budget lives there. May be nil.
	Hooks RunHooks
	// Data is luabind's own per-run record. Others leave it alone.
	Data any

	own ctxStore
}

// ctxStore is what a fresh Ctx points at, so that a run needs no allocation.
type ctxStore struct {
	draft  sip.Draft
	state  State
	target Target
}

// Begin makes c ready for a run: every field empty but Kind, Host, and Msg
// (where the kind has a message), State and Target, which point at memory of
// c's own. A transaction that keeps State copies the struct and points c at
// its copy.
func (c *Ctx) Begin(kind Route, h Host) {
	extra := c.Extra[:0]
	clear(c.Extra)
	draft := c.own.draft
	*c = Ctx{Kind: kind, Host: h, Branch: -1, Extra: extra}
	c.own.draft = draft
	c.own.target.Q = -1
	if kind&RouteMessage != 0 {
		c.Msg = &c.own.draft
	}
	c.State, c.Target = &c.own.state, &c.own.target
}

// Action is a set of what a run did with its message.
type Action uint8

// The actions.
const (
	ActionReplied   Action = 1 << iota // a final reply was sent
	ActionProvision                    // a provisional reply was sent
	ActionRelayed                      // relayed or forwarded
	ActionDropped                      // drop() was called
	ActionHandled                      // something else finished it (absorbed, replicated)
)

// RunHooks hear, with the token held, that a run gives its token away and that
// it has it again.
type RunHooks interface {
	Parking()
	Resumed()
}

// CallIDString is the Call-ID of the message as a string, made once per run.
func (c *Ctx) CallIDString() string {
	if c.CallID == "" && c.Msg != nil {
		if m := c.Msg.Message(); m != nil {
			c.CallID = string(m.CallID())
		}
	}
	return c.CallID
}

// Flags is a set of named flags; the names map to bits through Host.FlagBit.
type Flags uint64

// Has reports whether bit is in the set.
func (f Flags) Has(bit int) bool { return f&(1<<bit) != 0 }

// With is the set with bit added or removed.
func (f Flags) With(bit int, on bool) Flags {
	if on {
		return f | 1<<bit
	}
	return f &^ (1 << bit)
}

// Target is one destination of a request: OpenSIPS's branch of a message
// ($msg.branch.*) before relay.
type Target struct {
	URI    string  // request URI; "" in Ctx.Target, where Msg has it
	Duri   string  // destination URI ($du); "" when none
	Path   string  // Path header values to become Route headers (RFC 3327 §5.3)
	Q      int     // q value times 1,000; -1 when none
	Flags  Flags   // branch flags
	Socket *Socket // forced send socket; nil when none
	Bond   string  // forced bond, resolved when the protocol and family are known; "" when none
	Flow   Flow    // connection to reuse (registrations over TCP); 0 when none
	Attrs  map[string]any
}

// State is what the handlers of one transaction share.
type State struct {
	Flags Flags // message flags
	// AVPs, newest value first. Values are Lua-neutral: nil, bool, float64,
	// string, or what luabind stores for a table (bound to its worker).
	avps map[string][]any
	// Via parameters and advertised address forced by the script.
	AddRport      bool   // force_rport()
	AddLocalRport bool   // add_local_rport()
	AdvHost       string // set_advertised_address
	AdvPort       uint16 // set_advertised_port
	// ReplyHeaders are whole header lines that append_to_reply put aside for
	// the next reply made here.
	ReplyHeaders []byte
	// Module slots: what a module keeps with the transaction, by a key that is
	// a pointer of its own. Small; searched linearly.
	slots []slot
	// onSend are run for each branch right before its Via is added.
	onSend []SendHook
}

// SendHook edits one branch when its outgoing socket is known, right before
// Via is added: a second Record-Route, for one. s is the state it was added to,
// or the copy that a transaction made of that; in is the socket the request came
// by.
type SendHook func(s *State, d *sip.Draft, in, out *Socket)

// AddOnSend has h run on every branch of the transaction, in the order added.
func (s *State) AddOnSend(h SendHook) { s.onSend = append(s.onSend, h) }

// OnSend runs the hooks; the transaction layer and the stateless forwarder
// call it.
func (s *State) OnSend(d *sip.Draft, in, out *Socket) {
	for _, h := range s.onSend {
		h(s, d, in, out)
	}
}

type slot struct{ key, val any }

// AVP returns the values of name, newest first; the slice is the state's own.
func (s *State) AVP(name string) []any { return s.avps[name] }

// SetAVP replaces all values of name; no values removes it.
func (s *State) SetAVP(name string, vals ...any) {
	if len(vals) == 0 {
		delete(s.avps, name)
		return
	}
	if s.avps == nil {
		s.avps = make(map[string][]any, 4)
	}
	s.avps[name] = vals
}

// PushAVP adds a newest value.
func (s *State) PushAVP(name string, v any) {
	s.SetAVP(name, append([]any{v}, s.avps[name]...)...)
}

// AVPNames calls f with every name and its values until f returns false; the
// order is not defined.
func (s *State) AVPNames(f func(name string, vals []any) bool) {
	for n, v := range s.avps {
		if !f(n, v) {
			return
		}
	}
}

// Slot returns what SetSlot stored under key, or nil.
func (s *State) Slot(key any) any {
	for i := range s.slots {
		if s.slots[i].key == key {
			return s.slots[i].val
		}
	}
	return nil
}

// SetSlot stores v under key, which should be a pointer of the module's own.
func (s *State) SetSlot(key, v any) {
	for i := range s.slots {
		if s.slots[i].key == key {
			s.slots[i].val = v
			return
		}
	}
	s.slots = append(s.slots, slot{key, v})
}

// Reset empties the state and keeps its memory, for pooling.
func (s *State) Reset() {
	clear(s.avps)
	clear(s.slots)
	clear(s.onSend)
	*s = State{avps: s.avps, slots: s.slots[:0], onSend: s.onSend[:0], ReplyHeaders: s.ReplyHeaders[:0]}
}

// Host is what a worker offers to a handler and to module functions.
type Host interface {
	// Worker is the worker's number, from 0. Never to be stored on disk.
	Worker() int
	// Now is the worker's clock, monotonic.
	Now() time.Time
	// Park gives the worker's token away, calls fn on this goroutine, and
	// comes back with the token, in order. fn must touch nothing that belongs
	// to the worker, and must not wait for a SIP message of the same call.
	Park(c *Ctx, fn func())
	// Go starts a named goroutine that the engine awaits on shutdown.
	Go(name string, fn func())
	// Post queues fn for a worker; it runs with that worker's token, later.
	// The only way to reach another worker.
	Post(worker int, fn func())
	// Workers is how many there are.
	Workers() int

	// Transaction is c's transaction, made when there is none (t_newtran,
	// RFC 3261 §16.2). It is an error for an ACK and outside request routes.
	Transaction(c *Ctx) (Transaction, error)
	// Lookup finds the transaction that a CANCEL or an end-to-end question is
	// about (t_check_trans): the INVITE that this CANCEL would cancel, or the
	// one this ACK acknowledges. nil when there is none.
	Lookup(c *Ctx) Transaction
	// Cancelled tells whether a CANCEL came for c's request, whether it has a
	// transaction already or its script is still deciding.
	Cancelled(c *Ctx) bool
	// StatelessReply answers c's request without a transaction (sl_send_reply,
	// RFC 3261 §8.2.7). ACK is never answered: an error says so.
	StatelessReply(c *Ctx, code int, reason string, o *ReplyOptions) error
	// StatelessForward sends c's request on to its target with a branch that
	// is a pure function of the request (RFC 3261 §16.11). It parks when the
	// name is not in the cache.
	StatelessForward(c *Ctx, t *Target) error
	// NewRequest sends a request of our own by a new client transaction
	// (t_new_request); it does not wait for the reply.
	NewRequest(c *Ctx, r *NewRequest) error

	// IsMyself tells whether host (a name or address, brackets allowed) and
	// port (0: any) and proto (ProtoAny: any) are ours: sockets, advertised
	// addresses and aliases (RFC 3261 §16.4, OpenSIPS is_myself).
	IsMyself(host string, port uint16, proto Proto) bool
	// Sockets are all sockets in the order of declaration.
	Sockets() []*Socket
	// FindSocket reads what force_send_socket takes: "udp:1.2.3.4:5060", a
	// tag, or "bond:NAME" (which gives a nil socket and the bond's name).
	FindSocket(s string) (sock *Socket, bond string, err error)
	// BondHas tells whether sock is a member of the bond.
	BondHas(bond string, sock *Socket) bool
	// CloseFlow closes a stream connection to or from addr; false when none.
	CloseFlow(f Flow) bool
	// FlowTo finds an open stream connection to "ip:port"; 0 when none.
	FlowTo(addr string) Flow
	// Resolver answers names; see Resolver for which calls may block.
	Resolver() Resolver

	// FlagBit is the bit of a message or branch flag; an error when 64 names
	// are in use.
	FlagBit(name string, branch bool) (bit int, err error)
	// FlagName is the inverse; "" for a bit without a name.
	FlagName(bit int, branch bool) string
	// Log writes one structured record with the run's Call-ID, method, route
	// and position. level is one of the Level constants.
	Log(c *Ctx, level Level, msg string, fields ...Field)
	// Setting reads a core setting of the live script's config{} by name
	// ("server_header"); nil when it was not set.
	Setting(name string) any
	// RaiseEvent runs event_route.NAME, later and in no transaction.
	RaiseEvent(name string, params map[string]any)
}

// Level is a log level, in OpenSIPS's order and numbers.
type Level int8

// The levels. OpenSIPS's L_ALERT..L_DBG map onto them.
const (
	LevelAlert  Level = -3
	LevelCrit   Level = -2
	LevelError  Level = -1
	LevelWarn   Level = 1
	LevelNotice Level = 2
	LevelInfo   Level = 3
	LevelDebug  Level = 4
)

// Field is one named value of a log record: string, bool, float64, error,
// time.Duration or fmt.Stringer.
type Field struct {
	Key   string
	Value any
}
