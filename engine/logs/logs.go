// Package logs writes the proxy's structured log: one record, one line.
//
// A record passes four places, in this order:
//
//  1. levels.go: is the component's level high enough? One atomic load says no.
//  2. limit.go: is this source line within its rate? What was dropped is told
//     in the line's next record, as "dropped", or when the log is closed.
//  3. json.go or console.go: the record becomes a line. Whatever a peer may have
//     written is escaped and cut (escape.go): no record can forge another, or
//     move a terminal's cursor.
//  4. sink.go: the line joins a bounded buffer that one goroutine writes out.
//     A full buffer drops lines and counts them; nobody waits for a slow disk.
package logs

import (
	"io"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// Color says when the console form is coloured.
type Color uint8

// The choices. ColorAuto colours when Out is a terminal and NO_COLOR is not set.
const (
	ColorAuto Color = iota
	ColorNever
	ColorAlways
)

// Options say how a Logger works. Zero fields take the defaults named here.
type Options struct {
	// Out takes the lines; nil is os.Stderr. It is written to by one goroutine
	// at a time.
	Out io.Writer
	// Console writes lines for people in place of JSON.
	Console bool
	Color   Color
	// Level is the level of components without one of their own; 0 is
	// api.LevelInfo (OpenSIPS log_level).
	Level api.Level
	// Levels are components with a level of their own; may be nil.
	Levels map[string]api.Level
	// Rate is how many records of one source line are written per second, and
	// Burst how many at once. 0 is 20; a negative Rate is no limit.
	Rate, Burst int
	// MaxField bounds one value in bytes, 0 is 4 KiB; MaxRecord bounds all
	// values of a record together, 0 is 32 KiB.
	MaxField, MaxRecord int
	// Buffer bounds the lines that wait to be written, in bytes; 0 is 1 MiB.
	Buffer int
	// CloseTimeout is how long Close waits for Out; 0 is 5 s.
	CloseTimeout time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Go starts the goroutine that writes; its owner awaits its end, which
	// Close brings about. nil: each record is written by who logs it.
	Go func(name string, fn func())
}

// Record is one event. Zero fields are left out.
type Record struct {
	Level      api.Level
	Component  string // module or part of the engine: "tm", "engine"
	Msg        string
	CallID     string
	Method     string
	Route      string         // route that the handler entered by
	Where      string         // file:line of the script
	Generation uint64         // script version
	Peer       netip.AddrPort // transport peer
	Fields     []api.Field
	Stack      string // Lua or Go stack
	// Force writes the record whatever the levels say: a run whose own log
	// level was raised.
	Force bool
}

// Logger writes records. Its methods may be called from any goroutine.
type Logger struct {
	levels  atomic.Pointer[levelTable]
	setting sync.Mutex // one change of levels at a time
	limit   limiter
	sink    sink
	json    zerolog.Logger
	scratch sync.Pool // *encoder

	console bool
	color   bool
	bounds  bounds
	now     func() time.Time
	start   time.Time
	patient time.Duration
}

// New makes a Logger. The caller calls Close at the end.
func New(o Options) *Logger {
	o.setDefaults()
	l := &Logger{
		console: o.Console, color: o.Console && colored(o), now: o.Now, start: o.Now(),
		bounds: bounds{field: o.MaxField, record: o.MaxRecord}, patient: o.CloseTimeout,
	}
	l.scratch.New = func() any { return new(encoder) }
	l.levels.Store(newLevelTable(o.Level, o.Levels))
	l.limit.set(o.Rate, o.Burst)
	l.sink.init(o.Out, o.Buffer, l.lost)
	l.json = zerolog.New(&l.sink)
	if o.Go != nil {
		l.sink.async = true
		o.Go("logs.write", l.sink.run)
	}
	return l
}

func (o *Options) setDefaults() {
	if o.Out == nil {
		o.Out = os.Stderr
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	def(&o.Level, api.LevelInfo)
	def(&o.Rate, 20)
	def(&o.Burst, max(o.Rate, 1))
	def(&o.MaxField, 4<<10)
	def(&o.MaxRecord, 32<<10)
	def(&o.Buffer, 1<<20)
	def(&o.CloseTimeout, 5*time.Second)
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func colored(o Options) bool {
	if o.Color != ColorAuto {
		return o.Color == ColorAlways
	}
	f, ok := o.Out.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == ""
}

// Write logs r when the component's level lets it and its source line is within
// its rate. It does not wait for Out (unless Options.Go was nil), and keeps
// nothing of r.
func (l *Logger) Write(r Record) {
	if !r.Force && !l.Enabled(r.Component, r.Level) {
		return
	}
	now := l.now()
	ok, dropped := l.limit.allow(&r, now.Sub(l.start))
	if !ok {
		return
	}
	l.encode(&r, now, dropped)
}

func (l *Logger) encode(r *Record, now time.Time, dropped uint64) {
	e := l.scratch.Get().(*encoder)
	e.left, e.bounds = l.bounds.record, l.bounds
	if l.console {
		l.sink.Write(e.console(r, now.Local(), dropped, l.color))
	} else {
		e.json(l.json.Log(), r, now.UTC(), dropped)
	}
	l.scratch.Put(e)
}

// lost tells of n lines that the sink could not take or write.
func (l *Logger) lost(n uint64) {
	l.encode(&Record{Level: api.LevelWarn, Component: "logs", Msg: "log lines were lost, the output is too slow or fails"}, l.now(), n)
}

// Suppressed is how many records the rate limit dropped since New.
func (l *Logger) Suppressed() uint64 { return l.limit.total.Load() }

// Lost is how many lines were dropped since New because the buffer was full or
// Out failed.
func (l *Logger) Lost() uint64 { return l.sink.lostTotal.Load() }
