package luabind

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// decodeArgs reads and checks the arguments of a call into r.args.
func (b *binding) decodeArgs(L *lua.LState, r *run) {
	n := L.GetTop()
	for n > b.max && L.Get(n) == lua.LNil {
		n--
	}
	if n > b.max {
		if u, ok := L.Get(1).(*lua.LUserData); ok {
			if _, ok := u.Value.(*msgObj); ok {
				L.RaiseError("%s takes no message: it acts on the handler's own", b.full)
			}
		}
		L.RaiseError("%s takes %s, got %d", b.full, countText(b.min, b.max), n)
	}
	r.args.N = b.max
	for i := range b.fn.Args {
		a := &b.fn.Args[i]
		var v lua.LValue = lua.LNil
		if i < n {
			v = L.Get(i + 1)
		}
		val, err := r.st.argument(a, v)
		if err != nil {
			L.RaiseError("%s: argument %d %q %s", b.full, i+1, a.Name, err.Error())
		}
		r.args.V[i] = val
	}
}

func countText(low, high int) string {
	switch {
	case high == 0:
		return "no arguments"
	case low == high && high == 1:
		return "1 argument"
	case low == high:
		return fmt.Sprintf("%d arguments", high)
	}
	return fmt.Sprintf("%d to %d arguments", low, high)
}

// argument checks one value against its declaration.
func (st *State) argument(a *modules.Arg, v lua.LValue) (modules.Value, error) {
	if v == lua.LNil || a.Optional && !a.Null && v == lua.LValue(lua.LString("")) {
		if a.Optional || a.Kind == modules.KindAny && v == lua.LNil {
			return modules.Value{}, nil
		}
		if v == lua.LNil {
			return modules.Value{}, wrongType(a, v)
		}
	}
	if a.Route != 0 || a.Kind == modules.KindFunc {
		return st.routeArgument(a, v)
	}
	switch a.Kind {
	case modules.KindString:
		return stringArgument(a, v)
	case modules.KindNumber:
		return numberArgument(a, v)
	case modules.KindBool:
		if x, ok := v.(lua.LBool); ok {
			return modules.Bool(bool(x)), nil
		}
		return modules.Value{}, wrongType(a, v)
	case modules.KindList, modules.KindMap:
		t, ok := v.(*lua.LTable)
		if !ok {
			return modules.Value{}, wrongType(a, v)
		}
		return st.tableArgument(a, t)
	}
	val, err := st.decode(v, "")
	if err != nil {
		return val, fmt.Errorf("%w", err)
	}
	return val, nil
}

func wrongType(a *modules.Arg, v lua.LValue) error {
	want := article(a.Kind.String())
	if a.Route != 0 {
		want = "a function or the name of " + article(routeKindName(a.Route))
	}
	return fmt.Errorf("must be %s, got %s", want, article(luaType(v)))
}

func stringArgument(a *modules.Arg, v lua.LValue) (modules.Value, error) {
	var s string
	switch x := v.(type) {
	case lua.LString:
		s = string(x)
	case lua.LNumber:
		s = numberText(float64(x))
	default:
		return modules.Value{}, wrongType(a, v)
	}
	if len(a.Words) > 0 {
		if err := checkWords(a.Words, a.WordList, s); err != nil {
			return modules.Value{}, err
		}
	}
	return modules.String(s), nil
}

// checkWords checks a word, or a comma-separated list of words.
func checkWords(words []string, list bool, s string) error {
	for rest, more := s, true; more; {
		var w string
		if list {
			w, rest, more = strings.Cut(rest, ",")
			w = strings.TrimSpace(w)
		} else {
			w, more = rest, false
		}
		if !hasWord(words, w) {
			return fmt.Errorf("has the unknown word %q; it takes %s%s", w, strings.Join(words, ", "), didYouMean(w, words))
		}
	}
	return nil
}

