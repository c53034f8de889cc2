package sip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// small is a request whose header names are easy to follow through edits.
const small = "OPTIONS sip:b@h SIP/2.0\r\n" +
	"v: SIP/2.0/UDP h1;branch=z9hG4bK1\r\n" +
	"Via: SIP/2.0/UDP h2;branch=z9hG4bK2\r\n" +
	"From: <sip:a@h>;tag=1\r\n" +
	"To: <sip:b@h>\r\n" +
	"Call-ID: c\r\n" +
	"CSeq: 1 OPTIONS\r\n" +
	"X-A: one\r\n" +
	"x-a: two,\r\n three\r\n" +
	"l: 2\r\n" +
	"\r\nhi"

func draftOf(t testing.TB, msg string) *sip.Draft {
	t.Helper()
	d := new(sip.Draft)
	d.Init(mustParse(t, msg))
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func b(s string) []byte { return []byte(s) }

// draftRows are edits and the replacements they make in small, in order.
var draftRows = []struct {
	name string
	edit func(t *testing.T, d *sip.Draft)
	diff []string // old, new, old, new ...
}{
	{"nothing", func(t *testing.T, d *sip.Draft) {}, nil},
	{"ruri", func(t *testing.T, d *sip.Draft) { must(t, d.SetRequestURI(b("sip:x@y;lr"))) },
		[]string{"OPTIONS sip:b@h ", "OPTIONS sip:x@y;lr "}},
	{"set one", func(t *testing.T, d *sip.Draft) { must(t, d.Set(b("FROM"), b(" <sip:z@h> "))) },
		[]string{"From: <sip:a@h>;tag=1", "From: <sip:z@h>"}},
	{"set many", func(t *testing.T, d *sip.Draft) { must(t, d.Set(b("X-a"), b("new"))) },
		[]string{"X-A: one\r\nx-a: two,\r\n three\r\n", "X-A: new\r\n"}},
	{"set compact", func(t *testing.T, d *sip.Draft) { must(t, d.Set(b("Via"), b("SIP/2.0/UDP n"))) },
		[]string{"v: SIP/2.0/UDP h1;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP h2;branch=z9hG4bK2\r\n", "v: SIP/2.0/UDP n\r\n"}},
	{"set new", func(t *testing.T, d *sip.Draft) { must(t, d.Set(b("X-B"), b("v"))) },
		[]string{"l: 2\r\n", "l: 2\r\nX-B: v\r\n"}},
	{"remove", func(t *testing.T, d *sip.Draft) {
		if n := d.Remove(b("x-A")); n != 2 {
			t.Errorf("removed %d", n)
		}
		if n := d.Remove(b("x-A")); n != 0 {
			t.Errorf("removed %d again", n)
		}
	}, []string{"X-A: one\r\nx-a: two,\r\n three\r\n", ""}},
	{"remove id", func(t *testing.T, d *sip.Draft) {
		if d.RemoveID(sip.HdrVia) != 2 || d.RemoveID(sip.HdrOther) != 0 {
			t.Error("RemoveID counts wrong")
		}
	}, []string{"v: SIP/2.0/UDP h1;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP h2;branch=z9hG4bK2\r\n", ""}},
	{"append two", func(t *testing.T, d *sip.Draft) {
		must(t, d.Append(b("A"), b("1")))
		must(t, d.Append(b("B"), b("")))
	}, []string{"l: 2\r\n", "l: 2\r\nA: 1\r\nB: \r\n"}},
	{"prepend via twice", func(t *testing.T, d *sip.Draft) {
		must(t, d.Prepend(sip.HdrVia, b("one")))
		must(t, d.Prepend(sip.HdrVia, b("two")))
	}, []string{"v: SIP", "Via: two\r\nVia: one\r\nv: SIP"}},
	{"prepend new", func(t *testing.T, d *sip.Draft) {
		must(t, d.Prepend(sip.HdrRecordRoute, b("<sip:p;lr>")))
		must(t, d.Prepend(sip.HdrRecordRoute, b("<sip:q;lr>")))
	}, []string{"v: SIP", "Record-Route: <sip:q;lr>\r\nRecord-Route: <sip:p;lr>\r\nv: SIP"}},
	{"prepend before a later one", func(t *testing.T, d *sip.Draft) { must(t, d.Prepend(sip.HdrTo, b("x"))) },
		[]string{"To: ", "To: x\r\nTo: "}},
	{"insert after", func(t *testing.T, d *sip.Draft) {
		must(t, d.InsertAfter(b("via"), b("A"), b("1")))
		must(t, d.InsertAfter(b("via"), b("B"), b("2")))
		must(t, d.InsertAfter(b("A"), b("C"), b("3")))
	}, []string{"From: ", "A: 1\r\nC: 3\r\nB: 2\r\nFrom: "}},
	{"insert before", func(t *testing.T, d *sip.Draft) {
		must(t, d.InsertBefore(b("x-a"), b("A"), b("1")))
		must(t, d.InsertBefore(b("x-a"), b("B"), b("2")))
		must(t, d.InsertBefore(b("B"), b("C"), b("3")))
	}, []string{"X-A: ", "A: 1\r\nC: 3\r\nB: 2\r\nX-A: "}},
	{"insert at top", func(t *testing.T, d *sip.Draft) { must(t, d.InsertBefore(nil, b("A"), b("1"))) },
		[]string{"v: SIP", "A: 1\r\nv: SIP"}},
	{"raw lines", func(t *testing.T, d *sip.Draft) {
		must(t, d.AppendLines(b("A:1\r\nB  :  2 \r\n")))
		must(t, d.InsertLinesAfter(b("To"), b("C: 3\r\nD: 4\r\n")))
		must(t, d.InsertLinesBefore(nil, b("E: 5\r\nF: 6\r\n")))
		if string(d.Find(b("B"))) != "2" {
			t.Errorf("raw value %q", d.Find(b("B")))
		}
	}, []string{"l: 2\r\n", "l: 2\r\nA:1\r\nB  :  2 \r\n", "Call-ID", "C: 3\r\nD: 4\r\nCall-ID", "v: SIP", "E: 5\r\nF: 6\r\nv: SIP"}},
	{"set at", func(t *testing.T, d *sip.Draft) {
		p, _, ok := d.FindPos(b("x-a"))
		must(t, d.SetAt(p, b("1")))
		must(t, d.SetAt(p, b("uno")))
		if !ok {
			t.Error("not found")
		}
	}, []string{"X-A: one", "X-A: uno"}},
	{"edit an added line", func(t *testing.T, d *sip.Draft) {
		must(t, d.Append(b("A"), b("1")))
		p, _, _ := d.FindPos(b("a"))
		must(t, d.Append(b("B"), b("2")))
		must(t, d.SetAt(p, b("9")))
	}, []string{"l: 2\r\n", "l: 2\r\nA: 9\r\nB: 2\r\n"}},
	{"remove an added line", func(t *testing.T, d *sip.Draft) {
		must(t, d.Append(b("A"), b("1")))
		p, _, _ := d.FindPos(b("a"))
		d.RemoveAt(p)
		d.RemoveAt(p)
		if err := d.SetAt(p, b("x")); err != sip.ErrNoHeader {
			t.Errorf("SetAt of a removed line: %v", err)
		}
	}, nil},
	{"remove a changed line", func(t *testing.T, d *sip.Draft) {
		p, _, _ := d.FindID(sip.HdrTo)
		must(t, d.SetAt(p, b("x")))
		d.RemoveAt(p)
		if d.Has(sip.HdrTo) || d.First(sip.HdrTo) != nil {
			t.Error("To is still there")
		}
	}, []string{"To: <sip:b@h>\r\n", ""}},
	{"remove while walking", func(t *testing.T, d *sip.Draft) {
		must(t, d.InsertAfter(b("To"), b("X-A"), b("zero")))
		must(t, d.Append(b("X-A"), b("four")))
		if n := d.Remove(b("X-A")); n != 4 {
			t.Errorf("removed %d", n)
		}
	}, []string{"X-A: one\r\nx-a: two,\r\n three\r\n", ""}},
	{"body", func(t *testing.T, d *sip.Draft) { must(t, d.SetBody(b("text/plain"), b("hello"))) },
		[]string{"l: 2\r\n", "l: 5\r\nContent-Type: text/plain\r\n", "\r\n\r\nhi", "\r\n\r\nhello"}},
	{"body again, no type", func(t *testing.T, d *sip.Draft) {
		must(t, d.SetBody(b("text/plain"), b("hello")))
		must(t, d.SetBody(b(""), nil))
	}, []string{"l: 2\r\n", "l: 0\r\n", "\r\n\r\nhi", "\r\n\r\n"}},
	{"same body", func(t *testing.T, d *sip.Draft) { must(t, d.SetBody(nil, b("hi"))) }, nil},
	{"received", func(t *testing.T, d *sip.Draft) { must(t, d.SetReceived(netip.MustParseAddrPort("192.0.2.1:5"))) },
		[]string{"v: SIP/2.0/UDP h1;branch=z9hG4bK1", "v: SIP/2.0/UDP h1;branch=z9hG4bK1;received=192.0.2.1"}},
	{"length is there", func(t *testing.T, d *sip.Draft) { d.EnsureContentLength() }, nil},
	{"length removed and needed", func(t *testing.T, d *sip.Draft) {
		d.Remove(b("Content-Length"))
		d.EnsureContentLength()
	}, []string{"l: 2\r\n", "Content-Length: 2\r\n"}},
}

func TestDraftSerialise(t *testing.T) {
	for _, row := range draftRows {
		t.Run(row.name, func(t *testing.T) {
			want := small
			for i := 0; i < len(row.diff); i += 2 {
				if !strings.Contains(want, row.diff[i]) {
					t.Fatalf("no %q in the message", row.diff[i])
				}
				want = strings.Replace(want, row.diff[i], row.diff[i+1], 1)
			}
			d := draftOf(t, small)
			row.edit(t, d)
			got := d.Serialise(make([]byte, 0, d.SizeHint()))
			if string(got) != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			if len(got) > d.SizeHint() {
				t.Errorf("SizeHint %d for %d bytes", d.SizeHint(), len(got))
			}
			if string(d.Message().Raw()) != small {
				t.Error("the message itself changed")
			}
			checkReads(t, d, string(got))
			branch := new(sip.Draft)
			branch.CopyFrom(d)
			must(t, branch.Append(b("X-Branch"), b("1")))
			if string(d.Serialise(nil)) != want {
				t.Error("an edit of the copy shows in the original")
			}
		})
	}
}

// checkReads compares what the draft reads with what a parser reads of its bytes.
func checkReads(t *testing.T, d *sip.Draft, wire string) {
	t.Helper()
	lines := ""
	n := 0
	for p, h := range d.Headers() {
		lines += string(h.Line)
		n++
		if at, err := d.At(p); err != nil || string(at.Line) != string(h.Line) {
			t.Errorf("At(%d) = %q, %v; walking gives %q", p, at.Line, err, h.Line)
		}
	}
	head, _, _ := strings.Cut(wire, "\r\n\r\n")
	if _, want, _ := strings.Cut(head+"\r\n", "\r\n"); lines != want || n != d.Len() {
		t.Errorf("lines\n%swant\n%sLen %d of %d", lines, want, d.Len(), n)
	}
	m := new(sip.Message)
	if err := m.ParseDatagram([]byte(wire), nil); err != nil {
		return
	}
	for id := sip.HdrOther + 1; id.Name() != ""; id++ {
		if string(d.First(id)) != string(m.First(id)) || d.Has(id) != m.Has(id) {
			t.Errorf("%s: draft %q, wire %q", id.Name(), d.First(id), m.First(id))
		}
	}
	if string(d.Body()) != string(m.Body()) || string(d.RequestURI()) != string(m.RequestURI()) {
		t.Errorf("body %q URI %q", d.Body(), d.RequestURI())
	}
}

func TestDraftRefuses(t *testing.T) {
	d := draftOf(t, small)
	for name, row := range map[string]struct{ got, want error }{
		"CR in a value":       {d.Set(b("X"), b("a\rb")), sip.ErrHeaderBytes},
		"LF in a value":       {d.Append(b("X"), b("a\nb")), sip.ErrHeaderBytes},
		"NUL in a value":      {d.Prepend(sip.HdrVia, b("a\x00")), sip.ErrHeaderBytes},
		"SetAt":               {d.SetAt(0, b("\n")), sip.ErrHeaderBytes},
		"SetAt nowhere":       {d.SetAt(99, b("x")), sip.ErrNoHeader},
		"SetAt NoPos":         {d.SetAt(sip.NoPos, b("x")), sip.ErrNoHeader},
		"SetAt of the length": {d.SetAt(8, b("9")), sip.ErrContentLength},
		"colon in a name":     {d.Set(b("X:"), b("a")), sip.ErrHeaderName},
		"empty name":          {d.InsertAfter(b("To"), nil, b("a")), sip.ErrHeaderName},
		"no anchor":           {d.InsertAfter(b("X-None"), b("A"), b("b")), sip.ErrNoHeader},
		"no anchor before":    {d.InsertBefore(b("X-None"), b("A"), b("b")), sip.ErrNoHeader},
		"length":              {d.Set(b("l"), b("5")), sip.ErrContentLength},
		"length prepended":    {d.Prepend(sip.HdrContentLength, b("5")), sip.ErrContentLength},
		"prepend unknown":     {d.Prepend(sip.HdrOther, b("5")), sip.ErrHeaderName},
		"raw without CRLF":    {d.AppendLines(b("A: b")), sip.ErrHeaderLine},
		"raw with LF":         {d.AppendLines(b("A: b\n")), sip.ErrHeaderLine},
		"raw half":            {d.AppendLines(b("A: b\r\nB: c")), sip.ErrHeaderLine},
		"raw no colon":        {d.AppendLines(b("A b\r\n")), sip.ErrHeaderLine},
		"raw empty line":      {d.AppendLines(b("A: b\r\n\r\n")), sip.ErrHeaderLine},
		"raw fold":            {d.AppendLines(b("A: b\r\n c\r\n")), sip.ErrHeaderLine},
		"raw CR":              {d.AppendLines(b("A: b\rc\r\n")), sip.ErrHeaderBytes},
		"raw length":          {d.AppendLines(b("Content-Length : 5\r\n")), sip.ErrContentLength},
		"raw nothing":         {d.AppendLines(nil), sip.ErrHeaderLine},
		"raw after":           {d.InsertLinesAfter(b("To"), b("x")), sip.ErrHeaderLine},
		"raw before":          {d.InsertLinesBefore(b("To"), b("x")), sip.ErrHeaderLine},
		"raw no anchor":       {d.InsertLinesAfter(b("X-None"), b("A: b\r\n")), sip.ErrNoHeader},
		"type":                {d.SetBody(b("a\r\n"), nil), sip.ErrHeaderBytes},
		"URI with space":      {d.SetRequestURI(b("sip:a b")), sip.ErrRequestURI},
		"URI with CRLF":       {d.SetRequestURI(b("sip:a\r\nX: y")), sip.ErrRequestURI},
		"URI with NUL":        {d.SetRequestURI(b("sip:a\x00")), sip.ErrRequestURI},
		"URI without scheme":  {d.SetRequestURI(b("bob")), sip.ErrURIScheme},
		"URI with a bad port": {d.SetRequestURI(b("sip:a@b:99999")), sip.ErrURIPort},
		"URI empty":           {d.SetRequestURI(nil), sip.ErrRequestURI},
		"status of a request": {d.SetStatus(200, nil), sip.ErrStatus},
	} {
		if row.got != row.want {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
	if d.Edited() || string(d.Serialise(nil)) != small {
		t.Error("a refused edit changed the draft")
	}
}

func TestDraftResponse(t *testing.T) {
	const resp = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\r\n"
	d := draftOf(t, resp)
	must(t, d.SetStatus(503, nil))
	if d.StatusCode() != 503 || string(d.Reason()) != "Service Unavailable" || d.IsRequest() || d.Method() != sip.BYE {
		t.Errorf("%d %s", d.StatusCode(), d.Reason())
	}
	must(t, d.SetStatus(500, b("Oh no")))
	if got, want := string(d.Serialise(nil)), strings.Replace(resp, "200 OK", "500 Oh no", 1); got != want {
		t.Errorf("got\n%s", got)
	}
	if d.SetStatus(99, nil) != sip.ErrStatus || d.SetStatus(700, nil) != sip.ErrStatus ||
		d.SetStatus(200, b("a\r\n")) != sip.ErrHeaderBytes || d.SetRequestURI(b("sip:a")) != sip.ErrNotRequest {
		t.Error("bad status or URI taken")
	}
	if d.RequestURI() != nil {
		t.Error("a response has a Request-URI")
	}
}

func TestDraftViews(t *testing.T) {
	d := draftOf(t, small)
	v0 := d.Version()
	via, err := d.Via()
	if err != nil || string(via.Host) != "h1" {
		t.Fatalf("%s %v", via.Host, err)
	}
	must(t, d.Prepend(sip.HdrVia, b("SIP/2.0/UDP top;branch=z9hG4bK0")))
	must(t, d.Set(b("To"), b("<sip:b@h>;tag=t")))
	must(t, d.Set(b("f"), b("<sip:new@h>;tag=2")))
	must(t, d.Set(b("CSeq"), b("2 OPTIONS")))
	must(t, d.Set(b("Max-Forwards"), b("9")))
	must(t, d.Set(b("Expires"), b("30")))
	must(t, d.SetRequestURI(b("tel:123")))
	via, _ = d.Via()
	from, _ := d.From()
	uri, _ := d.RURI()
	cseq, _ := d.CSeq()
	hops, present, _ := d.MaxForwards()
	expires, _, _ := d.Expires()
	if string(via.Host) != "top" || !d.HasToTag() || string(from.Tag) != "2" || uri.Scheme != sip.SchemeTEL || cseq.Num != 2 ||
		hops != 9 || !present || expires != 30 || d.Version() == v0 || d.Count(b("via")) != 3 {
		t.Errorf("via %s from %s cseq %d hops %d expires %d", via.Host, from.Tag, cseq.Num, hops, expires)
	}
	d.RemoveID(sip.HdrCSeq)
	if _, err := d.CSeq(); err != sip.ErrMissing {
		t.Errorf("CSeq removed: %v", err)
	}
	d.RemoveID(sip.HdrVia)
	if _, err := d.Via(); err != sip.ErrMissing || d.SetReceived(netip.AddrPort{}) != sip.ErrMissing {
		t.Errorf("Via removed: %v", err)
	}
	d.Init(d.Message())
	if via, err = d.Via(); err != nil || string(via.Host) != "h1" || d.Edited() || d.HasToTag() {
		t.Error("Init keeps edits")
	}
}

func TestDraftReceivedUnfolds(t *testing.T) {
	d := draftOf(t, strings.Replace(small, "UDP h1;", "UDP\r\n h1;rport;", 1))
	must(t, d.SetReceived(netip.MustParseAddrPort("192.0.2.1:5")))
	if got := string(d.First(sip.HdrVia)); got != "SIP/2.0/UDP   h1;branch=z9hG4bK1;rport=5;received=192.0.2.1" {
		t.Errorf("%q", got)
	}
}

func TestDraftRebase(t *testing.T) {
	d := draftOf(t, small)
	must(t, d.Set(b("X-A"), b("new")))
	must(t, d.SetBody(nil, b("hello there")))
	want := string(d.Serialise(nil))
	var into sip.Message
	must(t, d.Rebase(&into))
	if d.Edited() || d.Message() != &into || string(into.Raw()) != want || string(d.Find(b("x-a"))) != "new" {
		t.Errorf("rebased to\n%s", into.Raw())
	}
	d.RemoveID(sip.HdrFrom)
	var other sip.Message
	if err := d.Rebase(&other); err == nil || d.Message() != &into {
		t.Errorf("a draft without From rebased: %v", err)
	}
}

func TestDraftWithoutHeaders(t *testing.T) {
	d := draftOf(t, small)
	for p := range d.Headers() {
		d.RemoveAt(p)
	}
	must(t, d.InsertBefore(nil, b("A"), b("1")))
	if got := string(d.Serialise(nil)); got != "OPTIONS sip:b@h SIP/2.0\r\nA: 1\r\n\r\nhi" || d.Len() != 1 {
		t.Errorf("%q", got)
	}
	for range d.Values(b("A")) {
		break
	}
}
