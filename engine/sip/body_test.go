package sip_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

const sdp = "v=0\r\no=a 1 2 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=x:session\r\n" +
	"m=audio 4000 RTP/AVP 0 8 96 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtcp-fb:96 nack\r\n" +
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n" +
	"m=video 0 RTP/AVP 31\r\na=x:video\r\n"

func parseSDP(t *testing.T, s string) *sip.SDP {
	t.Helper()
	d, err := sip.ParseSDP([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func codecs(d *sip.SDP, n int) string {
	s, _ := d.Stream(n)
	var out []string
	for c := range d.Codecs(s) {
		out = append(out, fmt.Sprintf("%s=%s/%s(%s)", c.Format, c.Name, c.Clock, c.Params))
	}
	return strings.Join(out, " ")
}

func TestSDPRead(t *testing.T) {
	d := parseSDP(t, sdp)
	if string(d.Append(nil)) != sdp || d.NumLines() != 15 || len(d.Streams()) != 2 {
		t.Errorf("%d lines, %d streams", d.NumLines(), len(d.Streams()))
	}
	if got := codecs(d, 0); got != "0=PCMU/8000() 8=PCMA/8000() 96=opus/48000(useinbandfec=1) 101=telephone-event/8000(0-15)" {
		t.Error(got)
	}
	if got := codecs(d, 1); got != "31=H261/90000()" {
		t.Error(got)
	}
	if _, ok := d.Stream(2); ok || codecs(d, 2) != "" {
		t.Error("a third stream")
	}
	video, _ := d.Stream(1)
	for _, row := range []struct{ got, want string }{
		{line(d.Line("a=x:", 0)), "5 a=x:session"},
		{line(d.Line("a=x:", 1)), "14 a=x:video"},
		{line(d.Line("a=x:", 2)), "-1 "},
		{line(d.LineIn(video, "a=x:", 0)), "14 a=x:video"},
		{line(d.LineIn(d.Session(), "m=", 0)), "-1 "},
		{string(d.LineAt(0)) + string(d.LineAt(-1)) + string(d.LineAt(99)), "v=0"},
	} {
		if row.got != row.want {
			t.Errorf("got %q, want %q", row.got, row.want)
		}
	}
}

func line(i int, text []byte) string { return fmt.Sprintf("%d %s", i, text) }

func TestSDPEdits(t *testing.T) {
	named := func(name string) func(sip.Codec) bool {
		return func(c sip.Codec) bool { return sip.EqualFold(c.Name, name) }
	}
	for _, row := range []struct {
		name     string
		edit     func(d *sip.SDP, audio sip.Section)
		old, new string
	}{
		{"set", func(d *sip.SDP, _ sip.Section) { must(t, d.SetLine(3, b("c=IN IP4 10.0.0.1"))) }, "192.0.2.1", "10.0.0.1"},
		{"insert", func(d *sip.SDP, a sip.Section) { must(t, d.InsertLine(a.End, b("a=ptime:20"))) }, "a=sendrecv\r\n", "a=sendrecv\r\na=ptime:20\r\n"},
		{"delete", func(d *sip.SDP, a sip.Section) { d.DeleteLine(a.End - 1); d.DeleteLine(-1); d.DeleteLine(99) }, "a=sendrecv\r\n", ""},
		{"delete stream", func(d *sip.SDP, _ sip.Section) { v, _ := d.Stream(1); d.DeleteSection(v) }, "m=video 0 RTP/AVP 31\r\na=x:video\r\n", ""},
		{"port", func(d *sip.SDP, a sip.Section) { must(t, d.SetPort(a, 65535)) }, "audio 4000", "audio 65535"},
		{"codec", func(d *sip.SDP, a sip.Section) { d.DeleteCodecs(a, named("PCMA")) }, "AVP 0 8 96", "AVP 0 96"},
		{"codec with attributes", func(d *sip.SDP, a sip.Section) { d.DeleteCodecs(a, named("opus")) },
			"AVP 0 8 96 101\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtcp-fb:96 nack\r\n", "AVP 0 8 101\r\n"},
		{"no such codec", func(d *sip.SDP, a sip.Section) { d.DeleteCodecs(a, named("x")); d.MoveCodecs(a, true, named("x")) }, "v=0", "v=0"},
		{"all codecs", func(d *sip.SDP, a sip.Section) { d.DeleteCodecs(a, func(sip.Codec) bool { return true }) }, "audio 4000", "audio 0"},
		{"up", func(d *sip.SDP, a sip.Section) { d.MoveCodecs(a, true, named("opus")) }, "AVP 0 8 96 101", "AVP 96 0 8 101"},
		{"down", func(d *sip.SDP, a sip.Section) { d.MoveCodecs(a, false, named("pcmu")) }, "AVP 0 8 96 101", "AVP 8 96 101 0"},
	} {
		d := parseSDP(t, sdp)
		audio, _ := d.Stream(0)
		row.edit(d, audio)
		if got, want := string(d.Append(nil)), strings.Replace(sdp, row.old, row.new, 1); got != want {
			t.Errorf("%s: got\n%s", row.name, got)
		}
	}
}

// TestSDPBroken has the shapes that crashed others: last line without LF, empty
// rtpmap and fmtp, b= without a colon.
func TestSDPBroken(t *testing.T) {
	for _, body := range []string{
		"v=0", "v=0\n", "v=", "v=0\r\nm=", "v=0\r\nm=audio", "v=0\r\nm=audio 1 RTP/AVP", "v=0\r\nm=audio 1 RTP/AVP 0 ",
		"v=0\r\nm=audio 1 RTP/AVP 96\r\na=rtpmap:\r\na=rtpmap:96\r\na=fmtp:\r\na=fmtp:96", "v=0\r\nb=\r\nb=AS\r\nm=a b c 0\na=rtpmap:0 /",
		"v=0\r\n\r\n\n\rjunk\x00\r\nm=audio 1 RTP/AVP 0 0 0",
	} {
		d := parseSDP(t, body)
		if got := string(d.Append(nil)); got != body {
			t.Errorf("%q came out as %q", body, got)
		}
		for _, s := range append(d.Streams(), d.All(), d.Session(), sip.Section{First: -1, End: 99}) {
			d.DeleteCodecs(s, func(c sip.Codec) bool { return string(c.Format) == "x" })
			d.MoveCodecs(s, true, func(c sip.Codec) bool { return string(c.Format) == "0" })
		}
	}
	d := parseSDP(t, "v=0\ns=x")
	must(t, d.InsertLine(2, b("t=0 0")))
	if got := string(d.Append(nil)); got != "v=0\ns=x\nt=0 0\n" {
		t.Errorf("%q", got)
	}
	if d.SetLine(0, b("v")) == nil || d.SetLine(9, b("v=0")) == nil || d.InsertLine(-1, b("v=0")) == nil ||
		d.InsertLine(0, b("a=b\r\nc=d")) == nil || d.SetPort(d.All(), 1) == nil {
		t.Error("bad edits taken")
	}
	for _, body := range []string{"", "x", "o=1\r\nv=0", "v=0\n" + strings.Repeat("a=\n", 5000)} {
		if _, err := sip.ParseSDP([]byte(body)); err == nil {
			t.Errorf("%.20q: accepted", body)
		}
	}
}

// TestSDPManyFormats: a stream of far more formats than RTP has is left alone.
func TestSDPManyFormats(t *testing.T) {
	body := func(n int) string {
		return "v=0\r\nm=audio 1 RTP/AVP" + strings.Repeat(" 7", n) + "\r\n" + strings.Repeat("a=rtpmap:9 x\r\n", 4000) + "a=rtpmap:7 y\r\n"
	}
	all := func(c sip.Codec) bool { return string(c.Name) == "y" }
	for n, want := range map[int]int{256: 256, 257: 0, 1 << 22: 0} {
		d := parseSDP(t, body(n))
		stream, _ := d.Stream(0)
		count := 0
		for range d.Codecs(stream) {
			count++
		}
		if moved := d.MoveCodecs(stream, true, all); count != want || moved != want {
			t.Errorf("%d formats: %d codecs, %d moved, want %d", n, count, moved, want)
		}
		if got := string(d.Append(nil)); got != body(n) {
			t.Errorf("%d formats: came out otherwise", n)
		}
	}
}

func TestMultipart(t *testing.T) {
	for _, row := range []struct{ name, body, want string }{
		{"two", "--x\r\nContent-Type: a/b\r\n\r\none\r\n--x\r\n\r\ntwo\x00\r\n--x--\r\n", `"Content-Type: a/b\r\n"+"one" ""+"two\x00"`},
		{"preamble and epilogue", "pre\r\n--x\r\nA: b\r\n\r\none\r\n--x--\r\n--x\r\n\r\nghost", `"A: b\r\n"+"one"`},
		{"LF alone", "--x\nA: b\n\none\n--x--", `"A: b\n"+"one"`},
		{"never closed", "--x\r\nA: b\r\n\r\none", `"A: b\r\n"+"one"`},
		{"no body", "--x\r\nA: b\r\n--x--", `"A: b"+""`},
		{"dashes near", "--x\r\n\r\n--\r\n--xy\r\n--x-\r\n--x --\r\n--x--", `""+"--\r\n--xy\r\n--x-\r\n--x --"`},
		{"empty part", "--x\r\n--x--", `""+""`},
		{"white space behind", "--x \t\r\nA: b\r\n\r\none\r\n--x-- \r\n", `"A: b\r\n"+"one"`},
		{"none", "x", ""}, {"empty", "", ""}, {"closing only", "--x--\r\n", ""},
	} {
		var got []string
		for p := range sip.SplitMultipart([]byte(row.body), b("x")) {
			got = append(got, fmt.Sprintf("%q+%q", p.Headers.Of([]byte(row.body)), p.Body.Of([]byte(row.body))))
		}
		if s := strings.Join(got, " "); s != row.want {
			t.Errorf("%s: %s, want %s", row.name, s, row.want)
		}
	}
	for range sip.SplitMultipart([]byte("--x\r\n--x\r\n"), b("x")) {
		break
	}
	for range sip.SplitMultipart([]byte("--\r\n"), nil) {
		t.Error("parts without a boundary")
	}
	for in, want := range map[string]string{
		"multipart/mixed;boundary=abc": "abc", "Multipart/Mixed ; a=b; Boundary = \"a b\"": "a b", "text/plain;boundary=x": "",
		"multipart/mixed": "", "multipart/mixed;boundary=": "", "multipart/mixed;boundary=\"\"": "", "": "",
	} {
		got, ok := sip.Boundary([]byte(in))
		if ok != (want != "") || ok && string(got) != want {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
	if got := sip.PartHeader(b("A: b\r\nContent-Type :  a/b; c\r\n"), "content-type"); string(sip.MediaType(got)) != "a/b" {
		t.Errorf("%q", got)
	}
	if sip.PartHeader(b("A: b\r\n"), "x") != nil {
		t.Error("absent part header found")
	}
}
