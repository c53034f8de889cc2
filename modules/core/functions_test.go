package core_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/moduletest"
)

func mustYes(t *testing.T, r modules.Ret) {
	t.Helper()
	if r.Err != nil || !r.OK {
		t.Fatalf("not true: %q %q, error %v", r.Name, r.Text, r.Err)
	}
}

func TestURIFunctions(t *testing.T) {
	for _, r := range []struct {
		fn   string
		arg  any
		want string
	}{
		{"prefix", "00", "sip:00bob@example.com"},
		{"strip", 1, "sip:ob@example.com"},
		{"strip", 9, "sip:example.com"},
		{"strip_tail", 1, "sip:bo@example.com"},
		{"strip_tail", 9, "sip:example.com"},
		{"setuser", "c@d", "sip:c%40d@example.com"},
		{"setuser", "", "sip:example.com"},
		{"setuserpass", "pw", "sip:bob:pw@example.com"},
		{"sethost", "192.0.2.1", "sip:bob@192.0.2.1"},
		{"sethostport", "[2001:db8::1]:5070", "sip:bob@[2001:db8::1]:5070"},
		{"sethostport", "h", "sip:bob@h"},
		{"setport", "5070", "sip:bob@example.com:5070"},
		{"seturi", "sip:x@y", "sip:x@y"},
		{"strip", -1, "!must be 0"},
		{"prefix", "a b", "!would break"},
		{"sethost", "a@b", "!not a host"},
		{"sethostport", "h:x", "!port must be"},
		{"setport", "x", "!not a number"},
		{"seturi", "x", "!no scheme"},
		{"setdsturi", "tel:1", "!not a sip or sips URI"},
	} {
		l := load(t)
		c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
		ret := l.Call(c, r.fn, r.arg)
		if msg, refused := strings.CutPrefix(r.want, "!"); refused {
			if ret.Err == nil || !strings.Contains(ret.Err.Error(), msg) {
				t.Errorf("%s(%v): error %v, want one with %q", r.fn, r.arg, ret.Err, msg)
			}
			continue
		}
		if got := l.Get(c, "ru").Str; ret.Err != nil || got != r.want {
			t.Errorf("%s(%v) made %q (%v), want %q", r.fn, r.arg, got, ret.Err, r.want)
		}
		mustYes(t, l.Call(c, "revert_uri"))
		if got := l.Get(c, "ru").Str; got != "sip:bob@example.com" {
			t.Errorf("revert_uri left %q", got)
		}
	}
}

func TestDestinationFunctions(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if r := l.Call(c, "isdsturiset"); r.OK || r.Name != "not_set" {
		t.Errorf("isdsturiset: %+v", r)
	}
	mustYes(t, l.Call(c, "setdsturi", "sip:192.0.2.1"))
	mustYes(t, l.Call(c, "isdsturiset"))
	mustYes(t, l.Call(c, "resetdsturi"))
	if c.Target.Duri != "" {
		t.Errorf("resetdsturi left %q", c.Target.Duri)
	}
}

func TestConstructURI(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	for _, r := range []struct {
		args []any
		want any
	}{
		{[]any{"sip", "vlad", "h", "5070", "lr"}, "sip:vlad@h:5070;lr"},
		{[]any{"sips", nil, "h"}, "sips:h"},
		{[]any{"sip", "a@b", "2001:db8::1", nil, "?X=1"}, "sip:a%40b@[2001:db8::1]?X=1"},
		{[]any{"tel", "+49"}, "tel:+49"},
		{[]any{"sip", "a", ""}, nil},
		{[]any{"sip", "a", "h", "x"}, nil},
		{[]any{"s p", "a", "h"}, nil},
		{[]any{"sip", "a", "h", "", "x y"}, nil},
		{[]any{"tel", "+49", "h"}, nil},
	} {
		ret := l.Call(c, "construct_uri", r.args...)
		if got := moduletest.GoOf(ret.Out); got != r.want || ret.Err != nil || ret.OK != (r.want != nil) {
			t.Errorf("construct_uri%q = %v (%s, %v), want %v", r.args, got, ret.Text, ret.Err, r.want)
		}
	}
}

