package interop_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
)

// scriptFile writes a script on a leased port to a file.
func scriptFile(t *testing.T, port int, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.lua")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "{port}", itoa(port))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// refusal runs a script that must not start and checks its exit code, and that
// the one line it prints says why, with every word.
func refusal(t *testing.T, path string, want int, words ...string) {
	t.Helper()
	code, out := run(t, "run", "-f", path, "--no-control", "--log-format", "json")
	if code != want {
		t.Errorf("it exited with %d, want %d: %s", code, want, out)
	}
	first, rest, _ := strings.Cut(out, "\n")
	if lines := strings.Count(rest, "\n"); lines != 0 {
		t.Errorf("it printed more than one clear line:\n%s", out)
	}
	for _, w := range words {
		if !strings.Contains(first, w) {
			t.Errorf("it printed %q, without %q", first, w)
		}
	}
}

func TestBusyPortExits69(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			port := peers.Port(t)
			closeIt := occupy(t, network, port)
			defer closeIt()
			refusal(t, scriptFile(t, port, proxyScript("")), 69, network+":127.0.0.1:"+itoa(port), "busy")
		})
	}
}

// occupy takes a port as another program would.
func occupy(t *testing.T, network string, port int) (closeIt func()) {
	t.Helper()
	addr := net.JoinHostPort(peers.Loopback, itoa(port))
	if network == "udp" {
		c, err := net.ListenPacket(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		return func() { c.Close() }
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return func() { l.Close() }
}

// TestSecondProxyIsRefused: even with SO_REUSEPORT a second program gets no share
// of the first one's calls.
func TestSecondProxyIsRefused(t *testing.T) {
	t.Parallel()
	text := proxyScript("udp_sockets_per_address = 2")
	p := startProxy(t, text)
	refusal(t, scriptFile(t, p.Port(), text), 69, "busy")
}

func TestBadScriptExits78(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ line, want string }{
		"syntax":           {"function route.bad(msg) return msg. end", "script.lua:"},
		"unknown function": {`function route.bad(msg) tm.t_relai() end`, "t_relay"},
		"unknown setting":  {`config { log_levl = "info" }`, "log_level"},
		"unknown module":   {`local nothing = loadmodule "sipmsgopz"`, "sipmsgops"},
		"top level raises": {`error("not today")`, "not today"},
		"bad escape":       {`local p = "\+49"`, "escape"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := proxyScript("") + "\n" + tt.line
			line := fmt.Sprintf("script.lua:%d", strings.Count(text, "\n")+1)
			refusal(t, scriptFile(t, peers.Port(t), text), 78, tt.want, line)
		})
	}
}

func TestUnreadableScriptExits78(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "nothing.lua")
	refusal(t, missing, 78, "nothing.lua")
	refusal(t, t.TempDir(), 78)
	if os.Getuid() == 0 {
		return // root reads everything
	}
	path := scriptFile(t, peers.Port(t), proxyScript(""))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	refusal(t, path, 78, "script.lua", "permission")
}

// TestReloadWithoutProxyExits69: there is nobody to ask.
func TestReloadWithoutProxyExits69(t *testing.T) {
	t.Parallel()
	code, out := run(t, "reload", "--control", filepath.Join(shortDir(t), "nobody"))
	if code != 69 || strings.Count(out, "\n") != 1 {
		t.Errorf("it exited with %d, want 69 and one line: %s", code, out)
	}
}

// TestControlSocketIsPrivate: nobody but its owner may reload.
func TestControlSocketIsPrivate(t *testing.T) {
	t.Parallel()
	p := startProxy(t, proxyScript(""))
	info, err := os.Stat(p.control)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("the control socket is %v, want a socket with 0600", info.Mode())
	}
}

// TestTwoProxiesDoNotShareAControlSocket: the second is refused, the first goes on.
func TestTwoProxiesDoNotShareAControlSocket(t *testing.T) {
	t.Parallel()
	p := startProxy(t, proxyScript(""))
	code, out := run(t, "run", "-f", scriptFile(t, peers.Port(t), proxyScript("")), "--control", p.control)
	if code != 69 {
		t.Errorf("it exited with %d, want 69: %s", code, out)
	}
	if code, out := run(t, "mi", "uptime", "--control", p.control); code != 0 {
		t.Errorf("the first proxy answers no more: %d %s", code, out)
	}
}

