package script_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
)

// torment calls a function with hostile values, each alone among plausible ones
// and all alike; what raises is let go.
const torment = `
config { script_cpu_ms = 60000, script_memory = 1073741824 }
local options = loadmodule "options"
local mods = { core = core, tr = tr, tm = tm, sl = sl, rr = rr, signaling = signaling, sipmsgops = sipmsgops, maxfwd = maxfwd, cfgutils = cfgutils, textops = textops, options = options }
local hostile = { false, "", "x", true, -1, 0, 1e300, 0/0, "X-A: 1\\r\\n", "a\\r\\nX-Evil: 1", "a\\nb", "a\\0b", "sip:[::1]:5060", "tel:+49", "/a/b/g",
  "*", "<sip:a@b>", "%", string.rep("a", 3000), string.rep(";a=b", 900), {}, { "a", "b" }, { a = "b" }, function() end }
local function try(name, n)
  local mod, path = name:match("^(%w+)%.(.*)$")
  local f = mods[mod]
  for part in path:gmatch("[^.]+") do f = f[part] end
  log.info("tormenting " .. name)
  for _, h in ipairs(hostile) do
    local alike = {}
    for i = 1, n do
      local args = { "X-A: 1\\r\\n", "a", 1, "a", "a", "a", "a", "a" }
      args[i], alike[i] = h, h
      pcall(f, unpack(args, 1, n))
    end
    pcall(f, unpack(alike, 1, n))
  end
end
local function here(msg, kind)
  if msg.orig.hdr["X-Kind"] == kind then try(msg.orig.hdr["X-Fn"], tonumber(msg.orig.hdr["X-Args"])) end
end
local function reply(msg)
  local r = msg.request.hdr
  if r["X-Kind"] == "reply" then try(r["X-Fn"], tonumber(r["X-Args"])) end
end
function route.main(msg)
  here(msg, "request")
  msg.du = msg.orig.hdr["X-Bob"]
  tm.t_on_branch("b") tm.t_on_failure("f") tm.t_on_reply("r")
  tm.t_relay()
end
function branch_route.b(msg) here(msg, "branch") end
function failure_route.f(msg) here(msg, "failure") end
function onreply_route.r(msg) reply(msg) end
`

// patient are functions that wait as long as they are told, or that end a run by
// design.
var patient = map[string]bool{"cfgutils.sleep": true, "cfgutils.usleep": true}

// TestHostileCallsOnTheWire calls every function of every module with hostile
// arguments in a handler of a real engine: nothing panics, everything that any
// agent receives parses (an agent that receives anything else fails the test),
// and the engine goes on.
func TestHostileCallsOnTheWire(t *testing.T) {
	for _, kind := range []string{"request", "branch", "failure", "reply"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, torment)
				for _, m := range all.List() {
					for i := range m.Functions {
						if f := &m.Functions[i]; !patient[m.Name+"."+f.Name] {
							p.torment(kind, functionPath(m, f), len(f.Args))
						}
					}
				}
				p.sane()
			})
		})
	}
}

func functionPath(m *modules.Module, f *modules.Function) string { return m.Name + "." + f.Name }

// torment sends the request whose handler calls the function, and answers what
// comes of it.
func (p *proxy) torment(kind, function string, args int) {
	p.t.Helper()
	c := p.call()
	c.ID = strings.ReplaceAll(kind+"-"+function, ".", "-")
	p.alice.Send(strings.Replace(c.RequestWithBody("MESSAGE", 1, sdp, "X-Kind: "+kind, "X-Fn: "+function, fmt.Sprint("X-Args: ", args),
		"X-Bob: sip:"+p.bob.Addr.String()), "text/plain", "application/sdp", 1))
	code := 200
	if kind == "failure" {
		code = 486
	}
	for range 100 {
		if m := p.bob.Receive(20 * time.Millisecond); m != nil && m.IsRequest() && enginetest.Kind(m) != "ACK" {
			p.bob.Reply(m, code)
		}
		if m := p.alice.Receive(20 * time.Millisecond); m != nil && !m.IsRequest() && string(m.CallID()) == c.ID && m.StatusCode() >= 200 {
			break
		}
	}
	if !p.Logged("tormenting " + function + `"`) {
		p.t.Errorf("%s was not called in a %s handler", function, kind)
	}
	if n := p.panics(); n != 0 {
		p.t.Fatalf("%s in a %s handler: %d panics", function, kind, n)
	}
}

// panics counts those that were caught anywhere.
func (p *proxy) panics() uint64 {
	return p.Total(func(c *engine.Counters) uint64 { return c.Panics.Load() }) + p.live.Stats().Panics
}

// sane relays one more request.
func (p *proxy) sane() {
	p.t.Helper()
	for p.alice.Receive(time.Minute) != nil || p.bob.Receive(time.Millisecond) != nil {
		continue
	}
	p.call().Send("MESSAGE", 1, "X-Bob: sip:"+p.bob.Addr.String())
	p.bob.Reply(p.bob.Expect("MESSAGE"), 200)
	p.alice.Expect("200")
}

// $sig_local_totag is the tag that the reply then has, with a transaction and
// without, in a dialog and outside.
func TestLocalTag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  if msg.hdr["X-Tran"] then tm.t_newtran() end
  signaling.send_reply(486, msg.sig_local_totag)
end`)
		for i, headers := range [][]string{nil, {"X-Tran: 1"}} {
			for _, tag := range []string{"", "there"} {
				c := p.call()
				c.ToTag = tag
				c.Send("MESSAGE", i+1, headers...)
				m := p.final()
				to, err := m.To()
				if err != nil || len(to.Tag) == 0 || string(to.Tag) != string(m.Reason()) || tag != "" && string(to.Tag) != tag {
					t.Errorf("%v, tag %q: foretold %q in\n%s", headers, tag, m.Reason(), m.Raw())
				}
			}
		}
	})
}

// A lock taken for a request is its transaction's, and may be released by
// another of its handlers.
func TestLockOverRelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
function route.main(msg)
  msg.hdr["X-Got"] = tostring(cfgutils.get_static_lock("k"))
  tm.t_on_reply("r")
  tm.t_relay()
end
function onreply_route.r(msg) msg.hdr["X-Released"] = tostring(cfgutils.release_static_lock("k")) end`)
		for i := range 3 {
			p.call().Send("MESSAGE", i+1)
			m := p.bob.Expect("MESSAGE")
			p.bob.Reply(m, 200)
			if got, released := header(m, "X-Got"), header(p.alice.Expect("200"), "X-Released"); got != "true" || released != "true" {
				t.Errorf("call %d: got %s, released %s", i, got, released)
			}
		}
	})
}
