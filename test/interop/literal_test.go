package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/test/peers"
)

// TestFirstCallOfTheReadme runs the commands of the README's first call as they
// stand there, ports included, in a network of their own.
func TestFirstCallOfTheReadme(t *testing.T) {
	t.Parallel()
	text := sourceFile(t, "README.md")
	start, call := fenced(t, text, "## Two commands"), fenced(t, text, "## A first call")
	if len(start) == 0 || start[0] != "make run" || len(call) < 2 {
		t.Fatalf("the README starts the proxy by %q and calls by %q", start, call)
	}
	runLiterally(t, "readme", append([]string{start[0]}, call...))
}

// TestCommandsOfTheExamples runs the commands that each example has in its first
// comment.
func TestCommandsOfTheExamples(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(filepath.Join(sourceTree(t), "examples-lua", "*.lua"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, path := range scripts {
		name := strings.TrimSuffix(filepath.Base(path), ".lua")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := commented(sourceFile(t, "examples-lua", name+".lua"))
			if len(lines) < 3 || lines[0] != "luasips run -f examples-lua/"+name+".lua" {
				t.Fatalf("its first comment has the commands %q, want the proxy, a callee and a caller", lines)
			}
			runLiterally(t, name, lines)
		})
	}
}

// sourceTree is the top of the source tree.
func sourceTree(t *testing.T) string {
	t.Helper()
	root, err := peers.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func sourceFile(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{sourceTree(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fenced is the commands of the first fenced block below a heading, without
// their comments.
func fenced(t *testing.T, markdown, heading string) []string {
	t.Helper()
	_, below, _ := strings.Cut(markdown, "\n"+heading+"\n")
	_, rest, _ := strings.Cut(below, "\n```\n")
	block, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatalf("no fenced block below %q", heading)
	}
	var out []string
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, " #")
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

// commented is the commands in a script's first comment: the lines that are set
// in, without the remark in parentheses behind.
func commented(script string) []string {
	var out []string
	for line := range strings.Lines(script) {
		text, isComment := strings.CutPrefix(line, "--")
		if !isComment {
			break
		}
		if command, isSetIn := strings.CutPrefix(text, "   "); isSetIn {
			command, _, _ = strings.Cut(command, " (")
			out = append(out, strings.TrimSpace(command))
		}
	}
	return out
}

// runLiterally runs shell commands in a network of their own, each in a terminal
// of its own: the first starts the proxy, the last is a caller and must succeed.
func runLiterally(t *testing.T, purpose string, lines []string) {
	t.Helper()
	ns := namespace(t, purpose)
	last := len(lines) - 1
	for i, line := range lines {
		p := typed(t, ns, line)
		switch {
		case i == 0:
			awaitThat(t, p, "readiness", 30*time.Second, func() bool { return strings.Contains(p.Log(), `"msg":"ready"`) })
		case i < last:
			awaitThat(t, p, "socket", patience, func() bool { return hasSocket(t, p.PID(), line) })
		default:
			select {
			case <-p.Done():
			case <-time.After(sippLimit):
				t.Fatalf("%q did not end within %v", line, sippLimit)
			}
			if code := p.ExitCode(); code != 0 {
				t.Errorf("%q ended with %d", line, code)
			}
		}
	}
}

// typed runs a command as someone at the top of the source tree does who has the
// program installed.
func typed(t *testing.T, ns, line string) *peers.Process {
	t.Helper()
	bin, err := peers.BuildLuasips()
	if err != nil {
		t.Fatal(err)
	}
	return peers.Start(t, peers.Command{
		Name: strings.Fields(line)[0], Dir: t.TempDir(),
		Args: []string{"ip", "netns", "exec", ns, "sh", "-c", "cd " + sourceTree(t) + " && exec " + line},
		Env:  []string{"PATH=" + filepath.Dir(bin) + ":" + os.Getenv("PATH"), "LUASIPS_CONTROL=" + filepath.Join(shortDir(t), "control")},
	})
}

func awaitThat(t *testing.T, p *peers.Process, what string, limit time.Duration, ready func() bool) {
	t.Helper()
	if err := p.WaitFor(what, limit, ready); err != nil {
		t.Fatal(err)
	}
}

// portOption finds the local port of a SIPp command.
var portOption = regexp.MustCompile(` -p (\d+)`)

// hasSocket tells whether the UDP port that a SIPp command names is bound in the
// network that process pid lives in.
func hasSocket(t *testing.T, pid int, line string) bool {
	t.Helper()
	m := portOption.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("%q names no port", line)
	}
	var port int
	if _, err := fmt.Sscan(m[1], &port); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/udp", pid))
	return err == nil && strings.Contains(string(b), fmt.Sprintf(":%04X ", port))
}
