package luabind_test

import (
	"fmt"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/luabind"
)

// stockFind is gopher-lua's own string.find.
func stockFind(s, pattern string) (out string, err error) {
	L := lua.NewState()
	defer L.Close()
	find := L.GetField(L.GetGlobal("string"), "find")
	if err := L.CallByParam(lua.P{Fn: find, NRet: lua.MultRet, Protect: true}, lua.LString(s), lua.LString(pattern)); err != nil {
		return "", err
	}
	if L.GetTop() < 2 {
		return "", nil
	}
	out = fmt.Sprintf("%s-%s", L.Get(1), L.Get(2))
	for i := 3; i <= L.GetTop(); i++ {
		if n, ok := L.Get(i).(lua.LNumber); ok {
			out += fmt.Sprintf(" @%s", n)
		} else {
			out += fmt.Sprintf(" %q", L.Get(i).String())
		}
	}
	return out, nil
}

// comparable tells whether gopher-lua is right about a pattern: it differs
// from Lua 5.1 in %f, in %b and back references, in - and % inside sets, in
// position captures, in repeated captures and in bytes above 127.
func comparable(pattern string) bool {
	for i := range len(pattern) {
		if pattern[i] < ' ' || pattern[i] > '~' {
			return false
		}
	}
	if pattern == "" || strings.Contains(pattern, "()") || strings.ContainsAny(pattern, "[]") && !strings.Contains(pattern, "[a-z]") {
		return false
	}
	if strings.Count(pattern, "[") != strings.Count(pattern, "[a-z]") || strings.Count(pattern, "]") != strings.Count(pattern, "[a-z]") {
		return false
	}
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '%':
			if i++; i == len(pattern) || !strings.ContainsRune("acdlpsuwxACDLPSUWX.%", rune(pattern[i])) {
				return false
			}
		case ')', '(', '^', '$':
			// quantifiers behind these, and anchors elsewhere, are read differently
			if i+1 < len(pattern) && strings.IndexByte("*+-?", pattern[i+1]) >= 0 {
				return false
			}
			if pattern[i] == '^' && i > 0 || pattern[i] == '$' && i+1 < len(pattern) {
				return false
			}
		case '*', '+', '-', '?':
			if i == 0 || i+1 < len(pattern) && strings.IndexByte("*+-?", pattern[i+1]) >= 0 {
				return false
			}
		}
	}
	return true
}

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"l+", "^(%w+)@(.-)$", "a-b", "[a-z]*x", "%d%d?", ".", "(a)(b)?", "x*", "%b()", "%f[%a]", "()", "[^%]]", "[%-]", "(a*)%1"} {
		f.Add("hello world (x) user@example.com 42", p)
	}
	f.Fuzz(func(t *testing.T, s, pattern string) {
		if len(s) > 64 || len(pattern) > 24 {
			return
		}
		got, err := luabind.Find(s, pattern)
		if !comparable(pattern) || err != nil {
			return
		}
		want, werr := stockFind(s, pattern)
		if werr != nil || strings.Count(pattern, "(") != strings.Count(want, `"`)/2 && want != "" {
			return
		}
		if got != want {
			t.Errorf("find(%q, %q) = %s, gopher-lua has %s", s, pattern, got, want)
		}
	})
}

// FuzzFormat holds that what has no dollar comes out as it went in, and that
// expanding never fails on what parses.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{"call from $ru", "$(ru{s.len})", "$$", "$", "$(", "$()", "$hdr(X)[1]", "$(hdr(X)[*])", "$var(x) 100%", "$(ru{s.select,1,:})", "$<request>ru", "$a.b.c"} {
		f.Add(s)
	}
	p, e := load(f, `
loadmodule "fake"
function route.main(msg) local ok, why = pcall(xlog, "L_INFO", msg.avp.f, {x = 1}) if not ok and not why:find("xlog: ", 1, true) then error(why) end end`)
	f.Fuzz(func(t *testing.T, s string) {
		literal, names, err := luabind.ParseFormat(s)
		if !strings.Contains(s, "$") && (literal != s || names != 0 || err != nil) {
			t.Errorf("%q became %q with %d names, %v", s, literal, names, err)
		}
		if strings.Contains(s, "fake") || strings.Contains(s, "crash") {
			return
		}
		c := ctx(t, e, api.RouteRequest)
		c.State.SetAVP("f", s)
		if v := p.Worker(0).Request(c); v != api.VerdictNone {
			t.Errorf("%q: %s", s, e.texts())
		}
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"t_relay", "t_rely", 1}, {"ab", "ba", 1}, {"", "abc", 3}, {"same", "same", 0}, {"kitten", "sitting", 3}, {"a", "xxxxxx", 4}} {
		if got := luabind.Distance(c.a, c.b, 3); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// The matcher against answers of Lua 5.1 where gopher-lua's are no measure.
func TestFindByHand(t *testing.T) {
	for _, c := range []struct{ s, p, want string }{
		{"f(a(b)c)d", "%b()", "2-8"}, {"THE fox", "%f[%a]%a+", `1-3`}, {"abab", "(ab)%1", `1-4 "ab"`},
		{"a]b", "[]]", "2-2"}, {"a-b", "[a%-]+", "1-2"}, {"a^b", "[b^]", "2-2"}, {"x", "()x()", "1-1 @1 @2"},
		{"a.b", "%.", "2-2"}, {"a\x00b", "%z", "2-2"}, {"\xff", "[\x80-\xff]", "1-1"}, {"aXb", "%u", "2-2"},
		{"abc", "^b", ""}, {"abc", "c$", "3-3"}, {"a$c", "$c", "2-3"}, {"aaa", "a-$", "1-3"},
		{"key=v", "(%w+)=(%w*)", `1-5 "key" "v"`}, {"", "", "1-0"}, {"a-z", "[a-]+", "1-2"}, {"x", "[^x]", ""},
	} {
		got, err := luabind.Find(c.s, c.p)
		if err != nil || got != c.want {
			t.Errorf("find(%q, %q) = %q, %v; want %q", c.s, c.p, got, err, c.want)
		}
	}
}
