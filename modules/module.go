// Package modules says what a module is: one declaration in Go, from which the
// Lua binding, argument checks, the reference, editor types and the
// migration's mapping are all made.
//
// The life of a module:
//
//  1. The script names it (loadmodule). Its declaration is looked up in the
//     list of modules/all.
//  2. Open makes the process part, once for the life of the program:
//     registrations, pools, sockets.
//  3. Prepare makes the configuration of one script generation from its
//     parameters. Nothing visible changes; an error refuses the script.
//  4. Commit is called when the generation becomes the live one and cannot
//     fail; or Abort, when the generation was refused.
//  5. Functions, fields and variables are called with that configuration as
//     their receiver, by handlers of that generation, with the worker's token.
//  6. Release is called when no handler of the generation can run any more.
//  7. Close ends the process part at shutdown.
package modules

import (
	"time"

	"github.com/luasips/luasips/engine/api"
)

// Module is the declaration of one module.
type Module struct {
	Name string // OpenSIPS's module name, also the Lua table's
	Doc  string // what it is for, one paragraph
	// Builtin modules are there without loadmodule (core).
	Builtin bool
	// Needs names modules that must be loaded before.
	Needs []string

	Params    []Param
	Functions []Function
	Fields    []Field // message fields (pseudo-variables) it exports
	Vars      []Var   // variables of the module's own table
	Events    []Event
	Omitted   []Omission

	// Open makes the process part. nil when the module keeps nothing: then
	// New is used alone.
	Open func(h ProcessHost) (Process, error)
	// New makes a generation's configuration where there is no process part.
	New func(g GenerationHost, p Params) (Config, error)
}

// Process is a module's part that outlives scripts.
type Process interface {
	// Prepare makes a generation's configuration; see the package comment.
	Prepare(g GenerationHost, p Params) (Config, error)
	// Close ends it. Called once, after the last handler.
	Close()
}

// Config is a module's immutable configuration for one generation. It is the
// receiver of the module's functions.
type Config interface {
	Commit()
	Abort()
	Release()
}

// NoLifecycle is embedded by configurations that hold nothing to let go.
type NoLifecycle struct{}

// Commit does nothing.
func (NoLifecycle) Commit() {}

// Abort does nothing.
func (NoLifecycle) Abort() {}

// Release does nothing.
func (NoLifecycle) Release() {}

// ProcessHost is what a process part may ask of the engine.
type ProcessHost interface {
	// Go starts a goroutine that Close must make end.
	Go(name string, fn func())
	// Log writes a record that belongs to no message.
	Log(level api.Level, msg string, fields ...api.Field)
	// Workers is the number of workers.
	Workers() int
	// Post queues fn for a worker.
	Post(worker int, fn func())
	// Resolver answers names.
	Resolver() api.Resolver
	// Now is the process clock.
	Now() time.Time
	// RaiseEvent runs event_route.NAME of the live script.
	RaiseEvent(name string, params map[string]any)
}

// GenerationHost is what a configuration may ask while it is prepared.
type GenerationHost interface {
	// Setting reads config{} by name; nil when not set.
	Setting(name string) any
	// Sockets are the sockets of the program.
	Sockets() []*api.Socket
	// Log writes a record of load time.
	Log(level api.Level, msg string, fields ...api.Field)
	// FlagBit is the bit of a flag name.
	FlagBit(name string, branch bool) (int, error)
	// ReadFile reads a file beside the script.
	ReadFile(path string) ([]byte, error)
}

// Omission is something of the OpenSIPS module that is left out.
type Omission struct {
	Kind   string // "function", "parameter", "variable", "mi", "event"
	Name   string
	Reason string // a sentence for the README
}

// Event is an event that the module raises: event_route.NAME.
type Event struct {
	Name   string
	Doc    string
	Params []string
}
