package all_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
	"github.com/luasips/luasips/modules/moduletest"
)

// huge is longer than any datagram.
const huge = 64 << 10

// hostile is what no sane script would give to a function or a field.
var hostile = []any{
	nil, "", "x", true, -1, 0, 1, 2147483648.0, 1e300, math.NaN(), math.Inf(1),
	"X-A: 1\r\nX-Evil: 1\r\n", "sip:a@b\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\x00b", "X-A: a\x00b\r\n",
	"\r\n\r\nINVITE", "text/plain\r\nX-Evil: 1", "a <sip:a@b>\r\nX-Evil: 1 sip:a@b", " ", ";", "%", "sip:", "sip:[::1", "sip:[2001:db8::1]:5060", "tel:+4930123", "<>", "\"", "\xff\xfe",
	"/(/x/", "/a*/\\9/g", "[[:alpha:]", "((((((((((", "*", "a|b", "m=", "audio[99999999999]/a=x", "%n%n%n", "From", "v",
	[]any{}, []any{"a", "b\r\n"}, map[string]any{"a": "b\r\n"}, moduletest.Handler("failure_route.x"),
}

// long are strings longer than any datagram.
var long = []any{
	strings.Repeat("a", huge), strings.Repeat("(", huge), strings.Repeat(";a=b", huge/4), strings.Repeat(",", huge),
	strings.Repeat("X-A: b\r\n", huge/8), "sip:" + strings.Repeat("a", huge) + "@b", strings.Repeat("*", huge),
	strings.Repeat("\"", huge), strings.Repeat("<sip:a@b>,", huge/10), strings.Repeat("%41", huge/3),
}

// scene is one kind of handler, the message it has and the values it is tried
// with.
type scene struct {
	kind   api.Route
	raw    string
	values []any
}

func scenes() []scene {
	const bare = "OPTIONS tel:+4930123;phone-context=+49 SIP/2.0\nVia: SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bKo1\n" +
		"f: <sip:[2001:db8::9]>;tag=1\nt: <tel:+4930123>\ni: o1\nCSeq: 1 OPTIONS\n\n"
	out := []scene{{api.RouteRequest, moduletest.Invite, append(long, hostile...)}, {api.RouteRequest, bare, hostile},
		{api.RouteReply, moduletest.OK, hostile}}
	for _, k := range []api.Route{api.RouteFailure, api.RouteBranch, api.RouteLocal, api.RouteError} {
		out = append(out, scene{k, moduletest.Invite, hostile})
	}
	for _, k := range []api.Route{api.RouteStartup, api.RouteTimer, api.RouteEvent, api.RouteLaunch} {
		out = append(out, scene{k, "", hostile})
	}
	return out
}

// rewrites are functions that change the message's text as the script says,
// header lines included.
var rewrites = []string{"search_append", "replace", "replace_all", "subst"}

// takesLines are functions whose argument is whole header lines.
var takesLines = []string{"append_hf", "insert_hf", "append_urihf", "append_to_reply", "t_add_hdrs", "t_add_cancel_reason", "add_body_part"}

// TestHostileArguments calls every function in every kind of handler with
// hostile arguments: nothing panics, and what would go out is a message that
// holds no header which a value smuggled in.
func TestHostileArguments(t *testing.T) {
	for _, m := range all.List() {
		for i := range m.Functions {
			f := &m.Functions[i]
			t.Run(m.Name+"."+f.Name, func(t *testing.T) {
				// Pauses and locks that nobody releases take no time here.
				synctest.Test(t, func(t *testing.T) { hostileFunction(t, m, f) })
			})
		}
	}
}

func hostileFunction(t *testing.T, m *modules.Module, f *modules.Function) {
	h := moduletest.NewHost(t)
	l := moduletest.Load(t, h, m, nil)
	for _, s := range scenes() {
		for _, args := range argumentSets(f, s.values) {
			h.Tx = nil
			c := h.Ctx(s.raw, s.kind)
			l.Call(c, f.Name, args...)
			checkOutgoing(t, c, f.Name, args)
		}
	}
}

// argumentSets are the argument lists to try: none, each argument hostile
// among plausible ones, all alike.
func argumentSets(f *modules.Function, values []any) [][]any {
	sets := [][]any{nil}
	for _, v := range values {
		alike := make([]any, len(f.Args))
		for i := range f.Args {
			alike[i] = v
			one := plausible(f)
			one[i] = v
			sets = append(sets, one)
		}
		sets = append(sets, alike)
	}
	return append(sets, plausible(f))
}

// plausible are arguments that the declaration takes.
func plausible(f *modules.Function) []any {
	out := make([]any, len(f.Args))
	for i, a := range f.Args {
		switch {
		case len(a.Words) > 0:
			out[i] = a.Words[0]
		case a.Kind == modules.KindNumber:
			out[i] = max(a.Min, 0)
		case a.Kind == modules.KindString && strings.Contains(a.Name, "subst"):
			out[i] = "/a/b/"
		case a.Kind == modules.KindString && slices.Contains(takesLines, f.Name):
			out[i] = "X-A: 1\r\n"
		case a.Kind == modules.KindString && (strings.Contains(a.Name, "uri") || a.Name == "from" || a.Name == "to"):
			out[i] = "sip:carol@192.0.2.7"
		case a.Kind == modules.KindString:
			out[i] = "a"
		case a.Kind == modules.KindBool:
			out[i] = true
		}
	}
	return out
}

