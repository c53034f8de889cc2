// Package ua is a user agent for tests that writes SIP by hand, over UDP (Conn)
// or TCP (Stream): what it sends is what the test wants, in the order and at the
// pace of the test. It knows no transactions and resends nothing.
package ua

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// Conn is a UDP socket that speaks SIP. It is for one goroutine at a time.
type Conn struct {
	conn *net.UDPConn
	addr netip.AddrPort
	buf  []byte
	msg  sip.Message
}

// Listen opens one on addr, port 0 for a free one.
func Listen(addr netip.AddrPort) (*Conn, error) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &Conn{conn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), buf: make([]byte, 65536)}, nil
}

// Loopback opens one on a free port of 127.0.0.1.
func Loopback() (*Conn, error) { return Listen(netip.MustParseAddrPort("127.0.0.1:0")) }

// Addr is the local address.
func (c *Conn) Addr() netip.AddrPort { return c.addr }

// Close closes the socket; a Receive that waits returns.
func (c *Conn) Close() error { return c.conn.Close() }

// Send sends one datagram.
func (c *Conn) Send(to netip.AddrPort, msg []byte) error {
	_, err := c.conn.WriteToUDPAddrPort(msg, to)
	return err
}

// Receive is the next message, valid until the next call; nil without an error
// when none came within d.
func (c *Conn) Receive(d time.Duration) (*sip.Message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	n, err := c.conn.Read(c.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lim := sip.DefaultLimits()
	if err := c.msg.ParseDatagram(c.buf[:n], &lim); err != nil {
		return nil, fmt.Errorf("%s got a message that does not parse: %w\n%s", c.addr, err, c.buf[:n])
	}
	return &c.msg, nil
}

// Call is what the messages of one call have in common.
type Call struct {
	ID       string
	From, To netip.AddrPort // user agents
	Over     string         // "tcp"; "" is UDP
	ToTag    string
	routes   string // Route headers of later requests, ready to write
	target   string // their request URI
}

// Request writes one request of the call.
func (c *Call) Request(method string, cseq int, branch string) []byte {
	uri, toTag := c.target, ""
	proto, param := "UDP", ""
	if c.Over != "" {
		proto, param = strings.ToUpper(c.Over), ";transport="+c.Over
	}
	if uri == "" {
		uri = fmt.Sprintf("sip:callee@%s%s", c.To, param)
	}
	if c.ToTag != "" {
		toTag = ";tag=" + c.ToTag
	}
	return fmt.Appendf(nil, "%s %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s\r\n%sMax-Forwards: 70\r\n"+
		"From: <sip:caller@%s>;tag=f\r\nTo: <sip:callee@%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n"+
		"Contact: <sip:caller@%s%s>\r\nContent-Length: 0\r\n\r\n",
		method, uri, proto, c.From, branch, c.routes, c.From, c.To, toTag, c.ID, cseq, method, c.From, param)
}

// Learn takes the route set and target from a reply that makes a dialog, as a
// caller does (RFC 3261 §12.1.2).
func (c *Call) Learn(m *sip.Message) {
	if n, err := m.To(); err == nil {
		c.ToTag = string(n.Tag)
	}
	var rr []string
	for i := range m.NumHeaders() {
		h := m.HeaderAt(i)
		v := m.Bytes(h.Value)
		switch h.ID {
		case sip.HdrRecordRoute:
			rr = append(rr, string(v))
		case sip.HdrContact:
			if a, b := bytes.IndexByte(v, '<'), bytes.IndexByte(v, '>'); a >= 0 && b > a {
				c.target = string(v[a+1 : b])
			}
		}
	}
	var sb strings.Builder
	for i := len(rr) - 1; i >= 0; i-- {
		fmt.Fprintf(&sb, "Route: %s\r\n", rr[i])
	}
	c.routes = sb.String()
}

// Reply writes a reply to req as a callee at addr does; an empty tag adds none.
func Reply(req *sip.Message, code int, tag string, addr netip.AddrPort) []byte {
	return ReplyFrom(req, code, tag, addr.String())
}

// ReplyFrom is Reply of a callee whose Contact is sip:callee@ and place, which
// may carry parameters.
func ReplyFrom(req *sip.Message, code int, tag, place string) []byte {
	o := sip.ReplyOptions{Headers: fmt.Appendf(nil, "Contact: <sip:callee@%s>\r\n", place)}
	if tag != "" {
		o.ToTag = []byte(tag)
	}
	return sip.AppendReply(nil, req, code, sip.ReasonPhrase(code), &o)
}

// Target sets the request URI of requests before a dialog gives one.
func (c *Call) Target(uri string) { c.target = uri }
