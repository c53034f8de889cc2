package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/test/peers"
)

//go:embed kamailio
var kamailioFiles embed.FS

// server is one of the programs measured.
type server struct {
	name    string
	version string
	about   string // how it was run, for the report
	// start runs the server on 127.0.0.1:port, UDP and TCP, with its files in dir.
	start func(dir string, port int) (*peers.Process, error)
}

// builtin lists the names that --servers takes, in the order of the report.
var builtin = []string{"luasips", "kemi-tlsf", "kemi-default", "native-tlsf", "native-default", "sipgo"}

// makeServers prepares the servers that o names: finds or builds their programs.
func makeServers(o *options, work string) ([]server, error) {
	var all []server
	for _, name := range o.servers {
		s, err := makeServer(name, o, work)
		if err != nil {
			return nil, fmt.Errorf("%s: %w (leave it out with --servers)", name, err)
		}
		all = append(all, s)
	}
	for _, spec := range o.extra {
		name, command, ok := strings.Cut(spec, "=")
		if !ok || name == "" || !strings.Contains(command, "{port}") {
			return nil, fmt.Errorf(`--server %q: want name=command with {port} where the port goes`, spec)
		}
		all = append(all, commandServer(name, command))
	}
	if len(all) == 0 {
		return nil, errors.New("no server to measure: name some with --servers or --server")
	}
	return all, nil
}

func makeServer(name string, o *options, work string) (server, error) {
	kind, allocator, _ := strings.Cut(name, "-")
	switch kind {
	case "luasips":
		return luasipsServer(o, "")
	case "kemi", "native":
		return kamailioServer(name, kind, strings.TrimPrefix(allocator, "default"), work)
	case "sipgo":
		return sipgoServer(work)
	}
	return server{}, fmt.Errorf("unknown server, there are %s", strings.Join(builtin, ", "))
}

// scriptPort is the port that the measured script names; a run puts its own in its place.
var scriptPort = regexp.MustCompile(`\b5060\b`)

// luasipsServer measures the program of this tree, writing a CPU profile unless that is "".
func luasipsServer(o *options, profile string) (server, error) {
	script, err := os.ReadFile(o.script)
	if err != nil {
		return server{}, err
	}
	if !scriptPort.Match(script) {
		return server{}, fmt.Errorf("%s names no port 5060 that could be replaced by a free one", o.script)
	}
	binary := o.luasips
	if binary == "" {
		if binary, err = peers.BuildLuasips(); err != nil {
			return server{}, err
		}
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return server{}, err
	}
	var args []string
	if profile != "" {
		args = []string{"--cpuprofile", profile}
	}
	return server{
		name: "luasips", version: peers.FirstLine(binary, "version"),
		about: "luasips run -f " + filepath.Base(o.script) + ", port replaced; GOMAXPROCS and GOGC as the program sets them",
		start: func(dir string, port int) (*peers.Process, error) {
			text := scriptPort.ReplaceAllLiteralString(string(script), strconv.Itoa(port))
			s, err := peers.RunLuasips(dir, peers.Luasips{Script: text, Port: port, Binary: binary, Args: args})
			if err != nil {
				return nil, err
			}
			return s.Process, nil
		},
	}, nil
}

// Kamailio's memory pools, MiB: enough for the transactions that linger at the
// highest rate; a page that is never touched costs nothing.
const (
	kamailioShared  = 1024
	kamailioPrivate = 16
)

func kamailioServer(name, kind, allocator, work string) (server, error) {
	tool, err := peers.FindTool("kamailio")
	if err != nil {
		return server{}, err
	}
	for _, file := range []string{"native.cfg", "kemi.cfg", "kemi.lua"} {
		b, err := kamailioFiles.ReadFile("kamailio/" + file)
		if err != nil {
			return server{}, err
		}
		if err := os.WriteFile(filepath.Join(work, file), b, 0o644); err != nil {
			return server{}, err
		}
	}
	k := peers.Kamailio{
		File: filepath.Join(work, kind+".cfg"), Allocator: allocator,
		SharedMB: kamailioShared, PrivateMB: kamailioPrivate,
		Defines: map[string]string{"LUA_FILE": strconv.Quote(filepath.Join(work, "kemi.lua"))},
	}
	about := fmt.Sprintf("kamailio/%s.cfg, 2 UDP and 2 TCP workers", kind)
	if allocator == "" {
		about += ", the build's default allocator"
	} else {
		about += fmt.Sprintf(", -x %s -X %s", allocator, allocator)
	}
	return server{
		name: name, version: peers.FirstLine(tool, "-v"), about: about,
		start: func(dir string, port int) (*peers.Process, error) {
			k := k
			k.Port = port
			s, err := peers.RunKamailio(dir, k)
			if err != nil {
				return nil, err
			}
			return s.Process, nil
		},
	}, nil
}

// sipgoServer builds the proxy beside this package.
func sipgoServer(work string) (server, error) {
	root, err := peers.ModuleRoot()
	if err != nil {
		return server{}, err
	}
	binary := filepath.Join(work, "sipgoproxy")
	build := exec.Command("go", "build", "-o", binary, "./test/bench/sipgoproxy")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return server{}, fmt.Errorf("go build ./test/bench/sipgoproxy: %w\n%s", err, out)
	}
	list := exec.Command("go", "list", "-m", "github.com/emiago/sipgo")
	list.Dir = root
	version, err := list.Output()
	if err != nil {
		return server{}, fmt.Errorf("go list -m github.com/emiago/sipgo: %w", err)
	}
	return server{
		name: "sipgo", version: strings.TrimSpace(string(version)), about: "test/bench/sipgoproxy",
		start: func(dir string, port int) (*peers.Process, error) {
			return startAndWait(port, peers.Command{
				Name: "sipgo", Dir: dir, Args: []string{binary, "-addr", fmt.Sprintf("%s:%d", peers.Loopback, port)},
			})
		},
	}, nil
}

// commandServer measures whatever a shell command starts in the foreground.
func commandServer(name, command string) server {
	return server{
		name: name, version: "by command", about: command,
		start: func(dir string, port int) (*peers.Process, error) {
			line := strings.NewReplacer("{port}", strconv.Itoa(port), "{dir}", dir).Replace(command)
			return startAndWait(port, peers.Command{Name: name, Dir: dir, Args: []string{"sh", "-c", line}})
		},
	}
}

// startTimeout bounds the wait for a server's socket.
const startTimeout = 10 * time.Second

// startAndWait starts a server and returns when its port is bound.
func startAndWait(port int, c peers.Command) (*peers.Process, error) {
	p, err := peers.StartProcess(c)
	if err != nil {
		return nil, err
	}
	bound := func() bool { return peers.Listening(peers.UDP, port) || peers.Listening(peers.TCP, port) }
	if err := p.WaitFor("open socket", startTimeout, bound); err != nil {
		p.Stop(0)
		return nil, err
	}
	return p, nil
}
