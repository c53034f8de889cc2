package engine

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/txn"
)

// host is what handlers and module functions see of a worker: api.Host.
type host struct{ w *Worker }

var _ api.Host = (*host)(nil)

func (h *host) Worker() int               { return h.w.id }
func (h *host) Workers() int              { return len(h.w.engine.workers) }
func (h *host) Now() time.Time            { return h.w.now }
func (h *host) Go(name string, fn func()) { h.w.engine.Go(name, fn) }
func (h *host) Post(worker int, fn func()) {
	h.w.engine.Post(worker, fn)
}

func (h *host) Transaction(c *api.Ctx) (api.Transaction, error) { return h.w.layer.Transaction(c) }
func (h *host) Lookup(c *api.Ctx) api.Transaction               { return h.w.layer.Lookup(c) }
func (h *host) Cancelled(c *api.Ctx) bool                       { return h.w.layer.Cancelled(c) }
func (h *host) StatelessReply(c *api.Ctx, code int, reason string, o *api.ReplyOptions) error {
	return h.w.layer.StatelessReply(c, code, reason, o)
}

// LocalTag is the To tag of responses made here to c's request.
func (h *host) LocalTag(c *api.Ctx) string { return h.w.layer.LocalTag(c) }

func (h *host) StatelessForward(c *api.Ctx, t *api.Target) error {
	return h.w.layer.StatelessForward(c, t)
}
func (h *host) NewRequest(c *api.Ctx, r *api.NewRequest) error { return h.w.layer.NewRequest(c, r) }

func (h *host) IsMyself(name string, port uint16, p api.Proto) bool {
	return h.w.engine.transport.IsMyself(name, port, p)
}
func (h *host) Sockets() []*api.Socket { return h.w.engine.transport.Sockets() }
func (h *host) FindSocket(s string) (*api.Socket, string, error) {
	return h.w.engine.transport.FindSocket(s)
}
func (h *host) BondHas(bond string, s *api.Socket) bool { return h.w.engine.transport.BondHas(bond, s) }
func (h *host) CloseFlow(f api.Flow) bool               { return h.w.engine.transport.CloseFlow(f) }
func (h *host) FlowTo(addr string) api.Flow             { return h.w.engine.transport.FlowTo(addr) }
func (h *host) Resolver() api.Resolver                  { return h.w.engine.resolver }

func (h *host) FlagBit(name string, branch bool) (int, error) {
	return h.w.engine.flags.bit(name, branch)
}
func (h *host) FlagName(bit int, branch bool) string { return h.w.engine.flags.name(bit, branch) }

func (h *host) Setting(name string) any { return h.w.engine.Setting(name) }

func (h *host) RaiseEvent(name string, params map[string]any) {
	h.w.engine.RaiseEvent(name, params)
}

func (h *host) Park(c *api.Ctx, fn func()) { h.w.Park(c, fn) }

func (h *host) Log(c *api.Ctx, level api.Level, msg string, fields ...api.Field) {
	h.w.writeLog(c, "script", level, msg, fields)
}

// LogEnabled tells whether script records of a level are written, so that
// disabled ones cost nothing.
func (h *host) LogEnabled(level api.Level) bool {
	l := h.w.engine.log_
	return l != nil && l.Enabled("script", level)
}

// Setting reads config{} of the live script; nil when it was not set.
func (e *Engine) Setting(name string) any {
	if lp := e.program.Load(); lp != nil {
		return lp.Settings()[name]
	}
	return nil
}

// FlagBit is the bit of a message or branch flag, made when the name is new.
func (e *Engine) FlagBit(name string, branch bool) (int, error) { return e.flags.bit(name, branch) }

// maxEvents bounds the events that have been raised and not been handled.
const maxEvents = 10000

// RaiseEvent runs event_route.NAME of the live script, later, on worker 0. An
// event is dropped, and logged, while too many wait.
func (e *Engine) RaiseEvent(name string, params map[string]any) {
	if lp := e.program.Load(); lp == nil || !lp.HasEvent(name) {
		return
	}
	if e.events.Add(1) > maxEvents {
		e.events.Add(-1)
		e.log(api.LevelWarn, "event dropped: too many wait", api.Field{Key: "event", Value: name})
		return
	}
	e.Post(0, func() {
		defer e.events.Add(-1)
		e.workers[0].runEvent(name, params)
	})
}

