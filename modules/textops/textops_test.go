package textops_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/textops"
)

// message is a MESSAGE with that body and its Content-Length.
const message = `MESSAGE sip:bob@example.com;x=1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKm1
Max-Forwards: 70
From: "Alice A." <sip:alice@example.org>;tag=a-tag
To: <sip:bob@example.com>
Call-ID: m-1@192.0.2.10
CSeq: 1 MESSAGE
X-Note: open, Open, OPEN
Content-Type: text/plain
Content-Length: 29

first line
second
LINE ab
`

func run(t *testing.T, f string, args ...any) (*api.Ctx, bool, string) {
	t.Helper()
	c := mt.NewCtx(t, message, api.RouteRequest)
	r := mt.Call(t, c, textops.Module(), f, args...)
	if r.Err != nil {
		t.Fatalf("%s%q: %v", f, args, r.Err)
	}
	return c, r.OK, r.Name
}

func TestSearch(t *testing.T) {
	for _, tt := range []struct {
		f, re string
		want  bool
	}{
		{"search", "^x-note: +open", true}, {"search", "^note", false}, {"search", "^MESSAGE sip:", true}, {"search", "second", true},
		{"search_body", "^second", true}, {"search_body", "^line", true}, {"search_body", "X-Note", false}, {"search_body", "first.*second", false},
	} {
		if _, ok, _ := run(t, tt.f, tt.re); ok != tt.want {
			t.Errorf("%s(%q) is %v", tt.f, tt.re, ok)
		}
	}
}

func TestSearchSeesEdits(t *testing.T) {
	c := mt.NewCtx(t, message, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), textops.Module(), nil)
	if err := c.Msg.Set([]byte("X-Note"), []byte("changed")); err != nil {
		t.Fatal(err)
	}
	if r := m.Call(c, "search", "x-note: changed"); !r.OK {
		t.Errorf("%+v", r)
	}
}

// Each change shows on the wire, and Content-Length is right there.
func TestReplace(t *testing.T) {
	for _, tt := range []struct {
		f    string
		args []any
		want []string
	}{
		{"search_append", []any{"Open", "SIPS"}, []string{"X-Note: openSIPS, Open, OPEN\r\n", "Content-Length: 29\r\n"}},
		{"search_append_body", []any{"^second", "!"}, []string{"\r\nsecond!\r\n", "Content-Length: 30\r\n"}},
		{"replace", []any{"open", "shut"}, []string{"X-Note: shut, Open, OPEN\r\n"}},
		{"replace_all", []any{"open", "shut"}, []string{"X-Note: shut, shut, shut\r\n"}},
		{"replace_all", []any{"line", ""}, []string{"\r\n\r\nfirst \r\nsecond\r\n ab\r\n", "Content-Length: 21\r\n"}},
		{"replace_body", []any{"line", "row"}, []string{"first row\r\n", "LINE ab", "Content-Length: 28\r\n"}},
		{"replace_body_all", []any{"^.", "x"}, []string{"xirst line\r\nxecond\r\nxINE ab\r\n", "Content-Length: 29\r\n"}},
		{"replace_body_atonce", []any{"^.+$", "gone"}, []string{"\r\n\r\ngone", "Content-Length: 4\r\n"}},
		{"subst", []any{`/^(X-Note): (open), ([a-z, ]*)/\1: \3; \2/i`}, []string{"X-Note: Open, OPEN; open\r\n"}},
		{"subst", []any{`|open, |&|g`}, []string{"X-Note: &Open, OPEN\r\n"}},
		{"subst", []any{`/OPEN/\0\/\0/gi`}, []string{"X-Note: open/open, Open/Open, OPEN/OPEN\r\n"}},
		{"subst_body", []any{`/^([a-z])(.*)/<\1>\2/g`}, []string{"<f>irst line\r\n<s>econd\r\nLINE ab", "Content-Length: 33\r\n"}},
		{"subst_body", []any{`/first.*ab/x/s`}, []string{"\r\n\r\nx\r\n", "Content-Length: 3\r\n"}},
	} {
		c, ok, word := run(t, tt.f, tt.args...)
		if !ok {
			t.Errorf("%s%q: %s", tt.f, tt.args, word)
			continue
		}
		wire := mt.WireOf(c)
		for _, w := range tt.want {
			if !strings.Contains(wire, w) {
				t.Errorf("%s%q: no %q in\n%s", tt.f, tt.args, w, wire)
			}
		}
		if !strings.HasPrefix(wire, "MESSAGE sip:bob@example.com;x=1 SIP/2.0\r\n") {
			t.Errorf("%s%q changed the request line:\n%s", tt.f, tt.args, wire)
		}
		mt.Parse(t, wire)
	}
}

