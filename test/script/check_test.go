package script_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

// What check says of a script that loads, before it runs.
func TestCheckFindings(t *testing.T) {
	const request = "function route.main(msg) "
	for _, tt := range []struct {
		name, script string
		severity     luabind.Severity
		want         string // "" for nothing
	}{
		{"nothing", request + `if msg.rp == 5060 and msg.rU then return tm.t_relay() end end`, 0, ""},
		{"blocking in an onreply route", `function onreply_route.main(msg) cfgutils.sleep(1) end`, luabind.SeverityWarning, "cfgutils.sleep may wait"},
		{"blocking elsewhere", request + `cfgutils.sleep(1) end`, 0, ""},
		{"a function in a wrong route", `function branch_route.b(msg) tm.t_relay() end`, luabind.SeverityWarning, "tm.t_relay cannot be called in branch routes"},
		{"through a route that it calls", `function branch_route.b(msg) return route.sub(msg) end function route.sub(msg) tm.t_relay() end`, luabind.SeverityWarning, "tm.t_relay cannot be called in branch routes"},
		{"a number and a string", request + `return msg.rp == "5060" end`, luabind.SeverityWarning, "msg.rp is a number and never equals"},
		{"a number as a condition", request + `if msg.rp then return end end`, luabind.SeverityWarning, "msg.rp is a number"},
		{"a pseudo-variable in a string", request + `signaling.send_reply(200, "to $ru") end`, luabind.SeverityWarning, `"$ru" is not expanded here`},
		{"in xlog", request + `xlog("to $ru") end`, 0, ""},
		{"a format that is not constant", request + `xlog("to " .. msg.ru) end`, luabind.SeverityWarning, "the format is not constant"},
		{"a variable of one worker", `local n = 0 timer_route("t", 5, function(msg) n = n + 1 end)`, luabind.SeverityWarning, `"n" is written in a timer route`},
		{"a table of one worker", `local list = {} timer_route("t", 5, function(msg) list.x = 1 end)`, luabind.SeverityWarning, `"list" is written in a timer route`},
		{"a table in a table", `local list = {a = {}} function startup_route.main(msg) list.a[#list.a + 1] = 1 end`, luabind.SeverityWarning, `"list" is written in a startup route`},
		{"a global table of one worker", `list = {} function event_route.E_X(msg, ev) table.insert(list, ev) end`, luabind.SeverityWarning, `"list" is written in an event route`},
		{"a table of the timer's own", request + `end timer_route("t", 5, function(msg) local list = {} list.x = 1 table.insert(list, 2) msg.avp.x = 1 shared:set("x", list) end)`, 0, ""},
		{"a helper from a wrong route", `local function help(msg) tm.t_relay() end function branch_route.b(msg) help(msg) end`, luabind.SeverityWarning, "tm.t_relay cannot be called in branch routes"},
		{"a helper of a helper", `function one(msg) two(msg) end function two(msg) cfgutils.sleep(1) end function onreply_route.r(msg) pcall(function() one(msg) end) end`, luabind.SeverityWarning, "cfgutils.sleep may wait"},
		{"a helper from a right route", `local function help(msg) tm.t_relay() end ` + request + `help(msg) end`, 0, ""},
		{"blocking launched in an onreply route", request + `end function onreply_route.r(msg) launch(function() cfgutils.sleep(1) end) end`, 0, ""},
		{"in a launched function", request + `launch(function() tm.t_relay() end) end`, luabind.SeverityWarning, "tm.t_relay cannot be called in launch routes"},
		{"in an armed function", request + `tm.t_on_branch(function(m) m.hdr.X = "1" tm.t_relay() end) end`, luabind.SeverityWarning, "tm.t_relay cannot be called in branch routes"},
		{"the message of an armed function", request + `tm.t_on_reply(function(m) return m.nothing_there end) end`, luabind.SeverityError, `msg has no field "nothing_there"`},
		{"a string and a number", request + `return msg.rU == 100 end`, luabind.SeverityWarning, "msg.rU is a string and never equals the number 100"},
		{"a result and a number", request + `return tm.t_check_trans() == -1 end`, luabind.SeverityWarning, "tm.t_check_trans gives true or false, never the number -1"},
		{"an output and a number", request + `return tr.s.len(msg.ru) == 3 and cfgutils.rand_get_prob() > 5 and tr.uri.port(msg.ru) == 5 end`, 0, ""},
		{"msg as an argument", request + `return tm.t_relay(msg) end`, luabind.SeverityError, "tm.t_relay acts on the handler's message by itself: leave msg out"},
		{"a colon", request + `return tm:t_relay() end`, luabind.SeverityError, "tm.t_relay is called with a dot: tm.t_relay(...)"},
		{"a setting without meaning", `config { tcp_workers = 4 }`, luabind.SeverityNote, "config tcp_workers is taken without effect"},
		{"an undefined global", request + `t_relay() end`, luabind.SeverityWarning, `undefined global "t_relay"; here it is tm.t_relay`},
		{"a global that comes later", request + `helper(msg) end function helper(msg) end`, 0, ""},
		{"a new global", request + `answer = 42 end`, luabind.SeverityWarning, `a handler cannot make the global "answer"`},
		{"a global that is there", `answer = 0 ` + request + `answer = 42 end`, 0, ""},
		{"a name that re does not have", request + `return re.mach("a", "b") end`, luabind.SeverityError, `re has no function "mach"; did you mean re.match?`},
		{"a name that shared does not have", request + `return shared:gett("a") end`, luabind.SeverityError, `shared has no function "gett"; did you mean shared.get?`},
		{"a variable named like a library", request + `local json = {} json.x = 1 return json.x end`, 0, ""},
		{"an indexed field that is called", request + `return msg.hdr("X-Foo") end`, luabind.SeverityError, `msg.hdr is a field, not a function: read msg.hdr["NAME"]`},
		{"a field that is called", request + `return msg:ru() end`, luabind.SeverityError, "msg.ru is a field, not a function: read msg.ru"},
		{"a method without its colon", request + `return msg.headers("Via") end`, luabind.SeverityError, "msg.headers is a method, which is called with a colon: msg:headers(...)"},
		{"a method that msg does not have", request + `return msg:header("Via") end`, luabind.SeverityError, `msg has no method "header"; did you mean headers?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			findings := findingsOf(t, tt.script)
			var all []string
			found := tt.want == "" && len(findings) == 0
			for _, f := range findings {
				all = append(all, f.Severity.String()+": "+f.String())
				found = found || tt.want != "" && f.Severity == tt.severity && f.Line == 2 && strings.Contains(f.Text, tt.want)
			}
			if !found {
				t.Errorf("want %q, got\n%s", tt.want, strings.Join(all, "\n"))
			}
		})
	}
}

// findingsOf is what check says of a script behind the prelude.
func findingsOf(t *testing.T, script string) []luabind.Finding {
	t.Helper()
	p, err := luabind.Load(luabind.Options{Path: "main.lua", Modules: all.List(), Workers: 1, CheckOnly: true,
		FS: fstest.MapFS{"main.lua": &fstest.MapFile{Data: []byte(prelude + script)}}})
	var le *luabind.Error
	switch {
	case errors.As(err, &le):
		return le.Findings
	case err != nil:
		t.Fatal(err)
	}
	defer p.Abort()
	return p.Findings()
}
