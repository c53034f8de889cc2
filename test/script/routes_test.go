package script_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
)

// whole is the example script of the language's description, with a list in
// place of the registrar.
const whole = `
config { log_level = "info" }
socket "udp:10.0.0.1:5060"
socket("tcp:10.0.0.1:5060", { tag = "edge" })

local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local maxfwd    = loadmodule "maxfwd"
local rr        = loadmodule "rr"
local tm        = loadmodule("tm", { fr_timeout = 5, fr_inv_timeout = 30 })

function route.main(msg)
  if not maxfwd.mf_process_maxfwd_header(10) then
    return signaling.send_reply(483, "Too Many Hops")
  end
  if msg.rm == "CANCEL" then return tm.t_check_trans() and tm.t_relay() end
  if sipmsgops.has_totag() then return route.in_dialog(msg) end
  if rr.loose_route() then return signaling.send_reply(403, "Preloaded Route denied") end
  if not core.is_myself(msg.rd) then return signaling.send_reply(403, "Relay Forbidden") end

  rr.record_route()
  local to = shared:get("user:" .. msg.rU)
  if not to then
    log.info("callee is not here", { aor = msg.ru, why = "not_found" })
    return signaling.send_reply(404, "Not Found")
  end
  msg.ru = to
  tm.t_on_branch(branch_route.each)
  tm.t_on_failure(failure_route.voicemail)     -- a function, or its name "voicemail"
  return route.relay(msg)
end

function route.in_dialog(msg)
  if not rr.loose_route() then
    return msg.rm ~= "ACK" and signaling.send_reply(404, "Not here")
  end
  return route.relay(msg)
end

function route.relay(msg)
  if not tm.t_relay() then signaling.send_reply(500, "Internal Error") end
end

function branch_route.each(msg) log.info("new branch", { to = msg.ru }) end

function failure_route.voicemail(msg)
  if tm.t_was_cancelled() then return end
  if tm.t_check_status("486|408") then
    msg.ru = shared:get("user:voicemail")
    tm.t_relay()
  end
end

function event_route.E_USER(msg, ev) shared:set("user:" .. ev.name, ev.uri) end
`

// startWhole runs the whole script with bob registered and carol as voicemail.
func startWhole(t *testing.T) (p *proxy, carol *enginetest.Agent) {
	p = startWith(t, enginetest.Options{}, map[string]string{"main.lua": whole})
	carol = p.Agent()
	p.Engine.RaiseEvent("E_USER", map[string]any{"name": "bob", "uri": "sip:b@" + p.bob.Addr.String()})
	p.Engine.RaiseEvent("E_USER", map[string]any{"name": "voicemail", "uri": "sip:vm@" + carol.Addr.String()})
	synctest.Wait()
	return p, carol
}

func TestWholeScriptCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, _ := startWhole(t)
		c := p.alice.Call("whole", "sip:bob@10.0.0.1")
		c.Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		if rr := header(invite, "Record-Route"); !strings.Contains(rr, "10.0.0.1:5060") && !strings.Contains(rr, "10.0.0.1;") {
			t.Errorf("Record-Route %q", rr)
		}
		p.bob.Reply(invite, 180)
		p.alice.Expect("180")
		p.bob.Reply(invite, 200)
		c.ToTag = "agent"
		ok := p.alice.Expect("200")
		c.URI = "sip:agent@" + p.bob.Addr.String()
		route := "Route: " + header(ok, "Record-Route")
		c.Send("ACK", 1, route)
		if ack := p.bob.Expect("ACK"); header(ack, "Route") != "" {
			t.Errorf("our Route was not taken off:\n%s", ack.Raw())
		}
		c.Send("BYE", 2, route)
		p.bob.Reply(p.bob.Expect("BYE"), 200)
		p.alice.Expect("200")
		p.logged(`"msg":"new branch"`)
	})
}

func TestWholeScriptRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, _ := startWhole(t)
		for i, tt := range []struct {
			uri, toTag string
			headers    []string
			code       int
			reason     string
		}{
			{"sip:nobody@10.0.0.1", "", nil, 404, "Not Found"},
			{"sip:bob@example.com", "", nil, 403, "Relay Forbidden"},
			{"sip:bob@10.0.0.1", "", []string{"Route: <sip:10.0.0.1;lr>, <sip:192.0.2.1;lr>"}, 403, "Preloaded Route denied"},
			{"sip:bob@10.0.0.1", "x", nil, 404, "Not here"},
		} {
			c := p.alice.Call(fmt.Sprint("refused", i), tt.uri)
			c.ToTag = tt.toTag
			c.Send("OPTIONS", 1, tt.headers...)
			if reason := p.status(tt.code); reason != tt.reason {
				t.Errorf("%s: %s, want %s", tt.uri, reason, tt.reason)
			}
		}
		p.alice.Send(strings.Replace(p.alice.Call("hops", "sip:bob@10.0.0.1").Request("OPTIONS", 1), "Max-Forwards: 70", "Max-Forwards: 0", 1))
		p.status(483)
		p.logged(`"aor":"sip:nobody@10.0.0.1"`, `"why":"not_found"`)
	})
}

func TestWholeScriptVoicemail(t *testing.T) {
	for _, code := range []int{486, 404} {
		bubble(t, func(t *testing.T) {
			p, carol := startWhole(t)
			c := p.alice.Call("voicemail", "sip:bob@10.0.0.1")
			c.Send("INVITE", 1)
			p.alice.Expect("100")
			p.bob.Reply(p.bob.Expect("INVITE"), code)
			p.bob.Expect("ACK")
			if code != 486 {
				p.alice.Expect("404")
				carol.Quiet(time.Second)
				return
			}
			invite := carol.Expect("INVITE")
			if !strings.HasPrefix(string(invite.RequestURI()), "sip:vm@") {
				t.Errorf("R-URI %s", invite.RequestURI())
			}
			carol.Reply(invite, 200)
			p.alice.Expect("200")
		})
	}
}

func TestWholeScriptCancel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, carol := startWhole(t)
		c := p.alice.Call("cancel", "sip:bob@10.0.0.1")
		c.Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		p.bob.Reply(invite, 180)
		p.alice.Expect("180")
		c.Send("CANCEL", 1)
		p.alice.Expect("200")
		p.bob.Reply(p.bob.Expect("CANCEL"), 200)
		p.bob.Reply(invite, 487)
		p.bob.Expect("ACK")
		p.alice.Expect("487")
		carol.Quiet(100 * time.Millisecond)
	})
}

// A CANCEL that matches a transaction and is neither relayed nor answered is
// treated as RFC 3261 §9.2 and §16.10 say.
func TestCancelLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `function route.main(msg) if msg.rm == "CANCEL" then log.info("saw CANCEL") return end tm.t_relay() end`)
		c := p.call()
		c.Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		p.bob.Reply(invite, 180)
		p.alice.Expect("180")
		c.Send("CANCEL", 1)
		p.alice.Expect("200")
		p.bob.Reply(p.bob.Expect("CANCEL"), 200)
		p.bob.Reply(invite, 487)
		p.bob.Expect("ACK")
		p.alice.Expect("487")
		p.logged("saw CANCEL")
	})
}

// Retransmissions and the ACK to a non-2xx are absorbed by the engine.
func TestAbsorbed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `function route.main(msg) log.info("script saw " .. msg.rm) if msg.rm == "INVITE" then tm.t_newtran() tm.t_reply(486, "Busy") end end`)
		c := p.call()
		for range 3 {
			c.Send("INVITE", 1)
			p.status(486)
		}
		c.Send("ACK", 1)
		c.Send("ACK", 1)
		p.alice.Quiet(time.Second)
		if n := strings.Count(p.Log(), "script saw"); n != 1 {
			t.Errorf("the script ran %d times", n)
		}
	})
}

