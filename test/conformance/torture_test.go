package conformance_test

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// tortureMessages are the messages of RFC 4475, by name.
func tortureMessages(t *testing.T) map[string][]byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/emiago/sipgo").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "sip", "testdata", "torture", "*", "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no torture messages: %v", err)
	}
	msgs := make(map[string][]byte, len(files))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		msgs[strings.TrimSuffix(filepath.Base(f), ".dat")] = b
	}
	return msgs
}

// observe sends one message and tells what became of it: "relayed" as it was
// but for a proxy's own edits, "relayed twice", the status that the proxy
// answered, "dropped"; with " closed" behind it when the connection ended.
// answered tells that the callee's answer must come back, too.
func observe(t *testing.T, b *bench, s *sender, msg []byte, want string, r row, answered bool) string {
	t.Helper()
	s.send(msg)
	var finals []*sip.Message
	relays := b.callee.wait(strings.Count(want, "relayed") + strings.Count(want, "twice"))
	if want != "dropped" && want != "closed" && (relays == 0 || answered) {
		if m := s.final(); m != nil {
			finals = append(finals, m)
		}
	}
	closed := strings.HasSuffix(want, "closed") && s.closed()
	if !closed {
		finals = append(finals, s.barrier()...)
		finals = append(finals, s.barrier()...)
	}
	return verdict(t, b.callee.requests(), msg, finals, closed, r, answered)
}

func verdict(t *testing.T, got [][]byte, msg []byte, finals []*sip.Message, closed bool, r row, answered bool) string {
	t.Helper()
	out := "dropped"
	switch {
	case len(got) == 1:
		out = "relayed"
		faithful(t, msg, got[0], r.edit)
	case len(got) == 2:
		out = "relayed twice"
	case len(got) > 2:
		out = "relayed " + strconv.Itoa(len(got)) + " times"
	case len(finals) > 0:
		out = strconv.Itoa(finals[0].StatusCode())
	}
	for i, m := range finals {
		if byCallee := string(m.Reason()) == "Callee"; byCallee != (len(got) > 0) || i >= max(1, len(got)) {
			t.Errorf("reply %d of %d is %s, with %d requests at the callee", i+1, len(finals), show(m), len(got))
		}
	}
	if answered && len(got) == 1 && len(finals) == 0 {
		t.Errorf("the callee's answer did not come back")
	}
	if closed {
		out += " closed"
	}
	return strings.TrimPrefix(out, "dropped ")
}

// plainVia is a Via line without what the next hop writes into it.
func plainVia(line string) string { return received.ReplaceAllString(squeeze(line), "") }

var (
	received = regexp.MustCompile(`;received=[][0-9a-f.:]+|;rport(=\d+)?`)
	hops     = regexp.MustCompile(`(?i)^Max-Forwards\s*:\s*(\d+)\s*$`)
)

// faithful compares what came out with what went in: a Via more on top, its
// place noted on the one below, a hop less, Max-Breadth, and what edit does to
// the start line and header lines.
func faithful(t *testing.T, sent, got []byte, edit func(lines []string) []string) {
	t.Helper()
	var in, out sip.Message
	if err := in.ParseDatagram(sent, nil); err != nil {
		t.Errorf("relayed what does not parse: %v", err)
		return
	}
	if err := out.ParseDatagram(got, nil); err != nil {
		t.Errorf("what was relayed does not parse: %v\n%q", err, got)
		return
	}
	if len(out.Raw()) != len(got) {
		t.Errorf("bytes beyond the message were passed on: %q", got[len(out.Raw()):])
	}
	if !bytes.Equal(in.Body(), out.Body()) {
		t.Errorf("the body changed:\n%q\n%q", in.Body(), out.Body())
	}
	a, b := headerLines(&in), headerLines(&out)
	if edit != nil {
		a = edit(a)
	}
	a, b = withoutHops(t, a, b)
	via := topVia(b)
	if !strings.HasPrefix(b[via], "Via: SIP/2.0/") || !strings.Contains(b[via], ";branch=z9hG4bK") {
		t.Errorf("no Via of ours on top, but %q", b[via])
	}
	b = append(b[:via:via], b[via+1:]...)
	if len(a) != len(b) {
		t.Errorf("%d header lines became %d:\n%q\n%q", len(a), len(b), a, b)
		return
	}
	for i := range a {
		if i == via && i == topVia(b) && plainVia(b[i]) == plainVia(a[i]) {
			continue
		}
		if a[i] != b[i] {
			t.Errorf("a line changed from\n%q to\n%q", a[i], b[i])
		}
	}
}