func TestFlags(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	mustYes(t, l.Call(c, "append_msg_branch", "sip:x@y"))
	for _, f := range []struct {
		set, is, reset string
		idx            []any
	}{{"setflag", "isflagset", "resetflag", nil}, {"setbflag", "isbflagset", "resetbflag", nil}, {"setbflag", "isbflagset", "resetbflag", []any{1}}} {
		args := append([]any{"NAT"}, f.idx...)
		if l.Call(c, f.is, args...).OK {
			t.Errorf("%s%v before it is set", f.is, args)
		}
		mustYes(t, l.Call(c, f.set, args...))
		mustYes(t, l.Call(c, f.is, args...))
		mustYes(t, l.Call(c, f.reset, args...))
		if l.Call(c, f.is, args...).OK {
			t.Errorf("%s%v after it is reset", f.is, args)
		}
	}
	if r := l.Call(c, "setbflag", "NAT", 2); r.Err == nil || !strings.Contains(r.Err.Error(), "does not exist") {
		t.Errorf("branch 2: %+v", r)
	}
}

func uris(c *api.Ctx) string {
	s := string(c.Msg.RequestURI())
	for _, b := range c.Extra {
		s += " " + b.URI
	}
	return s
}

func TestBranches(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	c.Target.Duri = "sip:192.0.2.1"
	mustYes(t, l.Call(c, "seturi", "sip:a@h"))
	mustYes(t, l.Call(c, "append_msg_branch", "sip:b@h", 300))
	mustYes(t, l.Call(c, "append_msg_branch", "sip:c@h", nil, "inherite"))
	if b, d := c.Extra[0], c.Extra[1]; b.Q != 300 || b.Duri != "" || d.Q != -1 || d.Duri != "sip:192.0.2.1" {
		t.Errorf("branches %+v, %+v", b, d)
	}
	if got := l.Get(c, "ds").Str; got != "Contact: <sip:a@h>, <sip:b@h>;q=0.3, <sip:c@h>" {
		t.Errorf("ds = %q", got)
	}
	for _, step := range []struct {
		fn   string
		args []any
		want string
		name string
	}{
		{"swap_msg_branches", []any{0, 1}, "sip:a@h sip:c@h sip:b@h", ""},
		{"swap_msg_branches", []any{nil, 1}, "sip:b@h sip:c@h sip:a@h", ""},
		{"move_msg_branch", []any{0, nil, "keep"}, "sip:c@h sip:c@h sip:a@h", ""},
		{"move_msg_branch", []any{1, 0}, "sip:c@h sip:a@h", ""},
		{"move_msg_branch", []any{-1, 0}, "sip:c@h sip:c@h", ""},
		{"move_msg_branch", []any{0, 0}, "sip:c@h sip:c@h", ""},
		{"move_msg_branch", []any{5, 0}, "sip:c@h sip:c@h", "no_branch"},
		{"swap_msg_branches", []any{0, 5}, "sip:c@h sip:c@h", "no_branch"},
		{"remove_msg_branch", []any{1}, "sip:c@h sip:c@h", "no_branch"},
		{"remove_msg_branch", []any{0}, "sip:c@h", ""},
	} {
		r := l.Call(c, step.fn, step.args...)
		if r.Err != nil || r.OK != (step.name == "") || r.Name != step.name || uris(c) != step.want {
			t.Fatalf("%s%v: %+v, branches %q, want %q", step.fn, step.args, r, uris(c), step.want)
		}
	}
	if r := l.Call(c, "append_msg_branch", "sip:a b@h"); r.Err == nil {
		t.Error("a broken URI became a branch")
	}
	for _, q := range []struct {
		given any
		want  int
	}{{"0.5", 500}, {"1", 1000}, {"1.0", 1000}, {"0", 0}, {"0.333", 333}, {0.7, 700}, {1, 1000}, {700, 700}} {
		c.Extra = nil
		mustYes(t, l.Call(c, "append_msg_branch", "sip:q@h", q.given))
		if got := c.Extra[0].Q; got != q.want {
			t.Errorf("q %v became %d, want %d", q.given, got, q.want)
		}
	}
	for _, q := range []any{"1.1", "-0.1", "x", "0.1234", "0x1p-1", ".5", "NaN", 1001, 1.5, true} {
		if r := l.Call(c, "append_msg_branch", "sip:q@h", q); r.Err == nil {
			t.Errorf("q %v was taken", q)
		}
	}
	if c.Target.URI != "" {
		t.Errorf("Target.URI = %q; the message has it", c.Target.URI)
	}
}