// AVPs and flags are seen by all handlers of a transaction; branch flags are
// the branch's.
func TestStateOfTransaction(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
local seen = {}
local function note(where, msg)
  log.info(cat("state ", where, ": ", msg.avp.n, " ", msg.avp.list and #msg.avp.list, " ", tostring(msg.flags.nat), " ", tostring(msg.bflags.b)))
  msg.avp.n = msg.avp.n + 1
end
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  msg.avp.n, msg.avp.list, msg.flags.nat, msg.bflags.b = 1, {1, 2}, true, true
  tm.t_on_branch("b") tm.t_on_reply("r") tm.t_on_failure("f")
  tm.t_relay()
end
function branch_route.b(msg) note("branch", msg) msg.bflags.own = true end
function onreply_route.r(msg) note("reply", msg) end
function onreply_route.main(msg) note("main", msg) end
function failure_route.f(msg) note("failure", msg) msg.avp.list[3] = 3 end`)
		p.call().Send("INVITE", 1)
		p.alice.Expect("100")
		invite := p.bob.Expect("INVITE")
		p.bob.Reply(invite, 180)
		p.alice.Expect("180")
		p.bob.Reply(invite, 486)
		p.bob.Expect("ACK")
		p.alice.Expect("486")
		p.logged("state branch: 1 2 true true", "state failure: 6 2 true true")
		for _, where := range []string{"reply", "main"} {
			if n := strings.Count(p.Log(), "state "+where); n != 2 {
				t.Errorf("%s ran %d times, want 2", where, n)
			}
		}
	})
}

// In failure_route msg.reply is the winning reply and msg the request; in
// onreply_route msg is the reply and msg.request the request. msg.rm is the
// CSeq method in both.
func TestReplies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  msg.hdr["X-Edit"] = "1"
  tm.t_on_reply("r") tm.t_on_failure("f") tm.t_relay()
end
function onreply_route.r(msg)
  log.info(cat("in reply ", msg.kind, " ", msg.rs, " ", msg.rr, " ", msg.rm, " ", msg.hdr["X-Why"], " ", msg.request.kind, " ", msg.request.rm, " ", msg.request.hdr["X-Ask"], " ", msg.request.rU))
  assert(not pcall(function() msg.request.hdr.X = "y" end))
  msg.hdr["X-Seen"] = "by the route"
end
function failure_route.f(msg)
  log.info(cat("in failure ", msg.kind, " ", msg.rm, " ", msg.reply.rs, " ", msg.reply.rr, " ", msg.reply.hdr["X-Why"], " ", msg.reply.rm, " ", msg.reply.kind, " ", msg.T_reply_code, " ", msg.hdr["X-Ask"]))
  assert(not pcall(function() msg.reply.hdr.X = "y" end))
  assert(msg.request == nil)
end`)
		p.call().Send("INVITE", 1, "X-Ask: what")
		p.alice.Expect("100")
		p.bob.Reply(p.bob.Expect("INVITE"), 486, "X-Why: because")
		p.bob.Expect("ACK")
		m := p.alice.Expect("486")
		if header(m, "X-Seen") != "by the route" {
			t.Errorf("the edit of the reply is missing:\n%s", m.Raw())
		}
		p.logged("in reply reply 486 Busy Here INVITE because request INVITE what b",
			"in failure request INVITE 486 Busy Here because INVITE reply 486 what")
	})
}

// Writes in a branch route change that branch only.
func TestBranchRouteEdits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  msg.hdr["X-All"] = "all"
  core.append_msg_branch(msg.hdr["X-Second"])
  tm.t_on_branch("b")
  tm.t_relay()
  log.info(cat("behind relay ", msg.hdr["X-Own"], "/", tr.uri.user(msg.tm_branch[0].uri), "/", tr.uri.user(msg.tm_branch[1].uri), "/", tostring(msg.tm_branch[2]), "/",
    tostring(msg.tm_branch[0].flags.first), "/", tostring(msg.tm_branch[1].flags.first)))
end
function branch_route.b(msg)
  msg.hdr["X-Own"] = msg.rU .. msg.T_branch_idx
  msg.bflags.first = msg.T_branch_idx == 0
  if msg.T_branch_idx == 1 then
    msg.ru = "sip:changed@" .. msg.rd .. ":" .. msg.rp
    msg.body = {type = "text/plain", data = "second"}
  end
