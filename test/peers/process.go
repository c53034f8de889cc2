package peers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Command says what to run.
type Command struct {
	// Name is what messages call the process and its log file; the program's base name when empty.
	Name string
	// Args is the program and its arguments.
	Args []string
	// Dir is the working directory, where the log goes too. It must exist.
	Dir string
	// Env is added to this process's environment.
	Env []string
}

// Process is a running program, the leader of a process group of its own.
type Process struct {
	name    string
	args    []string
	cmd     *exec.Cmd
	logPath string
	done    chan struct{} // closed when the leader has been waited for
	err     error         // its exit error, valid once done is closed
}

// StartProcess starts c with both outputs going to a log file in c.Dir. Should
// this process die first, the child gets SIGTERM. End it with Stop.
func StartProcess(c Command) (*Process, error) {
	name := c.Name
	if name == "" {
		name = filepath.Base(c.Args[0])
	}
	log, err := os.CreateTemp(c.Dir, strings.ReplaceAll(name, "/", "_")+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, log, log
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &Process{name: name, args: c.Args, cmd: cmd, logPath: log.Name(), done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// run starts the program and waits for it on one thread: the death signal is
// sent when the thread that started the child ends, so that thread must stay.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// Name is what the process is called in messages.
func (p *Process) Name() string { return p.name }

// PID is the process id of the group's leader, and so the group's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the leader has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the leader still runs.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ExitCode waits for the end and returns the exit status, -1 when a signal ended it.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends sig to the leader. A process that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) {
	if p.Running() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// Stop sends SIGTERM, gives the process grace to end, then kills its whole
// group. It returns when the leader has ended.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	p.waitOrKill(grace)
}

// waitOrKill waits up to limit for the leader, then kills the group. The group
// is killed in any case: children that outlive their leader are not left behind.
func (p *Process) waitOrKill(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	<-p.done
}

// Log is what the process has printed so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// LogPath is the file that takes what the process prints.
func (p *Process) LogPath() string { return p.logPath }

// Start runs c for a test: stopped at its end, its log shown when it failed.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	p, err := StartProcess(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.Stop(stopGrace)
		if tb.Failed() {
			tb.Logf("%s (%s) printed:\n%s", p.name, strings.Join(p.args, " "), tail(p.Log(), 16<<10))
		}
	})
	return p
}

// stopGrace is the time a process gets between SIGTERM and SIGKILL.
const stopGrace = 5 * time.Second

// pollEvery is the pause between two looks at something that will come soon.
const pollEvery = 10 * time.Millisecond

// WaitFor polls ready until it is true, the process ends, or limit passes; the
// latter two are errors that name what was waited for and quote the log.
func (p *Process) WaitFor(what string, limit time.Duration, ready func() bool) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%v) before %s; it printed:\n%s", p.name, p.err, what, tail(p.Log(), 4<<10))
		case <-deadline.C:
			return fmt.Errorf("%s: no %s within %v; it printed:\n%s", p.name, what, limit, tail(p.Log(), 4<<10))
		case <-tick.C:
		}
	}
	return nil
}

// Listening tells whether some process has port bound for the transport, by
// the kernel's tables, which disturbs nobody.
func Listening(t Transport, port int) bool {
	tables := []string{"/proc/net/udp", "/proc/net/udp6"}
	if t == TCP {
		tables = []string{"/proc/net/tcp", "/proc/net/tcp6"}
	}
	suffix := fmt.Appendf(nil, ":%04X", port)
	for _, table := range tables {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(b) {
			f := bytes.Fields(line)
			if len(f) > 3 && bytes.HasSuffix(f[1], suffix) && (t != TCP || string(f[3]) == tcpListen) {
				return true
			}
		}
	}
	return false
}

// tcpListen is TCP_LISTEN as /proc/net/tcp writes it.
const tcpListen = "0A"

// Transport is the protocol that SIP runs over.
type Transport string

// The transports that peers speak.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
)

// hostPort joins an address, IPv6 in brackets, and a port.
func hostPort(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

// tail is the end of s, at most limit bytes.
func tail(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return "[...]" + s[len(s)-limit:]
}
