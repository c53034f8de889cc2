package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/test/peers"
)

// options are what the flags say.
type options struct {
	rounds, warmupSeconds, measureSeconds int
	warmup, seconds, drain, idle          time.Duration

	rates      []int
	transports []peers.Transport
	servers    []string
	extra      []string // name=command
	reference  string
	script     string
	luasips    string
	out, name  string
	profile    bool
	keep       bool
}

const helpHead = `Measures the CPU time that SIP proxies take for a call, side by side.

SIPp plays caller and callee of whole calls (INVITE, 100, 180, 200, ACK, BYE, 200)
through each server in turn. A round measures every server under every load once;
the order of servers turns from round to round. CPU time is user and system time of
the server's process group during the load, and for a time after it what exceeds
the idle server's, for each completed call. Everything runs on loopback. The results
are printed, and written as Markdown and JSON.

Servers: luasips, kemi-tlsf and kemi-default (Kamailio scripted in Lua, with its fast
allocator and with the one its build defaults to), native-tlsf and native-default
(Kamailio's own language), sipgo (a small proxy on that library), and any other by
--server.

Usage: go run ./test/bench [flags]

`

// parseOptions reads the command line. With --help it writes the help to w and
// returns flag.ErrHelp.
func parseOptions(args []string, w io.Writer) (*options, error) {
	o := &options{}
	var rates, transports, servers string
	var quick bool
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(w)
	f.Usage = func() { fmt.Fprint(w, helpHead); f.PrintDefaults() }
	f.IntVar(&o.rounds, "rounds", 3, "rounds, 1 to 20")
	f.IntVar(&o.measureSeconds, "seconds", 8, "length of each measured load in seconds, 2 to 120")
	f.IntVar(&o.warmupSeconds, "warmup", 2, "length of the load before it, in seconds, that does not count, 0 to 30")
	f.DurationVar(&o.drain, "drain", 6*time.Second, "time after the load that counts too, for what servers put off; up to 40s")
	f.DurationVar(&o.idle, "idle", 2*time.Second, "time that the idle server is measured for, up to 30s; 0 takes nothing off the time after the load")
	f.StringVar(&rates, "rates", "1000,2000", "calls per second, each up to 10000")
	f.StringVar(&transports, "transports", "udp,tcp", "udp, tcp")
	f.StringVar(&servers, "servers", strings.Join(builtin, ","), "servers; none for those of --server alone")
	f.Func("server", "one more server as name=command, a shell command that stays in the foreground; {port} and {dir} in it become\nthe port to listen on (UDP, TCP) and a directory for files; repeatable", func(s string) error {
		o.extra = append(o.extra, s)
		return nil
	})
	f.StringVar(&o.reference, "reference", "kemi-tlsf", "the server that the others are compared with")
	f.StringVar(&o.script, "script", "", "route script of luasips, naming port 5060 (default examples-lua/proxy.lua of the source tree)")
	f.StringVar(&o.luasips, "luasips", "", "luasips binary (default: built from the source tree)")
	f.StringVar(&o.out, "out", "", "directory for the results (default test/bench/results of the source tree); - writes none")
	f.StringVar(&o.name, "name", "", "file name of the results without its end (default: date and time)")
	f.BoolVar(&o.profile, "profile", false, "run luasips once more under each load, not counted, with --cpuprofile; the profiles go beside the results")
	f.BoolVar(&o.keep, "keep", false, "keep the files of servers and SIPp in the temporary directory and say where")
	f.BoolVar(&quick, "quick", false, "one short round at 1000 calls/s: to see that everything works. Flags given beside it hold")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: everything is a flag, see --help", f.Arg(0))
	}
	if quick {
		given := map[string]bool{}
		f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
		for name, value := range map[string]string{"rounds": "1", "seconds": "3", "warmup": "1", "drain": "1s", "idle": "1s", "rates": "1000"} {
			if !given[name] {
				if err := f.Set(name, value); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := o.complete(rates, transports, servers); err != nil {
		return nil, err
	}
	return o, o.findTree()
}

// complete checks bounds and splits lists.
func (o *options) complete(rates, transports, servers string) error {
	err := errors.Join(
		within("rounds", o.rounds, 1, 20), within("seconds", o.measureSeconds, 2, 120), within("warmup", o.warmupSeconds, 0, 30),
		within("drain", o.drain, 0, 40*time.Second), within("idle", o.idle, 0, 30*time.Second),
	)
	o.seconds, o.warmup = time.Duration(o.measureSeconds)*time.Second, time.Duration(o.warmupSeconds)*time.Second
	for _, r := range splitList(rates) {
		n, convErr := strconv.Atoi(r)
		if convErr != nil {
			convErr = fmt.Errorf("--rates: %q is no number", r)
		}
		err = errors.Join(err, convErr, within("rates", n, 1, 10000))
		o.rates = append(o.rates, n)
	}
	for _, t := range splitList(transports) {
		if t != string(peers.UDP) && t != string(peers.TCP) {
			err = errors.Join(err, fmt.Errorf("--transports: %q, want udp or tcp", t))
		}
		o.transports = append(o.transports, peers.Transport(t))
	}
	if servers != "none" {
		o.servers = splitList(servers)
	}
	for _, s := range o.servers {
		if !slices.Contains(builtin, s) {
			err = errors.Join(err, fmt.Errorf("--servers: %q, want some of %s", s, strings.Join(builtin, ", ")))
		}
	}
	if len(o.rates) == 0 || len(o.transports) == 0 {
		err = errors.Join(err, errors.New("no rate or no transport is left"))
	}
	if o.name == "" {
		o.name = time.Now().UTC().Format("bench-20060102-1504")
	}
	return err
}

// findTree sets the paths that default to places in the source tree.
func (o *options) findTree() error {
	if o.script != "" && o.out != "" {
		return nil
	}
	root, err := peers.ModuleRoot()
	if err != nil {
		return err
	}
	if o.script == "" {
		o.script = filepath.Join(root, "examples-lua", "proxy.lua")
	}
	if o.out == "" {
		o.out = filepath.Join(root, "test", "bench", "results")
	}
	if o.out == "-" {
		return nil
	}
	return os.MkdirAll(o.out, 0o755)
}

// within checks that a flag's value lies between two bounds.
func within[T int | time.Duration](name string, v, low, high T) error {
	if v < low || v > high {
		return fmt.Errorf("--%s: %v, want %v to %v", name, v, low, high)
	}
	return nil
}

// splitList splits at commas and drops what is empty.
func splitList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(v string) bool { return v == "" })
}
