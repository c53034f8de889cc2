package main

import (
	"errors"
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

// heavyScript has work to do for each new call, so that a load of twice what the
// proxy carries can be made by this program on one core.
const heavyScript = `
function route.main(msg)
  if sipmsgops.has_totag() then return route.in_dialog(msg) end
  local sum = 0
  for i = 1, 20000 do sum = sum + i end
  rr.record_route()
  return route.relay(msg)
end
`

const (
	overloadTime = 10 * time.Second
	heldCalls    = 200
)

// overload measures how many calls a second the proxy carries on one core, then
// offers it twice as many from one socket, and hangs up calls made before
// meanwhile, resending as a phone does.
func overload(r *run) error {
	s, err := start(r.dir, script("", heavyScript), "GOMAXPROCS=1")
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	// One core for the proxy, the other for the load.
	if out, err := exec.Command("taskset", "-apc", "0", fmt.Sprint(s.PID())).CombinedOutput(); err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	callee, err := newCallee()
	if err != nil {
		return err
	}
	defer callee.Close()
	calls, conn, err := establish(s, callee.Addr(), heldCalls)
	if err != nil {
		return err
	}
	defer conn.Close()
	capacity, err := saturate(s.addr, callee.Addr(), 5*time.Second)
	if err != nil {
		return err
	}
	f := &flood{proxy: s.addr, callee: callee.Addr(), rate: 2 * capacity, replies: map[int]int{}, ended: map[string]bool{}, done: make(chan struct{})}
	go f.run(overloadTime) // ends by itself
	time.Sleep(overloadTime / 5)
	ended, err := hangUp(conn, s.addr, calls, overloadTime)
	if err != nil {
		return err
	}
	<-f.done
	if f.err != nil {
		return f.err
	}
	return f.judge(r, s, capacity, ended)
}

// judge tells what was seen and whether it is within the bounds.
func (f *flood) judge(r *run, s *server, capacity float64, ended int) error {
	over, err := s.stat("core:overload")
	if err != nil {
		return err
	}
	seconds := overloadTime.Seconds()
	r.say("carried on one core: %.0f new calls/s", capacity)
	r.say("offered from one source for %.0f s: %.0f new calls/s", seconds, float64(f.sent)/seconds)
	r.say("answered 200 meanwhile: %.0f/s; 503: %.0f/s; refused for overload in all: %d; without answer yet: %d",
		float64(f.replies[200])/seconds, float64(f.replies[503])/seconds, over, f.sent-len(f.ended))
	r.say("BYEs of earlier calls answered meanwhile: %d of %d", ended, heldCalls)
	switch {
	case float64(f.sent) < 1.8*capacity*seconds:
		return fmt.Errorf("the load fell short: %d INVITEs", f.sent)
	case f.replies[503] == 0 || f.silent503 > 0:
		return fmt.Errorf("%d INVITEs were answered 503, %d of them without Retry-After", f.replies[503], f.silent503)
	case f.replies[200] == 0:
		return errors.New("no new call went through")
	case ended != heldCalls:
		return fmt.Errorf("%d BYEs did not get through", heldCalls-ended)
	}
	return nil
}

// saturate keeps 20 new calls in progress and returns how many were answered a second.
func saturate(proxy, callee netip.AddrPort, d time.Duration) (float64, error) {
	conn, err := ua.Loopback()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	sent, answered := 0, 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		for sent-answered < 20 {
			c := ua.Call{ID: fmt.Sprintf("fill-%d", sent), From: conn.Addr(), To: callee}
			if err := conn.Send(proxy, c.Request("INVITE", 1, c.ID)); err != nil {
				return 0, err
			}
			sent++
		}
		m, err := conn.Receive(time.Second)
		if err != nil || m == nil {
			return 0, fmt.Errorf("no answer for a second: %v", err)
		}
		if m.StatusCode() >= 200 {
			answered++
		}
		if m.StatusCode() >= 300 {
			return 0, fmt.Errorf("a call was refused with %d", m.StatusCode())
		}
	}
	return float64(answered) / d.Seconds(), nil
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

// flood sends INVITEs from one socket at a steady rate.
type flood struct {
	proxy, callee netip.AddrPort
	rate          float64 // a second
	sent          int
	replies       map[int]int     // the first final one of each call
	ended         map[string]bool // Call-IDs that have one
	silent503     int             // without Retry-After
	err           error
	done          chan struct{}
}

func (f *flood) run(d time.Duration) {
	defer close(f.done)
	conn, err := ua.Loopback()
	if err != nil {
		f.err = err
		return
	}
	defer conn.Close()
	for begin := time.Now(); time.Since(begin) < d; {
		for time.Since(begin).Seconds()*f.rate > float64(f.sent) {
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

// drain counts the final replies that have come. A callee that is asked again, since
// its answer waits in the proxy's queue, answers again.
func (f *flood) drain(conn *ua.Conn) error {
	for {
		m, err := conn.Receive(100 * time.Microsecond)
		if err != nil || m == nil {
			return err
		}
		if m.StatusCode() < 200 || f.ended[string(m.CallID())] {
			continue
		}
		f.ended[string(m.CallID())] = true
		f.replies[m.StatusCode()]++
		if m.StatusCode() == 503 && m.Find([]byte("Retry-After")) == nil {
			f.silent503++
		}
	}
}