func TestBranchesAreBounded(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	for range 1000 {
		mustYes(t, l.Call(c, "append_msg_branch", "sip:a@h"))
	}
	if r := l.Call(c, "append_msg_branch", "sip:a@h"); r.OK || r.Name != "too_many" {
		t.Errorf("the 1,001st: %+v", r)
	}
}

func TestSerialBranches(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if r := l.Call(c, "next_branches"); r.OK || r.Name != "none" {
		t.Errorf("nothing put aside: %+v", r)
	}
	fill := func() {
		c.Extra = nil
		mustYes(t, l.Call(c, "seturi", "sip:low@h"))
		c.Target.Q = 100
		mustYes(t, l.Call(c, "append_msg_branch", "sip:high1@h", 900))
		mustYes(t, l.Call(c, "append_msg_branch", "sip:high2@h", 900))
	}
	fill()
	mustYes(t, l.Call(c, "serialize_branches", 1))
	if uris(c) != "sip:low@h" {
		t.Errorf("serialize_branches left %q", uris(c))
	}
	if r := l.Call(c, "next_branches"); r.Code != 1 || r.Name != "more" || uris(c) != "sip:high1@h sip:high2@h" || c.Target.Q != 900 {
		t.Errorf("first: %+v, %q", r, uris(c))
	}
	c.Extra = nil
	if r := l.Call(c, "next_branches"); r.Code != 2 || r.Name != "last" || uris(c) != "sip:low@h" {
		t.Errorf("second: %+v, %q", r, uris(c))
	}
	fill()
	mustYes(t, l.Call(c, "serialize_branches", 0, 1))
	var order []string
	for l.Call(c, "next_branches").OK {
		order = append(order, uris(c))
	}
	if got := strings.Join(order, ", "); got != "sip:low@h, sip:high1@h, sip:high2@h" {
		t.Errorf("in order: %s", got)
	}
}

func TestNetworkFunctions(t *testing.T) {
	l := load(t)
	h := l.Host
	c := h.Ctx(moduletest.Invite, api.RouteRequest)
	for _, r := range []struct {
		args []any
		want bool
	}{{[]any{"example.org"}, true}, {[]any{"127.0.0.1", 5060}, true}, {[]any{"127.0.0.1", 9}, false}, {[]any{nil}, false}, {[]any{"else.example"}, false}} {
		if got := l.Call(c, "is_myself", r.args...); got.OK != r.want || got.Err != nil {
			t.Errorf("is_myself%v: %+v", r.args, got)
		}
	}
	mustYes(t, l.Call(c, "force_rport"))
	mustYes(t, l.Call(c, "add_local_rport"))
	if !c.State.AddRport || !c.State.AddLocalRport {
		t.Error("rport is not asked for")
	}
	*c.State = api.State{}
	mustYes(t, l.Call(c, "set_via_handling", "force-rport,add-local-rport"))
	if !c.State.AddRport || !c.State.AddLocalRport {
		t.Error("set_via_handling did not do both")
	}
	mustYes(t, l.Call(c, "set_advertised_address", "2001:db8::1"))
	mustYes(t, l.Call(c, "set_advertised_port", "5080"))
	if c.State.AdvHost != "[2001:db8::1]" || c.State.AdvPort != 5080 {
		t.Errorf("advertised %q %d", c.State.AdvHost, c.State.AdvPort)
	}
	for fn, arg := range map[string]string{"set_advertised_address": "a b", "set_advertised_port": "0", "force_send_socket": "", "tcp_close_conn": "nonsense", "set_via_handling": "reply-to-via"} {
		if r := l.Call(c, fn, arg); r.Err == nil {
			t.Errorf("%s(%q) did not raise", fn, arg)
		}
	}
	mustYes(t, l.Call(c, "force_send_socket", "main"))
	if c.Target.Socket != h.Socks[0] {
		t.Error("the socket is not forced")
	}
	mustYes(t, l.Call(c, "socket_belongs_to_bond", "udp:127.0.0.1:5060", "lan"))
	mustYes(t, l.Call(c, "socket_belongs_to_bond", "udp:127.0.0.1:5060", "bond:lan"))
	for _, args := range [][]any{{"udp:[::1]:5060", "lan"}, {"udp:127.0.0.1:5060", "wan"}, {"nope", "lan"}} {
		if r := l.Call(c, "socket_belongs_to_bond", args...); r.OK || r.Err != nil {
			t.Errorf("socket_belongs_to_bond%v: %+v", args, r)
		}
	}
}

