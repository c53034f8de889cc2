package script_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

// try loads files as a start does, without receiving anything.
func try(t *testing.T, files map[string]string) (*luabind.Program, error) {
	t.Helper()
	p := &proxy{Rig: enginetest.New(t, enginetest.Options{}), t: t, modules: all.List()}
	lp, err := p.load(files)
	if err == nil {
		t.Cleanup(func() { lp.Abort() })
	}
	return lp, err
}

// Every form that declares something.
func TestDeclarations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, err := try(t, map[string]string{"main.lua": `
config { log_level = "info", max_breadth = 20, udp_workers = 8, server_signature = "no" }
socket "udp:127.0.0.1:5060"
socket("tcp:[::1]:5060", { tag = "edge", as = "192.0.2.1:5070", proxy_protocol = true })
socket "udp:*:5062"
socket "udp:eth0:5060"
socket "udp:127.0.0.1:5070-5073"
bond("out", { "udp:127.0.0.1:5060", "edge" }, { strict = true })
alias "udp:example.com:5060"
local tm = loadmodule("tm", { fr_timeout = 3 })
local again, required = loadmodule "tm", require "tm"
assert(tm == again and tm == required)
modparam("tm", "fr_inv_timeout", 17)
function route.main(msg) return route["my-name"](msg) end
route["my-name"] = function(msg) end
function branch_route.b(msg) end
function failure_route.f(msg) end
function onreply_route.main(msg) end
function onreply_route.r(msg) end
function local_route.main(msg) end
function error_route.main(msg) end
function startup_route.main(msg) end
timer_route("tick", 60, function(msg) end)
function event_route.E_CORE_LOG(msg, ev) end
`})
		if err != nil {
			t.Fatal(err)
		}
		s := p.Settings()
		if s["log_level"] != "info" || s["max_breadth"] != 20.0 || s["server_signature"] != false {
			t.Errorf("settings %v", s)
		}
		if len(p.Sockets()) != 5 || p.Sockets()[1].Tag != "edge" || p.Sockets()[1].As != "192.0.2.1:5070" || p.Sockets()[1].ProxyProtocol != "both" {
			t.Errorf("sockets %+v", p.Sockets())
		}
		if b := p.Bonds(); len(b) != 1 || b[0].Name != "out" || !b[0].Strict || len(b[0].Members) != 2 || b[0].Members[1] != "edge" {
			t.Errorf("bonds %+v", b)
		}
		if a := p.Aliases(); len(a) != 1 || a[0].Name != "udp:example.com:5060" {
			t.Errorf("aliases %+v", a)
		}
		if timers := p.Timers(); len(timers) != 1 || timers[0].Name != "tick" || timers[0].Seconds != 60 {
			t.Errorf("timers %+v", timers)
		}
		if !p.HasEvent("E_CORE_LOG") || p.HasEvent("E_OTHER") {
			t.Error("HasEvent is wrong")
		}
		notes := 0
		for _, f := range p.Findings() {
			if f.Severity == luabind.SeverityNote && strings.Contains(f.Text, "udp_workers") {
				notes++
			}
		}
		if notes != 1 {
			t.Errorf("%d notes about udp_workers: %v", notes, p.Findings())
		}
		if cfg := (program{p}).Transactions(); cfg.FrTimeout != 3*time.Second || cfg.FrInvTimeout != 17*time.Second {
			t.Errorf("tm has %s and %s", cfg.FrTimeout, cfg.FrInvTimeout)
		}
	})
}

// What loading refuses: place, what is wrong, what would be right.
func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{`config { log_levl = "info" }`, `main.lua:1:10: config has no name "log_levl"; did you mean log_level?`},
		{`config { log_level = "loud" }`, `config log_level must be a log level`},
		{`config { max_parked = "many" }`, "config max_parked must be a whole number"},
		{`socket "udq:127.0.0.1:5060"`, `socket "udq:127.0.0.1:5060" must be`},
		{`socket("udp:127.0.0.1:5060", { tagg = "x" })`, `socket has no option "tagg"; did you mean tag?`},
		{`bond("b", {})`, `bond "b" has no members`},
		{`loadmodule "tmm"`, `did you mean tm?`},
		{`loadmodule("tm", { fr_timeot = 5 })`, `did you mean fr_timeout?`},
		{`loadmodule("tm", { fr_timeout = "x" })`, "fr_timeout must be"},
		{`local rr = require "rr"`, `rr`},
		{`modparam("rr", "append_fromtag", 1)`, "rr"},
		{`local x = tm.t_relay`, `undefined global "tm"`},
		{"local tm = loadmodule \"tm\"\nfunction route.main(msg)\n  tm.t_rely()\nend", "main.lua:3:6: module tm has no function \"t_rely\"; did you mean tm.t_relay?\n      tm.t_rely()\n         ^"},
		{"function route.main(msg)\n  return msg.fuu\nend", `main.lua:2:14: msg has no field "fuu"; did you mean`},
		{"function route.main(msg) return msg.T_id end", `it comes with loadmodule "tm"`},
		{"function route.main(msg) return route.relai(msg) end function route.relay(msg) end", "did you mean route.relay?"},
		{"local tm = loadmodule \"tm\" function route.main(msg) tm.t_on_failure(\"vm\") end function failure_route.vms(msg) end", `did you mean`},
		{"local tm = loadmodule \"tm\" tm.t_relay()", "tm.t_relay cannot be called at the top level; it works in"},
		{"loadmodule(\"tm\", { fr_timeout = 1 }) route.x = 5", "route.x must be a function"},
		{"function branch_route.main(msg) end function local_route.other(msg) end", "local_route has one route, local_route.main"},
		{"function route.a(msg) end\nfunction route.a(msg) end", "main.lua:2:"},
		{"local s = \"\\+\"", `"\+"`},
		{"function route.main(msg) return re.match(msg.ru, \"(\") end", "POSIX"},
		{"function route.main(msg)\n  if x then\n", "main.lua:"},
		{"local tm = loadmodule \"tm\" function route.main(msg) tm.t_relay = nil end", "tm.t_relay cannot be assigned"},
		{"core.is_myself = 1", "core.is_myself cannot be assigned"},
		{"require \"json\"", "a file may not be named as"},
		{"route = {}", "route"},
		{"local x = nil + 1", "main.lua:1:"},
		{"require \"..\"", "main.lua:1:"},
		{"require \"../other\"", "main.lua:1:"},
		{"error((select(2, core.read_file(\"/etc/passwd\"))))", "passwd"},
		{"error(\"stop here\")", "stop here"},
		{"msg.ru = 1", `undefined global "msg"`},
		{"timer_route(\"t\", 0, function() end)", "seconds must be"},
		{"timer_route(\"t\", 1, function() end) timer_route(\"t\", 1, function() end)", "was declared at main.lua:1 already"},
		{"function startup_route.other(msg) end", "startup_route.main"},
		{"config { max_parked = math.random(1, 1000) }", "each time it runs"},
	} {
		bubble(t, func(t *testing.T) {
			_, err := try(t, map[string]string{"main.lua": tt.script})
			var le *luabind.Error
			if !errors.As(err, &le) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s\nwant %q, got\n%v", tt.script, tt.want, err)
			}
		})
	}
}

