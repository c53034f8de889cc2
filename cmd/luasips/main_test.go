package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// luasips runs the command line in this process.
func luasips(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, &streams{out: &o, err: &e})
	return code, o.String(), e.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePort is a port that nobody has at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

func script(port int, rest string) string {
	return fmt.Sprintf("socket \"udp:127.0.0.1:%d\"\nlocal sl = loadmodule \"sl\"\n%s", port, rest)
}

const answering = "function route.main(msg) sl.sl_send_reply(200, \"OK\") end\n"

func TestCommandLine(t *testing.T) {
	good := write(t, "good.lua", script(5060, answering))
	bad := write(t, "bad.lua", script(5060, "function route.main(msg) sl.sl_send_repli(200, \"OK\") end\n"))
	broken := write(t, "broken.lua", script(5060, "function route.main(msg\n"))
	warned := write(t, "warned.lua", script(5060, answering+"function route.b(msg) return \"to $ru\" end\n"))
	noted := write(t, "noted.lua", script(5060, "config { udp_workers = 4 }\n"+answering))
	ports := write(t, "ports.lua", "socket \"udp:127.0.0.1:5063-5060\"\nlocal sl = loadmodule \"sl\"\n"+answering)
	member := write(t, "member.lua", script(5060, "bond(\"b\", { \"tcp:127.0.0.1:5060\" })\n"+answering))
	alias := write(t, "alias.lua", script(5060, "alias \"xyz:example.com\"\n"+answering))
	empty := write(t, "empty.lua", "")
	nobody := filepath.Join(t.TempDir(), "none.sock")
	tests := []struct {
		name string
		args []string
		code int
		want string // in what is printed
	}{
		{"version", []string{"version"}, 0, "luasips "},
		{"help", []string{"--help"}, 0, "SIP proxy scripted in Lua"},
		{"no verb", nil, exitUsage, "luasips --help"},
		{"unknown verb", []string{"dance"}, exitUsage, "dance"},
		{"run without a script", []string{"run"}, exitUsage, "--file"},
		{"check of a good script", []string{"check", good}, 0, ""},
		{"check finds a wrong name", []string{"check", bad}, 1, `sl_send_reply`},
		{"check gives the place", []string{"check", bad}, 1, "bad.lua:3:"},
		{"check finds a syntax error", []string{"check", broken}, 1, "broken.lua:"},
		{"check of a warning", []string{"check", warned}, 1, "warned.lua:4:34: warning: \"$ru\" is not expanded here"},
		{"check of a note", []string{"check", noted}, 0, "noted.lua:3:1: note: config udp_workers is taken without effect"},
		{"check gives the severity", []string{"check", bad}, 1, ": error: module sl has no function"},
		{"check of a socket", []string{"check", ports}, 1, "ports.lua:1: error: socket udp:127.0.0.1:5063-5060: port range must run"},
		{"check of a bond", []string{"check", member}, 1, "member.lua:3: error: bond b: member \"tcp:127.0.0.1:5060\" is no socket"},
		{"check of an alias", []string{"check", alias}, 1, "alias.lua:3: error: alias xyz:example.com: port"},
		{"run with a wrong socket", []string{"run", "-f", ports, "--no-control"}, exitConfig, "luasips: ports.lua:1: socket udp:127.0.0.1:5063-5060: port range must run"},
		{"run with a wrong bond", []string{"run", "-f", member, "--no-control"}, exitConfig, "luasips: member.lua:3: bond b: member"},
		{"run with a wrong alias", []string{"run", "-f", alias, "--no-control"}, exitConfig, "luasips: alias.lua:3: alias xyz:example.com: port"},
		{"check of a script without sockets", []string{"check", empty}, 0, "empty.lua: note: no socket is declared"},
		{"check of a script without routes", []string{"check", empty}, 0, "empty.lua: note: there is no route.main"},
		{"check of no file", []string{"check", nobody}, 1, "none.sock"},
		{"run of a broken script", []string{"run", "-f", broken, "--no-control"}, exitConfig, "broken.lua:"},
		{"run of no file", []string{"run", "-f", nobody, "--no-control"}, exitConfig, "none.sock"},
		{"reload of nobody", []string{"reload", "--control", nobody}, exitUnavailable, "no luasips answers"},
		{"mi to nobody", []string{"mi", "which", "--control", nobody}, exitUnavailable, "no luasips answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := luasips(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			if !strings.Contains(out+errs, tt.want) {
				t.Errorf("%q is not in\n%s%s", tt.want, out, errs)
			}
		})
	}
}

func TestCheckJSON(t *testing.T) {
	bad := write(t, "bad.lua", script(5060, "config { udp_workers = 4 } function route.main(msg) sl.sl_send_repli(\"$ru\") end\n"))
	code, out, _ := luasips(t, "check", "--json", bad)
	var found []finding
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	severities := map[string]int{}
	for _, f := range found {
		severities[f.Severity]++
		if f.Line != 3 || f.File == "" || f.Message == "" {
			t.Errorf("finding %+v", f)
		}
	}
	if code != 1 || severities["error"] != 1 || severities["warning"] != 1 || severities["note"] != 1 {
		t.Errorf("exit %d, findings %+v", code, found)
	}
}

