package enginetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Patience is how long Receive and Expect wait for a message.
const Patience = 10 * time.Second

// link is what an agent sends and receives by.
type link interface {
	send(to netip.AddrPort, b []byte) error
	// recv waits at most d; os.ErrDeadlineExceeded then.
	recv(d time.Duration) ([]byte, netip.AddrPort, error)
	Close() error
}

// Agent is a user agent that sends what it is told and hands over what it
// receives. It knows no transactions. It is for the test's goroutine; only
// Send may be called from others.
type Agent struct {
	Addr  netip.AddrPort // its own
	Proxy netip.AddrPort // where it sends to

	rig   *Rig
	link  link
	proto api.Proto
}

// Agent makes a user agent with a UDP socket of its own.
func (r *Rig) Agent() *Agent {
	r.t.Helper()
	r.agents++
	a := &Agent{rig: r, proto: api.ProtoUDP, Proxy: r.socket(api.ProtoUDP).Addr}
	if r.real {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Proxy.Addr(), 0)))
		if err != nil {
			r.t.Fatal(err)
		}
		a.Addr, a.link = c.LocalAddr().(*net.UDPAddr).AddrPort(), &udpLink{c, make([]byte, 65536)}
	} else {
		p, err := r.Wire.ListenUDP(fmt.Sprintf("10.0.%d.%d:5060", 1+r.agents/250, 1+r.agents%250))
		if err != nil {
			r.t.Fatal(err)
		}
		a.Addr, a.link = p.Addr(), wireLink{p}
	}
	r.t.Cleanup(func() { a.Close() })
	return a
}

// Dial makes a user agent that is connected to the engine's TCP socket.
func (r *Rig) Dial() *Agent {
	r.t.Helper()
	r.agents++
	a := &Agent{rig: r, proto: api.ProtoTCP, Proxy: r.socket(api.ProtoTCP).Addr}
	var c net.Conn
	var err error
	if r.real {
		c, err = net.Dial("tcp", a.Proxy.String())
	} else {
		c, err = r.Wire.Dial(context.Background(), fmt.Sprintf("10.1.%d.%d:0", 1+r.agents/250, 1+r.agents%250), a.Proxy.String())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	a.Addr, a.link = c.LocalAddr().(*net.TCPAddr).AddrPort(), &streamLink{conn: c}
	r.t.Cleanup(func() { a.Close() })
	return a
}

// Close ends the agent's socket; it may be called again.
func (a *Agent) Close() {
	if err := a.link.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		a.rig.t.Errorf("closing agent %s: %v", a.Addr, err)
	}
}

// Send sends one message, or whatever b holds, to the proxy.
func (a *Agent) Send(b string) {
	if err := a.link.send(a.Proxy, []byte(b)); err != nil {
		a.rig.t.Errorf("agent %s cannot send: %v", a.Addr, err)
	}
}

// Receive waits for the next message; nil when none came within d or the
// connection ended. One that does not parse fails the test.
func (a *Agent) Receive(d time.Duration) *sip.Message {
	a.rig.t.Helper()
	b, _, err := a.link.recv(d)
	if err != nil {
		return nil
	}
	m, lim := &sip.Message{}, sip.DefaultLimits()
	if err := m.ParseDatagram(b, &lim); err != nil {
		a.rig.t.Fatalf("agent %s got what does not parse: %v\n%q", a.Addr, err, b)
	}
	return m
}

// Raw waits for the next message as bytes, "" when none came within d.
func (a *Agent) Raw(d time.Duration) string {
	b, _, err := a.link.recv(d)
	if err != nil {
		return ""
	}
	return string(b)
}

// Expect waits for a message and fails the test unless it is a request of that
// method, or a reply of that status: "INVITE", "180".
func (a *Agent) Expect(want string) *sip.Message {
	a.rig.t.Helper()
	m := a.Receive(Patience)
	if m == nil {
		a.rig.t.Fatalf("agent %s got nothing within %s, want %s", a.Addr, Patience, want)
	}
	if got := Kind(m); got != want {
		a.rig.t.Fatalf("agent %s got %s, want %s:\n%s", a.Addr, got, want, m.Raw())
	}
	return m
}

// Quiet fails the test when a message comes within d.
func (a *Agent) Quiet(d time.Duration) {
	a.rig.t.Helper()
	if m := a.Receive(d); m != nil {
		a.rig.t.Fatalf("agent %s got a message, want none:\n%s", a.Addr, m.Raw())
	}
}

// Closed fails the test unless the peer ends the connection without a message.
func (a *Agent) Closed() {
	a.rig.t.Helper()
	b, _, err := a.link.recv(Patience)
	if err == nil {
		a.rig.t.Fatalf("agent %s got %q, want the end of the connection", a.Addr, b)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		a.rig.t.Fatalf("agent %s: the connection is still open after %s", a.Addr, Patience)
	}
}

// Reply answers a request; its Contact is the agent's own.
func (a *Agent) Reply(req *sip.Message, code int, headers ...string) {
	o := sip.ReplyOptions{Headers: fmt.Appendf(nil, "Contact: <sip:agent@%s>\r\n%s", a.Addr, lines(headers))}
	if code > 100 {
		o.ToTag = []byte("agent")
	}
	a.Send(string(sip.AppendReply(nil, req, code, sip.ReasonPhrase(code), &o)))
}

// Kind is the method of a request, the status of a reply.
func Kind(m *sip.Message) string {
	if m.IsRequest() {
		return string(m.MethodName())
	}
	return strconv.Itoa(m.StatusCode())
}

func lines(headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	return strings.Join(headers, "\r\n") + "\r\n"
}

// Call writes the requests of one call, as its caller.
type Call struct {
	ID    string // Call-ID
	URI   string // Request-URI and To
	ToTag string // "" outside a dialog
	Agent *Agent
}

// Call begins a call from a to a URI.
func (a *Agent) Call(id, uri string) *Call { return &Call{ID: id, URI: uri, Agent: a} }

// To begins a call from a to another agent.
func (a *Agent) To(id string, b *Agent) *Call {
	uri := "sip:b@" + b.Addr.String()
	if b.proto == api.ProtoTCP {
		uri += ";transport=tcp"
	}
	return a.Call(id, uri)
}

// Request writes a request. Its branch is the same for the same method and
// CSeq; an ACK and a CANCEL have their INVITE's.
func (c *Call) Request(method string, cseq int, headers ...string) string {
	return c.write(method, cseq, "", headers)
}

// RequestWithBody is Request with a body of type text/plain.
func (c *Call) RequestWithBody(method string, cseq int, body string, headers ...string) string {
	return c.write(method, cseq, body, append(headers, "Content-Type: text/plain"))
}

func (c *Call) write(method string, cseq int, body string, headers []string) string {
	first, tag := method, ""
	if method == "ACK" || method == "CANCEL" {
		first = "INVITE"
	}
	if c.ToTag != "" {
		tag = ";tag=" + c.ToTag
	}
	a := c.Agent
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s-%d-%s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:a@%s>;tag=a\r\nTo: <%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:a@%s>\r\n%sContent-Length: %d\r\n\r\n%s",
		method, c.URI, a.proto.Via(), a.Addr, c.ID, cseq, first,
		a.Addr, c.URI, tag, c.ID, cseq, method, a.Addr, lines(headers), len(body), body)
}

// Send writes and sends a request.
func (c *Call) Send(method string, cseq int, headers ...string) {
	c.Agent.Send(c.Request(method, cseq, headers...))
}
