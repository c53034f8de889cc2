package interop_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// versioned is a script that marks its calls with its version, has a failure
// route that tells it too, and logs when a reply meets another version than the
// request did.
func versioned(version int) string {
	return script("", strings.ReplaceAll(`
local mark = "VERSION"
function route.out(msg)
  msg.hdr["X-Version"] = mark
  tm.t_on_failure("failed")
  tm.t_on_reply("answered")
  return route.relay(msg)
end
function onreply_route.answered(msg)
  local asked = msg.request.hdr["X-Version"]
  if asked ~= mark then log.error("two versions in one call", { asked = asked, answers = mark }) end
end
function failure_route.failed(msg)
  log.info("failed under version " .. mark)
  tm.t_reply(480, "Version " .. mark)
end`, "VERSION", itoa(version)))
}

// broken does not compile; the fault is in its last line.
func broken() string { return versioned(99) + "\nfunction route.worse(msg) return msg. end" }

// TestReloadByCommand: the new script is live when the command returns; a broken
// one is refused with file and line, and the old goes on.
func TestReloadByCommand(t *testing.T) {
	t.Parallel()
	p := startProxy(t, versioned(1))
	alice, bob := newPhone(t, p), newPhone(t, p)
	check := func(id, version string) {
		t.Helper()
		c := alice.call(id, bob.Addr())
		alice.invite(c)
		m := bob.request(sip.INVITE)
		if got := string(m.Find([]byte("X-Version"))); got != version {
			t.Errorf("call %s ran on version %q, want %s", id, got, version)
		}
		bob.reply(m, 486, "b")
		alice.refused(c, alice.final(sip.INVITE, 480))
	}
	check("first", "1")
	p.rewrite(t, versioned(2))
	if code, out := p.reload(t); code != 0 || !strings.Contains(out, "live") {
		t.Fatalf("reload of a good script ended with %d: %s", code, out)
	}
	check("second", "2")
	p.rewrite(t, broken())
	line := strings.Count(broken(), "\n") + 1
	if code, out := p.reload(t); code != 1 || !strings.Contains(out, fmt.Sprintf("script.lua:%d", line)) {
		t.Errorf("reload of a broken script ended with %d, want 1 and script.lua:%d: %s", code, line, out)
	}
	check("third", "2")
}

// TestCallEndsOnTheVersionItBeganWith: a call that rings during a reload meets the
// failure route of its own script.
func TestCallEndsOnTheVersionItBeganWith(t *testing.T) {
	t.Parallel()
	p := startProxy(t, versioned(1))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("old", bob.Addr())
	alice.invite(c)
	m := bob.request(sip.INVITE)
	bob.reply(m, 180, "b")
	alice.provisional(180)
	p.rewrite(t, versioned(2))
	if code, out := p.reload(t); code != 0 {
		t.Fatalf("reload ended with %d: %s", code, out)
	}
	bob.reply(m, 486, "b")
	if reason := string(alice.final(sip.INVITE, 480).Reason()); reason != "Version 1" {
		t.Errorf("the call ended with %q, want Version 1", reason)
	}
	p.logged(t, "failed under version 1")
}

