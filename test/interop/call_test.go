package interop_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// sippCalls is how many calls each pair of scenarios plays.
const sippCalls = 3

// pair is a caller's and a callee's scenario that play one kind of call.
type pair struct {
	name, caller, callee string
	keys                 map[string]string // of the callee
	replace              map[string]string // in both scenarios
	status               string            // the final response that the caller must get, when not a 200
	udpOnly              bool
	answers              int // how often each 200 to an INVITE reaches the caller, when not once
	invites              int // how often the caller sends each INVITE, at least, when not once
}

// in replaces 486 by another refusal in the scenarios that have it.
func in(code, reason string) map[string]string {
	return map[string]string{"486 Busy Here": code + " " + reason, `"486"`: `"` + code + `"`}
}

// lateProvisional lets provisional responses come after the 200 to a CANCEL.
func lateProvisional() map[string]string {
	return map[string]string{`<recv response="487"/>`: `<recv response="100" optional="true"/><recv response="180" optional="true"/><recv response="487"/>`}
}

// tryingBetween waits for the 100 between two INVITEs that are sent in a row.
func tryingBetween() map[string]string {
	return map[string]string{"</send>\n  <send>": "</send>\n  <recv response=\"100\"/>\n  <send>"}
}

var pairs = []pair{
	{name: "call", caller: "uac_call", callee: "uas_call"},
	{name: "slow callee", caller: "uac_call", callee: "uas_call_slow"},
	{name: "CANCEL after a provisional", caller: "uac_cancel", callee: "uas_cancel", status: "487"},
	{name: "CANCEL before a provisional", caller: "uac_cancel_early", callee: "uas_cancel_held", replace: lateProvisional(), status: "487"},
	{name: "late 200 after CANCEL", caller: "uac_cancel_late_200", callee: "uas_late_200"},
	{name: "busy", caller: "uac_rejected", callee: "uas_busy", status: "486"},
	{name: "decline after ringing", caller: "uac_rejected", callee: "uas_ring_busy", replace: in("603", "Decline"), status: "603"},
	{name: "302", caller: "uac_rejected", callee: "uas_302", keys: map[string]string{"elsewhere": "carol@127.0.0.1:9"}, replace: in("302", "Moved"), status: "302"},
	{name: "re-INVITE of the caller", caller: "uac_reinvite", callee: "uas_reinvited"},
	{name: "re-INVITE of the callee", caller: "uac_reinvited", callee: "uas_reinvite"},
	{name: "200 resent by its timer", caller: "uac_late_ack", callee: "uas_call", udpOnly: true, answers: 2},
	{name: "lost 200", caller: "uac_lost_200", callee: "uas_lost_200", answers: 2},
	{name: "lost ACK", caller: "uac_lost_ack", callee: "uas_lost_ack", answers: 2},
	{name: "INVITE resent by its timer", caller: "uac_retransmit", callee: "uas_call_slow", udpOnly: true, invites: 3},
	{name: "retransmitted INVITE", caller: "uac_repeat_invite", callee: "uas_call_slow", invites: 3},
	{name: "BYE glare", caller: "uac_bye_glare", callee: "uas_bye_glare"},
	{name: "50 Vias", caller: "uac_50_vias", callee: "uas_call"},
	{name: "merged request", caller: "uac_merged", callee: "uas_call_slow", replace: tryingBetween(), status: "482"},
	{name: "OPTIONS of a user", caller: "uac_options", callee: "uas_options"},
}

// TestCalls plays every kind of call through the smallest stateful proxy.
func TestCalls(t *testing.T) {
	t.Parallel()
	for _, tr := range []peers.Transport{peers.UDP, peers.TCP} {
		for _, p := range pairs {
			if tr == peers.TCP && p.udpOnly {
				continue
			}
			t.Run(p.name+"/"+string(tr), func(t *testing.T) {
				t.Parallel()
				play(t, startProxy(t, example(t, "proxy", nil)), p, tr, tr)
			})
		}
	}
}

// TestConnectionPerCall has every caller open a connection of its own.
func TestConnectionPerCall(t *testing.T) {
	t.Parallel()
	const calls = 20
	p := startProxy(t, example(t, "proxy", nil))
	uas := sippUAS(t, "uas_call", peers.TCP)
	sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: peers.TCP, ConnectionPerCall: true, Calls: calls, Target: "bob@" + uas.Addr()})
	uas.Stop().MustSucceed(t, calls)
}

