package luabind

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Program is one loaded generation of the script: api.Generation, with one
// State per worker.
type Program struct {
	id      uint64
	opt     Options
	proc    *process
	fresh   bool // the process record was made by this Load
	dir     fs.FS
	closer  func()
	name    string // of the script in dir
	sources map[string]*source
	cache   scriptCache

	all     []*moduleRec // every module that may be loaded, by Options.Modules
	byName  map[string]*moduleRec
	order   []*moduleRec // loaded ones, builtins first
	fields  *fieldTable  // nil until the top level has run
	neutral map[string]*handler
	byKey   []*handler

	states   []*State
	decl     *declared // what every state declares
	settings map[string]any
	limits   limits
	findings []Finding
	opened   []string // process parts that this Load opened

	refs       atomic.Int64
	committed  atomic.Bool
	noted      map[string]bool
	uses       []use
	functions  []*function
	declaredAt map[string]string // of routes
	bindings   int               // how many functions have a key
}

// limits are the budgets of a handler.
type limits struct {
	cpu    time.Duration
	wall   time.Duration // longest wait of one blocking call
	memory int64
	depth  int
}

// The budgets of the top level, which no call waits for.
const (
	topLevelCPU    = 10 * time.Second
	topLevelMemory = 256 << 20
)

// scriptCache holds what handlers compile once: patterns and log formats.
type scriptCache struct {
	mu       sync.RWMutex
	patterns map[patternKey]*compiledPattern
	formats  map[string]*logFormat
}

// moduleRec is one module with its configuration in this generation.
type moduleRec struct {
	decl   *modules.Module
	index  int
	loaded bool
	config modules.Config
	early  modules.Config // for calls at top level, before there is a config
	funcs  []*binding
	names  []string // of functions and variables, for suggestions
	params map[string]int
}

// ID is the generation's number, from 1 for the first script of the process.
func (p *Program) ID() uint64 { return p.id }

// Settings are the core settings that config{} gave, typed as Settings's table
// declares: string, bool, float64 or map[string]any.
func (p *Program) Settings() map[string]any { return p.settings }

// Sockets are the declared sockets, in order.
func (p *Program) Sockets() []SocketDecl { return p.decl.sockets }

// Bonds are the declared bonds.
func (p *Program) Bonds() []BondDecl { return p.decl.bonds }

// Aliases are the declared aliases.
func (p *Program) Aliases() []AliasDecl { return p.decl.aliases }

// Timers are the declared timer routes.
func (p *Program) Timers() []TimerDecl { return p.decl.timers }

// Modules are the names of the loaded modules, builtin ones first.
func (p *Program) Modules() []string {
	out := make([]string, len(p.order))
	for i, m := range p.order {
		out[i] = m.decl.Name
	}
	return out
}

// Findings are the warnings of a script that loaded.
func (p *Program) Findings() []Finding { return p.findings }

// Worker is the side of worker i, which implements api.Script.
func (p *Program) Worker(i int) *State { return p.states[i] }

// Stats are the process's counters.
func (p *Program) Stats() Stats {
	return Stats{Errors: p.proc.errors.Load(), OverBudget: p.proc.budgets.Load(),
		Panics: p.proc.panics.Load(), Generations: p.proc.live.Load()}
}

// Commit makes the configurations of its modules the live ones. It cannot
// fail. The caller then releases the program before it.
func (p *Program) Commit() {
	if !p.committed.CompareAndSwap(false, true) {
		return
	}
	for _, m := range p.order {
		if m.config != nil {
			m.config.Commit()
		}
	}
}

// Abort refuses the program: as if it had never been loaded.
func (p *Program) Abort() {
	if p.committed.Load() {
		return
	}
	for i := len(p.order) - 1; i >= 0; i-- {
		if c := p.order[i].config; c != nil {
			c.Abort()
			p.order[i].config = nil
		}
	}
	p.proc.closeParts(p.opened)
	p.letGo()
	if p.fresh {
		p.proc.dog.end()
	}
}

// Retain adds a reference: a transaction that armed a handler, a parked run.
func (p *Program) Retain() { p.refs.Add(1) }

// Release drops one. Load gave the first, which the caller drops when another
// program has become the live one; at zero the Lua states are let go.
func (p *Program) Release() {
	if n := p.refs.Add(-1); n != 0 {
		return
	}
	for _, m := range p.order {
		if m.config != nil {
			m.config.Release()
		}
	}
	p.letGo()
}

func (p *Program) letGo() {
	for _, st := range p.states {
		st.letGo()
	}
	p.closer()
	p.sources, p.cache.patterns, p.cache.formats = nil, nil, nil
	p.proc.live.Add(-1)
	if p.opt.OnGone != nil {
		p.opt.OnGone(p.id)
	}
}

// ModuleConfig is the configuration of a module in this generation; nil when
// the script does not load it.
func (p *Program) ModuleConfig(name string) modules.Config {
	if m := p.byName[name]; m != nil {
		return m.config
	}
	return nil
}

