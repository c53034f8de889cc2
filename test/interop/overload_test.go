package interop_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/ua"
)

// TestOverloadFromOneSource sends far more new calls than fit into the time that
// the proxy lets messages wait, and hangs up earlier calls from the same source
// behind them: some of the new ones get 503 with Retry-After, every BYE gets
// through, and afterwards new calls do too.
func TestOverloadFromOneSource(t *testing.T) {
	const earlier, flood = 50, 1500
	p := startProxy(t, script("script_cpu_ms = 2000", `
function route.out(msg)
  local sum = 0
  for i = 1, 40000 do sum = sum + i end
  return route.relay(msg)
end`), "--workers", "1")
	callee, err := ua.NewCallee(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer callee.Close()
	alice := newPhone(t, p)
	open := map[string]*ua.Call{}
	for i := range earlier {
		c := alice.call("earlier-"+itoa(i), callee.Addr())
		alice.invite(c)
		c.Learn(alice.final(sip.INVITE, 200))
		alice.send(c.Request("ACK", 1, c.ID+"a"))
		open[c.ID] = c
	}
	for i := range flood {
		alice.invite(alice.call("flood-"+itoa(i), callee.Addr()))
	}
	got := alice.hangUpAll(open)
	if len(open) > 0 {
		t.Errorf("%d of %d BYEs did not get through", len(open), earlier)
	}
	if got[200] == 0 || got[503] == 0 {
		t.Errorf("the new calls were answered %v, want some 200 and some 503", got)
	}
	err = p.WaitFor("new call that goes through again", 2*patience, func() bool {
		alice.invite(alice.call("later-"+itoa(time.Now().Nanosecond()), callee.Addr()))
		m := alice.next("final response", isFinalToINVITE)
		return m.StatusCode() == 200
	})
	if err != nil {
		t.Error(err)
	}
}

// hangUpAll sends BYE for every call, again every 500 ms as a phone does, until all
// have been answered, which takes them off open, or 10 s have passed. It counts the
// final responses to INVITEs that come meanwhile.
func (p *phone) hangUpAll(open map[string]*ua.Call) (got map[int]int) {
	p.t.Helper()
	got = map[int]int{}
	var resend time.Time
	for end := time.Now().Add(2 * patience); len(open) > 0 && time.Now().Before(end); {
		if time.Now().After(resend) {
			resend = time.Now().Add(500 * time.Millisecond)
			for _, c := range open {
				p.send(c.Request("BYE", 2, c.ID+"b"))
			}
		}
		m, err := p.Receive(50 * time.Millisecond)
		if err != nil {
			p.t.Fatal(err)
		}
		switch {
		case m == nil:
		case isFinalToINVITE(m):
			got[m.StatusCode()]++
			if m.StatusCode() == 503 && m.Find([]byte("Retry-After")) == nil {
				p.t.Fatalf("a 503 without Retry-After:\n%s", m.Raw())
			}
		case m.StatusCode() == 200:
			delete(open, string(m.CallID()))
		}
	}
	return got
}

func isFinalToINVITE(m *sip.Message) bool {
	cseq, err := m.CSeq()
	return err == nil && !m.IsRequest() && cseq.Method == sip.INVITE && m.StatusCode() >= 200
}
