package luabind

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sort"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Load compiles the script, runs its top level in a state per worker, and
// prepares its modules. Nothing visible changes until Commit; after an error
// nothing is left behind. Errors are *Error.
func Load(o Options) (*Program, error) {
	p, err := newProgram(o)
	if err != nil {
		return nil, err
	}
	if err := p.loadCaught(); err != nil {
		p.Abort()
		return nil, err
	}
	return p, nil
}

// loadCaught is load with a net under it: a module that panics refuses the
// script, and the running one goes on.
func (p *Program) loadCaught() (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.proc.panics.Add(1)
			err = &Error{File: p.name, Text: fmt.Sprintf("panic while loading: %v", v)}
			genHost{p}.Log(api.LevelCrit, "panic while loading", api.Field{Key: "panic", Value: fmt.Sprint(v)},
				api.Field{Key: "stack", Value: string(debug.Stack())})
		}
	}()
	return p.load()
}

func newProgram(o Options) (*Program, error) {
	if o.Workers < 1 {
		o.Workers = 1
	}
	if o.Env == nil && !o.CheckOnly {
		return nil, &Error{Text: "Load needs an Env", Err: errors.New("no Env")}
	}
	dir, name, closer, err := openFolder(&o)
	if err != nil {
		return nil, &Error{File: o.Path, Text: "cannot read the script's folder: " + pathless(err).Error(), Err: err}
	}
	p := &Program{opt: o, dir: dir, name: name, closer: closer, sources: map[string]*source{},
		byName: map[string]*moduleRec{}, neutral: map[string]*handler{}, noted: map[string]bool{}, declaredAt: map[string]string{}, settings: map[string]any{}}
	p.limits = limits{cpu: topLevelCPU, memory: topLevelMemory, depth: 256}
	p.cache.patterns, p.cache.formats = map[patternKey]*compiledPattern{}, map[string]*logFormat{}
	for i, m := range o.Modules {
		rec := newModuleRec(m, i)
		p.all = append(p.all, rec)
		p.byName[m.Name] = rec
		if m.Builtin {
			rec.loaded = true
			p.order = append(p.order, rec)
		}
	}
	if o.Previous != nil {
		p.proc = o.Previous.proc
		p.opt.Previous = nil // else each program would keep all before it
		o.Workers = len(p.proc.slots) - 1
		p.opt.Workers = o.Workers
	} else {
		p.proc, p.fresh = newProcess(&o), true
		p.proc.dog.start(o.Env)
	}
	p.proc.lastID++
	p.id = p.proc.lastID
	p.proc.live.Add(1)
	p.refs.Store(1)
	return p, nil
}

func (p *Program) load() error {
	main := p.compile(p.name)
	if main == nil || p.hasErrors() && !p.opt.CheckOnly {
		return p.failure()
	}
	n := p.opt.Workers
	if p.opt.CheckOnly {
		n = min(n, 2)
	}
	for i := range n {
		if err := p.loadState(i, main); err != nil {
			return err
		}
	}
	p.setLimits()
	p.checkNeeds()
	p.fields = newFieldTable(p)
	p.checkUses()
	if p.hasErrors() {
		return p.failure()
	}
	p.sortFindings()
	if p.opt.Bind != nil {
		if err := p.opt.Bind(p); err != nil {
			return &Error{Text: err.Error(), Err: err, Findings: p.findings}
		}
	}
	return p.prepare()
}

// loadState runs the top level for worker i.
func (p *Program) loadState(i int, main *source) error {
	st := newState(p, i)
	p.states = append(p.states, st)
	if i == 0 {
		p.decl, p.settings = &st.decl, st.decl.settings
	}
	if err := st.runTop(main); err != nil {
		e := p.errorOf(err)
		p.find(Finding{File: e.File, Line: e.Line, Column: e.Column, Text: e.Text, Source: e.Source})
		return p.failure()
	}
	if p.hasErrors() && !p.opt.CheckOnly {
		return p.failure()
	}
	if err := sameDeclared(p.decl, &st.decl); err != nil {
		p.find(Finding{File: p.name, Text: err.Error()})
		return p.failure()
	}
	return nil
}

// failure is the error that carries all findings.
func (p *Program) failure() error {
	p.sortFindings()
	e := &Error{Findings: p.findings}
	for _, f := range p.findings {
		if f.Severity == SeverityError {
			e.File, e.Line, e.Column, e.Text, e.Source = f.File, f.Line, f.Column, f.Text, f.Source
			break
		}
	}
	return e
}

