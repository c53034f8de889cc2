package moduletest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Invite is a call from alice to bob with an SDP offer, received from
// 192.0.2.10:5062.
const Invite = `INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1;rport
Max-Forwards: 70
From: "Alice A." <sip:alice@example.org>;tag=a-tag
To: <sip:bob@example.com>
Call-ID: call-1@192.0.2.10
CSeq: 4711 INVITE
Contact: <sip:alice@192.0.2.10:5062>
User-Agent: phone/1.0
Content-Type: application/sdp

v=0
o=- 1 1 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
m=audio 4000 RTP/AVP 0 8
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=sendrecv
`

// Register is a registration of alice.
const Register = `REGISTER sip:example.org SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKr1
Max-Forwards: 70
From: <sip:alice@example.org>;tag=r-tag
To: <sip:alice@example.org>
Call-ID: reg-1@192.0.2.10
CSeq: 1 REGISTER
Contact: <sip:alice@192.0.2.10:5062>;expires=600
Expires: 3600
Content-Length: 0

`

// OK is a 200 to Invite.
const OK = `SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKp1
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1
From: "Alice A." <sip:alice@example.org>;tag=a-tag
To: <sip:bob@example.com>;tag=b-tag
Call-ID: call-1@192.0.2.10
CSeq: 4711 INVITE
Contact: <sip:bob@192.0.2.20:5060>
Content-Length: 0

`

// NewCtx is a context of kind over raw with a host of its own, which HostOf
// gives. Line feeds become CRLF; raw "" is no message.
func NewCtx(t testing.TB, raw string, kind api.Route) *api.Ctx {
	t.Helper()
	return NewHost(t).Ctx(raw, kind)
}

// HostOf is the test host of c.
func HostOf(c *api.Ctx) *Host { return c.Host.(*Host) }

// Wire turns the line feeds of s into CRLF, leaving those that are.
func Wire(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// Parse is raw as a message; a message that does not parse fails the test.
func Parse(t testing.TB, raw string) *sip.Message {
	t.Helper()
	lim := sip.DefaultLimits()
	m := &sip.Message{}
	if err := m.ParseDatagram([]byte(Wire(raw)), &lim); err != nil {
		t.Fatalf("message does not parse: %v\n%s", err, raw)
	}
	return m
}

// Ctx is a context of kind over raw; see NewCtx. In reply and failure routes
// Tx is a fake transaction.
func (h *Host) Ctx(raw string, kind api.Route) *api.Ctx {
	h.T.Helper()
	c := &api.Ctx{Kind: kind, Route: "main", Host: h, Branch: -1, State: &api.State{},
		Target: &api.Target{Q: -1}, Source: api.Source{Received: h.Clock}}
	if len(h.Socks) > 0 {
		c.Source.Socket = h.Socks[0]
		c.Source.Remote = netip.MustParseAddrPort("192.0.2.10:5062")
	}
	if raw == "" {
		return c
	}
	c.Msg = &sip.Draft{}
	c.Msg.Init(Parse(h.T, raw))
	if kind&(api.RouteFailure|api.RouteBranch|api.RouteReply) != 0 {
		c.Branch = 0
		c.Tx = NewTransaction(c)
	}
	return c
}

// WireOf is c's message as it would be sent now.
func WireOf(c *api.Ctx) string { return string(c.Msg.Serialise(nil)) }
