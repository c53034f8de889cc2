// Package engine runs the proxy: it owns the workers and every goroutine, and
// joins transport, transactions, resolver and script. DESIGN.md beside this
// file tells who owns what, one message's path, and the lock order.
package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/engine/txn"
)

// Program is one generation of the script as the engine sees it.
type Program interface {
	api.Generation
	// Script is one worker's side of it.
	Script(worker int) api.Script
	// Settings are the script's config{} values by name.
	Settings() map[string]any
	// Timers are its timer routes.
	Timers() []Timer
	// HasEvent tells whether it declares event_route.NAME; RunEvent runs it on
	// a worker, with that worker's token.
	HasEvent(name string) bool
	RunEvent(worker int, c *api.Ctx, name string, params map[string]any) api.Verdict
	// RunStartup runs startup_route.main on worker 0; an error refuses the
	// start. nil when there is none.
	RunStartup(c *api.Ctx) error
	// Transactions are the transaction layer's settings of this generation.
	Transactions() *txn.Config
	// Commit makes its module configurations the live ones and cannot fail;
	// Abort drops a program that never went live.
	Commit()
	Abort()
	// Shutdown ends what the script's modules keep for the life of the
	// process; called once, on the live program, when nothing is received any
	// more.
	Shutdown()
}

// Timer is one timer route: run once per process every Every.
type Timer struct {
	Name    string
	Every   time.Duration
	Handler func(worker int) api.Handler
}

// Config is what an Engine is made from. It holds what does not come from the
// script.
type Config struct {
	// Workers is how many; 0 takes one for each processor that Go uses
	// (GOMAXPROCS).
	Workers int
	// Log may be nil: nothing is logged then.
	Log *logs.Logger
}

// Net is what Bind takes: the script's sockets and limits.
type Net struct {
	Transport transport.Config
	// Resolver makes the resolver, given the door for its goroutines. nil is
	// allowed: names do not resolve then.
	Resolver func(goFn func(name string, fn func()) bool) (api.Resolver, error)
	// MaxParked bounds parked handlers per worker; beyond it requests outside
	// dialogs get 503, and beyond twice as many all do. 0 is 4,000.
	MaxParked int
	// Overload is how long a message may wait in the kernel's buffer before
	// new dialogs are refused. 0 is 200 ms.
	Overload time.Duration
	// MaxGenerations bounds script versions that still have calls. 0 is 128.
	MaxGenerations int
	// DrainTime is how long Shutdown lets transactions finish. 0 is 32 s.
	DrainTime time.Duration
}

// Engine is one running proxy. Several may run in one process.
type Engine struct {
	net       Net
	log_      *logs.Logger
	group     *group
	workers   []*Worker
	transport *transport.Manager
	resolver  api.Resolver
	flags     *flagTable
	aliases   aliases
	seed      maphash.Seed
	secret    [16]byte

	program     atomic.Pointer[liveProgram]
	generations generations
	behind      atomic.Int32 // readers that are behind
	behindAt    atomic.Int64 // when one was last seen to be, UnixNano
	ready       atomic.Bool  // the workers are made
	draining    atomic.Bool
	epoch       time.Time // when the engine was made, with its monotonic reading
	pulser      *pulser
	timers      timerSet
	events      atomic.Int64  // raised and not handled yet
	swapping    chan struct{} // has one item while the program is being replaced
	incomings   sync.Pool
	stop        chan struct{}
	stopOnce    sync.Once
}

// liveProgram lets the pointer swap be one store whatever Program is.
type liveProgram struct{ Program }

// New makes an engine that can load scripts (it is their host) and does
// nothing else before Bind.
func New(cfg Config) (*Engine, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	e := &Engine{workers: make([]*Worker, cfg.Workers), log_: cfg.Log, seed: maphash.MakeSeed(), flags: newFlagTable(), stop: make(chan struct{}), swapping: make(chan struct{}, 1)}
	if _, err := rand.Read(e.secret[:]); err != nil {
		return nil, fmt.Errorf("no randomness for branch values: %w", err)
	}
	e.group = newGroup(e.log)
	e.timers.engine = e
	e.epoch = time.Now()
	e.pulser = newPulser()
	e.group.start("pulse", func() { e.pulse(e.stop) })
	return e, nil
}

// Bind opens the sockets and makes the workers; nothing is received before
// Start. Errors of binding are *transport.BindError.
func (e *Engine) Bind(n Net) error {
	n.defaults()
	e.net = n
	e.generations.max = n.MaxGenerations
	m, err := transport.Listen(n.Transport, e)
	if err != nil {
		return err
	}
	e.transport = m
	e.resolver = noResolver{}
	if n.Resolver != nil {
		if e.resolver, err = n.Resolver(e.group.start); err != nil {
			return errors.Join(err, m.Close(context.Background()))
		}
	}
	for i := range e.workers {
		e.workers[i] = e.newWorker(i)
	}
	e.ready.Store(true)
	return nil
}

func (n *Net) defaults() {
	if n.MaxParked <= 0 {
		n.MaxParked = 4000
	}
	if n.Overload <= 0 {
		n.Overload = 200 * time.Millisecond
	}
	if n.MaxGenerations <= 0 {
		n.MaxGenerations = 128
	}
	if n.DrainTime <= 0 {
		n.DrainTime = 32 * time.Second
	}
	if n.Transport.Limits.MaxSize <= 0 {
		n.Transport.Limits = sip.DefaultLimits()
	}
}

