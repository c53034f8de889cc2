// Package luabind runs the script. It is the only importer of gopher-lua: it
// compiles the script, keeps one Lua state per worker and generation, binds the
// declarations of package modules to Lua, and implements api.Script.
//
// # Generations
//
// Load compiles the script once and runs its top level in a fresh state for
// every worker; states that declare different things are refused. A Program is
// one generation: Commit makes its module configurations the live ones, Abort
// refuses it, and when the last reference is released its states are let go.
//
// # Running a handler
//
// A handler runs by a protected call on a pooled thread of its worker's state.
// The thread's context is the pooled run record itself, so that every Go
// function finds the run from any child thread or coroutine. A thread that
// ended in an error is dropped, never pooled.
//
// # Limits
//
// CPU: a watchdog samples which run holds each worker's token and ends one that
// went over script_cpu_ms by a compare-and-set on the run's number. While a run
// is parked the token is not held, so the clock stands still. No clock is read
// when a handler starts or ends.
//
// Memory: what scripts build is counted in the helpers that build it. The
// operator .. has no hook in the virtual machine, so the parsed tree is rewritten: a
// concatenation that is not all constants becomes a call of a counted helper
// (one call for a whole chain). That costs about half again as much as the
// opcode, 0.1 µs for a chain of three (BenchmarkConcat), and one allocation less.
// Table constructors and assignments cannot be counted; the CPU budget bounds
// them.
//
// Depth: script_call_depth bounds Lua calls of one thread, and 200 bounds the
// nesting of pcall and coroutines, each of which is a level of Go's stack.
package luabind