func (w *Worker) runEvent(name string, params map[string]any) {
	p := w.program
	if !p.HasEvent(name) {
		return
	}
	p.Retain()
	defer p.Release()
	c := w.newCtx(api.RouteEvent)
	p.RunEvent(w.id, c, name, params)
	w.freeCtx(c)
}

// txnHost is what the transaction layer sees of a worker: txn.Host.
type txnHost struct{ w *Worker }

var _ txn.Host = (*txnHost)(nil)

func (h *txnHost) Worker() int            { return h.w.id }
func (h *txnHost) Now() time.Time         { return h.w.now }
func (h *txnHost) Out() api.Outbox        { return h.w.out }
func (h *txnHost) Resolver() api.Resolver { return h.w.engine.resolver }
func (h *txnHost) Script() api.Script     { return h.w.script }
func (h *txnHost) APIHost() api.Host      { return h.w.apiHost }
func (h *txnHost) Post(fn func())         { h.w.engine.Post(h.w.id, fn) }
func (h *txnHost) Sockets() []*api.Socket { return h.w.engine.transport.Sockets() }
func (h *txnHost) IsMyself(name string, port uint16, p api.Proto) bool {
	return h.w.engine.transport.IsMyself(name, port, p)
}
func (h *txnHost) PickBond(bond string, p api.Proto, v6 bool) (*api.Socket, bool) {
	return h.w.engine.transport.PickBond(bond, p, v6)
}
func (h *txnHost) Park(c *api.Ctx, fn func()) { h.w.Park(c, fn) }
func (h *txnHost) Waiting(callID []byte) bool { return h.w.Waiting(callID) }
func (h *txnHost) Schedule(callID []byte, size int, job func()) bool {
	return h.w.Schedule(callID, size, job)
}
func (h *txnHost) NewCtx(kind api.Route) *api.Ctx { return h.w.newCtx(kind) }
func (h *txnHost) FreeCtx(c *api.Ctx)             { h.w.freeCtx(c) }
func (h *txnHost) Log(c *api.Ctx, level api.Level, msg string, f ...api.Field) {
	h.w.writeLog(c, "tm", level, msg, f)
}

// newCtx is a Ctx with Host, Msg, State and Target set.
func (w *Worker) newCtx(kind api.Route) *api.Ctx {
	var c *api.Ctx
	if n := len(w.ctxFree); n > 0 {
		c = w.ctxFree[n-1]
		w.ctxFree = w.ctxFree[:n-1]
	} else {
		c = new(api.Ctx)
	}
	c.Begin(kind, w.apiHost)
	return c
}

// freeCtx takes back what newCtx gave: the run on it has ended.
func (w *Worker) freeCtx(c *api.Ctx) {
	if len(w.calls) > 0 {
		w.callDone(c)
	}
	if len(w.ctxFree) < ctxPool {
		w.ctxFree = append(w.ctxFree, c)
	}
}

// ctxPool is how many idle contexts a worker keeps.
const ctxPool = 64

func (w *Worker) clock() time.Time { return time.Now() }

func (w *Worker) log(c *api.Ctx, level api.Level, msg string, fields ...api.Field) {
	w.writeLog(c, "engine", level, msg, fields)
}

// writeLog adds what is known of the run to a record.
func (w *Worker) writeLog(c *api.Ctx, component string, level api.Level, msg string, fields []api.Field) {
	l := w.engine.log_
	if l == nil || !l.Enabled(component, level) {
		return
	}
	r := logs.Record{Level: level, Component: component, Msg: msg, Fields: fields}
	if c != nil {
		r.Route, r.Peer = c.Route, c.Source.Remote
		if c.Msg != nil && c.Msg.Message() != nil {
			r.CallID, r.Method = c.CallIDString(), string(c.Msg.MethodName())
		}
		if p, ok := c.Data.(positioned); ok {
			r.Where, r.Generation = p.Position(), p.GenerationID()
		}
	}
	l.Write(r)
}

// positioned is a run that can tell where in the script it is.
type positioned interface {
	Position() string
	GenerationID() uint64
}
