package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luasips/luasips/test/peers"
)

//go:embed load/uac.xml
var callerScenario string

//go:embed load/uas.xml
var calleeScenario string

// load is one kind of load.
type load struct {
	Transport peers.Transport `json:"transport"`
	Rate      int             `json:"calls_per_second"`
}

func (l load) String() string {
	return fmt.Sprintf("%s, %d calls/s", strings.ToUpper(string(l.Transport)), l.Rate)
}

// sample is what one server did under one load in one round.
type sample struct {
	Server string `json:"server"`
	Round  int    `json:"round"`
	load
	Calls           int     `json:"calls"`     // begun
	Completed       int     `json:"completed"` // INVITE to the 200 of the BYE
	Failed          int     `json:"failed"`    // all the others
	AchievedRate    float64 `json:"achieved_calls_per_second"`
	Retransmissions int     `json:"retransmissions"` // by caller and callee
	Reordered       int     `json:"reordered"`       // 200 with no 180 before it at the caller, BYE before ACK at the callee
	// CPU time of the server for one completed call, µs: all of it during the load,
	// and after it what exceeds the idle server's.
	CPUPerCall    float64 `json:"cpu_us_per_call"`
	UserPerCall   float64 `json:"user_us_per_call"`
	SystemPerCall float64 `json:"system_us_per_call"`
	IdlePerSecond float64 `json:"idle_cpu_us_per_second"` // before the load
	PeakMemory    int64   `json:"peak_memory_bytes"`      // proportional set size of the group
	Processes     int     `json:"processes"`
	SetupTime     float64 `json:"setup_ms"`         // mean, INVITE to 200
	Reason        string  `json:"reason,omitempty"` // why calls failed, as SIPp counts it
	Files         string  `json:"files,omitempty"`  // kept, with --keep
	Error         string  `json:"error,omitempty"`  // the measurement itself could not be taken
}

// Times around the load.
const (
	settle    = 500 * time.Millisecond // from readiness to the idle measurement
	stopGrace = 5 * time.Second        // from SIGTERM to SIGKILL
	overtime  = 8 * time.Second        // for the last calls, and their retransmissions, to end
)

// measure starts s, loads it and reads what it cost. An error is one of the
// measurement; calls that fail are in the sample.
func measure(ctx context.Context, s server, l load, o *options) (sample, error) {
	out := sample{Server: s.name, load: l}
	dir, err := os.MkdirTemp("", "luasips-bench-*")
	if err != nil {
		return out, err
	}
	if o.keep {
		out.Files = dir
	} else {
		defer os.RemoveAll(dir)
	}
	lease, err := peers.LeasePort()
	if err != nil {
		return out, err
	}
	defer lease.Release()
	p, err := s.start(dir, lease.Port)
	if err != nil {
		return out, err
	}
	defer p.Stop(stopGrace)

	var watching sync.WaitGroup
	watched, stopWatching := context.WithCancel(ctx)
	watching.Go(func() { out.PeakMemory = peakMemory(watched, p.PID()) })
	err = drive(ctx, p, lease.Port, dir, o, &out)
	stopWatching()
	watching.Wait()
	if err == nil && !p.Running() {
		err = fmt.Errorf("%s ended under load; it printed:\n%s", s.name, p.Log())
	}
	return out, err
}

// drive measures the running server p: idle, then a warm-up that does not count, then the load.
func drive(ctx context.Context, p *peers.Process, port int, dir string, o *options, out *sample) error {
	idle, err := idleUsage(ctx, p, o.idle)
	if err != nil {
		return err
	}
	callee, err := peers.RunSIPp(dir, peers.SIPp{
		Scenario: calleeScenario, Transport: out.Transport, Counts: true, Timeout: o.warmup + o.seconds + o.drain + 2*overtime,
	})
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			callee.Process.Stop(0)
		}
	}()
	remote := fmt.Sprintf("%s:%d", peers.Loopback, port)
	if o.warmup > 0 {
		if _, err := call(ctx, dir, remote, callee.Addr(), out.load, o.warmup); err != nil {
			return err
		}
	}
	before, err := groupUsage(p.PID())
	if err != nil {
		return err
	}
	caller, err := call(ctx, dir, remote, callee.Addr(), out.load, o.seconds)
	if err != nil {
		return err
	}
	loaded, err := groupUsage(p.PID())
	if err != nil {
		return err
	}
	if err := pause(ctx, o.drain); err != nil {
		return err
	}
	after, err := groupUsage(p.PID())
	if err != nil {
		return err
	}
	out.fill(loaded.minus(before), after.minus(loaded), idle, o.drain)
	out.count(caller, callee.Stop(), int(o.seconds.Seconds())*out.Rate)
	stopped = true
	out.perCall()
	return nil
}