func (e *Engine) newWorker(i int) *Worker {
	w := &Worker{id: i, engine: e, calls: make(map[string]*callQueue), now: time.Now()}
	w.room = sync.NewCond(&w.mu)
	w.out = e.transport.NewOutbox(i)
	w.apiHost = &host{w}
	w.layer = txn.New(&txnHost{w}, &txn.Config{Secret: e.secret})
	return w
}

// Run starts p as the first generation (its startup route included), serves
// until ctx ends, then drains and stops. The error is the startup route's, or
// tells what did not end in time.
func (e *Engine) Run(ctx context.Context, p Program) error {
	if err := e.Start(p); err != nil {
		return errors.Join(err, e.close())
	}
	<-ctx.Done()
	return e.Shutdown()
}

// Start makes p live and begins to receive.
func (e *Engine) Start(p Program) error {
	if err := e.Reload(p); err != nil {
		return err
	}
	if err := e.startup(p); err != nil {
		return err
	}
	e.transport.Start()
	return nil
}

// Shutdown drains: new dialogs are refused with 503, what runs may finish for
// DrainTime, then everything ends. Safe to call once.
func (e *Engine) Shutdown() error {
	e.draining.Store(true)
	e.log(api.LevelNotice, "draining")
	deadline := time.Now().Add(e.net.DrainTime)
	for time.Now().Before(deadline) && e.live() > 0 {
		select {
		case <-e.stop:
			deadline = time.Time{}
		case <-time.After(20 * time.Millisecond):
		}
	}
	return e.close()
}

// Stopped is closed when the engine ends.
func (e *Engine) Stopped() <-chan struct{} { return e.stop }

// Stop ends a drain at once; safe to call at any time.
func (e *Engine) Stop() { e.stopOnce.Do(func() { close(e.stop) }) }

// Close ends an engine that was never started, or whose start failed.
func (e *Engine) Close() error { return e.close() }

// close stops receiving, ends every goroutine and lets the program go.
func (e *Engine) close() error {
	e.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	if e.transport != nil {
		err = e.transport.Close(ctx)
	}
	select {
	case e.swapping <- struct{}{}: // and no reload from here on
	case <-ctx.Done():
		err = errors.Join(err, errors.New("a reload is still under way"))
	}
	e.timers.stop()
	lp := e.program.Swap(nil)
	if lp != nil {
		lp.Shutdown()
	}
	if c, ok := e.resolver.(interface{ Close() }); ok {
		c.Close()
	}
	e.group.close()
	done := make(chan struct{})
	go func() { e.group.wg.Wait(); close(done) }() // ends with the group
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("still running after 5 s: %v", e.group.names()))
	}
	for _, w := range e.workers {
		if w != nil && w.program != nil {
			w.program.Release()
		}
	}
	if lp != nil {
		lp.Release()
	}
	return err
}

// live counts what has not ended, over all workers: transactions without a
// final reply, parked handlers, and a worker that is at work just now.
func (e *Engine) live() int {
	n := 0
	for _, w := range e.workers {
		n += int(w.counters.Parked.Load() + w.live.Load())
		w.mu.Lock()
		if w.held {
			n++
		}
		w.mu.Unlock()
	}
	return n
}

// Live is the number of transactions without a final reply.
func (e *Engine) Live() int {
	n := int64(0)
	for _, w := range e.workers {
		n += w.live.Load()
	}
	return int(n)
}

// Counters are a worker's, to be read at any time.
func (e *Engine) Counters(worker int) *Counters { return &e.workers[worker].counters }

// Workers is the number of workers.
func (e *Engine) Workers() int { return len(e.workers) }

// Sockets are the bound sockets in the order of declaration; none before Bind.
func (e *Engine) Sockets() []*api.Socket {
	if e.transport == nil {
		return nil
	}
	return e.transport.Sockets()
}

// ReadFile reads a file that a module names by path.
func (e *Engine) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Post queues fn for a worker, from any goroutine; it runs later with that
// worker's token. It never waits.
func (e *Engine) Post(worker int, fn func()) {
	e.workers[worker].post(event{fn: fn})
}

// Go starts a goroutine that Shutdown awaits; fn must end when its owner is
// closed.
func (e *Engine) Go(name string, fn func()) { e.group.start(name, fn) }

// Now is the clock.
func (e *Engine) Now() time.Time { return time.Now() }

// Resolver answers names; every one with an error when none was configured.
func (e *Engine) Resolver() api.Resolver { return e.resolver }

// Log writes a record that belongs to no message.
func (e *Engine) Log(level api.Level, msg string, fields ...api.Field) { e.log(level, msg, fields...) }

// LogScript writes a record of the script's top level, which has a place and a
// generation but no message; force writes it whatever the level is.
func (e *Engine) LogScript(level api.Level, force bool, where string, generation uint64, msg string, fields ...api.Field) {
	if e.log_ == nil {
		return
	}
	e.log_.Write(logs.Record{Level: level, Force: force, Component: "script", Where: where, Generation: generation, Msg: msg, Fields: fields})
}

// log writes a record of the engine's own. It is called where a fault of ours
// has been caught, so one in logging ends here: no token is lost to it.
func (e *Engine) log(level api.Level, msg string, fields ...api.Field) {
	if e.log_ == nil || !e.log_.Enabled("engine", level) {
		return
	}
	defer func() { _ = recover() }() // there is nowhere left to tell it
	e.log_.Write(logs.Record{Level: level, Component: "engine", Msg: msg, Fields: fields})
}
