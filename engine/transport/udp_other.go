//go:build !linux

package transport

import (
	"net"
	"syscall"
	"time"
)

type mmsgBatch struct{}
type mmsgSender struct{}

func newMmsgSender() *mmsgSender { return nil }

func openIO(c *net.UDPConn, _ time.Duration) (datagramIO, error) { return singleIO{c}, nil }

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
