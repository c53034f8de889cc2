package main

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/engine/txn"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/tm"
)

// loader makes programs out of the script's file, one at a time.
type loader struct {
	path    string
	engine  *engine.Engine
	log     *logs.Logger
	modules []*modules.Module // the same ones at each load: they keep process-wide state

	mu      sync.Mutex
	current *luabind.Program
	live    *program
	started settings // of the script that the program started with
}

// program joins a loaded script and the engine's view of it.
type program struct {
	*luabind.Program
	timers []engine.Timer
}

// Script is one worker's side.
func (p *program) Script(worker int) api.Script { return p.Worker(worker) }

// Timers are the script's timer routes.
func (p *program) Timers() []engine.Timer { return p.timers }

// Transactions are the settings that tm's parameters and config{} give.
func (p *program) Transactions() *txn.Config {
	c := txn.DefaultConfig()
	if m, ok := p.ModuleConfig("tm").(*tm.Config); ok {
		s := m.TxnSettings()
		c.T1, c.T2, c.FrTimeout, c.FrInvTimeout = s.T1, s.T2, s.FrTimeout, s.FrInvTimeout
		c.MinorBranch = s.Minor
		c.Auto100, c.RestartFrOnReply, c.Disable6xxBlock = s.Auto100, s.RestartFr, s.Disable6xxBlock
	}
	applyCore(p.Settings(), c)
	return c
}

// first loads the script and binds what it declares.
func (l *loader) first() error {
	p, err := l.load(nil, func(p *luabind.Program) error {
		n := netOf(p)
		if wrong := transport.Check(n.Transport); len(wrong) > 0 {
			return wrong[0]
		}
		return l.engine.Bind(n)
	})
	if err != nil {
		return err
	}
	l.current, l.live = p.Program, p
	l.started = withDefaults(p.Settings())
	return nil
}

// reload loads the file anew and makes it live. The running version goes on
// when anything is wrong.
func (l *loader) reload() (*program, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.load(l.current, nil)
	if err != nil {
		return nil, err
	}
	if err := p.SameShape(l.current); err != nil {
		p.Abort()
		return nil, err
	}
	if err := l.engine.Reload(p); err != nil {
		return nil, err
	}
	l.current, l.live = p.Program, p
	l.setLevels(p)
	l.logUnapplied(p)
	return p, nil
}

// logUnapplied tells of settings that differ from those the program started with
// and that only a start reads.
func (l *loader) logUnapplied(p *program) {
	now := withDefaults(p.Settings())
	for _, name := range atStart {
		if !reflect.DeepEqual(now[name], l.started[name]) {
			l.log.Write(logs.Record{Level: api.LevelWarn, Component: "script", Msg: "config " + name + " changes with a restart only",
				Fields: []api.Field{{Key: "running", Value: l.started[name]}, {Key: "script", Value: now[name]}}})
		}
	}
}

func (l *loader) load(previous *luabind.Program, bind func(*luabind.Program) error) (*program, error) {
	lp, err := luabind.Load(luabind.Options{Path: l.path, Modules: l.modules, Workers: l.engine.Workers(),
		Env: l.engine, Previous: previous, Bind: bind, OnGone: l.engine.Forget})
	if err != nil {
		return nil, err
	}
	p := &program{Program: lp}
	for _, t := range lp.Timers() {
		p.timers = append(p.timers, engine.Timer{Name: t.Name, Every: time.Duration(t.Seconds) * time.Second,
			Handler: func(int) api.Handler { return t.Handler }})
	}
	if previous == nil {
		l.setLevels(p)
	}
	l.logFindings(lp.Findings())
	return p, nil
}

// stats are the scripts' counters since the proxy began.
func (l *loader) stats() luabind.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current.Stats()
}

// logFindings writes what loading found and did not refuse.
func (l *loader) logFindings(found []luabind.Finding) {
	for _, f := range found {
		level := api.LevelNotice
		if f.Severity == luabind.SeverityWarning {
			level = api.LevelWarn
		}
		l.log.Write(logs.Record{Level: level, Component: "script", Msg: f.Text, Where: fmt.Sprintf("%s:%d", f.File, f.Line)})
	}
}

// setLevels takes log_level and log_levels from the script's config{}.
func (l *loader) setLevels(p *program) {
	for component, level := range logLevels(p.Settings()) {
		l.log.SetLevel(component, level)
	}
}

// reload is what SIGHUP and the reload command do.
func (p *proxy) reload() (uint64, error) {
	start := time.Now()
	prog, err := p.loader.reload()
	if err != nil {
		r := logs.Record{Level: api.LevelError, Component: "engine", Msg: "reload refused", Fields: []api.Field{{Key: "error", Value: err}}}
		var se *luabind.Error
		if errors.As(err, &se) && se.File != "" {
			r.Where = fmt.Sprintf("%s:%d", se.File, se.Line)
		}
		p.log.Write(r)
		return 0, err
	}
	p.log.Write(logs.Record{Level: api.LevelNotice, Component: "engine", Msg: "reloaded", Generation: prog.ID(),
		Fields: []api.Field{{Key: "took", Value: time.Since(start)}}})
	return prog.ID(), nil
}
