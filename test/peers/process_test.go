package peers_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luasips/luasips/test/peers"
)

func TestFindToolSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := peers.FindTool("sipp")
	want := "sipp is not installed: run `make deps` (Debian: sip-tester)"
	if err == nil || err.Error() != want {
		t.Fatalf("FindTool without sipp: %v, want %s", err, want)
	}
}

func TestPortIsLeasedOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port := peers.Port(t)
		if seen[port] {
			t.Fatalf("port %d leased twice", port)
		}
		seen[port] = true
	}
}

// A child that outlives its leader and ignores SIGTERM is killed with the group.
func TestStopKillsTheGroup(t *testing.T) {
	p, err := peers.StartProcess(peers.Command{
		Name: "leader", Dir: t.TempDir(),
		Args: []string{"sh", "-c", `trap "" TERM; sh -c 'trap "" TERM; echo child $$; while :; do sleep 1; done' & wait`},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitFor("child", 5*time.Second, func() bool { return strings.Contains(p.Log(), "child ") }); err != nil {
		t.Fatal(err)
	}
	p.Stop(50 * time.Millisecond)
	if p.Running() {
		t.Fatal("the leader still runs")
	}
	// The kernel buries killed orphans a moment later.
	deadline := time.Now().Add(5 * time.Second)
	for syscall.Kill(-p.PID(), 0) == nil {
		if time.Now().After(deadline) {
			t.Fatal("the group still has members")
		}
	}
}

func TestWaitForQuotesTheLogOfAProcessThatEnds(t *testing.T) {
	p, err := peers.StartProcess(peers.Command{Name: "brief", Dir: t.TempDir(), Args: []string{"sh", "-c", "echo no such module; exit 3"}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.WaitFor("socket", 5*time.Second, func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "no such module") || !strings.Contains(err.Error(), "brief ended") {
		t.Fatalf("WaitFor: %v, want an error with the process's name and what it printed", err)
	}
	if got := p.ExitCode(); got != 3 {
		t.Errorf("exit code %d, want 3", got)
	}
}

func TestKamailioWithABrokenConfigIsAnError(t *testing.T) {
	peers.RequireTool(t, "kamailio")
	_, err := peers.RunKamailio(t.TempDir(), peers.Kamailio{Config: "listen=udp:127.0.0.1:SIP_PORT\nloadmodule \"nosuch.so\"\n", Port: peers.Port(t)})
	if err == nil || !strings.Contains(err.Error(), "could not find module") {
		t.Fatalf("RunKamailio: %v, want Kamailio's own words", err)
	}
}
