package conformance_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// huge are messages of the largest size that are made to cost time: many of
// something, or something long. relayed tells those that are within the limits.
var huge = []struct {
	name, headers, body string
	relayed             bool
}{
	{"900 Vias", strings.Repeat("Via: SIP/2.0/UDP h;branch=z9hG4bKy\r\n", 900), "", true},
	{"1,000 Vias", strings.Repeat("Via: SIP/2.0/UDP h;branch=z9hG4bKy\r\n", 1000), "", false},
	{"1,000 Vias in a list", "Via: " + strings.Repeat("SIP/2.0/UDP h ,", 999) + "SIP/2.0/UDP h\r\n", "", true},
	{"900 Routes", strings.Repeat("Route: <sip:h.invalid;lr>\r\n", 900), "", true},
	{"1,000 Routes in a list", "Route: " + strings.Repeat("<sip:h;lr>,", 999) + "<sip:h;lr>\r\n", "", true},
	{"1,000 Contacts in a list", "Contact: " + strings.Repeat("<sip:h>;q=1,", 999) + "<sip:h>\r\n", "", true},
	{"10,000 headers", strings.Repeat("a:b\r\n", 10000), "", false},
	{"one line of 60 KiB", "X: " + strings.Repeat("a", 60<<10) + "\r\n", "", false},
	{"15,000 folds", "X: a" + strings.Repeat("\r\n b", 15000) + "\r\n", "", false},
	{"4,000 folds", "X: a" + strings.Repeat("\r\n b", 3000) + "\r\n", "", true},
	{"30,000 quoted NULs", "X: \"" + strings.Repeat("\\\x00", 30000) + "\"\r\n", "", false},
	{"7,000 quoted NULs", "X: \"" + strings.Repeat("\\\x00", 7000) + "\"\r\n", "", true},
	{"quotes that do not close", "Contact: " + strings.Repeat("\"<", 8000) + "\r\n", "", true},
	{"8,000 parameters", "Contact: <sip:h>" + strings.Repeat(";a", 8000) + "\r\n", "", true},
	{"parentheses", "User-Agent: " + strings.Repeat("(", 16000) + "\r\n", "", true},
	{"70 parts within each other", "Content-Type: multipart/mixed;boundary=b0\r\n", nest(70), true},
	{"20,000 boundaries", "Content-Type: multipart/mixed;boundary=b\r\n", strings.Repeat("--b\n", 14000) + "--b-- \x00", true},
	{"5,000 formats and 3,000 lines of SDP", "Content-Type: application/sdp\r\n", "v=0\r\nm=audio 9 RTP/AVP" + strings.Repeat(" 7", 5000) +
		"\r\n" + strings.Repeat("a=rtpmap:9 x\r\n", 3000), true},
	{"200 formats and 3,000 lines of SDP", "Content-Type: application/sdp\r\n", "v=0\r\nm=audio 9 RTP/AVP" + strings.Repeat(" 7", 200) +
		"\r\n" + strings.Repeat("a=rtpmap:9 x\r\n", 3000), true},
	{"4,000 streams of SDP", "Content-Type: application/sdp\r\n", "v=0\r\n" + strings.Repeat("m=a 9 b 0\r\n", 4000), true},
}

// nest is a multipart body with a NUL in the innermost of its parts.
func nest(depth int) string {
	var open, end strings.Builder
	for i := range depth {
		fmt.Fprintf(&open, "--b%d\r\nContent-Type: multipart/mixed;boundary=b%d\r\n\r\n", i, i+1)
		fmt.Fprintf(&end, "\r\n--b%d--", depth-1-i)
	}
	return open.String() + "\x00\r\x00\n" + end.String()
}

// TestHugeMessages: a message that is large in one way or another is refused by
// an answer, or relayed as it is; and others are served while it is looked at.
func TestHugeMessages(t *testing.T) {
	script := strings.Replace(stateful, "  tm.t_relay()", `
  sipmsgops.codec_exists("PCMU")
  sipmsgops.codec_delete("G729")
  sipmsgops.has_body_part("application/sdp")
  tm.t_relay()`, 1)
	b := start(t, script, "127.0.0.1")
	for _, udp := range []bool{true, false} {
		for i, row := range huge {
			own := b.of(t)
			s := own.tcp()
			if udp {
				s = own.udp()
			}
			msg := request("MESSAGE", fmt.Sprintf("huge-%d-%v", i, udp), s, row.headers)
			length := fmt.Appendf(nil, "Content-Length: %d\r\n\r\n", len(row.body))
			msg = append(bytes.Replace(msg, []byte("Content-Length: 0\r\n\r\n"), length, 1), row.body...)
			s.send(msg)
			m := s.final()
			got := own.callee.requests()
			switch {
			case m == nil || m.StatusCode() < 400:
				t.Errorf("%s, udp %v: answered %s", row.name, udp, show(m))
			case !row.relayed && (len(got) != 0 || m.StatusCode() != 400 && m.StatusCode() != 513):
				t.Errorf("%s, udp %v: answered %s, %d relayed", row.name, udp, show(m), len(got))
			case row.relayed && (len(got) != 1 || string(m.Reason()) != "Callee"):
				t.Errorf("%s, udp %v: answered %s, %d relayed", row.name, udp, show(m), len(got))
			case row.relayed && (!bytes.HasSuffix(got[0], []byte("\r\n\r\n"+row.body)) || !bytes.Contains(got[0], []byte(row.headers))):
				t.Errorf("%s, udp %v: relayed otherwise than it came", row.name, udp)
			}
		}
	}
	b.alive()
}
