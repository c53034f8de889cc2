package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/mi"
	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

type runCmd struct {
	controlFlag
	File       string `short:"f" required:"" placeholder:"SCRIPT" help:"Route script to run."`
	Workers    int    `help:"Workers, each with a Lua state of its own; 0 takes as many as there are processors." default:"0"`
	LogFormat  string `help:"json, console, or auto: console on a terminal." enum:"auto,json,console" default:"auto"`
	NoControl  bool   `help:"Run without a control socket: reload by SIGHUP alone."`
	CPUProfile string `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile of the whole run."`
}

// defaultGC keeps the collector out of the way of small, short-lived heaps; a
// GOGC in the environment goes first.
const defaultGC = 400

// Run runs the proxy until SIGTERM.
func (r *runCmd) Run(s *streams) error {
	stopProfile, err := startProfile(r.CPUProfile)
	if err != nil {
		return err
	}
	defer stopProfile()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(defaultGC)
	}
	hup := make(chan os.Signal, 1) // one more waits while a reload runs: it will do for all
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	p, err := newProxy(r, s)
	if err != nil {
		return err
	}
	return p.run(hup)
}

func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "luasips:", err)
		}
	}, nil
}

// proxy is one running program: engine, script and control socket.
type proxy struct {
	cmd    *runCmd
	log    *logs.Logger
	engine *engine.Engine
	mi     *mi.Server
	loader loader
	start  time.Time
	wg     sync.WaitGroup // the log's writer
}

// newProxy loads the script and binds its sockets.
func newProxy(r *runCmd, s *streams) (*proxy, error) {
	p := &proxy{cmd: r, mi: mi.New(), start: time.Now()}
	p.log = newLogger(r.LogFormat, s.err, &p.wg)
	e, err := engine.New(engine.Config{Workers: r.Workers, Log: p.log})
	if err != nil {
		return nil, p.fail(err)
	}
	p.engine = e
	p.loader = loader{path: r.File, engine: e, log: p.log, modules: all.List()}
	if err := p.loader.first(); err != nil {
		return nil, p.fail(err)
	}
	p.commands()
	if !r.NoControl {
		if err := p.mi.Listen(r.path()); err != nil {
			return nil, p.fail(&exitError{exitUnavailable, fmt.Errorf("%w; give another by --control, or none by --no-control", err)})
		}
	}
	return p, nil
}

// fail ends what newProxy began and gives the error its exit code.
func (p *proxy) fail(err error) error {
	if p.loader.live != nil {
		p.loader.live.Abort() // no effect on one that went live: the engine ends it
	}
	if p.engine != nil {
		err = errors.Join(err, p.engine.Close())
	}
	p.close()
	return codeOf(err)
}

func codeOf(err error) error {
	var coded *exitError
	var busy *transport.BindError
	var script *luabind.Error
	switch {
	case errors.As(err, &coded):
		return err
	case errors.As(err, &busy):
		return &exitError{exitUnavailable, err}
	case errors.As(err, &script):
		return &exitError{exitConfig, errors.New(script.Brief())}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return &exitError{exitConfig, err}
	}
	return err
}

// run serves until a signal ends it; hup brings SIGHUP.
func (p *proxy) run(hup <-chan os.Signal) error {
	if err := p.engine.Start(p.loader.live); err != nil {
		return p.fail(&exitError{exitConfig, err})
	}
	term := make(chan os.Signal, 2) // of its own: no number of SIGHUPs can push one out
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(term)
	if !p.cmd.NoControl {
		p.engine.Go("control socket", func() {
			if err := p.mi.Serve(); err != nil {
				p.engine.Log(api.LevelError, "control socket ended", api.Field{Key: "error", Value: err})
			}
		})
	}
	p.ready()
	p.signals(hup, term)
	err := p.shutdown()
	p.close()
	return err
}

// shutdown drains the engine, and meanwhile ends the control socket and the
// commands that run.
func (p *proxy) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), commandsEnd)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- p.mi.Close(ctx) }() // awaited below
	return errors.Join(p.engine.Shutdown(), <-closed)
}

// commandsEnd is how long a command that runs, a reload for one, is waited for.
const commandsEnd = 5 * time.Second

// close ends what outlives the engine.
func (p *proxy) close() {
	p.log.Close()
	p.wg.Wait()
}

// ready tells that the proxy serves, and where.
func (p *proxy) ready() {
	names := ""
	for i, s := range p.engine.Sockets() {
		if i > 0 {
			names += " "
		}
		names += s.Name
	}
	p.engine.Log(api.LevelNotice, "ready", api.Field{Key: "sockets", Value: names},
		api.Field{Key: "script", Value: p.cmd.File}, api.Field{Key: "workers", Value: p.engine.Workers()},
		api.Field{Key: "version", Value: version()})
}

// signals returns when the proxy is to drain. A second SIGTERM or SIGINT ends
// the drain at once.
func (p *proxy) signals(hup, term <-chan os.Signal) {
	for going := true; going; {
		select {
		case <-hup:
			p.reload()
		case <-term:
			going = false
		}
	}
	p.engine.Go("second signal", func() {
		select {
		case <-term:
			p.engine.Stop()
		case <-p.engine.Stopped():
		}
	})
}
