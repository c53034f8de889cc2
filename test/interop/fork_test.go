package interop_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestBusyThenNext drives failover.lua: the first destination is busy.
func TestBusyThenNext(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		busy, next := sippUAS(t, "uas_busy", peers.UDP), sippUAS(t, "uas_call", peers.UDP)
		p := startProxy(t, example(t, "failover", map[string]int{"5081": busy.Port(), "5082": next.Port()}))
		r := sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: tr, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 486")); n != 0 {
			t.Errorf("the caller heard of %d busy destinations", n)
		}
		busy.Stop().MustSucceed(t, sippCalls)
		next.Stop().MustSucceed(t, sippCalls)
	})
}

// TestNoAnswerThenNextThenVoicemail drives failover.lua: the first destination
// rings without end, the second says nothing, voicemail answers.
func TestNoAnswerThenNextThenVoicemail(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		rings, mute, voicemail := sippUAS(t, "uas_cancel", peers.UDP), sippUAS(t, "uas_mute", peers.UDP), sippUAS(t, "uas_call", peers.UDP)
		p := startProxy(t, example(t, "failover", map[string]int{"5081": rings.Port(), "5082": mute.Port(), "5090": voicemail.Port()}))
		sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: tr})
		rings.Stop().MustSucceed(t, 1)
		if n := len(mute.Stop().Received("INVITE ")); n == 0 {
			t.Error("the second destination was not tried")
		}
		voicemail.Stop().MustSucceed(t, 1)
	})
}

// TestFirstAnswerWins drives hunt.lua: three phones ring, one answers, the
// others are cancelled.
func TestFirstAnswerWins(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		first, answers, third := sippUAS(t, "uas_cancel", peers.UDP), sippUAS(t, "uas_call_slow", peers.UDP), sippUAS(t, "uas_cancel", peers.UDP)
		p := startProxy(t, example(t, "hunt", map[string]int{"5081": first.Port(), "5082": answers.Port(), "5083": third.Port()}))
		r := sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: tr, Calls: sippCalls})
		if n := len(r.Received("SIP/2.0 487")); n != 0 {
			t.Errorf("the caller heard of %d cancelled branches", n)
		}
		for _, uas := range []*peers.SIPpRun{first, answers, third} {
			uas.Stop().MustSucceed(t, sippCalls)
		}
	})
}

// TestCallerCancelsAllBranches drives hunt.lua: the caller gives up, and every
// phone is cancelled.
func TestCallerCancelsAllBranches(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		var uas [3]*peers.SIPpRun
		for i := range uas {
			uas[i] = sippUAS(t, "uas_cancel", peers.UDP)
		}
		p := startProxy(t, example(t, "hunt", map[string]int{"5081": uas[0].Port(), "5082": uas[1].Port(), "5083": uas[2].Port()}))
		ring := `<recv response="180"/>` // of each phone
		sippUAC(t, p, peers.SIPp{Name: "uac_cancel", Transport: tr, Calls: sippCalls, Replace: map[string]string{ring: strings.Repeat(ring, len(uas))}})
		for _, u := range uas {
			u.Stop().MustSucceed(t, sippCalls)
		}
	})
}

// huntPhones starts hunt.lua with three phones of the test behind it and a call on
// its way to each.
func huntPhones(t *testing.T, id string) (alice *phone, phones [3]*phone, invites [3]*sip.Message) {
	t.Helper()
	var ports [3]int
	for i := range phones {
		phones[i] = newPhone(t, &proxy{})
		ports[i] = int(phones[i].Addr().Port())
	}
	p := startProxy(t, example(t, "hunt", map[string]int{"5081": ports[0], "5082": ports[1], "5083": ports[2]}))
	alice = newPhone(t, p)
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
	t.Parallel()
	alice, phones, invites := huntPhones(t, "two")
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
			t.Parallel()
			alice, phones, invites := huntPhones(t, "best")
			for i, ph := range phones {
				ph.reply(invites[i], tt.codes[i], "b"+itoa(i))
				ph.request(sip.ACK)
			}
			alice.final(sip.INVITE, tt.want)
		})
	}
}

// wideFork sends a request to 300 users of one callee at once.
const wideFork = `
function route.out(msg)
  local at = "@" .. msg.rd .. ":" .. msg.rp
  for i = 1, 299 do core.append_msg_branch("sip:u" .. i .. at) end
  local ok, why = tm.t_relay()
  log.info("relayed", { ok = ok, why = why.name })
end
`

// TestWideFork forks 300 ways where config{max_breadth} allows it; one phone
// answers, all others are cancelled.
func TestWideFork(t *testing.T) {
	t.Parallel()
	const width, winner = 300, "sip:u123@"
	p := startProxy(t, script("max_breadth = 1000", wideFork))
	alice, bob := newPhone(t, p), newPhone(t, p)
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
}

// TestTooWideFork: without the setting the call gets 440 and nobody is called
// (RFC 5393 §5).
func TestTooWideFork(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", wideFork))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("too-wide", bob.Addr())
	alice.invite(c)
	alice.refused(c, alice.final(sip.INVITE, 440))
	bob.silence(300*time.Millisecond, anything)
	p.logged(t, `"why":"breadth"`)
}

// TestLoopIsRefused calls a user at the proxy itself, which proxy.lua relays to
// itself unchanged (RFC 3261 §16.3 step 4).
func TestLoopIsRefused(t *testing.T) {
	t.Parallel()
	p := startProxy(t, example(t, "proxy", nil))
	alice := newPhone(t, p)
	c := alice.call("loop", p.addr)
	alice.invite(c)
	alice.refused(c, alice.final(sip.INVITE, 482))
}

// TestSpiralPasses: a request that comes by again with another Request-URI is
// no loop.
func TestSpiralPasses(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
function route.out(msg)
  if msg.rU == "spiral" then msg.rU = "group"
  elseif msg.rU == "group" then msg.rU = "bob"
  elseif msg.rU == "bob" then msg.ru = "sip:callee@" .. msg.hdr["X-Callee"] end
  return route.relay(msg)
end`))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("spiral", bob.Addr())
	c.Target("sip:spiral@" + p.Addr())
	invite := strings.Replace(string(c.Request("INVITE", 1, "spiral")), "Contact:", "X-Callee: "+bob.Addr().String()+"\r\nContact:", 1)
	alice.send([]byte(invite))
	m := bob.request(sip.INVITE)
	if n := vias(m); n != 4 {
		t.Errorf("the INVITE arrived with %d Vias, want 4", n)
	}
	bob.reply(m, 200, "b")
	c.Learn(alice.final(sip.INVITE, 200))
	alice.send(c.Request("ACK", 1, "spiral-ack"))
	bob.request(sip.ACK)
}

// vias counts the Via values of m.
func vias(m *sip.Message) int {
	n := 0
	for range m.Items(sip.HdrVia) {
		n++
	}
	return n
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
