package transport_test

import (
	"net"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

// TestTCPAcceptedIsReusedByItsAddress: what goes to the very address and port
// that a peer has connected from goes by that connection: a phone behind NAT
// can be reached by no other (RFC 3261 §18.1.1). Another port of the peer's is
// not its connection's, and a closed one is not used again.
func TestTCPAcceptedIsReusedByItsAddress(t *testing.T) {
	h, m := tcp(t, transport.TCP{})
	c := dial(t, m.Sockets()[0])
	write(t, c, request(1))
	src := h.next().src
	o := m.NewOutbox(0)
	to := api.Dest{Proto: api.ProtoTCP, Addr: c.LocalAddr().(*net.TCPAddr).AddrPort()}
	send(t, o, to, "hello", nil)
	o.Flush()
	if s := readN(t, c, 5); s != "hello" {
		t.Fatalf("got %q", s)
	}
	if s := m.Stats(); s.Opened+s.ConnectFailed != 0 {
		t.Errorf("a connection was opened: %+v", s)
	}
	m.CloseFlow(src.Flow)
	h.end()
	f := newFailures()
	send(t, o, to, "gone", f)
	o.Flush()
	f.wait(t)
}
