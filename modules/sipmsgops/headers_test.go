package sipmsgops_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/signaling"
	"github.com/luasips/luasips/modules/sipmsgops"
)

func load(t *testing.T, raw string, kind api.Route) (*mt.Loaded, *api.Ctx) {
	t.Helper()
	c := mt.NewCtx(t, raw, kind)
	return mt.Load(t, mt.HostOf(c), sipmsgops.Module(), nil), c
}

// headers are the header lines on the wire, in order.
func headers(c *api.Ctx) []string {
	head, _, _ := strings.Cut(mt.WireOf(c), "\r\n\r\n")
	return strings.Split(head, "\r\n")[1:]
}

func TestAppendAndInsert(t *testing.T) {
	const a, b = "X-A: 1\r\n", "X-B: 2\r\nX-C: 3\r\n"
	for _, tt := range []struct {
		f    string
		args []any
		// what stands right before and behind the first line added
		before, line, behind string
	}{
		{"append_hf", []any{a}, "Content-Type: application/sdp", "X-A: 1", ""},
		{"append_hf", []any{b, "Call-ID"}, "Call-ID: call-1@192.0.2.10", "X-B: 2", "X-C: 3"},
		{"append_hf", []any{a, "i"}, "Call-ID: call-1@192.0.2.10", "X-A: 1", "CSeq: 4711 INVITE"},
		{"append_hf", []any{a, "X-None"}, "Content-Type: application/sdp", "X-A: 1", ""},
		{"insert_hf", []any{a}, "", "X-A: 1", "Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1;rport"},
		{"insert_hf", []any{b, "call-id"}, "To: <sip:bob@example.com>", "X-B: 2", "X-C: 3"},
		{"insert_hf", []any{a, "X-None"}, "", "X-A: 1", "Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1;rport"},
		{"append_urihf", []any{"CC-Diversion: <", ">\r\n"}, "Content-Type: application/sdp", "CC-Diversion: <sip:bob@example.com>", ""},
	} {
		m, c := load(t, mt.Invite, api.RouteRequest)
		if r := m.Call(c, tt.f, tt.args...); !r.OK {
			t.Errorf("%s%q: %+v", tt.f, tt.args, r)
			continue
		}
		lines := append(append([]string{""}, headers(c)...), "")
		i := slices.Index(lines, tt.line)
		if i < 0 || lines[i-1] != tt.before || lines[i+1] != tt.behind {
			t.Errorf("%s%q: in\n%s", tt.f, tt.args, strings.Join(lines, "\n"))
		}
	}
}

// What every message has stays, whatever a script asks for.
func TestMandatoryHeadersStay(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	for _, name := range []string{"Via", "v", "From", "f", "TO", "Call-ID", "i", "CSeq"} {
		if r := m.Call(c, "remove_hf", name); r.Err == nil {
			t.Errorf("%s was removed", name)
		}
	}
	for _, call := range [][2]string{{"remove_hf_glob", "*"}, {"remove_hf_re", "."}} {
		m, c := load(t, mt.Invite, api.RouteRequest)
		if r := m.Call(c, call[0], call[1]); !r.OK {
			t.Errorf("%s: %+v", call, r)
		}
		if got := headers(c); len(got) != 5 {
			t.Errorf("%s left %q", call, got)
		}
	}
}

// The options of what is no list are not written.
func TestNoListOfOptions(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	before := mt.WireOf(c)
	for _, name := range []string{"From", "i", "CSeq"} {
		for _, f := range []string{"list_hdr_add_option", "list_hdr_remove_option"} {
			if r := m.Call(c, f, name, "call-1@192.0.2.10"); r.Err == nil || mt.WireOf(c) != before {
				t.Errorf("%s(%q) was taken", f, name)
			}
		}
	}
}

// With a header to stand behind, append_hf takes the first of that name, and
// lines added later stand behind those added before.
func TestAppendBehindFirst(t *testing.T) {
	m, c := load(t, strings.Replace(mt.OK, "CSeq", "X-V: 1\nX-V: 2\nCSeq", 1), api.RouteReply)
	for _, line := range []string{"X-A: 1\r\n", "X-B: 2\r\n"} {
		if r := m.Call(c, "append_hf", line, "x-v"); !r.OK {
			t.Fatalf("%+v", r)
		}
	}
	if got := strings.Join(headers(c), "|"); !strings.Contains(got, "|X-V: 1|X-A: 1|X-B: 2|X-V: 2|CSeq") {
		t.Error(got)
	}
}

func TestRawLinesRefused(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	before := mt.WireOf(c)
	for _, line := range []string{"", "X-A: 1", "X-A: 1\n", "X-A 1\r\n", "X A: 1\r\n", "X-A: 1\r\n\r\nbody", "X-A: \x00\r\n", "Content-Length: 5\r\n"} {
		for _, f := range []string{"append_hf", "insert_hf", "append_to_reply"} {
			if r := m.Call(c, f, line); r.Err == nil {
				t.Errorf("%s took %q", f, line)
			}
		}
	}
	if r := m.Call(c, "append_urihf", "X: ", ""); r.Err == nil {
		t.Error("append_urihf took a line without end")
	}
	if mt.WireOf(c) != before || len(c.State.ReplyHeaders) != 0 {
		t.Error("something was changed")
	}
}

