package interop_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
)

// faults are what a script can do wrong, by the user that is called. All of it
// ends that request with 500; the log says msg where it is not empty.
var faults = map[string]struct{ body, log string }{
	"loop":        {`while true do end`, "CPU"},
	"loop-pcall":  {`while true do pcall(function() while true do end end) end`, "CPU"},
	"loop-coro":   {`coroutine.wrap(function() while true do end end)()`, "CPU"},
	"loop-match":  {`local s = string.rep("a", 30000); for i = 1, 1000 do s:find(string.rep("a*", 15) .. "b") end`, ""},
	"loop-concat": {`local s = "x"; while true do s = s .. s end`, ""},
	"bomb-rep":    {`local s = string.rep("x", 2^30)`, ""},
	"bomb-table":  {`local t = {}; for i = 1, 1e9 do t[i] = { i } end`, ""},
	"bomb-concat": {`local t = {}; for i = 1, 1e6 do t[i] = "0123456789012345678901234567890123456789" end; return #table.concat(t)`, ""},
	"bomb-pcall":  {`local s = ""; while true do pcall(function() s = s .. string.rep("x", 1e6) end) end`, ""},
	"recursion":   {`local function f() return 1 + f() end; f()`, "call"},
	"error":       {`error("my own fault")`, "my own fault"},
	"error-nil":   {`error()`, ""},
	"error-table": {`error({ code = 5 })`, ""},
	"index-nil":   {`local x = msg.hdr["X-None"].y`, "index"},
	"call-nil":    {`local f = nil; f()`, "call"},
	"global":      {`leak = msg`, "leak"},
	"misuse":      {`local code = "what"; signaling.send_reply(code)`, "send_reply"},
	"bad-code":    {`local n = 7; signaling.send_reply(n)`, "send_reply"},
	"bad-uri":     {`msg.ru = "no uri at all\r\nX: y"`, ""},
	"bad-header":  {`msg.hdr["X-A"] = "b\r\nVia: evil"`, ""},
	"bad-field":   {`local name = "rUU"; return msg[name]`, "rU"},
	"wrong-route": {`local f = tm.t_cancel_branch; f()`, "t_cancel_branch"},
	"top-level":   {`socket "udp:127.0.0.1:5060"`, "socket"},
	"metatable":   {`setmetatable(msg, {})`, ""},
	"late":        {`local co = coroutine.create(function() coroutine.yield(); return msg.ru end); coroutine.resume(co); error("done")`, "done"},
	"deep-error":  {`local ok = pcall(error, "x"); assert(ok, "not ok")`, "not ok"},
	"patterns":    {`return ("x"):find("[a")`, ""},
	"format":      {`return string.format("%d", "x")`, ""},
	"blocked":     {`return cfgutils.sleep(-1)`, "sleep"},
}

// faultScript does what is asked of it by the name of the fault; anybody else is
// called.
func faultScript() string {
	var b strings.Builder
	b.WriteString("local faults = {}\n")
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		b.WriteString("faults[\"" + name + "\"] = function(msg) " + faults[name].body + " end\n")
	}
	b.WriteString(`
function route.out(msg)
  local f = msg.rU and faults[msg.rU]
  if f then return f(msg) end
  return route.relay(msg)
end`)
	return script("", b.String())
}

// TestScriptFaults: every fault ends its request with 500 and a record that names
// the call and the line; calls beside it are unhurt.
func TestScriptFaults(t *testing.T) {
	t.Parallel()
	p := startProxy(t, faultScript())
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			alice := newPhone(t, p)
			c := alice.call("fault-"+name, p.addr)
			c.Target("sip:" + name + "@" + p.Addr())
			alice.invite(c)
			alice.refused(c, alice.final(sip.INVITE, 500))
			p.logged(t, `"call_id":"fault-`+name+`"`)
			for _, r := range p.records(t) {
				if r["call_id"] != c.ID {
					continue
				}
				where, _ := r["where"].(string)
				text, _ := r["msg"].(string)
				detail, _ := r["error"].(string)
				if r["level"] != "error" || !strings.HasPrefix(where, "script.lua:") {
					t.Errorf("the record is no error with a place: %v", r)
				}
				if !strings.Contains(text+detail, f.log) {
					t.Errorf("the record does not say %q: %v", f.log, r)
				}
			}
		})
	}
}

