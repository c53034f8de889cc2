package sip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

const routed = "INVITE sip:b@h SIP/2.0\r\n" +
	"Record-Route: <sip:p1;lr>\r\n" +
	"Via: SIP/2.0/UDP h1;branch=z9hG4bK1;rport , SIP/2.0/UDP h0;branch=z9hG4bK0\r\n" +
	"v: SIP/2.0/TCP h2;branch=z9hG4bK2\r\n" +
	"Route: <sip:r1;lr>, <sip:r2;lr>\r\n" +
	"f: <sip:a@h>;tag=1\r\n" +
	"Max-Forwards: 5\r\n" +
	"To: \"B\" <sip:b@h>\r\n" +
	"Call-ID: c\r\n" +
	"CSeq: 77 INVITE\r\n" +
	"Timestamp: 54\r\n" +
	"route: <sip:r3>\r\n" +
	"Content-Type: text/plain\r\n" +
	"Content-Length: 2\r\n" +
	"\r\nhi"

func TestAppendReply(t *testing.T) {
	src := netip.MustParseAddrPort("192.0.2.9:5099")
	const vias = "Via: SIP/2.0/UDP h1;branch=z9hG4bK1;rport=5099;received=192.0.2.9 , SIP/2.0/UDP h0;branch=z9hG4bK0\r\n" +
		"v: SIP/2.0/TCP h2;branch=z9hG4bK2\r\n"
	m := mustParse(t, routed)
	for _, row := range []struct {
		name, got, want string
	}{
		{"trying", string(sip.AppendReply(nil, m, 100, "", &sip.ReplyOptions{ToTag: b("t"), ViaReceived: src})),
			"SIP/2.0 100 Trying\r\n" + vias + "f: <sip:a@h>;tag=1\r\nTo: \"B\" <sip:b@h>\r\nCall-ID: c\r\nCSeq: 77 INVITE\r\n" +
				"Timestamp: 54\r\nContent-Length: 0\r\n\r\n"},
		{"ringing", string(sip.AppendReply(nil, m, 180, "", &sip.ReplyOptions{ToTag: b("t"), ViaReceived: src})),
			"SIP/2.0 180 Ringing\r\nRecord-Route: <sip:p1;lr>\r\n" + vias +
				"f: <sip:a@h>;tag=1\r\nTo: \"B\" <sip:b@h>;tag=t\r\nCall-ID: c\r\nCSeq: 77 INVITE\r\nContent-Length: 0\r\n\r\n"},
		{"failure", string(sip.AppendReply([]byte("x"), m, 404, "Gone Fishing", &sip.ReplyOptions{
			ToTag: b("t"), Headers: b("Retry-After: 5\r\n"), Server: b("s"), ContentType: b("text/plain"), Body: b("no")})),
			"xSIP/2.0 404 Gone Fishing\r\n" + strings.Replace(vias, ";rport=5099;received=192.0.2.9", ";rport", 1) +
				"f: <sip:a@h>;tag=1\r\nTo: \"B\" <sip:b@h>;tag=t\r\nCall-ID: c\r\nCSeq: 77 INVITE\r\n" +
				"Server: s\r\nRetry-After: 5\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"},
	} {
		if row.got != row.want {
			t.Errorf("%s: got\n%s\nwant\n%s", row.name, row.got, row.want)
		}
		mustParse(t, strings.TrimPrefix(row.got, "x"))
	}
	tagged := mustParse(t, strings.Replace(routed, "\"B\" <sip:b@h>", "sip:b@h;tag=own", 1))
	if got := string(sip.AppendReply(nil, tagged, 200, "", &sip.ReplyOptions{ToTag: b("t")})); !strings.Contains(got, "\r\nTo: sip:b@h;tag=own\r\n") {
		t.Errorf("To tag of the request is lost:\n%s", got)
	}
	if got := string(sip.AppendReply(nil, m, 200, "", nil)); !strings.Contains(got, "\r\nTo: \"B\" <sip:b@h>\r\n") {
		t.Errorf("nil options:\n%s", got)
	}
	bye := mustParse(t, strings.ReplaceAll(routed, "INVITE", "BYE"))
	if got := string(sip.AppendReply(nil, bye, 200, "", nil)); strings.Contains(got, "Record-Route") {
		t.Errorf("Record-Route in the answer to BYE:\n%s", got)
	}
}

const hop = "Via: SIP/2.0/UDP h1;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\nRoute: <sip:r1;lr>, <sip:r2;lr>\r\nf: <sip:a@h>;tag=1\r\n"

func TestAppendCancel(t *testing.T) {
	want := "CANCEL sip:b@h SIP/2.0\r\n" + hop + "To: \"B\" <sip:b@h>\r\nCall-ID: c\r\nCSeq: 77 CANCEL\r\n" +
		"route: <sip:r3>\r\nReason: SIP;cause=200\r\nContent-Length: 0\r\n\r\n"
	if got := string(sip.AppendCancel(nil, b(routed), b("Reason: SIP;cause=200\r\n"))); got != want {
		t.Errorf("got\n%s", got)
	}
	mustParse(t, want)
	if got := sip.AppendCancel(b("x"), b("junk"), nil); string(got) != "x" {
		t.Errorf("CANCEL of junk: %q", got)
	}
	d := draftOf(t, routed)
	must(t, d.Prepend(sip.HdrVia, b("SIP/2.0/UDP me;branch=z9hG4bKm")))
	must(t, d.SetRequestURI(b("sip:target@x")))
	d.RemoveID(sip.HdrRoute)
	want = "CANCEL sip:target@x SIP/2.0\r\nVia: SIP/2.0/UDP me;branch=z9hG4bKm\r\nMax-Forwards: 70\r\nf: <sip:a@h>;tag=1\r\n" +
		"To: \"B\" <sip:b@h>\r\nCall-ID: c\r\nCSeq: 77 CANCEL\r\nContent-Length: 0\r\n\r\n"
	if got := string(d.AppendCancel(nil, nil)); got != want {
		t.Errorf("of a branch: got\n%s", got)
	}
}

func TestAppendAck(t *testing.T) {
	m := mustParse(t, routed)
	resp := mustParse(t, string(sip.AppendReply(nil, m, 486, "", &sip.ReplyOptions{ToTag: b("busy")})))
	want := "ACK sip:b@h SIP/2.0\r\n" + hop + "To: \"B\" <sip:b@h>;tag=busy\r\nCall-ID: c\r\nCSeq: 77 ACK\r\n" +
		"route: <sip:r3>\r\nContent-Length: 0\r\n\r\n"
	if got := string(sip.AppendAck(nil, m, resp)); got != want {
		t.Errorf("got\n%s", got)
	}
	mustParse(t, want)
}
