package modules

import (
	"fmt"

	"github.com/luasips/luasips/engine/api"
)

// Arg declares one argument of a function.
type Arg struct {
	Name     string
	Doc      string
	Kind     Kind   // KindAny accepts all
	Optional bool   // nil and absent are one
	Default  string // shown in the reference
	// Null marks an optional argument whose nil is a value: "" is then the
	// empty string and not an argument left out.
	Null bool
	// Words are the values a string may have, or, with WordList, the words
	// that a comma-separated list may hold. Checked at load when constant.
	Words    []string
	WordList bool
	// Pattern marks a POSIX extended pattern: constant ones are compiled at load.
	Pattern bool
	// Route marks a route of that type: a function or its name.
	Route api.Route
	// Min and Max bound a number where Max > Min.
	Min, Max float64
}

// Function declares one function of a module's table.
type Function struct {
	Name     string
	OpenSIPS string // OpenSIPS's name where it differs; "" is Name
	Doc      string
	Args     []Arg
	Results  []Result    // codes and words that a yes/no function answers beyond 1 and -1
	Outputs  []OutputDoc // empty for a yes/no function
	Routes   api.Route   // where it may be called; 0 is RouteAll and top level
	TopLevel bool        // may be called at top level too
	Blocks   bool        // may give the token away
	// Invoke is made by the F constructors. inst is the module's Config.
	Invoke func(inst Config, c *api.Ctx, a *Args) Ret
}

// Result documents one answer of a yes/no function.
type Result struct {
	Code int
	Name string
	Doc  string
}

// OutputDoc documents one output of a function.
type OutputDoc struct {
	Name string
	Kind Kind
	Doc  string
}

// Args are the arguments of one call, decoded and checked against the
// declaration. Absent optional ones are nil.
type Args struct {
	V [10]Value
	N int
}

// ArgOf is a declared argument together with the Go type it arrives as.
type ArgOf[A any] struct {
	Arg
	get func(v Value) (A, error)
}

// With returns the argument with f applied to its declaration.
func (a ArgOf[A]) With(f func(*Arg)) ArgOf[A] { f(&a.Arg); return a }

// StrArg is a string argument; numbers are taken as their text.
func StrArg(name, doc string) ArgOf[string] {
	return ArgOf[string]{Arg{Name: name, Doc: doc, Kind: KindString}, func(v Value) (string, error) { return v.Text(), nil }}
}

// OptStrArg is an optional string; absent is def.
func OptStrArg(name, def, doc string) ArgOf[string] {
	return ArgOf[string]{Arg{Name: name, Doc: doc, Kind: KindString, Optional: true, Default: def}, func(v Value) (string, error) {
		if v.IsNil() {
			return def, nil
		}
		return v.Text(), nil
	}}
}

// IntArg is an integer argument.
func IntArg(name, doc string) ArgOf[int] {
	return ArgOf[int]{Arg{Name: name, Doc: doc, Kind: KindNumber}, toInt}
}

// OptIntArg is an optional integer; absent is def.
func OptIntArg(name string, def int, doc string) ArgOf[int] {
	return ArgOf[int]{Arg{Name: name, Doc: doc, Kind: KindNumber, Optional: true, Default: fmt.Sprint(def)}, func(v Value) (int, error) {
		if v.IsNil() {
			return def, nil
		}
		return toInt(v)
	}}
}

// BoolArg is an optional boolean; absent is false.
func BoolArg(name, doc string) ArgOf[bool] {
	return ArgOf[bool]{Arg{Name: name, Doc: doc, Kind: KindBool, Optional: true, Default: "false"}, func(v Value) (bool, error) { return v.Truth(), nil }}
}

// AnyArg is an argument of any type, as it comes.
func AnyArg(name, doc string) ArgOf[Value] {
	return ArgOf[Value]{Arg{Name: name, Doc: doc, Kind: KindAny}, func(v Value) (Value, error) { return v, nil }}
}

// OptAnyArg is an optional argument of any type; absent is nil.
func OptAnyArg(name, doc string) ArgOf[Value] {
	return ArgOf[Value]{Arg{Name: name, Doc: doc, Kind: KindAny, Optional: true}, func(v Value) (Value, error) { return v, nil }}
}

