// Command bench measures the CPU time that SIP proxies take for a call, side by
// side: luasips, Kamailio scripted in Lua and in its own language, a proxy on
// sipgo, and any server given by command. See --help and README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/luasips/luasips/test/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	stop()
	os.Exit(1)
}

// run measures what the arguments say and reports to w.
func run(ctx context.Context, args []string, w io.Writer) error {
	o, err := parseOptions(args, w)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "luasips-bench-servers-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	servers, err := makeServers(o, work)
	if err != nil {
		return err
	}
	r := &report{Machine: peers.DescribeMachine(), Reference: o.reference, Settings: settings{
		Rounds: o.rounds, Seconds: o.seconds.Seconds(), Warmup: o.warmup.Seconds(), Drain: o.drain.Seconds(), Idle: o.idle.Seconds(),
	}}
	names := make([]string, len(servers))
	for i, s := range servers {
		names[i] = s.name
		r.Servers = append(r.Servers, serverInfo{Name: s.name, Version: s.version, About: s.about})
	}
	loads := o.loads()
	measureErr := r.measureAll(ctx, o, servers, loads, w)
	r.Rows = summarise(r.Samples, loads, names, o.reference)
	if measureErr == nil && o.profile && slices.Contains(o.servers, "luasips") {
		measureErr = r.profileAll(ctx, o, loads, w)
	}
	fmt.Fprint(w, r.text())
	if o.out == "-" || len(r.Samples) == 0 {
		return measureErr
	}
	paths, err := r.write(o.out, o.name)
	if err == nil {
		fmt.Fprintf(w, "\nWritten: %s\n", strings.Join(paths, ", "))
	}
	return errors.Join(measureErr, err)
}

// loads are all pairs of transport and rate.
func (o *options) loads() []load {
	var all []load
	for _, t := range o.transports {
		for _, rate := range o.rates {
			all = append(all, load{Transport: t, Rate: rate})
		}
	}
	return all
}

// measureAll runs the rounds. A measurement that fails is noted in its sample,
// and the others go on; only the end of ctx stops them.
func (r *report) measureAll(ctx context.Context, o *options, servers []server, loads []load, w io.Writer) error {
	var failed error
	for round := range o.rounds {
		for _, l := range loads {
			for i := range servers {
				s := servers[(i+round)%len(servers)]
				got, err := measure(ctx, s, l, o)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				got.Round = round + 1
				if err != nil {
					got.Error = err.Error()
					failed = errors.Join(failed, fmt.Errorf("round %d, %s, %s: %w", got.Round, s.name, l, err))
				}
				r.Samples = append(r.Samples, got)
				fmt.Fprintf(w, "round %d  %-18s %-14s %6.0f µs/call  %6d calls  %d failed  %d retransmitted  %d reordered  %s %s\n",
					got.Round, l, s.name, got.CPUPerCall, got.Completed, got.Failed, got.Retransmissions, got.Reordered, firstOf(got.Error+got.Reason), got.Files)
			}
		}
	}
	return failed
}

// profileAll runs luasips once more under each load with a CPU profile, and
// keeps the profile's file and its heaviest functions.
func (r *report) profileAll(ctx context.Context, o *options, loads []load, w io.Writer) error {
	r.Profiles = map[string]string{}
	dir := o.out
	if dir == "-" {
		dir = os.TempDir()
	}
	for _, l := range loads {
		file, err := filepath.Abs(filepath.Join(dir, fmt.Sprintf("%s-%s-%d.pprof", o.name, l.Transport, l.Rate)))
		if err != nil {
			return err
		}
		s, err := luasipsServer(o, file)
		if err != nil {
			return err
		}
		if _, err := measure(ctx, s, l, o); err != nil {
			return fmt.Errorf("profile, %s: %w", l, err)
		}
		top, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=40", file).CombinedOutput()
		if err != nil {
			return fmt.Errorf("profile, %s: go tool pprof: %w\n%s", l, err, top)
		}
		r.Profiles[l.String()] = string(top)
		fmt.Fprintf(w, "profile of luasips under %s: %s\n", l, file)
	}
	return nil
}
