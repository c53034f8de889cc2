package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luasips/luasips/test/peers"
)

func TestParseStatWithAHostileName(t *testing.T) {
	line := []byte("4711 (a) b (c) S 1 4700 4700 0 -1 4194560 1 2 3 4 250 50 7 3 20 0 1 0 99 1 2\n")
	got, err := parseStat(line)
	if err != nil {
		t.Fatal(err)
	}
	want := procStat{pid: 4711, group: 4700, user: 2570 * time.Millisecond, system: 530 * time.Millisecond}
	if got != want {
		t.Errorf("parseStat: %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "1", "1 (x) S 1 2", "1 (x) S 1 y 3 0 -1 4 1 2 3 4 5 6 7 8 9"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q): %+v, want an error", bad, got)
		}
	}
}

// The time of children counts, while they live and when they have been waited for.
func TestGroupUsageCountsChildren(t *testing.T) {
	burn := `i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done`
	p, err := peers.StartProcess(peers.Command{
		Name: "burner", Dir: t.TempDir(), Args: []string{"sh", "-c", "sh -c '" + burn + "'; (" + burn + "; echo burnt; exec sleep 60) & wait"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(0)
	if err := p.WaitFor("burnt", 30*time.Second, func() bool { return strings.Contains(p.Log(), "burnt") }); err != nil {
		t.Fatal(err)
	}
	got, err := groupUsage(p.PID())
	if err != nil {
		t.Fatal(err)
	}
	if got.total() < 4*clockTick || got.processes < 2 {
		t.Errorf("usage %v of %d processes, want that of two busy children", got.total(), got.processes)
	}
	if memory, err := groupMemory(p.PID()); err != nil || memory < 64<<10 {
		t.Errorf("memory %d, %v: want more than 64 KiB", memory, err)
	}
}

func TestGroupUsageOfNoGroup(t *testing.T) {
	if got, err := groupUsage(1 << 30); err == nil {
		t.Errorf("groupUsage of a group that is not there: %+v, want an error", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
		{[]float64{4, 1, 2, 9}, spread{3, 1, 9}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("spreadOf(%v): %+v, want %+v", c.values, got, c.want)
		}
	}
}

func TestFillTakesIdleTimeOffTheTimeAfterTheLoadOnly(t *testing.T) {
	ms := time.Millisecond
	s := sample{Completed: 1000}
	s.fill(usage{user: 100 * ms, system: 50 * ms}, usage{user: 30 * ms, system: 5 * ms}, usage{user: 10 * ms, system: 10 * ms}, 2*time.Second)
	s.perCall()
	if s.UserPerCall != 110 || s.SystemPerCall != 50 || s.CPUPerCall != 160 || s.IdlePerSecond != 20000 {
		t.Errorf("user %v, system %v, CPU %v, idle %v; want 110, 50, 160 and 20000", s.UserPerCall, s.SystemPerCall, s.CPUPerCall, s.IdlePerSecond)
	}
}

func TestCountOfCallsThatNeverEnded(t *testing.T) {
	caller := peers.Result{ExitCode: -1, Stats: peers.Stats{Created: 90, Current: 5, Successful: 83, Failures: map[string]int{"MaxUDPRetrans": 2}, Retransmissions: 4}, Counts: map[string]int{"3_200_Recv": 6}}
	callee := peers.Result{Stats: peers.Stats{Retransmissions: 3}, Counts: map[string]int{"4_BYE_Recv": 2}}
	var s sample
	s.count(caller, callee, 100)
	want := sample{Calls: 90, Completed: 83, Failed: 17, Retransmissions: 7, Reordered: 8,
		Reason: "caller MaxUDPRetrans 2, 5 not ended when the time was over", Error: "SIPp ended with -1"}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(sample{})); diff != "" {
		t.Error(diff)
	}
}

func TestReport(t *testing.T) {
	l := load{Transport: peers.UDP, Rate: 1000}
	r := &report{Reference: "ref", Servers: []serverInfo{{Name: "ref"}, {Name: "own"}}, Samples: []sample{
		{Server: "ref", Round: 1, load: l, CPUPerCall: 100, Completed: 10, AchievedRate: 1000},
		{Server: "own", Round: 1, load: l, CPUPerCall: 50, Completed: 10, AchievedRate: 1000, PeakMemory: 5 << 20},
		{Server: "ref", Round: 2, load: l, CPUPerCall: 200, Completed: 10, AchievedRate: 1000},
		{Server: "own", Round: 2, load: l, CPUPerCall: 80, Completed: 9, Failed: 1, AchievedRate: 800, Reason: "caller TimeoutOnRecv 1"},
	}}
	r.Rows = summarise(r.Samples, []load{l}, []string{"own", "ref"}, "ref")
	if n := len(r.Rows); n != 2 {
		t.Fatalf("%d rows, want 2", n)
	}
	own := r.Rows[0]
	if own.CPU != (spread{65, 50, 80}) || own.Completed != 19 || own.Failed != 1 || own.PeakMemory != 5<<20 {
		t.Errorf("row of own: %+v", own)
	}
	if diff := cmp.Diff(&spread{Median: 65.0 / 150, Min: 0.4, Max: 0.5}, own.Ratio); diff != "" {
		t.Error(diff)
	}
	md := r.markdown()
	for _, want := range []string{
		"## UDP, 1000 calls/s", "| own | 65 (50..80) |", "0.43 (0.40..0.50)", "1 calls failed: caller TimeoutOnRecv 1", "SIPp reached 800 calls/s only",
	} {
		if !strings.Contains(md, want) {
			t.Errorf("the report lacks %q:\n%s", want, md)
		}
	}
	paths, err := r.write(t.TempDir(), "run")
	if err != nil || len(paths) != 2 {
		t.Fatalf("write: %v, %v", paths, err)
	}
	if b, err := os.ReadFile(paths[1]); err != nil || !bytes.Contains(b, []byte(`"cpu_us_per_call": 50`)) {
		t.Errorf("%s: %v\n%s", paths[1], err, b)
	}
}

func TestOptions(t *testing.T) {
	out := t.TempDir()
	o, err := parseOptions([]string{"--quick", "--rounds", "2", "--out", out, "--server", "x=prog {port}", "--servers", "none", "--transports", "tcp"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 2 || o.seconds != 3*time.Second || len(o.servers) != 0 || len(o.extra) != 1 || len(o.loads()) != 1 || o.loads()[0].String() != "TCP, 1000 calls/s" {
		t.Errorf("options %+v with loads %v", o, o.loads())
	}
	for _, bad := range [][]string{
		{"--rounds", "0"}, {"--seconds", "500"}, {"--rates", "fast"}, {"--rates", "0"}, {"--rates", ""}, {"--transports", "sctp"}, {"--servers", "nosuch"}, {"stray"},
	} {
		if _, err := parseOptions(append(bad, "--out", out), io.Discard); err == nil {
			t.Errorf("%v was taken, want an error", bad)
		}
	}
	var help bytes.Buffer
	if _, err := parseOptions([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-rates") {
		t.Errorf("--help: %v, printed %q", err, help.String())
	}
}

// Every peer carries every call of a short load, and the figures arrive in the report.
func TestPeersCarryAllCalls(t *testing.T) {
	out := t.TempDir()
	var printed bytes.Buffer
	args := []string{
		"--quick", "--seconds", "2", "--warmup", "0", "--rates", "200", "--idle", "0", "--drain", "0s", "--out", out, "--name", "run",
		"--servers", "kemi-tlsf,native-default,sipgo",
	}
	if err := run(context.Background(), args, &printed); err != nil {
		t.Fatalf("%v\n%s", err, printed.String())
	}
	md, err := os.ReadFile(filepath.Join(out, "run.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(md, []byte("| 400 | 0 |")); n != 6 {
		t.Errorf("%d of 6 rows say 400 calls and none failed:\n%s", n, md)
	}
}
