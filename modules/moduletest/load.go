package moduletest

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Loaded is a module with a committed configuration.
type Loaded struct {
	T    testing.TB
	M    *modules.Module
	Inst modules.Config
	Host *Host

	end func() // closes the process part once
}

// Close ends the module's process part now and not at the test's end.
func (l *Loaded) Close() { l.end() }

// Load opens, prepares and commits a module; the test's end releases and
// closes it. params are as in loadmodule's table; nil is all defaults.
func Load(t testing.TB, h *Host, m *modules.Module, params map[string]any) *Loaded {
	t.Helper()
	l, err := TryLoad(t, h, m, params)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	return l
}

// TryLoad is Load that gives back why a configuration is refused.
func TryLoad(t testing.TB, h *Host, m *modules.Module, params map[string]any) (*Loaded, error) {
	t.Helper()
	p, err := decodeParams(m, params)
	if err != nil {
		return nil, err
	}
	var inst modules.Config
	end := func() {}
	if m.Open != nil {
		proc, err := m.Open(processHost{h})
		if err != nil {
			return nil, err
		}
		end = sync.OnceFunc(proc.Close)
		t.Cleanup(end)
		inst, err = proc.Prepare(generationHost{h}, p)
		if err != nil {
			return nil, err
		}
	} else if inst, err = m.New(generationHost{h}, p); err != nil {
		return nil, err
	}
	inst.Commit()
	t.Cleanup(inst.Release)
	return &Loaded{T: t, M: m, Inst: inst, Host: h, end: end}, nil
}

func decodeParams(m *modules.Module, given map[string]any) (modules.Params, error) {
	p := modules.Params{}
	for _, d := range m.Params {
		p[d.Name] = d.Default
	}
	for name, v := range given {
		i := slices.IndexFunc(m.Params, func(d modules.Param) bool { return d.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no parameter %q", name)
		}
		d := &m.Params[i]
		val := ValueOf(v)
		if d.Kind == modules.KindBool && val.Kind == modules.KindNumber {
			val = modules.Bool(val.Num != 0)
		}
		if !d.Multi && d.Kind != modules.KindAny && val.Kind != d.Kind {
			return nil, fmt.Errorf("parameter %q wants a %s, got a %s", name, d.Kind, val.Kind)
		}
		if d.Max > d.Min && (val.Num < d.Min || val.Num > d.Max) {
			return nil, fmt.Errorf("parameter %q must be %g to %g", name, d.Min, d.Max)
		}
		if len(d.Words) > 0 && !slices.Contains(d.Words, val.Text()) {
			return nil, fmt.Errorf("parameter %q must be one of %s", name, strings.Join(d.Words, ", "))
		}
		p[name] = val
	}
	return p, nil
}

type processHost struct{ h *Host }

func (p processHost) Go(name string, fn func())                 { p.h.Go(name, fn) }
func (p processHost) Workers() int                              { return p.h.NWorkers }
func (p processHost) Post(w int, fn func())                     { p.h.Post(w, fn) }
func (p processHost) Resolver() api.Resolver                    { return p.h.Names }
func (p processHost) Now() time.Time                            { return p.h.Clock }
func (p processHost) Log(l api.Level, s string, f ...api.Field) { p.h.Log(nil, l, s, f...) }
func (p processHost) RaiseEvent(name string, params map[string]any) {
	p.h.RaiseEvent(name, params)
}

type generationHost struct{ h *Host }

func (g generationHost) Setting(name string) any                   { return g.h.Set[name] }
func (g generationHost) Sockets() []*api.Socket                    { return g.h.Socks }
func (g generationHost) Log(l api.Level, s string, f ...api.Field) { g.h.Log(nil, l, s, f...) }
func (g generationHost) FlagBit(name string, branch bool) (int, error) {
	return g.h.FlagBit(name, branch)
}
func (g generationHost) ReadFile(path string) ([]byte, error) {
	s, ok := g.h.Files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(s), nil
}
