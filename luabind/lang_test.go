package luabind_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/luabind"
)

func TestResults(t *testing.T) {
	passes(t, `
local ok, r = fake.yes()
assert(ok == true and r.code == 1 and r.name == "ok" and tostring(r) == "ok")
local ok, r = fake.push()
assert(ok == true and r.code == 2 and r.name == "push_sent")
local ok, r = fake.no()
assert(ok == false and r.code == -2 and r.name == "not_found" and tostring(r) == "there is none")
local ok, r = fake.noextra()
assert(ok == false and r.delay == 7 and r.other == nil)
local v, r = fake.fetch()
assert(v == nil and r.name == "empty")
assert(not pcall(function() r.code = 3 end))
assert(fake.echo(5) == 5 and fake.echo("x") == "x" and fake.echo(nil) == nil)
local t = fake.echo({1, 2, {a = "b"}})
assert(t[1] == 1 and t[3].a == "b")
assert(fake.COUNT == 42 and fake.stat.x == "stat x")`)
}

func TestArguments(t *testing.T) {
	for body, want := range map[string]string{
		"local x = {} fake.reply(x)":             `fake.reply: argument 1 "code" must be a number, got a table`,
		"local x fake.reply(x)":                  `fake.reply: argument 1 "code" must be a number, got nil`,
		"local x = 'a' fake.reply(x)":            `must be a number, got the string "a"`,
		"local x = 99 fake.reply(x)":             "must be from 100 to 699, got 99",
		"local x = 200.5 fake.reply(x)":          "wants a whole number, got 200.5",
		"local x = 1 fake.yes(unpack({x}))":      "fake.yes takes no arguments, got 1",
		"fake.yes(unpack({msg}))":                "fake.yes takes no message",
		"local x = 'fasst' fake.mode(x)":         `has the unknown word "fasst"; it takes fast, slow; did you mean fast?`,
		"local x = 'reason,nope' fake.flags(x)":  `unknown word "nope"`,
		"local x = 'voicemale' fake.arm(x)":      `argument 1 "route" names failure_route.voicemale, which the script does not have`,
		"local x = 5 fake.arm(x)":                "must be a function or the name of a failure_route, got a number",
		"local x = {} x[1] = x fake.echo(x)":     "holds itself",
		"fake.echo(msg)":                         "cannot take a message",
		"fake.yes = nil fake.yes()":              "nil",
		"local k = 'is_myselv' core[k]('x')":     "did you mean core.is_myself?",
		"local k = 'append_branch' core[k]('x')": "here it is core.append_msg_branch",
		"local k = 'extra' fake[k] = 5":          "read-only",
		"local k = 'COUNTER' fake[k]()":          "no function",
		"undefined_thing()":                      `undefined global "undefined_thing"`,
		"x_new = 5":                              `a handler cannot make the global "x_new"`,
		"t_relay()":                              "here it is tm.t_relay",
		"local x = route.nowhere":                "",
		"exit_()":                                "did you mean exit?",
		"config { log_level = 'info' }":          "belongs to the top level",
		"loadmodule('fake', {timeout = 1})":      "belongs to the top level",
		"local x = core.read_file('x')":          "belongs to the top level",
		"msg.rm = 'X'":                           "msg.rm is read-only",
		"local k = 'rmm' local x = msg[k]":       `msg has no field "rmm"; did you mean`,
		"local k = 'ruri' local x = msg[k]":      "did you mean ru?",
		"msg.ru = 'sip:a b'":                     "msg.ru: ",
		"msg.hdr['X-A'] = 'a\\r\\nb: c'":         "CR",
		"msg:add_header('X-A', 'a\\nb')":         "CR",
		"msg.hdr['X-A'] = {}":                    "must be a string, got a table",
		"msg.flags.x = 1":                        "takes true or false, got a number",
		"msg.orig.ru = 'sip:x'":                  "read-only",
		"msg.orig.hdr.X = 'y'":                   "read-only",
		"local k = 'missing' route[k](msg)":      "the script has no route.missing",
		"msg.body = 'x'":                         "msg.body takes",
		"re.match('a', '(' .. '')":               "not POSIX extended",
		"re.match('a', 'a', 'x')":                `unknown flag "x"`,
		"local a = 'x' .. {}":                    "attempt to concatenate a table value",
		"idiv(1, 0)":                             "division by zero",
		"shared.get('x')":                        "with a colon",
		"shared:set('x', function() end)":        "cannot take a function",
		"shared:set('n', 'x') shared:incr('n')":  "not a number",
		"xlog('L_NONE', 'x', {})":                "level",
		"launch(5)":                              "must be a function",
		"require('nope')":                        "top level",
	} {
		if want == "" {
			continue
		}
		v, logs := checkedRequest(t, wrap(body))
		if v != api.VerdictError || !strings.Contains(logs, want) {
			t.Errorf("%s\nverdict %d, want %q, got\n%s", body, v, want, logs)
		}
	}
}

