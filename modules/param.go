package modules

import "github.com/luasips/luasips/engine/api"

// Param declares one parameter of a module (modparam).
type Param struct {
	Name    string
	Doc     string
	Kind    Kind   // KindBool takes yes/no, 0/1, true/false
	Unit    string // "seconds", "milliseconds", "bytes"; "" when none
	Default Value
	Multi   bool      // may be given several times or as a list
	Route   api.Route // a route of that type, as function or name
	Words   []string  // allowed words
	Min     float64
	Max     float64 // bounds of a number where Max > Min
	// Ignored parameters are taken with one note: they mean nothing here.
	Ignored string // the reason; "" for one that works
}

// Params are a module's parameters in one generation, checked and converted
// as declared; those not given have their default.
type Params map[string]Value

// Int is a number parameter as an int.
func (p Params) Int(name string) int { return int(p[name].Num) }

// Bool is a boolean parameter.
func (p Params) Bool(name string) bool { return p[name].Truth() }

// Str is a string parameter; "" when it has no value.
func (p Params) Str(name string) string { return p[name].Text() }

// Handler is a route parameter; nil when not given.
func (p Params) Handler(name string) api.Handler { return p[name].Func() }

// Strings are the values of a Multi parameter.
func (p Params) Strings(name string) []string {
	v := p[name]
	if v.Kind == KindString {
		return []string{v.Str}
	}
	var out []string
	for _, x := range v.List() {
		out = append(out, x.Text())
	}
	return out
}