// RouteArg is a route: a function or its name; nil disarms when optional.
func RouteArg(name string, kind api.Route, doc string) ArgOf[api.Handler] {
	return ArgOf[api.Handler]{Arg{Name: name, Doc: doc, Kind: KindFunc, Route: kind, Optional: true}, func(v Value) (api.Handler, error) { return v.Func(), nil }}
}

// WordArg is a string out of a fixed set.
func WordArg(name, doc string, words ...string) ArgOf[string] {
	return StrArg(name, doc).With(func(a *Arg) { a.Words = words })
}

// FlagsArg is an optional comma-separated list of words.
func FlagsArg(name, doc string, words ...string) ArgOf[string] {
	return OptStrArg(name, "", doc).With(func(a *Arg) { a.Words = words; a.WordList = true })
}

// PatternArg is a POSIX extended pattern.
func PatternArg(name, doc string) ArgOf[string] {
	return StrArg(name, doc).With(func(a *Arg) { a.Pattern = true })
}

func toInt(v Value) (int, error) {
	n := int(v.Num)
	if float64(n) != v.Num {
		return 0, fmt.Errorf("wants a whole number, got %s", v.Text())
	}
	return n, nil
}

// Spec is what the constructors take besides the arguments.
type Spec struct {
	Name     string
	OpenSIPS string
	Doc      string
	Routes   api.Route
	TopLevel bool
	Blocks   bool
	Results  []Result
	Outputs  []OutputDoc
}

func (s Spec) build(args ...Arg) Function {
	return Function{Name: s.Name, OpenSIPS: s.OpenSIPS, Doc: s.Doc, Args: args, Results: s.Results,
		Outputs: s.Outputs, Routes: s.Routes, TopLevel: s.TopLevel, Blocks: s.Blocks}
}

func argErr(a Arg, err error) Ret { return Misuse(fmt.Errorf("argument %q: %w", a.Name, err)) }

// F0 declares a function without arguments; f is a method expression of the
// module's configuration.
func F0[T Config](s Spec, f func(T, *api.Ctx) Ret) Function {
	fn := s.build()
	fn.Invoke = func(inst Config, c *api.Ctx, _ *Args) Ret { return f(inst.(T), c) }
	return fn
}

// F1 declares a function with one argument.
func F1[T Config, A any](s Spec, a ArgOf[A], f func(T, *api.Ctx, A) Ret) Function {
	fn := s.build(a.Arg)
	fn.Invoke = func(inst Config, c *api.Ctx, v *Args) Ret {
		x, err := a.get(v.V[0])
		if err != nil {
			return argErr(a.Arg, err)
		}
		return f(inst.(T), c, x)
	}
	return fn
}

// F2 declares a function with two arguments.
func F2[T Config, A, B any](s Spec, a ArgOf[A], b ArgOf[B], f func(T, *api.Ctx, A, B) Ret) Function {
	fn := s.build(a.Arg, b.Arg)
	fn.Invoke = func(inst Config, c *api.Ctx, v *Args) Ret {
		x, err := a.get(v.V[0])
		if err != nil {
			return argErr(a.Arg, err)
		}
		y, err := b.get(v.V[1])
		if err != nil {
			return argErr(b.Arg, err)
		}
		return f(inst.(T), c, x, y)
	}
	return fn
}

// F3 declares a function with three arguments.
func F3[T Config, A, B, C any](s Spec, a ArgOf[A], b ArgOf[B], d ArgOf[C], f func(T, *api.Ctx, A, B, C) Ret) Function {
	fn := s.build(a.Arg, b.Arg, d.Arg)
	fn.Invoke = func(inst Config, c *api.Ctx, v *Args) Ret {
		x, err := a.get(v.V[0])
		if err != nil {
			return argErr(a.Arg, err)
		}
		y, err := b.get(v.V[1])
		if err != nil {
			return argErr(b.Arg, err)
		}
		z, err := d.get(v.V[2])
		if err != nil {
			return argErr(d.Arg, err)
		}
		return f(inst.(T), c, x, y, z)
	}
	return fn
}

// FN declares a function with any number of arguments, which it reads itself.
func FN[T Config](s Spec, args []Arg, f func(T, *api.Ctx, *Args) Ret) Function {
	fn := s.build(args...)
	fn.Invoke = func(inst Config, c *api.Ctx, v *Args) Ret { return f(inst.(T), c, v) }
	return fn
}
