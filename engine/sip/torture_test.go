package sip_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// tortureDir is where the RFC 4475 messages lie in the module cache.
func tortureDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/emiago/sipgo").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "sip", "testdata", "torture")
}

// tortureMessages returns all messages by name.
func tortureMessages(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tortureDir(t), "*", "*.dat"))
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

// verdict is what becomes of a message: accepted to be routed, or refused with
// a status, answered where respond is set and else dropped.
type verdict struct {
	code    int // 0: accepted
	respond bool
	about   string // header at fault
	note    string
}

var accepted = verdict{}

// tortureVerdicts has a row for each message of RFC 4475, and for "test", which
// sipgo ships beside them.
var tortureVerdicts = map[string]verdict{
	// §3.1.1 valid
	"wsinv": accepted, "intmeth": accepted, "esc01": accepted, "escnull": accepted, "esc02": accepted,
	"lwsdisp": accepted, "longreq": accepted, "dblreq": accepted, "semiuri": accepted,
	"transports": accepted, "mpart01": accepted, "unreason": accepted, "noreason": accepted,
	// §3.1.2 invalid
	"badinv01":   {400, true, "Via", "empty parameters"},
	"clerr":      {400, true, "Content-Length", "larger than the message"},
	"ncl":        {400, true, "Content-Length", "negative"},
	"scalar02":   {400, true, "CSeq", "overflows"},
	"scalarlg":   {400, false, "CSeq", "a response is dropped"},
	"quotbal":    {400, true, "To", "unbalanced quote"},
	"ltgtruri":   {400, true, "", "Request-URI in <>"},
	"lwsruri":    {400, true, "", "white space in Request-URI"},
	"lwsstart":   {400, true, "", "two spaces in the request line"},
	"trws":       {400, true, "", "space behind the request line"},
	"escruri":    {0, false, "", "headers in Request-URI: routing removes them (RFC 3261 §16.6 item 2)"},
	"baddate":    {0, false, "", "a proxy does not read Date"},
	"regbadct":   {0, false, "", "Contact is the registrar's to refuse: TestTortureContacts"},
	"badaspec":   {400, true, "To", "white space in <>"},
	"baddn":      {400, true, "", "file lacks the empty line; and display names with a bare comma"},
	"badvers":    {505, true, "", "SIP/7.0"},
	"mismatch01": {400, true, "CSeq", "method differs"},
	"mismatch02": {400, true, "CSeq", "method differs"},
	"bigcode":    {400, false, "", "a response is dropped"},
	// §3.2 transaction layer
	"badbranch": {0, false, "", "the branch is only the cookie: TestTortureBranch"},
	// §3.3 application layer
	"insuf":    {400, true, "From", "From, To and Call-ID are missing"},
	"unkscm":   {0, false, "", "416 is the routing's"},
	"novelsc":  {0, false, "", "416 is the routing's"},
	"unksm2":   accepted,
	"bext01":   {0, false, "", "420 is the routing's"},
	"invut":    accepted,
	"regaut01": accepted,
	"multi01":  {400, true, "CSeq", "single headers doubled"},
	"mcl01":    {400, true, "Content-Length", "doubled"},
	"bcast":    {0, false, "", "the top Via decides whether it is ours"},
	"zeromf":   {0, false, "", "483 is the routing's"},
	"cparam01": accepted, "cparam02": accepted, "regescrt": accepted, "sdp01": accepted,
	// §3.4 backward compatibility
	"inv2543": accepted,
	"test":    {400, false, "", "no Via to answer along"},
}

func checkVerdict(t *testing.T, err error, want verdict) {
	t.Helper()
	var pe *sip.ParseError
	if !errors.As(err, &pe) {
		if want.code != 0 {
			t.Fatalf("accepted, want %d: %s", want.code, want.note)
		}
		return
	}
	if pe.Code != want.code || pe.Respond != want.respond || pe.Header != want.about {
		t.Errorf("got %d respond=%v header=%q (%v), want %d respond=%v header=%q",
			pe.Code, pe.Respond, pe.Header, pe, want.code, want.respond, want.about)
	}
}

func TestTortureDatagram(t *testing.T) {
	msgs := tortureMessages(t)
	if len(msgs) != len(tortureVerdicts) {
		t.Errorf("%d messages, %d verdicts", len(msgs), len(tortureVerdicts))
	}
	for name, b := range msgs {
		want, ok := tortureVerdicts[name]
		if !ok {
			t.Errorf("%s: no verdict", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			var m sip.Message
			checkVerdict(t, m.ParseDatagram(b, nil), want)
		})
	}
}

