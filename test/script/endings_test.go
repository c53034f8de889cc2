package script_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules/all"
)

// The ways a handler ends. bomb builds more than its memory budget allows,
// which nothing catches.
const (
	nothing = ``
	exits   = `exit()`
	exits1  = `pcall(function() exit() end) error("caught")`
	drops   = `drop()`
	raise   = `local x = nil + 1`
	bomb    = `pcall(function() local s = "x" while true do s = s .. s end end)`
	deep    = `local function f() return 1 + f() end pcall(f) error("after")`
)

const silent = "script ended without reply, relay or drop"

func TestRequestRouteEnds(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       string // status, "" for silence
		warned     bool
	}{
		{"nothing", nothing, "", true},
		{"exit", exits, "", true},
		{"exit from below", `route.below(msg)`, "", true},
		{"exit in pcall", exits1, "", true},
		{"exit in a coroutine", `coroutine.wrap(function() exit() end)() error("x")`, "", true},
		{"drop", drops, "", false},
		{"drop in pcall", `pcall(drop) error("x")`, "", false},
		{"raises", raise, "500", false},
		{"raises in a coroutine", `coroutine.wrap(function() error("x") end)()`, "500", false},
		{"over budget", bomb, "500", false},
		{"reply and exit", `signaling.send_reply(404, "Not Found") exit()`, "404", false},
		{"reply and drop", `signaling.send_reply(404, "Not Found") drop()`, "404", false},
		{"raises after a final reply", `signaling.send_reply(404, "Not Found") ` + raise, "404", false},
		{"raises after a stateful reply", `tm.t_newtran() tm.t_reply(486, "Busy") ` + raise, "486", false},
		{"raises after t_newtran", `tm.t_newtran() ` + raise, "500", false},
		{"pcall catches an error", `local ok = pcall(error, "x") signaling.send_reply(ok and 200 or 480, "Caught")`, "480", false},
		{"a relay that finds no way", `msg.du = "sip:203.0.113.1;transport=tls" if tm.t_relay() then error("relayed") end`, "", true},
		{"a transaction and no reply", `tm.t_newtran()`, "", true},
		{"return ends a function", `signaling.send_reply(480, "One") do return end signaling.send_reply(404, "Two")`, "480", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `function route.main(msg) `+tt.body+` end function route.below(msg) exit() end`)
				p.call().Send("OPTIONS", 1)
				m := p.alice.Receive(time.Second)
				got := ""
				if m != nil {
					got = enginetest.Kind(m)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				p.alice.Quiet(time.Second)
				if p.Logged(silent) != tt.warned {
					t.Errorf("warned of silence: %v", p.Logged(silent))
				}
			})
		})
	}
}

// A relayed request whose handler then raises is answered by its branch.
func TestRaisesBehindRelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `function route.main(msg) tm.t_relay() `+raise+` end`)
		p.call().Send("OPTIONS", 1)
		p.bob.Reply(p.bob.Expect("OPTIONS"), 200)
		p.alice.Expect("200")
		p.alice.Quiet(time.Second)
		p.logged("script error: main.lua:2:")
	})
}

func TestBranchRouteEnds(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		sent       bool
	}{
		{"nothing", nothing, true}, {"exit", exits, true}, {"exit in pcall", exits1, true},
		{"drop", drops, false}, {"raises", raise, false}, {"over budget", bomb, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `
function route.main(msg)
  if msg.hdr["X-Second"] then core.append_msg_branch(msg.hdr["X-Second"]) end
  tm.t_on_branch("each")
  if not tm.t_relay() then signaling.send_reply(480, "No branch") end
end
function branch_route.each(msg) if msg.rU == "second" or not msg.hdr["X-Second"] then `+tt.body+` end end`)
				carol := p.Agent()
				p.call().Send("OPTIONS", 1, "X-Second: sip:second@"+carol.Addr.String())
				bobs := p.bob.Expect("OPTIONS")
				if tt.sent {
					carol.Reply(carol.Expect("OPTIONS"), 404)
				} else {
					carol.Quiet(100 * time.Millisecond)
				}
				p.bob.Reply(bobs, 200)
				p.alice.Expect("200")

				p.call().Send("OPTIONS", 1) // the only branch
				if tt.sent {
					p.bob.Reply(p.bob.Expect("OPTIONS"), 200)
					p.alice.Expect("200")
				} else {
					p.alice.Expect("480")
					p.bob.Quiet(time.Second)
				}
			})
		})
	}
}

func TestFailureRouteEnds(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", nothing, "486"}, {"exit", exits, "486"}, {"drop", drops, "486"},
		{"raises", raise, "486"}, {"over budget", bomb, "486"},
		{"another reply", `tm.t_reply(480, "Later")`, "480"},
		{"another reply and raises", `tm.t_reply(480, "Later") ` + raise, "480"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `
function route.main(msg) if msg.rm == "ACK" then return end tm.t_on_failure("f") tm.t_relay() end
function failure_route.f(msg) log.info("in failure") `+tt.body+` end`)
				c := p.call()
				c.Send("INVITE", 1)
				p.bob.Reply(p.bob.Expect("INVITE"), 486, "X-From: bob")
				p.bob.Expect("ACK")
				m := p.final()
				if got := enginetest.Kind(m); got != tt.want || tt.want == "486" && header(m, "X-From") != "bob" {
					t.Errorf("got %s, want %s:\n%s", got, tt.want, m.Raw())
				}
				c.Send("ACK", 1)
				p.logged("in failure")
				p.alice.Quiet(time.Second)
			})
		})
	}
}

