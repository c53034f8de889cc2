package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIPp says how to run SIPp. Of Name, Scenario and File one is given.
type SIPp struct {
	// Name is a scenario of this package, as Scenario takes it.
	Name string
	// Scenario is a scenario's XML.
	Scenario string
	// File is the path of a scenario.
	File string

	// Remote is where requests go, host:port; empty for a scenario that begins by receiving.
	Remote string
	// Target is user@host:port (or host:port, for user "bob") of the callee: the
	// keyword [target] of the scenarios here. Remote when empty.
	Target string
	// IP is the local address, Loopback when empty. Port is leased when 0.
	IP   string
	Port int
	// Transport is UDP when empty. Over TCP a connection is shared by all calls
	// unless ConnectionPerCall.
	Transport         Transport
	ConnectionPerCall bool

	// Calls ends the run after so many calls; 0 runs till Stop.
	Calls int
	// Rate is calls begun per second, 10 when 0. Concurrent bounds calls in progress when not 0.
	Rate, Concurrent int
	// Timeout ends the run however far it is, 60 s when 0.
	Timeout time.Duration
	// Replace changes the scenario's text before it is used, for instance "486" to "603".
	Replace map[string]string
	// Keys are further [keywords] of the scenario.
	Keys map[string]string
	// Trace keeps every message for Result.Messages.
	Trace bool
	// Counts keeps the count of each step for Result.Counts.
	Counts bool
	// Args are further arguments.
	Args []string
}

// SIPpRun is a SIPp at work.
type SIPpRun struct {
	*Process
	ip      string
	port    int
	timeout time.Duration
	files   sippFiles
	release func()
}

// sippFiles are the files that one run writes; counts is a pattern.
type sippFiles struct{ stats, counts, messages, errors string }

// Result is how a run of SIPp ended.
type Result struct {
	Stats
	// Name is the scenario's, for messages.
	Name string
	// ExitCode is 0 when every call succeeded, 1 when one failed, 99 when there
	// was none, -1 when it had to be killed; others are SIPp's fatal errors.
	ExitCode int
	// Errors is what SIPp wrote to its error file.
	Errors string
	// Messages are in the order SIPp saw them, all calls together; nil without SIPp.Trace.
	Messages []Message
	// Counts are as ReadCounts returns them; nil without SIPp.Counts.
	Counts map[string]int
}

// RunSIPp starts SIPp with its files in dir, which must exist, and returns when
// its socket is open. End it with Wait or Stop.
func RunSIPp(dir string, s SIPp) (*SIPpRun, error) {
	tool, err := FindTool("sipp")
	if err != nil {
		return nil, err
	}
	s = s.withDefaults()
	run := &SIPpRun{ip: s.IP, timeout: s.Timeout, release: func() {}}
	defer func() {
		if err != nil {
			run.release()
		}
	}()
	var leased [3]*PortLease // the SIP port, SIPp's control port, its media ports
	for i := range leased {
		if leased[i], err = LeasePort(); err != nil {
			return nil, err
		}
		before, lease := run.release, leased[i]
		run.release = func() { before(); lease.Release() }
	}
	if s.Port == 0 {
		s.Port = leased[0].Port
	}
	run.port = s.Port
	if dir, err = os.MkdirTemp(dir, "sipp-*"); err != nil {
		return nil, err
	}
	if err = s.writeScenario(dir); err != nil {
		return nil, err
	}
	run.files = sippFiles{dir + "/stats.csv", dir + "/*_counts.csv", dir + "/messages.txt", dir + "/errors.txt"}
	args := append([]string{tool}, s.args(run.files, leased[1].Port, leased[2].Port)...)
	run.Process, err = StartProcess(Command{Name: "sipp-" + s.title(), Args: args, Dir: dir})
	if err != nil {
		return nil, err
	}
	if err = run.awaitSocket(s); err != nil {
		run.Process.Stop(0)
		return nil, err
	}
	return run, nil
}

