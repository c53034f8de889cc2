package main

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/luasips/luasips/test/ua"
)

const parkedScript = `
function route.main(msg)
  if sipmsgops.has_totag() then return route.in_dialog(msg) end
  if msg.rU == "slow" then
    cfgutils.sleep(25)
    return signaling.send_reply(404, "Not Found")
  end
  rr.record_route()
  return route.relay(msg)
end
`

// parkedBound is by how much the p99 may grow.
const parkedBound = 5 * time.Millisecond

func parked(r *run) error {
	s, err := start(r.dir, script("", parkedScript))
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	callee, err := newCallee()
	if err != nil {
		return err
	}
	defer callee.Close()
	l := ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: 300, Calls: 3000, Prefix: "warm"}
	if _, err := load(l); err != nil {
		return err
	}
	l.Prefix = "before"
	before, err := load(l)
	if err != nil {
		return err
	}
	r.say("300 calls/s without parked handlers: %v", before)
	n, err := park(s, callee.Addr(), 1000)
	if err != nil {
		return err
	}
	l.Prefix = "beside"
	beside, err := load(l)
	if err != nil {
		return err
	}
	still, err := s.stat("core:parked")
	if err != nil {
		return err
	}
	grown := beside.Percentile(0.99) - before.Percentile(0.99)
	r.say("300 calls/s beside %d parked handlers, %d of them to the end: %v", n, still, beside)
	r.say("p99 grows by %v", grown.Round(10*time.Microsecond))
	switch {
	case n < 1000 || still < 1000:
		return fmt.Errorf("only %d handlers, and %d at the end, were parked", n, still)
	case before.Done != l.Calls || beside.Done != l.Calls:
		return fmt.Errorf("calls failed")
	case grown > parkedBound:
		return fmt.Errorf("p99 grew by %v", grown)
	}
	return nil
}

// park sends n INVITEs whose handlers sleep, and returns how many do.
func park(s *server, callee netip.AddrPort, n int) (int, error) {
	conn, err := ua.Loopback()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	for i := range n {
		c := ua.Call{ID: fmt.Sprintf("parked-%d", i), From: conn.Addr(), To: callee}
		c.Target(fmt.Sprintf("sip:slow@%s", callee))
		if err := conn.Send(s.addr, c.Request("INVITE", 1, c.ID)); err != nil {
			return 0, err
		}
		if i%50 == 49 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	time.Sleep(300 * time.Millisecond)
	return s.stat("core:parked")
}