// An onreply route that raises leaves the reply as it came, without the edits
// that it had made.
func TestOnreplyRouteEnds(t *testing.T) {
	for _, tt := range []struct {
		name, body         string
		provisional, final bool // relayed
		edited             bool
	}{
		{"nothing", nothing, true, true, true}, {"exit", exits, true, true, true},
		{"drop", drops, false, true, true},
		{"raises", raise, true, true, false}, {"over budget", bomb, true, true, false},
	} {
		for _, route := range []string{"main", "armed"} {
			t.Run(tt.name+" in "+route, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := start(t, `
function route.main(msg) if msg.rm == "INVITE" then tm.t_on_reply(onreply_route["`+route+`"]) end tm.t_relay() end
function onreply_route.`+route+`(msg) msg.hdr["X-Edit"] = "yes" `+tt.body+` end`)
					p.call().Send("INVITE", 1)
					p.alice.Expect("100")
					invite := p.bob.Expect("INVITE")
					relayed := func(code int) *sip.Message {
						p.bob.Reply(invite, code)
						return p.alice.Receive(100 * time.Millisecond)
					}
					check := func(code int, want bool) {
						t.Helper()
						m := relayed(code)
						if (m != nil) != want {
							t.Errorf("%d relayed: %v, want %v", code, m != nil, want)
						}
						if m != nil && (header(m, "X-Edit") == "yes") != tt.edited {
							t.Errorf("%d edited: %v, want %v:\n%s", code, !tt.edited, tt.edited, m.Raw())
						}
					}
					check(180, tt.provisional)
					check(183, tt.provisional)
					check(200, tt.final)
				})
			})
		}
	}
}

func TestLocalRouteEnds(t *testing.T) {
	for _, tt := range []struct {
		name, body   string
		sent, edited bool
	}{
		{"nothing", nothing, true, true}, {"exit", exits, true, true}, {"drop", drops, false, false},
		{"raises", raise, true, false}, {"over budget", bomb, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `
function route.main(msg)
  tm.t_new_request("MESSAGE", msg.ru, "sip:us@example.com", "sip:you@example.com", "text/plain hello")
  signaling.send_reply(202, "Accepted")
end
function local_route.main(msg) assert(msg.rm == "MESSAGE" and msg.rb == "hello") msg.hdr["X-Edit"] = "yes" `+tt.body+` end`)
				p.ask("OPTIONS")
				m := p.bob.Receive(time.Second)
				if (m != nil) != tt.sent {
					t.Fatalf("sent: %v, want %v", m != nil, tt.sent)
				}
				if m == nil {
					return
				}
				if string(m.Body()) != "hello" || (header(m, "X-Edit") == "yes") != tt.edited {
					t.Errorf("edited is not %v:\n%s", tt.edited, m.Raw())
				}
				p.bob.Reply(m, 200)
			})
		})
	}
}

// What raises outside of a message is logged, and nothing else ends.
func TestBackgroundRoutesRaise(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
timer_route("tick", 1, function(msg) shared:incr("ticks") error("timer broke") end)
function event_route.E_TEST(msg, ev) shared:incr("events") error("event broke") end
function route.main(msg)
  local seen = cat(shared:get("ticks"), "/", shared:get("events"), "/", shared:get("launched"))
  core.raise_event("E_TEST", { "a" }, { 1 })
  launch(function() shared:incr("launched") error("launch broke") end)
  signaling.send_reply(200, seen)
end`)
		time.Sleep(2500 * time.Millisecond)
		p.ask("OPTIONS")
		synctest.Wait()
		if got := string(p.ask("OPTIONS").Reason()); got != "2/1/1" {
			t.Errorf("got %s", got)
		}
		p.logged("timer broke", "event broke", "launch broke")
	})
}

// A startup route that raises refuses the start.
func TestStartupRaises(t *testing.T) {
	for body, ok := range map[string]bool{nothing: true, exits: true, raise: false, bomb: false} {
		bubble(t, func(t *testing.T) {
			p := &proxy{Rig: enginetest.New(t, enginetest.Options{}), t: t}
			p.modules = all.List()
			lp, err := p.load(map[string]string{"main.lua": prelude + `
function startup_route.main(msg) log.info("starting", {kind = msg.kind}) ` + body + ` end
function route.main(msg) signaling.send_reply(200) end`})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Go(program{lp}); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "startup_route.main failed") {
				t.Errorf("%q: start gave %v", body, err)
			}
			p.logged(`"kind":"none"`)
		})
	}
}