// StartSIPp is RunSIPp for a test: ended with it, and its log and errors shown
// when the test fails.
func StartSIPp(tb testing.TB, s SIPp) *SIPpRun {
	tb.Helper()
	run, err := RunSIPp(tb.TempDir(), s)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		r := run.Stop()
		if tb.Failed() {
			tb.Logf("%s ended with %d: %+v\nerrors: %s\n%s", run.Name(), r.ExitCode, r.Stats, tail(r.Errors, 8<<10), tail(run.Log(), 8<<10))
		}
	})
	return run
}

// Port is the port that SIPp's socket is bound to.
func (r *SIPpRun) Port() int { return r.port }

// Addr is the host:port that SIPp's socket is bound to.
func (r *SIPpRun) Addr() string { return hostPort(r.ip, r.port) }

// Wait waits for SIPp to end by itself, which SIPp.Timeout bounds, and returns the result.
func (r *SIPpRun) Wait() Result {
	r.waitOrKill(r.timeout + stopGrace)
	return r.result()
}

// Stop ends a run that has no bound on calls and returns the result. SIPp is
// asked first (SIGUSR1, upon which it waits for its calls to end), then killed.
func (r *SIPpRun) Stop() Result {
	r.Signal(syscall.SIGUSR1)
	r.waitOrKill(askGrace)
	return r.result()
}

// askGrace is the time SIPp gets to end its calls; one with a call that never
// ends would wait for ever.
const askGrace = 1500 * time.Millisecond

// Snapshot reads the counters of a run in progress, at most a second old.
func (r *SIPpRun) Snapshot() (Stats, error) { return ReadStats(r.files.stats) }

// result collects what the ended process left in its files.
func (r *SIPpRun) result() Result {
	r.release()
	r.release = func() {}
	res := Result{Name: r.Name(), ExitCode: r.ExitCode()}
	if b, err := os.ReadFile(r.files.errors); err == nil {
		res.Errors = string(b)
	}
	var err error
	if res.Stats, err = ReadStats(r.files.stats); err != nil {
		res.Errors += err.Error()
	}
	if found, _ := filepath.Glob(r.files.counts); len(found) == 1 { // the pattern is a constant and a temporary directory
		if res.Counts, err = ReadCounts(found[0]); err != nil {
			res.Errors += err.Error()
		}
	}
	if _, err := os.Stat(r.files.messages); err == nil {
		if res.Messages, err = ReadMessages(r.files.messages); err != nil {
			res.Errors += err.Error()
		}
	}
	return res
}

// MustSucceed fails the test unless exactly calls calls succeeded and none failed.
func (r Result) MustSucceed(tb testing.TB, calls int) {
	tb.Helper()
	if r.Successful != calls || r.Failed != 0 {
		tb.Errorf("%s: %d calls succeeded and %d failed, want %d and 0 (exit %d)\n%s",
			r.Name, r.Successful, r.Failed, calls, r.ExitCode, tail(r.Errors, 4<<10))
	}
}

// Received returns the received messages whose start line contains part.
func (r Result) Received(part string) []Message { return r.pick(false, part) }

// Sent returns the sent messages whose start line contains part.
func (r Result) Sent(part string) []Message { return r.pick(true, part) }

func (r Result) pick(sent bool, part string) []Message {
	return slices.DeleteFunc(slices.Clone(r.Messages), func(m Message) bool {
		return m.Sent != sent || !strings.Contains(m.StartLine(), part)
	})
}

// withDefaults fills in what was left zero.
func (s SIPp) withDefaults() SIPp {
	if s.IP == "" {
		s.IP = Loopback
	}
	if s.Transport == "" {
		s.Transport = UDP
	}
	if s.Rate == 0 {
		s.Rate = 10
	}
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	if s.Target == "" {
		s.Target = s.Remote
	}
	if s.Target != "" && !strings.Contains(s.Target, "@") {
		s.Target = "bob@" + s.Target
	}
	return s
}