// Files below the script's folder, and what is read beside it.
func TestFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{}, map[string]string{
			"main.lua": prelude + `
local numbers = require "lib.numbers"
assert(require "lib.numbers" == numbers)
local list = {}
for line in core.read_file("lists/blocked.txt"):gmatch("[^\n]+") do list[line] = true end
function route.main(msg) signaling.send_reply(200, cat(numbers.name, " ", tostring(list.bob), " ", tostring(list.alice), " ", route.helped(msg))) end`,
			"lib/numbers.lua":   `local tm = require "tm" modparam("tm", "fr_timeout", 2) function route.helped(msg) return type(tm.t_relay) end return { name = "numbers" }`,
			"lists/blocked.txt": "bob\ncarol\n",
		})
		if got := string(p.ask("OPTIONS").Reason()); got != "numbers true nil function" {
			t.Errorf("got %s", got)
		}
		p.ask("OPTIONS")
	})
}

// A timer route runs once per process and not per worker; event routes get the
// event's parameters.
func TestTimersAndEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `
timer_route("two", 2, function(msg)
  assert(msg.kind == "none" and msg.ru == nil and msg.hdr.From == nil)
  msg.avp.x = 1 msg.flags.f = true
  assert(msg.avp.x == 1 and msg.flags.f)
  shared:incr("ticks")
end)
function event_route.E_MINE(msg, ev)
  assert(msg.kind == "none" and msg.rm == nil and not pcall(function() msg.ru = "sip:a@b" end))
  shared:set("event", cat(ev.a, " ", ev.b))
end
function route.main(msg)
  core.raise_event("E_MINE", {"a", "b"}, {1, "two"})
  core.raise_event("E_NOBODY")
  signaling.send_reply(200, cat(shared:get("ticks"), " ", shared:get("event")))
end`)
		p.ask("OPTIONS")
		time.Sleep(6500 * time.Millisecond)
		if got := string(p.ask("OPTIONS").Reason()); got != "3 1 two" {
			t.Errorf("got %s", got)
		}
	})
}

// error_route.main sees what does not parse.
func TestErrorRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := start(t, `function route.main(msg) signaling.send_reply(200) end
function error_route.main(msg) log.info("broken", {code = msg.err_rcode, why = msg.err_info}) end`)
		p.alice.Send(strings.Replace(p.call().Request("OPTIONS", 1), "CSeq: 1 OPTIONS", "CSeq: x OPTIONS", 1))
		if got := p.alice.Raw(enginetest.Patience); !strings.HasPrefix(got, "SIP/2.0 400 ") {
			t.Errorf("got %s", got)
		}
		p.logged(`"msg":"broken"`, `"code":400`)
	})
}

// Ways to write a parameter: a list repeats it; yes/no, 0/1 and true/false are
// one; a flag is its bare name.
func TestParameters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := startWith(t, enginetest.Options{}, map[string]string{"main.lua": `
socket "udp:10.0.0.1:5060"
local sl = loadmodule "sl"
local cfgutils = loadmodule("cfgutils", { shvset = { "a=i:1", "b=s:two" }, initial_probability = "40" })
local rr = loadmodule("rr", { append_fromtag = "no" })
local tm = loadmodule("tm", { pass_provisional_replies = true, auto_100trying = 0, minor_branch_flag = "minor" })
modparam("cfgutils", "shvset", "c=i:3")
function route.main(msg)
  sl.sl_send_reply(200, cat(cfgutils.shv.a, " ", cfgutils.shv.b, " ", cfgutils.shv.c, " ", cfgutils.rand_get_prob()))
end`})
		if got := string(p.ask("OPTIONS").Reason()); got != "1 two 3 40" {
			t.Errorf("got %s", got)
		}
		if cfg := (program{p.live}).Transactions(); cfg.Auto100 {
			t.Error("auto_100trying = 0 is not no")
		}
	})
}