func TestCloseConnection(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	l.Host.Flows = map[string]api.Flow{"192.0.2.9:5060": 7, "192.0.2.8:5060": 8}
	mustYes(t, l.Call(c, "tcp_close_conn", "tcp:192.0.2.9:5060"))
	mustYes(t, l.Call(c, "tcp_close_conn", "8"))
	if r := l.Call(c, "tcp_close_conn", "192.0.2.9:5060"); r.OK || r.Name != "no_connection" {
		t.Errorf("a closed one: %+v", r)
	}
	if got := l.Host.Closed(); !reflect.DeepEqual(got, []api.Flow{7, 8}) {
		t.Errorf("closed %v", got)
	}
}

func TestForward(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	for dest, want := range map[string]string{
		"":                        "sip:first@h",
		"10.0.0.10:5060":          "sip:10.0.0.10:5060",
		"tcp:example.com":         "sip:example.com;transport=tcp",
		"tls:[2001:db8::1]:5061":  "sip:[2001:db8::1]:5061;transport=tls",
		"2001:db8::1":             "sip:[2001:db8::1]",
		"sip:192.0.2.1;maddr=1":   "sip:192.0.2.1;maddr=1",
		"sips:gw.example:5061;lr": "sips:gw.example:5061;lr",
	} {
		c.Target.Duri = "sip:first@h"
		mustYes(t, l.Call(c, "forward", dest))
		f := l.Host.Forwards()
		if got := f[len(f)-1].Target.Duri; got != want || c.Target.Duri != "sip:first@h" {
			t.Errorf("forward(%q) went to %q, want %q", dest, got, want)
		}
	}
	for _, bad := range []string{"a b", "h:99999", "udp:"} {
		if r := l.Call(c, "forward", bad); r.Err == nil {
			t.Errorf("forward(%q) did not raise", bad)
		}
	}
	l.Host.SendErr = errors.New("no route")
	if r := l.Call(c, "forward"); r.OK || r.Name != "send_failed" || r.Text != "no route" {
		t.Errorf("failed: %+v", r)
	}
}

