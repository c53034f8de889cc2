package transport

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/luasips/luasips/engine/api"
)

// Errors that Send returns or a SendObserver hears of; match with errors.Is.
var (
	// ErrNoSocket: no socket of that protocol and address family is declared.
	ErrNoSocket = errors.New("no socket of that protocol and address family is declared")
	// ErrTooLarge: a datagram holds at most 65,507 bytes (65,527 with IPv6).
	ErrTooLarge = errors.New("message is larger than a UDP datagram carries; send it by a stream transport")
	// ErrFlowGone: the connection asked for is closed, and none may be opened.
	ErrFlowGone = errors.New("connection is closed and none may be opened in its place")
	// ErrQueueFull: the peer took nothing until the connection's queue was full.
	ErrQueueFull = errors.New("connection's write queue is full: the peer does not read")
	// ErrSendTimeout: the peer took nothing for the send timeout.
	ErrSendTimeout = errors.New("peer took nothing within the send timeout")
	// ErrTooManyConns: as many connections are open as the limits allow.
	ErrTooManyConns = errors.New("as many connections are open as tcp_max_connections allows")
	// ErrClosedFlow: the connection was closed before the message was written.
	ErrClosedFlow = errors.New("connection closed before the message was written")
	// ErrMsgTime closes a connection that did not bring a message whole in time.
	ErrMsgTime = errors.New("message did not arrive whole within tcp_max_msg_time")
	// ErrIdle closes a connection without traffic for its lifetime.
	ErrIdle = errors.New("no traffic within tcp_connection_lifetime")
)

var (
	errNoInterface = errors.New("no interface, address or name of this machine; name one of its interfaces, an address it has, or *")
	errProto       = errors.New("transport is not supported; udp and tcp are")
)

// BindError is a socket that could not be opened. It matches the system's
// error by errors.Is: syscall.EADDRINUSE for a busy port.
type BindError struct {
	Listen string // as declared or, when one address of it failed, that one
	Where  string // file:line; "" when not known
	Err    error
}

// Error names place, socket, reason and remedy.
func (e *BindError) Error() string {
	s := fmt.Sprintf("cannot listen on %s: %s", e.Listen, e.reason())
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	return s
}

// Unwrap is the reason.
func (e *BindError) Unwrap() error { return e.Err }

func (e *BindError) reason() string {
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return "the port is busy; another program has it: stop that or take another port"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has that address"
	case errors.Is(e.Err, os.ErrPermission):
		return "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		return "no file descriptor is left; raise ulimit -n"
	}
	return e.Err.Error()
}

// FrameError is a stream that cannot be cut into messages any further. When
// the header section of the faulty message is there, the batch's last packet
// holds it (Packet.Bad set), so that it can be answered before the connection
// is closed.
type FrameError struct {
	Source api.Source
	Err    error // *sip.ParseError
}

// Error tells the peer and what was wrong.
func (e *FrameError) Error() string {
	return fmt.Sprintf("stream from %s cannot be read on: %v", e.Source.Remote, e.Err)
}

// Unwrap is the *sip.ParseError.
func (e *FrameError) Unwrap() error { return e.Err }
