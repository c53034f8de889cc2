package conformance_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// lengths stand in place of a request's own Content-Length. CVE-2026-45103,
// CVE-2023-28097 and Linux's CVE-2026-23457 are among them.
var lengths = []string{
	"Content-Length: 2147483647", "Content-Length: 2147483648", "Content-Length: 4294967295",
	"Content-Length: 4294967296", "Content-Length: 4294967328", "Content-Length: 9223372036854775808",
	"Content-Length: 18446744073709551616", "Content-Length: 18446744073709551617", "Content-Length: 99999999999999999999",
	"Content-Length: 1073741824", "Content-Length: -1", "Content-Length: +5", "Content-Length: 5 5", "Content-Length: 0x10",
	"Content-Length: 5;x=y", "Content-Length: 5, 5", "Content-Length: \"5\"", "Content-Length:", "Content-Length: 5\r\nContent-Length: 6",
	"Content-Length: 0\r\nl: 600", "l: 0\r\nContent-Length: 600", "Content-Length: 0\r\n 600",
	"Content-Length : 0\r\nContent-Length: 600", "X: y\nContent-Length: 0\r\nContent-Length: 600",
	"X: y\r\n Content-Length: 0\r\nContent-Length: 600", "X: y\r\n\tl : 0", "Content_Length: 0", "ContentLength: 0",
	"Content_Length: 0\r\nContent-Length: 600", "Content-Length: 600\r\nContent.Length: 0", "Content-Length\t: 0\r\nl: 0",
	"Content-Length: 0\r\n \r\nX: y", "Content-Length: \xd9\xa5", "Content-Length: 1e2", "Content-Length: 0\x0b", "Content-Length: 0;",
	"Content-Length: 0\r\rContent-Length: 600", "Content-Length: 0\nX: y", "Content-Length: \x000", "Content-\x00Length: 0",
}

// TestBodyIsNoSecondMessage: a body that is an INVITE, with lengths that lead
// parsers astray. The callee sees the outer message, if anything, and never
// the one inside.
func TestBodyIsNoSecondMessage(t *testing.T) {
	for name, script := range map[string]string{"stateful": stateful, "stateless": stateless} {
		t.Run(name, func(t *testing.T) {
			b := start(t, script, "127.0.0.1")
			streams := make([]*sender, len(lengths)) // side by side: a refused one takes a second to close
			for i, length := range lengths {
				s := b.udp()
				s.send(nested(s, fmt.Sprintf("udp-%d", i), length))
				s.barrier()
				streams[i] = b.tcp()
				streams[i].send(nested(streams[i], fmt.Sprintf("tcp-%d", i), length))
			}
			for i, s := range streams {
				if m := s.final(); m != nil && m.StatusCode() < 400 {
					t.Errorf("%q: the sender got %s", lengths[i], show(m))
				} else if !s.closed() {
					t.Errorf("%q: a stream that cannot be cut is still open after %s", lengths[i], show(m))
				}
			}
			outer := map[string]int{}
			for _, g := range b.callee.requests() {
				var m sip.Message
				if err := m.ParseDatagram(g, nil); err != nil || len(m.Raw()) != len(g) || m.Method() != sip.MESSAGE {
					t.Errorf("what was inside came out, or bytes that do not belong to it (%v):\n%s", err, g)
				}
				if outer[string(m.CallID())]++; outer[string(m.CallID())] > 1 {
					t.Errorf("%s came twice", m.CallID())
				}
			}
			b.alive()
		})
	}
}

// nested is a MESSAGE with that length whose body is an INVITE.
func nested(s *sender, id, length string) []byte {
	outer := request("MESSAGE", "outer-"+id, s, "Content-Type: message/sip\r\n")
	outer = bytes.Replace(outer, []byte("Content-Length: 0"), []byte(length), 1)
	return append(outer, request("INVITE", "inner-"+id, s, "X-Inner: yes\r\n")...)
}

// TestBytesBeyondContentLength: in a datagram they are discarded
// (RFC 3261 §18.3), in requests and in responses.
func TestBytesBeyondContentLength(t *testing.T) {
	for _, script := range []string{stateful, stateless} {
		b := start(t, script, "127.0.0.1")
		for i, behind := range []string{"x", "\r\n", "\x00\x00\x00\x00", "INVITE sip:x@y SIP/2.0\r\n\r\n", strings.Repeat("z", 9000)} {
			own := b.of(t)
			s := own.udp()
			msg := request("MESSAGE", fmt.Sprintf("beyond-%d", i), s, "")
			length, body := []byte("Content-Length: 4\r\n"), []byte("\r\n\r\nbody")
			msg = bytes.Replace(msg, []byte("Content-Length: 0\r\n\r\n"), append(length, body[2:]...), 1)
			s.send(append(msg, behind...))
			if own.callee.wait(1) == 0 {
				t.Errorf("%.20q: nothing was relayed", behind)
			}
			for _, g := range own.callee.requests() {
				if !bytes.HasSuffix(g, body) || !bytes.Contains(g, length) {
					t.Errorf("%.20q behind the body: passed on %q", behind, g)
				}
			}
			s.barrier()
		}
		b.alive()
	}
}

