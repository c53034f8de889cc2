package transport_test

import (
	"net/netip"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

// bomb is an observer with a fault.
type bomb struct{}

func (bomb) SendFailed(error) { panic("out of the blue") }

// TestFlushAfterPanic: an observer that panics costs what it was told of; the
// outbox sends what is queued behind and later.
func TestFlushAfterPanic(t *testing.T) {
	h := newHost(t)
	m := start(t, h, transport.Config{Sockets: sockets("udp:127.0.0.1:0", "udp:127.0.0.1:0")})
	o := m.NewOutbox(0)
	a, b := m.Sockets()[0], m.Sockets()[1]
	send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: netip.MustParseAddrPort("127.0.0.1:0"), Socket: a}, request(1), bomb{})
	send(t, o, api.Dest{Proto: api.ProtoUDP, Addr: a.Addr, Socket: b}, request(2), nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing failed; the test is void")
			}
		}()
		o.Flush()
	}()
	o.Flush()
	if got := h.next(); got.data != request(2) {
		t.Errorf("got %q", got.data)
	}
}