func TestCache(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	if r := l.Call(c, "cache_fetch", "local", "x"); r.OK || r.Name != "not_found" || !r.HasOut {
		t.Errorf("nothing kept: %+v", r)
	}
	mustYes(t, l.Call(c, "cache_store", "local", "x", "v", 10))
	mustYes(t, l.Call(c, "cache_store", "local", "y", "v"))
	if r := l.Call(c, "cache_fetch", "local", "x"); r.Out.Str != "v" {
		t.Errorf("fetched %+v", r)
	}
	if r := l.Call(c, "cache_add", "local", "x", 1, 0); r.OK || r.Name != "not_counted" {
		t.Errorf("a word was counted: %+v", r)
	}
	l.Host.Advance(10 * time.Second)
	if r := l.Call(c, "cache_fetch", "local", "x"); r.OK {
		t.Errorf("expired: %+v", r)
	}
	if r := l.Call(c, "cache_counter_fetch", "local", "y"); r.OK || r.Name != "not_counted" {
		t.Errorf("counter of a word: %+v", r)
	}
	mustYes(t, l.Call(c, "cache_remove", "local", "y"))
	if l.Call(c, "cache_fetch", "local", "y").OK {
		t.Error("removed and still there")
	}
	for i, want := range []float64{5, 10, 7} {
		fn, by := "cache_add", 5
		if i == 2 {
			fn, by = "cache_sub", 3
		}
		if r := l.Call(c, fn, "local", "n", by, 0); r.Out.Num != want {
			t.Errorf("step %d counted %v, want %v", i, r.Out.Num, want)
		}
	}
	if r := l.Call(c, "cache_counter_fetch", "local", "n"); r.Out.Num != 7 {
		t.Errorf("counter %+v", r)
	}
	l.Call(c, "cache_add", "local", "n", 0, 5)
	l.Host.Advance(5 * time.Second)
	if r := l.Call(c, "cache_add", "local", "n", 1, 0); r.Out.Num != 1 {
		t.Errorf("an expired counter went on at %v", r.Out.Num)
	}
	if r := l.Call(c, "cache_store", "redis", "x", "v"); r.Err == nil {
		t.Error("an unknown storage was taken")
	}
}

func TestCacheIsBounded(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	const half = 128 << 20
	value := strings.Repeat("v", half-1)
	mustYes(t, l.Call(c, "cache_store", "local", "a", value, 5))
	mustYes(t, l.Call(c, "cache_store", "local", "b", value))
	mustYes(t, l.Call(c, "cache_store", "local", "b", value))
	if r := l.Call(c, "cache_store", "local", "c", "v"); r.OK || r.Name != "full" {
		t.Errorf("over 256 MiB: %+v", r)
	}
	l.Host.Advance(5 * time.Second)
	mustYes(t, l.Call(c, "cache_store", "local", "c", "v"))
	for _, bad := range []any{-1, 1e300, 1 << 32} {
		if r := l.Call(c, "cache_store", "local", "c", "v", bad); r.Err == nil {
			t.Errorf("a life of %v was taken", bad)
		}
		if r := l.Call(c, "cache_add", "local", "n", 1e12); r.Err == nil {
			t.Error("a step of 1e12 was taken")
		}
	}
}

// TestCacheOutlivesReload prepares a second generation of one declaration.
func TestCacheOutlivesReload(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	mustYes(t, l.Call(c, "cache_store", "local", "x", "v"))
	next := moduletest.Load(t, l.Host, l.M, nil)
	if r := next.Call(c, "cache_fetch", "local", "x"); r.Out.Str != "v" {
		t.Errorf("after a reload: %+v", r)
	}
	other := load(t)
	if r := other.Call(other.Host.Ctx("", api.RouteTimer), "cache_fetch", "local", "x"); r.OK {
		t.Error("two programs share a cache")
	}
}