// play runs a pair's calls through a proxy, each side over its transport.
func play(t *testing.T, via *proxy, p pair, caller, callee peers.Transport) peers.Result {
	t.Helper()
	uas := peers.StartSIPp(t, peers.SIPp{Name: p.callee, Transport: callee, Keys: p.keys, Replace: p.replace, Trace: true})
	replace := map[string]string{"[target];transport=[transport]": "[target];transport=" + string(callee)}
	maps.Copy(replace, p.replace)
	got := sippUAC(t, via, peers.SIPp{Name: p.caller, Transport: caller, Replace: replace, Calls: sippCalls, Target: "bob@" + uas.Addr()})
	at := uas.Stop()
	at.MustSucceed(t, sippCalls)
	if n := len(got.Received("SIP/2.0 " + p.status)); p.status != "" && n != sippCalls {
		t.Errorf("the caller got %d responses with %s, want %d", n, p.status, sippCalls)
	}
	if n := invites(at); n != sippCalls {
		t.Errorf("the callee saw %d INVITE transactions of %d calls", n, sippCalls)
	}
	checkRepeated(t, p, got)
	for _, m := range at.Received("INVITE ") {
		if len(m.Headers("Via")) < 2 {
			t.Errorf("an INVITE came with one Via only:\n%s", m.Text)
		}
	}
	return at
}

// checkRepeated tells that what a pair is about was sent, and reached the caller,
// more than once.
func checkRepeated(t *testing.T, p pair, caller peers.Result) {
	t.Helper()
	if n := len(caller.Sent("INVITE ")); p.invites > 0 && n < p.invites*sippCalls {
		t.Errorf("the caller sent %d INVITEs in %d calls, want %d in each", n, sippCalls, p.invites)
	}
	answers := slices.DeleteFunc(caller.Received("SIP/2.0 200"), func(m peers.Message) bool { return !strings.HasSuffix(m.Header("CSeq"), " INVITE") })
	if p.answers > 0 && len(answers) != p.answers*sippCalls {
		t.Errorf("the caller got %d answers to %d calls, want %d to each", len(answers), sippCalls, p.answers)
	}
}

// invites counts the INVITEs that began a call at a callee, repeated ones
// included, or is the number of calls when it was an OPTIONS run.
func invites(callee peers.Result) int {
	n := len(callee.Received("OPTIONS "))
	for _, m := range callee.Received("INVITE ") {
		if !strings.Contains(m.Header("To"), "tag=") {
			n++
		}
	}
	return n
}

// TestLostACK has the callee act as if the first ACK had been lost: it sends
// its 200 again, which reaches the caller, whose second ACK reaches it.
func TestLostACK(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, example(t, "proxy", nil))
		alice, bob := newPhoneOver(t, p, tr), newPhoneOver(t, p, tr)
		c := alice.call("lost-ack", bob.Addr())
		alice.invite(c)
		invite := bob.request(sip.INVITE)
		for range 3 {
			bob.reply(invite, 200, "b")
			c.Learn(alice.final(sip.INVITE, 200))
			alice.send(c.Request("ACK", 1, c.ID+"a"))
			bob.request(sip.ACK)
		}
		alice.send(c.Request("BYE", 2, c.ID+"b"))
		bob.reply(bob.request(sip.BYE), 200, "")
		alice.final(sip.BYE, 200)
	})
}

// TestRetransmittedINVITEIsAnsweredFromMemory: after a refusal the callee hears
// nothing of a repeated INVITE, and the caller gets the refusal again.
func TestRetransmittedINVITEIsAnsweredFromMemory(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, example(t, "proxy", nil))
		alice, bob := newPhoneOver(t, p, tr), newPhoneOver(t, p, tr)
		c := alice.call("again", bob.Addr())
		alice.invite(c)
		invite := bob.request(sip.INVITE)
		alice.invite(c)
		bob.reply(invite, 486, "b")
		bob.request(sip.ACK)
		alice.final(sip.INVITE, 486)
		alice.invite(c)
		alice.refused(c, alice.final(sip.INVITE, 486))
		bob.silence(300*time.Millisecond, anything)
	})
}

// TestStatelessCall drives stateless.lua.
func TestStatelessCall(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, example(t, "stateless", nil))
		play(t, p, pair{caller: "uac_call", callee: "uas_call"}, tr, tr)
	})
}

// TestOptionsToTheProxy is answered by module options.
func TestOptionsToTheProxy(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		p := startProxy(t, script("", `
function route.out(msg)
  if msg.rm == "OPTIONS" and core.is_myself(msg.rd, msg.rp) and not msg.rU then return options.options_reply() end
  return route.relay(msg)
end`))
		r := sippUAC(t, p, peers.SIPp{Name: "uac_options", Transport: tr, Target: "nobody@" + p.Addr(),
			Replace: map[string]string{"sip:[target]": "sip:" + p.Addr()}})
		answers := r.Received("SIP/2.0 200")
		if len(answers) != 1 || answers[0].Header("Accept") != "*/*" {
			t.Errorf("the answers to OPTIONS are %v, want one 200 with Accept: */*", answers)
		}
	})
}

