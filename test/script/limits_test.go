package script_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/enginetest"
)

// hungry are bodies of handlers that build more than script_memory allows, fast.
var hungry = []row{
	{lua: `local s = "x" while true do s = s .. s end`, want: "memory budget"},
	{lua: `local s = "x" while true do s = cat(s, s) end`, want: "memory budget"},
	{lua: `local t = {} while true do t[#t + 1] = ("x"):rep(1e5) end`, want: "memory budget"},
}

// hostile are bodies of handlers that want more than they may have; want is in
// the error.
var hostile = []row{
	{lua: `while true do end`, want: "CPU budget"},
	{lua: `for i = 1, 1e15 do end`, want: "CPU budget"},
	{lua: `while true do pcall(function() while true do end end) end`, want: "CPU budget"},
	{lua: `local function f() return f() end f()`, want: "CPU budget"},
	{lua: `local t = {} while true do t = {t, {}, {}} end`, want: "budget"},
	{lua: `local t = {} for i = 1, 1e15 do t[i] = i end`, want: "budget"},
	{lua: `local t = {} for i = 1, 1e15 do t["k" .. i] = i end`, want: "budget"},
	{lua: `local t = {} for i = 1, 1e15 do table.insert(t, 1, i) end`, want: "budget"},
	{lua: `local function f() return 1 + f() end f()`, want: "stack overflow"},
	{lua: `local function f() pcall(f) error("x") end f()`, want: ""},
	{lua: `local function f() coroutine.wrap(f)() end f()`, want: "nested"},
	{lua: `local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x`, want: "stack overflow"},
	{lua: `local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x`, want: ""},
	{lua: `local s = ("x"):rep(1e12)`, want: ""},
	{lua: `local s = ("a"):rep(1e4):gsub("a", ("b"):rep(1e4)):gsub("b", ("c"):rep(1e4))`, want: ""},
	{lua: `local s = ("a"):rep(3e4):find(("a-"):rep(20) .. "b")`, want: ""},
	{lua: `local s = string.format("%999999999d", 1)`, want: ""},
	{lua: `local t = {} for i = 1, 1e15 do t[i] = coroutine.create(function() end) end`, want: "budget"},
	{lua: `local v, why = json.decode(("["):rep(1e6)) error(why)`, want: ""},
	{lua: `local t = {} for i = 1, 10 do t[i] = ("x"):rep(1e6) end while true do local s = table.concat(t) end`, want: "budget"},
	{lua: `return unpack({}, 1, 1e9)`, want: ""},
	{lua: `return select("#", ("x"):rep(1e6):byte(1, -1))`, want: ""},
	{lua: `for i = 1, 1e15 do msg:add_header("X-Many", ("v"):rep(1000)) end`, want: ""},
	{lua: `for i = 1, 1e15 do msg:avp_push("x", i) end`, want: "budget"},
	{lua: `for i = 1, 1e15 do core.append_msg_branch("sip:a@192.0.2.1") end`, want: ""},
	{lua: `for i = 1, 1e15 do launch(function() end) end`, want: "launches at most"},
	{lua: `for i = 1, 1e15 do shared:set("k" .. i, ("v"):rep(1e5)) end`, want: "budget"},
	{lua: `table.sort({1, 2, 3, 4, 5}, function() while true do end end)`, want: "CPU budget"},
	{lua: `local s = re.match(("a"):rep(1e5), "(a|aa)*(a|aa)*(a|aa)*x") while true do re.match(("a"):rep(1e5), "(a|aa)*x") end`, want: "budget"},
	{lua: `while true do tr.s.toupper(("x"):rep(1e5)) end`, want: "budget"},
	{lua: `while true do log.info("flood") end`, want: "CPU budget"},
}

// A key far from the others takes no room for those between.
func TestSparseTables(t *testing.T) {
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	hold(t, "", []row{
		{lua: `local t = {} t[67108863] = "x" t[5000000] = "y" return t[67108863], t[5000000], t[1]`, want: "x|y|nil"},
		{lua: `local t = {[60000000] = 1} rawset(t, 50000000, 2) table.insert(t, 40000000, 3) return t[60000000], t[50000000], t[40000000]`, want: "1|2|3"},
		{lua: `local t = {} for i = 1, 70000 do t[#t + 1] = i end return #t, t[70000]`, want: "70000|70000"},
	})
	runtime.ReadMemStats(&m1)
	if built := (m1.TotalAlloc - m0.TotalAlloc) >> 20; built > 64 {
		t.Errorf("allocated %d MiB", built)
	}
}

// Over budget ends that request with 500; another call on the same worker goes
// on at once.
func TestBudgets(t *testing.T) { exceed(t, "", hostile) }

// What a script builds is counted, however much time it has.
func TestMemoryBudget(t *testing.T) { exceed(t, "config { script_cpu_ms = 20000 }\n", hungry) }

// exceed runs each body on a worker of its own program: 500, the reason in the
// log with its stack, no more than 512 MiB built, and the next call unhurt.
func exceed(t *testing.T, config string, rows []row) {
	var script strings.Builder
	script.WriteString(config + prelude + rowsPrelude)
	for i, r := range rows {
		fmt.Fprintf(&script, "rows[%d] = function(msg) %s end\n", i+1, r.lua)
	}
	fmt.Fprintf(&script, "rows[%d] = function(msg) return 'fine' end\n", len(rows)+1)
	p := startWith(t, enginetest.Options{Real: true, Workers: 1}, map[string]string{"main.lua": script.String()})
	for i, r := range rows {
		before := len(p.Log())
		var m0, m1 runtime.MemStats
		runtime.ReadMemStats(&m0)
		p.call().Send("OPTIONS", 1, fmt.Sprintf("X-Row: %d", i+1))
		m := p.final()
		runtime.ReadMemStats(&m1)
		log := p.Log()[before:]
		if m.StatusCode() != 500 || !strings.Contains(log, r.want) || !strings.Contains(log, `"lua_stack"`) {
			t.Errorf("%s\ngot %d %s, want 500 with %q; log:\n%.2000s", r.lua, m.StatusCode(), m.Reason(), r.want, log)
		}
		if built := (m1.TotalAlloc - m0.TotalAlloc) >> 20; built > 512 {
			t.Errorf("%s\nallocated %d MiB", r.lua, built)
		}
		p.call().Send("OPTIONS", 1, fmt.Sprintf("X-Row: %d", len(rows)+1))
		if got := p.status(200); got != "fine" {
			t.Errorf("%s\nthe next call got %s", r.lua, got)
		}
	}
	if s := p.live.Stats(); s.Errors != uint64(len(rows)) || s.OverBudget < 3 || s.Panics != 0 {
		t.Errorf("counters %+v", s)
	}
}
