package sip_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// invite is an INVITE of everyday size and shape.
const invite = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n" +
	"Max-Forwards: 70\r\n" +
	"To: Bob <sip:bob@biloxi.example.com>\r\n" +
	"From: \"Alice, A.\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n" +
	"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n" +
	"CSeq: 314159 INVITE\r\n" +
	"Contact: <sip:alice@pc33.atlanta.example.com>\r\n" +
	"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n" +
	"Supported: timer, 100rel\r\n" +
	"User-Agent: softphone 1.0\r\n" +
	"Content-Type: application/sdp\r\n" +
	"Content-Length: 153\r\n" +
	"\r\n" +
	"v=0\r\n" +
	"o=alice 2890844526 2890844526 IN IP4 pc33.example.com\r\n" +
	"s=-\r\n" +
	"c=IN IP4 192.0.2.101\r\n" +
	"t=0 0\r\n" +
	"m=audio 49172 RTP/AVP 0\r\n" +
	"a=rtpmap:0 PCMU/8000\r\n" +
	"a=sendrecv\r\n"

// request builds an OPTIONS of well-formed headers with more lines and a body.
func request(extra, body string) string {
	return "OPTIONS sip:bob@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n" +
		"From: <sip:a@example.com>;tag=1\r\n" +
		"To: <sip:b@example.com>\r\n" +
		"Call-ID: c1\r\n" +
		"CSeq: 1 OPTIONS\r\n" + extra + "\r\n" + body
}

func mustParse(t testing.TB, s string) *sip.Message {
	t.Helper()
	m := new(sip.Message)
	if err := m.ParseDatagram([]byte(s), nil); err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	return m
}

func TestSampleLength(t *testing.T) {
	m := mustParse(t, invite)
	if n, _, _ := m.ContentLength(); n != len(m.Body()) || len(m.Raw()) != len(invite) {
		t.Errorf("Content-Length %d, body %d, raw %d of %d", n, len(m.Body()), len(m.Raw()), len(invite))
	}
}

func TestMessageFields(t *testing.T) {
	m := mustParse(t, "\r\n\r\n"+invite) // RFC 3261 §7.5: CRLFs before the start line
	for _, row := range []struct{ got, want string }{
		{string(m.Raw()), invite},
		{string(m.MethodName()), "INVITE"},
		{string(m.RequestURI()), "sip:bob@biloxi.example.com"},
		{string(m.CallID()), "a84b4c76e66710@pc33.atlanta.example.com"},
		{string(m.First(sip.HdrAllow)), "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"},
		{string(m.Find([]byte("c"))), "application/sdp"},
		{string(m.Find([]byte("USER-agent"))), "softphone 1.0"},
		{string(m.Bytes(m.HeaderAt(1).Line)), "Max-Forwards: 70\r\n"},
	} {
		if row.got != row.want {
			t.Errorf("got %q, want %q", row.got, row.want)
		}
	}
	if m.Method() != sip.INVITE || !m.IsRequest() || m.StatusCode() != 0 || m.HasToTag() || m.NumHeaders() != 12 {
		t.Error("start line or count wrong")
	}
	if m.First(sip.HdrRoute) != nil || m.Has(sip.HdrRoute) || m.Find([]byte("X-None")) != nil {
		t.Error("absent header found")
	}
	from, err := m.From()
	if err != nil || string(from.Tag) != "1928301774" || string(from.URI.Host) != "atlanta.example.com" {
		t.Errorf("From %+v %v", from, err)
	}
	via, err := m.Via()
	if err != nil || via.Port != 5066 || !via.HasRPort || via.RPort != 0 || string(via.Branch) != "z9hG4bK776asdhds" {
		t.Errorf("Via %+v %v", via, err)
	}
}