// idleUsage is the CPU time that the server takes in a second with no load.
func idleUsage(ctx context.Context, p *peers.Process, window time.Duration) (usage, error) {
	if err := pause(ctx, settle); err != nil {
		return usage{}, err
	}
	before, err := groupUsage(p.PID())
	if err != nil || window == 0 {
		return usage{}, err
	}
	if err := pause(ctx, window); err != nil {
		return usage{}, err
	}
	after, err := groupUsage(p.PID())
	if err != nil {
		return usage{}, err
	}
	u := after.minus(before)
	u.user = time.Duration(float64(u.user) / window.Seconds())
	u.system = time.Duration(float64(u.system) / window.Seconds())
	return u, nil
}

// call runs SIPp as the caller for so long at the load's rate.
func call(ctx context.Context, dir, remote, callee string, l load, length time.Duration) (peers.Result, error) {
	run, err := peers.RunSIPp(dir, peers.SIPp{
		Scenario: callerScenario, Transport: l.Transport, Remote: remote, Target: callee, Counts: true,
		Rate: l.Rate, Concurrent: 10 * l.Rate, Calls: int(length.Seconds()) * l.Rate, Timeout: length + overtime,
	})
	if err != nil {
		return peers.Result{}, err
	}
	defer context.AfterFunc(ctx, func() { run.Process.Stop(0) })()
	return run.Wait(), ctx.Err()
}

// fill takes over the CPU time of the load, all of it, and of the time after it
// what exceeds the idle server's. Until perCall the figures are those of all
// calls together.
func (s *sample) fill(loaded, afterwards, idle usage, drain time.Duration) {
	s.Processes = loaded.processes
	s.IdlePerSecond = microseconds(idle.total())
	sum := func(loaded, afterwards, idle time.Duration) float64 {
		return microseconds(loaded) + max(0, microseconds(afterwards)-microseconds(idle)*drain.Seconds())
	}
	s.UserPerCall = sum(loaded.user, afterwards.user, idle.user)
	s.SystemPerCall = sum(loaded.system, afterwards.system, idle.system)
}

// count takes over what the callers and callees saw of the planned calls.
func (s *sample) count(caller, callee peers.Result, planned int) {
	s.Calls, s.Completed = caller.Created, caller.Successful
	s.Failed = planned - caller.Successful
	s.Retransmissions = caller.Retransmissions + callee.Retransmissions
	s.Reordered = caller.Counts[overtakingAnswer] + callee.Counts[overtakingBye] // no column, no such message
	s.AchievedRate = caller.Rate
	s.SetupTime = float64(caller.ResponseTime) / float64(time.Millisecond)
	if s.Failed > 0 {
		s.Reason = reason(caller.Stats, callee.Stats)
	}
	if caller.ExitCode > 1 || caller.ExitCode < 0 {
		s.Error = fmt.Sprintf("SIPp ended with %d", caller.ExitCode)
	}
}

// Columns of SIPp's counts: the step's number in the scenario, from 0, and what
// it is. These steps are come by only when messages have changed places.
const (
	overtakingAnswer = "3_200_Recv"
	overtakingBye    = "4_BYE_Recv"
)

// reason says in a line why calls failed, by SIPp's counters on both sides.
func reason(caller, callee peers.Stats) string {
	var parts []string
	for side, stats := range map[string]peers.Stats{"caller": caller, "callee": callee} {
		for cause, n := range stats.Failures {
			parts = append(parts, fmt.Sprintf("%s %s %d", side, cause, n))
		}
	}
	slices.Sort(parts)
	if open := caller.Current; open > 0 {
		parts = append(parts, fmt.Sprintf("%d not ended when the time was over", open))
	}
	return strings.Join(parts, ", ")
}

// perCall divides the CPU times by the completed calls.
func (s *sample) perCall() {
	if s.Completed == 0 {
		s.UserPerCall, s.SystemPerCall = 0, 0
		return
	}
	s.UserPerCall /= float64(s.Completed)
	s.SystemPerCall /= float64(s.Completed)
	s.CPUPerCall = s.UserPerCall + s.SystemPerCall
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