// TestIdleProxyEndsAtOnce on SIGTERM and SIGINT.
func TestIdleProxyEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := startProxy(t, proxyScript(""))
		p.Signal(sig)
		ended(t, p, 3*time.Second)
		if _, err := os.Stat(p.control); !os.IsNotExist(err) {
			t.Errorf("the control socket is still there: %v", err)
		}
	}
}

// records reads the log: every line must be one JSON object with time, level and
// msg.
func (p *proxy) records(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(p.Log()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("a line of the log is no JSON object: %v\n%s", err, line)
		}
		for _, name := range []string{"time", "level", "msg"} {
			if s, ok := r[name].(string); !ok || s == "" {
				t.Errorf("a record lacks %s: %s", name, line)
			}
		}
		if when, _ := r["time"].(string); when != "" {
			if _, err := time.Parse(time.RFC3339, when); err != nil {
				t.Errorf("a record's time is none: %v", err)
			}
		}
		out = append(out, r)
	}
	return out
}

// record is the one with msg, which must be there once.
func (p *proxy) record(t *testing.T, msg string) map[string]any {
	t.Helper()
	var found []map[string]any
	for _, r := range p.records(t) {
		if r["msg"] == msg {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the log has %d records with msg %q, want one", len(found), msg)
	}
	return found[0]
}

// TestLogRecord: what a script logs carries the message, the place and the version.
func TestLogRecord(t *testing.T) {
	t.Parallel()
	text := script("", `
function route.out(msg)
  log.warn("seen", { user = msg.rU, n = 7 })
  return signaling.send_reply(404, "Nobody")
end`)
	p := startProxy(t, text)
	alice := newPhone(t, p)
	c := alice.call("logged", p.addr)
	alice.invite(c)
	alice.final(sip.INVITE, 404)
	p.logged(t, `"seen"`)
	r := p.record(t, "seen")
	line := strings.Count(text[:strings.Index(text, "log.warn")], "\n") + 1
	for name, want := range map[string]any{
		"level": "warn", "call_id": "logged", "method": "INVITE", "route": "main",
		"where": fmt.Sprintf("script.lua:%d", line), "generation": 1.0, "peer": alice.Addr().String(), "user": "callee", "n": 7.0,
	} {
		if r[name] != want {
			t.Errorf("%s is %v, want %v", name, r[name], want)
		}
	}
}

// TestLogKeepsUserDataInItsPlace: what a caller sends cannot forge a record.
func TestLogKeepsUserDataInItsPlace(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
function route.out(msg)
  log.info("said: " .. msg.hdr["X-Say"], { ["na\nme"] = msg.hdr["X-Say"] .. "\n{}\27[2J" })
  return signaling.send_reply(404, "Nobody")
end`))
	alice := newPhone(t, p)
	c := alice.call("forge", p.addr)
	say := "\"}\t{\"time\":\"now\",\"level\":\"error\",\"msg\":\"forged\"} \u202e \xff"
	alice.send([]byte(strings.Replace(string(c.Request("INVITE", 1, "forge")), "Contact:", "X-Say: "+say+"\r\nContact:", 1)))
	alice.final(sip.INVITE, 404)
	p.logged(t, "said: ")
	for _, r := range p.records(t) {
		if r["msg"] == "forged" {
			t.Error("a record was forged")
		}
	}
	for _, r := range p.Log() {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Fatalf("the log has the raw character %U", r)
		}
	}
}

// TestLogLevelChangesWhileItRuns: by management command, for one component.
func TestLogLevelChangesWhileItRuns(t *testing.T) {
	t.Parallel()
	p := startProxy(t, script("", `
function route.out(msg)
  log.debug("whispered to " .. msg.rU)
  return signaling.send_reply(404, "Nobody")
end`))
	alice := newPhone(t, p)
	call := func(user string) {
		t.Helper()
		c := alice.call(user, p.addr)
		c.Target("sip:" + user + "@" + p.Addr())
		alice.invite(c)
		alice.final(sip.INVITE, 404)
	}
	call("quiet")
	if code, out := run(t, "mi", "log_level", "debug", "script", "--control", p.control); code != 0 {
		t.Fatalf("log_level ended with %d: %s", code, out)
	}
	call("loud")
	p.logged(t, "whispered to loud")
	if code, out := run(t, "mi", "log_level", "info", "script", "--control", p.control); code != 0 {
		t.Fatalf("log_level ended with %d: %s", code, out)
	}
	call("again")
	if code, out := run(t, "mi", "log_level", "loudest", "--control", p.control); code != 1 || !strings.Contains(out, "debug") {
		t.Errorf("an unknown level ended with %d, want 1 and the known ones: %s", code, out)
	}
	p.Stop(5 * time.Second)
	for _, user := range []string{"quiet", "again"} {
		if strings.Contains(p.Log(), "whispered to "+user) {
			t.Errorf("level info wrote a debug record of %s", user)
		}
	}
}

// TestLogRateLimit: a line that floods the log is cut, and the count of what was
// dropped stands in a record.
func TestLogRateLimit(t *testing.T) {
	t.Parallel()
	const flood = 5000
	p := startProxy(t, script("script_cpu_ms = 5000", fmt.Sprintf(`
function route.out(msg)
  for i = 1, msg.rU == "flood" and %d or 1 do log.info("flood") end
  return signaling.send_reply(404, "Nobody")
end`, flood)))
	alice := newPhone(t, p)
	calls := 0
	call := func(user string) bool {
		calls++
		c := alice.call("flood-"+itoa(calls), p.addr)
		c.Target("sip:" + user + "@" + p.Addr())
		alice.invite(c)
		alice.final(sip.INVITE, 404)
		return strings.Contains(p.Log(), `"dropped":`)
	}
	call("flood")
	err := p.WaitFor("count of dropped records", patience, func() bool { return call("single") })
	if err != nil {
		t.Fatal(err)
	}
	written, dropped := 0, 0
	for _, r := range p.records(t) {
		if r["msg"] == "flood" && dropped == 0 {
			written++
			n, _ := r["dropped"].(float64) // 0 where nothing was
			dropped = int(n)
		}
	}
	if all := flood + calls - 1; written >= flood/2 || written+dropped > all || written+dropped < flood {
		t.Errorf("%d records were written and %d told as dropped of %d to %d", written, dropped, flood, all)
	}
}

// TestConsoleFormat: readable lines instead of JSON.
func TestConsoleFormat(t *testing.T) {
	t.Parallel()
	port := peers.Port(t)
	s := peers.StartLuasips(t, peers.Luasips{Script: proxyScript(""), Port: port, Args: []string{"--no-control", "--log-format", "console"}})
	if text := s.Log(); strings.Contains(text, "{") || !strings.Contains(text, "ready") {
		t.Errorf("the console log is\n%s", text)
	}
}

// TestCheck reports on a script without opening a socket.
func TestCheck(t *testing.T) {
	t.Parallel()
	port := peers.Port(t)
	closeIt := occupy(t, "udp", port)
	defer closeIt()
	if code, out := run(t, "check", scriptFile(t, port, proxyScript(""))); code != 0 {
		t.Errorf("check of a good script ended with %d: %s", code, out)
	}
	code, out := run(t, "check", scriptFile(t, port, broken()))
	line := fmt.Sprintf("script.lua:%d", strings.Count(broken(), "\n")+1)
	if code != 1 || !strings.Contains(out, line) {
		t.Errorf("check of a broken script ended with %d, want 1 and %s: %s", code, line, out)
	}
	if code, out := run(t, "check"); code != 2 {
		t.Errorf("check without a script ended with %d, want 2: %s", code, out)
	}
}

// TestEveryExampleIsDriven: no script of examples-lua is without a test here.
func TestEveryExampleIsDriven(t *testing.T) {
	t.Parallel()
	root, err := peers.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(root, "examples-lua", "*.lua"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	tests, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, f := range tests {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	for _, s := range scripts {
		name := strings.TrimSuffix(filepath.Base(s), ".lua")
		if !strings.Contains(source.String(), fmt.Sprintf("example(t, %q", name)) {
			t.Errorf("%s is driven by no test", filepath.Base(s))
		}
	}
}
