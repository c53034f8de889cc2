package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/luasips/luasips/test/peers"
)

// report is all that a run found.
type report struct {
	Machine   peers.Machine `json:"machine"`
	Settings  settings      `json:"settings"`
	Servers   []serverInfo  `json:"servers"`
	Reference string        `json:"reference"`
	Rows      []row         `json:"medians"`
	Samples   []sample      `json:"samples"`
	// Profiles is the text of each profile's heaviest functions, by load.
	Profiles map[string]string `json:"profiles,omitempty"`
}

type settings struct {
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"`
	Warmup  float64 `json:"warmup_seconds"`
	Drain   float64 `json:"drain_seconds"`
	Idle    float64 `json:"idle_seconds"`
}

type serverInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	About   string `json:"about"`
}

// row sums up one server under one load over the rounds: medians, but sums of
// calls and the greatest memory.
type row struct {
	Server string `json:"server"`
	load
	CPU           spread  `json:"cpu_us_per_call"`
	User          float64 `json:"user_us_per_call"`
	System        float64 `json:"system_us_per_call"`
	Ratio         *spread `json:"ratio_to_reference,omitempty"` // of the medians; spread over the rounds
	Completed     int     `json:"completed"`
	Failed        int     `json:"failed"`
	Retransmitted int     `json:"retransmissions"`
	Reordered     int     `json:"reordered"`
	Setup         float64 `json:"setup_ms"`
	PeakMemory    int64   `json:"peak_memory_bytes"`
	Idle          float64 `json:"idle_cpu_us_per_second"`
	AchievedRate  float64 `json:"achieved_calls_per_second"`
}

// spread is a median between the least and the greatest value.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	if len(v) == 0 {
		return spread{}
	}
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{Median: mid, Min: v[0], Max: v[len(v)-1]}
}

// summarise makes the rows: by load in the order of loads, within it in the order of servers.
func summarise(samples []sample, loads []load, servers []string, reference string) []row {
	var rows []row
	for _, l := range loads {
		ref := pick(samples, reference, l)
		for _, name := range servers {
			if own := pick(samples, name, l); len(own) > 0 {
				r := sumUp(own)
				r.Ratio = ratio(own, ref)
				rows = append(rows, r)
			}
		}
	}
	return rows
}

// pick returns a server's samples under a load.
func pick(samples []sample, server string, l load) []sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s sample) bool { return s.Server != server || s.load != l })
}

func sumUp(own []sample) row {
	r := row{Server: own[0].Server, load: own[0].load}
	of := func(f func(sample) float64) spread {
		values := make([]float64, len(own))
		for i, s := range own {
			values[i] = f(s)
		}
		return spreadOf(values)
	}
	r.CPU = of(func(s sample) float64 { return s.CPUPerCall })
	r.User = of(func(s sample) float64 { return s.UserPerCall }).Median
	r.System = of(func(s sample) float64 { return s.SystemPerCall }).Median
	r.Setup = of(func(s sample) float64 { return s.SetupTime }).Median
	r.Idle = of(func(s sample) float64 { return s.IdlePerSecond }).Median
	r.AchievedRate = of(func(s sample) float64 { return s.AchievedRate }).Median
	for _, s := range own {
		r.Completed += s.Completed
		r.Failed += s.Failed
		r.Retransmitted += s.Retransmissions
		r.Reordered += s.Reordered
		r.PeakMemory = max(r.PeakMemory, s.PeakMemory)
	}
	return r
}

// ratio compares the medians, and for the spread the samples of the same round.
// It is nil when the reference was not measured or completed no call.
func ratio(own, ref []sample) *spread {
	var rounds, mine, theirs []float64
	for _, s := range own {
		i := slices.IndexFunc(ref, func(r sample) bool { return r.Round == s.Round })
		if i < 0 || ref[i].CPUPerCall == 0 || s.CPUPerCall == 0 {
			continue
		}
		rounds = append(rounds, s.CPUPerCall/ref[i].CPUPerCall)
		mine, theirs = append(mine, s.CPUPerCall), append(theirs, ref[i].CPUPerCall)
	}
	if len(rounds) == 0 {
		return nil
	}
	r := spreadOf(rounds)
	r.Median = spreadOf(mine).Median / spreadOf(theirs).Median
	return &r
}

// columns are the heads of the tables.
var columns = []string{
	"server", "CPU µs/call (min..max)", "user", "system", "of reference (min..max)",
	"calls", "failed", "retrans.", "reordered", "setup ms", "peak MiB", "idle ms/s",
}