func hasWord(words []string, w string) bool {
	for _, x := range words {
		if x == w || strings.HasSuffix(x, "=") && strings.HasPrefix(w, x) {
			return true
		}
	}
	return false
}

func numberArgument(a *modules.Arg, v lua.LValue) (modules.Value, error) {
	var n float64
	switch x := v.(type) {
	case lua.LNumber:
		n = float64(x)
	case lua.LString:
		f, ok := parseNumber(string(x))
		if !ok {
			return modules.Value{}, fmt.Errorf("must be a number, got the string %q", clip(string(x)))
		}
		n = f
	default:
		return modules.Value{}, wrongType(a, v)
	}
	if a.Max > a.Min && (n < a.Min || n > a.Max) {
		return modules.Value{}, fmt.Errorf("must be from %s to %s, got %s", numberText(a.Min), numberText(a.Max), numberText(n))
	}
	if n != n {
		return modules.Value{}, fmt.Errorf("is not a number (0/0)")
	}
	return modules.Number(n), nil
}

// clip keeps a quoted value short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func (st *State) tableArgument(a *modules.Arg, t *lua.LTable) (modules.Value, error) {
	v, err := st.decode(t, "")
	if err != nil {
		return v, err
	}
	empty := v.Kind == modules.KindMap && len(v.Map()) == 0
	switch {
	case v.Kind == a.Kind:
	case empty && a.Kind == modules.KindList:
		v = modules.List(nil)
	case a.Kind == modules.KindList:
		return v, fmt.Errorf("must be a list, got a table with names")
	default:
		return v, fmt.Errorf("must be a table with names, got a list")
	}
	return v, nil
}

// routeArgument takes a function, or a route's name.
func (st *State) routeArgument(a *modules.Arg, v lua.LValue) (modules.Value, error) {
	switch x := v.(type) {
	case *lua.LFunction:
		return modules.Func(st.handlerOf(x, "")), nil
	case lua.LString:
		h, err := st.prog.route(a.Route, string(x))
		if err != nil {
			return modules.Value{}, err
		}
		return modules.Func(h), nil
	}
	return modules.Value{}, wrongType(a, v)
}

// routeTables are the names of the route tables, by type.
var routeTables = []struct {
	kind api.Route
	name string
}{
	{api.RouteRequest, "route"}, {api.RouteBranch, "branch_route"}, {api.RouteFailure, "failure_route"},
	{api.RouteReply, "onreply_route"}, {api.RouteLocal, "local_route"}, {api.RouteError, "error_route"},
	{api.RouteStartup, "startup_route"}, {api.RouteEvent, "event_route"},
}

func routeKindName(k api.Route) string {
	for _, t := range routeTables {
		if k&t.kind != 0 {
			return t.name
		}
	}
	return "route"
}

// route finds a route by its name in the tables of the given types.
func (p *Program) route(kind api.Route, name string) (*handler, error) {
	var known []string
	for _, t := range routeTables {
		if kind&t.kind == 0 {
			continue
		}
		if h := p.declaredRoute(t.name + "." + name); h != nil {
			return h, nil
		}
		for full := range p.neutral {
			if rest, ok := strings.CutPrefix(full, t.name+"."); ok && p.declaredRoute(full) != nil {
				known = append(known, rest)
			}
		}
	}
	return nil, fmt.Errorf("names %s.%s, which the script does not have%s", routeKindName(kind), name, didYouMean(name, known))
}

// declaredRoute is the handler of a route that the script has; nil for others,
// of which a parameter may have given the name.
func (p *Program) declaredRoute(full string) *handler {
	h := p.neutral[full]
	if h == nil || len(p.states) == 0 || p.states[0].bound[h.key] == nil {
		return nil
	}
	return h
}

// routeName is the name without its type: "voicemail" of
// "failure_route.voicemail".
func routeName(full string) string {
	if _, name, ok := strings.Cut(full, "."); ok {
		return name
	}
	return full
}
