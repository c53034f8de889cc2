package interop_test

import (
	"bufio"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// newUA opens a socket that speaks SIP until the test ends.
func newUA(t *testing.T) *ua.Conn {
	t.Helper()
	u, err := ua.Loopback()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// agent sends and receives SIP over UDP or TCP.
type agent interface {
	Addr() netip.AddrPort
	Send(to netip.AddrPort, msg []byte) error
	Receive(time.Duration) (*sip.Message, error)
	Close() error
}

// newAgent opens one over a transport until the test ends.
func newAgent(t *testing.T, tr peers.Transport) agent {
	t.Helper()
	if tr == peers.UDP {
		return newUA(t)
	}
	s, err := ua.ListenStream(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the proxy may have closed its connections
	return s
}

// phone is a user agent whose every step a test writes down.
type phone struct {
	agent
	t     *testing.T
	proxy netip.AddrPort
	over  peers.Transport
}

func newPhone(t *testing.T, p *proxy) *phone {
	t.Helper()
	return newPhoneOver(t, p, peers.UDP)
}

// newPhoneOver is newPhone over a transport.
func newPhoneOver(t *testing.T, p *proxy, tr peers.Transport) *phone {
	t.Helper()
	return &phone{newAgent(t, tr), t, p.addr, tr}
}

// place is where the phone is reached, as it stands in a URI behind the @.
func (p *phone) place() string {
	if p.over == peers.UDP {
		return p.Addr().String()
	}
	return p.Addr().String() + ";transport=" + string(p.over)
}

// patience is how long a phone waits for what must come.
const patience = 5 * time.Second

// send sends what the test has written.
func (p *phone) send(msg []byte) {
	p.t.Helper()
	if err := p.Send(p.proxy, msg); err != nil {
		p.t.Fatal(err)
	}
}

// reply answers a request.
func (p *phone) reply(req *sip.Message, code int, tag string) {
	p.t.Helper()
	p.send(ua.ReplyFrom(req, code, tag, p.place()))
}

// next is the next message that wanted takes, a copy; others are passed over.
func (p *phone) next(what string, wanted func(*sip.Message) bool) *sip.Message {
	p.t.Helper()
	var seen []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		m, err := p.Receive(time.Until(end))
		if err != nil {
			p.t.Fatal(err)
		}
		if m == nil {
			break
		}
		if wanted(m) {
			return clone(p.t, m)
		}
		line, _, _ := strings.Cut(string(m.Raw()), "\r\n")
		seen = append(seen, line)
	}
	p.t.Fatalf("%s: no %s within %v; it got %q", p.Addr(), what, patience, seen)
	return nil
}

// request waits for a request.
func (p *phone) request(method sip.Method) *sip.Message {
	p.t.Helper()
	return p.next(method.String(), func(m *sip.Message) bool { return m.IsRequest() && m.Method() == method })
}

// final waits for the final response to a request of method, which must have code.
func (p *phone) final(method sip.Method, code int) *sip.Message {
	p.t.Helper()
	m := p.next("final response to "+method.String(), func(m *sip.Message) bool {
		cseq, err := m.CSeq()
		return err == nil && !m.IsRequest() && cseq.Method == method && m.StatusCode() >= 200
	})
	if m.StatusCode() != code {
		p.t.Fatalf("%s got %d to its %s, want %d:\n%s", p.Addr(), m.StatusCode(), method, code, m.Raw())
	}
	return m
}

// provisional waits for a provisional response with code.
func (p *phone) provisional(code int) {
	p.t.Helper()
	p.next("provisional response", func(m *sip.Message) bool { return m.StatusCode() == code })
}

// silence fails the test when anything comes within d that unwanted takes.
func (p *phone) silence(d time.Duration, unwanted func(*sip.Message) bool) {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		m, err := p.Receive(time.Until(end))
		if err != nil {
			p.t.Fatal(err)
		}
		if m != nil && unwanted(m) {
			p.t.Fatalf("%s got what it should not:\n%s", p.Addr(), m.Raw())
		}
	}
}

func anything(*sip.Message) bool { return true }

func isRequest(m *sip.Message) bool { return m.IsRequest() }

// clone is a copy of m that outlives the next Receive.
func clone(t *testing.T, m *sip.Message) *sip.Message {
	t.Helper()
	c := new(sip.Message)
	lim := sip.DefaultLimits()
	if err := c.ParseDatagram(append([]byte(nil), m.Raw()...), &lim); err != nil {
		t.Fatal(err)
	}
	return c
}

// call is a call of the phone to a user agent.
func (p *phone) call(id string, to netip.AddrPort) *ua.Call {
	c := &ua.Call{ID: id, From: p.Addr(), To: to}
	if p.over != peers.UDP {
		c.Over = string(p.over)
	}
	return c
}

// invite starts a call.
func (p *phone) invite(c *ua.Call) {
	p.t.Helper()
	p.send(c.Request("INVITE", 1, c.ID+"i"))
}

// refused acknowledges a final response other than 2xx, on the INVITE's branch.
func (p *phone) refused(c *ua.Call, m *sip.Message) {
	p.t.Helper()
	to, err := m.To()
	if err != nil {
		p.t.Fatal(err)
	}
	c.ToTag = string(to.Tag)
	p.send(c.Request("ACK", 1, c.ID+"i"))
	c.ToTag = ""
}

// talkAndHangUp acknowledges a 200 and ends the call, whose callee is to be
// another phone of the test.
func (p *phone) talkAndHangUp(c *ua.Call, ok *sip.Message, callee *phone) {
	p.t.Helper()
	c.Learn(ok)
	p.send(c.Request("ACK", 1, c.ID+"a"))
	callee.request(sip.ACK)
	p.send(c.Request("BYE", 2, c.ID+"b"))
	callee.reply(callee.request(sip.BYE), 200, "")
	p.final(sip.BYE, 200)
}

// sippLimit ends a caller that hangs.
const sippLimit = 25 * time.Second

// sippUAS is a running SIPp as the callee of a test.
func sippUAS(t *testing.T, name string, tr peers.Transport) *peers.SIPpRun {
	t.Helper()
	return peers.StartSIPp(t, peers.SIPp{Name: name, Transport: tr, Trace: true})
}

// sippUAC plays a caller through the proxy to its end.
func sippUAC(t *testing.T, p *proxy, s peers.SIPp) peers.Result {
	t.Helper()
	s.Remote, s.Trace = p.Addr(), true
	if s.Calls == 0 {
		s.Calls = 1
	}
	if s.Timeout == 0 {
		s.Timeout = sippLimit
	}
	r := peers.StartSIPp(t, s).Wait()
	r.MustSucceed(t, s.Calls)
	return r
}

// stream is a TCP connection to the proxy.
type stream struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// dialTCP connects until the test ends.
func dialTCP(t *testing.T, addr netip.AddrPort) *stream {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test may have closed it
	return &stream{c, t, bufio.NewReader(c)}
}

func (s *stream) local() string { return s.LocalAddr().String() }

func (s *stream) send(text string) {
	s.t.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// startLine is that of the next message, which must have no body.
func (s *stream) startLine() string {
	s.t.Helper()
	if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	first := ""
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("reading the answer: %v", err)
		}
		if first == "" {
			first = strings.TrimSpace(line)
		}
		if line == "\r\n" {
			return first
		}
	}
}
