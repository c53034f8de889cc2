package script_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// version is a script whose replies and failure route tell which one it is.
func version(v string) string {
	return `
local version = "` + v + `"
function route.main(msg)
  if msg.rm == "INVITE" then
    local who = msg.rU
    msg.avp.list = { version }
    tm.t_on_failure(function(msg) tm.t_reply(480, cat(version, " ", who, " ", msg.avp.list[1], " ", shared:get("kept"))) end)
    return tm.t_relay()
  end
  if msg.rm == "INFO" then cfgutils.sleep(5) end
  if msg.rm == "PUBLISH" then shared:set("kept", version) end
  signaling.send_reply(200, version)
end
timer_route("t", 2, function(msg) log.info("tick of " .. version) end)
`
}

// A live transaction ends on the generation it began with: its AVPs, its armed
// closures and its parked handlers. New calls run on the new one; shared values
// stay.
func TestReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, version("one"))
		p.ask("PUBLISH")
		c := p.call()
		c.Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		p.bob.Reply(invite, 180)
		p.alice.Expect("180")
		p.call().Send("INFO", 1)
		time.Sleep(time.Second)
		p.reload(version("two"))
		if got := string(p.ask("OPTIONS").Reason()); got != "two" {
			t.Errorf("a new call ran on %s", got)
		}
		p.bob.Reply(invite, 486)
		p.bob.Expect("ACK")
		if got := p.status(480); got != "one b one one" {
			t.Errorf("the call under way got %q", got)
		}
		c.Send("ACK", 1)
		if got := p.status(200); got != "one" {
			t.Errorf("the parked handler went on with %s", got)
		}
		p.logged(`"msg":"tick of two"`)
		if strings.Contains(p.Log(), "tick of one") {
			t.Error("the old timer still ran")
		}
		synctest.Wait()
		if n := p.Engine.Generations(); n != 1 {
			t.Errorf("%d generations can still run", n)
		}
	})
}

// A script that fails any step never runs, and the running one goes on.
func TestReloadRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, version("one"))
		for _, script := range []string{"function route.main(msg", "error('x')", "function route.main(msg) tm.t_rely() end",
			`loadmodule("rr", {nope = 1})`, `local n = nil + 1`} {
			if lp, err := p.load(map[string]string{"main.lua": prelude + script}); err == nil {
				lp.Abort()
				t.Errorf("%s was loaded", script)
			}
			if got := string(p.ask("OPTIONS").Reason()); got != "one" {
				t.Errorf("behind the refusal of %q: %s", script, got)
			}
		}
	})
}
