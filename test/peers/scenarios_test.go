package peers_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/test/peers"
)

// A pair of scenarios that play one kind of call with each other.
type pair struct {
	caller, callee string
	keys           map[string]string // of the callee
	replace        map[string]string // in both scenarios
	status         string            // a final response that the caller must get, when not a 200
	direct         bool              // plays without a proxy in between
	proxied        bool              // plays through one that follows RFC 3261 loosely
	udpOnly        bool
}

var pairs = []pair{
	{caller: "uac_call", callee: "uas_call", direct: true, proxied: true},
	{caller: "uac_call", callee: "uas_call_slow", direct: true, proxied: true},
	{caller: "uac_cancel", callee: "uas_cancel", status: "487", direct: true, proxied: true},
	{caller: "uac_cancel_early", callee: "uas_cancel_held", status: "487", proxied: true},
	{caller: "uac_cancel_late_200", callee: "uas_late_200", direct: true, proxied: true},
	{caller: "uac_rejected", callee: "uas_busy", status: "486", direct: true, proxied: true},
	{caller: "uac_rejected", callee: "uas_ring_busy", replace: map[string]string{"486 Busy Here": "603 Decline", `"486"`: `"603"`}, status: "603", direct: true, proxied: true},
	{caller: "uac_rejected", callee: "uas_302", keys: map[string]string{"elsewhere": "carol@127.0.0.1:9"}, replace: map[string]string{`"486"`: `"302"`}, status: "302", direct: true, proxied: true},
	{caller: "uac_reinvite", callee: "uas_reinvited", direct: true, proxied: true},
	{caller: "uac_reinvited", callee: "uas_reinvite", direct: true, proxied: true},
	{caller: "uac_late_ack", callee: "uas_call", direct: true, proxied: true, udpOnly: true},
	{caller: "uac_lost_200", callee: "uas_lost_200", direct: true, proxied: true},
	{caller: "uac_lost_ack", callee: "uas_lost_ack", direct: true, proxied: true},
	{caller: "uac_repeat_invite", callee: "uas_call_slow", proxied: true},
	{caller: "uac_retransmit", callee: "uas_call_slow", direct: true, proxied: true, udpOnly: true},
	{caller: "uac_bye_glare", callee: "uas_bye_glare", direct: true, proxied: true},
	{caller: "uac_50_vias", callee: "uas_call", direct: true, proxied: true},
	{caller: "uac_merged", callee: "uas_merged", status: "482", direct: true},
	{caller: "uac_options", callee: "uas_options", direct: true, proxied: true},
	{caller: "uac_register", callee: "uas_register", direct: true},
}

// calls is how many calls each pair plays.
const calls = 3

func TestScenariosWithEachOther(t *testing.T) {
	for _, p := range pairs {
		if p.direct {
			overTransports(t, p, func(t *testing.T, tr peers.Transport) { play(t, p, tr, nil) })
		}
	}
}

func TestScenariosThroughKamailio(t *testing.T) {
	for _, p := range pairs {
		if p.proxied {
			overTransports(t, p, func(t *testing.T, tr peers.Transport) {
				play(t, p, tr, peers.StartKamailio(t, peers.Kamailio{Config: peers.KamailioProxy}))
			})
		}
	}
}

// overTransports runs f as a parallel subtest for each transport that p is for.
func overTransports(t *testing.T, p pair, f func(*testing.T, peers.Transport)) {
	for _, tr := range []peers.Transport{peers.UDP, peers.TCP} {
		if tr == peers.TCP && p.udpOnly {
			continue
		}
		t.Run(p.caller+"-"+p.callee+"/"+string(tr), func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}

// play runs the pair's calls, through the proxy unless that is nil.
func play(t *testing.T, p pair, tr peers.Transport, proxy *peers.Server) {
	uas := peers.StartSIPp(t, peers.SIPp{Name: p.callee, Transport: tr, Keys: p.keys, Replace: p.replace, Trace: true})
	remote := uas.Addr()
	if proxy != nil {
		remote = proxy.Addr()
	}
	uac := peers.StartSIPp(t, peers.SIPp{Name: p.caller, Transport: tr, Replace: p.replace, Timeout: 20 * time.Second, Calls: calls, Remote: remote, Target: "bob@" + uas.Addr(), Trace: true})
	got := uac.Wait()
	got.MustSucceed(t, calls)
	atCallee := uas.Stop()
	atCallee.MustSucceed(t, calls)
	if p.status != "" && len(got.Received("SIP/2.0 "+p.status)) != calls {
		t.Errorf("the caller got %d responses with %s, want %d", len(got.Received("SIP/2.0 "+p.status)), p.status, calls)
	}
	checkRetransmitted(t, p, got, atCallee)
	if proxy != nil {
		checkRelayed(t, p, atCallee)
	}
}

// checkRetransmitted tells that a scenario that is about messages sent again has sent some.
func checkRetransmitted(t *testing.T, p pair, caller, callee peers.Result) {
	t.Helper()
	if p.caller == "uac_retransmit" && caller.Retransmissions < 2*calls {
		t.Errorf("the caller sent %d messages again, want two INVITEs each of %d calls", caller.Retransmissions, calls)
	}
	if p.caller == "uac_late_ack" && callee.Retransmissions < calls {
		t.Errorf("the callee sent %d messages again, want the 200 of each of %d calls", callee.Retransmissions, calls)
	}
}

// checkRelayed tells by the callee's messages that the proxy was in the path,
// and that what the scenario is about has happened.
func checkRelayed(t *testing.T, p pair, callee peers.Result) {
	t.Helper()
	for _, m := range callee.Received("INVITE ") {
		if len(m.Headers("Via")) < 2 && len(m.Headers("Record-Route")) == 0 {
			t.Errorf("an INVITE that did not come through the proxy:\n%s", m.Text)
		}
	}
	invites := len(slices.DeleteFunc(callee.Received("INVITE "), func(m peers.Message) bool { return m.Header("CSeq") != "1 INVITE" }))
	if (p.caller == "uac_retransmit" || p.caller == "uac_repeat_invite") && invites != calls {
		t.Errorf("the callee saw %d INVITEs of %d calls: the proxy passed retransmissions on", invites, calls)
	}
}

// TestEveryScenarioIsPlayed here, but for what needs a server that forks or gives up.
func TestEveryScenarioIsPlayed(t *testing.T) {
	for _, name := range peers.Scenarios() {
		played := slices.ContainsFunc(pairs, func(p pair) bool { return name == p.caller || name == p.callee })
		if !played && name != "uas_mute" && name != "uac_two_200" {
			t.Errorf("scenario %s is in no pair", name)
		}
	}
}

func TestScenarioNamesWhatThereIs(t *testing.T) {
	_, err := peers.Scenario("uac_kall")
	if err == nil || !strings.Contains(err.Error(), "uac_call") {
		t.Fatalf("Scenario of an unknown name: %v, want an error that lists the known ones", err)
	}
}
