// Package conformance_test puts on the wire what RFC 4475, RFC 5118 and past
// security advisories say that breaks proxies, and looks at what the built
// program sends on, byte by byte, and what it answers.
package conformance_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long an expected message may take.
const patience = 3 * time.Second

// bench is luasips between senders, which the tests make, and one callee.
type bench struct {
	t      *testing.T
	server *peers.Server
	proxy  netip.AddrPort
	callee *callee
	serial atomic.Int32
}

// stateful and stateless scripts send every request to {callee}, except those
// to probe@, which they answer.
const (
	head = `
config { log_level = "info", tcp_max_msg_time = 1 }
socket "udp:{ip}:{port}"
socket "tcp:{ip}:{port}"
local sl = loadmodule "sl"
local tm = loadmodule "tm"
local sipmsgops = loadmodule "sipmsgops"
`
	probe = `
  if msg.rU == "probe" then return sl.sl_send_reply(200, "Probe") end
  if string.match(msg.ru, "^sips?:") then msg.du = "sip:{callee}" end
`
	stateful = head + `
function route.main(msg)` + probe + `
  tm.t_relay()
end`
	stateless = head + `
function route.main(msg)` + probe + `
  if not core.forward() then sl.sl_send_reply(500, "Not Forwarded") end
end`
)

// start runs a script on loopback; ip is an address of it, in brackets for
// IPv6.
func start(t *testing.T, script, ip string) *bench {
	t.Helper()
	b := &bench{t: t, callee: newCallee(t, strings.Trim(ip, "[]"))}
	script = strings.NewReplacer("{callee}", b.callee.addr.String(), "{ip}", ip).Replace(script)
	port := peers.Port(t)
	b.server = peers.StartLuasips(t, peers.Luasips{Script: script, Port: port, Args: []string{"--no-control"}})
	b.proxy = netip.MustParseAddrPort(fmt.Sprintf("%s:%d", ip, port))
	return b
}

// of is b for another test.
func (b *bench) of(t *testing.T) *bench {
	o := &bench{t: t, server: b.server, proxy: b.proxy, callee: b.callee}
	o.serial.Store(b.serial.Add(1))
	return o
}

// alive fails the test when the program is gone or logged a panic.
func (b *bench) alive() {
	b.t.Helper()
	if log := b.server.Log(); strings.Contains(log, "panic") {
		b.t.Errorf("a panic is in the log:\n%s", log)
	}
	s := b.udp()
	s.send(request("OPTIONS", "probe", s, ""))
	if m := s.final(); m == nil || m.StatusCode() != 200 {
		b.t.Errorf("the program does not answer any more: %s", show(m))
	}
}

// callee is a user agent that keeps what it gets, by UDP and TCP, and answers
// every request but ACK with "404 Callee".
type callee struct {
	addr  netip.AddrPort
	mu    sync.Mutex
	got   [][]byte
	wake  chan struct{} // one for each of got
	conns []net.Conn
}

func newCallee(t *testing.T, ip string) *callee {
	t.Helper()
	c := &callee{addr: netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(peers.Port(t))), wake: make(chan struct{}, 4096)}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(c.addr))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", c.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { c.datagrams(udp) })
	all.Go(func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			all.Go(func() { c.stream(conn) })
		}
	})
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		c.mu.Lock()
		for _, conn := range c.conns {
			conn.Close()
		}
		c.mu.Unlock()
		all.Wait()
	})
	return c
}

func (c *callee) datagrams(conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if r := c.take(bytes.Clone(buf[:n])); r != nil {
			conn.WriteToUDPAddrPort(r, from)
		}
	}
}

func (c *callee) stream(conn net.Conn) {
	s := sender{conn: conn}
	for {
		b, err := s.frame(time.Hour)
		if err != nil {
			return
		}
		if r := c.take(b); r != nil {
			conn.Write(r)
		}
	}
}

// take keeps one message and returns the answer to it.
func (c *callee) take(b []byte) (answer []byte) {
	var m sip.Message
	if err := m.ParseDatagram(b, nil); err == nil && m.IsRequest() && m.Method() != sip.ACK {
		answer = sip.AppendReply(nil, &m, 404, "Callee", &sip.ReplyOptions{ToTag: []byte("c")})
	}
	if bytes.HasPrefix(b, []byte("ACK ")) {
		return nil // to the callee's own 404
	}
	c.mu.Lock()
	c.got = append(c.got, b)
	c.mu.Unlock()
	c.wake <- struct{}{}
	return answer
}

// wait returns when n messages have come, or in patience.
func (c *callee) wait(n int) int {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for i := range n {
		select {
		case <-c.wake:
		case <-timeout.C:
			return i
		}
	}
	return n
}

// requests hands over what has come.
func (c *callee) requests() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	for {
		select {
		case <-c.wake:
		default:
			return got
		}
	}
}