func TestTortureStream(t *testing.T) {
	cut := map[string]string{ // those that a stream cannot even frame
		"inv2543": "Content-Length", "mcl01": "Content-Length", "ncl": "Content-Length", "test": "",
	}
	short := map[string]bool{"clerr": true, "baddn": true} // more bytes are waited for
	for name, b := range tortureMessages(t) {
		t.Run(name, func(t *testing.T) {
			skip, n, _, err := sip.Frame(b, nil, new(sip.FrameState))
			if skip != 0 {
				t.Fatalf("skip %d", skip)
			}
			if about, ok := cut[name]; ok {
				var pe *sip.ParseError
				if !errors.As(err, &pe) || pe.Code != 400 || pe.Header != about || n == 0 {
					t.Fatalf("n %d err %v", n, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if short[name] {
				if n != 0 {
					t.Fatalf("framed %d bytes", n)
				}
				return
			}
			var m sip.Message
			checkVerdict(t, m.ParseFrame(b[:n], nil), tortureVerdicts[name])
		})
	}
}

func TestTortureContacts(t *testing.T) {
	msgs := tortureMessages(t)
	for name, want := range map[string]error{
		"regbadct": sip.ErrAddrNaked, "regescrt": nil, "cparam01": nil, "cparam02": nil, "esc01": nil,
		"wsinv": nil, "unksm2": nil, "badinv01": sip.ErrAddrParam,
	} {
		var m sip.Message
		_ = m.ParseDatagram(msgs[name], nil)
		var n sip.NameAddr
		if _, err := sip.ParseNameAddr(m.First(sip.HdrContact), &n); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func TestTortureBranch(t *testing.T) {
	var m sip.Message
	if err := m.ParseDatagram(tortureMessages(t)["badbranch"], nil); err != nil {
		t.Fatal(err)
	}
	via, err := m.Via()
	if err != nil || string(via.Branch) != "z9hG4bK" || via.HasCookie() {
		t.Errorf("branch %q cookie %v err %v", via.Branch, via.HasCookie(), err)
	}
}

// TestTortureDetails reads what the valid messages hide.
func TestTortureDetails(t *testing.T) {
	msgs := tortureMessages(t)
	parse := func(name string) *sip.Message {
		m := new(sip.Message)
		if err := m.ParseDatagram(msgs[name], nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return m
	}
	m := parse("wsinv")
	via, _ := m.Via()
	to, _ := m.To()
	from, _ := m.From()
	cseq, _ := m.CSeq()
	hops, _, _ := m.MaxForwards()
	for _, row := range [][2]string{
		{string(via.Transport), "UDP"}, {string(via.Host), "192.0.2.2"}, {string(via.Branch), "390skdjuw"},
		{string(to.Tag), "1918181833n"}, {string(from.Tag), "98asjd8"}, {string(cseq.MethodName), "INVITE"},
		{string(from.Display), `"J Rosenberg \\\""`}, {string(sip.Unquote(nil, from.Display)), `J Rosenberg \"`},
	} {
		if row[0] != row[1] {
			t.Errorf("wsinv: %q, want %q", row[0], row[1])
		}
	}
	if cseq.Num != 9 || hops != 68 || len(m.Body()) != 150 {
		t.Errorf("wsinv: CSeq %d hops %d body %d", cseq.Num, hops, len(m.Body()))
	}
	var hosts []string
	for i := range m.NumHeaders() {
		if h := m.HeaderAt(i); h.ID == sip.HdrVia {
			for v := range sip.SplitList(m.Bytes(h.Value)) {
				var via sip.Via
				if _, err := sip.ParseVia(v, &via); err != nil {
					t.Error(err)
				}
				hosts = append(hosts, string(via.Host)+" "+string(via.Branch))
			}
		}
	}
	if got := strings.Join(hosts, "; "); got != "192.0.2.2 390skdjuw; spindle.example.com z9hG4bK9ikj8; 192.168.255.111 z9hG4bK30239" {
		t.Errorf("wsinv Vias: %s", got)
	}

	m = parse("intmeth")
	u, err := m.RURI()
	if err != nil || string(u.Host) != "example.com" || string(u.User) != "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*" {
		t.Errorf("intmeth: %q %q %v", u.User, u.Host, err)
	}
	m = parse("semiuri")
	if u, err = m.RURI(); err != nil || string(u.User) != "user;par=u%40example.net" || string(u.Host) != "example.com" {
		t.Errorf("semiuri: %q %q %v", u.User, u.Host, err)
	}
	m = parse("esc01")
	var c sip.NameAddr
	if _, err := sip.ParseNameAddr(m.First(sip.HdrContact), &c); err != nil || !c.URI.LR() {
		t.Errorf("esc01: escaped lr is not seen: %v", err)
	}
	m = parse("dblreq")
	if len(m.Body()) != 0 || m.Method() != sip.REGISTER || len(m.Raw()) == len(msgs["dblreq"]) {
		t.Error("dblreq: the second request was not cut off")
	}
	m = parse("esc02")
	if m.Method() != sip.MethodOther || string(m.MethodName()) != "RE%47IST%45R" || string(m.Find([]byte("c%6Fntact"))) == "" {
		t.Error("esc02: escapes must not be resolved in names")
	}
	m = parse("noreason")
	if m.StatusCode() != 100 || len(m.Reason()) != 0 || m.Method() != sip.INVITE {
		t.Error("noreason")
	}
	m = parse("mpart01")
	boundary, ok := sip.Boundary(m.First(sip.HdrContentType))
	parts := 0
	for p := range sip.SplitMultipart(m.Body(), boundary) {
		parts++
		if len(p.Body.Of(m.Body())) == 0 {
			t.Error("mpart01: empty part")
		}
	}
	if !ok || parts != 2 {
		t.Errorf("mpart01: %d parts", parts)
	}
}