// TestFaultsHurtNobodyElse: calls go through while handlers loop, hoard and raise.
func TestFaultsHurtNobodyElse(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		const calls = 100
		p := startProxy(t, faultScript())
		uas := sippUAS(t, "uas_call", tr)
		uac := peers.StartSIPp(t, peers.SIPp{Name: "uac_call", Transport: tr, Remote: p.Addr(), Target: "bob@" + uas.Addr(),
			Calls: calls, Rate: 40, Timeout: sippLimit})
		alice := newPhone(t, p)
		refused := 0
		for n := 0; uac.Running(); n++ {
			name := []string{"loop", "bomb-table", "error", "recursion", "bomb-pcall"}[n%5]
			c := alice.call(name+itoa(n), p.addr)
			c.Target("sip:" + name + "@" + p.Addr())
			alice.invite(c)
			alice.refused(c, alice.final(sip.INVITE, 500))
			refused++
		}
		uac.Wait().MustSucceed(t, calls)
		uas.Stop().MustSucceed(t, calls)
		if refused < 5 {
			t.Errorf("only %d faults beside the calls", refused)
		}
	})
}

// TestFaultsInOtherRoutes: a faulty branch is not sent, a faulty failure or reply
// route changes nothing.
func TestFaultsInOtherRoutes(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
function route.out(msg)
  if msg.rU == "branch" then
    core.append_msg_branch("sip:good@" .. msg.rd .. ":" .. msg.rp)
    tm.t_on_branch("faulty")
  elseif msg.rU == "failure" then tm.t_on_failure("faulty")
  elseif msg.rU == "reply" then tm.t_on_reply("faulty") end
  return route.relay(msg)
end
function branch_route.faulty(msg) if msg.rU == "branch" then error("no branch") end end
function failure_route.faulty(msg) while true do end end
function onreply_route.faulty(msg) error("no reply") end`))
	alice, bob := newPhone(t, p), newPhone(t, p)
	for _, tt := range []struct{ user, reaches string }{{"branch", "sip:good@"}, {"failure", "sip:failure@"}, {"reply", "sip:reply@"}} {
		c := alice.call("fault-in-"+tt.user, bob.Addr())
		c.Target("sip:" + tt.user + "@" + bob.Addr().String())
		alice.invite(c)
		m := bob.request(sip.INVITE)
		if uri := string(m.RequestURI()); !strings.HasPrefix(uri, tt.reaches) {
			t.Errorf("%s: the callee was asked for %s, want %s", tt.user, uri, tt.reaches)
		}
		bob.reply(m, 486, "b")
		alice.refused(c, alice.final(sip.INVITE, 486))
		bob.request(sip.ACK)
	}
	bob.silence(200*time.Millisecond, isRequest)
}

// TestMessageAfterItsHandler: a script that keeps msg and uses it later gets an
// error, and nothing of another call.
func TestMessageAfterItsHandler(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
local kept = {}
function route.out(msg)
  if msg.rU == "keep" then
    kept.msg, kept.hdr, kept.later = msg, msg.hdr, function() return msg.ru end
    return signaling.send_reply(404, "Kept")
  end
  if msg.rU == "msg" then return kept.msg.ru end
  if msg.rU == "hdr" then return kept.hdr["From"] end
  return kept.later()
end`), "--workers", "1")
	alice := newPhone(t, p)
	for _, tt := range []struct {
		user string
		code int
	}{{"keep", 404}, {"msg", 500}, {"hdr", 500}, {"later", 500}} {
		c := alice.call("stale-"+tt.user, p.addr)
		c.Target("sip:" + tt.user + "@" + p.Addr())
		alice.invite(c)
		alice.refused(c, alice.final(sip.INVITE, tt.code))
	}
}
