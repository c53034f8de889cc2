package api

import (
	"net/netip"
	"time"
)

// Proto is a SIP transport protocol (RFC 3261 §18, RFC 7118).
type Proto uint8

// The transports. ProtoAny leaves the choice to RFC 3263.
const (
	ProtoAny Proto = iota
	ProtoUDP
	ProtoTCP
	ProtoTLS
	ProtoWS
	ProtoWSS
)

var protoNames = [...]string{"any", "udp", "tcp", "tls", "ws", "wss"}
var protoVia = [...]string{"", "UDP", "TCP", "TLS", "WS", "WSS"}

// String is the lower-case name that scripts write: "udp", "tls".
func (p Proto) String() string {
	if int(p) < len(protoNames) {
		return protoNames[p]
	}
	return "invalid"
}

// Via is the upper-case name that a Via header carries (RFC 3261 §20.42).
func (p Proto) Via() string {
	if int(p) < len(protoVia) {
		return protoVia[p]
	}
	return ""
}

// Stream reports whether the transport keeps connections: all but UDP do.
func (p Proto) Stream() bool { return p >= ProtoTCP }

// Secure reports whether the transport is one that a sips URI may use.
func (p Proto) Secure() bool { return p == ProtoTLS || p == ProtoWSS }

// DefaultPort is the port of RFC 3261 §19.1.2 and RFC 7118: 5060, 5061, 80, 443.
func (p Proto) DefaultPort() uint16 {
	switch p {
	case ProtoTLS:
		return 5061
	case ProtoWS:
		return 80
	case ProtoWSS:
		return 443
	}
	return 5060
}

// ParseProto reads a transport name in any case; ok is false for an unknown one.
func ParseProto(s string) (p Proto, ok bool) {
	if len(s) < 2 || len(s) > 3 {
		return 0, false
	}
	for i := 1; i < len(protoNames); i++ {
		if equalFold(protoNames[i], s) {
			return Proto(i), true
		}
	}
	return 0, false
}

// ParseProtoBytes is ParseProto over bytes, without allocation.
func ParseProtoBytes(b []byte) (p Proto, ok bool) {
	if len(b) < 2 || len(b) > 3 {
		return 0, false
	}
	for i := 1; i < len(protoNames); i++ {
		if equalFold(protoNames[i], string(b)) {
			return Proto(i), true
		}
	}
	return 0, false
}

func equalFold(lower, s string) bool {
	if len(lower) != len(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Socket is one address that the proxy listens on and sends from. It is made
// at start, immutable, and compared by pointer.
type Socket struct {
	Index int            // position in the order of declaration, from 0
	Proto Proto          // never ProtoAny
	Addr  netip.AddrPort // bound address; a wildcard is expanded into one Socket per address
	Name  string         // "udp:127.0.0.1:5060", as msg.socket_in shows it
	Tag   string         // name given by the script; "" when none

	// Via sent-by and Record-Route host and port: the advertised address when
	// one is given, else Addr. Host is bracketed for IPv6.
	Host       string
	Port       uint16
	Advertised bool // Host and Port come from the script

	// SentBy is "host:port" as it stands in Via and Record-Route.
	SentBy string
}

// Flow names one connection of a stream transport for the life of the process;
// 0 is no flow (UDP, or "open one").
type Flow uint64

// Source tells where a message came from.
type Source struct {
	Socket   *Socket        // socket it arrived on, never nil for a received message
	Remote   netip.AddrPort // transport peer
	Flow     Flow           // connection it came by; 0 on UDP
	Received time.Time      // when it was read
	// Real addresses carried by a PROXY protocol header; zero when none came.
	ProxySrc, ProxyDst netip.AddrPort
}

// Dest is one place a message can be handed to.
type Dest struct {
	Proto  Proto          // resolved transport, never ProtoAny when sending
	Addr   netip.AddrPort // peer address
	Socket *Socket        // local socket to send from; nil lets the transport pick one of the protocol and family
	Flow   Flow           // connection to reuse first; 0 for any to Addr
	NoOpen bool           // fail rather than open a new connection
}

// SendObserver hears of a message that could not be handed to the kernel or
// whose connection failed. It is called with the worker's token held, at the
// latest when the connect or send deadline has passed.
type SendObserver interface {
	// SendFailed tells why; RFC 3261 §16.9 treats it as a 503 of that branch.
	SendFailed(err error)
}

// Outbox gathers what a worker sends while it holds its token. Everything
// queued is handed to the kernel, or to the connection's queue, in order,
// before the token is let go.
type Outbox interface {
	// Buffer is an empty slice with room for a usual message. Append the
	// message to it and hand it to Send at once; one at a time.
	Buffer() []byte
	// Send queues b, which came from Buffer or is the caller's to lose.
	// obs may be nil. An error is a local one known at once: no socket of
	// that family and protocol, message larger than the transport carries.
	Send(to Dest, b []byte, obs SendObserver) error
	// Pick returns the local socket that Send would use for to (to.Socket
	// when set), so that Via can name it; nil when there is none.
	Pick(to Dest) *Socket
}
