// Package peers runs the programs that luasips is tested against: SIPp with
// scenario files, Kamailio with a configuration, and luasips itself with a
// script.
//
// A test names what it wants and gets a running process:
//
//	kam := peers.StartKamailio(t, peers.Kamailio{Config: cfg})
//	uas := peers.StartSIPp(t, peers.SIPp{Name: "uas_call"})
//	uac := peers.StartSIPp(t, peers.SIPp{Name: "uac_call", Calls: 10, Remote: kam.Addr(), Target: uas.Addr()})
//	uac.Wait().MustSucceed(t, 10)
//	uas.Stop().MustSucceed(t, 10)
//
// The callee is stopped after the caller has ended: one that ends by itself after
// its last call closes connections that the caller still looks at.
//
// Every process runs on loopback, on ports leased for the test, in a directory
// of its own, and is ended with the test by its process id. What it printed is
// attached to the test when that fails. A missing program is a failure that
// says what to install, never a skip.
package peers

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"
)

// Loopback is the address that everything here listens on unless told otherwise.
const Loopback = "127.0.0.1"

// A program luasips is tested against and the Debian package it comes from.
var packages = map[string]string{
	"sipp":     "sip-tester",
	"sipsak":   "sipsak",
	"kamailio": "kamailio kamailio-lua-modules",
	"ip":       "iproute2",
	"tcpdump":  "tcpdump",
}

// FindTool returns the path of a program, or an error that says how to install it.
func FindTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	pkg := packages[name]
	if pkg == "" {
		pkg = name
	}
	return "", fmt.Errorf("%s is not installed: run `make deps` (Debian: %s)", name, pkg)
}

// RequireTool is FindTool for a test, which fails when the program is missing.
func RequireTool(tb testing.TB, name string) string {
	tb.Helper()
	path, err := FindTool(name)
	if err != nil {
		tb.Fatal(err)
	}
	return path
}
