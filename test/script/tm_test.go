package script_test

import (
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
)

// act is one scene: a script in which nothing raises, and what happens on the wire.
type act struct {
	name, lua string
	play      func(t *testing.T, p *proxy)
}

func play(t *testing.T, acts []act) {
	t.Helper()
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, a.lua)
				a.play(t, p)
				if p.Logged("script error") {
					t.Error("a handler raised")
				}
			})
		})
	}
}

// want compares headers of a message.
func want(t *testing.T, m *sip.Message, headers map[string]string) {
	t.Helper()
	for name, value := range headers {
		if got := header(m, name); got != value {
			t.Errorf("%s of %s is %q, want %q", name, enginetest.Kind(m), got, value)
		}
	}
}

func TestHeadersOfTransaction(t *testing.T) {
	const add = `
function route.main(msg)
  if msg.rm == "CANCEL" then
    if msg.hdr["X-Own"] then assert(tm.t_add_cancel_reason("Reason: SIP;cause=200\r\n")) return tm.t_relay() end
    return tm.t_relay("pass-reason-hdr")
  end
  if msg.rm == "ACK" then return end
  local early, why = tm.t_add_hdrs("X-T: 0\r\n")
  assert(not early and why.name == "no_transaction")
  tm.t_newtran()
  assert(tm.t_add_hdrs("X-T: 1\r\n"))
  tm.t_relay()
end`
	cancel := func(header string) func(*testing.T, *proxy) {
		return func(t *testing.T, p *proxy) {
			c := p.call()
			c.Send("INVITE", 1)
			p.alice.Expect("100")
			invite := p.bob.Expect("INVITE")
			want(t, invite, map[string]string{"X-T": "1"})
			p.bob.Reply(invite, 180)
			p.alice.Expect("180")
			c.Send("CANCEL", 1, header)
			p.alice.Expect("200")
			got := p.bob.Expect("CANCEL")
			want(t, got, map[string]string{"X-T": "1", "Reason": "SIP;cause=200"})
			p.bob.Reply(got, 200)
			p.bob.Reply(invite, 487)
			want(t, p.bob.Expect("ACK"), map[string]string{"X-T": "1"})
			p.alice.Expect("487")
		}
	}
	play(t, []act{
		{"reason of the script", add, cancel("X-Own: 1")},
		{"reason passed on", add, cancel("Reason: SIP;cause=200")},
	})
}

func TestRepliesWithBodies(t *testing.T) {
	check := func(t *testing.T, p *proxy) {
		for _, tran := range []string{"X-Tran: 1", "X-Tran: "} {
			m := p.ask("MESSAGE", tran)
			want(t, m, map[string]string{"X-A": "1", "Content-Type": "text/plain", "Content-Length": "5"})
			if string(m.Body()) != "Hello" {
				t.Errorf("body %q", m.Body())
			}
		}
	}
	play(t, []act{
		{"kept aside", `
function route.main(msg)
  sipmsgops.append_to_reply("Content-Type: text/plain\r\nX-A: 1\r\n")
  sipmsgops.append_body_to_reply("Hello")
  if msg.hdr["X-Tran"] == "1" then return tm.t_reply(404) end
  signaling.send_reply(404)
end`, check},
		{"given", `
function route.main(msg)
  sipmsgops.append_to_reply("X-A: 1\r\nc: text/plain\r\n")
  tm.t_reply_with_body(404, "Not here", "Hello")
end`, check},
	})
}

func TestReplicate(t *testing.T) {
	play(t, []act{{"a copy", `
function route.main(msg)
  if msg.hdr["X-Copy"] then assert(tm.t_replicate(msg.hdr["X-Copy"])) end
  tm.t_relay()
end`, func(t *testing.T, p *proxy) {
		carol := p.Agent()
		p.call().Send("MESSAGE", 1, "X-Copy: sip:copy@"+carol.Addr.String())
		carol.Reply(carol.Expect("MESSAGE"), 603)
		p.bob.Reply(p.bob.Expect("MESSAGE"), 202)
		p.alice.Expect("202")
		p.alice.Quiet(time.Minute)
	}}})
}

