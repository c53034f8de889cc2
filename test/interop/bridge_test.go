package interop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/luasips/luasips/test/peers"
)

// inDialog are the pairs whose later requests go both ways.
var inDialog = []pair{
	{name: "re-INVITE of the caller", caller: "uac_reinvite", callee: "uas_reinvited"},
	{name: "re-INVITE of the callee", caller: "uac_reinvited", callee: "uas_reinvite"},
}

// TestTransportBridge calls from one transport to the other: a double
// Record-Route brings later requests of either side back (RFC 5658).
func TestTransportBridge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ caller, callee peers.Transport }{{peers.TCP, peers.UDP}, {peers.UDP, peers.TCP}} {
		for _, p := range inDialog {
			t.Run(fmt.Sprintf("%s to %s/%s", tt.caller, tt.callee, p.name), func(t *testing.T) {
				t.Parallel()
				at := play(t, startProxy(t, example(t, "proxy", nil)), p, tt.caller, tt.callee)
				checkRecordRoutes(t, at, 2)
			})
		}
	}
}

// checkRecordRoutes fails the test unless every INVITE that begins a call has
// reached the callee with n Record-Route headers.
func checkRecordRoutes(t *testing.T, callee peers.Result, n int) {
	t.Helper()
	for _, m := range callee.Received("INVITE ") {
		if strings.Contains(m.Header("To"), "tag=") {
			continue
		}
		if rr := recordRoutes(m); len(rr) != n {
			t.Errorf("the INVITE has the Record-Routes %q, want %d", rr, n)
		}
	}
}

// recordRoutes lists the values of the Record-Route headers.
func recordRoutes(m peers.Message) []string {
	var out []string
	for _, line := range m.Headers("Record-Route") {
		for v := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// v6 listens on IPv6 as well.
const v6 = `
socket "udp:[::1]:{port}"
socket "tcp:[::1]:{port}"
`

// TestAddressFamilyBridge calls from IPv6 to IPv4 and back over both transports.
func TestAddressFamilyBridge(t *testing.T) {
	t.Parallel()
	for _, tr := range []peers.Transport{peers.UDP, peers.TCP} {
		for _, ip := range []struct{ caller, callee string }{{"::1", "127.0.0.1"}, {"127.0.0.1", "::1"}} {
			for _, p := range inDialog {
				t.Run(fmt.Sprintf("%s to %s/%s/%s", ip.caller, ip.callee, tr, p.name), func(t *testing.T) {
					t.Parallel()
					bridgeFamilies(t, p, tr, ip.caller, ip.callee)
				})
			}
		}
	}
}

func bridgeFamilies(t *testing.T, p pair, tr peers.Transport, caller, callee string) {
	t.Helper()
	via := startProxy(t, example(t, "proxy", nil)+v6)
	uas := peers.StartSIPp(t, peers.SIPp{Name: p.callee, Transport: tr, IP: callee, Trace: true})
	remote := via.Addr()
	if strings.Contains(caller, ":") {
		remote = fmt.Sprintf("[%s]:%d", caller, via.Port())
	}
	peers.StartSIPp(t, peers.SIPp{Name: p.caller, Transport: tr, IP: caller, Remote: remote, Target: "bob@" + uas.Addr(),
		Calls: sippCalls, Trace: true, Timeout: sippLimit}).Wait().MustSucceed(t, sippCalls)
	at := uas.Stop()
	at.MustSucceed(t, sippCalls)
	checkRecordRoutes(t, at, 2)
}

// TestKamailioAndLuasips sends calls through both in series, either first, with
// another transport between them than outside: each puts in two Record-Routes,
// and later requests of both sides pass both.
func TestKamailioAndLuasips(t *testing.T) {
	t.Parallel()
	for _, outside := range []peers.Transport{peers.UDP, peers.TCP} {
		between := map[peers.Transport]peers.Transport{peers.UDP: peers.TCP, peers.TCP: peers.UDP}[outside]
		for _, p := range inDialog {
			t.Run("Kamailio first/"+string(outside)+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				ours := startProxy(t, example(t, "proxy", nil))
				kam := startKamailio(t, ours.Addr(), between)
				checkRecordRoutes(t, play(t, &proxy{Server: kam}, p, outside, outside), 4)
			})
			t.Run("luasips first/"+string(outside)+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				kam := startKamailio(t, "", "")
				ours := startProxy(t, script("", fmt.Sprintf(`
function route.out(msg)
  msg.du = "sip:%s;transport=%s"
  return route.relay(msg)
end`, kam.Addr(), between)))
				checkRecordRoutes(t, play(t, ours, p, outside, outside), 4)
			})
		}
	}
}

// startKamailio runs it as a record-routing proxy that sends new calls to next
// over tr, or to where they are bound when next is empty.
func startKamailio(t *testing.T, next string, tr peers.Transport) *peers.Server {
	t.Helper()
	k := peers.Kamailio{Config: peers.KamailioProxy}
	if next != "" {
		k.Defines = map[string]string{"NEXT_HOP": fmt.Sprintf("\"sip:%s;transport=%s\"", next, tr)}
	}
	return peers.StartKamailio(t, k)
}
