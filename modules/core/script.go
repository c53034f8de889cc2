package core

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// scriptFunctions serve the script itself.
func scriptFunctions() []modules.Function {
	raiseArgs := []modules.Arg{
		modules.StrArg("event", "the event's name: E_MY_EVENT").Arg,
		{Name: "attrs", Doc: "a table of parameters by name, or a list of names", Kind: modules.KindAny, Optional: true},
		{Name: "vals", Doc: "with a list of names: the list of their values", Kind: modules.KindAny, Optional: true},
	}
	return []modules.Function{
		modules.F0(modules.Spec{Name: "get_timestamp", Doc: "The time, as seconds and microseconds of one reading.",
			Outputs: []modules.OutputDoc{{Name: "sec", Kind: modules.KindNumber, Doc: "Unix time in seconds"}, {Name: "usec", Kind: modules.KindNumber, Doc: "microseconds of that second"}}}, timestamp),
		modules.FN(modules.Spec{Name: "raise_event", Doc: "Raises an event: event_route.NAME runs later, in no transaction."}, raiseArgs, raiseEvent),
		modules.F2(modules.Spec{Name: "assert", Doc: "Raises an error when a condition does not hold and config{enable_asserts} is set."},
			modules.OptAnyArg("statement", "the condition").With(func(a *modules.Arg) { a.Null = true }), modules.OptStrArg("description", "", "what it says"), assertCondition),
		modules.F2(modules.Spec{Name: "hdr", Doc: "One header line ending in CRLF, for functions that take whole lines.", TopLevel: true,
			Outputs: []modules.OutputDoc{{Name: "line", Kind: modules.KindString, Doc: "the line"}}},
			modules.StrArg("name", "header name"), modules.StrArg("value", "header value, without CR, LF and NUL"), headerLine),
		modules.F2(modules.Spec{Name: "refused", Doc: "Stands where a converted script had something without an equivalent, and raises when it is reached.", TopLevel: true},
			modules.StrArg("id", "number of the finding in the migration's report"), modules.StrArg("text", "what stood there"),
			func(_ *config, _ *api.Ctx, id, text string) modules.Ret {
				return modules.Misuse(fmt.Errorf("%s: not converted: %s", id, text))
			}),
		modules.F1(modules.Spec{Name: "read_file", Doc: "Contents of a file beside the script.", Routes: api.RouteStartup, TopLevel: true,
			Outputs: []modules.OutputDoc{{Name: "data", Kind: modules.KindString, Doc: "the contents"}}},
			modules.StrArg("path", "path below the script's folder"), readFile),
		modules.F0(modules.Spec{Name: "avp_print", Doc: "Logs all AVPs at level debug."}, printAVPs),
	}
}

func timestamp(_ *config, c *api.Ctx) modules.Ret {
	now := c.Host.Now()
	return modules.Output(modules.Map(map[string]modules.Value{
		"sec":  modules.Number(float64(now.Unix())),
		"usec": modules.Int(now.Nanosecond() / 1000),
	}))
}

func raiseEvent(_ *config, c *api.Ctx, a *modules.Args) modules.Ret {
	name := a.V[0].Text()
	if name == "" {
		return modules.Misuse(errors.New("the event has no name"))
	}
	params, err := eventParams(a.V[1], a.V[2])
	if err != nil {
		return modules.Misuse(err)
	}
	c.Host.RaiseEvent(name, params)
	return modules.Yes()
}

// eventParams pairs names with values. Values without names get their
// position, from 1.
func eventParams(attrs, vals modules.Value) (map[string]any, error) {
	if attrs.Kind == modules.KindMap {
		params := make(map[string]any, len(attrs.Map()))
		for k, v := range attrs.Map() {
			params[k] = plain(v)
		}
		return params, nil
	}
	names, values := listOf(attrs), listOf(vals)
	if len(names) > 0 && len(values) > 0 && len(names) != len(values) {
		return nil, fmt.Errorf("there are %d names and %d values; as many are needed", len(names), len(values))
	}
	params := make(map[string]any, len(values))
	for i, v := range values {
		name := strconv.Itoa(i + 1)
		if len(names) > 0 {
			name = names[i].Text()
		}
		params[name] = plain(v)
	}
	return params, nil
}

// listOf is a list's values; a single value is a list of one.
func listOf(v modules.Value) []modules.Value {
	if v.IsNil() || v.Kind == modules.KindList {
		return v.List()
	}
	return []modules.Value{v}
}

// plain is a value as an event carries it.
func plain(v modules.Value) any {
	switch v.Kind {
	case modules.KindBool:
		return v.Num != 0
	case modules.KindNumber:
		return v.Num
	case modules.KindString:
		return v.Str
	case modules.KindList:
		out := make([]any, 0, len(v.List()))
		for _, e := range v.List() {
			out = append(out, plain(e))
		}
		return out
	case modules.KindMap:
		out := make(map[string]any, len(v.Map()))
		for k, e := range v.Map() {
			out[k] = plain(e)
		}
		return out
	}
	return nil
}

func assertCondition(_ *config, c *api.Ctx, holds modules.Value, text string) modules.Ret {
	if on, _ := c.Host.Setting("enable_asserts").(bool); !on || holds.Truth() {
		return modules.Yes()
	}
	if text == "" {
		text = "the condition does not hold"
	}
	return modules.Misuse(errors.New("assertion failed: " + text))
}

func headerLine(_ *config, _ *api.Ctx, name, value string) modules.Ret {
	line, err := makeHeader(name, value)
	if err != nil {
		return modules.Misuse(err)
	}
	return modules.Output(modules.String(line))
}

func readFile(cfg *config, _ *api.Ctx, path string) modules.Ret {
	b, err := cfg.readFile(path)
	if err != nil {
		return modules.NoOutput(-1, "not_read", err.Error())
	}
	return modules.Output(modules.Bytes(b))
}

func printAVPs(_ *config, c *api.Ctx) modules.Ret {
	c.State.AVPNames(func(name string, vals []any) bool {
		c.Host.Log(c, api.LevelDebug, "avp", api.Field{Key: "name", Value: name}, api.Field{Key: "values", Value: fmt.Sprint(vals)})
		return true
	})
	return modules.Yes()
}
