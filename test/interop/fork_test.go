package interop_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
)

func itoa(n int) string { return strconv.Itoa(n) }

// legs runs f as a parallel subtest with both sides of a call over UDP, both
// over TCP, and the caller's over TCP alone.
func legs(t *testing.T, f func(t *testing.T, caller, callee peers.Transport)) {
	t.Parallel()
	for _, l := range []struct{ caller, callee peers.Transport }{{peers.UDP, peers.UDP}, {peers.TCP, peers.TCP}, {peers.TCP, peers.UDP}} {
		t.Run(fmt.Sprintf("%s to %s", l.caller, l.callee), func(t *testing.T) {
			t.Parallel()
			f(t, l.caller, l.callee)
		})
	}
}

// behind is where an example finds a callee: its port, and the transport when it
// is not UDP.
func behind(uas *peers.SIPpRun, tr peers.Transport) string {
	if tr == peers.UDP {
		return itoa(uas.Port())
	}
	return fmt.Sprintf("%d;transport=%s", uas.Port(), tr)
}

// group is the callees of an example, one for each scenario, by the ports that
// the example calls them at.
type group map[string]*peers.SIPpRun

// startGroup runs the scenarios, named by the example's ports, and the example.
func startGroup(t *testing.T, name string, tr peers.Transport, scenarios map[string]string) (*proxy, group) {
	t.Helper()
	g, at := group{}, map[string]string{}
	for port, scenario := range scenarios {
		g[port] = sippUAS(t, scenario, tr)
		at[port] = behind(g[port], tr)
	}
	return startProxy(t, example(t, name, at)), g
}

// check ends the callees and fails the test unless each has played calls calls,
// or, where its port stands in quiet, has heard nothing at all.
func (g group) check(t *testing.T, calls int, quiet ...string) {
	t.Helper()
	for port, uas := range g {
		r := uas.Stop()
		if !slices.Contains(quiet, port) {
			r.MustSucceed(t, calls)
		} else if len(r.Messages) != 0 {
			t.Errorf("the callee at %s got %d messages, want none:\n%s", port, len(r.Messages), r.Messages[0].Text)
		}
	}
}

// TestBusyThenNext drives failover.lua: the first destination is busy.
func TestBusyThenNext(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "failover", callee, map[string]string{"5081": "uas_busy", "5082": "uas_call", "5090": "uas_call"})
		r := sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: caller, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 486")); n != 0 {
			t.Errorf("the caller heard of %d busy destinations", n)
		}
		g.check(t, sippCalls, "5090")
	})
}

// TestAllBusyThenVoicemail drives failover.lua: every destination is busy.
func TestAllBusyThenVoicemail(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "failover", callee, map[string]string{"5081": "uas_busy", "5082": "uas_ring_busy", "5090": "uas_call"})
		sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: caller, Calls: sippCalls})
		g.check(t, sippCalls)
	})
}

// TestVoicemailRefuses drives failover.lua: what voicemail says is the end.
func TestVoicemailRefuses(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "failover", callee, map[string]string{"5081": "uas_busy", "5082": "uas_busy", "5090": "uas_ring_busy"})
		sippUAC(t, p, peers.SIPp{Name: "uac_rejected", Transport: caller, Calls: sippCalls})
		g.check(t, sippCalls)
	})
}

// TestOtherRefusalIsTheEnd drives failover.lua: a destination that does not know
// the user ends the call.
func TestOtherRefusalIsTheEnd(t *testing.T) {
	t.Parallel()
	unknown := peers.StartSIPp(t, peers.SIPp{Name: "uas_busy", Replace: in("404", "Not Found"), Trace: true})
	next := sippUAS(t, "uas_call", peers.UDP)
	p := startProxy(t, example(t, "failover", map[string]string{"5081": itoa(unknown.Port()), "5082": itoa(next.Port())}))
	sippUAC(t, p, peers.SIPp{Name: "uac_rejected", Calls: sippCalls, Replace: in("404", "Not Found")})
	group{"5081": unknown, "5082": next}.check(t, sippCalls, "5082")
}

// TestNoAnswerThenNextThenVoicemail drives failover.lua: the first destination
// rings without end, the second says nothing, voicemail answers.
func TestNoAnswerThenNextThenVoicemail(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "failover", callee, map[string]string{"5081": "uas_cancel", "5082": "uas_mute", "5090": "uas_call"})
		sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: caller})
		if n := len(g["5082"].Stop().Received("INVITE ")); n == 0 {
			t.Error("the second destination was not tried")
		}
		delete(g, "5082")
		g.check(t, 1)
	})
}

// TestCallerCancelsTheSecondAttempt drives failover.lua: the first destination is
// busy, the second rings, and the caller hangs up: voicemail is not called.
func TestCallerCancelsTheSecondAttempt(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "failover", callee, map[string]string{"5081": "uas_busy", "5082": "uas_cancel", "5090": "uas_call"})
		r := sippUAC(t, p, peers.SIPp{Name: "uac_cancel", Transport: caller, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 487")); n != sippCalls {
			t.Errorf("%d of %d calls ended with 487", n, sippCalls)
		}
		g.check(t, sippCalls, "5090")
	})
}