end`)
		carol := p.Agent()
		p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
		p.alice.Expect("100")
		one, two := p.bob.Expect("INVITE"), carol.Expect("INVITE")
		for _, tt := range []struct {
			m              *sip.Message
			user, own, bod string
		}{{one, "sip:b@", "b0", ""}, {two, "sip:changed@", "second1", "second"}} {
			if !strings.HasPrefix(string(tt.m.RequestURI()), tt.user) || header(tt.m, "X-Own") != tt.own || string(tt.m.Body()) != tt.bod || header(tt.m, "X-All") != "all" {
				t.Errorf("want %+v:\n%s", tt, tt.m.Raw())
			}
		}
		p.logged("behind relay /b/changed/nil/true/false")
		p.bob.Reply(one, 200)
		p.alice.Expect("200")
	})
}

// In a failure route ru, du, path and bflags begin as the winning branch's. An
// armed route fires once; it is armed anew in the failure route; nil disarms.
func TestFailureRouteBegins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  core.append_msg_branch(msg.hdr["X-Second"])
  tm.t_on_branch("b") tm.t_on_failure("f") tm.t_relay()
end
function branch_route.b(msg)
  if msg.T_branch_idx == 1 then msg.bflags.second = true msg.du = "sip:" .. msg.rd .. ":" .. msg.rp msg.rU = "edited" end
  msg.hdr["X-Branch"] = "edit"
end
function failure_route.f(msg)
  log.info(cat("begins ", tr.uri.user(msg.ru), " ", tostring(msg.du ~= nil), " ", tostring(msg.bflags.second), " ", msg.hdr["X-Branch"], " ", msg.T_branch_idx))
  msg.rU = "again"
  if msg.avp.again then return end
  msg.avp.again = true
  tm.t_on_failure(failure_route.f)
  tm.t_relay()
end`)
		carol := p.Agent()
		p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
		p.alice.Expect("100")
		one, two := p.bob.Expect("INVITE"), carol.Expect("INVITE")
		p.bob.Reply(one, 480)
		p.bob.Expect("ACK")
		carol.Reply(two, 404)
		carol.Expect("ACK")
		third := carol.Expect("INVITE")
		if !strings.HasPrefix(string(third.RequestURI()), "sip:again@") || header(third, "X-Branch") != "" {
			t.Errorf("the third branch:\n%s", third.Raw())
		}
		carol.Reply(third, 400) // better than those before it
		carol.Expect("ACK")
		p.final()
		p.logged("begins edited true true  1", "begins again ")
		if n := strings.Count(p.Log(), "begins "); n != 2 {
			t.Errorf("the failure route ran %d times", n)
		}
	})
}

func TestArming(t *testing.T) {
	for _, tt := range []struct {
		name, arm string
		ran       string
	}{
		{"by name", `tm.t_on_failure("one")`, "one"},
		{"by function", `tm.t_on_failure(failure_route.one)`, "one"},
		{"the last one counts", `tm.t_on_failure("one") tm.t_on_failure("two")`, "two"},
		{"nil disarms", `tm.t_on_failure("one") tm.t_on_failure(nil)`, ""},
		{"a closure keeps its locals", `local who = msg.rU tm.t_on_failure(function(msg) log.info("ran closure of " .. who) end)`, "closure of b"},
		{"a name that is computed", `local k = "t" .. "wo" tm.t_on_failure(k)`, "two"},
		{"it fires once", `tm.t_on_failure("twice")`, "twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `
function route.main(msg) if msg.rm ~= "INVITE" then return end `+tt.arm+` tm.t_relay() end
function failure_route.one(msg) log.info("ran one") end
function failure_route.two(msg) log.info("ran two") end
function failure_route.twice(msg) log.info("ran twice") tm.t_relay() end`)
				p.call().Send("INVITE", 1)
				p.alice.Expect("100")
				p.bob.Reply(p.bob.Expect("INVITE"), 486)
				p.bob.Expect("ACK")
				if tt.ran == "twice" {
					p.bob.Reply(p.bob.Expect("INVITE"), 486)
					p.bob.Expect("ACK")
				}
				p.alice.Expect("486")
				var ran []string
				for _, l := range strings.Split(p.Log(), "\n") {
					if _, rest, ok := strings.Cut(l, `"msg":"ran `); ok {
						name, _, _ := strings.Cut(rest, `"`)
						ran = append(ran, name)
					}
				}
				if want := strings.Fields(strings.ReplaceAll(tt.ran, " ", "_")); !slices.Equal(want, strings.Fields(strings.ReplaceAll(strings.Join(ran, "\n"), " ", "_"))) {
					t.Errorf("ran %q, want %q", ran, tt.ran)
				}
			})
		})
	}
}

// A route armed for replies in a branch route sees that branch's replies.
func TestReplyRouteOfBranch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  core.append_msg_branch(msg.hdr["X-Second"]) tm.t_on_branch("b") tm.t_relay()
end
function branch_route.b(msg) if msg.T_branch_idx == 1 then tm.t_on_reply("r") end end
function onreply_route.r(msg) log.info("reply on branch " .. msg.T_branch_idx) end`)
		carol := p.Agent()
		p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
		p.alice.Expect("100")
		p.bob.Reply(p.bob.Expect("INVITE"), 180)
		p.alice.Expect("180")
		if p.Logged("reply on branch") {
			t.Error("the other branch's reply was seen")
		}
		carol.Reply(carol.Expect("INVITE"), 180)
		p.alice.Expect("180")
		p.logged("reply on branch 1")
	})
}
