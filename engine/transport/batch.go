package transport

import (
	"time"

	"github.com/luasips/luasips/engine/api"
)

// BatchSize is how many messages one Read brings at most.
const BatchSize = 32

// Packet is one received message.
type Packet struct {
	Data   []byte // valid until the next Read; may be written to
	Source api.Source
	// Bad tells why the stream ends here: Data is a header section whose
	// message cannot be cut out (no length, say). nil for a whole message.
	Bad error
}

// Batch takes what one Read brings. It belongs to one reading role and moves
// with it. P has more room than N unless the batch is as full as batches get.
type Batch struct {
	N int
	P []Packet
	// Delay is how long the oldest message of the batch waited in the kernel's
	// buffer; 0 when not known (streams, portable path).
	Delay time.Duration

	buf []byte     // UDP: where the messages are; made by the first Read
	mm  *mmsgBatch // UDP: structures of the system call; nil on the portable path
}

// NewBatch makes an empty batch. Buffers come with the first Read: a UDP
// socket's are 32 of 64 KiB, a connection lends its own.
func NewBatch() *Batch { return &Batch{} }

// room makes P hold at least n+1 packets, at most BatchSize.
func (b *Batch) room(n int) {
	if want := min(n+2, BatchSize); len(b.P) < want {
		p := make([]Packet, min(2*want, BatchSize))
		copy(p, b.P)
		b.P = p
	}
}

// ReadSource is what a reading role reads from: a UDP socket, a connection, or
// their twins in memory.
type ReadSource interface {
	// Read fills b with at least one message, waiting for it. At the end it
	// returns an error: net.ErrClosed after Close, io.EOF when the peer closed,
	// *FrameError, ErrMsgTime, ErrIdle, or the system's. b may hold messages
	// beside an error. One goroutine at a time may call it.
	Read(b *Batch) error
	// Name tells people what it is: "udp:127.0.0.1:5060".
	Name() string
	// Close ends a blocked Read. A connection's queued messages are still
	// written, for SendTimeout at most.
	Close() error
	// Stream reports whether messages come by a stream: ParseFrame reads them,
	// else ParseDatagram.
	Stream() bool
}
