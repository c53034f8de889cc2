package transport

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// SocketSpec is one socket() of a script, not yet resolved (OpenSIPS socket=).
type SocketSpec struct {
	// Listen is proto:host[:port] or proto:host:first-last. host is an IPv4
	// address, an IPv6 address in brackets, a name, an interface's name, or a
	// wildcard: "*" for all addresses of all interfaces, "0.0.0.0" and "[::]"
	// for those of one family. Port 0 takes any free port.
	Listen string
	Tag    string // name for force_send_socket; "" when none
	As     string // advertised host[:port]; "" when none
	TOS    int    // IP type of service or traffic class, 0 to 255; 0 leaves it alone
	// ReusePort is how many UDP sockets share the address, each with a reader
	// of its own; 0 is 1. Messages from one source always meet the same one.
	ReusePort int
	Where     string // file:line of the declaration, for errors
}

// BondSpec is one bond() of a script: sockets of which the sender takes the
// first that fits the destination.
type BondSpec struct {
	Name    string
	Members []string // as FindSocket reads them, or Listen as declared
	Strict  bool     // no fitting member: fail rather than take any socket
	Where   string   // file:line of the declaration, for errors
}

// TCP holds the settings of stream connections. Zero values take the defaults.
type TCP struct {
	ConnectTimeout time.Duration // for a connection that we open; default 3 s
	SendTimeout    time.Duration // longest time a peer may take nothing; default 3 s
	IdleLifetime   time.Duration // without traffic either way (tcp_connection_lifetime); default 120 s
	MaxMsgTime     time.Duration // from a message's first byte to its last (tcp_max_msg_time); default 4 s
	// MaxConns bounds accepted connections, and by itself the ones that we
	// open (tcp_max_connections); default 2,048.
	MaxConns int
	// MaxConnsPerSource bounds accepted connections of one IPv4 address or
	// IPv6 /64; 0 is no bound of its own.
	MaxConnsPerSource int
	// AcceptAlias lets AddAlias work (RFC 5923, tcp_accept_aliases). Off by
	// default: a peer could take over calls to a port that is not its own.
	AcceptAlias bool
	// Backlog is how many connections may wait to be accepted
	// (tcp_socket_backlog); 0 takes the system's maximum.
	Backlog int
	// NoKeepAlive turns TCP keep-alive probes off (tcp_keepalive=0). The other
	// three are their idle time, interval and count; 0 takes Go's 15 s, 15 s, 9.
	NoKeepAlive       bool
	KeepAliveIdle     time.Duration
	KeepAliveInterval time.Duration
	KeepAliveCount    int
	// WriteQueueBytes bounds what waits for one connection; default 1 MiB.
	WriteQueueBytes int
}

// Config is what Listen makes a Manager from.
type Config struct {
	Sockets []SocketSpec
	Bonds   []BondSpec
	// Aliases are further names that are ours: [proto:]host[:port].
	Aliases []string
	// AliasesWhere are the file:line of the declarations of Aliases, for errors;
	// it may be shorter.
	AliasesWhere []string
	// AutoAliases adds the names that reverse DNS gives our addresses.
	AutoAliases bool
	// Limits bound messages on streams. Zero takes sip.DefaultLimits.
	Limits sip.Limits
	// RcvBuf is the receive buffer asked for each UDP socket, bytes; default
	// 4 MiB. A smaller one in effect is warned of.
	RcvBuf int
	// Gather is how long the reader of a UDP socket sleeps between two reads
	// while datagrams come fast, so that it is woken less often. 0 is not at
	// all. Systems without recvmmsg do not.
	Gather time.Duration
	TCP
	// Wire replaces the network by one in memory. nil is the real one.
	Wire *Wire
}

// Host is what the engine offers to the transport.
type Host interface {
	// Go starts a goroutine that the engine awaits on shutdown. After the
	// engine has begun to stop it may refuse and drop fn.
	Go(name string, fn func())
	// Serve starts the reading role of src. It is called for every UDP socket
	// by Start, and for every connection when it is accepted or opened.
	Serve(src ReadSource)
	// Post runs fn later with that worker's token.
	Post(worker int, fn func())
	// Log writes one record; it must not block.
	Log(level api.Level, msg string, fields ...api.Field)
	// Now is the clock: monotonic, and stopped under synctest.
	Now() time.Time
}

const (
	defaultRcvBuf     = 4 << 20
	defaultWriteQueue = 1 << 20
)

func (c Config) withDefaults() Config {
	if c.Limits.MaxSize <= 0 {
		c.Limits = sip.DefaultLimits()
	}
	setDefault(&c.RcvBuf, defaultRcvBuf)
	setDefault(&c.ConnectTimeout, 3*time.Second)
	setDefault(&c.SendTimeout, 3*time.Second)
	setDefault(&c.IdleLifetime, 120*time.Second)
	setDefault(&c.MaxMsgTime, 4*time.Second)
	setDefault(&c.MaxConns, 2048)
	setDefault(&c.WriteQueueBytes, defaultWriteQueue)
	return c
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