func TestScriptFunctions(t *testing.T) {
	l := load(t)
	h := l.Host
	h.Files = map[string]string{"list.txt": "a\nb\n"}
	c := h.Ctx("", api.RouteStartup)
	if r := l.Call(c, "get_timestamp"); !reflect.DeepEqual(moduletest.GoOf(r.Out), map[string]any{"sec": 1772446830.0, "usec": 0.0}) {
		t.Errorf("get_timestamp: %+v", r)
	}
	if r := l.Call(c, "read_file", "list.txt"); r.Out.Str != "a\nb\n" {
		t.Errorf("read_file: %+v", r)
	}
	if r := l.Call(c, "read_file", "none"); r.OK || r.Name != "not_read" {
		t.Errorf("a missing file: %+v", r)
	}
	if r := l.Call(h.Ctx("", api.RouteRequest), "read_file", "list.txt"); r.Err == nil {
		t.Error("read_file worked in a request route")
	}
	if r := l.Call(c, "hdr", "X-Foo", "bar"); r.Out.Str != "X-Foo: bar\r\n" {
		t.Errorf("hdr: %+v", r)
	}
	for _, bad := range [][]any{{"X Foo", "b"}, {"X", "a\r\nB: c"}, {"X", "a\x00"}, {"", "b"}} {
		if r := l.Call(c, "hdr", bad...); r.Err == nil {
			t.Errorf("hdr%q did not raise", bad)
		}
	}
	if r := l.Call(c, "refused", "M12", "cache_raw_query(...)"); r.Err == nil || r.Err.Error() != "M12: not converted: cache_raw_query(...)" {
		t.Errorf("refused: %v", r.Err)
	}
	c.State.SetAVP("x", "new", 1.0)
	mustYes(t, l.Call(c, "avp_print"))
	if logs := h.Logs(); len(logs) != 1 || logs[0].Level != api.LevelDebug || logs[0].Fields[1].Value != "[new 1]" {
		t.Errorf("avp_print logged %+v", logs)
	}
}

func TestAssert(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	mustYes(t, l.Call(c, "assert", false, "off"))
	l.Host.Set = map[string]any{"enable_asserts": true}
	mustYes(t, l.Call(c, "assert", 1))
	if r := l.Call(c, "assert", nil, "no way"); r.Err == nil || r.Err.Error() != "assertion failed: no way" {
		t.Errorf("assert: %v", r.Err)
	}
	if r := l.Call(c, "assert", false); r.Err == nil || !strings.Contains(r.Err.Error(), "does not hold") {
		t.Errorf("assert without text: %v", r.Err)
	}
}

func TestRaiseEvent(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx("", api.RouteTimer)
	mustYes(t, l.Call(c, "raise_event", "E_A"))
	mustYes(t, l.Call(c, "raise_event", "E_B", map[string]any{"k": 1, "l": []any{"x", true}, "m": map[string]any{"n": "o"}}))
	mustYes(t, l.Call(c, "raise_event", "E_C", []any{"p1", "p2"}, []any{1, "2"}))
	mustYes(t, l.Call(c, "raise_event", "E_D", nil, []any{1, "2"}))
	mustYes(t, l.Call(c, "raise_event", "E_E", "p", "v"))
	want := []map[string]any{{}, {"k": 1.0, "l": []any{"x", true}, "m": map[string]any{"n": "o"}},
		{"p1": 1.0, "p2": "2"}, {"1": 1.0, "2": "2"}, {"p": "v"}}
	for i, e := range l.Host.Events() {
		if !reflect.DeepEqual(e.Params, want[i]) {
			t.Errorf("%s raised with %v, want %v", e.Name, e.Params, want[i])
		}
	}
	if r := l.Call(c, "raise_event", "E", []any{"a"}, []any{1, 2}); r.Err == nil {
		t.Error("one name took two values")
	}
	if r := l.Call(c, "raise_event", ""); r.Err == nil {
		t.Error("an event without name was raised")
	}
}

// TestWithoutRequest calls each function where there is no message: each
// answers or raises, none panics.
func TestWithoutRequest(t *testing.T) {
	l := load(t)
	for _, raw := range []string{"", moduletest.OK} {
		c := l.Host.Ctx(raw, api.RouteRequest)
		c.Target = nil
		for _, f := range l.M.Functions {
			var args []any
			for _, a := range f.Args {
				switch a.Kind {
				case modules.KindNumber:
					args = append(args, 0)
				case modules.KindString:
					s := "sip:a@h"
					if len(a.Words) > 0 {
						s = a.Words[0]
					}
					args = append(args, s)
				default:
					args = append(args, nil)
				}
			}
			l.Call(c, f.Name, args...)
		}
	}
}