func TestResponseFields(t *testing.T) {
	m := mustParse(t, "SIP/2.0 183 Session  Progress\r\nv: SIP/2.0/TCP [2001:db8::1]:5061;branch=z9hG4bKa\r\n"+
		"f: <sip:a@x>;tag=1\r\nt: <sip:b@y>;tag=2\r\ni: c\r\nCSeq: 4 SUBSCRIBE\r\nExpires: 60\r\nX-Empty:\r\n\r\n")
	if m.IsRequest() || m.StatusCode() != 183 || string(m.Reason()) != "Session  Progress" ||
		m.Method() != sip.SUBSCRIBE || string(m.MethodName()) != "SUBSCRIBE" || m.RequestURI() != nil || !m.HasToTag() {
		t.Errorf("%d %q %v", m.StatusCode(), m.Reason(), m.Method())
	}
	if _, err := m.RURI(); err != sip.ErrNotRequest {
		t.Errorf("RURI of a response: %v", err)
	}
	if n, ok, err := m.Expires(); n != 60 || !ok || err != nil {
		t.Errorf("Expires %d %v %v", n, ok, err)
	}
	if v := m.Find([]byte("x-empty")); v == nil || len(v) != 0 {
		t.Errorf("empty header is %v", v)
	}
}

// TestGrammar accepts what RFC 3261 §7.3.1 allows and relays unknown things.
func TestGrammar(t *testing.T) {
	for name, msg := range map[string]string{
		"space before colon":  request("Content-Length : 3\r\n", "abc"),
		"tab before colon":    request("Content-Length\t:3\r\n", "abc"),
		"folded length":       request("Content-Length:\r\n 3\r\n", "abc"),
		"folded unknown":      request("X-A: one\r\n\ttwo\r\n  three\r\nl: 3\r\n", "abc"),
		"leading zeros":       request("l: 0003\r\n", "abc"),
		"bytes behind body":   request("l: 3\r\n", "abcINVITE sip:x@y SIP/2.0\r\n"),
		"odd extension":       request("!%*_+`'~: ;;,,\x01\x7f\xff\r\nl: 3\r\n", "abc"),
		"near a length":       request("Content-Lengths: 9\r\nContent: 9\r\nContent-Length2x: 9\r\nl: 3\r\n", "abc"),
		"NUL in the body":     request("l: 3\r\n", "a\x00c"),
		"LF in the body":      request("l: 3\r\n", "\n\r\n"),
		"quoted NUL":          strings.Replace(request("l: 3\r\n", "abc"), "To: ", "To: \"a\\\x00b\" ", 1),
		"UTF-8 display":       strings.Replace(request("l: 3\r\n", "abc"), "To: ", "To: \"Иван\" ", 1),
		"lower case version":  strings.Replace(request("l: 3\r\n", "abc"), "SIP/2.0\r", "sip/2.0\r", 1),
		"unknown method":      strings.ReplaceAll(request("l: 3\r\n", "abc"), "OPTIONS", "FLY"),
		"unknown scheme":      strings.Replace(request("l: 3\r\n", "abc"), "sip:bob@example.com", "soap.beep://192.0.2.103:3002", 1),
		"tel":                 strings.Replace(request("l: 3\r\n", "abc"), "sip:bob@example.com", "tel:+1-201-555-0123;phone-context=x", 1),
		"no length":           request("", "abc"),
		"folded CSeq":         strings.Replace(request("l: 3\r\n", "abc"), "1 OPTIONS", "\r\n 1\r\n OPTIONS", 1),
		"no reason, no space": "SIP/2.0 200\r\nVia: SIP/2.0/UDP h\r\nFrom: sip:a@b\r\nTo: sip:c@d\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\nl: 3\r\n\r\nabc",
	} {
		m := new(sip.Message)
		if err := m.ParseDatagram([]byte(msg), nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(m.Body()) != 3 {
			t.Errorf("%s: body %q", name, m.Body())
		}
		if c, err := m.CSeq(); err != nil || c.Num != 1 {
			t.Errorf("%s: CSeq %v %v", name, c, err)
		}
	}
}

// TestRefused lists shapes that parsers disagree about, or that none can use.
func TestRefused(t *testing.T) {
	smuggled := "INVITE sip:x@y SIP/2.0\r\n\r\n"
	long := strings.Repeat("9", 20)
	rows := []struct {
		name, msg string
		code      int
		respond   bool
	}{
		{"negative length", request("Content-Length: -1\r\n", ""), 400, true},
		{"signed length", request("Content-Length: +5\r\n", "abcde"), 400, true},
		{"length twice", request("Content-Length: 3\r\nContent-Length: 5\r\n", "abcde"), 400, true},
		{"equal length twice", request("Content-Length: 3\r\nl: 3\r\n", "abc"), 400, true},
		{"two numbers", request("Content-Length: 5 5\r\n", "abcde"), 400, true},
		{"list", request("Content-Length: 3, 3\r\n", "abc"), 400, true},
		{"hexadecimal", request("Content-Length: 0x10\r\n", smuggled), 400, true},
		{"empty length", request("Content-Length:\r\n", ""), 400, true},
		{"junk length", request("Content-Length: 3a\r\n", "abc"), 400, true},
		{"folded number", request("Content-Length: 1\r\n 2\r\n", smuggled), 400, true},
		{"2^31", request("Content-Length: 2147483648\r\n", smuggled), 400, true},
		{"2^31-1", request("Content-Length: 2147483647\r\n", smuggled), 400, true},
		{"2^32", request("Content-Length: 4294967296\r\n", smuggled), 400, true},
		{"2^32+32", request("Content-Length: 4294967328\r\n", smuggled), 400, true},
		{"2^63", request("Content-Length: 9223372036854775808\r\n", smuggled), 400, true},
		{"2^64", request("Content-Length: 18446744073709551616\r\n", smuggled), 400, true},
		{"20 digits", request("Content-Length: "+long+"\r\n", smuggled), 400, true},
		{"short body", request("Content-Length: 4\r\n", "abc"), 400, true},
		{"hidden by a fold", request("X-A: b\r\n Content-Length: 0\r\nContent-Length: 26\r\n", smuggled), 400, true},
		{"hidden compact", request("X-A: b\r\n\tl : 0\r\n", smuggled), 400, true},
		{"blank fold", request("X-A: b\r\n \r\nl: 0\r\n", smuggled), 400, true},
		{"control in name", request("Content-Length\x01: 3\r\n", "abc"), 400, true},
		{"NUL in name", request("Content-Length\x00: 3\r\n", "abc"), 400, false},
		{"vertical tab", request("Content-Length\x0b: 3\r\n", "abc"), 400, true},
		{"look-alike", request("Сontent-Length: 3\r\n", "abc"), 400, true},
		{"underscore name", request("Content_Length: 9\r\nl: 3\r\n", "abc"), 400, true},
		{"name without hyphen", request("ContentLength: 0\r\n", smuggled), 400, true},
		{"name with a tail", request("Content-Length': 0\r\n", smuggled), 400, true},
		{"space in name", request("Content Length: 3\r\n", "abc"), 400, true},
		{"no colon", request("Foobar roobar\r\n", ""), 400, true},
		{"empty name", request(": x\r\n", ""), 400, true},
		{"bare LF", request("X-A: b\nContent-Length: 0\r\n", smuggled), 400, false},
		{"LF LF", request("X-A: b\n\nINVITE sip:x@y SIP/2.0\r\n", ""), 400, false},
		{"CRLF LF", request("X-A: b\r\n\nINVITE sip:x@y SIP/2.0\r\n", ""), 400, false},
		{"bare CR", request("X-A: b\rContent-Length: 0\r\n", ""), 400, false},
		{"CR CR LF", request("X-A: b\r\r\n", ""), 400, false},
		{"NUL in value", request("X-A: b\x00c\r\n", ""), 400, false},
		{"NUL pair unquoted", request("X-A: b\\\x00c\r\n", ""), 400, false},
		{"To with a control", strings.Replace(request("", ""), "To:", "To\x01:", 1), 400, true},
		{"fold first", strings.Replace(request("", ""), "Via:", " Via:", 1), 400, false},
		{"no empty line", "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n", 400, true},
		{"cut header", request("", "")[:60], 400, false},
		{"start line alone", "OPTIONS sip:a@b SIP/2.0\r\n", 400, false},
		{"no CRLF at all", "OPTIONS sip:a@b SIP/2.0", 400, false},
		{"empty", "", 400, false},
		{"binary", "\x00\x01\x00\x00\x21\x12\xa4\x42", 400, false},
		{"ACK", strings.ReplaceAll(request("Content-Length: -1\r\n", ""), "OPTIONS", "ACK"), 400, false},
		{"response", "SIP/2.0 200 OK\r\n" + strings.SplitN(request("Content-Length: -1\r\n", ""), "\r\n", 2)[1], 400, false},
		{"status 99", "SIP/2.0 099 OK\r\n" + strings.SplitN(request("", ""), "\r\n", 2)[1], 400, false},
		{"status 700", "SIP/2.0 700 OK\r\n" + strings.SplitN(request("", ""), "\r\n", 2)[1], 400, false},
		{"no Via", strings.Replace(request("", ""), "Via:", "X-Via:", 1), 400, false},
		{"bad Via", strings.Replace(request("", ""), "SIP/2.0/UDP", "SIP/2.0/\x16UD~PTo :::]", 1), 400, false},
		{"branch twice", strings.Replace(request("", ""), "z9hG4bKx", "z9hG4bKx;branch=z9hG4bKy", 1), 400, true},
		{"no From", strings.Replace(request("", ""), "From:", "X-From:", 1), 400, true},
		{"no To", strings.Replace(request("", ""), "To:", "X-To:", 1), 400, true},
		{"no Call-ID", strings.Replace(request("", ""), "Call-ID:", "X-Call-ID:", 1), 400, true},
		{"empty Call-ID", strings.Replace(request("", ""), "Call-ID: c1", "Call-ID:", 1), 400, true},
		{"no CSeq", strings.Replace(request("", ""), "CSeq:", "X-CSeq:", 1), 400, true},
		{"CSeq 2^32", strings.Replace(request("", ""), "CSeq: 1", "CSeq: 4294967296", 1), 400, true},
		{"two From values", strings.Replace(request("", ""), "tag=1", "tag=1, <sip:x@y>", 1), 400, true},
		{"From *", strings.Replace(request("", ""), "<sip:a@example.com>;tag=1", "*", 1), 400, true},
		{"To *", strings.Replace(request("", ""), "<sip:b@example.com>", "*;tag=x", 1), 400, true},
		{"tag twice", strings.Replace(request("", ""), "tag=1", "tag=1;TAG=2", 1), 400, true},
		{"hops 256", request("Max-Forwards: 256\r\n", ""), 400, true},
		{"hops x", request("Max-Forwards: x\r\n", ""), 400, true},
		{"hops twice", request("Max-Forwards: 1\r\nMax-Forwards: 1\r\n", ""), 400, true},
		{"naked IPv6 R-URI", strings.Replace(request("", ""), "sip:bob@example.com", "sip:2001:db8::10", 1), 400, true},
		{"version 3", strings.Replace(request("", ""), "com SIP/2.0", "com SIP/3.0", 1), 505, true},
		{"version x", strings.Replace(request("", ""), "com SIP/2.0", "com HTTP/1.1", 1), 400, true},
		{"long line", request("X-A: "+strings.Repeat("a", 17000)+"\r\n", ""), 513, true},
		{"long URI", strings.Replace(request("", ""), "sip:bob", "sip:"+strings.Repeat("b", 17000), 1), 414, true},
		{"many headers", request(strings.Repeat("a: b\r\n", 1001), ""), 400, true},
		{"too large", request("", strings.Repeat("a", 66000)), 513, false},
	}
	for _, row := range rows {
		var m sip.Message
		err := m.ParseDatagram([]byte(row.msg), nil)
		var pe *sip.ParseError
		if !errors.As(err, &pe) {
			t.Errorf("%s: accepted", row.name)
			continue
		}
		if pe.Code != row.code || pe.Respond != row.respond || pe.Reason != sip.ReasonPhrase(row.code) {
			t.Errorf("%s: %v respond=%v, want %d respond=%v", row.name, pe, pe.Respond, row.code, row.respond)
		}
	}
}

// TestHeaderNameBytes tries all 256 bytes before the colon (the shape of
// CVE-2020-28361): white space is taken away, a token byte makes another
// header, the rest is refused.
func TestHeaderNameBytes(t *testing.T) {
	for c := range 256 {
		m := new(sip.Message)
		err := m.ParseDatagram([]byte(request("X-Bypass"+string([]byte{byte(c)})+": lol\r\n", "")), nil)
		switch {
		case c == ' ' || c == '\t' || c == ':':
			if err != nil || m.Find([]byte("X-Bypass")) == nil {
				t.Errorf("%#x: %v", c, err)
			}
		case sip.IsToken([]byte{byte(c)}):
			if err != nil || m.Find([]byte("X-Bypass")) != nil {
				t.Errorf("%#x: %v", c, err)
			}
		case err == nil:
			t.Errorf("%#x: accepted", c)
		}
	}
}

// TestLimits holds each limit to one below, at and above it.
func TestLimits(t *testing.T) {
	lim := sip.Limits{MaxSize: 400, MaxHeaders: 7, MaxLine: 60, MaxBody: 20}
	for _, row := range []struct {
		name, msg string
		code      int
	}{
		{"all below", request("l: 20\r\n", strings.Repeat("a", 20)), 0},
		{"body over", request("l: 21\r\n", strings.Repeat("a", 21)), 513},
		{"body over without length", request("", strings.Repeat("a", 21)), 513},
		{"headers at", request("a: b\r\nl: 0\r\n", ""), 0},
		{"headers over", request("a: b\r\na: b\r\nl: 0\r\n", ""), 400},
		{"line at", request("X: "+strings.Repeat("a", 55)+"\r\n", ""), 0},
		{"line over", request("X: "+strings.Repeat("a", 56)+"\r\n", ""), 513},
		{"folded line over", request("X: "+strings.Repeat("a", 50)+"\r\n bcd\r\n", ""), 513},
	} {
		var m sip.Message
		err := m.ParseDatagram([]byte(row.msg), &lim)
		var pe *sip.ParseError
		if errors.As(err, &pe) != (row.code != 0) || pe != nil && pe.Code != row.code {
			t.Errorf("%s: %v, want %d", row.name, err, row.code)
		}
	}
}

// TestHugeLists parses long but well-formed messages, and lets go of what they
// grew.
func TestHugeLists(t *testing.T) {
	vias := strings.Repeat("Via: SIP/2.0/UDP h;branch=z9hG4bKy\r\n", 900)
	m := mustParse(t, strings.Replace(request("", ""), "From:", vias+"From:", 1))
	if m.NumHeaders() != 905 {
		t.Errorf("%d headers", m.NumHeaders())
	}
	m.Reset()
	if m.NumHeaders() != 0 || len(m.Raw()) != 0 {
		t.Error("Reset keeps the message")
	}
}

// TestManyQuotedNULs: looking for a NUL outside quotes is one pass. At a step for
// each pair of them this test would take hours.
func TestManyQuotedNULs(t *testing.T) {
	msg := []byte(request("X-A: \""+strings.Repeat("\\\x00", 4<<20)+"\"\r\nl: 0\r\n", ""))
	lim := sip.Limits{MaxSize: len(msg), MaxHeaders: 10, MaxLine: len(msg), MaxBody: 0}
	var m sip.Message
	if err := m.ParseDatagram(msg, &lim); err != nil {
		t.Error(err)
	}
	if _, n, _, err := sip.Frame(msg, &lim, new(sip.FrameState)); err != nil || n != len(msg) {
		t.Errorf("framed %d of %d bytes: %v", n, len(msg), err)
	}
}

func TestAnsweredAsRefused(t *testing.T) {
	msg := request("Content-Length: -1\r\nBad Header\r\nRecord-Route: <sip:p;lr>\r\n", "")
	var m sip.Message
	err := m.ParseDatagram([]byte(msg), nil)
	var pe *sip.ParseError
	if !errors.As(err, &pe) || !pe.Respond {
		t.Fatal(err)
	}
	got := string(sip.AppendReply(nil, &m, pe.Code, pe.Reason, &sip.ReplyOptions{ToTag: []byte("t")}))
	want := "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@example.com>;tag=1\r\n" +
		"To: <sip:b@example.com>;tag=t\r\nCall-ID: c1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
	if pe.Error() != "header line is not a token and a colon (400)" {
		t.Errorf("the first fault is not the one told: %v", pe)
	}
}

func TestIsKeepAlive(t *testing.T) {
	for in, want := range map[string]bool{"": true, "\r\n\r\n": true, "\x00\x00\x00\x00": true, "\r\nO": false, "jaK": false} {
		if sip.IsKeepAlive([]byte(in)) != want {
			t.Errorf("%q: not %v", in, want)
		}
	}
}

func TestMethods(t *testing.T) {
	for m := sip.INVITE; m <= sip.KDMQ; m++ {
		if sip.ParseMethod([]byte(m.String())) != m {
			t.Errorf("%v does not parse back", m)
		}
	}
	if sip.ParseMethod([]byte("invite")) != sip.MethodOther || sip.MethodOther.String() != "" || sip.Method(200).String() != "" {
		t.Error("unknown methods")
	}
	if !sip.INVITE.CreatesDialog() || sip.BYE.CreatesDialog() {
		t.Error("CreatesDialog")
	}
}

func TestHeaderNames(t *testing.T) {
	n := 0
	for id := sip.HdrOther + 1; id.Name() != ""; id++ {
		n++
		for _, name := range []string{id.Name(), strings.ToUpper(id.Name()), strings.ToLower(id.Name())} {
			if got := sip.LookupHeader([]byte(name)); got != id {
				t.Errorf("%s is %q", name, got.Name())
			}
		}
		if sip.LookupHeader([]byte(id.Name()+"x")) != sip.HdrOther || sip.LookupHeader([]byte("x"+id.Name())) != sip.HdrOther {
			t.Errorf("%s matches too much", id.Name())
		}
	}
	if n < 60 || sip.LookupHeader(nil) != sip.HdrOther {
		t.Errorf("%d names", n)
	}
	for compact, long := range map[string]string{
		"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length", "c": "Content-Type",
		"e": "Content-Encoding", "k": "Supported", "s": "Subject", "o": "Event", "r": "Refer-To", "b": "Referred-By",
		"u": "Allow-Events", "x": "Session-Expires", "a": "Accept-Contact", "j": "Reject-Contact", "d": "Request-Disposition",
		"y": "Identity",
	} {
		if got := sip.LookupHeader([]byte(compact)).Name(); got != long {
			t.Errorf("%s is %s", compact, got)
		}
		if !sip.SameHeader([]byte(strings.ToUpper(compact)), []byte(strings.ToLower(long))) {
			t.Errorf("%s is not %s", compact, long)
		}
	}
	if sip.SameHeader([]byte("z"), []byte("q")) || sip.SameHeader([]byte("X-A"), []byte("X-B")) {
		t.Error("SameHeader of unknown names")
	}
}

func TestReasonPhrase(t *testing.T) {
	for code, want := range map[int]string{
		100: "Trying", 200: "OK", 440: "Max-Breadth Exceeded", 487: "Request Terminated", 608: "Rejected",
		199: "Early Dialog Terminated", 299: "OK", 499: "Request Failure", 199 - 10: "Progress", 399: "Redirection",
		599: "Server Failure", 699: "Global Failure", 5: "Unknown",
	} {
		if got := sip.ReasonPhrase(code); got != want {
			t.Errorf("%d: %s", code, got)
		}
	}
}

func TestParseCSeq(t *testing.T) {
	for in, want := range map[string]string{
		"1 INVITE": "1 INVITE", "0009\r\n  ACK": "9 ACK", "4294967295 X-Y": "4294967295 X-Y",
		"": "", "1": "", "INVITE": "", "1INVITE": "", "-1 BYE": "", "1 BYE x": "", "1 B\x01E": "", " 1 BYE": "",
	} {
		c, err := sip.ParseCSeq([]byte(in))
		got := ""
		if err == nil {
			got = fmt.Sprintf("%d %s", c.Num, c.MethodName)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