// checkedRequest is request for a script that may be refused at load: then the
// load error is the log.
func checkedRequest(t *testing.T, script string) (api.Verdict, string) {
	t.Helper()
	e := newEnv(t)
	p, err := luabind.Load(options(e, map[string]string{"main.lua": script}, fakeModules()))
	if err != nil {
		e.wg.Wait()
		return api.VerdictError, err.Error()
	}
	defer func() {
		p.Shutdown()
		p.Release()
		e.wg.Wait()
	}()
	v := p.Worker(0).Request(ctx(t, e, api.RouteRequest))
	return v, e.texts()
}

func TestMessage(t *testing.T) {
	passes(t, `
assert(msg.rm == "INVITE" and msg.ml > 100 and msg.ci == "call-1@192.0.2.10")
assert(msg.hdr["x-foo"] == "one" and msg.hdr.From:find("alice") and msg.hdr.f == msg.hdr.From)
assert(msg.hdr.Nope == nil)
local l = msg:headers("X-Foo") assert(#l == 2 and l[2] == "two")
assert(#msg:headers() >= 9 and msg:headers()[1].name == "Via")
msg.hdr["X-Foo"] = "three" assert(msg.hdr["X-Foo"] == "three" and #msg:headers("X-Foo") == 1)
assert(msg.orig.hdr["X-Foo"] == "one")
msg:add_header("X-Foo", 4) assert(msg:headers("x-foo")[2] == "4")
msg.hdr["X-Foo"] = nil assert(msg.hdr["X-Foo"] == nil and #msg:headers("X-Foo") == 0)
msg.ru = "sip:carol@example.net" assert(msg.ru == "sip:carol@example.net")
assert(msg.orig.ru == "sip:bob@example.com" and msg.orig.rm == "INVITE")
assert(msg.rb == "v=0\r\n" and msg.body.type == "application/sdp" and msg.body.data == msg.rb)
msg.body = {type = "text/plain", data = "hello"} assert(msg.rb == "hello" and msg.hdr["Content-Type"] == "text/plain")
assert(msg.orig.rb == "v=0\r\n")
msg.body = nil assert(msg.rb == nil and msg.body == nil)
assert(msg.kind == "request" and msg.cancelled == false and msg.request == nil and msg.reply == nil)
assert(tostring(msg) == "msg")`)
}

func TestAvpsAndFlags(t *testing.T) {
	passes(t, `
assert(msg.avp.x == nil)
msg.avp.x = "a" msg:avp_push("x", "b") msg:avp_push("x", 3)
assert(msg.avp.x == 3)
local l = msg:avps("x") assert(#l == 3 and l[1] == 3 and l[2] == "b" and l[3] == "a")
msg.avp.x = {deep = {1}} assert(msg.avp.x.deep[1] == 1 and #msg:avps("x") == 1)
msg.avp.x = nil assert(msg.avp.x == nil)
msg.avp.f = false assert(msg.avp.f == false)
assert(msg.flags.nat == false) msg.flags.nat = true assert(msg.flags.nat == true and msg.bflags.nat == false)
msg.bflags.nat = true msg.flags.nat = nil assert(msg.bflags.nat and not msg.flags.nat)
msg.dlg_val.x = "kept" assert(msg.dlg_val.x == "kept" and msg.dlg_val["y"] == nil)`)
}

