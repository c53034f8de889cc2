package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)

// direct makes a Logger that writes at once, without a rate.
func direct(edit ...func(*logs.Options)) (*logs.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	o := logs.Options{Out: &out, Rate: -1, Now: func() time.Time { return noon }}
	for _, f := range edit {
		f(&o)
	}
	return logs.New(o), &out
}

// lines decodes every line of out, each of which must be one JSON object with
// no name twice.
func lines(t *testing.T, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, "\n") {
			t.Fatalf("line without end: %q", line)
		}
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, m)
	}
	return all
}

func TestRecord(t *testing.T) {
	l, out := direct()
	l.Write(logs.Record{
		Level: api.LevelNotice, Component: "tm", Msg: "callee is not here", CallID: "a@b", Method: "INVITE", Route: "main",
		Where: "main.lua:38", Generation: 7, Peer: netip.MustParseAddrPort("[2001:db8::1]:5060"), Stack: "one\ntwo",
		Fields: []api.Field{
			{Key: "aor", Value: "sip:x@y"}, {Key: "n", Value: 3.0}, {Key: "half", Value: 0.5}, {Key: "ok", Value: true}, {Key: "none", Value: nil},
			{Key: "err", Value: errors.New("no route")}, {Key: "took", Value: 1500 * time.Millisecond}, {Key: "i", Value: 42}, {Key: "u", Value: uint64(math.MaxUint64)},
			{Key: "nan", Value: math.NaN()}, {Key: "addr", Value: netip.MustParseAddr("192.0.2.1")}, {Key: "nilerr", Value: (*json.SyntaxError)(nil)},
		},
	})
	want := `{"time":"2026-11-22T12:00:00.123Z","level":"notice","msg":"callee is not here","component":"tm","call_id":"a@b","method":"INVITE",` +
		`"route":"main","where":"main.lua:38","generation":7,"peer":"[2001:db8::1]:5060","aor":"sip:x@y","n":3,"half":0.5,"ok":true,"none":null,` +
		`"err":"no route","took":"1.5s","i":42,"u":18446744073709551615,"nan":"NaN","addr":"192.0.2.1","nilerr":"<nil>","stack":"one\ntwo"}` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out, want)
	}
	out.Reset()
	l.Write(logs.Record{Level: api.LevelInfo, Msg: "bare"})
	if want := `{"time":"2026-11-22T12:00:00.123Z","level":"info","msg":"bare"}` + "\n"; out.String() != want {
		t.Errorf("got %swant %s", out, want)
	}
}

// evil is what a peer may put into a user part.
var evil = []string{
	"a\r\n{\"level\":\"alert\"}", "\x1b[2J\x1b[H", "tab\there", "nul\x00", "del\x7f", "csi\u009b2J", "line\u2028sep\u2029", "rtl\u202egnp.exe",
	"\"},{\"x\":\"", `back\slash`, "bad\xff\xfeutf8", "half\xe2\x82", "tag\U000e0041", "bom\ufeff", "emoji \U0001f4de ok",
}

// One event is one line, and nothing of a peer's reaches a terminal raw.
func TestInjection(t *testing.T) {
	for _, console := range []bool{false, true} {
		l, out := direct(func(o *logs.Options) { o.Console = console; o.Color = logs.ColorNever })
		for _, s := range evil {
			l.Write(logs.Record{
				Level: api.LevelInfo, Component: s, Msg: s, CallID: s, Method: s, Route: s, Where: s, Stack: s,
				Fields: []api.Field{{Key: s, Value: s}, {Key: "e", Value: errors.New(s)}, {Key: "b", Value: []byte(s)}},
			})
		}
		if n := strings.Count(out.String(), "\n"); n != len(evil) {
			t.Errorf("console %v: %d lines for %d events", console, n, len(evil))
		}
		for _, r := range out.String() {
			if (r < 0x20 && r != '\n') || (r >= 0x7f && r < 0xa0) || r == 0x2028 || r == 0x2029 || r == 0x202e || r == 0xfeff || r == 0xe0041 {
				t.Errorf("console %v: raw %U in the output", console, r)
			}
		}
		if !utf8.ValidString(out.String()) {
			t.Errorf("console %v: output is not UTF-8", console)
		}
		if console {
			continue
		}
		for i, m := range lines(t, out.String()) {
			if want := strings.ToValidUTF8(evil[i], "\uFFFD"); strings.ReplaceAll(m["msg"].(string), "\uFFFD\uFFFD", "\uFFFD") != want {
				t.Errorf("%q came back as %q", evil[i], m["msg"])
			}
		}
	}
}

