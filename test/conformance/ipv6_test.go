package conformance_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// ipv6Rows are the shapes of RFC 5118 §4: what is put in place of a request's
// own, and what becomes of it.
var ipv6Rows = map[string]struct {
	old, new string
	want     string
}{
	"4.1 reference in the Request-URI": {"sip:callee@{proxy}", "sip:[2001:db8::10]", "relayed"},
	"4.2 without brackets":             {"sip:callee@{proxy}", "sip:2001:db8::10", "400"},
	"4.3 port inside the brackets":     {"sip:callee@{proxy}", "sip:[2001:db8::10:5070]", "relayed"},
	"4.4 port behind the brackets":     {"sip:callee@{proxy}", "sip:[2001:db8::10]:5070", "relayed"},
	"4.5 received with brackets":       {";branch", ";received=[2001:db8::9:255];branch", "relayed"},
	"4.5 received without":             {";branch", ";received=2001:db8::9:255;branch", "relayed"},
	"4.7 several addresses in Contact": {"CSeq", "Contact: <sip:user@[2001:db8::1]>, <sip:user@192.0.2.1>\r\nCSeq", "relayed"},
	"4.8 IPv4-mapped":                  {"sip:a@example.com", "sip:a@[::ffff:192.0.2.10]", "relayed"},
	"4.9 embedded IPv4":                {"sip:callee@{proxy}", "sip:user@[2001:db8::192.0.2.1]", "relayed"},
	"4.10 three colons":                {"sip:callee@{proxy}", "sip:user@[2001:db8:::192.0.2.1]", "relayed"}, // RFC 3261's grammar has it so
	"open bracket":                     {"sip:callee@{proxy}", "sip:user@[2001:db8::1", "400"},
	"empty reference":                  {"sip:callee@{proxy}", "sip:user@[]", "400"},
	"sent-by without brackets":         {"{sender}", "2001:db8::1", "dropped"},
}

// TestIPv6 sends the shapes of RFC 5118 over IPv6, by UDP and TCP, to a callee
// on IPv6.
func TestIPv6(t *testing.T) {
	b := start(t, stateful, "[::1]")
	for name, r := range ipv6Rows {
		for _, udp := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s udp=%v", name, udp), func(t *testing.T) {
				own := b.of(t)
				s := own.tcp()
				if udp {
					s = own.udp()
				}
				fill := strings.NewReplacer("{proxy}", b.proxy.String(), "{sender}", s.addr.String())
				msg := request("MESSAGE", fmt.Sprintf("v6-%d-%v", len(name), udp), s, "")
				msg = bytes.Replace(msg, []byte(fill.Replace(r.old)), []byte(r.new), 1)
				if got := observe(t, own, s, msg, r.want, row{}, true); got != r.want {
					t.Errorf("got %q, want %q", got, r.want)
				}
			})
		}
	}
	b.alive()
}

// TestIPv6SDP: an IPv6 body goes through untouched (RFC 5118 §4.6), also from
// IPv6 to IPv4.
func TestIPv6SDP(t *testing.T) {
	b := start(t, stateful, "[::1]")
	s := b.udp()
	sdp := "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live video feed for today's meeting\r\n" +
		"c=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\nm=audio 6000 RTP/AVP 2\r\na=rtpmap:2 G726-32/8000\r\n"
	msg := bytes.Replace(request("MESSAGE", "sdp", s, "Content-Type: application/sdp\r\n"), []byte("Content-Length: 0\r\n\r\n"),
		fmt.Appendf(nil, "Content-Length: %d\r\n\r\n%s", len(sdp), sdp), 1)
	if got := observe(t, b, s, msg, "relayed", row{}, true); got != "relayed" {
		t.Errorf("got %s", got)
	}
	b.alive()
}