func TestBranches(t *testing.T) {
	passes(t, `
core.append_msg_branch("sip:one@example.net")
core.append_msg_branch("sip:two@example.net")
assert(msg.branch[0].uri == "sip:bob@example.com" and msg.branch[1].uri == "sip:one@example.net" and msg.branch[3] == nil)
assert(msg.branch[-1] == nil and msg.branch.last_idx == 2)
msg.branch[2].uri = "sip:three@example.net" msg.branch[2].q = 500 msg.branch[1].flags.nat = true
msg.branch[1].attrs.colour = "red" msg.branch[0].duri = "sip:192.0.2.1"
local seen = ""
for i, b in msg:branches() do seen = seen .. i .. b.uri .. ";" end
assert(seen == "0sip:bob@example.com;1sip:one@example.net;2sip:three@example.net;", seen)
assert(msg.branch[2].q == 500 and msg.branch[1].flags.nat and not msg.branch[2].flags.nat)
assert(msg.branch[1].attrs.colour == "red" and msg.branch[0].duri == "sip:192.0.2.1" and msg.branch[1].duri == nil)
msg.branch[0].uri = "sip:new@example.com" assert(msg.ru == "sip:new@example.com")
msg.branch[1].socket = "bond:out" assert(msg.branch[1].socket == "bond:out")
assert(not pcall(function() msg.branch[1].uri = "nonsense" end))
assert(not pcall(function() return msg.branch[1].nope end))
assert(msg.tm_branch[0] == nil)`)
}

func TestExitAndDrop(t *testing.T) {
	for body, want := range map[string]api.Verdict{
		"exit()": api.VerdictNone,
		"pcall(function() exit() end) error('caught')":                  api.VerdictNone,
		"xpcall(function() exit() end, function() end) error('caught')": api.VerdictNone,
		"coroutine.wrap(function() pcall(exit) end)() error('caught')":  api.VerdictNone,
		"drop()":                        api.VerdictDrop,
		"pcall(pcall, drop) error('x')": api.VerdictDrop,
		"table.sort({1,2}, exit)":       api.VerdictNone,
		"string.gsub('a', 'a', drop)":   api.VerdictDrop,
		"return route.sub()":            api.VerdictNone,
		"error('x')":                    api.VerdictError,
	} {
		p, e := load(t, "function route.main(msg) "+body+" end function route.sub() exit() end")
		c := ctx(t, e, api.RouteRequest)
		for range 3 {
			if v := p.Worker(0).Request(c); v != want {
				t.Errorf("%s: verdict %d, want %d\n%s", body, v, want, e.texts())
			}
		}
		if got := c.Done&api.ActionDropped != 0; got != (want == api.VerdictDrop) {
			t.Errorf("%s: dropped is %v", body, got)
		}
	}
}

func TestStaleMessage(t *testing.T) {
	p, e := load(t, `
local kept, hdr, branches
function route.main(msg)
  if not kept then kept, hdr, branches = msg, msg.hdr, msg:branches() return end
  for _, f in ipairs{function() return kept.rm end, function() return hdr["X-Foo"] end, function() hdr.X = "y" end, branches} do
    local ok, why = pcall(f)
    assert(not ok and why:find("after its handler had ended", 1, true), why)
  end
end`)
	for range 2 {
		if v := p.Worker(0).Request(ctx(t, e, api.RouteRequest)); v != api.VerdictNone {
			t.Fatal(e.texts())
		}
	}
}

// Armed handlers run in their own state, by function or by name; local
// variables of the handler that armed them live on.
func TestArm(t *testing.T) {
	p, e := load(t, `
local fake = loadmodule "fake"
function route.main(msg)
  local who = msg.rm
  if msg.hdr["X-Foo"] == "one" then
    fake.arm(function(msg) fake.reply(500, who .. " " .. msg.kind) end)
  end
end
function failure_route.voicemail(msg) fake.reply(486, "named") end
function route.named(msg) fake.arm("voicemail") end
function branch_route.each(msg) msg.hdr["X-Branch"] = "yes" fake.reply(404) end`)
	c := ctx(t, e, api.RouteRequest)
	s := p.Worker(1)
	s.Request(c)
	h, ok := c.State.Slot(armKey).(api.Handler)
	if !ok {
		t.Fatalf("nothing armed:\n%s", e.texts())
	}
	if h.Generation() != api.Generation(p) || !strings.HasPrefix(h.Name(), "function main.lua:") {
		t.Errorf("handler %q", h.Name())
	}
	c2 := ctx(t, e, api.RouteFailure)
	if v := s.Run(c2, h); v != api.VerdictNone || !strings.Contains(e.texts(), "reply 500 INVITE request") {
		t.Errorf("verdict %d\n%s", v, e.texts())
	}
}