// cells are the columns' values for a row.
func (r *row) cells() []string {
	rel := "–"
	if r.Ratio != nil {
		rel = fmt.Sprintf("%.2f (%.2f..%.2f)", r.Ratio.Median, r.Ratio.Min, r.Ratio.Max)
	}
	cpu := fmt.Sprintf("%.0f (%.0f..%.0f)", r.CPU.Median, r.CPU.Min, r.CPU.Max)
	if r.Completed == 0 {
		cpu = "–"
	}
	return []string{
		r.Server, cpu, fmt.Sprintf("%.0f", r.User), fmt.Sprintf("%.0f", r.System), rel,
		fmt.Sprint(r.Completed), fmt.Sprint(r.Failed), fmt.Sprint(r.Retransmitted), fmt.Sprint(r.Reordered),
		fmt.Sprintf("%.1f", r.Setup), fmt.Sprintf("%.0f", float64(r.PeakMemory)/(1<<20)), fmt.Sprintf("%.1f", r.Idle/1000),
	}
}

// eachLoad calls f with every load and its rows, in order.
func (r *report) eachLoad(f func(l load, rows []row)) {
	for rest := r.Rows; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(x row) bool { return x.load != rest[0].load })
		if n < 0 {
			n = len(rest)
		}
		f(rest[0].load, rest[:n])
		rest = rest[n:]
	}
}

// text is the tables for a terminal.
func (r *report) text() string {
	var b bytes.Buffer
	r.eachLoad(func(l load, rows []row) {
		fmt.Fprintf(&b, "\n%s\n", l)
		w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, strings.Join(columns, "\t"))
		for _, x := range rows {
			fmt.Fprintln(w, strings.Join(x.cells(), "\t"))
		}
		w.Flush()
	})
	return b.String()
}

// markdown is the whole report.
func (r *report) markdown() string {
	var b strings.Builder
	s := r.Settings
	fmt.Fprintf(&b, "# CPU time for a call\n\n%s\n\n", r.Machine)
	fmt.Fprintf(&b, "%d rounds in turn, each with %.0f s of load behind %.0f s of warm-up, and for %.0f s after the load "+
		"what exceeds the idle server's time, which was measured for %.0f s before. Caller, callee and server share the machine's cores. "+
		"CPU, ratios, set-up and idle times are medians over the rounds (ratios: of the medians; their range: round by round), "+
		"calls are sums, memory the greatest proportional set size of all the server's processes. "+
		"Reordered: a 200 that came before its 180, or a BYE before its ACK. User and system are as the kernel's clock ticks sampled them, rougher than their sum. Reference: %s.\n",
		s.Rounds, s.Seconds, s.Warmup, s.Drain, s.Idle, r.Reference)
	r.eachLoad(func(l load, rows []row) {
		fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", l, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
		for _, x := range rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(x.cells(), " | "))
		}
	})
	b.WriteString("\n## Servers\n\n| name | version | run as |\n|---|---|---|\n")
	for _, x := range r.Servers {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", x.Name, x.Version, strings.ReplaceAll(x.About, "|", "\\|"))
	}
	r.writeFaults(&b)
	for _, name := range sortedNames(r.Profiles) {
		fmt.Fprintf(&b, "\n## Profile of luasips: %s\n\n```\n%s\n```\n", name, strings.TrimSpace(r.Profiles[name]))
	}
	return b.String()
}

// writeFaults lists the measurements that could not be taken, or fell short of the rate asked for.
func (r *report) writeFaults(b *strings.Builder) {
	var lines []string
	for _, s := range r.Samples {
		if s.Error != "" {
			lines = append(lines, fmt.Sprintf("- round %d, %s, %s: %s", s.Round, s.Server, s.load, firstOf(s.Error)))
		}
		if s.Reason != "" {
			lines = append(lines, fmt.Sprintf("- round %d, %s, %s: %d calls failed: %s", s.Round, s.Server, s.load, s.Failed, s.Reason))
		}
		if s.Error == "" && s.AchievedRate < 0.95*float64(s.Rate) {
			lines = append(lines, fmt.Sprintf("- round %d, %s, %s: SIPp reached %.0f calls/s only", s.Round, s.Server, s.load, s.AchievedRate))
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(b, "\n## Faults\n\n%s\n", strings.Join(lines, "\n"))
	}
}

// write puts the report into dir as name.md and name.json and returns the paths.
func (r *report) write(dir, name string) ([]string, error) {
	js, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	paths := []string{filepath.Join(dir, name+".md"), filepath.Join(dir, name+".json")}
	for i, content := range [][]byte{[]byte(r.markdown()), append(js, '\n')} {
		if err := os.WriteFile(paths[i], content, 0o644); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func firstOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}
