package script_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/enginetest"
)

// Reading a name that scripts do not have is an error where it is constant, and
// nil or an error where it is computed.
func TestNoWayOut(t *testing.T) {
	hold(t, "", []row{
		{lua: `return os.execute, os.exit, os.remove, os.rename, os.tmpname, os.setenv`, want: "nil|nil|nil|nil|nil|nil"},
		{lua: `return type(os.time()), type(os.date()), type(os.clock()), type(os.getenv("PATH"))`, want: "number|string|number|string"},
		{lua: `return rawget(_G, "io"), rawget(_G, "debug"), rawget(_G, "loadstring"), rawget(_G, "load"), rawget(_G, "dofile"), rawget(_G, "package")`, want: "nil|nil|nil|nil|nil|nil"},
		{lua: `return string.dump, rawget(_G, "getfenv"), rawget(_G, "setfenv"), rawget(_G, "newproxy"), rawget(_G, "module")`, want: "nil|nil|nil|nil|nil"},
		{lua: `return (pcall(function() getmetatable("").__index = nil end))`, want: "false"},
		{lua: `return (pcall(function() getmetatable("").__index.upper = nil end)), ("x"):upper()`, want: "false|X"},
		{lua: `return (pcall(setmetatable, _G, {})), (pcall(setmetatable, tm, {})), (pcall(setmetatable, msg, {}))`, want: "false|false|false"},
		{lua: `return (pcall(function() core["x" .. 1] = 1 end)), (pcall(function() msg.hdr = 1 end))`, want: "false|false"},
		{lua: `return getmetatable(msg), getmetatable(tm), getmetatable(_G)`, want: "msg|module tm|globals"},
		{lua: `return (pcall(require, "..")), (pcall(require, "os")), (pcall(require, "/etc/passwd"))`, want: "false|false|false"},
		{lua: `local r = select(2, maxfwd.mf_process_maxfwd_header(10)) return (pcall(function() r.code = 5 end)), r.code`, want: "false|1"},
		{lua: `return (pcall(function() config { log_level = "debug" } end)), (pcall(function() socket "udp:1.2.3.4" end))`, want: "false|false"},
		{lua: `return (pcall(function() route.late = function() end end)), (pcall(loadmodule, "textops"))`, want: "false|true"},
	})
}

// A handler that makes a new global or reads an undefined one raises.
func TestStrictGlobals(t *testing.T) {
	hold(t, "counter = 0\nlocal hidden = 0\n", []row{
		{lua: `counter = counter + 1 hidden = hidden + 1 return counter == hidden`, want: "true"},
		{lua: `return rawget(_G, "nothing")`, want: "nil"},
		raises(`new_one = 1`, `a handler cannot make the global \"new_one\": write \"local new_one\"`),
		raises(`return undefined_one`, `undefined global \"undefined_one\"`),
		raises(`return t_relay()`, `here it is tm.t_relay`),
		raises(`_G["x" .. 1] = 5`, `a handler cannot make the global \"x1\"`),
		raises(`rawset(_G, "x2", 5)`, `a handler cannot make the global \"x2\"`),
		raises(`return prnt("x")`, "did you mean print?"),
	})
}

// msg is of its handler: used after it has ended, it raises.
func TestStaleMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{Workers: 1}, map[string]string{"main.lua": prelude + `
local kept
function route.main(msg)
  if msg.rm == "ACK" then return end
  if not kept then
    kept = { msg, msg.hdr, msg.avp, msg.branch, msg.ct_fields, msg.orig, msg.flags, msg:branches() }
    return signaling.send_reply(200, "kept")
  end
  local why = {}
  for _, f in ipairs {
    function() return kept[1].ru end, function() kept[1].ru = "sip:x@y" end, function() return kept[2].To end, function() kept[2].To = "x" end,
    function() return kept[3].x end, function() return kept[4][0] end, function() return kept[5].uri end, function() return kept[6].ru end,
    function() return kept[7].x end, function() kept[8]() end, function() kept[1]:add_header("A", "b") end,
  } do
    local ok, text = pcall(f)
    why[#why + 1] = not ok and text:find("after its handler had ended", 1, true) and "stale" or tostring(text)
  end
  signaling.send_reply(200, table.concat(why, " "))
end`})
		p.ask("OPTIONS")
		if got, want := string(p.ask("OPTIONS").Reason()), strings.TrimSpace(strings.Repeat("stale ", 11)); got != want {
			t.Errorf("got %s", got)
		}
	})
}

// Module-level variables are per worker; shared is for what all see.
func TestVariablesArePerWorker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{Workers: 3}, map[string]string{"main.lua": prelude + `
local n, started = 0, false
function startup_route.main(msg) started = true shared:set("started", true) end
function route.main(msg)
  n = n + 1
  signaling.send_reply(200, cat(n, " ", shared:incr("n"), " ", tostring(started), " ", tostring(shared:get("started"))))
end`})
		var got []string
		for i := range 6 {
			id := p.Pin(fmt.Sprint("pinned-", i), i%3)
			p.alice.To(id, p.bob).Send("OPTIONS", 1)
			got = append(got, p.status(200))
		}
		want := "1 1 true true,1 2 false true,1 3 false true,2 4 true true,2 5 false true,2 6 false true"
		if all := strings.Join(got, ","); all != want {
			t.Errorf("got  %s\nwant %s", all, want)
		}
	})
}
