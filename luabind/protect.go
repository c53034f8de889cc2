package luabind

import (
	"runtime"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Script-visible protected calls and coroutines. The virtual machine's own
// close every open upvalue of the thread when they catch an error; ours run the
// function on a thread of its own, which is dropped when it fails.

// enter counts one level of nesting and gives the thread for it.
func (r *run) enter(L *lua.LState) *lua.LState {
	if r.nest >= maxNesting {
		L.RaiseError("pcall and coroutines are nested more than %d deep", maxNesting)
	}
	r.nest++
	return r.st.child(r)
}

// isCallable tells whether v can be called.
func isCallable(L *lua.LState, v lua.LValue) bool {
	if v.Type() == lua.LTFunction {
		return true
	}
	return L.GetMetaField(v, "__call").Type() == lua.LTFunction
}

// basePcall is pcall(f, ...).
func basePcall(L *lua.LState) int {
	r := runOf(L)
	L.CheckAny(1)
	f := L.Get(1)
	if !isCallable(L, f) {
		L.Push(lua.LFalse)
		L.Push(lua.LString("attempt to call " + article(luaType(f)) + " value"))
		return 2
	}
	return r.protected(L, f, 2, nil)
}

// baseXpcall is xpcall(f, handler, ...).
func baseXpcall(L *lua.LState) int {
	r := runOf(L)
	f, h := L.Get(1), L.Get(2)
	if !isCallable(L, f) || !isCallable(L, h) {
		L.Push(lua.LFalse)
		L.Push(lua.LString("attempt to call " + article(luaType(f)) + " value"))
		return 2
	}
	guard := r.st.base.NewFunction(func(L *lua.LState) int {
		obj := L.Get(1)
		if r.fatal(obj) {
			L.Push(obj)
			return 1
		}
		L.Push(h)
		L.Push(obj)
		L.Call(1, 1)
		return 1
	})
	return r.protected(L, f, 3, guard)
}

// protected runs f with the arguments from position first on.
func (r *run) protected(L *lua.LState, f lua.LValue, first int, handler *lua.LFunction) int {
	t := r.enter(L)
	t.Push(f)
	n := 0
	for i := first; i <= L.GetTop(); i++ {
		t.Push(L.Get(i))
		n++
	}
	err := t.PCall(n, lua.MultRet, handler)
	r.nest--
	if err == nil {
		L.Push(lua.LTrue)
		n := t.GetTop()
		for i := 1; i <= n; i++ {
			L.Push(t.Get(i))
		}
		r.st.keepChild(t)
		return n + 1
	}
	obj := errorObject(err)
	if r.fatal(obj) {
		r.pass(L, obj)
	}
	L.Push(lua.LFalse)
	L.Push(obj)
	return 2
}

// pass hands on what no script may catch.
func (r *run) pass(L *lua.LState, obj lua.LValue) {
	switch obj {
	case lua.LValue(r.st.exit.val):
		r.st.exit.raise(L)
	case lua.LValue(r.st.drop.val):
		r.st.drop.raise(L)
	}
	L.Error(obj, 0)
}

func errorObject(err error) lua.LValue {
	if e, ok := err.(*lua.ApiError); ok && e.Object != nil {
		return e.Object
	}
	return lua.LString(err.Error())
}

// coroutine is what a coroutine's thread remembers. It hangs on the thread's
// Env, which plain threads share and a coroutine has of its own.
type coroutine struct {
	fn       *lua.LFunction // until it starts
	tailed   bool           // ended by a yield in tail position: one resume is left
	finished bool
}

// coroutineSize is about what a coroutine's thread takes, in bytes.
const coroutineSize = 8 << 10

func coroutineOf(t *lua.LState) *coroutine {
	if t.Env == nil {
		return nil
	}
	u, ok := t.Env.Metatable.(*lua.LUserData)
	if !ok {
		return nil
	}
	co, _ := u.Value.(*coroutine)
	return co
}

// newCoroutine makes the thread from the state without a context: with one,
// gopher-lua would start a goroutine for each.
func (r *run) newCoroutine(L *lua.LState, fn *lua.LFunction) *lua.LState {
	r.charge(L, coroutineSize)
	t, _ := r.st.base.NewThread()
	t.Env = &lua.LTable{Metatable: &lua.LUserData{Value: &coroutine{fn: fn}}}
	return t
}

func coCreate(L *lua.LState) int {
	L.Push(runOf(L).newCoroutine(L, L.CheckFunction(1)))
	return 1
}

func coWrap(L *lua.LState) int {
	r := runOf(L)
	t := r.newCoroutine(L, L.CheckFunction(1))
	L.Push(r.st.base.NewFunction(func(L *lua.LState) int {
		r := runOf(L)
		ok, vals := r.resume(L, t, arguments(L, 1))
		if !ok {
			L.Error(vals[0], 1)
		}
		for _, v := range vals {
			L.Push(v)
		}
		return len(vals)
	}))
	return 1
}

func arguments(L *lua.LState, from int) []lua.LValue {
	var out []lua.LValue
	for i := from; i <= L.GetTop(); i++ {
		out = append(out, L.Get(i))
	}
	return out
}

func coResume(L *lua.LState) int {
	r := runOf(L)
	t := L.CheckThread(1)
	ok, vals := r.resume(L, t, arguments(L, 2))
	L.Push(lua.LBool(ok))
	for _, v := range vals {
		L.Push(v)
	}
	return len(vals) + 1
}

func failed(text string) (bool, []lua.LValue) { return false, []lua.LValue{lua.LString(text)} }

// resume runs the coroutine until it yields, ends or fails.
func (r *run) resume(L *lua.LState, t *lua.LState, args []lua.LValue) (bool, []lua.LValue) {
	co := coroutineOf(t)
	switch {
	case co == nil:
		return failed("cannot resume the main thread of a handler")
	case t == L || t.Parent != nil:
		return failed("cannot resume a running coroutine")
	case co.finished || t.Dead:
		return failed("cannot resume a dead coroutine")
	case r.nest >= maxNesting:
		L.RaiseError("pcall and coroutines are nested more than %d deep", maxNesting)
	}
	if co.tailed {
		co.finished = true
		return true, args
	}
	fn := co.fn
	co.fn = nil
	t.SetContext(r)
	r.nest++
	r.yielding = nil
	state, err, vals := L.Resume(t, fn, args...)
	r.nest--
	switch {
	case state == lua.ResumeError:
		co.finished = true
		obj := errorObject(err)
		if r.fatal(obj) {
			r.pass(L, obj)
		}
		return false, []lua.LValue{obj}
	case state == lua.ResumeOK && r.yielding == t:
		co.tailed = true
	case state == lua.ResumeOK:
		co.finished = true
	}
	r.yielding = nil
	if len(vals) == 1 && vals[0] == lua.LNil {
		vals = nil
	}
	return true, vals
}

func coYield(L *lua.LState) int {
	r := runOf(L)
	if coroutineOf(L) == nil {
		L.RaiseError("attempt to yield outside of a coroutine, or across pcall")
	}
	if vmDepth() > 1 {
		L.RaiseError("attempt to yield across a metamethod, an iterator or a library function")
	}
	r.yielding = L
	return -1
}

// vmDepth counts the virtual machine's loops on the Go stack since the
// coroutine was resumed. A yield unwinds one of them only; from deeper down it
// would be lost without an error.
func vmDepth() int {
	var pcs [96]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	depth := 0
	for {
		f, more := frames.Next()
		switch {
		case strings.HasSuffix(f.Function, ".mainLoopWithContext"), strings.HasSuffix(f.Function, ".mainLoop"):
			depth++
		case strings.HasSuffix(f.Function, ".threadRun"):
			return depth
		}
		if !more {
			return depth
		}
	}
}

func coStatus(L *lua.LState) int {
	t := L.CheckThread(1)
	co := coroutineOf(t)
	status := "suspended"
	switch {
	case t == L:
		status = "running"
	case co == nil || t.Parent != nil:
		status = "normal"
	case co.finished || t.Dead:
		status = "dead"
	}
	L.Push(lua.LString(status))
	return 1
}

func coRunning(L *lua.LState) int {
	if coroutineOf(L) == nil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(L)
	return 1
}

// baseExit ends the script for this message; baseDrop suppresses the implicit
// action too.
func baseExit(L *lua.LState) int {
	r := runOf(L)
	if r.top {
		L.RaiseError("exit() belongs in a handler")
	}
	r.st.exit.raise(L)
	return 0
}

func baseDrop(L *lua.LState) int {
	r := runOf(L)
	if r.top {
		L.RaiseError("drop() belongs in a handler")
	}
	r.st.drop.raise(L)
	return 0
}