// Shutdown ends the process parts of all modules, the last opened first, and
// the watchdog. It is called once, on the live program, after the last handler.
func (p *Program) Shutdown() {
	p.proc.closeParts(append([]string(nil), p.proc.order...))
	p.proc.dog.end()
}

// SameShape compares with the running program what a reload cannot change: an
// error names the first socket, alias or bond that differs.
func (p *Program) SameShape(old *Program) error {
	a, b := p.decl.shape(), old.decl.shape()
	for i := range a {
		if err := sameBound(p.name, a[i], b[i]); err != nil {
			return err
		}
	}
	return nil
}

// bound is one declaration that takes effect when the program starts.
type bound struct {
	what, name, where string
	decl              any // without where
}

// sameBound compares the declarations of one kind in two scripts.
func sameBound(script string, a, b []bound) error {
	const restart = "sockets, aliases and bonds change with a restart only"
	for i, x := range a {
		if i >= len(b) {
			return fmt.Errorf("%s: %s %s is new; %s", x.where, x.what, x.name, restart)
		}
		if !reflect.DeepEqual(x.decl, b[i].decl) {
			return fmt.Errorf("%s: %s %s differs from the running %s; %s", x.where, x.what, x.name, b[i].name, restart)
		}
	}
	if len(b) > len(a) {
		y := b[len(a)]
		return fmt.Errorf("%s: %s %s is gone; %s", script, y.what, y.name, restart)
	}
	return nil
}

// shape is what the program binds, by kind.
func (d *declared) shape() (out [3][]bound) {
	for _, x := range d.sockets {
		where := x.Where
		x.Where = ""
		out[0] = append(out[0], bound{"socket", x.Listen, where, x})
	}
	for _, x := range d.aliases {
		where := x.Where
		x.Where = ""
		out[1] = append(out[1], bound{"alias", x.Name, where, x})
	}
	for _, x := range d.bonds {
		where := x.Where
		x.Where = ""
		out[2] = append(out[2], bound{"bond", x.Name, where, x})
	}
	return out
}

// errStartup is what RunStartup answers when startup_route raised.
var errStartup = errors.New("startup_route.main failed; the log tells why")

// RunStartup runs startup_route.main, when there is one, in worker 0's state.
// c's kind is RouteStartup. An error means that the program must not start.
func (p *Program) RunStartup(c *api.Ctx) error {
	h := p.declaredRoute("startup_route.main")
	if h == nil {
		return nil
	}
	if p.states[0].runNamed(c, h) == api.VerdictError {
		return errStartup
	}
	return nil
}

// HasRoute tells whether the script has a route by its full name, as
// "route.main".
func (p *Program) HasRoute(name string) bool { return p.declaredRoute(name) != nil }

// HasEvent tells whether the script declares event_route.name.
func (p *Program) HasEvent(name string) bool { return p.declaredRoute("event_route."+name) != nil }

// RunEvent runs event_route.name with the event's parameters in a worker's
// state. c's kind is RouteEvent. VerdictNone when the script does not have it.
func (p *Program) RunEvent(worker int, c *api.Ctx, name string, params map[string]any) api.Verdict {
	h := p.declaredRoute("event_route." + name)
	if h == nil {
		return api.VerdictNone
	}
	if params == nil {
		params = map[string]any{}
	}
	return p.states[worker].Run(c, h, params)
}

// handlerFor is the neutral handler of a name, made when there is none.
func (p *Program) handlerFor(name string) *handler {
	if h := p.neutral[name]; h != nil {
		return h
	}
	h := &handler{prog: p, name: name, key: len(p.byKey)}
	p.byKey = append(p.byKey, h)
	p.neutral[name] = h
	return h
}

// bind gives the neutral handler its function in this state.
func (st *State) bind(name string, fn *lua.LFunction) *handler {
	h := st.prog.handlerFor(name)
	st.bound[h.key] = fn
	if st.names[fn] == nil {
		st.names[fn] = h
	}
	return h
}

// find notes a finding once.
func (p *Program) find(f Finding) {
	if f.Source == "" {
		f.Source = p.sources[f.File].line(f.Line)
	}
	if f.Column == 0 && f.Source != "" {
		f.Column = column(f.Source, quotedWord(f.Text))
	}
	key := f.String()
	if p.noted[key] {
		return
	}
	p.noted[key] = true
	p.findings = append(p.findings, f)
}

func (p *Program) hasErrors() bool {
	for _, f := range p.findings {
		if f.Severity == SeverityError {
			return true
		}
	}
	return false
}

// Route finds a declared route by its name: "each" of branch_route.each for
// api.RouteBranch. The error tells what is near.
func (p *Program) Route(kind api.Route, name string) (api.Handler, error) {
	h, err := p.route(kind, name)
	if err != nil {
		return nil, err
	}
	return h, nil
}
