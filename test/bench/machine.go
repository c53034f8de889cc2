package main

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// machine describes where the figures come from.
type machine struct {
	CPU       string    `json:"cpu"`
	Cores     int       `json:"cores"`
	MemoryMiB int64     `json:"memory_mib"`
	Kernel    string    `json:"kernel"`
	Go        string    `json:"go"`
	SIPp      string    `json:"sipp"`
	Load      string    `json:"load_average_before"` // 1, 5 and 15 minutes
	Began     time.Time `json:"began"`
}

func describeMachine() machine {
	m := machine{
		CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Go: runtime.Version(), SIPp: firstLine("sipp", "-v"), Began: time.Now().UTC().Truncate(time.Second),
		Kernel: strings.TrimSpace(readFile("/proc/sys/kernel/ostype") + " " + readFile("/proc/sys/kernel/osrelease")),
	}
	if f := strings.Fields(readFile("/proc/loadavg")); len(f) >= 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.MemoryMiB = int64(info.Totalram) * int64(info.Unit) >> 20
	}
	return m
}

// procField is the value of the first line "name : value" of a file under /proc, "unknown" when there is none.
func procField(path, name string) string {
	for line := range bytes.Lines([]byte(readFile(path))) {
		k, v, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// readFile is a small file's text without surrounding space, "" when it cannot be read.
func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
