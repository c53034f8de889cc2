package main

import (
	"fmt"
	"net/netip"
	"os/exec"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/ua"
)

const plainScript = `
function route.main(msg)
  if sipmsgops.has_totag() then return route.in_dialog(msg) end
  rr.record_route()
  return route.relay(msg)
end
`

// overload sets up calls, floods the proxy with INVITEs from one socket, and
// hangs the calls up meanwhile, resending as a phone does.
func overload(dir string) error {
	s, err := start(dir, script("", plainScript), "GOMAXPROCS=1")
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	// One core for the proxy, the other for the flood.
	if out, err := exec.Command("taskset", "-apc", "0", fmt.Sprint(s.PID())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	callee, err := ua.NewCallee(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	defer callee.Close()
	calls, conn, err := establish(s, callee.Addr(), 200)
	if err != nil {
		return err
	}
	defer conn.Close()
	f := newFlood(s.addr, callee.Addr())
	go f.run(10 * time.Second)
	time.Sleep(2 * time.Second)
	ended, err := hangUp(conn, s.addr, calls, 10*time.Second)
	if err != nil {
		return err
	}
	<-f.done
	if f.err != nil {
		return f.err
	}
	over, err := s.stat("core:overload")
	if err != nil {
		return err
	}
	fmt.Printf("   %d INVITEs in 10 s from one source; replies seen by it: %v; refused for overload: %d; BYEs answered: %d of %d\n",
		f.sent, f.replies, over, ended, len(calls))
	switch {
	case f.replies[503] == 0:
		return fmt.Errorf("no INVITE was answered 503")
	case ended != len(calls):
		return fmt.Errorf("%d BYEs did not get through", len(calls)-ended)
	}
	return nil
}

// establish makes n calls and leaves them open.
func establish(s *server, callee netip.AddrPort, n int) (map[string]*ua.Call, *ua.Conn, error) {
	conn, err := ua.Loopback()
	if err != nil {
		return nil, nil, err
	}
	calls := map[string]*ua.Call{}
	for i := range n {
		c := &ua.Call{ID: fmt.Sprintf("held-%d", i), From: conn.Addr(), To: callee}
		if err := conn.Send(s.addr, c.Request("INVITE", 1, c.ID+"i")); err != nil {
			return nil, nil, err
		}
		for c.ToTag == "" {
			m, err := conn.Receive(5 * time.Second)
			if err != nil || m == nil {
				return nil, nil, fmt.Errorf("call %s was not answered: %v", c.ID, err)
			}
			if m.StatusCode() == 200 && string(m.CallID()) == c.ID {
				c.Learn(m)
			}
		}
		if err := conn.Send(s.addr, c.Request("ACK", 1, c.ID+"a")); err != nil {
			return nil, nil, err
		}
		calls[c.ID] = c
	}
	return calls, conn, nil
}

// hangUp sends BYE for every call, again every 500 ms until answered, and
// returns how many were answered 200 within limit.
func hangUp(conn *ua.Conn, proxy netip.AddrPort, calls map[string]*ua.Call, limit time.Duration) (int, error) {
	open := map[string]*ua.Call{}
	for id, c := range calls {
		open[id] = c
	}
	end := time.Now().Add(limit)
	var resend time.Time
	for len(open) > 0 && time.Now().Before(end) {
		if time.Now().After(resend) {
			resend = time.Now().Add(500 * time.Millisecond)
			for _, c := range open {
				if err := conn.Send(proxy, c.Request("BYE", 2, c.ID+"b")); err != nil {
					return 0, err
				}
			}
		}
		m, err := conn.Receive(50 * time.Millisecond)
		if err != nil {
			return 0, err
		}
		if m == nil || m.IsRequest() {
			continue
		}
		if cs, err := m.CSeq(); err == nil && cs.Method == sip.BYE && m.StatusCode() == 200 {
			delete(open, string(m.CallID()))
		}
	}
	return len(calls) - len(open), nil
}

// flood sends INVITEs from one socket as fast as it can.
type flood struct {
	proxy, callee netip.AddrPort
	sent          int
	replies       map[int]int
	err           error
	done          chan struct{}
}

func newFlood(proxy, callee netip.AddrPort) *flood {
	return &flood{proxy: proxy, callee: callee, replies: map[int]int{}, done: make(chan struct{})}
}

func (f *flood) run(d time.Duration) {
	defer close(f.done)
	conn, err := ua.Loopback()
	if err != nil {
		f.err = err
		return
	}
	defer conn.Close()
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 64 {
			c := ua.Call{ID: fmt.Sprintf("flood-%d", f.sent), From: conn.Addr(), To: f.callee}
			if f.err = conn.Send(f.proxy, c.Request("INVITE", 1, c.ID)); f.err != nil {
				return
			}
			f.sent++
		}
		if f.err = f.drain(conn); f.err != nil {
			return
		}
	}
}

// drain counts the replies that have come and acknowledges refusals.
func (f *flood) drain(conn *ua.Conn) error {
	for {
		m, err := conn.Receive(time.Microsecond)
		if err != nil || m == nil {
			return err
		}
		f.replies[m.StatusCode()]++
	}
}
