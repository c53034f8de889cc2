package luabind_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/luabind"
)

// Yield from where the virtual machine would lose it is an error; where it
// works, it works, also in tail position.
func TestYield(t *testing.T) {
	passes(t, `
local co = coroutine.create(function(a)
  local b = coroutine.yield(a + 1)
  local c = coroutine.yield(b * 2)
  return coroutine.yield(c)
end)
local function step(...) local ok, v = coroutine.resume(co, ...) assert(ok, v) return v end
assert(step(1) == 2) assert(step(10) == 20) assert(step("c") == "c")
assert(coroutine.status(co) == "suspended")
assert(step("last") == "last")
assert(coroutine.status(co) == "dead")
local ok, why = coroutine.resume(co)
assert(not ok and why:find("dead", 1, true), why)
local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
assert(gen() == 1 and gen() == 2 and gen() == 3)
assert(coroutine.running() == nil)`)
	for name, body := range map[string]string{
		"pcall":     `pcall(function() coroutine.yield(1) end) error("x", 0)`,
		"metatable": `local x = setmetatable({}, {__index = function() coroutine.yield(1) end}).y`,
		"iterator":  `for i in function() coroutine.yield(1) end do end`,
		"sort":      `table.sort({2, 1}, function(a, b) coroutine.yield(1) return a < b end)`,
		"gsub":      `string.gsub("a", "a", function() coroutine.yield(1) end)`,
	} {
		t.Run(name, func(t *testing.T) {
			passes(t, `
local co = coroutine.create(function() `+body+` end)
local ok, why = coroutine.resume(co)
assert(not ok, "the yield was taken")
assert(`+map[bool]string{true: `why == "x"`, false: `why:find("yield", 1, true)`}[name == "pcall"]+`, why)`)
		})
	}
}

// A caught error leaves closures alone.
func TestPcallKeepsClosures(t *testing.T) {
	passes(t, `
local a = 1
local function use() return a end
pcall(error, "e")
a = 2
assert(use() == 2)
xpcall(function() error("e") end, function(e) a = 3 return e end)
assert(use() == 3)
local ok, v = xpcall(function() local b = 7 return (function() return b end)() end, function() end)
assert(ok and v == 7)
local co = coroutine.wrap(function() local c = 5 coroutine.yield(function() return c end) error("x") end)
local f = co()
pcall(co)
assert(f() == 5)`)
}

func TestPcallResults(t *testing.T) {
	passes(t, `
assert(select("#", pcall(function() return 1, nil, nil end)) == 4)
local ok, e = pcall(error, {code = 5}) assert(not ok and e.code == 5)
local ok, e = pcall(nil) assert(not ok and e:find("call"))
local ok, e = pcall(function() error("plain", 0) end) assert(e == "plain")
local ok, e = pcall(function() error("placed") end) assert(e:find("^main.lua:%d+: placed$"), e)
local ok, e = xpcall(function() error("a", 0) end, function(e) return e .. "b" end) assert(not ok and e == "ab", e)`)
}

// pcall, xpcall and coroutines may not exhaust Go's stack.
func TestNestingIsBounded(t *testing.T) {
	for _, body := range []string{
		`local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()`,
		`local function f() return coroutine.wrap(f)() end f()`,
		`local function f() local ok, e = coroutine.resume(coroutine.create(f)) if not ok then error(e, 0) end end f()`,
	} {
		raises(t, body, "nested more than 200 deep")
	}
	raises(t, `local function f() return 1 + f() end f()`, "stack overflow: calls are nested more than 256 deep (config script_call_depth)")
	raises(t, `local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end local x = t.y`, "overflow")
}

// A loop, and library calls that the context cannot stop.
func TestCPUBudget(t *testing.T) {
	for _, body := range []string{
		`while true do end`,
		`while true do pcall(function() while true do end end) end`,
		`repeat local ok = pcall(string.rep, "x", 10) until false`,
		`coroutine.wrap(function() while true do end end)()`,
		`local s = "x" while true do local t = s .. "y" end`,
	} {
		start := time.Now()
		raises(t, body, "CPU budget")
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s: ended after %v", body, d)
		}
	}
}

// Depth is a budget as the others are; the stack names what people wrote.
func TestDepthBudget(t *testing.T) {
	p, e := load(t, "config { script_cpu_ms = 5000 }\nfunction route.main(msg)\nlocal function f(n)\nreturn 1 + f(n .. \"x\") end\nf(\"\") end")
	if v := p.Worker(0).Request(ctx(t, e, api.RouteRequest)); v != api.VerdictError || p.Stats().OverBudget != 1 {
		t.Errorf("verdict %d, %d over budget", v, p.Stats().OverBudget)
	}
	_, logs := request(t, `config { script_cpu_ms = 5000 } function route.main(msg) local s = "x" while true do s = s .. s end end`)
	if !strings.Contains(logs, "in operator '..'") {
		t.Error(logs)
	}
}