// TestFirstAnswerWins drives hunt.lua: three phones ring, one answers, the
// others are cancelled.
func TestFirstAnswerWins(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "hunt", callee, map[string]string{"5081": "uas_cancel", "5082": "uas_call_slow", "5083": "uas_cancel"})
		r := sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: caller, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 487")); n != 0 {
			t.Errorf("the caller heard of %d cancelled branches", n)
		}
		g.check(t, sippCalls)
	})
}

// TestAllPhonesBusy drives hunt.lua: the caller hears of it once.
func TestAllPhonesBusy(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "hunt", callee, map[string]string{"5081": "uas_busy", "5082": "uas_ring_busy", "5083": "uas_busy"})
		r := sippUAC(t, p, peers.SIPp{Name: "uac_rejected", Transport: caller, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 486")); n != sippCalls {
			t.Errorf("the caller got %d responses with 486 to %d calls", n, sippCalls)
		}
		g.check(t, sippCalls)
	})
}

// TestCallerCancelsAllBranches drives hunt.lua: the caller gives up, and every
// phone is cancelled.
func TestCallerCancelsAllBranches(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "hunt", callee, map[string]string{"5081": "uas_cancel", "5082": "uas_cancel", "5083": "uas_cancel"})
		ring := `<recv response="180"/>` // of each phone
		sippUAC(t, p, peers.SIPp{Name: "uac_cancel", Transport: caller, Calls: sippCalls, Replace: map[string]string{ring: strings.Repeat(ring, len(g))}})
		g.check(t, sippCalls)
	})
}

// TestTwoAnswers drives hunt.lua: one phone answers while another's answer is on
// its way; the caller gets both, and ends both calls.
func TestTwoAnswers(t *testing.T) {
	legs(t, func(t *testing.T, caller, callee peers.Transport) {
		p, g := startGroup(t, "hunt", callee, map[string]string{"5081": "uas_late_200", "5082": "uas_call_slow", "5083": "uas_cancel"})
		sippUAC(t, p, peers.SIPp{Name: "uac_two_200", Transport: caller, Calls: sippCalls})
		g.check(t, sippCalls)
	})
}

// huntPhones starts hunt.lua with three phones of the test behind it and a call on
// its way to each.
func huntPhones(t *testing.T, tr peers.Transport, id string) (alice *phone, phones [3]*phone, invites [3]*sip.Message) {
	t.Helper()
	var at [3]string
	for i := range phones {
		phones[i] = newPhoneOver(t, &proxy{}, tr)
		_, at[i], _ = strings.Cut(phones[i].place(), ":")
	}
	p := startProxy(t, example(t, "hunt", map[string]string{"5081": at[0], "5082": at[1], "5083": at[2]}))
	alice = newPhoneOver(t, p, tr)
	alice.invite(alice.call(id, p.addr))
	for i, ph := range phones {
		ph.proxy = p.addr
		invites[i] = ph.request(sip.INVITE)
	}
	return alice, phones, invites
}

// TestTwo2xxAreBothRelayed: two phones answer before either is cancelled, and the
// caller gets both answers (RFC 3261 §16.7 step 5).
func TestTwo2xxAreBothRelayed(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		alice, phones, invites := huntPhones(t, tr, "two")
		phones[0].reply(invites[0], 200, "first")
		phones[1].reply(invites[1], 200, "second")
		tags := map[string]bool{}
		for range 2 {
			to, err := alice.final(sip.INVITE, 200).To()
			if err != nil {
				t.Fatal(err)
			}
			tags[string(to.Tag)] = true
		}
		if !tags["first"] || !tags["second"] {
			t.Errorf("the caller got answers of %v, want first and second", tags)
		}
		phones[2].reply(invites[2], 180, "third")
		phones[2].request(sip.CANCEL)
	})
}

// TestBestResponse: of a fork's refusals the caller gets one, a 6xx before all
// others (RFC 3261 §16.7 step 6).
func TestBestResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codes [3]int
		want  int
	}{
		{[3]int{486, 404, 503}, 404},
		{[3]int{486, 603, 404}, 603},
		{[3]int{503, 503, 503}, 500},
		{[3]int{302, 500, 503}, 302},
	} {
		t.Run(fmt.Sprint(tt.codes), func(t *testing.T) {
			transports(t, func(t *testing.T, tr peers.Transport) {
				alice, phones, invites := huntPhones(t, tr, "best")
				for i, ph := range phones {
					ph.reply(invites[i], tt.codes[i], "b"+itoa(i))
					ph.request(sip.ACK)
				}
				alice.final(sip.INVITE, tt.want)
			})
		})
	}
}

// wideFork sends a request to 300 users of one callee at once.
const wideFork = `
function route.out(msg)
  local at = "@" .. msg.rd .. ":" .. msg.rp .. ";transport=" .. msg.rP
  for i = 1, 299 do core.append_msg_branch("sip:u" .. i .. at) end
  local ok, why = tm.t_relay()
  log.info("relayed", { ok = ok, why = why.name })
end
`

