package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is the unit of the CPU times in /proc/PID/stat: USER_HZ is 100 on
// every Linux platform that Go runs on.
const clockTick = time.Second / 100

// usage is the CPU time of a process group so far.
type usage struct {
	user, system time.Duration
	processes    int
}

func (u usage) total() time.Duration { return u.user + u.system }

func (u usage) minus(v usage) usage {
	return usage{user: u.user - v.user, system: u.system - v.system, processes: u.processes}
}

// procStat is what a line of /proc/PID/stat says of a process.
type procStat struct {
	pid, group   int
	user, system time.Duration // its own, and its children's that it has waited for
}

// parseStat reads a line of /proc/PID/stat. The name in parentheses may hold
// anything, so fields are counted from its end.
func parseStat(line []byte) (procStat, error) {
	open, end := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ')')
	if open < 0 || end < 0 {
		return procStat{}, fmt.Errorf("no process name in %q", line)
	}
	f := bytes.Fields(line[end+1:])
	const group, utime, stime, cutime, cstime = 2, 11, 12, 13, 14 // fields 5 and 14 to 17 of proc(5)
	if len(f) <= cstime {
		return procStat{}, fmt.Errorf("%d fields behind the name, want at least %d", len(f), cstime+1)
	}
	var n [6]int64
	for i, field := range [][]byte{line[:open], f[group], f[utime], f[stime], f[cutime], f[cstime]} {
		var err error
		if n[i], err = strconv.ParseInt(string(field), 10, 64); err != nil {
			return procStat{}, err
		}
	}
	return procStat{
		pid: int(n[0]), group: int(n[1]),
		user:   time.Duration(n[2]+n[4]) * clockTick,
		system: time.Duration(n[3]+n[5]) * clockTick,
	}, nil
}

// groupMembers finds the living processes of a group.
func groupMembers(group int) ([]procStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var members []procStat
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended meanwhile
		}
		st, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if st.group == group {
			members = append(members, st)
		}
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("process group %d has no process left", group)
	}
	return members, nil
}

// groupUsage adds up the CPU time of all processes of a group, with that of
// children already waited for.
func groupUsage(group int) (usage, error) {
	members, err := groupMembers(group)
	if err != nil {
		return usage{}, err
	}
	u := usage{processes: len(members)}
	for _, m := range members {
		u.user += m.user
		u.system += m.system
	}
	return u, nil
}

// groupMemory is the memory of a group, bytes: the sum of the processes'
// proportional set sizes, which counts a page that several share once.
func groupMemory(group int) (int64, error) {
	members, err := groupMembers(group)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, m := range members {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", m.pid))
		if err != nil {
			continue // the process has ended meanwhile
		}
		sum += pss(b)
	}
	return sum, nil
}

// pss reads the proportional set size, bytes, from a smaps_rollup file.
func pss(b []byte) int64 {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == "Pss:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// memoryEvery is the pause between two looks at a server's memory.
const memoryEvery = 500 * time.Millisecond

// peakMemory watches a group's memory until ctx ends and returns the greatest, bytes.
func peakMemory(ctx context.Context, group int) int64 {
	var peak int64
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		if now, err := groupMemory(group); err == nil {
			peak = max(peak, now)
		}
		select {
		case <-ctx.Done():
			return peak
		case <-tick.C:
		}
	}
}
