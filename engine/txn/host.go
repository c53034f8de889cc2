package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
)

// Host is what a worker offers to its transaction layer. All calls are made,
// and answered, with the worker's token held; Park gives it away meanwhile.
type Host interface {
	Worker() int
	// Now is the worker's clock, monotonic.
	Now() time.Time
	Out() api.Outbox
	Resolver() api.Resolver
	// Script is the live generation's; an armed handler runs in its own.
	Script() api.Script
	// APIHost is what goes into Ctx.Host.
	APIHost() api.Host
	// Park gives the token away while fn runs on this goroutine.
	Park(c *api.Ctx, fn func())
	// Schedule queues a script run of a call: it runs when the current protocol
	// step has returned and, while a handler of that call is parked, behind it.
	// size is the message's bytes. It answers false when the call's bounds are
	// exceeded; job will not run then.
	Schedule(callID []byte, size int, job func()) bool
	// Waiting reports whether script runs of the call wait, so that what needs
	// no script must queue behind them to keep its order.
	Waiting(callID []byte) bool
	// Post queues fn for this worker from any goroutine.
	Post(fn func())
	// NewCtx is a pooled Ctx after Begin; FreeCtx takes it back.
	NewCtx(kind api.Route) *api.Ctx
	FreeCtx(c *api.Ctx)
	Sockets() []*api.Socket
	IsMyself(host string, port uint16, p api.Proto) bool
	// PickBond is the bond's first member of the protocol and family; refuse
	// tells, where there is none, that nothing else may be used.
	PickBond(bond string, proto api.Proto, v6 bool) (s *api.Socket, refuse bool)
	// Log writes a record; c may be nil.
	Log(c *api.Ctx, level api.Level, msg string, f ...api.Field)
}