func TestFirstLineStays(t *testing.T) {
	c, ok, _ := run(t, "replace_all", "bob", "eve")
	if !ok || !strings.HasPrefix(mt.WireOf(c), "MESSAGE sip:bob@") || !strings.Contains(mt.WireOf(c), "To: <sip:eve@") {
		t.Errorf("%v\n%s", ok, mt.WireOf(c))
	}
}

func TestEditsSurvive(t *testing.T) {
	c := mt.NewCtx(t, message, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), textops.Module(), nil)
	if err := c.Msg.SetRequestURI([]byte("sip:carol@example.net")); err != nil {
		t.Fatal(err)
	}
	if err := c.Msg.Append([]byte("X-New"), []byte("alpha")); err != nil {
		t.Fatal(err)
	}
	if r := m.Call(c, "replace", "alpha", "beta"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if wire := mt.WireOf(c); !strings.HasPrefix(wire, "MESSAGE sip:carol@example.net SIP/2.0\r\n") || !strings.Contains(wire, "X-New: beta\r\n") {
		t.Errorf("lost edits:\n%s", wire)
	}
}

// What would leave no proper message is refused, and the message stays.
func TestBroken(t *testing.T) {
	for _, args := range [][]any{{"replace", "Call-ID", "Call ID"}, {"replace", "\n", ""}, {"replace", "CSeq: 1", "CSeq: x"}, {"replace_all", "Via", "Fro\x01m"},
		{"subst", `/^(X-Note): (.*)$/\2 \1/i`}} {
		c := mt.NewCtx(t, message, api.RouteRequest)
		before := mt.WireOf(c)
		if r := mt.Call(t, c, textops.Module(), args[0].(string), args[1:]...); r.OK || r.Name != "broken" {
			t.Errorf("%q: %+v", args, r)
		}
		if mt.WireOf(c) != before {
			t.Errorf("%q changed the message", args)
		}
	}
}

func TestNoMatch(t *testing.T) {
	for _, args := range [][]any{{"search_append", "zzz", "x"}, {"replace", "zzz", "x"}, {"replace_all", "zzz", "x"}, {"replace_body_all", "z*", "x"},
		{"subst", "/zzz/x/"}, {"subst_uri", "/zzz/x/"}, {"subst_user", "/zzz/x/"}, {"subst_body", "/zzz/x/"}} {
		if _, ok, word := run(t, args[0].(string), args[1:]...); ok || word != "no_match" {
			t.Errorf("%q: %v %s", args, ok, word)
		}
	}
	c := mt.NewCtx(t, strings.Replace(message[:strings.Index(message, "\n\n")+2], "29", "0", 1), api.RouteRequest)
	for _, f := range []string{"search_body", "replace_body"} {
		args := []any{".*", "x"}[:map[string]int{"search_body": 1, "replace_body": 2}[f]]
		if r := mt.Call(t, c, textops.Module(), f, args...); r.OK {
			t.Errorf("%s on no body: %+v", f, r)
		}
	}
}