// title names the scenario in messages.
func (s *SIPp) title() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.File != "":
		return strings.TrimSuffix(filepath.Base(s.File), ".xml")
	}
	return "scenario"
}

// writeScenario makes s.File of whichever way the scenario was given.
func (s *SIPp) writeScenario(dir string) (err error) {
	if s.File != "" {
		s.File, err = filepath.Abs(s.File)
		return err
	}
	if s.Name != "" {
		if s.Scenario, err = Scenario(s.Name); err != nil {
			return err
		}
	}
	if s.Scenario == "" {
		return fmt.Errorf("SIPp: no scenario given: set Name, Scenario or File")
	}
	for _, from := range sortedKeys(s.Replace) {
		s.Scenario = strings.ReplaceAll(s.Scenario, from, s.Replace[from])
	}
	s.File = filepath.Join(dir, "scenario.xml")
	return os.WriteFile(s.File, []byte(s.Scenario), 0o644)
}

// args builds SIPp's command line.
func (s *SIPp) args(f sippFiles, control, media int) []string {
	socket := map[bool]string{false: "1", true: "n"}[s.ConnectionPerCall]
	args := []string{
		"-sf", s.File, "-i", s.IP, "-p", strconv.Itoa(s.Port), "-t", string(s.Transport[:1]) + socket,
		"-cp", strconv.Itoa(control), "-mp", strconv.Itoa(mediaPort(media)), "-mi", mediaIP(s.IP, media), "-nostdin", "-buff_size", strconv.Itoa(socketBuffer),
		"-trace_stat", "-stf", f.stats, "-fd", "1", "-trace_err", "-error_file", f.errors,
		"-timeout", fmt.Sprintf("%ds", max(1, int(s.Timeout/time.Second))), "-r", strconv.Itoa(s.Rate),
	}
	if s.ConnectionPerCall {
		args = append(args, "-max_socket", "1000") // SIPp refuses to run when it could not open as many
	}
	if s.Calls > 0 {
		args = append(args, "-m", strconv.Itoa(s.Calls))
	}
	if s.Concurrent > 0 {
		args = append(args, "-l", strconv.Itoa(s.Concurrent))
	}
	if s.Trace {
		args = append(args, "-trace_msg", "-message_file", f.messages)
	}
	if s.Counts {
		args = append(args, "-trace_counts") // SIPp has no option for the file's name
	}
	if s.Target != "" {
		args = append(args, "-key", "target", s.Target)
	}
	for _, k := range sortedKeys(s.Keys) {
		args = append(args, "-key", k, s.Keys[k])
	}
	args = append(args, s.Args...)
	if s.Remote != "" {
		args = append(args, s.Remote)
	}
	return args
}

// mediaIP is an address of SIPp's own for the two media sockets that it opens in
// any case, so that the second, whose port is not leased, meets no other SIPp's.
// Over IPv6 loopback there is but one address.
func mediaIP(ip string, lease int) string {
	if strings.Contains(ip, ":") {
		return ip
	}
	return fmt.Sprintf("127.%d.%d.1", 1+lease>>8, lease&0xff)
}

// mediaPort is the first media port: below the leased range, where a search for
// a free port never binds, not even for a moment. 4 for each lease keep apart
// most SIPps that share the one IPv6 address.
func mediaPort(lease int) int { return 2000 + 4*(lease%2400) }

// socketBuffer is the socket buffer asked for, bytes: room for the bursts of some thousand calls a second.
const socketBuffer = 4 << 20

// awaitSocket returns when SIPp can receive. A caller over TCP listens nowhere,
// and a short run may be over before the first look: neither is waited for.
func (r *SIPpRun) awaitSocket(s SIPp) error {
	if s.Remote != "" {
		return nil
	}
	return r.WaitFor("open socket", 5*time.Second, func() bool { return Listening(s.Transport, s.Port) })
}

// sortedKeys returns the keys of m in order, so that command lines are stable.
func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
