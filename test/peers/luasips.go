package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Luasips says how to run the program under test.
type Luasips struct {
	// Script is the route script's text; in it each {port} becomes Port. File is
	// the path of a script instead, taken as it is.
	Script, File string
	// Port is leased when 0.
	Port int
	// Files are written beside the script: name to content.
	Files map[string]string
	// Binary is the program; empty builds it with BuildLuasips.
	Binary string
	// Args follow "run -f SCRIPT"; Env is added to the environment.
	Args, Env []string
	// ReadyTimeout bounds the wait for readiness, 15 s when 0.
	ReadyTimeout time.Duration
}

// BuildLuasips builds the program into bin/ of the module and returns its path.
// With LUASIPS_BIN set that binary is taken instead. Builds of several test
// processes wait for each other; one that has nothing to do is quick.
func BuildLuasips() (string, error) {
	if bin := os.Getenv("LUASIPS_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "luasips")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "luasips-build.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("build lock: %w", err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/luasips") // as the Makefile does, so that neither undoes the other's
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/luasips: %w\n%s", err, out)
	}
	return bin, nil
}

// ModuleRoot is the directory of go.mod above the working directory.
func ModuleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("the working directory is in no Go module: run from the source tree")
	}
	return filepath.Dir(mod), nil
}

// RunLuasips starts the program with its files in dir and returns when it is
// ready: when it has logged the record with msg "ready", or answers OPTIONS
// over UDP on l.Port. The caller holds l.Port. End it with Stop.
func RunLuasips(dir string, l Luasips) (*Server, error) {
	dir, err := os.MkdirTemp(dir, "luasips-*")
	if err != nil {
		return nil, err
	}
	if err := l.writeFiles(dir); err != nil {
		return nil, err
	}
	if l.Binary == "" {
		if l.Binary, err = BuildLuasips(); err != nil {
			return nil, err
		}
	}
	control := filepath.Join(dir, "control.sock")
	args := append([]string{l.Binary, "run", "-f", l.File}, l.Args...)
	p, err := StartProcess(Command{Name: "luasips", Args: args, Dir: dir, Env: append([]string{"LUASIPS_CONTROL=" + control}, l.Env...)})
	if err != nil {
		return nil, err
	}
	limit := l.ReadyTimeout
	if limit == 0 {
		limit = 15 * time.Second
	}
	probe := newProbe(l.Port)
	defer probe.close()
	if err := p.WaitFor(`log record "ready" or answer to OPTIONS`, limit, func() bool { return loggedReady(p.LogPath()) || probe.answered() }); err != nil {
		p.Stop(0)
		return nil, err
	}
	return &Server{Process: p, ip: Loopback, port: l.Port, Dir: dir, Control: control}, nil
}

// StartLuasips is RunLuasips for a test: stopped at its end, its log shown when the test fails.
func StartLuasips(tb testing.TB, l Luasips) *Server {
	tb.Helper()
	if l.Port == 0 {
		l.Port = Port(tb)
	}
	s, err := RunLuasips(tb.TempDir(), l)
	if err != nil {
		tb.Fatal(err)
	}
	s.endWith(tb)
	return s
}

// writeFiles writes the script, and what stands beside it, to dir.
func (l *Luasips) writeFiles(dir string) error {
	for name, content := range l.Files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	if l.File != "" {
		var err error
		l.File, err = filepath.Abs(l.File)
		return err
	}
	l.File = filepath.Join(dir, "script.lua")
	return os.WriteFile(l.File, []byte(strings.ReplaceAll(l.Script, "{port}", fmt.Sprint(l.Port))), 0o644)
}

// loggedReady looks for a JSON log record whose msg is "ready".
func loggedReady(path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(b) {
		var record struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal(line, &record) == nil && record.Msg == "ready" {
			return true
		}
	}
	return false
}

// probe asks a server by OPTIONS over UDP whether it is there.
type probe struct {
	conn *net.UDPConn
	next time.Time
	sent int
}

// probeEvery is the pause between two OPTIONS.
const probeEvery = 200 * time.Millisecond

func newProbe(port int) *probe {
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(Loopback), Port: port})
	if err != nil {
		return &probe{}
	}
	return &probe{conn: conn}
}

func (p *probe) close() {
	if p.conn != nil {
		p.conn.Close()
	}
}

// answered sends an OPTIONS when it is time to and tells whether any response has come.
func (p *probe) answered() bool {
	if p.conn == nil {
		return false
	}
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(probeEvery)
		p.sent++
		local := p.conn.LocalAddr().String()
		// Max-Forwards 0: a server that would relay it answers too (RFC 3261 §11).
		fmt.Fprintf(p.conn, "OPTIONS sip:probe@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bKprobe%d\r\n"+
			"From: <sip:probe@%s>;tag=probe%d\r\nTo: <sip:probe@%s>\r\nCall-ID: probe%d@%s\r\nCSeq: 1 OPTIONS\r\n"+
			"Max-Forwards: 0\r\nContent-Length: 0\r\n\r\n",
			p.conn.RemoteAddr(), local, p.sent, local, p.sent, p.conn.RemoteAddr(), p.sent, local)
	}
	buf := make([]byte, 4096)
	_ = p.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // a closed port answers with ECONNREFUSED: not yet
	n, err := p.conn.Read(buf)
	return err == nil && bytes.HasPrefix(buf[:n], []byte("SIP/2.0 "))
}