func TestSubstURI(t *testing.T) {
	for _, tt := range []struct{ f, subst, want string }{
		{"subst_uri", `/^sip:([a-z]+)@(.*)$/sip:00\1@\2;orig=\1/i`, "sip:00bob@example.com;x=1;orig=bob"},
		{"subst_uri", `/bob@/@/`, "broken"},
		{"subst_uri", `/bob/b ob/`, "broken"},
		{"subst_user", `/^b/B/`, "sip:Bob@example.com;x=1"},
		{"subst_user", `/(.*)/+49\1/`, "sip:+49bob@example.com;x=1"},
		{"subst_user", `/.*//`, "sip:example.com;x=1"},
		{"subst_user", `/bob/b@x/`, "broken"},
	} {
		c, ok, word := run(t, tt.f, tt.subst)
		if tt.want == "broken" {
			if ok || word != "broken" || string(c.Msg.RequestURI()) != "sip:bob@example.com;x=1" {
				t.Errorf("%s(%s): %v %s, %s", tt.f, tt.subst, ok, word, c.Msg.RequestURI())
			}
			continue
		}
		if got := string(c.Msg.RequestURI()); !ok || got != tt.want {
			t.Errorf("%s(%s): %v, %s, want %s", tt.f, tt.subst, ok, got, tt.want)
		}
	}
}

func TestMisuse(t *testing.T) {
	c := mt.NewCtx(t, message, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), textops.Module(), nil)
	for _, s := range []string{"", "//x/", "/a/b", "/a", "/a/b/x", `\a\b\`, "/(/b/"} {
		for _, f := range []string{"subst", "subst_uri", "subst_user", "subst_body"} {
			if r := m.Call(c, f, s); r.Err == nil {
				t.Errorf("%s took %q", f, s)
			}
		}
	}
	for _, f := range []string{"search", "search_body"} {
		if r := m.Call(c, f, "("); r.Err == nil {
			t.Errorf("%s took a broken pattern", f)
		}
	}
}

func FuzzSubst(f *testing.F) {
	f.Add("/a/b/", "/open/x/g")
	f.Add(`|\(.*|\9|is`, "/^/y/")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := mt.NewCtx(t, message, api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), textops.Module(), nil)
		for _, s := range []string{a, b} {
			for _, fn := range []string{"subst", "subst_uri", "subst_user", "subst_body"} {
				m.Call(c, fn, s)
			}
		}
		mt.Parse(t, mt.WireOf(c))
	})
}

// Lines may come, go and change their names; the message received stays what
// it was.
func TestLines(t *testing.T) {
	const two = "X-Note: open, Open, OPEN\r\nX-More: 1\r\n"
	for _, tt := range []struct {
		f    string
		args []any
		want string // in the message
		not  string // not in it
	}{
		{"search_append", []any{"^X-Note:[^\r]*\r\n", "X-More: 1\r\n"}, two + "Content-Type: text/plain\r\n", ""},
		{"search_append", []any{"^X-Note:[^\r]*", "\r\nX-More: 1"}, two + "Content-Type: text/plain\r\n", ""},
		{"replace", []any{"^X-Note:[^\r]*\r\n", ""}, "CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n", "X-Note"},
		{"replace", []any{"^X-Note", "X-Other"}, "CSeq: 1 MESSAGE\r\nX-Other: open, Open, OPEN\r\nContent-Type", "X-Note"},
		{"replace", []any{"^Via:", "X-First: 1\r\nVia:"}, "SIP/2.0\r\nX-First: 1\r\nVia: ", ""},
		{"replace", []any{"^Call-ID:", "i:"}, "Call-ID: m-1@192.0.2.10\r\n", ""},
		{"replace", []any{"open, Open", "a,\r\n b"}, "X-Note: a,   b, OPEN\r\n", ""},
		{"replace_all", []any{"^(X-Note|Content-Type):", "X-Same:"}, "X-Same: open, Open, OPEN\r\nX-Same: text/plain\r\n", "Content-Type"},
	} {
		c, ok, word := run(t, tt.f, tt.args...)
		wire := mt.WireOf(c)
		if !ok || !strings.Contains(wire, tt.want) || tt.not != "" && strings.Contains(wire, tt.not) {
			t.Errorf("%s%q: %v %s in\n%s", tt.f, tt.args, ok, word, wire)
		}
		if got := string(c.Msg.Message().Raw()); got != mt.Wire(message) {
			t.Errorf("%s%q: the message received became\n%s", tt.f, tt.args, got)
		}
	}
}
