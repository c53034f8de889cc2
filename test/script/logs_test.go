package script_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/luasips/luasips/engine/enginetest"
)

// record is the first record of the log whose message begins with text.
func (p *proxy) record(text string) map[string]any {
	p.t.Helper()
	synctest.Wait()
	for _, line := range strings.Split(p.Log(), "\n") {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil && strings.HasPrefix(r["msg"].(string), text) {
			return r
		}
	}
	p.t.Fatalf("no record %q in the log:\n%s", text, p.Log())
	return nil
}

// holds fails the test unless the record has the fields.
func holds(t *testing.T, r, want map[string]any) {
	t.Helper()
	for k, v := range want {
		if r[k] != v {
			t.Errorf("%s is %v, want %v, in %v", k, r[k], v, r)
		}
	}
}

// Call-ID, method, route, place and generation are added to every record.
func TestLogRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  log.info("an info", { text = "x y", n = 2.5, yes = true, list = {1, 2} })
  log.debug("a debug") log.warn("a warning") log.error("an error")
  xlog("L_INFO", "call from $fu to $rU rc=$var(rc) $hdr(X-None) $$ $(ru{uri.host})", {rc = 7})
  xlog("L_ERR", "$rm $ci $hdr(X-Many)[1] $avp(a) $(hdr(X-Many){s.toupper})")
  route.below(msg)
  signaling.send_reply(200)
end
function route.below(msg)
  print("printed", 1)
end`)
		p.call().Send("OPTIONS", 1, "X-Many: one", "X-Many: two")
		p.status(200)
		holds(t, p.record("an info"), map[string]any{"level": "info", "component": "script", "call_id": "call-b", "method": "OPTIONS", "route": "main",
			"where": "main.lua:4", "generation": 1.0, "text": "x y", "n": 2.5, "yes": true, "list": "[1,2]"})
		holds(t, p.record("a debug"), map[string]any{"level": "debug", "where": "main.lua:5"})
		holds(t, p.record("a warning"), map[string]any{"level": "warn"})
		holds(t, p.record("an error"), map[string]any{"level": "error"})
		holds(t, p.record("call from"), map[string]any{"level": "info", "where": "main.lua:6",
			"msg": "call from sip:a@10.0.1.2:5060 to b rc=7 <null> $ 10.0.1.3"})
		holds(t, p.record("OPTIONS call-b"), map[string]any{"level": "error", "msg": "OPTIONS call-b two <null> ONE"})
		holds(t, p.record("printed"), map[string]any{"level": "info", "where": "main.lua:12"})
	})
}

// An error is one record: message, place with the source line, Lua stack,
// Call-ID, route, generation.
func TestErrorRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{}, map[string]string{"main.lua": prelude + `
local lib = require "lib"
function route.main(msg)
  if msg.hdr["X-Lib"] then lib.fail(msg) end
  local peer
  log.info(peer.name)
end`, "lib.lua": "local lib = {}\nfunction lib.fail(msg)\n  msg.hdr.To.tag()\nend\nreturn lib\n"})
		p.ask("OPTIONS")
		r := p.record("script error: main.lua:7:")
		holds(t, r, map[string]any{"level": "error", "call_id": "call-b", "method": "OPTIONS", "route": "main", "where": "main.lua:7", "generation": 1.0,
			"source": "log.info(peer.name)", "handler": "route.main", "lua_stack": "    main.lua:7: in route.main"})
		if msg := r["msg"].(string); !strings.Contains(msg, "attempt to index a nil value ('peer') with key 'name'") {
			t.Errorf("message %q", msg)
		}
		p.call().Send("OPTIONS", 1, "X-Lib: yes")
		p.status(500)
		r = p.record("script error: lib.lua:3:")
		holds(t, r, map[string]any{"where": "lib.lua:3", "source": "msg.hdr.To.tag()"})
		if stack := r["lua_stack"].(string); !strings.Contains(stack, "lib.lua:3: in function 'fail'") || !strings.Contains(stack, "main.lua:5: in route.main") {
			t.Errorf("stack %q", stack)
		}
	})
}

// A function called where it does not work names where it does.
func TestWrongPlace(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{`function route.main(msg) tm.t_on_branch("b") if not tm.t_relay() then sl.sl_send_reply(480) end end function branch_route.b(msg) tm.t_relay() end`,
			"tm.t_relay cannot be called in a branch route; it works in "},
		{`function route.main(msg) tm.t_on_reply("r") tm.t_relay() end function onreply_route.r(msg) local f = tm.t_relay f() end`,
			"tm.t_relay cannot be called in an onreply route; it works in "},
		{`function route.main(msg) launch(function() maxfwd.mf_process_maxfwd_header(10) end) tm.t_relay() end`,
			"maxfwd.mf_process_maxfwd_header cannot be called in a launched function; it works in "},
		{`function route.main(msg) core.raise_event("E_X") tm.t_relay() end function event_route.E_X(msg) tm.t_relay() end`,
			"tm.t_relay cannot be called in an event route"},
	} {
		bubble(t, func(t *testing.T) {
			p := start(t, tt.script)
			p.call().Send("OPTIONS", 1)
			if m := p.bob.Receive(enginetest.Patience / 10); m != nil {
				p.bob.Reply(m, 200)
			}
			p.final()
			p.logged(tt.want)
		})
	}
}

// What the top level logs is written once, whatever the number of workers, by
// the level that the script itself sets, with its place and generation.
func TestTopLevelLogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{Workers: 3}, map[string]string{"main.lua": prelude + `
config { log_level = "info" }
log.info("loading", { n = 1 })

xlog("L_INFO", "by xlog")`})
		holds(t, p.record("loading"), map[string]any{"level": "info", "component": "script", "where": "main.lua:4", "generation": 1.0, "n": 1.0})
		holds(t, p.record("by xlog"), map[string]any{"level": "info", "where": "main.lua:6"})
		if n := strings.Count(p.Log(), `"loading"`); n != 1 {
			t.Errorf("written %d times", n)
		}
	})
}