// A branch route runs inside the call of t_relay.
func TestNestedRun(t *testing.T) {
	p, e := load(t, `
local fake = loadmodule "fake"
function route.main(msg)
  local kept = msg
  assert(fake.run(branch_route.each))
  assert(fake.run("each"))
  assert(not fake.run(branch_route.bad))
  assert(kept.rm == "INVITE")
end
function branch_route.each(msg) msg.avp.seen = (msg.avp.seen or 0) + 1 end
function branch_route.bad(msg) fake.reply(200) end`)
	c := ctx(t, e, api.RouteRequest)
	c.Tx = scriptTx{s: p.Worker(0)}
	if v := p.Worker(0).Request(c); v != api.VerdictNone || c.State.AVP("seen")[0] != 2.0 {
		t.Errorf("verdict %d\n%s", v, e.texts())
	}
	if !strings.Contains(e.texts(), "fake.reply cannot be called in a branch route; it works in request and failure routes") {
		t.Error(e.texts())
	}
}

func TestReplyAndFailureRoutes(t *testing.T) {
	p, e := load(t, `
loadmodule "fake"
function route.main(msg) end
function onreply_route.main(msg)
  assert(msg.kind == "reply" and msg.rm == "INVITE" and msg.request.rm == "INVITE" and msg.request.kind == "request")
  assert(msg.request.hdr["X-Foo"] == "one")
  assert(not pcall(function() msg.request.ru = "sip:x@y" end))
end
function local_route.main(msg) drop() end
function error_route.main(msg) error("x") end
function failure_route.f(msg)
  if msg.reply then msg.avp.seen = msg.reply.hdr.To end
end
function event_route.E_X(msg, ev) assert(msg.kind == "none" and msg.ru == nil and ev.a == 1 and ev.b == "c") msg.avp.x = 1 msg.flags.y = true
  assert(not pcall(function() msg.ru = "sip:x@y" end)) assert(msg.hdr.X == nil and #msg:headers("X") == 0) end
function startup_route.main(msg) assert(msg.kind == "none") end`)
	s := p.Worker(0)
	if !s.HasReply() || !s.HasLocal() || !s.HasError() {
		t.Error("routes are missing")
	}
	for name, v := range map[string][2]api.Verdict{
		"reply": {s.Reply(ctx(t, e, api.RouteReply)), api.VerdictNone},
		"local": {s.Local(ctx(t, e, api.RouteLocal)), api.VerdictDrop},
		"error": {s.Error(ctx(t, e, api.RouteError)), api.VerdictError},
		"event": {p.RunEvent(1, ctx(t, e, api.RouteEvent), "E_X", map[string]any{"a": 1, "b": "c"}), api.VerdictNone},
		"none":  {p.RunEvent(1, ctx(t, e, api.RouteEvent), "E_Y", nil), api.VerdictNone},
	} {
		if v[0] != v[1] {
			t.Errorf("%s: verdict %d, want %d\n%s", name, v[0], v[1], e.texts())
		}
	}
	if err := p.RunStartup(ctx(t, e, api.RouteStartup)); err != nil {
		t.Error(err, e.texts())
	}
	if !p.HasEvent("E_X") || p.HasEvent("E_Z") {
		t.Error("HasEvent is wrong")
	}
}

func TestLaunch(t *testing.T) {
	p, e := load(t, `
function route.main(msg)
  local t = {n = 1}
  launch(function(a, b) log.info("launched " .. a.n .. b) shared:set("ran", true) end, t, "x")
  t.n = 2
  log.info("handler ends")
end`)
	p.Worker(0).Request(ctx(t, e, api.RouteRequest))
	if strings.Contains(e.texts(), "launched") {
		t.Fatal("it ran inside the handler")
	}
	e.runPosted()
	if !strings.Contains(e.texts(), "launched 1x") {
		t.Error(e.texts())
	}
}

