package moduletest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Call loads m with default parameters on c's host and calls one function.
func Call(t testing.TB, c *api.Ctx, m *modules.Module, name string, args ...any) modules.Ret {
	t.Helper()
	return Load(t, HostOf(c), m, nil).Call(c, name, args...)
}

// Field loads m with default parameters on c's host and reads one field.
func Field(t testing.TB, c *api.Ctx, m *modules.Module, name string) modules.Value {
	t.Helper()
	return Load(t, HostOf(c), m, nil).Get(c, name)
}

// Call calls a function of the module. Arguments are Go values (see ValueOf),
// checked against the declaration as the Lua binding does: what raises there
// comes back in Ret.Err. A call from a route type that the declaration does
// not name is misuse too. An unknown name fails the test.
func (l *Loaded) Call(c *api.Ctx, name string, args ...any) modules.Ret {
	l.T.Helper()
	f := l.Function(name)
	if f.Routes != 0 && f.Routes&c.Kind == 0 {
		return modules.Misuse(fmt.Errorf("%s.%s works in %s routes, not in %s", l.M.Name, name, f.Routes, c.Kind))
	}
	a, err := decodeArgs(f, args)
	if err != nil {
		return modules.Misuse(err)
	}
	return f.Invoke(l.Inst, c, a)
}

// Function is the declaration of a function.
func (l *Loaded) Function(name string) *modules.Function {
	l.T.Helper()
	i := slices.IndexFunc(l.M.Functions, func(f modules.Function) bool { return f.Name == name })
	if i < 0 {
		l.T.Fatalf("module %s has no function %q", l.M.Name, name)
	}
	return &l.M.Functions[i]
}

func decodeArgs(f *modules.Function, args []any) (*modules.Args, error) {
	if len(args) > len(f.Args) {
		return nil, fmt.Errorf("%s takes %d arguments, got %d", f.Name, len(f.Args), len(args))
	}
	a := &modules.Args{N: len(args)}
	for i := range f.Args {
		var v modules.Value
		if i < len(args) {
			v = ValueOf(args[i])
		}
		v, err := checkArg(&f.Args[i], v)
		if err != nil {
			return nil, err
		}
		a.V[i] = v
	}
	return a, nil
}

func checkArg(d *modules.Arg, v modules.Value) (modules.Value, error) {
	switch {
	case d.Optional && (v.IsNil() || !d.Null && v.Kind == modules.KindString && v.Str == ""):
		return modules.Nil(), nil
	case v.IsNil() && d.Kind == modules.KindAny:
		return v, nil
	case v.IsNil():
		return v, fmt.Errorf("argument %q is missing", d.Name)
	}
	if d.Kind == modules.KindString && v.Kind == modules.KindNumber {
		v = modules.String(v.Text())
	}
	if d.Kind != modules.KindAny && d.Kind != v.Kind {
		return v, fmt.Errorf("argument %q wants a %s, got a %s", d.Name, d.Kind, v.Kind)
	}
	if d.Max > d.Min && (v.Num < d.Min || v.Num > d.Max) {
		return v, fmt.Errorf("argument %q must be %g to %g", d.Name, d.Min, d.Max)
	}
	if d.Kind == modules.KindNumber && v.Num != v.Num {
		return v, fmt.Errorf("argument %q is not a number", d.Name)
	}
	return v, checkWords(d, v)
}

func checkWords(d *modules.Arg, v modules.Value) error {
	if len(d.Words) == 0 || v.Kind != modules.KindString {
		return nil
	}
	words := []string{v.Str}
	if d.WordList {
		words = strings.FieldsFunc(v.Str, func(r rune) bool { return r == ',' || r == ' ' })
	}
	for _, w := range words {
		if !slices.Contains(d.Words, w) {
			return fmt.Errorf("argument %q: %q is none of %s", d.Name, w, strings.Join(d.Words, ", "))
		}
	}
	return nil
}

func (l *Loaded) field(name string) *modules.Field {
	l.T.Helper()
	i := slices.IndexFunc(l.M.Fields, func(f modules.Field) bool { return f.Name == name })
	if i < 0 {
		l.T.Fatalf("module %s has no field %q", l.M.Name, name)
	}
	return &l.M.Fields[i]
}

