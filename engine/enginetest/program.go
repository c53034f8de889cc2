package enginetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/txn"
)

// Route is one route of a scripted program.
type Route func(c *api.Ctx) api.Verdict

// Routes are the parts of a scripted program. A nil one is not declared; a nil
// Request answers 200 statelessly.
type Routes struct {
	Request, Reply, Local, Error Route
	// Startup may be nil; its error refuses the start.
	Startup func(c *api.Ctx) error
	// Events are its event routes by name.
	Events map[string]func(c *api.Ctx, params map[string]any)
	Timers []Timer
	// Settings are what config{} would hold; may be nil.
	Settings map[string]any
	// Transactions are the transaction layer's settings; nil takes the defaults.
	Transactions *txn.Config
}

// Timer is a timer route.
type Timer struct {
	Name  string
	Every time.Duration
	Run   Route
}

// Program is an engine.Program made of Go functions. It counts who holds it.
type Program struct {
	id        uint64
	routes    Routes
	refs      atomic.Int64
	committed atomic.Bool
	aborted   atomic.Bool
	gone      atomic.Pointer[func(id uint64)]
}

var _ engine.Program = (*Program)(nil)

// NewProgram makes generation id. As with a loaded script its maker holds the
// first reference, which the engine drops when another generation goes live.
func NewProgram(id uint64, r Routes) *Program {
	if r.Request == nil {
		r.Request = Answer(200)
	}
	p := &Program{id: id, routes: r}
	p.refs.Store(1)
	return p
}

// Answer is a route that answers statelessly; an ACK it lets pass by.
func Answer(code int) Route {
	return func(c *api.Ctx) api.Verdict {
		if c.Msg.Method().String() == "ACK" {
			return api.VerdictNone
		}
		if err := c.Host.StatelessReply(c, code, "", nil); err != nil {
			return api.VerdictError
		}
		return api.VerdictNone
	}
}

// Relay is a route that relays statefully to the Request-URI, and statelessly
// an ACK.
func Relay(c *api.Ctx) api.Verdict {
	if c.Msg.Method().String() == "ACK" {
		if err := c.Host.StatelessForward(c, c.Target); err != nil {
			return api.VerdictError
		}
		return api.VerdictNone
	}
	if tx := c.Host.Lookup(c); tx != nil {
		tx.Relay(c, 0)
		return api.VerdictNone
	}
	tx, err := c.Host.Transaction(c)
	if err != nil {
		return api.VerdictError
	}
	tx.Relay(c, 0)
	return api.VerdictNone
}

// WhenGone has fn called when nothing holds the program any more; usually the
// engine's Forget.
func (p *Program) WhenGone(fn func(id uint64)) { p.gone.Store(&fn) }

// ID is its number.
func (p *Program) ID() uint64 { return p.id }

// Retain adds a holder. A program that is gone cannot come back: that is a
// fault of whoever tries, and panics.
func (p *Program) Retain() {
	if p.refs.Add(1) <= 1 {
		panic(fmt.Sprintf("generation %d retained after it was gone", p.id))
	}
}

// Release takes a holder away.
func (p *Program) Release() {
	switch n := p.refs.Add(-1); {
	case n < 0:
		panic(fmt.Sprintf("generation %d released more often than retained", p.id))
	case n == 0:
		if fn := p.gone.Load(); fn != nil {
			(*fn)(p.id)
		}
	}
}

// Gone tells that nothing holds it any more.
func (p *Program) Gone() bool { return p.refs.Load() == 0 }

// Committed and Aborted tell what the engine decided about it.
func (p *Program) Committed() bool { return p.committed.Load() }

// Aborted tells that it was refused.
func (p *Program) Aborted() bool { return p.aborted.Load() }

// Commit makes it live.
func (p *Program) Commit() { p.committed.Store(true) }

// Shutdown has nothing to end.
func (p *Program) Shutdown() {}

// Abort refuses it.
func (p *Program) Abort() { p.aborted.Store(true) }

// Settings are Routes.Settings.
func (p *Program) Settings() map[string]any { return p.routes.Settings }

// Timers are its timer routes.
func (p *Program) Timers() []engine.Timer {
	out := make([]engine.Timer, 0, len(p.routes.Timers))
	for _, t := range p.routes.Timers {
		h := p.Handler("timer_route."+t.Name, t.Run)
		out = append(out, engine.Timer{Name: t.Name, Every: t.Every, Handler: func(int) api.Handler { return h }})
	}
	return out
}

// HasEvent tells whether there is an event route of that name.
func (p *Program) HasEvent(name string) bool { return p.routes.Events[name] != nil }

// RunEvent runs an event route.
func (p *Program) RunEvent(_ int, c *api.Ctx, name string, params map[string]any) api.Verdict {
	p.routes.Events[name](c, params)
	return api.VerdictNone
}

// RunStartup runs the startup route.
func (p *Program) RunStartup(c *api.Ctx) error {
	if p.routes.Startup == nil {
		return nil
	}
	return p.routes.Startup(c)
}

// Transactions are the settings given, or the defaults.
func (p *Program) Transactions() *txn.Config {
	if p.routes.Transactions == nil {
		return txn.DefaultConfig()
	}
	c := *p.routes.Transactions
	return &c
}

// Script is the program as any worker sees it.
func (p *Program) Script(int) api.Script { return (*script)(p) }

// Handler makes a handler of this generation, to be armed.
func (p *Program) Handler(name string, fn Route) api.Handler {
	return &handler{program: p, name: name, run: fn}
}

type handler struct {
	program *Program
	name    string
	run     Route
}

func (h *handler) Name() string               { return h.name }
func (h *handler) Generation() api.Generation { return h.program }

// script is a Program as api.Script.
type script Program

func (s *script) Generation() api.Generation     { return (*Program)(s) }
func (s *script) Request(c *api.Ctx) api.Verdict { return s.routes.Request(c) }
func (s *script) HasReply() bool                 { return s.routes.Reply != nil }
func (s *script) HasLocal() bool                 { return s.routes.Local != nil }
func (s *script) HasError() bool                 { return s.routes.Error != nil }
func (s *script) Reply(c *api.Ctx) api.Verdict   { return s.routes.Reply(c) }
func (s *script) Local(c *api.Ctx) api.Verdict   { return s.routes.Local(c) }
func (s *script) Error(c *api.Ctx) api.Verdict   { return s.routes.Error(c) }

func (s *script) Run(c *api.Ctx, h api.Handler, _ ...any) api.Verdict {
	return h.(*handler).run(c)
}