// sender is a peer of the proxy with a socket of its own.
type sender struct {
	t     *testing.T
	conn  net.Conn
	udp   bool
	addr  netip.AddrPort
	buf   []byte
	state sip.FrameState
}

// udp makes a sender on port 5060 of a loopback address of its own, so that
// what is answered along a Via without a port comes back to it.
func (b *bench) udp() *sender {
	b.t.Helper()
	return b.udpFrom(5060)
}

func (b *bench) udpFrom(port int) *sender {
	b.t.Helper()
	if b.proxy.Addr().Is6() {
		return b.dialed("udp", nil)
	}
	for range 50 {
		n := int(b.serial.Add(1))
		local := &net.UDPAddr{IP: net.IPv4(127, byte(10+os.Getpid()%200), byte(n/250), byte(1+n%250)), Port: port}
		if c, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(b.proxy)); err == nil {
			return b.senderOn(c, true)
		}
	}
	b.t.Fatalf("no loopback address has port %d free", port)
	return nil
}

// tcp makes a sender with a connection of its own.
func (b *bench) tcp() *sender {
	b.t.Helper()
	return b.dialed("tcp", nil)
}

func (b *bench) dialed(network string, local net.Addr) *sender {
	b.t.Helper()
	d := net.Dialer{LocalAddr: local}
	c, err := d.Dial(network, b.proxy.String())
	if err != nil {
		b.t.Fatal(err)
	}
	return b.senderOn(c, network == "udp")
}

func (b *bench) senderOn(c net.Conn, udp bool) *sender {
	b.t.Cleanup(func() { c.Close() })
	return &sender{t: b.t, conn: c, udp: udp, addr: netip.MustParseAddrPort(c.LocalAddr().String())}
}

func (s *sender) send(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatalf("sending: %v", err)
	}
}

// message is the next message; nil with io.EOF when the peer has closed, with
// another error when none came within d.
func (s *sender) message(d time.Duration) (*sip.Message, error) {
	b, err := s.frame(d)
	if err != nil {
		return nil, err
	}
	m := &sip.Message{}
	if err := m.ParseDatagram(b, nil); err != nil && m.StatusCode() == 0 {
		s.t.Errorf("got what is no reply: %v\n%q", err, b)
	}
	return m, nil
}

func (s *sender) frame(d time.Duration) ([]byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	chunk := make([]byte, 1<<16)
	for {
		if !s.udp {
			skip, n, _, err := sip.Frame(s.buf, nil, &s.state)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				b := bytes.Clone(s.buf[skip : skip+n])
				s.buf = s.buf[skip+n:]
				return b, nil
			}
			s.buf = s.buf[skip:]
		}
		n, err := s.conn.Read(chunk)
		if n > 0 && s.udp {
			return bytes.Clone(chunk[:n]), nil
		}
		s.buf = append(s.buf, chunk[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// final is the next final reply; nil when none came in time.
func (s *sender) final() *sip.Message {
	for {
		m, err := s.message(patience)
		if err != nil {
			return nil
		}
		if !m.IsRequest() && m.StatusCode() >= 200 {
			return m
		}
	}
}

// barrier sends a request that the script answers and waits for that, so that
// what was sent before has had its effect. It returns the other final replies.
func (s *sender) barrier() []*sip.Message {
	s.t.Helper()
	id := fmt.Sprintf("probe-%d", barriers.Add(1))
	s.send(request("OPTIONS", id, s, ""))
	var others []*sip.Message
	for {
		m, err := s.message(patience)
		if err != nil {
			s.t.Errorf("no answer to a request behind it: %v", err)
			return others
		}
		if string(m.CallID()) == id {
			return others
		}
		if m.StatusCode() >= 200 {
			others = append(others, m)
		}
	}
}

// closed waits for the peer to close the connection.
func (s *sender) closed() bool {
	for {
		_, err := s.message(patience)
		if err == io.EOF || err != nil && strings.Contains(err.Error(), "reset") {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// barriers numbers them.
var barriers atomic.Int64

// request writes a well-formed request with Call-ID id; headers are whole
// lines. It goes to probe@ when id begins so.
func request(method, id string, s *sender, headers string) []byte {
	user, proto := "callee", "TCP"
	if strings.HasPrefix(id, "probe") {
		user = "probe"
	}
	if s.udp {
		proto = "UDP"
	}
	return fmt.Appendf(nil, "%s sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK-%s\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\n"+
		"To: <sip:%s@example.com>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n",
		method, user, s.conn.RemoteAddr(), proto, s.addr, id, user, id, method, headers)
}

func show(m *sip.Message) string {
	if m == nil {
		return "nothing"
	}
	if m.IsRequest() {
		return string(m.MethodName())
	}
	return fmt.Sprintf("%d %s", m.StatusCode(), m.Reason())
}
