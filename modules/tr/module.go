// Package tr has OpenSIPS's transformations as functions: {uri.host} is
// tr.uri.host(v), {s.select,1,;} is tr.s.select(v, 1, ";").
//
// Each takes nil for its subject and answers nil then, so that calls nest as
// transformations chain. What OpenSIPS answers as 1 or 0 is a boolean here,
// what it answers as a decimal number is a number.
package tr

import (
	"fmt"
	"slices"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// Module declares the transformations.
func Module() *modules.Module {
	return &modules.Module{
		Name:    "tr",
		Doc:     "OpenSIPS's transformations as functions over strings. Each takes nil and answers nil then; a part that is not there is nil too.",
		Builtin: true,
		Functions: slices.Concat(stringFunctions(), hashFunctions(), escapeFunctions(), uriFunctions(),
			viaFunctions(), paramFunctions(), nameaddrFunctions(), ipFunctions(), csvFunctions(),
			sdpFunctions(), reFunctions()),
		Omitted: []modules.Omission{
			{Kind: "function", Name: "s.eval", Reason: "Strings hold no pseudo-variables in Lua: concatenate the fields, or use cat()."},
		},
		New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { return &config{}, nil },
	}
}

// config keeps the patterns of re.subst compiled.
type config struct {
	modules.NoLifecycle
	patterns posix.Cache
}

// maxLength bounds what fill and width make, in bytes.
const maxLength = 65535

func subject() modules.Arg {
	return modules.Arg{Name: "v", Doc: "the value to transform; nil gives nil", Kind: modules.KindString, Optional: true, Null: true}
}

func strArg(name, doc string) modules.Arg {
	return modules.Arg{Name: name, Doc: doc, Kind: modules.KindString}
}

func intArg(name, doc string) modules.Arg {
	return modules.Arg{Name: name, Doc: doc, Kind: modules.KindNumber}
}

func optIntArg(name, def, doc string) modules.Arg {
	return modules.Arg{Name: name, Doc: doc, Kind: modules.KindNumber, Optional: true, Default: def}
}

// params are the arguments behind the subject.
type params struct {
	a   *modules.Args
	err error
}

// str is the i-th parameter from 0, "" when absent.
func (p *params) str(i int) string { return p.a.V[i+1].Text() }

// int is the i-th parameter as a whole number, def when absent. A fraction is
// an error that the call raises.
func (p *params) int(i, def int) int {
	v := p.a.V[i+1]
	if v.IsNil() {
		return def
	}
	n := int(v.Num)
	if v.Kind != modules.KindNumber || float64(n) != v.Num {
		p.err = fmt.Errorf("argument %d: wants a whole number, got %s", i+2, v.Text())
		return def
	}
	return n
}

// define declares one transformation over a string.
func define(name string, kind modules.Kind, doc string, f func(s string, p *params) modules.Value, args ...modules.Arg) modules.Function {
	spec := modules.Spec{Name: name, OpenSIPS: "{" + name + "}", Doc: doc, TopLevel: true,
		Outputs: []modules.OutputDoc{{Name: "value", Kind: kind, Doc: "the result"}}}
	return modules.FN(spec, append([]modules.Arg{subject()}, args...),
		func(_ *config, _ *api.Ctx, a *modules.Args) modules.Ret {
			if a.V[0].IsNil() {
				return modules.Output(modules.Nil())
			}
			p := params{a: a}
			v := f(a.V[0].Text(), &p)
			if p.err != nil {
				return modules.Misuse(p.err)
			}
			return modules.Output(v)
		})
}

// text declares a transformation from string to string without parameters;
// ok false answers nil.
func text(name, doc string, f func(s string) (out string, ok bool)) modules.Function {
	return define(name, modules.KindString, doc, func(s string, _ *params) modules.Value { return stringIf(f(s)) })
}

func stringIf(s string, ok bool) modules.Value {
	if !ok {
		return modules.Nil()
	}
	return modules.String(s)
}

// always adapts a function that cannot fail to text.
func always(f func(string) string) func(string) (string, bool) {
	return func(s string) (string, bool) { return f(s), true }
}

// nonEmpty is b as a string, nil when it is empty.
func nonEmpty(b []byte) modules.Value { return modules.StringOrNil(string(b)) }

// at resolves an index that counts from the end when negative; ok is false
// outside of n elements.
func at(i, n int) (int, bool) {
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}