// sortFindings puts them in the order of the files' lines.
func (p *Program) sortFindings() {
	sort.SliceStable(p.findings, func(i, j int) bool {
		a, b := p.findings[i], p.findings[j]
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
}

// sameDeclared refuses states that declare different things: a script whose
// top level depends on chance or on the time.
func sameDeclared(a, b *declared) error {
	for _, c := range []struct {
		what string
		x, y any
	}{
		{"settings", a.settings, b.settings}, {"sockets", a.sockets, b.sockets}, {"bonds", a.bonds, b.bonds},
		{"aliases", a.aliases, b.aliases}, {"timers", a.timers, b.timers}, {"routes", a.routes, b.routes},
		{"modules", a.loaded, b.loaded}, {"module parameters", a.params, b.params},
	} {
		if !reflect.DeepEqual(c.x, c.y) {
			return fmt.Errorf("the top level declares different %s each time it runs; it must not depend on chance, the time or shared values", c.what)
		}
	}
	return nil
}

func (p *Program) setLimits() {
	p.limits.cpu = p.milliseconds("script_cpu_ms")
	p.limits.wall = modules.Wall(genHost{p})
	p.limits.memory = int64(p.number("script_memory"))
	p.limits.depth = int(p.number("script_call_depth"))
	for i, st := range p.states {
		st.slot = &p.proc.slots[i]
		st.base.Options.CallStackSize = p.limits.depth
		st.free, st.children = nil, nil
	}
}

// checkNeeds refuses a module whose needs are not loaded before it.
func (p *Program) checkNeeds() {
	seen := map[string]bool{}
	for _, m := range p.order {
		for _, need := range m.decl.Needs {
			if !seen[need] {
				p.find(Finding{File: p.name, Line: p.decl.lines[m.decl.Name],
					Text: fmt.Sprintf("module %s needs module %s: loadmodule %q before it", m.decl.Name, need, need)})
			}
		}
		seen[m.decl.Name] = true
	}
}

// prepare opens process parts and makes the generation's configurations.
func (p *Program) prepare() error {
	for _, m := range p.order {
		if err := p.prepareModule(m); err != nil {
			p.find(Finding{File: p.name, Line: p.decl.lines[m.decl.Name], Text: "module " + m.decl.Name + ": " + err.Error()})
			e := p.failure().(*Error)
			e.Err = err
			return e
		}
	}
	return nil
}

func (p *Program) prepareModule(m *moduleRec) error {
	if m.early != nil {
		m.early.Abort()
		m.early = nil
	}
	params := p.moduleParams(m)
	var err error
	switch {
	case m.decl.Open == nil && m.decl.New == nil:
		m.config = modules.NoLifecycle{}
	case m.decl.Open == nil:
		m.config, err = m.decl.New(genHost{p}, params)
	case p.opt.CheckOnly:
	default:
		made, oerr := p.proc.open(m.decl)
		if oerr != nil {
			return oerr
		}
		if made {
			p.opened = append(p.opened, m.decl.Name)
		}
		m.config, err = p.proc.opened[m.decl.Name].Prepare(genHost{p}, params)
	}
	return err
}

// moduleParams are the declared defaults with what the script gave.
func (p *Program) moduleParams(m *moduleRec) modules.Params {
	out := make(modules.Params, len(m.decl.Params))
	for _, d := range m.decl.Params {
		if d.Default.Kind != modules.KindNil {
			out[d.Name] = d.Default
		}
	}
	if p.decl != nil {
		for name, v := range p.decl.params[m.decl.Name] {
			out[name] = v
		}
	}
	return out
}

// genHost is what a module may ask while it prepares its configuration.
type genHost struct{ p *Program }

func (h genHost) Setting(name string) any { return h.p.setting(name) }

func (h genHost) Sockets() []*api.Socket {
	if h.p.opt.Env == nil {
		return nil
	}
	return h.p.opt.Env.Sockets()
}

func (h genHost) Log(level api.Level, msg string, fields ...api.Field) {
	if h.p.opt.Env != nil {
		h.p.opt.Env.Log(level, msg, fields...)
	}
}

func (h genHost) FlagBit(name string, branch bool) (int, error) {
	if h.p.opt.Env == nil {
		return 0, nil
	}
	return h.p.opt.Env.FlagBit(name, branch)
}

func (h genHost) ReadFile(path string) ([]byte, error) {
	if len(path) > 0 && path[0] == '/' && h.p.opt.Env != nil {
		return h.p.opt.Env.ReadFile(path)
	}
	return readBelow(h.p.dir, path, maxReadFile)
}

// runTop runs the top level of the script in the state.
func (st *State) runTop(main *source) error {
	r := st.newRun()
	r.top = true
	c := &api.Ctx{Host: topHost{st.prog, st.worker}, Branch: -1, State: &api.State{}, Target: &api.Target{}}
	r.begin(c, "top level")
	st.prog.proc.dog.rouse()
	st.main = r
	fn := st.base.NewFunctionFromProto(main.proto)
	err := r.L.CallByParam(lua.P{Fn: fn, Protect: true})
	if err == nil {
		st.collectRoutes()
	}
	r.end()
	return err
}
