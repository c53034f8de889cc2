package interop_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/ua"
)

// orderCalls is how many calls each order test makes.
const orderCalls = 2000

// TestOrder sends 180 and 200, and ACK and BYE, back to back without a pause,
// from one source and from many, through several readers: none leaves in
// another order.
func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		name             string
		callers, readers int
	}{
		{"one source, one reader", 1, 1},
		{"one source, two readers", 1, 2},
		{"many sources, two readers", 16, 2},
		{"many sources, four readers", 32, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startProxy(t, proxyScript(fmt.Sprintf("udp_sockets_per_address = %d", tt.readers)))
			checkOrder(t, p.addr, tt.callers)
		})
	}
}

// checkOrder runs orderCalls calls, few enough at a time that nothing is lost.
func checkOrder(t *testing.T, proxy netip.AddrPort, callers int) {
	t.Helper()
	callee := newUA(t)
	stop := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- answerInOrder(callee, proxy, stop) }()

	per, done := orderCalls/callers, make(chan error, callers)
	for i := range callers {
		caller := newUA(t)
		go func() {
			done <- callInOrder(caller, proxy, callee.Addr(), fmt.Sprintf("order-%d", i), per, 1+32/callers)
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// answerInOrder is the callee: 180 and 200 back to back; it must see ACK before
// BYE in each call.
func answerInOrder(u *ua.Conn, proxy netip.AddrPort, stop <-chan struct{}) error {
	acked := map[string]bool{}
	for {
		m, err := u.Receive(100 * time.Millisecond)
		if err != nil {
			return err
		}
		if m == nil {
			select {
			case <-stop:
				return nil
			default:
				continue
			}
		}
		id := string(m.CallID())
		switch m.Method() {
		case sip.INVITE:
			if err := u.Send(proxy, ua.Reply(m, 180, "b", u.Addr())); err != nil {
				return err
			}
			if err := u.Send(proxy, ua.Reply(m, 200, "b", u.Addr())); err != nil {
				return err
			}
		case sip.ACK:
			acked[id] = true
		case sip.BYE:
			if !acked[id] {
				return fmt.Errorf("call %s: BYE arrived before ACK", id)
			}
			if err := u.Send(proxy, ua.Reply(m, 200, "", u.Addr())); err != nil {
				return err
			}
		}
	}
}

// callInOrder makes n calls, window at a time; each must see 180 before 200.
func callInOrder(u *ua.Conn, proxy, callee netip.AddrPort, prefix string, n, window int) error {
	calls := map[string]*orderCall{}
	started, finished := 0, 0
	for finished < n {
		for started < n && len(calls) < window {
			c := &orderCall{Call: ua.Call{ID: fmt.Sprintf("%s-%d", prefix, started), From: u.Addr(), To: callee}}
			calls[c.ID] = c
			started++
			if err := u.Send(proxy, c.Request("INVITE", 1, c.ID+"i")); err != nil {
				return err
			}
		}
		m, err := u.Receive(2 * time.Second)
		if err != nil {
			return err
		}
		if m == nil {
			return fmt.Errorf("%s: nothing came for 2 s with %d of %d calls done, %d open", prefix, finished, n, len(calls))
		}
		c := calls[string(m.CallID())]
		if c == nil {
			continue // a repeated reply of a call that has ended
		}
		end, err := c.step(u, proxy, m)
		if err != nil {
			return err
		}
		if end {
			delete(calls, c.ID)
			finished++
		}
	}
	return nil
}

// orderCall is a call and what was seen of it.
type orderCall struct {
	ua.Call
	rang, answered bool
}

func (c *orderCall) step(u *ua.Conn, proxy netip.AddrPort, m *sip.Message) (end bool, err error) {
	cseq, err := m.CSeq()
	if err != nil {
		return false, err
	}
	switch code := m.StatusCode(); {
	case cseq.Method == sip.BYE:
		return code == 200, nil
	case code == 180:
		if c.answered {
			return false, fmt.Errorf("call %s: 180 arrived after 200", c.ID)
		}
		c.rang = true
	case code == 200 && !c.answered:
		if !c.rang {
			return false, fmt.Errorf("call %s: 200 arrived before 180", c.ID)
		}
		c.answered = true
		c.Learn(m)
		if err := u.Send(proxy, c.Request("ACK", 1, c.ID+"a")); err != nil {
			return false, err
		}
		if err := u.Send(proxy, c.Request("BYE", 2, c.ID+"b")); err != nil {
			return false, err
		}
	case code >= 300:
		return false, fmt.Errorf("call %s: refused with %d", c.ID, code)
	}
	return false, nil
}
