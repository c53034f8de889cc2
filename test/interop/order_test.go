package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// orderCalls is how many calls each order test makes.
const orderCalls = 2000

// waiting has handlers wait: for the 180 in its reply route, for the ACK before it
// is relayed. What comes behind them must not pass.
func waiting() string {
	out := `
function route.out(msg)
  tm.t_on_reply("wait")
  return route.relay(msg)
end
function onreply_route.wait(msg) if msg.rs == 180 then cfgutils.usleep(2000) end end`
	relay := "function route.relay(msg)\n"
	return strings.Replace(script("udp_sockets_per_address = 2", out), relay, relay+`  if msg.rm == "ACK" then cfgutils.usleep(2000) end`+"\n", 1)
}

// TestOrder sends 180 and 200, and ACK and BYE, back to back without a pause,
// from one source and from many, through several readers: none leaves in
// another order.
func TestOrder(t *testing.T) {
	readers := func(n int) string { return proxyScript(fmt.Sprintf("udp_sockets_per_address = %d", n)) }
	for _, tt := range []struct {
		name           string
		script         string
		callers        int
		caller, callee peers.Transport
	}{
		{"one source, one reader", readers(1), 1, peers.UDP, peers.UDP},
		{"one source, two readers", readers(2), 1, peers.UDP, peers.UDP},
		{"many sources, two readers", readers(2), 16, peers.UDP, peers.UDP},
		{"many sources, four readers", readers(4), 32, peers.UDP, peers.UDP},
		{"many sources, handlers wait", waiting(), 16, peers.UDP, peers.UDP},
		{"one source over TCP", readers(1), 1, peers.TCP, peers.TCP},
		{"many sources over TCP to UDP", readers(2), 16, peers.TCP, peers.UDP},
		{"many sources over UDP to TCP", readers(2), 16, peers.UDP, peers.TCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startProxy(t, tt.script)
			callers := make([]*phone, tt.callers)
			for i := range callers {
				callers[i] = newPhoneOver(t, p, tt.caller)
			}
			checkOrder(t, callers, newPhoneOver(t, p, tt.callee))
		})
	}
}

// checkOrder runs orderCalls calls, few enough at a time that nothing is lost.
func checkOrder(t *testing.T, callers []*phone, callee *phone) {
	t.Helper()
	stop := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- callee.answerInOrder(stop) }()

	per, done := orderCalls/len(callers), make(chan error, len(callers))
	for i, caller := range callers {
		go func() {
			done <- caller.callInOrder(callee, fmt.Sprintf("order-%d", i), per, 1+32/len(callers))
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
func (p *phone) answerInOrder(stop <-chan struct{}) error {
	acked := map[string]bool{}
	for {
		m, err := p.Receive(100 * time.Millisecond)
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
			if err := p.Send(p.proxy, ua.ReplyFrom(m, 180, "b", p.place())); err != nil {
				return err
			}
			if err := p.Send(p.proxy, ua.ReplyFrom(m, 200, "b", p.place())); err != nil {
				return err
			}
		case sip.ACK:
			acked[id] = true
		case sip.BYE:
			if !acked[id] {
				return fmt.Errorf("call %s: BYE arrived before ACK", id)
			}
			if err := p.Send(p.proxy, ua.ReplyFrom(m, 200, "", p.place())); err != nil {
				return err
			}
		}
	}
}

// callInOrder makes n calls, window at a time; each must see 180 before 200.
func (p *phone) callInOrder(callee *phone, prefix string, n, window int) error {
	calls := map[string]*orderCall{}
	started, finished := 0, 0
	for finished < n {
		for started < n && len(calls) < window {
			c := &orderCall{Call: *p.call(fmt.Sprintf("%s-%d", prefix, started), callee.Addr())}
			c.Target("sip:bob@" + callee.place())
			calls[c.ID] = c
			started++
			if err := p.Send(p.proxy, c.Request("INVITE", 1, c.ID+"i")); err != nil {
				return err
			}
		}
		m, err := p.Receive(patience)
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
		end, err := c.step(p, m)
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

func (c *orderCall) step(p *phone, m *sip.Message) (end bool, err error) {
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
		if err := p.Send(p.proxy, c.Request("ACK", 1, c.ID+"a")); err != nil {
			return false, err
		}
		if err := p.Send(p.proxy, c.Request("BYE", 2, c.ID+"b")); err != nil {
			return false, err
		}
	case code >= 300:
		return false, fmt.Errorf("call %s: refused with %d", c.ID, code)
	}
	return false, nil
}
