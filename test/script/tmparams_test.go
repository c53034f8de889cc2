package script_test

import (
	"testing"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
)

// tmWith is the prelude with other parameters of tm.
func tmWith(t *testing.T, params, script string) *proxy {
	t.Helper()
	return startWith(t, enginetest.Options{}, map[string]string{"main.lua": `socket "udp:10.0.0.1:5060" local tm = loadmodule("tm", { ` + params + " })\n" + script})
}

func TestParametersOfTransactions(t *testing.T) {
	t.Run("disable_6xx_block", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := tmWith(t, "disable_6xx_block = 1", `
function route.main(msg) if msg.rm == "ACK" then return end tm.t_on_failure("f") tm.t_relay() end
function failure_route.f(msg) msg.ru = msg.hdr["X-Second"] tm.t_relay() end`)
			carol := p.Agent()
			p.call().Send("INVITE", 1, "X-Second: sip:x@"+carol.Addr.String())
			p.alice.Expect("100")
			p.bob.Reply(p.bob.Expect("INVITE"), 603)
			carol.Reply(carol.Expect("INVITE"), 200)
			p.alice.Expect("200")
		})
	})
	t.Run("minor_branch_flag", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := tmWith(t, `minor_branch_flag = "minor"`, `
function route.main(msg)
  if msg.rm == "ACK" then return end
  core.append_msg_branch(msg.hdr["X-Second"])
  core.setbflag("minor", 1)
  tm.t_relay()
end`)
			carol := p.Agent()
			p.call().Send("INVITE", 1, "X-Second: sip:x@"+carol.Addr.String())
			p.alice.Expect("100")
			two := carol.Expect("INVITE")
			carol.Reply(two, 183)
			p.alice.Expect("183")
			p.bob.Reply(p.bob.Expect("INVITE"), 486)
			p.bob.Expect("ACK")
			p.alice.Expect("486")
			carol.Reply(carol.Expect("CANCEL"), 200)
		})
	})
	t.Run("auto_100trying", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := tmWith(t, "auto_100trying = 0, fr_timeout = 2", `function route.main(msg) if msg.rm ~= "ACK" then tm.t_relay() end end`)
			p.call().Send("INVITE", 1)
			p.bob.Expect("INVITE")
			began := time.Now()
			p.alice.Expect("408")
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("fr_timeout took %v", took)
			}
		})
	})
}