func TestFieldCannotPassForRecord(t *testing.T) {
	l, out := direct()
	l.Write(logs.Record{Level: api.LevelInfo, Msg: "m", Fields: []api.Field{
		{Key: "level", Value: "alert"}, {Key: "call_id", Value: "x"}, {Key: "time", Value: "x"}, {Key: "", Value: "x"}, {Key: strings.Repeat("k", 999), Value: "x"},
	}})
	m := lines(t, out.String())[0]
	if m["level"] != "info" || m["level_"] != "alert" || m["call_id_"] != "x" || m["call_id"] != nil || m["_"] != "x" || m[strings.Repeat("k", 64)] != "x" {
		t.Errorf("got %v", m)
	}
}

func TestBounds(t *testing.T) {
	l, out := direct()
	user := strings.Repeat("u", 64<<10)
	l.Write(logs.Record{Level: api.LevelInfo, Msg: "m", CallID: user, Fields: []api.Field{{Key: "euro", Value: strings.Repeat("\u20ac", 2000)}}})
	m := lines(t, out.String())[0]
	if want := strings.Repeat("u", 4096) + "...[61440 bytes cut]"; m["call_id"] != want {
		t.Errorf("64 KiB Call-ID became %d bytes ending in %q", len(m["call_id"].(string)), m["call_id"].(string)[4090:])
	}
	if want := strings.Repeat("\u20ac", 1365) + "...[1905 bytes cut]"; m["euro"] != want {
		t.Errorf("cut within a character: %q", m["euro"].(string)[4080:])
	}
	out.Reset()
	fields := make([]api.Field, 100)
	for i := range fields {
		fields[i] = api.Field{Key: fmt.Sprint("f", i), Value: user}
	}
	l.Write(logs.Record{Level: api.LevelInfo, Msg: "m", Fields: fields})
	m = lines(t, out.String())[0]
	if out.Len() > 36<<10 || m["fields_cut"] != 36.0 || m["f63"] != "...[65536 bytes cut]" {
		t.Errorf("%d bytes, fields_cut %v, f63 %q", out.Len(), m["fields_cut"], m["f63"])
	}
}

func TestConsole(t *testing.T) {
	local := noon.Local().Format("15:04:05.000")
	rec := logs.Record{Level: api.LevelWarn, Component: "tm", Msg: "callee is not here", CallID: "a@b", Where: "main.lua:3", Generation: 2,
		Peer: netip.MustParseAddrPort("192.0.2.1:5060"), Fields: []api.Field{{Key: "why", Value: "gone away"}, {Key: "n", Value: 3.0}, {Key: "empty", Value: ""}, {Key: "nil"}}}
	l, out := direct(func(o *logs.Options) { o.Console = true })
	l.Write(rec)
	if want := local + ` WARN   tm: callee is not here  call_id=a@b where=main.lua:3 generation=2 peer=192.0.2.1:5060 why="gone away" n=3 empty="" nil=nil` + "\n"; out.String() != want {
		t.Errorf("got  %swant %s", out, want)
	}
	l, out = direct(func(o *logs.Options) { o.Console, o.Color = true, logs.ColorAlways })
	l.Write(logs.Record{Level: api.LevelError, Msg: "m", Fields: []api.Field{{Key: "k", Value: "v"}}})
	if want := local + " \x1b[31mERROR  \x1b[0mm  \x1b[2mk=\x1b[0mv\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestLevels(t *testing.T) {
	l, out := direct(func(o *logs.Options) {
		o.Level, o.Levels = api.LevelWarn, map[string]api.Level{"tm": api.LevelDebug, "rr": api.LevelAlert}
	})
	check := func(component string, level api.Level, want bool) {
		t.Helper()
		if got := l.Enabled(component, level); got != want {
			t.Errorf("%s at %s: %v, want %v", component, logs.LevelName(level), got, want)
		}
		out.Reset()
		l.Write(logs.Record{Level: level, Component: component, Msg: "m"})
		if got := out.Len() > 0; got != want {
			t.Errorf("%s at %s: written %v, want %v", component, logs.LevelName(level), got, want)
		}
	}
	check("tm", api.LevelDebug, true)
	check("rr", api.LevelCrit, false)
	check("rr", api.LevelAlert, true)
	check("other", api.LevelInfo, false)
	check("other", api.LevelWarn, true)
	l.SetLevel("", api.LevelError)
	l.SetLevel("sl", api.LevelInfo)
	check("other", api.LevelWarn, false)
	check("sl", api.LevelInfo, true)
	l.ResetLevel("tm")
	check("tm", api.LevelDebug, false)
	check("tm", api.LevelError, true)
	if got, want := fmt.Sprint(l.Levels()), "map[:-1 rr:-3 sl:3]"; got != want {
		t.Errorf("Levels: %s, want %s", got, want)
	}
	out.Reset()
	l.Write(logs.Record{Level: api.LevelDebug, Msg: "m", Force: true})
	if out.Len() == 0 {
		t.Error("a forced record was not written")
	}
}