func TestShared(t *testing.T) {
	p, e := load(t, `
function route.main(msg)
  local v = shared:get("t")
  if v then assert(v.list[2] == "b") v.list[2] = "changed" assert(shared:get("t").list[2] == "b") end
  shared:set("t", {list = {"a", "b"}, deep = {x = true}})
  assert(shared:incr("n") >= 1 and shared:incr("n", 5) >= 6)
  assert(shared:cas("c", nil, "first") ~= shared:cas("c", "nope", "x"))
  assert(shared:cas("c", "first", nil) and shared:get("c") == nil)
  shared:set("gone", 1) assert(shared:delete("gone") and not shared:delete("gone"))
  shared:set("brief", 1, 2) assert(shared:get("brief") == 1)
  assert(not pcall(function() shared:set(("k"):rep(2000), 1) end))
end
function branch_route.later(msg) assert(shared:get("brief") == nil) end`)
	e.now = e.Now()
	for w := range 2 {
		if v := p.Worker(w).Request(ctx(t, e, api.RouteRequest)); v != api.VerdictNone {
			t.Fatal(e.texts())
		}
	}
	e.now = e.now.Add(3e9)
	if v := runRoute(t, p, e, "later"); v != api.VerdictNone {
		t.Error(e.texts())
	}
}

