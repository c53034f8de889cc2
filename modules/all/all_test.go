package all_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
)

func TestDeclarations(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range all.List() {
		if seen[m.Name] {
			t.Errorf("%s is listed twice", m.Name)
		}
		for _, need := range m.Needs {
			if !seen[need] {
				t.Errorf("%s stands before %s, which it needs", m.Name, need)
			}
		}
		seen[m.Name] = true
		if m.Doc == "" || (m.New == nil) == (m.Open == nil) {
			t.Errorf("%s: doc %q; exactly one of New and Open must be set", m.Name, m.Doc)
		}
		t.Run(m.Name, func(t *testing.T) { check(t, m) })
	}
}

// check looks for what would make the binding or the reference wrong.
func check(t *testing.T, m *modules.Module) {
	names := map[string]bool{}
	once := func(kind, name, doc string) {
		t.Helper()
		if key := kind + " " + name; names[key] {
			t.Errorf("%s is declared twice", key)
		} else {
			names[key] = true
		}
		if doc == "" {
			t.Errorf("%s %s has no doc", kind, name)
		}
	}
	for i := range m.Functions {
		f := &m.Functions[i]
		once("function", f.Name, f.Doc)
		checkFunction(t, f)
	}
	for i := range m.Params {
		p := &m.Params[i]
		once("parameter", p.Name, p.Doc+p.Ignored)
		if !p.Default.IsNil() && p.Default.Kind != p.Kind && p.Kind != modules.KindAny {
			t.Errorf("parameter %s is a %s, its default a %s", p.Name, p.Kind, p.Default.Kind)
		}
		if p.Max > p.Min && p.Default.Kind == modules.KindNumber && (p.Default.Num < p.Min || p.Default.Num > p.Max) {
			t.Errorf("parameter %s: its default is out of bounds", p.Name)
		}
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		once("field", f.Name, f.Doc)
		if f.Get == nil && f.GetKey == nil || f.Set != nil && f.Get == nil || f.SetKey != nil && f.GetKey == nil {
			t.Errorf("field %s cannot be read as it is written", f.Name)
		}
		if f.OpenSIPS != "" && !strings.HasPrefix(f.OpenSIPS, "$") {
			t.Errorf("field %s: %q has no $", f.Name, f.OpenSIPS)
		}
	}
	for _, o := range m.Omitted {
		if o.Kind == "" || o.Name == "" || o.Reason == "" {
			t.Errorf("left out: %+v", o)
		}
		if o.Kind == "function" && names["function "+o.Name] {
			t.Errorf("function %s is both there and left out", o.Name)
		}
	}
}

func checkFunction(t *testing.T, f *modules.Function) {
	t.Helper()
	if f.Invoke == nil || len(f.Args) > len(modules.Args{}.V) {
		t.Errorf("%s cannot be called", f.Name)
	}
	for _, a := range f.Args {
		if a.Name == "" || a.Doc == "" {
			t.Errorf("%s: argument %q has no name or doc", f.Name, a.Name)
		}
	}
}
