package interop_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luasips/luasips/test/peers"
)

// parallel is how many tests run side by side: they wait far more than they work.
const parallel = "8"

// TestMain builds the program once for all tests.
func TestMain(m *testing.M) {
	flag.Parse()
	bin, err := peers.BuildLuasips()
	err = errors.Join(err, os.Setenv("LUASIPS_BIN", bin), flag.Set("test.parallel", parallel))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// prelude stands before the routes of a test's script. The first %s is for
// config{}.
const prelude = `
config { log_level = "info", %s }
socket "udp:127.0.0.1:{port}"
socket "tcp:127.0.0.1:{port}"

local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local maxfwd    = loadmodule "maxfwd"
local rr        = loadmodule "rr"
local options   = loadmodule "options"
local cfgutils  = loadmodule "cfgutils"
local tm        = loadmodule("tm", { fr_timeout = 2, fr_inv_timeout = 4 })

function route.main(msg)
  if not maxfwd.mf_process_maxfwd_header(10) then
    return signaling.send_reply(483, "Too Many Hops")
  end
  if msg.rm == "CANCEL" then return tm.t_check_trans() and tm.t_relay() end
  if sipmsgops.has_totag() then
    if not rr.loose_route() and core.is_myself(msg.rd, msg.rp) then
      return msg.rm ~= "ACK" and signaling.send_reply(404, "Not here")
    end
    return route.relay(msg)
  end
  if msg.rm == "INVITE" then rr.record_route() end
  return route.out(msg)
end

function route.relay(msg)
  if not tm.t_relay() and msg.rm ~= "ACK" then signaling.send_reply(500, "Internal Error") end
end
`

// script is a proxy's script whose route.out, for requests that begin
// something, is what routes declares. In it {port} is the proxy's.
func script(config, routes string) string { return fmt.Sprintf(prelude, config) + routes }

// proxyScript relays every request to where it is bound.
func proxyScript(config string) string {
	return script(config, `function route.out(msg) return route.relay(msg) end`)
}

// proxy is a running program with its control socket.
type proxy struct {
	*peers.Server
	addr    netip.AddrPort
	control string
	script  string // path of its script
}

// startProxy runs the program with a script until the test ends.
func startProxy(t *testing.T, script string, flags ...string) *proxy {
	t.Helper()
	port := peers.Port(t)
	return startProxyOn(t, port, script, flags...)
}

// startProxyOn is startProxy on a port that the test leased.
func startProxyOn(t *testing.T, port int, script string, flags ...string) *proxy {
	t.Helper()
	control := filepath.Join(shortDir(t), "control")
	s := peers.StartLuasips(t, peers.Luasips{Script: script, Port: port, Args: append(flags, "--control", control)})
	addr := netip.AddrPortFrom(netip.MustParseAddr(peers.Loopback), uint16(port))
	return &proxy{Server: s, addr: addr, control: control, script: filepath.Join(s.Dir, "script.lua")}
}

// shortDir is a temporary directory whose path fits into a unix socket's
// address, 107 bytes, whatever the test is called.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "luasips-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// example is a script of examples-lua with its ports replaced: "5081" to
// another, with parameters of the URI where wanted. The proxy's own becomes {port}.
func example(t *testing.T, name string, ports map[string]string) string {
	t.Helper()
	root, err := peers.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "examples-lua", name+".lua"))
	if err != nil {
		t.Fatal(err)
	}
	pairs := []string{":5060", ":{port}"}
	for from, to := range ports {
		if !strings.Contains(string(b), ":"+from) {
			t.Fatalf("%s.lua has no port %s", name, from)
		}
		pairs = append(pairs, ":"+from, ":"+to)
	}
	// In one pass: a port put in may begin with one still to be replaced.
	return strings.NewReplacer(pairs...).Replace(string(b))
}

// rewrite replaces the proxy's script on disk.
func (p *proxy) rewrite(t *testing.T, script string) {
	t.Helper()
	script = strings.ReplaceAll(script, "{port}", fmt.Sprint(p.Port()))
	if err := os.WriteFile(p.script, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs one command of the program to its end, at most 20 s.
func run(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	bin, err := peers.BuildLuasips()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(20*time.Second, func() {
		t.Errorf("luasips %s did not end within 20 s", strings.Join(args, " "))
		_ = cmd.Process.Kill() // it may have ended meanwhile
	})
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("luasips %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// reload has the proxy load its script anew.
func (p *proxy) reload(t *testing.T) (code int, output string) {
	t.Helper()
	return run(t, "reload", "--control", p.control)
}

// logged waits until the log contains text.
func (p *proxy) logged(t *testing.T, text string) {
	t.Helper()
	p.loggedTimes(t, text, 1)
}

// loggedTimes waits until the log contains text n times.
func (p *proxy) loggedTimes(t *testing.T, text string, n int) {
	t.Helper()
	err := p.WaitFor(fmt.Sprintf("%q in its log %d times", text, n), 5*time.Second, func() bool { return strings.Count(p.Log(), text) >= n })
	if err != nil {
		t.Fatal(err)
	}
}

// transports runs f as a parallel subtest over UDP and over TCP.
func transports(t *testing.T, f func(*testing.T, peers.Transport)) {
	t.Parallel()
	for _, tr := range []peers.Transport{peers.UDP, peers.TCP} {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}
