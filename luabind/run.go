package luabind

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// The states of a run, the low two bits of its word. The other bits are its
// number, so that a late watchdog cannot end the next run of a pooled record.
const (
	runIdle = iota
	runRunning
	runParked
	runKilled
)

// cause is why a run was ended from outside.
type cause int32

const (
	causeNone cause = iota
	causeCPU
	causeMemory
	causeWall
)

// maxNesting bounds pcall, xpcall and coroutines inside each other: each is a
// level of Go's stack, whose overflow cannot be recovered.
const maxNesting = 200

// run is one handler run: the thread it runs on, its budget, and the context
// that Go functions find it by. It is pooled with its thread.
type run struct {
	st    *State
	L     *lua.LState
	c     *api.Ctx
	name  string // "failure_route.voicemail"
	top   bool   // the script's top level rather than a handler
	epoch uint64 // counts up when a run ends: msg of an earlier one is stale

	word  atomic.Uint64
	cpu   atomic.Int64 // budget in nanoseconds
	cause atomic.Int32
	done  chan struct{}
	prev  *run // the run this one is nested in, on the same goroutine

	mem      int64 // bytes built so far
	nest     int
	failedAt string      // file:line of the error that is being logged
	at       *lua.LState // thread that logs, where it is not L
	yielding *lua.LState // coroutine that has just called yield

	args    modules.Args
	cache   []fieldCache
	keyed   []*keyedObj
	subs    [numSubs]*subMessage
	launch  []launched
	outerHk api.RunHooks
	outerDt any
}

// run is a context.Context: the virtual machine polls Done before each
// instruction.
var _ context.Context = (*run)(nil)

// Deadline tells of none: the watchdog ends runs.
func (r *run) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the run went over its budget.
func (r *run) Done() <-chan struct{} { return r.done }

// Err tells why the run was ended; nil while it may go on.
func (r *run) Err() error {
	switch cause(r.cause.Load()) {
	case causeCPU:
		return fmt.Errorf("over the CPU budget of %s (config script_cpu_ms)", time.Duration(r.cpu.Load()))
	case causeWall:
		return &modules.WallError{Wall: r.st.prog.limits.wall}
	case causeMemory:
		return fmt.Errorf("over the memory budget of %d bytes (config script_memory)", r.st.prog.limits.memory)
	}
	return nil
}

// Value holds nothing.
func (r *run) Value(any) any { return nil }

// Parking stops the CPU clock: the token is given away.
func (r *run) Parking() {
	w := r.word.Load()
	if w&3 == runRunning {
		r.word.CompareAndSwap(w, w&^3|runParked)
	}
	r.st.slot.cur.Store(nil)
}

// Resumed starts the CPU clock again.
func (r *run) Resumed() {
	w := r.word.Load()
	if w&3 == runParked {
		r.word.CompareAndSwap(w, w&^3|runRunning)
	}
	r.st.slot.cur.Store(r)
}

// Position is the script's current file:line, or where it failed; "" outside of
// Lua. The engine may ask a Ctx's Data for it when it logs.
func (r *run) Position() string {
	if r.failedAt != "" {
		return r.failedAt
	}
	if r.at != nil {
		return position(r.at)
	}
	return position(r.L)
}

// GenerationID is the script version that runs, asked for likewise.
func (r *run) GenerationID() uint64 { return r.st.prog.id }

// kill ends the run when its word is still w.
func (r *run) kill(w uint64, why cause) {
	if w&3 != runRunning || !r.word.CompareAndSwap(w, w&^3|runKilled) {
		return
	}
	r.cause.Store(int32(why))
	close(r.done)
}

func (r *run) killed() bool { return r.word.Load()&3 == runKilled }

// begin takes the worker's slot for a handler run on c.
func (r *run) begin(c *api.Ctx, name string) {
	r.c, r.name = c, name
	r.mem, r.nest = 0, 0
	r.cpu.Store(int64(r.st.prog.limits.cpu))
	if r.top {
		r.cpu.Store(int64(topLevelCPU))
	}
	r.outerHk, r.outerDt = c.Hooks, c.Data
	c.Hooks, c.Data = r, r
	r.word.Store((r.word.Load()>>2+1)<<2 | runRunning)
	r.prev = r.st.slot.cur.Load()
	r.st.slot.cur.Store(r)
}

// end gives the slot back; pool tells whether the record may be used again.
func (r *run) end() (pool bool) {
	r.c.Hooks, r.c.Data = r.outerHk, r.outerDt
	r.st.slot.cur.Store(r.prev)
	w := r.word.Load()
	pool = w&3 != runKilled && r.word.CompareAndSwap(w, w&^3+runIdle)
	r.epoch++
	r.c, r.prev, r.outerHk, r.outerDt, r.yielding = nil, nil, nil, nil, nil
	clear(r.cache)
	clear(r.keyed)
	return pool
}

// runOf finds the run that L belongs to. Every thread that scripts run on has
// one.
func runOf(L *lua.LState) *run {
	r, _ := L.Context().(*run)
	return r
}

// charge counts n bytes that the script builds and raises when that is too many.
func (r *run) charge(L *lua.LState, n int) {
	r.mem += int64(n)
	if r.mem <= r.st.prog.limits.memory || r.top && r.mem <= topLevelMemory {
		return
	}
	r.kill(r.word.Load(), causeMemory)
	if err := r.Err(); err != nil {
		L.RaiseError("%s", err.Error())
	}
	L.RaiseError("over the memory budget")
}

// room raises unless n more bytes may be built; nothing is counted. Helpers
// call it before they allocate.
func (r *run) room(L *lua.LState, n int) {
	limit := r.st.prog.limits.memory
	if r.top {
		limit = max(limit, topLevelMemory)
	}
	if r.mem+int64(n) > limit {
		r.charge(L, n)
	}
}

// fatal reports whether obj must not be caught by the script.
func (r *run) fatal(obj lua.LValue) bool {
	return obj == lua.LValue(r.st.exit.val) || obj == lua.LValue(r.st.drop.val) || r.killed()
}

// errEnded is the text of a sentinel that escapes.
var errEnded = errors.New("the script ended")

// sentinel is what exit() or drop() raises: a value that only its identity
// tells, and the hook that panics with it.
type sentinel struct {
	val  *lua.LUserData
	hook func(*lua.LState)
}

// newSentinel prepares the error once, with a stack trace so that none is
// rendered when it is caught.
func newSentinel() sentinel {
	v := &lua.LUserData{Value: errEnded, Metatable: lua.LNil}
	err := &lua.ApiError{Type: lua.ApiErrorRun, Object: v, StackTrace: errEnded.Error()}
	return sentinel{v, func(*lua.LState) { panic(err) }}
}

// raise ends the run. The thread's own Panic hook is replaced; the protected
// call above restores it. Error closes the open upvalues, so the thread stays
// fit for use.
func (s sentinel) raise(L *lua.LState) {
	L.Panic = s.hook
	L.Error(s.val, 0)
}