func TestParseLevel(t *testing.T) {
	for s, want := range map[string]api.Level{
		"info": api.LevelInfo, "L_INFO": api.LevelInfo, "L_ERR": api.LevelError, "L_DBG": api.LevelDebug, "WARNING": api.LevelWarn, "warn": api.LevelWarn,
		"critical": api.LevelCrit, "alert": api.LevelAlert, "-3": api.LevelAlert, "4": api.LevelDebug, "notice": api.LevelNotice,
	} {
		if got, ok := logs.ParseLevel(s); !ok || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "0", "5", "-4", "300", "loud", "l_"} {
		if got, ok := logs.ParseLevel(s); ok {
			t.Errorf("%q: got %d, want none", s, got)
		}
	}
	for level, want := range map[api.Level]string{-9: "alert", 0: "warn", 9: "debug", api.LevelError: "error"} {
		if got := logs.LevelName(level); got != want {
			t.Errorf("%d: got %s, want %s", level, got, want)
		}
	}
}

func TestRateLimit(t *testing.T) {
	now := noon
	l, out := direct(func(o *logs.Options) { o.Rate = 0; o.Now = func() time.Time { return now } })
	write := func(where, msg string, times int) int {
		before := strings.Count(out.String(), "\n")
		for range times {
			l.Write(logs.Record{Level: api.LevelInfo, Component: "script", Msg: msg, Where: where})
		}
		return strings.Count(out.String(), "\n") - before
	}
	if n := write("a.lua:1", "m", 100); n != 20 {
		t.Errorf("100 at once: %d written, want the burst of 20", n)
	}
	if n := write("a.lua:2", "m", 5); n != 5 {
		t.Errorf("another line: %d written of 5", n)
	}
	if n := write("", "m", 25) + write("", "other", 25); n != 40 {
		t.Errorf("two messages without a place: %d written, want 20 each", n)
	}
	now = now.Add(100 * time.Millisecond)
	if n := write("a.lua:1", "changing "+now.String(), 10); n != 2 {
		t.Errorf("100 ms later: %d written, want 2", n)
	}
	all := lines(t, out.String())
	first, second := all[len(all)-2], all[len(all)-1]
	if first["dropped"] != 80.0 || second["dropped"] != nil {
		t.Errorf("dropped: %v, then %v, want 80, then none", first["dropped"], second["dropped"])
	}
	now = now.Add(time.Hour)
	if n := write("a.lua:1", "m", 100); n != 20 {
		t.Errorf("an hour later: %d written, want 20", n)
	}
	if got := l.Suppressed(); got != 80+10+8+80 {
		t.Errorf("Suppressed is %d, want 178", got)
	}
}

// What a line dropped is told even when it never logs again, or when others took
// its place in the table.
func TestDroppedIsTold(t *testing.T) {
	l, out := direct(func(o *logs.Options) { o.Rate = 1 })
	const flooded = 2000
	for i := range flooded {
		for range 3 {
			l.Write(logs.Record{Level: api.LevelInfo, Component: "script", Msg: "m", Where: fmt.Sprint("a.lua:", i)})
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	told := 0.0
	for _, m := range lines(t, out.String()) {
		if n, ok := m["dropped"].(float64); ok {
			told += n
		}
	}
	if told != 2*flooded || l.Suppressed() != 2*flooded {
		t.Errorf("%v of %d dropped records were told of", told, l.Suppressed())
	}
	size := out.Len()
	if err := l.Close(); err != nil || out.Len() != size {
		t.Errorf("closed again, it told it again (%v)", err)
	}
}

// Messages made of a peer's words are many; the limit takes no memory for them
// and still holds for a line that goes on.
func TestRateLimitManyLines(t *testing.T) {
	l, out := direct(func(o *logs.Options) { o.Rate = 1 })
	for i := range 20000 {
		l.Write(logs.Record{Level: api.LevelInfo, Msg: fmt.Sprint("peer ", i)})
	}
	if n := strings.Count(out.String(), "\n"); n != 20000 {
		t.Errorf("%d of 20,000 different messages written", n)
	}
}
