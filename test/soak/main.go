// Command soak runs the long measurements of the proxy against the built
// program and prints their figures; exit 1 when one misses its bound. Loopback
// only, bounded in count and time.
//
//	go run ./test/soak [parked|overload|reload|slowtcp ...]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/mi"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

// measurement is one of the program's.
type measurement struct {
	name, about string
	run         func(dir string) error
}

func measurements() []measurement {
	return []measurement{
		{"parked", "1,000 parked handlers: how much the p99 of other calls grows", parked},
		{"overload", "far more INVITEs than fit, from one source: 503 for new calls, BYEs get through", overload},
		{"reload", "1,000 reloads in a minute at 300 calls/s: no failed call, one version a call, memory flat", reload},
		{"slowtcp", "slow, half-open and never-reading TCP peers: cut in time, good traffic unhurt", slowTCP},
	}
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: soak [measurement ...]   (all when none is named)")
		for _, m := range measurements() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", m.name, m.about)
		}
	}
	flag.Parse()
	os.Exit(runAll(flag.Args()))
}

func runAll(names []string) int {
	failed := 0
	for _, m := range measurements() {
		if len(names) > 0 && !contains(names, m.name) {
			continue
		}
		fmt.Printf("== %s: %s\n", m.name, m.about)
		dir, err := os.MkdirTemp("", "soak-")
		if err == nil {
			err = m.run(dir)
		}
		if err != nil {
			fmt.Printf("   FAILED: %v (logs in %s)\n", err, dir)
			failed++
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Println("  ", err)
		}
	}
	if failed > 0 {
		return 1
	}
	return 0
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

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
	conn, err := ua.Loopback()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return l.Run(conn)
}

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
