// Command soak runs the long measurements of the proxy against the built
// program. It prints their figures and a verdict for each, writes both with the
// machine's description, and exits 1 when one misses its bound. Loopback only,
// bounded in count and time; see README.md.
//
//	go run ./test/soak [flags] [parked|overload|reload|slowtcp ...]
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/mi"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// measurement is one of the program's; bound is what it must keep.
type measurement struct {
	name, about, bound string
	run                func(r *run) error
}

func measurements() []measurement {
	return []measurement{
		{"parked", "1,000 handlers sleep while others call",
			"the p99 of the others' set-up time grows by at most 5 ms; no call fails", parked},
		{"overload", "twice the INVITEs that the proxy can carry, from one source",
			"new calls get 503 with Retry-After while others still go through; every BYE gets through", overload},
		{"reload", "1,000 reloads in a minute at 300 calls/s: good, changed and broken scripts in turn",
			"no failed call; each call on one version; no broken script ever live; memory grows by at most 10% between the 35th and the last second", reload},
		{"slowtcp", "402 TCP peers that drip, stop inside a message, or never read",
			"each is cut, those that stop or drip within 6 s, those that never read within 15 s; good calls over UDP and TCP: none fails, p99 at most 200 ms", slowTCP},
	}
}

func main() {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	out := flags.String("out", "", "directory for the results (default test/soak/results of the source tree); - writes none")
	name := flags.String("name", "", "file name of the results without its end (default: date and time)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: soak [flags] [measurement ...]   (all when none is named)")
		flags.PrintDefaults()
		for _, m := range measurements() {
			fmt.Fprintf(flags.Output(), "  %-10s %s\n", m.name, m.about)
		}
	}
	err := flags.Parse(os.Args[1:])
	if err == nil {
		err = soak(flags.Args(), *out, *name)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak runs the measurements named, all when none is, and writes the results.
func soak(names []string, out, name string) error {
	all := measurements()
	for _, n := range names {
		if !slices.ContainsFunc(all, func(m measurement) bool { return m.name == n }) {
			return fmt.Errorf("no measurement is called %q", n)
		}
	}
	var report strings.Builder
	fmt.Fprintf(&report, "# Soak\n\n%s\n", peers.DescribeMachine())
	w := io.MultiWriter(os.Stdout, &report)
	failed := 0
	for _, m := range all {
		if len(names) == 0 || slices.Contains(names, m.name) {
			failed += m.measure(w)
		}
	}
	path, err := write(out, name, report.String())
	if path != "" {
		fmt.Println("\nresults:", path)
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of the measurements missed their bounds", failed))
	}
	return err
}

// measure runs one and is 1 when it missed its bound.
func (m *measurement) measure(w io.Writer) (failed int) {
	fmt.Fprintf(w, "\n## %s\n\n%s. Bound: %s.\n\n", m.name, m.about, m.bound)
	begin := time.Now()
	dir, err := os.MkdirTemp("", "soak-")
	if err == nil {
		err = m.run(&run{dir, w})
	}
	if err != nil {
		fmt.Fprintf(w, "\nMissed after %v: %v\n", time.Since(begin).Round(time.Second), err)
		fmt.Println("logs are in", dir)
		return 1
	}
	fmt.Fprintf(w, "\nKept, in %v.\n", time.Since(begin).Round(time.Second))
	if err := os.RemoveAll(dir); err != nil {
		fmt.Println(err)
	}
	return 0
}

// write puts the report into dir and returns its path; "-" writes none.
func write(dir, name, report string) (path string, err error) {
	if dir == "-" {
		return "", nil
	}
	if dir == "" {
		root, err := peers.ModuleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "test", "soak", "results")
	}
	if name == "" {
		name = time.Now().UTC().Format("soak-20060102-1504")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, name+".md")
	return path, os.WriteFile(path, []byte(report), 0o644)
}

// run is a measurement at work: its files and where its figures go.
type run struct {
	dir string
	w   io.Writer
}

// say writes one figure or several.
func (r *run) say(format string, args ...any) { fmt.Fprintf(r.w, "- "+format+"\n", args...) }

// server is a running proxy with its control socket.
type server struct {
	*peers.Server
	control string
	addr    netip.AddrPort
}

func start(dir, script string, env ...string) (*server, error) {
	lease, err := peers.LeasePort()
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	control := filepath.Join(dir, "control.sock")
	s, err := peers.RunLuasips(dir, peers.Luasips{Script: script, Port: lease.Port, Args: []string{"--control", control}, Env: env})
	if err != nil {
		return nil, err
	}
	return &server{s, control, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(lease.Port))}, nil
}

// stat reads one counter.
func (s *server) stat(name string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	raw, err := mi.Call(ctx, s.control, "stats", nil)
	if err != nil {
		return 0, err
	}
	var m map[string]float64
	if err := json.Unmarshal(raw, &m); err != nil {
		return 0, err
	}
	return int(m[name]), nil
}

// rss is the proxy's resident memory in KiB.
func (s *server) rss() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(v), " kB"))
		}
	}
	return 0, fmt.Errorf("no VmRSS of %d", s.PID())
}

// load runs calls against the proxy from a socket of its own.
func load(l ua.Load) (*ua.Result, error) {
	if l.Over == "tcp" {
		s, err := ua.ListenStream(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return l.Run(s)
	}
	conn, err := ua.Loopback()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return l.Run(conn)
}

// newCallee starts one that answers every call.
func newCallee() (*ua.Callee, error) { return ua.NewCallee(netip.MustParseAddrPort("127.0.0.1:0")) }

// head is what the scripts here begin with.
const head = `
config { log_level = "warn", %s }
socket "udp:127.0.0.1:{port}"
socket "tcp:127.0.0.1:{port}"
local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local rr        = loadmodule "rr"
local tm        = loadmodule("tm", { fr_timeout = 5, fr_inv_timeout = 30 })
local cfgutils  = loadmodule "cfgutils"

function route.relay(msg)
  if not tm.t_relay() then signaling.send_reply(500, "Internal Error") end
end
function route.in_dialog(msg)
  if not rr.loose_route() and msg.rm ~= "ACK" then return signaling.send_reply(404, "Not here") end
  return route.relay(msg)
end
`

// script is head with settings, followed by route.main.
func script(settings, main string) string { return fmt.Sprintf(head, settings) + main }
