package script_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
)

// one runs a script on a single worker.
func one(t *testing.T, script string) *proxy {
	t.Helper()
	return startWith(t, enginetest.Options{Workers: 1}, map[string]string{"main.lua": prelude + script})
}

// Blocking reads as sequential code: the handler continues where it was,
// locals and all, and the worker goes on with other calls meanwhile.
func TestSleepInRequestRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
function route.main(msg)
  local who = msg.hdr["X-Who"]
  msg.hdr["X-Edit"] = who
  msg.avp.who = who
  if who == "slow" then cfgutils.sleep(3) end
  signaling.send_reply(200, cat(who, " ", msg.hdr["X-Edit"], " ", msg.avp.who, " ", msg.rm))
end`)
		began := time.Now()
		p.call().Send("OPTIONS", 1, "X-Who: slow")
		if got := string(p.ask("OPTIONS", "X-Who: fast").Reason()); got != "fast fast fast OPTIONS" || time.Since(began) > time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
		if got := p.status(200); got != "slow slow slow OPTIONS" || time.Since(began) != 3*time.Second {
			t.Errorf("%s after %s", got, time.Since(began))
		}
	})
}

// Sleeping works inside pcall, coroutines, metamethods and sort's comparison.
func TestSleepAnywhere(t *testing.T) {
	hold(t, "", []row{
		{lua: `local ok, v = pcall(function() cfgutils.sleep(1) return "in pcall" end) return ok, v`, want: "true|in pcall"},
		{lua: `return coroutine.wrap(function() cfgutils.sleep(1) return "in a coroutine" end)()`, want: "in a coroutine"},
		{lua: `local co = coroutine.wrap(function() coroutine.yield(1) cfgutils.sleep(1) coroutine.yield(2) end) return co(), co()`, want: "1|2"},
		{lua: `return setmetatable({}, {__index = function(_, k) cfgutils.sleep(1) return k end}).x`, want: "x"},
		{lua: `local l = {3, 1, 2} table.sort(l, function(a, b) cfgutils.usleep(10) return a < b end) return l[1], l[2], l[3]`, want: "1|2|3"},
		{lua: `return (("abc"):gsub(".", function(c) cfgutils.usleep(10) return c:upper() end))`, want: "ABC"},
		{lua: `local ok, r = cfgutils.sleep(0) return ok, r.code`, want: "true|1"},
	})
}

// Later messages of a call wait their turn behind its parked handler.
func TestCallKeepsItsOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
function route.main(msg)
  if msg.rm == "INFO" then cfgutils.sleep(2) end
  signaling.send_reply(200, msg.rm)
end`)
		c := p.call()
		c.Send("INFO", 1)
		c.Send("OPTIONS", 2)
		c.Send("MESSAGE", 3)
		for _, want := range []string{"INFO", "OPTIONS", "MESSAGE"} {
			if got := p.status(200); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

// msg.cancelled tells that a CANCEL waits; a later t_relay answers false,
// "cancelled", and 487 is sent.
func TestCancelOfParkedHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return log.info("script saw " .. msg.rm) end
  local before = msg.cancelled
  cfgutils.sleep(2)
  local ok, why = tm.t_relay()
  log.info(cat("cancelled ", tostring(before), " ", tostring(msg.cancelled), " ", tostring(ok), " ", why.name))
end`)
		c := p.call()
		c.Send("INVITE", 1)
		time.Sleep(time.Second)
		p.alice.Expect("100")
		c.Send("CANCEL", 1)
		p.alice.Expect("200")
		p.alice.Expect("487")
		c.Send("ACK", 1)
		p.bob.Quiet(100 * time.Millisecond)
		p.logged("cancelled false true false cancelled")
		if p.Logged("script saw") {
			t.Error("the CANCEL or the ACK reached the script")
		}
	})
}

func TestSleepInBranchRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  core.append_msg_branch(msg.hdr["X-Second"])
  tm.t_on_branch("b")
  log.info("relayed " .. tostring((tm.t_relay())))
end
function branch_route.b(msg)
  local i, u = msg.T_branch_idx, msg.rU
  if i == 1 then cfgutils.sleep(2) end
  msg.hdr["X-Branch"] = i .. u .. msg.T_branch_idx .. msg.rU
end`)
		carol := p.Agent()
		p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
		began := time.Now()
		p.bob.Expect("INVITE")
		two := carol.Expect("INVITE")
		if got := header(two, "X-Branch"); got != "1second1second" || time.Since(began) < 2*time.Second {
			t.Errorf("X-Branch %q after %s", got, time.Since(began))
		}
		carol.Reply(two, 200)
		p.status(200)
		p.logged("relayed true")
	})
}

func TestSleepInFailureRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
function route.main(msg) if msg.rm ~= "INVITE" then return end msg.avp.x = "kept" tm.t_on_failure("f") tm.t_relay() end
function failure_route.f(msg)
  local code = msg.reply.rs
  cfgutils.sleep(2)
  msg.hdr["X-Again"] = cat(code, msg.reply.rs, msg.avp.x)
  tm.t_relay()