// TestHostileFields reads and writes every field in every kind of handler.
func TestHostileFields(t *testing.T) {
	for _, m := range all.List() {
		for i := range m.Fields {
			f := &m.Fields[i]
			t.Run(m.Name+"."+f.Name, func(t *testing.T) { hostileField(t, m, f) })
		}
		for i := range m.Vars {
			v := &m.Vars[i]
			t.Run(m.Name+"."+v.Name, func(t *testing.T) { hostileVar(t, m, v) })
		}
	}
}

func hostileField(t *testing.T, m *modules.Module, f *modules.Field) {
	h := moduletest.NewHost(t)
	l := moduletest.Load(t, h, m, nil)
	for _, s := range scenes() {
		for _, v := range s.values {
			c := h.Ctx(s.raw, s.kind)
			touchField(l, c, f, v, append([]string{"a"}, f.Keys...))
			checkOutgoing(t, c, f.Name, []any{v})
		}
	}
}

func touchField(l *moduletest.Loaded, c *api.Ctx, f *modules.Field, v any, keys []string) {
	if f.Set != nil {
		l.Set(c, f.Name, v)
	}
	if f.Get != nil {
		l.Get(c, f.Name)
	}
	if f.SetKey != nil {
		for _, k := range keys {
			l.SetKey(c, f.Name, k, v)
		}
		l.SetKey(c, f.Name, v, v)
	}
	if f.GetKey != nil {
		for _, k := range keys {
			l.GetKey(c, f.Name, k)
		}
		l.GetKey(c, f.Name, v)
	}
}

func hostileVar(t *testing.T, m *modules.Module, d *modules.Var) {
	h := moduletest.NewHost(t)
	l := moduletest.Load(t, h, m, nil)
	for _, s := range scenes() {
		c := h.Ctx(s.raw, s.kind)
		for _, x := range s.values {
			v := moduletest.ValueOf(x)
			if d.Set != nil {
				d.Set(l.Inst, c, v)
			}
			if d.Get != nil {
				d.Get(l.Inst, c)
			}
			if d.SetKey != nil {
				d.SetKey(l.Inst, c, v, v)
			}
			if d.GetKey != nil {
				d.GetKey(l.Inst, c, v)
			}
		}
	}
}

// checkOutgoing looks at everything that could reach the wire.
func checkOutgoing(t *testing.T, c *api.Ctx, name string, args []any) {
	t.Helper()
	if c.Msg == nil {
		return
	}
	wire := c.Msg.Serialise(nil)
	lim := sip.Limits{MaxSize: 1 << 24, MaxHeaders: 1 << 16, MaxLine: 1 << 24, MaxBody: 1 << 24}
	m := &sip.Message{}
	if err := m.ParseDatagram(wire, &lim); err != nil {
		t.Fatalf("%s(%s) leaves no message: %v\n%.2000q", name, short(args), err, wire)
	}
	evil := m.Find([]byte("X-Evil")) != nil
	if evil && !slices.Contains(rewrites, name) && !slices.Contains(takesLines, name) {
		t.Fatalf("%s(%s) smuggles a header in:\n%.2000s", name, short(args), wire)
	}
	checkTarget(t, c, name, args)
	checkRequests(t, c, name, args)
	checkReplies(t, c, name, args)
}

func checkTarget(t *testing.T, c *api.Ctx, name string, args []any) {
	t.Helper()
	for _, x := range append([]api.Target{*c.Target}, c.Extra...) {
		if i := strings.IndexAny(x.URI+x.Duri+x.Path, "\r\n\x00 "); i >= 0 {
			t.Fatalf("%s(%s) leaves a target that breaks its line: %.200q", name, short(args), x.URI+x.Duri+x.Path)
		}
	}
}

// checkRequests looks at what a new request would be written from.
func checkRequests(t *testing.T, c *api.Ctx, name string, args []any) {
	t.Helper()
	for _, r := range moduletest.HostOf(c).Requests() {
		if line := r.Method + r.RURI + r.From + r.To + r.CType; strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%s(%s) makes a request of %.300q", name, short(args), line)
		}
	}
}

func checkReplies(t *testing.T, c *api.Ctx, name string, args []any) {
	t.Helper()
	h := moduletest.HostOf(c)
	all := h.Replies()
	if h.Tx != nil {
		all = append(all, h.Tx.Replies...)
	}
	for _, r := range all[max(0, len(all)-1):] {
		if strings.ContainsAny(r.Reason, "\r\n\x00") {
			t.Fatalf("%s(%s) answers with the reason %.200q", name, short(args), r.Reason)
		}
		if len(r.Options.Headers) > 0 && !bytes.HasSuffix(r.Options.Headers, []byte("\r\n")) {
			t.Fatalf("%s(%s) answers with the headers %.200q", name, short(args), r.Options.Headers)
		}
	}
}

// short is an argument list for a message.
func short(args []any) string {
	var out []string
	for _, a := range args {
		out = append(out, fmt.Sprintf("%.60q", fmt.Sprint(a)))
	}
	return strings.Join(out, ", ")
}
