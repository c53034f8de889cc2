package peers

import (
	_ "embed"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Kamailio says how to run Kamailio.
type Kamailio struct {
	// Config is the configuration's text; File is its path instead. It listens
	// on SIP_PORT, which is defined for it, for instance
	// "listen=udp:127.0.0.1:SIP_PORT".
	Config, File string
	// Port is leased when 0.
	Port int
	// Defines are further preprocessor definitions (-A).
	Defines map[string]string
	// Allocator is fm, qm or tlsf for shared and private memory; empty leaves the build's default.
	Allocator string
	// SharedMB and PrivateMB are the sizes of its memory pools in MiB; 64 and 8 when 0.
	SharedMB, PrivateMB int
	// Args are further arguments.
	Args []string
}

// Server is a SIP server under test or beside it.
type Server struct {
	*Process
	ip   string
	port int
	// Dir holds its files.
	Dir string
	// Control is the path of luasips's control socket; empty for other servers.
	Control string
}

// Port is the port given or leased for it.
func (s *Server) Port() int { return s.port }

// Addr is its host:port.
func (s *Server) Addr() string { return hostPort(s.ip, s.port) }

// RunKamailio starts Kamailio in the foreground with its files in dir and
// returns when its UDP or TCP socket is open. The caller holds k.Port. End it with Stop.
func RunKamailio(dir string, k Kamailio) (*Server, error) {
	tool, err := FindTool("kamailio")
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "kamailio-*"); err != nil {
		return nil, err
	}
	if k.File == "" {
		k.File = filepath.Join(dir, "kamailio.cfg")
		if err := os.WriteFile(k.File, []byte(k.Config), 0o644); err != nil {
			return nil, err
		}
	}
	p, err := StartProcess(Command{Name: "kamailio", Args: append([]string{tool}, k.args(dir)...), Dir: dir})
	if err != nil {
		return nil, err
	}
	err = p.WaitFor("open socket", 10*time.Second, func() bool { return Listening(UDP, k.Port) || Listening(TCP, k.Port) })
	if err != nil {
		p.Stop(0)
		return nil, err
	}
	return &Server{Process: p, ip: Loopback, port: k.Port, Dir: dir}, nil
}

// StartKamailio is RunKamailio for a test: stopped at its end, its log shown when the test fails.
func StartKamailio(tb testing.TB, k Kamailio) *Server {
	tb.Helper()
	if k.Port == 0 {
		k.Port = Port(tb)
	}
	s, err := RunKamailio(tb.TempDir(), k)
	if err != nil {
		tb.Fatal(err)
	}
	s.endWith(tb)
	return s
}

// endWith stops the server with the test.
func (s *Server) endWith(tb testing.TB) {
	tb.Cleanup(func() {
		s.Stop(stopGrace)
		if tb.Failed() {
			tb.Logf("%s printed:\n%s", s.Name(), tail(s.Log(), 16<<10))
		}
	})
}

// args builds Kamailio's command line.
func (k *Kamailio) args(dir string) []string {
	size := func(n, otherwise int) string {
		if n == 0 {
			n = otherwise
		}
		return strconv.Itoa(n)
	}
	args := []string{
		"-f", k.File, "-DD", "-E", "-Y", dir, "-w", dir, "-b", strconv.Itoa(socketBuffer),
		"-m", size(k.SharedMB, 64), "-M", size(k.PrivateMB, 8), "-A", "SIP_PORT=" + strconv.Itoa(k.Port),
	}
	if k.Allocator != "" {
		args = append(args, "-x", k.Allocator, "-X", k.Allocator)
	}
	for _, name := range sortedKeys(k.Defines) {
		args = append(args, "-A", name+"="+k.Defines[name])
	}
	return append(args, k.Args...)
}

// KamailioProxy is the configuration of a stateful, record-routing proxy on UDP
// and TCP that keeps the order of messages. It relays to the Request-URI, or,
// with the definition NEXT_HOP ("\"sip:host:port;transport=tcp\"", quotes
// included), sends every request that begins a dialog there.
//
//go:embed kamailio/proxy.cfg
var KamailioProxy string