end`)
		p.call().Send("INVITE", 1)
		p.bob.Reply(p.bob.Expect("INVITE"), 486)
		p.bob.Expect("ACK")
		again := p.bob.Expect("INVITE")
		if got := header(again, "X-Again"); got != "486486kept" {
			t.Errorf("X-Again %q", got)
		}
		p.bob.Reply(again, 200)
		p.status(200)
	})
}

func TestSleepInReplyRoutes(t *testing.T) {
	for _, arm := range []string{`tm.t_on_reply("r")`, `tm.t_on_reply(nil)`} {
		bubble(t, func(t *testing.T) {
			p := one(t, `
local function slow(msg)
  if msg.rs == 180 then cfgutils.sleep(2) end
  msg.hdr["X-Code"] = msg.rs
end
function route.main(msg) if msg.rm ~= "INVITE" then return end `+arm+` tm.t_relay() end
function onreply_route.r(msg) slow(msg) end
function onreply_route.main(msg) slow(msg) end`)
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			invite := p.bob.Expect("INVITE")
			p.bob.Reply(invite, 180)
			synctest.Wait()
			p.bob.Reply(invite, 200)
			for _, code := range []string{"180", "200"} {
				if m := p.alice.Expect(code); header(m, "X-Code") != code {
					t.Errorf("%s:\n%s", code, m.Raw())
				}
			}
		})
	}
}

// Outside of messages blocking works likewise.
func TestSleepInBackgroundRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function startup_route.main(msg) cfgutils.sleep(2) shared:set("startup", "done") end
timer_route("t", 5, function(msg) cfgutils.sleep(1) shared:incr("timer") end)
function event_route.E_X(msg, ev) local v = ev.v cfgutils.sleep(1) shared:set("event", v) end
function route.main(msg)
  if msg.rm == "INFO" then
    core.raise_event("E_X", {"v"}, {"value"})
    launch(function(a, t) cfgutils.sleep(1) shared:set("launched", a .. t.x) end, "arg", {x = 1})
  end
  signaling.send_reply(200, cat(shared:get("startup"), " ", shared:get("timer"), " ", shared:get("event"), " ", shared:get("launched")))
end`)
		p.ask("INFO")
		time.Sleep(6500 * time.Millisecond)
		if got := string(p.ask("OPTIONS").Reason()); got != "done 1 value arg1" {
			t.Errorf("got %s", got)
		}
	})
}

// launch runs its function after the handler, with copies of its arguments and
// no message.
func TestLaunch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  local list = {n = 1}
  launch(function(a, b, c) log.info(cat("launched ", a.n, b, tostring(c))) a.n = 9 end, list, "x", nil)
  list.n = 2
  local kept = msg
  launch(function() local ok, why = pcall(function() return kept.ru end) log.info("kept: " .. why) end)
  launch(function() local ok, why = pcall(tm.t_relay) log.info("relay: " .. tostring(why)) end)
  launch(function() launch(function() log.info("launched twice") end) end)
  log.info("handler ends")
  signaling.send_reply(200, list.n)
end`)
		if got := string(p.ask("OPTIONS").Reason()); got != "2" {
			t.Errorf("the handler's table has %s", got)
		}
		synctest.Wait()
		p.logged("launched 1xnil", "kept: main.lua:8: msg was used after its handler had ended",
			"tm.t_relay cannot be called in a launched function", "launched twice")
		if strings.Index(p.Log(), "handler ends") > strings.Index(p.Log(), "launched 1x") {
			t.Error("it ran before the handler had ended")
		}
	})
}

// Launched functions may launch, and event routes raise events, but not without
// a bound: what has not ended yet is counted.
func TestLaunchIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := one(t, `
local function bomb(depth)
  if depth == 0 then return end
  for i = 1, 100 do launch(bomb, depth - 1) end
end
function event_route.E_BOMB(msg, ev)
  if ev.depth == 0 then return end
  for i = 1, 101 do core.raise_event("E_BOMB", {"depth"}, {ev.depth - 1}) end
end
function route.main(msg)
  if msg.rm == "INFO" then bomb(2) end
  if msg.rm == "MESSAGE" then core.raise_event("E_BOMB", {"depth"}, {2}) end
  signaling.send_reply(200, "fine")
end`)
		for _, method := range []string{"INFO", "MESSAGE", "OPTIONS"} {
			if got := string(p.ask(method).Reason()); got != "fine" {
				t.Errorf("got %s", got)
			}
			synctest.Wait()
		}
		p.logged(" launched functions have not ended yet", `"msg":"event dropped`)
	})
}

// A blocking call without a timeout of its own ends at script_wall, and its
// handler with it.
func TestScriptWall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
config { script_wall = 2 }
function route.main(msg)
  if msg.hdr["X-Short"] then cfgutils.sleep(2) return signaling.send_reply(200) end
  pcall(cfgutils.sleep, 3)
  signaling.send_reply(200)
end`)
		for _, tt := range []struct {
			headers []string
			code    int
		}{{nil, 500}, {[]string{"X-Short: yes"}, 200}} {
			began := time.Now()
			p.call().Send("OPTIONS", 1, tt.headers...)
			p.status(tt.code)
			if took := time.Since(began); took != 2*time.Second {
				t.Errorf("%d took %s", tt.code, took)
			}
		}
		p.logged("over the wall time of 2s that one call may wait (config script_wall)", `"where":"main.lua:6"`)
		if n := p.live.Stats().OverBudget; n != 1 {
			t.Errorf("%d over budget", n)
		}
	})
}