func TestNewRequest(t *testing.T) {
	play(t, []act{{"a request of our own", `
function route.main(msg)
  assert(tm.t_new_request("MESSAGE", msg.ru, "Bob B. sip:bob@example.org", "<sip:carol@example.org>", "text/plain Hello there", "why"))
  sl.sl_send_reply(202)
end
function local_route.main(msg) msg.hdr["X-Local"] = msg.rm .. " " .. msg.avp.uac_ctx end`, func(t *testing.T, p *proxy) {
		p.call().Send("MESSAGE", 1)
		p.alice.Expect("202")
		m := p.bob.Expect("MESSAGE")
		want(t, m, map[string]string{"X-Local": "MESSAGE why", "Content-Type": "text/plain", "To": "<sip:carol@example.org>"})
		if from := header(m, "From"); !strings.HasPrefix(from, `"Bob B." <sip:bob@example.org>;tag=`) || string(m.Body()) != "Hello there" {
			t.Errorf("From %q, body %q", from, m.Body())
		}
		p.bob.Reply(m, 200)
	}}})
}

// forked relays an INVITE to bob and to X-Second.
const forked = `
function route.main(msg)
  if msg.rm ~= "INVITE" then return end
  if msg.hdr["X-Second"] then core.append_msg_branch(msg.hdr["X-Second"], "0.5", "") end
  tm.t_on_branch("b") tm.t_on_reply("r") tm.t_on_failure("f")
  if before then before(msg) end
  tm.t_relay()
end
function branch_route.b(msg) if branch then branch(msg) end end
function onreply_route.r(msg) if reply then reply(msg) end end
function failure_route.f(msg) if failure then failure(msg) end end
`

// fork sends it and gives the INVITEs of both.
func fork(p *proxy) (carol *enginetest.Agent, one, two *sip.Message) {
	carol = p.Agent()
	p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
	p.alice.Expect("100")
	return carol, p.bob.Expect("INVITE"), carol.Expect("INVITE")
}