// squeeze joins a folded line; the Via whose received parameter was set is the
// one line where we do so too.
func squeeze(line string) string {
	name, value, _ := strings.Cut(line, ":")
	return strings.TrimSpace(name) + ": " + strings.Join(strings.Fields(value), " ")
}

// headerLines are the start line and the header lines with their folds.
func headerLines(m *sip.Message) []string {
	raw := string(m.Raw())
	lines := []string{raw[:strings.Index(raw, "\r\n")]}
	for i := range m.NumHeaders() {
		lines = append(lines, strings.TrimSuffix(string(m.Bytes(m.HeaderAt(i).Line)), "\r\n"))
	}
	return lines
}

func topVia(lines []string) int {
	for i, l := range lines {
		name, _, _ := strings.Cut(l, ":")
		if n := strings.ToLower(strings.TrimSpace(name)); n == "via" || n == "v" {
			return i
		}
	}
	return 0
}

// withoutHops checks and takes out Max-Forwards, and Max-Breadth where the
// sender had none.
func withoutHops(t *testing.T, a, b []string) ([]string, []string) {
	t.Helper()
	inLine, in := hopsOf(a)
	outLine, out := hopsOf(b)
	switch {
	case outLine < 0:
		t.Error("relayed without Max-Forwards")
		return a, b
	case inLine < 0 && out != 70:
		t.Errorf("Max-Forwards %d was added, want 70", out)
	case inLine >= 0 && out != in-1:
		t.Errorf("Max-Forwards %d became %d", in, out)
	}
	b = append(b[:outLine:outLine], b[outLine+1:]...)
	if inLine >= 0 {
		a = append(a[:inLine:inLine], a[inLine+1:]...)
	}
	for i, l := range b {
		if strings.HasPrefix(l, "Max-Breadth: ") {
			return a, append(b[:i:i], b[i+1:]...)
		}
	}
	return a, b
}

func hopsOf(lines []string) (at, n int) {
	for i, l := range lines {
		if m := hops.FindStringSubmatch(squeeze(l)); m != nil {
			n, err := strconv.Atoi(m[1])
			if err == nil {
				return i, n
			}
		}
	}
	return -1, 0
}

// TestTorture sends each message in each way to a proxy that has not seen it:
// its branch would make it a retransmission.
//
// Answers come back where the Via says. Over TCP without a transaction that is
// a listener of the sender's, which these messages' Vias do not name.
func TestTorture(t *testing.T) {
	msgs := tortureMessages(t)
	for name := range msgs {
		if _, ok := tortureTable[name]; !ok {
			t.Errorf("%s has no row", name)
		}
	}
	for _, way := range []struct {
		name, script string
		udp          bool
		answered     bool
		want         func(row) string
	}{
		{"stateful over UDP", stateful, true, true, func(r row) string { return r.udp }},
		{"stateful over TCP", stateful, false, true, func(r row) string { return r.tcp }},
		{"stateless over UDP", stateless, true, false, func(r row) string { return r.slUDP }},
		{"stateless over TCP", stateless, false, false, func(r row) string { return r.slTCP }},
	} {
		t.Run(way.name, func(t *testing.T) {
			b := start(t, way.script, "127.0.0.1")
			for name, r := range tortureTable {
				t.Run(name, func(t *testing.T) {
					if msgs[name] == nil {
						t.Fatal("there is no such message")
					}
					own := b.of(t)
					if r.again {
						own = start(t, way.script, "127.0.0.1")
					}
					s, want := own.tcp, way.want(r.filled())
					if way.udp {
						s = func() *sender { return own.udpFrom(cmp.Or(r.port, 5060)) }
					}
					if got := observe(t, own, s(), msgs[name], want, r, way.answered); got != want {
						t.Errorf("got %q, want %q: %s", got, want, r.why)
					}
				})
			}
			b.alive()
		})
	}
}
