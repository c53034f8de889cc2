package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules/all"
)

type checkCmd struct {
	Files []string `arg:"" name:"script" help:"Route scripts to check."`
	JSON  bool     `name:"json" help:"Write the findings as one JSON list."`
}

// finding is one line of the report.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"` // "error", "warning" or "note"
	Message  string `json:"message"`
}

// Run loads each script without opening a socket. Notes alone are no reason to
// fail.
func (c *checkCmd) Run(s *streams) error {
	found := []finding{}
	for _, f := range c.Files {
		fs, err := check(f)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		found = append(found, fs...)
	}
	if err := c.print(s.out, found); err != nil {
		return err
	}
	for _, f := range found {
		if f.Severity != luabind.SeverityNote.String() {
			return &exitError{code: 1}
		}
	}
	return nil
}

func (c *checkCmd) print(w io.Writer, found []finding) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(found)
	}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%s%s: %s\n", f.place(), f.Severity, f.Message); err != nil {
			return err
		}
	}
	return nil
}

// place is "file:line:column: " as far as it is known.
func (f *finding) place() string {
	return luabind.Finding{File: f.File, Line: f.Line, Column: f.Column}.String()
}

// check loads one script; an error that is not about its text is returned.
func check(path string) ([]finding, error) {
	p, err := luabind.Load(luabind.Options{Path: path, Modules: all.List(), Workers: 1, CheckOnly: true})
	if err == nil {
		defer p.Abort()
		out := append(findings(p.Findings()), socketFindings(p)...)
		return append(out, missing(p, filepath.Base(path))...), nil
	}
	var le *luabind.Error
	if !errors.As(err, &le) || len(le.Findings) == 0 {
		return nil, err
	}
	return findings(le.Findings), nil
}

// missing are notes on what a proxy has that the script has not.
func missing(p *luabind.Program, file string) (out []finding) {
	note := func(text string) {
		out = append(out, finding{File: file, Severity: luabind.SeverityNote.String(), Message: text})
	}
	if len(p.Sockets()) == 0 {
		note(`no socket is declared: nothing can reach the proxy; socket "udp:127.0.0.1:5060" declares one`)
	}
	if !p.HasRoute("route.main") {
		note("there is no route.main: requests end without an answer")
	}
	return out
}

// socketFindings are the mistakes in sockets, bonds and aliases that opening
// them would refuse on every machine.
func socketFindings(p *luabind.Program) []finding {
	var out []finding
	for _, e := range transport.Check(netOf(p).Transport) {
		f := finding{Severity: luabind.SeverityError.String(), Message: e.Text()}
		if i := strings.LastIndexByte(e.Where, ':'); i >= 0 {
			f.File = e.Where[:i]
			f.Line, _ = strconv.Atoi(e.Where[i+1:])
		}
		out = append(out, f)
	}
	return out
}

func findings(list []luabind.Finding) []finding {
	out := make([]finding, 0, len(list))
	for _, f := range list {
		out = append(out, finding{f.File, f.Line, f.Column, f.Severity.String(), f.Text})
	}
	return out
}