func TestBranchesOfTransaction(t *testing.T) {
	play(t, []act{
		{"values of a branch", `local before, reply
local function branch(msg) msg.bavp.n = "b" .. msg.T_branch_idx msg.tm_branch_attr.tag = "t" .. msg.T_branch_idx msg.tm_branch_flag.far = msg.T_branch_idx == 1 end
local function failure(msg)
  local at = tm.t_get_branch_idx_by_attr("tag", "t1")
  local none, why = tm.t_get_branch_idx_by_attr("tag", "t9")
  local s = table.concat({ msg.T_branch_idx, tostring(msg.bavp.n), tostring(at), tostring(none), why.name, tostring(msg.tm_branch_flag.far), msg.T_reply_code,
    msg.tm_branch[0].last_received, msg.tm_branch[1].last_status, msg.tm_branch[1].socket, msg.tm_branch_socket, tostring(msg.tm_branch[0].q), msg.tm_branch[1].q, tostring(msg.tm_branch_q), tostring(msg.tm_branch[2]), msg.tm_branch[1].type,
    tostring(tm.t_local_replied("all")), tostring(tm.t_local_replied("last")), tostring(msg.T_branch_last_reply_code) }, " ")
  tm.t_reply(480, s)
end` + forked, func(t *testing.T, p *proxy) {
			carol, one, two := fork(p)
			p.bob.Reply(one, 486)
			p.bob.Expect("ACK")
			carol.Reply(two, 404)
			carol.Expect("ACK")
			m := p.alice.Expect("480")
			if got, want := string(m.Reason()), "1 b1 1 nil not_found true 404 486 404 udp:10.0.0.1:5060 udp:10.0.0.1:5060 nil 500 500 nil sip false false 404"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}},
		{"cancel this branch", `local before, branch, failure
local function reply(msg) if tm.t_check_status("183") then tm.t_cancel_branch() end end` + forked, func(t *testing.T, p *proxy) {
			carol, one, two := fork(p)
			carol.Reply(two, 180)
			p.alice.Expect("180")
			p.bob.Reply(one, 183)
			p.alice.Expect("183")
			p.bob.Reply(p.bob.Expect("CANCEL"), 200)
			p.bob.Reply(one, 487)
			p.bob.Expect("ACK")
			carol.Quiet(time.Second)
			carol.Reply(two, 200)
			p.alice.Expect("200")
		}},
		{"cancel the others", `local before, branch, failure
local function reply(msg) if tm.t_check_status("183") then tm.t_cancel_branch("o") end end` + forked, func(t *testing.T, p *proxy) {
			carol, one, two := fork(p)
			carol.Reply(two, 180)
			p.alice.Expect("180")
			p.bob.Reply(one, 183)
			p.alice.Expect("183")
			carol.Reply(carol.Expect("CANCEL"), 200)
			carol.Reply(two, 487)
			carol.Expect("ACK")
			p.bob.Reply(one, 200)
			p.alice.Expect("200")
		}},
		{"time set by a reply", `local before, branch
local function reply(msg) if msg.rs == 180 then msg.T_fr_inv_timeout = 2 end end
local function failure(msg) tm.t_reply(480, cat(msg.T_reply_code, " ", tostring(tm.t_local_replied("all")), " ", tostring(tm.t_check_status("408")))) end` + forked, func(t *testing.T, p *proxy) {
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			one := p.bob.Expect("INVITE")
			p.bob.Reply(one, 180)
			p.alice.Expect("180")
			began := time.Now()
			p.bob.Expect("CANCEL")
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it rang for %v", took)
			}
			if m := p.alice.Expect("480"); string(m.Reason()) != "408 false true" {
				t.Errorf("%s", m.Reason())
			}
		}},
		{"time set before", `local branch, reply
local function failure(msg) assert(tm.t_local_replied("all") and tm.t_local_replied("last") and tm.t_local_replied("branch"))
  assert(msg.tm_branch[0].last_status == 408 and msg.tm_branch[0].last_received == nil and msg.T_branch_last_reply_code == nil) end
local function before(msg) msg.T_fr_timeout = 1 end` + forked, func(t *testing.T, p *proxy) {
			began := time.Now()
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			p.alice.Expect("408")
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
		}},
	})
}

func TestWaitingForBranches(t *testing.T) {
	play(t, []act{
		{"until the time is over", `local branch, reply
local failure
local function before(msg) msg.T_fr_inv_timeout = 4 tm.t_newtran() assert(tm.t_wait_for_new_branches()) end` + forked, func(t *testing.T, p *proxy) {
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			p.bob.Reply(p.bob.Expect("INVITE"), 486)
			p.bob.Expect("ACK")
			p.alice.Quiet(3 * time.Second)
			if m := p.alice.Receive(2 * time.Second); m == nil || m.StatusCode() < 400 {
				t.Errorf("got %v", m)
			}
		}},
		{"until no more", `local branch, failure
local function reply(msg) if msg.rs == 486 then tm.t_wait_no_more_branches() end end
local function before(msg) tm.t_newtran() tm.t_wait_for_new_branches() end` + forked, func(t *testing.T, p *proxy) {
			p.call().Send("INVITE", 1)
			p.alice.Expect("100")
			p.bob.Reply(p.bob.Expect("INVITE"), 486)
			p.bob.Expect("ACK")
			p.alice.Expect("486")
		}},
		{"injected", `
function route.main(msg)
  if msg.rm == "ACK" then return end
  tm.t_newtran() tm.t_wait_for_new_branches(1) tm.t_relay()
  msg.ru = msg.hdr["X-Second"]
  local ok, why = tm.t_inject_branches("msg", "last")
  log.info("injected " .. tostring(ok) .. " " .. tostring(why))
end`, func(t *testing.T, p *proxy) {
			carol, one, two := fork(p)
			p.bob.Reply(one, 486)
			p.bob.Expect("ACK")
			p.alice.Quiet(time.Second)
			carol.Reply(two, 200)
			p.alice.Expect("200")
		}},
	})
}