// TestParkedHandlerSurvivesReload: a handler that sleeps during a reload goes on
// where it was, in its own script.
func TestParkedHandlerSurvivesReload(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
local mark = "old"
function route.out(msg)
  cfgutils.sleep(1)
  msg.hdr["X-Version"] = mark
  return route.relay(msg)
end`))
	alice, bob := newPhone(t, p), newPhone(t, p)
	alice.invite(alice.call("parked", bob.Addr()))
	alice.provisional(100)
	p.rewrite(t, versioned(2))
	if code, out := p.reload(t); code != 0 {
		t.Fatalf("reload ended with %d: %s", code, out)
	}
	if got := string(bob.request(sip.INVITE).Find([]byte("X-Version"))); got != "old" {
		t.Errorf("the sleeping handler went on in version %q, want old", got)
	}
}

// TestReloadUnderCalls reloads good, broken and changed scripts in turn, by SIGHUP
// and by command, while calls run: none fails.
func TestReloadUnderCalls(t *testing.T) {
	transports(t, func(t *testing.T, tr peers.Transport) {
		const calls = 120
		uas := sippUAS(t, "uas_call_slow", tr)
		p := startProxy(t, versioned(1))
		uac := peers.StartSIPp(t, peers.SIPp{Name: "uac_call", Transport: tr, Remote: p.Addr(), Target: "bob@" + uas.Addr(),
			Calls: calls, Rate: 40, Timeout: sippLimit})
		pace := time.NewTicker(100 * time.Millisecond)
		defer pace.Stop()
		for round, refused := 2, 0; uac.Running(); round++ {
			<-pace.C
			switch round % 3 {
			case 0:
				p.rewrite(t, versioned(round))
				if code, out := p.reload(t); code != 0 {
					t.Fatalf("reload ended with %d: %s", code, out)
				}
			case 1:
				p.rewrite(t, broken())
				p.Signal(syscall.SIGHUP)
				refused++
				p.loggedTimes(t, "reload refused", refused)
			case 2:
				reloads := strings.Count(p.Log(), `"msg":"reloaded"`)
				p.rewrite(t, versioned(round))
				p.Signal(syscall.SIGHUP)
				p.loggedTimes(t, `"msg":"reloaded"`, reloads+1)
			}
		}
		uac.Wait().MustSucceed(t, calls)
		at := uas.Stop()
		at.MustSucceed(t, calls)
		versions := map[string]int{}
		for _, m := range at.Received("INVITE ") {
			versions[m.Header("X-Version")]++
		}
		if versions["99"] != 0 || versions[""] != 0 || len(versions) < 3 {
			t.Errorf("the calls ran on the versions %v, want several, and none on the broken one", versions)
		}
		if strings.Contains(p.Log(), "two versions in one call") {
			t.Error("a reply met another version than its request")
		}
	})
}

// TestReloadRefusesOtherSockets: what a reload cannot change it refuses, by name.
func TestReloadRefusesOtherSockets(t *testing.T) {
	t.Parallel()
	p := startProxy(t, versioned(1))
	p.rewrite(t, versioned(2)+"\nsocket \"udp:127.0.0.1:"+itoa(peers.Port(t))+"\"")
	if code, out := p.reload(t); code != 1 || !strings.Contains(out, "socket") {
		t.Errorf("reload with another socket ended with %d, want 1 and a word about sockets: %s", code, out)
	}
}

// TestConnectionsSurviveReload: a TCP caller keeps its connection.
func TestConnectionsSurviveReload(t *testing.T) {
	t.Parallel()
	p := startProxy(t, versioned(1))
	conn := dialTCP(t, p.addr)
	options := func(id string) {
		t.Helper()
		conn.send(fmt.Sprintf("OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bK%s\r\nMax-Forwards: 0\r\nFrom: <sip:a@b>;tag=f\r\n"+
			"To: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", p.addr, conn.local(), id, p.addr, id))
		if line := conn.startLine(); !strings.HasPrefix(line, "SIP/2.0 483") {
			t.Fatalf("%s: the answer is %q, want 483", id, line)
		}
	}
	options("before")
	p.rewrite(t, versioned(2))
	if code, out := p.reload(t); code != 0 {
		t.Fatalf("reload ended with %d: %s", code, out)
	}
	options("after")
}

// TestSigtermDrains: after SIGTERM a new call is refused, the ringing one is still
// answered, and the program exits 0.
func TestSigtermDrains(t *testing.T) {
	t.Parallel()
	p := startProxy(t, proxyScript(""))
	alice, bob := newPhone(t, p), newPhone(t, p)
	c := alice.call("ringing", bob.Addr())
	alice.invite(c)
	m := bob.request(sip.INVITE)
	bob.reply(m, 180, "b")
	alice.provisional(180)
	p.Signal(syscall.SIGTERM)
	p.logged(t, "draining")
	late := alice.call("late", bob.Addr())
	alice.invite(late)
	alice.refused(late, alice.final(sip.INVITE, 503))
	bob.reply(m, 486, "b")
	alice.refused(c, alice.final(sip.INVITE, 486))
	ended(t, p, 15*time.Second)
}

// TestSecondSigtermStopsAtOnce: a call that still rings does not hold up the end.
func TestSecondSigtermStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := startProxy(t, proxyScript(""))
	alice, bob := newPhone(t, p), newPhone(t, p)
	alice.invite(alice.call("ringing", bob.Addr()))
	bob.send(ua.Reply(bob.request(sip.INVITE), 180, "b", bob.Addr()))
	alice.provisional(180)
	p.Signal(syscall.SIGTERM)
	p.logged(t, "draining")
	p.Signal(syscall.SIGTERM)
	ended(t, p, 2*time.Second)
}

// ended waits for the program's end, which must be a clean one.
func ended(t *testing.T, p *proxy, limit time.Duration) {
	t.Helper()
	select {
	case <-p.Done():
		if code := p.ExitCode(); code != 0 {
			t.Errorf("it ended with %d, want 0", code)
		}
	case <-time.After(limit):
		t.Errorf("it did not end within %v of SIGTERM", limit)
	}
}