// Get reads msg.NAME; nil outside the field's route types and without a
// message where it needs one.
func (l *Loaded) Get(c *api.Ctx, name string) modules.Value {
	l.T.Helper()
	f := l.field(name)
	if f.Get == nil {
		l.T.Fatalf("msg.%s is not readable without a key", name)
	}
	if !reads(f, c) {
		return modules.Nil()
	}
	return f.Get(l.Inst, c)
}

// GetKey reads msg.NAME[key].
func (l *Loaded) GetKey(c *api.Ctx, name string, key any) modules.Value {
	l.T.Helper()
	f := l.field(name)
	if f.GetKey == nil {
		l.T.Fatalf("msg.%s has no keys", name)
	}
	if !reads(f, c) {
		return modules.Nil()
	}
	return f.GetKey(l.Inst, c, ValueOf(key))
}

func reads(f *modules.Field, c *api.Ctx) bool {
	if f.Routes == 0 {
		return c.Msg != nil
	}
	return f.Routes&c.Kind != 0
}

var errNoMessage = errors.New("there is no message")

// Set writes msg.NAME; the error is what raises in the script. A read-only
// field fails the test.
func (l *Loaded) Set(c *api.Ctx, name string, v any) error {
	l.T.Helper()
	f := l.field(name)
	if f.Set == nil {
		l.T.Fatalf("msg.%s is read-only", name)
	}
	if c.Msg == nil && f.Routes&c.Kind == 0 {
		return errNoMessage
	}
	return f.Set(l.Inst, c, ValueOf(v))
}

// SetKey writes msg.NAME[key].
func (l *Loaded) SetKey(c *api.Ctx, name string, key, v any) error {
	l.T.Helper()
	f := l.field(name)
	if f.SetKey == nil {
		l.T.Fatalf("msg.%s[...] is read-only", name)
	}
	if c.Msg == nil && f.Routes&c.Kind == 0 {
		return errNoMessage
	}
	return f.SetKey(l.Inst, c, ValueOf(key), ValueOf(v))
}

// Var is the declaration of a variable of the module's table; an unknown name
// fails the test.
func (l *Loaded) Var(name string) *modules.Var {
	l.T.Helper()
	i := slices.IndexFunc(l.M.Vars, func(v modules.Var) bool { return v.Name == name })
	if i < 0 {
		l.T.Fatalf("module %s has no variable %q", l.M.Name, name)
	}
	return &l.M.Vars[i]
}

// ValueOf makes a Value of a Go value: nil, bool, string, []byte, int, int64,
// uint32, float64, []any, []string, map[string]any, api.Handler or a Value.
// Anything else panics: the test is wrong.
func ValueOf(x any) modules.Value {
	switch v := x.(type) {
	case nil:
		return modules.Nil()
	case modules.Value:
		return v
	case bool:
		return modules.Bool(v)
	case string:
		return modules.String(v)
	case []byte:
		return modules.Bytes(v)
	case int:
		return modules.Int(v)
	case int64:
		return modules.Number(float64(v))
	case uint32:
		return modules.Number(float64(v))
	case float64:
		return modules.Number(v)
	case []string:
		var l []modules.Value
		for _, s := range v {
			l = append(l, modules.String(s))
		}
		return modules.List(l)
	case []any:
		var l []modules.Value
		for _, e := range v {
			l = append(l, ValueOf(e))
		}
		return modules.List(l)
	case map[string]any:
		m := map[string]modules.Value{}
		for k, e := range v {
			m[k] = ValueOf(e)
		}
		return modules.Map(m)
	case api.Handler:
		return modules.Func(v)
	}
	panic(fmt.Sprintf("moduletest: no Value for a %T", x))
}

// GoOf is the inverse of ValueOf: nil, bool, float64, string, []any or
// map[string]any, for comparing in tables.
func GoOf(v modules.Value) any {
	switch v.Kind {
	case modules.KindBool:
		return v.Num != 0
	case modules.KindNumber:
		return v.Num
	case modules.KindString:
		return v.Str
	case modules.KindList:
		out := []any{}
		for _, e := range v.List() {
			out = append(out, GoOf(e))
		}
		return out
	case modules.KindMap:
		out := map[string]any{}
		for k, e := range v.Map() {
			out[k] = GoOf(e)
		}
		return out
	case modules.KindFunc:
		return v.Any
	}
	return nil
}