// runRoute runs branch_route.name.
func runRoute(t *testing.T, p *luabind.Program, e *env, name string) api.Verdict {
	t.Helper()
	c := ctx(t, e, api.RouteBranch)
	h, err := p.Route(api.RouteBranch, name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Worker(0).Run(c, h)
}

func TestValues(t *testing.T) {
	passes(t, `
assert(cat("a", nil, 1, true, "b") == "a1trueb" and cat() == "")
assert(idiv(7, 2) == 3 and idiv(-7, 2) == -3 and idiv("9", 3) == 3 and idiv(-2147483648, -1) == -2147483648)
assert(bit.band(0xF0, 0x3C) == 0x30 and bit.bor(1, 2, 4) == 7 and bit.bxor(5, 1) == 4 and bit.bnot(0) == -1)
assert(bit.lshift(1, 31) == -2147483648 and bit.rshift(-1, 28) == 15 and bit.arshift(-8, 1) == -4 and bit.tobit(4294967295) == -1)
assert(re.match("Hello", "^h.*o$", "i") and not re.match("Hello", "^h") and re.match(nil, "x") == false)
assert(re.match("+49123", [=[^\+49[0-9]+$]=]))
assert(re.subst("aXbX", "X", "-") == "a-bX" and re.subst("aXbX", "x", "<\\0>", "gi") == "a<X>b<X>" and re.subst(nil, "x", "y") == nil)
assert(re.subst("john@x", "([a-z]+)@(.*)", "\\2/\\1") == "x/john")
assert(re.find("ab12", "([a-z]+)([0-9]+)")[3] == "12" and re.find("", "x") == nil and re.find(nil, "x") == nil)
assert(#re.split("a,b,c", ",") == 3 and re.escape("a.b") == "a\\.b")
assert(tr.s.len("abc") == 3 and tr.s.len(nil) == nil and tr.s.select("a;b", 1, ";") == "b" and tr.ip.matches(nil, "x") == false)
local v = json.decode('{"a":[1,null,"x"],"b":{"c":true},"d":null}')
assert(v.a[3] == "x" and v.a[2] == json.null and v.b.c == true and v.d == nil and tostring(json.null) == "null")
assert(json.encode({a = {1, 2}, b = "x\"<", c = json.null}) == '{"a":[1,2],"b":"x\\"<","c":null}', json.encode({a = {1, 2}, b = "x\"<"}))
local v, why = json.decode("{") assert(v == nil and why:find("json"))
local v, why = json.decode("1 2") assert(v == nil)
local v, why = json.encode({function() end}) assert(v == nil and why:find("function"))
local deep = {} for i = 1, 100 do deep = {deep} end assert(json.encode(deep) == nil)
assert(json.decode(("["):rep(100) .. ("]"):rep(100)) == nil)
assert(json.encode(1e6) == "1000000" and json.encode(0.5) == "0.5" and json.encode({}) == "{}")`)
}

func TestStrings(t *testing.T) {
	passes(t, `
assert(("hello world"):find("o w") == 5 and ("hello"):find("l+") == 3 and ("a.b"):find(".", 1, true) == 2)
assert(("key = value"):match("^(%w+)%s*=%s*(%w+)$") == "key" and ("x"):match("y") == nil and ("abc"):match("()b()") == 2)
local n = 0 for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do n = n + v end assert(n == 3)
local s, c = ("hello"):gsub("l", {l = "L"}) assert(s == "heLLo" and c == 2)
assert(("hello"):gsub("", "-") == "-h-e-l-l-o-" and ("abc"):gsub("%w", "%0%0") == "aabbcc" and ("abc"):gsub("b", "%%") == "a%c")
assert(("abc"):gsub("(a)(b)", "%2%1") == "bac" and ("x y"):gsub("%w", function(c) if c == "x" then return "z" end end) == "z y")
assert(("THE (quick) fox"):find("%((%a+)%)") == 5 and ("f(a(b)c)d"):match("%b()") == "(a(b)c)")
assert(("THE (quick) fox"):gsub("%f[%a]%a+", "X", 1) == "X (quick) fox")
assert(string.format("%5d|%-5s|%05.1f|%x|%q|%%|%s", 42, "ab", 3.14159, 255, 'a"b', nil) == '   42|ab   |003.1|ff|"a\\"b"|%|nil')
assert(string.format("%g %g", 0.1, 1e20) == "0.1 1e+20" and string.format("%c%c", 65, 66) == "AB" and string.format("%.2s", "abc") == "ab")
assert(("\200é"):upper() == "\200é" and ("aZ"):lower() == "az" and ("abc"):reverse() == "cba" and ("ab"):rep(3) == "ababab" and ("x"):rep(-1) == "")
assert(#string.char(1, 255) == 2 and ("abc"):sub(-2) == "bc" and ("abc"):byte(1) == 97 and ("abc"):len() == 3)
assert(table.concat({1, "b", 3}, ",") == "1,b,3" and table.concat({}) == "" and table.concat({1, 2, 3}, "-", 2, 3) == "2-3")
assert("a" .. 1 .. "b" == "a1b" and 1 .. 2 == "12" and 1.5 .. "" == "1.5")
local mt = setmetatable({}, {__concat = function(a, b) return "meta" end})
assert(mt .. "x" == "meta" and "x" .. mt == "meta" and "a" .. "b" .. mt == "ameta")
local function two() return "p", "q" end
assert("x" .. two() == "xp" and two() .. "x" == "px")
local function va(...) return "x" .. ... end assert(va("1", "2") == "x1")
for _, bad in ipairs{"[a", "%", "(a", "%b", "%f", "%1"} do assert(not pcall(string.find, "a", bad), bad) end
assert(not pcall(string.format, "%d", "x") and not pcall(string.format, "%y", 1) and not pcall(string.format, "%999d", 1))`)
}

func TestXlog(t *testing.T) {
	_, logs := request(t, wrap(`
xlog("L_INFO", "call $rm to $ru rc=$var(rc) $hdr(X-Foo)/$(hdr(X-Foo)[1])/$(hdr(X-Foo)[-1]) $avp(x) $$5 100% $(ru{s.len}) $(ru{s.select,1,:}) $dlg_val(k)\n", {rc = 5})
xlog("plain $hdr(None)")
msg.dlg_val.k = "v"
xlog("L_WARN", "k=$dlg_val(k) o=$rb")`))
	for _, want := range []string{
		"3 call INVITE to sip:bob@example.com rc=5 one/two/two <null> $5 100% 19 bob@example.com <null> map[at:main.lua:4 generation:1]",
		"2 plain <null> map[at:main.lua:5", "1 k=v o=v=0",
	} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in\n%s", want, logs)
		}
	}
}

func TestLog(t *testing.T) {
	_, logs := request(t, wrap(`
log.info("text", {n = 1, s = "x", t = {a = 1}})
log.debug("d") log.warn("w") log.error("e")
print("p", 1)
pcall(function() log.info("inner")
end)`))
	for _, want := range []string{"3 text map[at:main.lua:4 generation:1 n:1 s:x t:{\"a\":1}]", "4 d", "1 w", "-1 e", "3 p\t1", "3 inner map[at:main.lua:7"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in\n%s", want, logs)
		}
	}
}
