package peers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Machine describes where figures come from.
type Machine struct {
	CPU       string    `json:"cpu"`
	Cores     int       `json:"cores"`
	MemoryMiB int64     `json:"memory_mib"`
	Kernel    string    `json:"kernel"`
	Go        string    `json:"go"`
	SIPp      string    `json:"sipp"`
	Load      string    `json:"load_average_before"` // 1, 5 and 15 minutes
	Began     time.Time `json:"began"`
}

// String is one paragraph for people.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %d MiB; %s; %s; %s. Load average before: %s. Began %s.",
		m.CPU, m.Cores, m.MemoryMiB, m.Kernel, m.Go, m.SIPp, m.Load, m.Began.Format("2006-01-02 15:04 MST"))
}

// DescribeMachine tells what this machine is and how busy it is now; what cannot
// be found out is "unknown" or left out.
func DescribeMachine() Machine {
	m := Machine{
		CPU: procField("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Go: runtime.Version(), SIPp: FirstLine("sipp", "-v"), Began: time.Now().UTC().Truncate(time.Second),
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

// FirstLine is the first line that a program prints of itself, "unknown" when it prints none.
func FirstLine(program string, args ...string) string {
	out, _ := exec.Command(program, args...).Output() // some end with a code other than 0
	for line := range strings.Lines(string(out)) {
		if s := strings.TrimSpace(line); s != "" {
			return s
		}
	}
	return "unknown"
}
