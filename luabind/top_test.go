package luabind_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules"
)

func TestTopLevel(t *testing.T) {
	e := newEnv(t)
	p, err := luabind.Load(options(e, map[string]string{
		"main.lua": `
config { log_level = 4, script_cpu_ms = 70, server_signature = "no", tcp_keepalive = 1, log_levels = {tm = "debug"}, udp_workers = 4 }
socket "udp:127.0.0.1:5060"
socket("tcp:[::1]:5060", { tag = "edge", as = "example.com:5070", tos = 8, proxy_protocol = true, reuse_port = 2 })
bond("out", { "udp:127.0.0.1:5060", "edge" }, { strict = true })
alias "udp:example.com:5060"
local fake = loadmodule("fake", { timeout = 5, enabled = "yes", sets = {"a", "b"}, on_done = "done", format = function(msg) return msg.ru end })
modparam("fake", "sets", "c")
assert(require "fake" == fake and loadmodule "fake" == fake)
local util = require "lib.util"
assert(require "lib.util" == util and require("lib/other").n == 7)
assert(util.list[1] == "one")
assert(fake.echo("x") == "x")
function route.main(msg) assert(fake.timeout() == 5 and fake.sets() == "a+b+c") assert(util.read) end
route["my-name"] = function(msg) end
function route.done(msg) end
timer_route("tick", 60, function(msg) end)`,
		"lib/util.lua":       "local m = {list = {}, read = true} for l in core.read_file('data/list.txt'):gmatch('%a+') do m.list[#m.list + 1] = l end return m",
		"lib/other/init.lua": "return {n = 7}",
		"data/list.txt":      "one\ntwo\n",
	}, fakeModules()))
	if err != nil {
		t.Fatal(err)
	}
	defer e.wg.Wait()
	defer p.Release()
	defer p.Shutdown()
	if want := map[string]any{"log_level": "debug", "script_cpu_ms": 70.0, "server_signature": false, "tcp_keepalive": true,
		"log_levels": map[string]any{"tm": "debug"}}; !reflect.DeepEqual(p.Settings(), want) {
		t.Errorf("settings %v", p.Settings())
	}
	want := []luabind.SocketDecl{{Listen: "udp:127.0.0.1:5060", Where: "main.lua:3"},
		{Listen: "tcp:[::1]:5060", Tag: "edge", As: "example.com:5070", TOS: 8, ReusePort: 2, ProxyProtocol: "both", Where: "main.lua:4"}}
	if !reflect.DeepEqual(p.Sockets(), want) {
		t.Errorf("sockets %+v", p.Sockets())
	}
	if b := p.Bonds(); len(b) != 1 || !b[0].Strict || len(b[0].Members) != 2 {
		t.Errorf("bonds %+v", b)
	}
	if a := p.Aliases(); len(a) != 1 || a[0].Name != "udp:example.com:5060" {
		t.Errorf("aliases %+v", a)
	}
	if ti := p.Timers(); len(ti) != 1 || ti[0].Name != "tick" || ti[0].Seconds != 60 || ti[0].Handler.Name() != "timer_route.tick" {
		t.Errorf("timers %+v", ti)
	}
	if f := p.Findings(); len(f) != 1 || f[0].Severity != luabind.SeverityNote || !strings.Contains(f[0].Text, "udp_workers is taken without effect") {
		t.Errorf("findings %v", f)
	}
	if got := strings.Join(p.Modules(), " "); got != "core tr fake" {
		t.Errorf("modules %s", got)
	}
	for w := range 2 {
		if p.Worker(w).Request(ctx(t, e, api.RouteRequest)) != api.VerdictNone {
			t.Error(e.texts())
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for script, want := range map[string]string{
		"config { log_levle = 'info' }":                                   `main.lua:1:10: config has no name "log_levle"; did you mean log_level?`,
		"config { script_cpu_ms = 'x' }":                                  "config script_cpu_ms must be a whole number",
		"config { script_cpu_ms = 0 }":                                    "must be from 1 to 60000 milliseconds, got 0",
		"config { log_level = 'loud' }":                                   "must be a log level",
		"socket 'udx:1.2.3.4'":                                            "must be \"proto:host[:port]\"",
		"socket('udp:1.2.3.4:5060', {tga = 'x'})":                         `socket has no option "tga"; did you mean tag?`,
		"bond('x', {})":                                                   "has no members",
		"local x = loadmodule 'fakee'":                                    `there is no module "fakee"; did you mean fake?`,
		"loadmodule('fake', {timeuot = 1})":                               `module fake has no parameter "timeuot"; did you mean timeout?`,
		"loadmodule('fake', {timeout = 'x'})":                             "parameter timeout must be a number",
		"loadmodule('fake', {timeout = 101})":                             "must be from 1 to 100, got 101",
		"loadmodule('fake', {enabled = 'maybe'})":                         "must be yes or no",
		"loadmodule('fake', {on_done = 'gone'})":                          "names route.gone, which the script does not have",
		"modparam('fake', 'timeout', 1)":                                  "is not loaded yet",
		"loadmodule 'needy'":                                              `module needy needs module fake: loadmodule "fake" before it`,
		"local x = require 'fake'":                                        `loadmodule "fake" before require`,
		"local x = require 'nofile'":                                      `require "nofile"`,
		"local x = require '../etc'":                                      "not below the script's folder",
		"local x = require 'tr'":                                          "",
		"function failure_route.a(m) end function failure_route.a(m) end": "failure_route.a was declared at main.lua:1 already",
		"route.x = 5":                                                     "route.x must be a function, got a number",
		"function local_route.other(msg) end":                             `local_route has one route, local_route.main; "other" is not it`,
		"core = 5":                                                        `"core" cannot be assigned`,
		"function route(msg) end":                                         `"route" cannot be assigned: it is a route table`,
		"timer_route('x', 0, function() end)":                             "seconds must be a whole number from 1",
		"if x then\n  y()\n":                                              `"end" is missing for the "if" of line 1`,
		"function route.a(msg)\n  if true then\n    print(1)\nend\nfunction route.b(msg)\nend": `"end" is missing for the "if" of line 2`,
		"local x = = 5":                          "main.lua:1:11: syntax error near '='",
		"local x = \"abc\nlocal y = 1":           `main.lua:1:11: the string has no end in this line: " is missing`,
		"local x = 'abc":                         `main.lua:1:11: the string has no end: ' is missing`,
		"local x = [==[abc\n]]":                  `main.lua:1:11: a string or comment in long brackets has no end: ]==] is missing`,
		"print":                                  "main.lua:1:1: the file ends too early",
		"function route.main(msg)\n  print\nend": "an expression alone is no statement, near 'end': a call needs (...), an assignment =",
		"if 1 != 2 then end":                     "main.lua:1:6: Invalid token near '!'; Lua writes ~= for !=",
		"if not core && true then end":           "Lua writes and for &&",
		"local x = 1 x += 1":                     "Lua writes x = x + y",
		"// note":                                "a comment begins with --",
		"$ru = 'x'":                              "a pseudo-variable is a field of the message, as msg.ru for $ru",
		"function route.main(msg)\nif (1 == 2) {\nreturn\n}": "the block of line 2 begins with then or do in Lua, and ends with end",
		`local x = "a\+b"`: `main.lua:1:13: unknown escape \+ in a string`,
		`local x = 'a\d'`:  `unknown escape \d`,
		`local x = "\300"`: `escape \300 is more than a byte holds`,
		"function route.main(msg) re.match(msg.rb, '(a') end":                                 "not POSIX extended",
		"local f = loadmodule 'fake' function route.main(msg) f.match('a{') f.match('[') end": "f.match",
		"local f = loadmodule 'fake' function route.main(msg) f.arm('nope') end":              `fake.arm: argument 1 "route" names failure_route.nope`,
		"local f = loadmodule 'fake' function route.main(msg) f.arm(failure_route.nope) end":  "the script has no failure_route.nope",
		"local f = loadmodule 'fake' function route.main(msg) f.mode('fats') end":             "did you mean fast?",
		"local f = loadmodule 'fake' function route.main(msg) f.reply() end":                  "fake.reply takes 1 to 2 arguments, got 0",
		"function route.main(msg) return msg.ru end":                                          `msg has no field "ru": it comes with loadmodule "fake"`,
		"function route.main(msg) xlog('L_LOUD', 'x') end":                                    `unknown level "L_LOUD"`,
		"function route.main(msg) xlog('x $(ru') end":                                         "has no closing )",
		"local f = loadmodule 'fake' f.yes()":                                                 "fake.yes cannot be called at the top level",
		"exit()":                                                                              "exit() belongs in a handler",
		"while true do end":                                                                   "CPU budget",
		"error('stop')":                                                                       "main.lua:1:1: stop",
		"if math.random() > 0 then socket('udp:127.0.0.1:' .. math.random(1, 60000)) end":     "declares different sockets each time",
	} {
		if want == "" {
			continue
		}
		if script == "while true do end" && testing.Short() {
			continue
		}
		want = strings.Replace(want, "f.match", "fake.match", 1)
		if err := loadError(t, map[string]string{"main.lua": script}); !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nwant %q, got\n%v", script, want, err)
		}
	}
}

// Loading tells all it finds, in the order of lines, with a caret.
func TestAllFindings(t *testing.T) {
	err := loadError(t, map[string]string{"main.lua": `config { wrong_one = 1, log_level = "info" }
local fake = loadmodule("fake", { nope = 1 })
socket("udp:127.0.0.1:5060", { nope = 1 })
`})
	if len(err.Findings) != 3 || err.Line != 1 || err.Column == 0 {
		t.Errorf("%d findings:\n%v\n%v", len(err.Findings), err, err.Findings)
	}
	if !strings.Contains(err.Error(), "\n             ^") || !strings.Contains(err.Error(), "(and 2 more)") {
		t.Errorf("%v", err)
	}
}

func TestCheckOnly(t *testing.T) {
	opened := false
	mods := append(fakeModules(), &modules.Module{Name: "outside", Open: func(modules.ProcessHost) (modules.Process, error) {
		opened = true
		return nil, nil
	}})
	o := options(nil, map[string]string{"main.lua": `
local fake, outside = loadmodule "fake", loadmodule "outside"
local counter = 0
function route.main(msg)
  if msg.ml == "5" then return end
  if msg.ml then return end
  if not msg.ml then return end
  local s = "call from $ru"
  local price = "5$ and $x"
  route.sub(msg)
end
function route.sub(msg) fake.arm(failure_route.f) end
function route.only(msg) fake.reply(200) end
function failure_route.f(msg) end
function onreply_route.r(msg) fake.reply(200) fake.wait() route.only(msg) end
timer_route("t", 5, function(msg) counter = counter + 1 end)
function startup_route.main(msg) counter = 1 local x = 1 x = 2 end
function route.log(msg) xlog("x" .. msg.ru) xlog("L_INFO", "$nothing") xlog("$ru") end
`}, mods)
	o.Env, o.CheckOnly = nil, true
	p, err := luabind.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Abort()
	if opened {
		t.Error("a process part was opened")
	}
	var got []string
	for _, f := range p.Findings() {
		got = append(got, f.String())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		`main.lua:5:10: msg.ml is a number and never equals the string "5"`,
		"main.lua:6:10: msg.ml is a number, and every number is true",
		"main.lua:7:14: msg.ml is a number, and every number is true",
		`main.lua:8:24: "$ru" is not expanded here`,
		"main.lua:13:31: fake.reply cannot be called in onreply routes",
		"main.lua:15:36: fake.reply cannot be called in onreply routes; it works in request and failure routes",
		"main.lua:15:52: fake.wait may wait",
		`main.lua:16:35: "counter" is written in a timer route, which runs in one worker`,
		`main.lua:17:34: "counter" is written in a startup route`,
		"main.lua:18:25: xlog: the format is not constant",
		"main.lua:18:25: xlog: nothing is known as $nothing",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q", want)
		}
	}
	if len(got) != 11 || t.Failed() {
		t.Errorf("%d findings:\n%s", len(got), all)
	}
}