// TestForeignResponseIsNotRelayed sends responses whose top Via names another, or
// us with a branch that we did not make.
func TestForeignResponseIsNotRelayed(t *testing.T) {
	t.Parallel()
	p := startProxy(t, example(t, "proxy", nil))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("foreign", bob.Addr())
	alice.invite(c)
	invite := bob.request(sip.INVITE)
	ours := string(ua.Reply(invite, 180, "b", bob.Addr()))
	own := "Via: SIP/2.0/UDP " + p.Addr()
	if !strings.Contains(ours, own) {
		t.Fatalf("the reply has no Via of the proxy:\n%s", ours)
	}
	for _, other := range []string{"192.0.2.1:5060", "127.0.0.1:9", bob.Addr().String()} {
		bob.send([]byte(strings.Replace(ours, own, "Via: SIP/2.0/UDP "+other, 1)))
	}
	bob.send([]byte(strings.Replace(ours, "branch=z9hG4bK", "branch=z9hG4bKforged", 1)))
	bob.send([]byte(strings.Replace(ours, ";branch=", ";ignored=", 1)))
	alice.silence(300*time.Millisecond, func(m *sip.Message) bool { return m.StatusCode() != 100 })
	bob.send([]byte(ours))
	alice.provisional(180)
	bob.reply(invite, 486, "b")
	alice.refused(c, alice.final(sip.INVITE, 486))
}

// TestDeadTCPPortFailsTheBranch: nothing listens where the call goes first; the
// failure route sees 503 and goes on.
func TestDeadTCPPortFailsTheBranch(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		dead := peers.Port(t)
		uas := sippUAS(t, "uas_call", tr)
		p := startProxy(t, script("", strings.NewReplacer("{dead}", itoa(dead), "{next}", uas.Addr(), "{tr}", string(tr)).Replace(`
function route.out(msg)
  tm.t_on_failure("next")
  msg.ru = "sip:bob@127.0.0.1:{dead};transport=tcp"
  return route.relay(msg)
end
function failure_route.next(msg)
  if tm.t_check_status("503") then
    msg.ru = "sip:bob@{next};transport={tr}"
    tm.t_relay()
  end
end`)))
		sippUAC(t, p, peers.SIPp{Name: "uac_call", Transport: tr, Target: "bob@" + uas.Addr()})
		uas.Stop().MustSucceed(t, 1)
	})
}

// TestCancelWhileParked cancels a call whose script sleeps: the CANCEL is
// answered at once, the INVITE ends with 487, and nobody is called.
func TestCancelWhileParked(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		uas := sippUAS(t, "uas_call", tr)
		p := startProxy(t, script("", `
function route.out(msg)
  cfgutils.sleep(1)
  log.info("woke", { cancelled = msg.cancelled })
  local ok, why = tm.t_relay()
  log.info("relayed", { ok = ok, why = why.name })
end`))
		r := sippUAC(t, p, peers.SIPp{Name: "uac_cancel_early", Transport: tr, Target: "bob@" + uas.Addr(), Calls: sippCalls, Replace: lateProvisional()})
		if n := len(r.Received("SIP/2.0 487")); n != sippCalls {
			t.Errorf("%d of %d calls ended with 487", n, sippCalls)
		}
		p.loggedTimes(t, `"cancelled":true`, sippCalls)
		p.loggedTimes(t, `"why":"cancelled"`, sippCalls)
		if at := uas.Stop(); len(at.Messages) != 0 {
			t.Errorf("the callee got %d messages, want none:\n%s", len(at.Messages), at.Messages[0].Text)
		}
	})
}

// TestParkedScriptHoldsUpItsCallOnly: while one handler sleeps, other calls go
// through at once, and afterwards so does its own.
func TestParkedScriptHoldsUpItsCallOnly(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
function route.out(msg)
  if msg.rU == "slow" then cfgutils.sleep(1) end
  return route.relay(msg)
end`), "--workers", "1")
	alice, bob := newPhone(t, p), newPhone(t, p)
	slow := alice.call("slow", bob.Addr())
	slow.Target("sip:slow@" + bob.Addr().String())
	alice.invite(slow)
	var order []string
	for i := range 10 {
		alice.invite(alice.call("fast-"+itoa(i), bob.Addr()))
	}
	for range 11 {
		m := bob.request(sip.INVITE)
		bob.reply(m, 486, "b")
		order = append(order, string(m.CallID()))
	}
	if slices.Index(order, "slow") != 10 {
		t.Errorf("the calls arrived as %v, want the slow one last", order)
	}
}