func TestRemove(t *testing.T) {
	raw := strings.Replace(mt.Invite, "User-Agent", "X-A: 1\nx-a: 2\nX-Bill-Rate: 3\nX-Bill-Plan: 4\nSubject: s\nUser-Agent", 1)
	for _, tt := range []struct {
		f, arg string
		gone   []string
	}{
		{"remove_hf", "X-A", []string{"X-A: 1", "x-a: 2"}},
		{"remove_hf", "s", []string{"Subject: s"}},
		{"remove_hf", "X-None", nil},
		{"remove_hf_re", "^X-b", []string{"X-Bill-Rate: 3", "X-Bill-Plan: 4"}},
		{"remove_hf_re", "^none", nil},
		{"remove_hf_glob", "x-bill*", []string{"X-Bill-Rate: 3", "X-Bill-Plan: 4"}},
		{"remove_hf_glob", "X-?", []string{"X-A: 1", "x-a: 2"}},
		{"remove_hf_glob", "X-[!A]*", []string{"X-Bill-Rate: 3", "X-Bill-Plan: 4"}},
		{"remove_hf_glob", "*-plan", []string{"X-Bill-Plan: 4"}},
		{"remove_hf_glob", "X-", nil},
	} {
		m, c := load(t, raw, api.RouteRequest)
		var want []string
		for _, l := range headers(c) {
			if !slices.Contains(tt.gone, l) {
				want = append(want, l)
			}
		}
		if r := m.Call(c, tt.f, tt.arg); r.Err != nil || r.OK != (tt.gone != nil) {
			t.Errorf("%s(%s): %+v", tt.f, tt.arg, r)
		}
		if got := headers(c); !slices.Equal(got, want) {
			t.Errorf("%s(%s) leaves\n%s", tt.f, tt.arg, strings.Join(got, "\n"))
		}
	}
}

func TestGlobIsLinear(t *testing.T) {
	m, c := load(t, strings.Replace(mt.Invite, "User-Agent", strings.Repeat("a", 4000)+": 1\nUser-Agent", 1), api.RouteRequest)
	if r := m.Call(c, "remove_hf_glob", strings.Repeat("*a", 500)+"b"); r.OK {
		t.Errorf("%+v", r)
	}
}

func TestIsPresent(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteReply)
	for name, want := range map[string]bool{"From": true, "f": true, "USER-AGENT": true, "X-None": false, "Subject": false} {
		if r := m.Call(c, "is_present_hf", name); r.OK != want {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestGlobValues(t *testing.T) {
	m, c := load(t, strings.Replace(mt.Invite, "User-Agent", "X-A: 1\nX-b: 2\nUser-Agent", 1), api.RouteRequest)
	r := m.Call(c, "get_glob_headers_values", "x-*")
	got, _ := mt.GoOf(r.Out).(map[string]any)
	if !r.OK || !slices.Equal(got["names"].([]any), []any{"X-A", "X-b"}) || !slices.Equal(got["vals"].([]any), []any{"1", "2"}) {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "get_glob_headers_values", "y-*"); r.OK || !r.HasOut || !r.Out.IsNil() {
		t.Errorf("%+v", r)
	}
}

func TestReplyHeaders(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	m.Call(c, "append_to_reply", "X-A: 1\r\n")
	m.Call(c, "append_time")
	m.Call(c, "append_to_reply", "X-B: 2\r\nX-C: 3\r\n")
	want := "X-A: 1\r\nDate: Mon, 02 Mar 2026 10:20:30 GMT\r\nX-B: 2\r\nX-C: 3\r\n"
	if got := string(c.State.ReplyHeaders); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	m.Call(c, "append_body_to_reply", "hello")
	signaling.Send(c, 200, "", nil)
	if got := m.Host.Replies(); len(got) != 1 || string(got[0].Options.Body) != "hello" {
		t.Errorf("%+v", got)
	}
}

func TestListOptions(t *testing.T) {
	raw := strings.Replace(mt.Invite, "User-Agent", "Supported: 100rel,\n timer\nk: path, 100REL\nRequire: 100rel\nUser-Agent", 1)
	m, c := load(t, raw, api.RouteRequest)
	has := func(name, option string, want bool) {
		t.Helper()
		if r := m.Call(c, "list_hdr_has_option", name, option); r.OK != want {
			t.Errorf("%s in %s: %+v", option, name, r)
		}
	}
	has("Supported", "Path", true)
	has("k", "timer", true)
	has("Supported", "gruu", false)
	has("X-None", "x", false)
	if r := m.Call(c, "list_hdr_add_option", "Supported", "gruu"); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "list_hdr_add_option", "X-None", "gruu"); r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "list_hdr_remove_option", "Supported", "100rel"); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "list_hdr_remove_option", "Require", "100rel"); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "list_hdr_remove_option", "Require", "100rel"); r.OK {
		t.Errorf("twice: %+v", r)
	}
	lines := headers(c)
	if !slices.Contains(lines, "Supported: timer, gruu") || !slices.Contains(lines, "k: path") || strings.Contains(strings.Join(lines, "\n"), "Require") {
		t.Errorf("left\n%s", strings.Join(lines, "\n"))
	}
	if r := m.Call(c, "list_hdr_add_option", "Require", "path"); !r.OK || !slices.Contains(headers(c), "Require: path") {
		t.Errorf("a list that was emptied: %+v\n%s", r, mt.WireOf(c))
	}
	for _, o := range []string{"", "a,b", "a\r\nX: y"} {
		if r := m.Call(c, "list_hdr_add_option", "Supported", o); r.Err == nil {
			t.Errorf("%q was taken", o)
		}
	}
}