func TestSixHundred(t *testing.T) {
	const again = `
function route.main(msg) if msg.rm == "ACK" then return end tm.t_on_failure("f") tm.t_relay() end
function failure_route.f(msg) msg.ru = msg.hdr["X-Second"] local ok, why = tm.t_relay() log.info("again " .. tostring(ok) .. " " .. why.name) end`
	play(t, []act{
		{"blocks", again, func(t *testing.T, p *proxy) {
			p.call().Send("INVITE", 1, "X-Second: sip:x@"+p.Agent().Addr.String())
			p.alice.Expect("100")
			p.bob.Reply(p.bob.Expect("INVITE"), 603)
			p.alice.Expect("603")
			p.logged("again false blocked")
		}},
	})
}

func TestChangedStatus(t *testing.T) {
	play(t, []act{{"486 to 404", `
function route.main(msg) if msg.rm ~= "ACK" then tm.t_relay() end end
function onreply_route.main(msg)
  local class, why = sipmsgops.change_reply_status(200, "OK")
  if msg.rs == 486 then assert(not class and why.name == "class") sipmsgops.change_reply_status(404, "Not Found") end
end`, func(t *testing.T, p *proxy) {
		p.call().Send("INVITE", 1)
		p.alice.Expect("100")
		p.bob.Reply(p.bob.Expect("INVITE"), 486)
		if m := p.alice.Expect("404"); string(m.Reason()) != "Not Found" {
			t.Errorf("%s", m.Reason())
		}
	}}})
}

func TestSerialBranches(t *testing.T) {
	play(t, []act{{"by q", `
function route.main(msg)
  if msg.rm == "ACK" then return end
  msg.ru_q = 100
  core.append_msg_branch(msg.hdr["X-Second"], "0.9")
  core.serialize_branches(1)
  core.next_branches()
  tm.t_on_failure("next")
  tm.t_relay()
end
function failure_route.next(msg)
  if core.next_branches() then tm.t_on_failure("next") tm.t_relay() end
end`, func(t *testing.T, p *proxy) {
		carol := p.Agent()
		p.call().Send("INVITE", 1, "X-Second: sip:second@"+carol.Addr.String())
		p.alice.Expect("100")
		two := carol.Expect("INVITE")
		carol.Reply(two, 180)
		p.alice.Expect("180")
		p.bob.Quiet(time.Second)
		carol.Reply(two, 486)
		carol.Expect("ACK")
		p.bob.Reply(p.bob.Expect("INVITE"), 404)
		p.bob.Expect("ACK")
		p.alice.Expect("404")
	}}})
}

func TestOutboundProxy(t *testing.T) {
	const through = `
function route.main(msg)
  msg.du = msg.hdr["X-Du"]
  local ok, why = tm.t_relay("no-dns-failover", "udp:" .. msg.hdr["X-Proxy"])
  if not ok then log.info("failed " .. why.code .. " " .. why.name) sl.sl_reply_error() end
end`
	play(t, []act{
		{"in place of the URI", through, func(t *testing.T, p *proxy) {
			carol := p.Agent()
			p.call().Send("MESSAGE", 1, "X-Proxy: "+carol.Addr.String())
			if m := carol.Expect("MESSAGE"); !strings.HasPrefix(string(m.RequestURI()), "sip:b@"+p.bob.Addr.String()) {
				t.Errorf("R-URI %s", m.RequestURI())
			} else {
				carol.Reply(m, 200)
			}
			p.alice.Expect("200")
		}},
		{"not in place of du", through, func(t *testing.T, p *proxy) {
			p.call().Send("MESSAGE", 1, "X-Proxy: "+p.Agent().Addr.String(), "X-Du: sip:"+p.bob.Addr.String())
			p.bob.Reply(p.bob.Expect("MESSAGE"), 200)
			p.alice.Expect("200")
		}},
	})
}
