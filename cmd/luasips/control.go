package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/luasips/luasips/engine/mi"
)

// controlFlag says where the control socket is.
type controlFlag struct {
	Control string `help:"Control socket (unix). Default: $$LUASIPS_CONTROL, else luasips.sock in $$XDG_RUNTIME_DIR, /run for root, or the temporary folder." env:"LUASIPS_CONTROL" placeholder:"PATH"`
}

func (c controlFlag) path() string {
	if c.Control != "" {
		return c.Control
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "luasips.sock")
	}
	if os.Getuid() == 0 {
		return "/run/luasips.sock"
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("luasips-%d.sock", os.Getuid()))
}

// call sends one command and waits for its answer.
func (c controlFlag) call(method string, params any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return mi.Call(ctx, c.path(), method, params)
}

type reloadCmd struct {
	controlFlag
}

// Run asks for a reload; the answer comes when it is live or refused.
func (r *reloadCmd) Run(s *streams) error {
	raw, err := r.call("reload", nil)
	if err != nil {
		return asFailure(err)
	}
	var res reloadResult
	if err := json.Unmarshal(raw, &res); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "generation %d is live\n", res.Generation)
	return err
}

type miCmd struct {
	controlFlag
	Method string   `arg:"" help:"Command, such as 'reload', 'log_level' or 'stats'."`
	Params []string `arg:"" optional:"" help:"Its parameters, by position."`
}

// Run sends the command and prints its result as indented JSON.
func (m *miCmd) Run(s *streams) error {
	raw, err := m.call(m.Method, m.Params)
	if err != nil {
		return asFailure(err)
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// asFailure makes a refusal exit 1 and an absent proxy exit 69.
func asFailure(err error) error {
	var e *mi.Error
	if errors.As(err, &e) {
		return &exitError{1, err}
	}
	return &exitError{exitUnavailable, err}
}