// TestControlBytesInNames: for every byte between a header's name and its
// colon, a header that the script removes is gone, or the message is refused
// (CVE-2020-28361).
func TestControlBytesInNames(t *testing.T) {
	script := strings.Replace(stateful, "tm.t_relay()", `sipmsgops.remove_hf("X-Bypass-Me")`+"\n  tm.t_relay()", 1)
	b := start(t, script, "127.0.0.1")
	for _, udp := range []bool{true, false} {
		for c := range 256 {
			own := b.of(t)
			s := own.tcp()
			if udp {
				s = own.udp()
			}
			line := "X-Bypass-me" + string([]byte{byte(c)}) + ": lol\r\n"
			s.send(request("MESSAGE", fmt.Sprintf("name-%d-%v", c, udp), s, line))
			var m *sip.Message
			switch c {
			case 0, '\n', '\r': // no line to speak of: dropped, and a stream ends
				if udp {
					s.barrier()
				} else if !s.closed() {
					t.Errorf("byte %#02x: the stream is still open", c)
				}
			default:
				m = s.final()
			}
			got := own.callee.requests()
			refused := (m == nil || m.StatusCode() == 400) && len(got) == 0
			removed := len(got) == 1 && !strings.Contains(strings.ToLower(string(got[0])), "x-bypass-me\r") &&
				!strings.Contains(strings.ToLower(string(got[0])), "lol")
			// A letter makes it another header, which is no way around.
			other := len(got) == 1 && bytes.Contains(got[0], []byte(line)) && isToken(byte(c))
			if !refused && !removed && !other {
				t.Errorf("byte %#02x udp=%v: answered %s, passed on %q", c, udp, show(m), got)
			}
			s.conn.Close()
		}
	}
	b.alive()
}

// isToken is RFC 3261 §25.1's token character.
func isToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-.!%*_+`'~", c) >= 0
}

// TestSplitAtEveryByte: a stream may be cut anywhere.
func TestSplitAtEveryByte(t *testing.T) {
	b := start(t, stateful, "127.0.0.1")
	s := b.tcp()
	whole := request("MESSAGE", "split-000", s, "")
	for cut := 1; cut < len(whole); cut++ {
		msg := request("MESSAGE", fmt.Sprintf("split-%03d", cut), s, "")
		s.send(msg[:cut])
		s.send(msg[cut:])
		if m := s.final(); m == nil || string(m.Reason()) != "Callee" {
			t.Fatalf("cut behind byte %d: %s", cut, show(m))
		}
	}
	one := request("MESSAGE", "by-the-byte", s, "")
	for i := range one {
		s.send(one[i : i+1])
	}
	if m := s.final(); m == nil || string(m.Reason()) != "Callee" {
		t.Fatalf("byte by byte: %s", show(m))
	}
	if got := b.callee.requests(); len(got) != len(whole) {
		t.Errorf("the callee got %d messages, want %d", len(got), len(whole))
	}
	b.alive()
}

// TestPipelined: a hundred requests in one write are answered, and relayed, in
// their order: they are of one call.
func TestPipelined(t *testing.T) {
	const n = 100
	b := start(t, stateful, "127.0.0.1")
	s := b.tcp()
	var all []byte
	for i := range n {
		m := request("MESSAGE", "pipelined", s, "")
		m = bytes.Replace(m, []byte("branch=z9hG4bK-"), fmt.Appendf(nil, "branch=z9hG4bK-%d-", i), 1)
		all = append(all, bytes.Replace(m, []byte("CSeq: 1 "), fmt.Appendf(nil, "CSeq: %d ", i+1), 1)...)
	}
	s.send(all)
	for i := range n {
		m := s.final()
		if m == nil {
			t.Fatalf("reply %d is missing", i+1)
		}
		if c, err := m.CSeq(); err != nil || c.Num != uint32(i+1) {
			t.Errorf("reply %d has CSeq %d (%v)", i+1, c.Num, err)
		}
	}
	got := b.callee.requests()
	if len(got) != n {
		t.Errorf("the callee got %d messages", len(got))
	}
	for i, g := range got {
		if !bytes.Contains(g, fmt.Appendf(nil, "CSeq: %d MESSAGE\r\n", i+1)) {
			t.Errorf("message %d at the callee is\n%s", i+1, g)
		}
	}
}

// TestPipelinedAnswers: requests of different calls that the proxy answers
// itself; the connection carries each answer once.
func TestPipelinedAnswers(t *testing.T) {
	const n = 100
	b := start(t, stateful, "127.0.0.1")
	s := b.tcp()
	var all []byte
	for i := range n {
		all = append(all, request("OPTIONS", fmt.Sprintf("probe-in-a-row-%d", i), s, "")...)
	}
	s.send(all)
	seen := map[string]int{}
	for range n {
		if m := s.final(); m != nil {
			seen[string(m.CallID())]++
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d were answered", len(seen), n)
	}
}