// Files are read below the script's folder only, links included.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "secret.txt")
	inside := filepath.Join(dir, "script")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{outside: "secret", filepath.Join(inside, "list.txt"): "list",
		filepath.Join(inside, "main.lua"): `
assert(core.read_file("list.txt") == "list")
for _, bad in ipairs{"../secret.txt", "link.txt", "/etc/passwd", "x/../../secret.txt", "none.txt", "."} do
  local s, why = core.read_file(bad)
  assert(s == nil and why, bad)
end
function route.main(msg) end`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(inside, "link.txt")); err != nil {
		t.Fatal(err)
	}
	p, err := luabind.Load(luabind.Options{Path: filepath.Join(inside, "main.lua"), Modules: fakeModules(), Workers: 1, CheckOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	p.Abort()
	if _, err := luabind.Load(luabind.Options{Path: filepath.Join(dir, "none.lua"), CheckOnly: true}); err == nil || !strings.Contains(err.Error(), "cannot read the script") {
		t.Errorf("missing script: %v", err)
	}
}

// life records what happens to a module's parts.
type life struct {
	events *[]string
	name   string
}

func (l life) note(what string) { *l.events = append(*l.events, l.name+" "+what) }
func (l life) Commit()          { l.note("commit") }
func (l life) Abort()           { l.note("abort") }
func (l life) Release()         { l.note("release") }
func (l life) Close()           { l.note("close") }
func (l life) Prepare(modules.GenerationHost, modules.Params) (modules.Config, error) {
	l.note("prepare")
	return l, nil
}

func TestModuleLife(t *testing.T) {
	var events []string
	mods := append(fakeModules(), &modules.Module{Name: "db", Open: func(modules.ProcessHost) (modules.Process, error) {
		l := life{&events, "db"}
		l.note("open")
		return l, nil
	}}, &modules.Module{Name: "picky", Params: []modules.Param{{Name: "bad", Kind: modules.KindBool}},
		New: func(_ modules.GenerationHost, p modules.Params) (modules.Config, error) {
			if p.Bool("bad") {
				return nil, os.ErrInvalid
			}
			return life{&events, "picky"}, nil
		}})
	e := newEnv(t)
	script := "loadmodule 'db' socket 'udp:127.0.0.1:5060'\n"
	first, err := luabind.Load(options(e, map[string]string{"main.lua": script}, mods))
	if err != nil {
		t.Fatal(err)
	}
	first.Commit()
	o := options(e, map[string]string{"main.lua": script + "loadmodule('picky', {bad = true})"}, mods)
	o.Previous = first
	if _, err := luabind.Load(o); err == nil || !strings.Contains(err.Error(), "main.lua:2:1: module picky: invalid argument") {
		t.Errorf("refused with %v", err)
	}
	o = options(e, map[string]string{"main.lua": script + "loadmodule 'picky'"}, mods)
	o.Previous = first
	second, err := luabind.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.SameShape(first); err != nil {
		t.Error(err)
	}
	second.Commit()
	first.Release()
	o = options(e, map[string]string{"main.lua": "socket 'udp:127.0.0.1:5061'"}, mods)
	o.Previous = second
	third, err := luabind.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := third.SameShape(second); err == nil || !strings.Contains(err.Error(), "5061 differs from the running udp:127.0.0.1:5060") {
		t.Error(err)
	}
	third.Abort()
	second.Shutdown()
	second.Release()
	e.wg.Wait()
	want := "db open,db prepare,db commit,db prepare,db abort,db prepare,picky commit,db commit,db release,db close,db release,picky release"
	got := strings.Join(events, ",")
	if got != strings.Replace(want, "picky commit,db commit", "db commit,picky commit", 1) {
		t.Errorf("events\n%s\nwant\n%s", got, want)
	}
}

// TestLoadPanics: a module that panics while a script is loaded refuses that
// script; what the load has opened and prepared is ended, the last one first.
func TestLoadPanics(t *testing.T) {
	for name, script := range map[string]string{
		"in Open":    "loadmodule 'one' loadmodule 'two' loadmodule 'open'",
		"in Prepare": "loadmodule 'one' loadmodule 'two' loadmodule 'prepare'",
		"in New":     "loadmodule 'one' loadmodule 'two' loadmodule 'new'",
	} {
		t.Run(name, func(t *testing.T) {
			var events []string
			opens := func(name string) *modules.Module {
				return &modules.Module{Name: name, Open: func(modules.ProcessHost) (modules.Process, error) { return life{&events, name}, nil }}
			}
			mods := append(fakeModules(), opens("one"), opens("two"),
				&modules.Module{Name: "open", Open: func(modules.ProcessHost) (modules.Process, error) { panic("out of the blue") }},
				&modules.Module{Name: "prepare", Open: func(modules.ProcessHost) (modules.Process, error) { return panics{}, nil }},
				&modules.Module{Name: "new", New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { panic("out of the blue") }})
			e := newEnv(t)
			first, err := luabind.Load(options(e, map[string]string{"main.lua": "loadmodule 'one'"}, mods))
			if err != nil {
				t.Fatal(err)
			}
			first.Commit()
			gone := uint64(0)
			o := options(e, map[string]string{"main.lua": script}, mods)
			o.Previous, o.OnGone = first, func(id uint64) { gone = id }
			if _, err := luabind.Load(o); err == nil || !strings.Contains(err.Error(), "out of the blue") {
				t.Errorf("loaded with %v", err)
			}
			want := "one prepare,one commit,one prepare,two prepare,two abort,one abort,two close"
			if got := strings.Join(events, ","); got != want || gone != 2 {
				t.Errorf("events\n%s\nwant\n%s\ngeneration %d is gone", got, want, gone)
			}
			if n := first.Stats().Generations; n != 1 {
				t.Errorf("%d generations are counted, want 1", n)
			}
			first.Shutdown()
			first.Release()
		})
	}
}

// panics is a process part whose every configuration panics.
type panics struct{}

func (panics) Prepare(modules.GenerationHost, modules.Params) (modules.Config, error) {
	panic("out of the blue")
}
func (panics) Close() {}

// TestSameShape: what is bound at the start cannot change by a reload.
func TestSameShape(t *testing.T) {
	const base = "socket('udp:127.0.0.1:5060', {tag = 'a'}) alias 'udp:example.com:5060' bond('b', {'a'}) function route.main() end\n"
	e := newEnv(t)
	first, err := luabind.Load(options(e, map[string]string{"main.lua": base}, nil))
	if err != nil {
		t.Fatal(err)
	}
	first.Commit()
	for name, tt := range map[string]struct{ old, new, want string }{
		"nothing":       {"", "", ""},
		"a line":        {"function", "\nfunction", ""},
		"socket's port": {"'udp:127.0.0.1:5060'", "'udp:127.0.0.1:5061'", "main.lua:1: socket udp:127.0.0.1:5061 differs from the running udp:127.0.0.1:5060"},
		"new socket":    {"function", "socket 'tcp:127.0.0.1:5060' function", "main.lua:1: socket tcp:127.0.0.1:5060 is new"},
		"new alias":     {"function", "alias 'udp:example.net:5060' function", "main.lua:1: alias udp:example.net:5060 is new"},
		"no alias":      {"alias 'udp:example.com:5060'", "", "main.lua: alias udp:example.com:5060 is gone"},
		"other alias":   {"example.com", "example.org", "main.lua:1: alias udp:example.org:5060 differs from the running udp:example.com:5060"},
		"bond's socket": {"{'a'}", "{'udp:127.0.0.1:5060'}", "main.lua:1: bond b differs"},
		"no bond":       {"bond('b', {'a'})", "", "main.lua: bond b is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(e, map[string]string{"main.lua": strings.Replace(base, tt.old, tt.new, 1)}, nil)
			o.Previous = first
			p, err := luabind.Load(o)
			if err != nil {
				t.Fatal(err)
			}
			err = p.SameShape(first)
			p.Abort()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	first.Shutdown()
	first.Release()
}

func TestSettingsTable(t *testing.T) {
	table := luabind.SettingsTable()
	for i, s := range table {
		if s.Doc == "" || i > 0 && table[i-1].Name >= s.Name {
			t.Errorf("%s has no text, or stands out of order", s.Name)
		}
	}
	if len(table) < 100 {
		t.Errorf("%d settings", len(table))
	}
}
