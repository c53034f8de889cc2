//go:build !linux

package transport

import (
	"net"
	"syscall"
)

const hasMmsg = false

type mmsgBatch struct{}
type mmsgSender struct{}

func newMmsgSender() *mmsgSender { return nil }

func (p *udpPort) readBatch(b *Batch) error { return p.readOne(b) }

func (p *udpPort) writeBatch(o *Outbox, run []queued) { p.writeEach(o, run) }

func setUDPOptions(_ syscall.RawConn, _, _ bool, _ int) error { return nil }

func setBuffers(_ syscall.RawConn, size int) int { return size }

func setBacklog(net.Listener, int) error { return nil }

func setStreamOptions(_ syscall.RawConn, _ bool, _ int) error { return nil }

// streamSender has nothing to keep: messages go by the connection's queue.
type streamSender struct{}

func (*streamSender) init() {}

func directOf(nc net.Conn) directConn {
	d, _ := nc.(directConn)
	return d
}