// A call that waited as long as it may ends the handler; pcall does not catch
// it, and it counts as over budget.
func TestWallBudget(t *testing.T) {
	p, e := load(t, `
local fake = loadmodule "fake"
function route.main(msg) pcall(fake.overwall) msg.avp.went_on = 1 end`)
	c := ctx(t, e, api.RouteRequest)
	if v := p.Worker(0).Request(c); v != api.VerdictError || c.State.AVP("went_on") != nil {
		t.Errorf("verdict %d\n%s", v, e.texts())
	}
	if !strings.Contains(e.texts(), "over the wall time of 30s that one call may wait (config script_wall)") {
		t.Error(e.texts())
	}
	if n := p.Stats().OverBudget; n != 1 {
		t.Errorf("%d over budget", n)
	}
}

func TestPatternSteps(t *testing.T) {
	start := time.Now()
	raises(t, `local x = string.find(("a"):rep(3000), ("a-"):rep(20) .. "b")`, "too many steps")
	raises(t, `local x = ("x"):rep(5000):gsub(("x*"):rep(20) .. "y", "")`, "too many steps")
	raises(t, `local x = ("a"):rep(26):find(("a?"):rep(26) .. ("a"):rep(26) .. "b")`, "too")
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

// What scripts build is counted, .. too.
func TestMemoryBudget(t *testing.T) {
	for _, body := range []string{
		`local s = "x" while true do s = s .. s end`,
		`local s = string.rep("x", 1e9)`,
		`local t = {} while true do t[#t + 1] = ("x"):rep(1e6) .. #t end`,
		`local t = {} for i = 1, 1e5 do t[i] = "xxxxxxxxxxxxxxxx" end while true do local s = table.concat(t) end`,
		`while true do local s = string.format("%99d", 1):upper():lower():reverse() end`,
		`local s = ("x"):rep(1e6) while true do s = s:gsub("x", "xx") end`,
		`local s = cat("x", 1) while true do s = cat(s, s) end`,
		`local t = {} while true do t[#t + 1] = coroutine.create(function() end) end`,
	} {
		v, logs := request(t, "function route.main(msg) "+body+" end")
		if v != api.VerdictError || !strings.Contains(logs, "memory budget") && !strings.Contains(logs, "more than") && !strings.Contains(logs, "CPU budget") {
			t.Errorf("%s: verdict %d\n%s", body, v, logs)
		}
	}
	// It cannot be caught.
	v, logs := request(t, "config { script_cpu_ms = 10000 }\n"+wrap(`pcall(function() local s = "x" while true do s = s .. s end end) fake.reply(200)`))
	if v != api.VerdictError || !strings.Contains(logs, "memory budget") || strings.Contains(logs, "reply 200") {
		t.Errorf("verdict %d\n%s", v, logs)
	}
}

// Errors name what was called, and carry line, caret and stack.
func TestErrorNames(t *testing.T) {
	raises(t, "local x = {}\nx.t_rely()", "main.lua:4:3: attempt to call a nil value (field 't_rely')")
	raises(t, "local x\nlocal y = x.name", "main.lua:4:13: attempt to index a nil value ('x') with key 'name'")
	raises(t, "local k = 'yess'\nfake[k]()", `module fake has no function "yess"; did you mean fake.yes?`)
	raises(t, "error({code = 3})", "error value {code = 3}")
	_, logs := request(t, "function route.main(msg)\n  route.two()\nend\nfunction route.two()\n  error('deep')\nend")
	for _, want := range []string{"main.lua:5:", "error('deep')", "main.lua:2: in route.main"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in\n%s", want, logs)
		}
	}
}

// What is open by default and must not be.
func TestSandbox(t *testing.T) {
	for _, name := range []string{"io", "debug", "package", "dofile", "loadfile", "load", "loadstring", "newproxy",
		"module", "getfenv", "setfenv", "channel", "_printregs"} {
		e := loadError(t, map[string]string{"main.lua": "local x = " + name})
		if !strings.Contains(e.Error(), "undefined global") {
			t.Errorf("%s: %v", name, e)
		}
	}
	passes(t, `
for k in pairs(os) do assert(k == "time" or k == "date" or k == "clock" or k == "getenv", k) end
assert(os.time() > 1e9 and os.date("%Y") and os.clock() >= 0)
assert(string.dump == nil)
assert(type(collectgarbage("count")) == "number" and collectgarbage() == 0)
assert(not pcall(setmetatable, "", {}))
assert(not pcall(setmetatable, msg, {}))
assert(getmetatable(msg) == "msg")
math.randomseed(1) local a = math.random(1000000) math.randomseed(1) assert(a == math.random(1000000))`)
	e := loadError(t, map[string]string{"main.lua": "\x1bLua"})
	if !strings.Contains(e.Error(), "bytecode") {
		t.Error(e)
	}
}