// TestWideFork forks 300 ways where config{max_breadth} allows it; one phone
// answers, all others are cancelled.
func TestWideFork(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		const width, winner = 300, "sip:u123@"
		p := startProxy(t, script("max_breadth = 1000", wideFork))
		alice, bob := newPhoneOver(t, p, tr), newPhoneOver(t, p, tr)
		c := alice.call("wide", bob.Addr())
		alice.invite(c)
		asked := map[string]bool{}
		var answer *sip.Message
		for len(asked) < width {
			m := bob.request(sip.INVITE)
			uri := string(m.RequestURI())
			asked[uri] = true
			bob.reply(m, 180, "t"+itoa(len(asked)))
			if strings.HasPrefix(uri, winner) {
				answer = m
			}
		}
		bob.reply(answer, 200, "winner")
		ok := alice.final(sip.INVITE, 200)
		cancelled := map[string]bool{}
		for len(cancelled) < width-1 {
			m := bob.request(sip.CANCEL)
			cancelled[string(m.RequestURI())] = true
			bob.reply(m, 200, "")
		}
		for uri := range cancelled {
			if strings.HasPrefix(uri, winner) {
				t.Error("the phone that answered was cancelled")
			}
		}
		alice.talkAndHangUp(c, ok, bob)
	})
}

// TestTooWideFork: without the setting the call gets 440 and nobody is called
// (RFC 5393 §5).
func TestTooWideFork(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, script("", wideFork))
		uas := sippUAS(t, "uas_call", tr)
		sippUAC(t, p, peers.SIPp{Name: "uac_rejected", Transport: tr, Calls: sippCalls, Target: "bob@" + uas.Addr(), Replace: in("440", "Max-Breadth Exceeded")})
		if at := uas.Stop(); len(at.Messages) != 0 {
			t.Errorf("the callee got %d messages, want none:\n%s", len(at.Messages), at.Messages[0].Text)
		}
		p.loggedTimes(t, `"why":"breadth"`, sippCalls)
	})
}

// TestLoopIsRefused calls a user at the proxy itself, which proxy.lua relays to
// itself unchanged (RFC 3261 §16.3 step 4).
func TestLoopIsRefused(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, example(t, "proxy", nil))
		r := sippUAC(t, p, peers.SIPp{Name: "uac_rejected", Transport: tr, Calls: sippCalls, Target: "bob@" + p.Addr(), Replace: in("482", "Loop Detected")})
		if n := len(r.Received("SIP/2.0 482")); n != sippCalls {
			t.Errorf("%d of %d calls ended with 482", n, sippCalls)
		}
	})
}

// TestSpiralPasses: a request that comes by again with another Request-URI is
// no loop. The call's later requests take the same way thrice.
func TestSpiralPasses(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		uas := sippUAS(t, "uas_call", tr)
		p := startProxy(t, script("", strings.NewReplacer("{callee}", uas.Addr(), "{tr}", string(tr)).Replace(`
function route.out(msg)
  if msg.rU == "spiral" then msg.rU = "group"
  elseif msg.rU == "group" then msg.rU = "bob"
  else msg.ru = "sip:bob@{callee};transport={tr}" end
  return route.relay(msg)
end`)))
		sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: tr, Calls: sippCalls, Target: "spiral@" + p.Addr()})
		at := uas.Stop()
		at.MustSucceed(t, sippCalls)
		for _, method := range []string{"INVITE ", "ACK ", "BYE "} {
			for _, m := range at.Received(method) {
				if n := len(m.Headers("Via")); n != 4 {
					t.Errorf("the %sarrived with %d Vias, want 4:\n%s", method, n, m.Text)
				}
			}
		}
	})
}

// TestMaxForwards: a request that may go no further gets 483.
func TestMaxForwards(t *testing.T) {
	t.Parallel()
	p := startProxy(t, example(t, "proxy", nil))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("hops", bob.Addr())
	alice.send([]byte(strings.Replace(string(c.Request("INVITE", 1, "hops")), "Max-Forwards: 70", "Max-Forwards: 0", 1)))
	alice.final(sip.INVITE, 483)
	bob.silence(200*time.Millisecond, anything)
}

// TestDeadUDPPortFailsTheBranch: an address that nobody answers at ends with 408
// after fr_timeout, or sooner where the system reports the port as closed.
func TestDeadUDPPortFailsTheBranch(t *testing.T) {
	t.Parallel()
	p := startProxy(t, proxyScript(""))
	alice := newPhone(t, p)
	dead := netip.AddrPortFrom(p.addr.Addr(), uint16(peers.Port(t)))
	c := alice.call("dead", dead)
	alice.invite(c)
	m := alice.next("final response", func(m *sip.Message) bool { return m.StatusCode() >= 200 })
	if code := m.StatusCode(); code != 408 && code != 503 && code != 500 {
		t.Errorf("the call ended with %d, want 408, or 503 as 500", code)
	}
}
