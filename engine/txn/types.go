package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// serverState is the state of a server transaction, RFC 3261 figures 7 and 8
// with RFC 6026. Trying and Proceeding are one: what differs is whether a
// provisional response has been sent.
type serverState uint8

const (
	serverPending    serverState = iota // a request whose script has not asked for a transaction
	serverProceeding                    // no final response yet
	serverCompleted                     // non-2xx to INVITE, any final to another method
	serverConfirmed                     // the ACK has come (Timer I)
	serverAccepted                      // 2xx to INVITE (RFC 6026, Timer L)
	serverNone                          // the request was made here: there is no server side
	serverGone                          // in the pool
)

// transaction is a server transaction and what binds it to its branches. What
// is only needed while it lives stands in live; what stays here lingers.
type transaction struct {
	timer timer
	l     *Layer
	cfg   *Config
	live  *live // nil once nothing can change any more
	chain *transaction
	next  *transaction // in the pool
	key   uint64       // what the table finds it by
	index uint32
	label uint32

	up    api.Dest // where responses go (RFC 3261 §18.2.2)
	last  []byte   // last response that was sent, when it may have to be sent again
	acks  []lateAck
	tag2x uint64 // hash of the To tag of the 2xx that last holds

	resendAt time.Duration // Timer G
	endAt    time.Duration // Timer H, I, J, L, or the end of waiting for a first step
	tryAt    time.Duration // 100 Trying is due
	interval time.Duration // of Timer G

	status    uint16 // of the last response sent
	branches  uint16 // made so far
	hold      int16  // script runs under way or queued
	parks     int16  // handlers that gave the token away
	state     serverState
	method    sip.Method
	cancelled bool
	sent100   bool
	final     bool // a final response has been sent, or never will be
	lastLocal bool // the last response was made here
	allLocal  bool // all final responses that counted were made here
	magic     bool // top Via has the magic cookie
}

// live is the part of a transaction that ends with its last branch and handler.
type live struct {
	in     *api.Incoming
	draft  sip.Draft // the request with the script's edits up to relay
	state  api.State
	source api.Source
	list   []*branch
	c      *api.Ctx // of the request route while it runs

	onBranch, onFailure, onReply api.Handler

	fr, frInv    time.Duration
	headers      []byte // AddHeaders
	cancelReason []byte // AddCancelReason and a CANCEL's own Reason
	target       api.Target

	loop    uint64 // loop hash of the request
	merge   uint64 // what Layer.merges has it by; 0 when it has not
	breadth int    // Max-Breadth received
	wait    int    // branches that may still be injected; -1 any number, 0 none
	// launching counts sets of branches whose branch routes run or whose
	// destinations are being asked for: the decision waits for them.
	launching int
	since     int // first branch that the next decision is about
	saw6xx    bool
	deciding  bool // a failure route is queued or runs
	noFail    bool // no-dns-failover
	next      *live
	done      func(code int) // of NewRequest
}

// clientState is the state of a branch's client transaction, RFC 3261 figures
// 5 and 6 with RFC 6026.
type clientState uint8

const (
	clientNew        clientState = iota // not sent
	clientCalling                       // Calling, Trying
	clientProceeding                    // a provisional has come
	clientCompleted                     // final response, non-2xx of an INVITE
	clientAccepted                      // 2xx to INVITE (RFC 6026)
	clientEnded                         // timed out, failed, or never sent
)

// branch is one client transaction (RFC 3261 §17.1) of a transaction.
type branch struct {
	timer timer
	tx    *transaction
	draft sip.Draft  // as it goes out, but for the Via and what needs the socket
	to    api.Target // as the script sees it
	dest  api.Dest
	hops  []api.Hop // further places to try (RFC 3263 §4.3)
	reply *api.Incoming
	// edited is the reply as an onreply route left it; nil when unedited.
	edited  *sip.Draft
	onReply api.Handler
	ack     []byte // ACK of the non-2xx final response
	avps    map[string]any

	resendAt  time.Duration // Timer A, E
	timeoutAt time.Duration // Timer B, C, F, and the end behind a CANCEL
	cancelAt  time.Duration // Timer E of the CANCEL
	interval  time.Duration
	cInterval time.Duration

	serial    uint64 // which life of this object it is
	next      *branch
	index     uint16
	breadth   uint16
	status    uint16 // final status, received or ours
	lastCode  uint16 // last status received
	state     clientState
	decided   bool // its result counts
	local     bool // the final status was made here
	cancelled bool
	cSent     bool // the CANCEL has been sent
	replica   bool // its result does not count
	moved     bool // another branch tries its next hop
	invite    bool
	strict    bool // the next hop is a strict router
	sips      bool // the Request-URI is sips: the next hop is reached by TLS
	way       way  // set by the first send
	fallback  bool // hops[0] is the same place by UDP, for a stream that cannot be opened
	noStream  bool // a stream was tried because of its size, in vain
}

// way is what the script's settings add to a branch. A branch keeps the ones it
// was first sent with, so that resends, CANCEL and ACK agree with it.
type way struct {
	host  string // set_advertised_address
	port  uint16 // set_advertised_port
	rport bool   // add_local_rport
	lines int    // bytes of live.headers
}

// lateAck is the ACK for a branch of a lingering INVITE transaction.
type lateAck struct {
	branch uint16
	dest   api.Dest
	ack    []byte
}