func TestBusyPort(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	file := write(t, "s.lua", script(c.LocalAddr().(*net.UDPAddr).Port, answering))
	code, _, errs := luasips(t, "run", "-f", file, "--no-control")
	if code != exitUnavailable || !strings.Contains(errs, "busy") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestRunReloadStop drives one proxy through its life, by its control socket
// and by signals.
func TestRunReloadStop(t *testing.T) {
	port := freePort(t)
	file := write(t, "s.lua", script(port, "config { log_level = \"info\" } log.info(\"first words\") "+answering))
	control := filepath.Join(t.TempDir(), "c.sock")
	type end struct {
		code int
		log  string
	}
	ended := make(chan end, 1)
	go func() {
		var o, e bytes.Buffer
		code := run([]string{"run", "-f", file, "--control", control, "--workers", "2"}, &streams{out: &o, err: &e})
		ended <- end{code, e.String()}
	}()
	waitFor(t, control)

	if code, out, errs := luasips(t, "reload", "--control", control); code != 0 || !strings.Contains(out, "generation 2 is live") {
		t.Errorf("reload: exit %d: %s%s", code, out, errs)
	}
	if err := os.WriteFile(file, []byte(script(port, "config { tos = 8, log_level = \"info\" }\n"+answering)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := luasips(t, "reload", "--control", control); code != 0 {
		t.Errorf("reload with another tos: exit %d: %s%s", code, out, errs)
	}
	if err := os.WriteFile(file, []byte(script(port, "function route.main(msg) nope() end end\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := luasips(t, "reload", "--control", control); code != 1 || !strings.Contains(errs, "s.lua:3") {
		t.Errorf("reload of a broken script: exit %d: %s", code, errs)
	}
	if err := os.WriteFile(file, []byte(script(freePort(t), answering)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := luasips(t, "reload", "--control", control); code != 1 || !strings.Contains(errs, "socket") {
		t.Errorf("reload with another socket: exit %d: %s", code, errs)
	}
	if code, out, errs := luasips(t, "mi", "log_level", "debug", "tm", "--control", control); code != 0 || !strings.Contains(out, "debug") {
		t.Errorf("log_level: exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := luasips(t, "mi", "log_level", "loud", "--control", control); code != 1 || !strings.Contains(errs, "alert, crit") {
		t.Errorf("log_level of no level: exit %d: %s", code, errs)
	}
	if code, out, _ := luasips(t, "mi", "stats", "--control", control); code != 0 || !strings.Contains(out, "core:rcv_requests") || !strings.Contains(out, "core:script_over_budget") {
		t.Errorf("stats: exit %d: %s", code, out)
	}
	if code, _, errs := luasips(t, "run", "-f", file, "--control", control); code != exitUnavailable || !strings.Contains(errs, "--control") {
		t.Errorf("second proxy on the control socket: exit %d: %s", code, errs)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	e := <-ended
	if n := strings.Count(e.log, "changes with a restart only"); n != 1 || !strings.Contains(e.log, `"msg":"config tos changes with a restart only"`) {
		t.Errorf("%d times told what a reload cannot change, want once, for tos\n%s", n, e.log)
	}
	if e.code != 0 || !strings.Contains(e.log, `"first words"`) || !strings.Contains(e.log, `"reload refused"`) || !strings.Contains(e.log, `"where":"s.lua:3"`) {
		t.Errorf("run: exit %d\n%s", e.code, e.log)
	}
}

// TestManySighups: reloads that queue up do not push out the SIGTERM behind them.
func TestManySighups(t *testing.T) {
	const sighups = 20
	port := freePort(t)
	file := write(t, "s.lua", script(port, answering))
	control := filepath.Join(t.TempDir(), "c.sock")
	ended := make(chan int, 1)
	go func() {
		var o, e bytes.Buffer
		ended <- run([]string{"run", "-f", file, "--control", control, "--workers", "2"}, &streams{out: &o, err: &e})
	}()
	waitFor(t, control)
	slow := "local t = os.clock() while os.clock() - t < 0.3 do end\n"
	if err := os.WriteFile(file, []byte(script(port, slow+answering)), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(chan os.Signal, 1)
	signal.Notify(seen, syscall.SIGHUP)
	defer signal.Stop(seen)
	for range sighups {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-seen
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Error("SIGTERM was lost behind the SIGHUPs")
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}

// waitFor returns when the control socket answers.
func waitFor(t *testing.T, control string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if code, _, _ := luasips(t, "mi", "uptime", "--control", control); code == 0 {
			return
		}
	}
	t.Fatal("the proxy does not answer")
}
