// Command luasips is the SIP proxy: it runs a Lua route script, reloads it, and
// checks it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// Exit codes beyond 0 and 1, as sysexits.h has them.
const (
	exitUsage       = 2
	exitUnavailable = 69 // a busy port, a control socket in use
	exitConfig      = 78 // a script that does not load
)

// cli is the command line.
type cli struct {
	Run     runCmd     `cmd:"" help:"Start the proxy in the foreground. SIGHUP reloads the script, SIGTERM drains and stops, a second SIGTERM stops at once."`
	Reload  reloadCmd  `cmd:"" help:"Have a running proxy load its script anew. Returns when the new version is live (exit 0) or was refused (exit 1)."`
	Check   checkCmd   `cmd:"" help:"Load a script without opening a socket and report everything that loading finds. Exit 0 clean, 1 findings, 2 usage."`
	Mi      miCmd      `cmd:"" help:"Send one management command to a running proxy; 'luasips mi which' lists them."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// exitError carries a code with an error that is already one clear line.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// streams are where a verb reads and writes.
type streams struct {
	out, err io.Writer
}

func main() { os.Exit(run(os.Args[1:], &streams{out: os.Stdout, err: os.Stderr})) }

func run(args []string, s *streams) int {
	var c cli
	code := -1
	p, err := kong.New(&c, kong.Name("luasips"), kong.Writers(s.out, s.err),
		kong.Description("A SIP proxy scripted in Lua."),
		kong.UsageOnError(), kong.Bind(s),
		kong.Exit(func(n int) { code = n }))
	if err != nil {
		fmt.Fprintln(s.err, "luasips:", err)
		return exitUsage
	}
	ctx, err := p.Parse(args)
	if code >= 0 {
		return code // --help has been printed
	}
	if err != nil {
		fmt.Fprintf(s.err, "luasips: %v\nTry 'luasips --help'.\n", err)
		return exitUsage
	}
	return report(ctx.Run(s), s)
}

// report prints an error as one line and turns it into an exit code.
func report(err error, s *streams) int {
	if err == nil {
		return 0
	}
	var e *exitError
	if errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintln(s.err, "luasips:", e.err)
		}
		return e.code
	}
	fmt.Fprintln(s.err, "luasips:", err)
	return 1
}
