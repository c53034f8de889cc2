package script_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/test/peers"
)

// luasips runs the built program to its end.
func luasips(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	bin, err := peers.BuildLuasips()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(20*time.Second, func() {
		t.Errorf("luasips %s did not end", strings.Join(args, " "))
		_ = cmd.Process.Kill() // it may have ended meanwhile
	})
	defer timer.Stop()
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// A startup route that raises, and a script that does not load, end the program
// with 78 and the text that check prints.
func TestProgramRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		check        int
		want         string
	}{
		{"startup raises", "function startup_route.main(msg)\n  error(\"no database\")\nend", 0, "main.lua:4:3: no database"},
		{"startup over budget", "function startup_route.main(msg) while true do end end", 0, "over the CPU budget"},
		{"wrong name", "function route.main(msg)\n  sl.sl_send_repli(200)\nend", 1, "main.lua:4:6: "},
		{"syntax", "function route.main(msg\n", 1, "main.lua:"},
		{"error at the top level", "error(\"stop here\")", 1, "main.lua:3:1: stop here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lease, err := peers.LeasePort()
			if err != nil {
				t.Fatal(err)
			}
			defer lease.Release()
			file := filepath.Join(t.TempDir(), "main.lua")
			text := "socket \"udp:127.0.0.1:" + strconv.Itoa(lease.Port) + "\"\nlocal sl = loadmodule \"sl\"\n" + tt.script
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, out := luasips(t, "run", "-f", file, "--no-control"); code != 78 || !strings.Contains(out, tt.want) {
				t.Errorf("run: exit %d, want 78 and %q\n%s", code, tt.want, out)
			}
			code, out := luasips(t, "check", file)
			if code != tt.check || tt.check != 0 && !strings.Contains(out, strings.SplitN(tt.want, ": ", 2)[0]) {
				t.Errorf("check: exit %d, want %d\n%s", code, tt.check, out)
			}
		})
	}
}