// A Go panic in a binding is a Lua error; closures of the same thread keep
// their values, and the next handler runs.
func TestGoPanic(t *testing.T) {
	p, e := load(t, `
local fake = loadmodule "fake"
local kept
function route.main(msg)
  if kept then assert(kept() == "secret", kept()) end
  local secret = "secret"
  kept = function() return secret end
  local ok, why = pcall(fake.crash)
  assert(not ok and why:find("internal error"), why)
  local x = msg.crash
end`)
	for range 3 {
		if v := p.Worker(0).Request(ctx(t, e, api.RouteRequest)); v != api.VerdictError || strings.Contains(e.texts(), "assertion") {
			t.Fatalf("verdict %d\n%s", v, e.texts())
		}
	}
	if n := p.Stats().Panics; n != 6 {
		t.Errorf("%d panics counted, want 6", n)
	}
	if !strings.Contains(e.texts(), "panic in fake.crash") || !strings.Contains(e.texts(), "goroutine") {
		t.Errorf("no stack in the log:\n%s", e.texts())
	}
}

// Unfinished coroutines start no goroutine.
func TestCoroutinesStartNoGoroutine(t *testing.T) {
	p, e := load(t, `function route.main(msg)
for i = 1, 20 do coroutine.wrap(function() coroutine.yield() end)() end end`)
	before := runtime.NumGoroutine()
	for range 50 {
		if p.Worker(0).Request(ctx(t, e, api.RouteRequest)) != api.VerdictNone {
			t.Fatal(e.texts())
		}
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, were %d", n, before)
	}
}

// While a run is parked others run on the same state, and its clock stands
// still.
func TestParking(t *testing.T) {
	p, e := load(t, `
local fake = loadmodule "fake"
config { script_cpu_ms = 20 }
function route.main(msg)
  local a = 1
  local co = coroutine.wrap(function() fake.wait() coroutine.yield(a) end)
  a = 2
  assert(co() == 2)
  assert(pcall(fake.wait))
  assert(msg.rm == "INVITE")
end
function route.other(msg) end
timer_route("other", 1, function(msg) local x = {} pcall(error, x) end)`)
	inner := 0
	e.park = func(fn func()) {
		e.park = nil
		time.Sleep(60 * time.Millisecond)
		inner++
		if p.Worker(0).Run(ctx(t, e, api.RouteTimer), p.Timers()[0].Handler) != api.VerdictNone {
			t.Error("the other handler failed")
		}
		if p.Worker(0).Request(ctx(t, e, api.RouteRequest)) != api.VerdictNone {
			t.Error("the nested request failed")
		}
		fn()
	}
	if v := p.Worker(0).Request(ctx(t, e, api.RouteRequest)); v != api.VerdictNone || inner != 1 {
		t.Errorf("verdict %d, parked %d\n%s", v, inner, e.texts())
	}
}

// A thousand reloads leave no state behind.
func TestGenerationsAreLetGo(t *testing.T) {
	e := newEnv(t)
	files := map[string]string{"main.lua": routeScript}
	live, err := luabind.Load(options(e, files, fakeModules()))
	if err != nil {
		t.Fatal(err)
	}
	live.Commit()
	for range 50 {
		o := options(e, files, fakeModules())
		o.Previous = live
		next, err := luabind.Load(o)
		if err != nil {
			t.Fatal(err)
		}
		next.Commit()
		live.Release()
		live = next
	}
	if n := live.Stats().Generations; n != 1 {
		t.Errorf("%d generations are live", n)
	}
	if live.ID() != 51 {
		t.Errorf("generation %d", live.ID())
	}
	live.Shutdown()
	live.Release()
	e.wg.Wait()
}

// A reload beside running handlers touches nothing of theirs; what a handler
// of the old generation armed runs in it afterwards.
func TestReloadBesideHandlers(t *testing.T) {
	e := newEnv(t)
	files := map[string]string{"main.lua": `
local fake = loadmodule "fake"
local n = 0
function route.main(msg) n = n + 1 assert(shared:incr("n") >= 1) fake.arm(function(msg) msg.avp.gen = n end) end`}
	live, err := luabind.Load(options(e, files, fakeModules()))
	if err != nil {
		t.Fatal(err)
	}
	live.Commit()
	stop, stopped := make(chan struct{}), make(chan *api.Ctx)
	go func() {
		for {
			c := ctx(t, e, api.RouteRequest)
			if live.Worker(0).Request(c) != api.VerdictNone {
				t.Error(e.texts())
			}
			select {
			case <-stop:
				stopped <- c
				return
			default:
			}
		}
	}()
	var next *luabind.Program
	for range 5 {
		o := options(e, files, fakeModules())
		o.Previous = live
		if next != nil {
			next.Abort()
		}
		if next, err = luabind.Load(o); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	c := <-stopped
	next.Commit()
	h := c.State.Slot(armKey).(api.Handler)
	if v := next.Worker(0).Run(ctx(t, e, api.RouteFailure), h); v != api.VerdictNone {
		t.Error(e.texts())
	}
	if h.Generation().ID() != 1 || next.ID() != 6 {
		t.Errorf("generations %d and %d", h.Generation().ID(), next.ID())
	}
	live.Release()
	next.Shutdown()
	next.Release()
	e.wg.Wait()
}
