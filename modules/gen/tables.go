package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// table writes a Markdown table; without rows it writes nothing.
type table struct {
	b    strings.Builder
	rows int
}

func newTable(title string, columns ...string) *table {
	t := &table{}
	fmt.Fprintf(&t.b, "\n## %s\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	return t
}

func (t *table) row(cells ...string) {
	t.rows++
	for i, c := range cells {
		cells[i] = cell(c)
	}
	fmt.Fprintf(&t.b, "| %s |\n", strings.Join(cells, " | "))
}

func (t *table) String() string {
	if t.rows == 0 {
		return ""
	}
	return t.b.String()
}

// cell makes text fit for a cell. Code keeps its bars: GitHub wants them
// escaped there too.
func cell(s string) string {
	s = strings.NewReplacer("|", `\|`, "\r\n", " ", "\n", " ").Replace(s)
	return strings.TrimSpace(s)
}

func code(s string) string { return "`" + s + "`" }

// moduleTables are the generated part of a module's page.
func moduleTables(m *modules.Module) string {
	parts := []string{functionTable(m), paramTable(m), fieldTable(m), varTable(m), eventTable(m), omittedTable(m)}
	return strings.TrimPrefix(strings.Join(parts, ""), "\n")
}

func functionTable(m *modules.Module) string {
	t := newTable("Functions", "Function", "Where", "What it does")
	for i := range m.Functions {
		f := &m.Functions[i]
		t.row(code(signature(m, f)), where(f), functionText(f))
	}
	return t.String()
}

// signature is a function as it is called, optional arguments in brackets.
func signature(m *modules.Module, f *modules.Function) string {
	args := make([]string, len(f.Args))
	for i, a := range f.Args {
		args[i] = a.Name
		if a.Optional {
			args[i] = "[" + a.Name + "]"
		}
	}
	return m.Name + "." + f.Name + "(" + strings.Join(args, ", ") + ")"
}

func where(f *modules.Function) string {
	s := routes(f.Routes)
	if f.TopLevel {
		s += ", top level"
	}
	return s
}

// routes names a set of route types.
func routes(r api.Route) string {
	switch r {
	case 0, api.RouteAll:
		return "any"
	case api.RouteMessage:
		return "any with a message"
	}
	return strings.ReplaceAll(r.String(), "|", ", ")
}

// functionText is what a function does, its arguments and its answers.
func functionText(f *modules.Function) string {
	var b strings.Builder
	b.WriteString(f.Doc)
	if f.Blocks {
		b.WriteString(" May wait.")
	}
	if f.OpenSIPS != "" && f.OpenSIPS != f.Name {
		fmt.Fprintf(&b, " OpenSIPS: %s.", code(f.OpenSIPS))
	}
	for i := range f.Args {
		b.WriteString("<br>" + argText(&f.Args[i]))
	}
	if len(f.Outputs) > 0 {
		outs := make([]string, len(f.Outputs))
		for i, o := range f.Outputs {
			outs[i] = fmt.Sprintf("%s (%s): %s", code(o.Name), o.Kind, o.Doc)
		}
		b.WriteString("<br>Gives " + strings.Join(outs, "; "))
	}
	if len(f.Results) > 0 {
		answers := make([]string, len(f.Results))
		for i, r := range f.Results {
			answers[i] = fmt.Sprintf("%s %s", code(fmt.Sprintf("%d %s", r.Code, r.Name)), r.Doc)
		}
		b.WriteString("<br>Answers " + strings.Join(answers, "; "))
	}
	return b.String()
}

func argText(a *modules.Arg) string {
	var notes []string
	notes = append(notes, a.Kind.String())
	if a.Optional && a.Default != "" {
		notes = append(notes, "default "+code(a.Default))
	}
	if a.Max > a.Min {
		notes = append(notes, fmt.Sprintf("%g to %g", a.Min, a.Max))
	}
	if words := slices.DeleteFunc(slices.Clone(a.Words), func(w string) bool { return w == "" }); len(words) > 0 {
		kind := "one of "
		if a.WordList {
			kind = "any of "
		}
		notes = append(notes, kind+code(strings.Join(words, "` `")))
	}
	if a.Pattern {
		notes = append(notes, "POSIX extended")
	}
	return fmt.Sprintf("%s (%s): %s", code(a.Name), strings.Join(notes, ", "), a.Doc)
}

func paramTable(m *modules.Module) string {
	t := newTable("Parameters", "Parameter", "Type", "Default", "What it sets")
	for i := range m.Params {
		p := &m.Params[i]
		kind := p.Kind.String()
		if p.Unit != "" {
			kind += ", " + p.Unit
		}
		if p.Max > p.Min {
			kind += fmt.Sprintf(", %g to %g", p.Min, p.Max)
		}
		if p.Multi {
			kind += ", or a list"
		}
		text, def := p.Doc, ""
		if len(p.Words) > 0 {
			text += " One of " + code(strings.Join(p.Words, "` `")) + "."
		}
		if !p.Default.IsNil() {
			def = code(literal(p.Default))
		}
		if p.Ignored != "" {
			text, def = strings.TrimSpace(text+" Taken without effect: "+p.Ignored+"."), ""
		}
		t.row(code(p.Name), kind, def, text)
	}
	return t.String()
}

// literal is a value as a script writes it.
func literal(v modules.Value) string {
	if v.Kind == modules.KindString {
		return fmt.Sprintf("%q", v.Str)
	}
	return v.Text()
}

func fieldTable(m *modules.Module) string {
	t := newTable("Fields of msg", "Field", "OpenSIPS", "Type", "Where", "What it is")
	for i := range m.Fields {
		f := &m.Fields[i]
		t.row(code(fieldName(f)), code(f.OpenSIPS), fieldKind(f), routes(fieldRoutes(f)), f.Doc)
	}
	return t.String()
}

func fieldRoutes(f *modules.Field) api.Route {
	if f.Routes == 0 {
		return api.RouteMessage
	}
	return f.Routes
}

// fieldName is a field as a script reads it.
func fieldName(f *modules.Field) string {
	if f.Get == nil && (f.GetKey != nil || f.SetKey != nil) {
		return "msg." + f.Name + "[...]"
	}
	return "msg." + f.Name
}

// fieldKind is the type of a field, and whether it can be written.
func fieldKind(f *modules.Field) string {
	if f.Set != nil || f.SetKey != nil {
		return f.Kind.String() + ", writable"
	}
	return f.Kind.String()
}

func varTable(m *modules.Module) string {
	t := newTable("Variables", "Variable", "OpenSIPS", "Type", "What it is")
	for i := range m.Vars {
		v := &m.Vars[i]
		name := m.Name + "." + v.Name
		if v.Get == nil && v.GetKey != nil {
			name += "[...]"
		}
		kind := v.Kind.String()
		if v.Set != nil || v.SetKey != nil {
			kind += ", writable"
		}
		opensips := ""
		if v.OpenSIPS != "" {
			opensips = code(v.OpenSIPS)
		}
		t.row(code(name), opensips, kind, v.Doc)
	}
	return t.String()
}

func eventTable(m *modules.Module) string {
	t := newTable("Events", "Event", "Parameters", "When it is raised")
	for _, e := range m.Events {
		t.row(code("event_route."+e.Name), strings.Join(e.Params, ", "), e.Doc)
	}
	return t.String()
}

func omittedTable(m *modules.Module) string {
	t := newTable("Left out", "What", "Name", "Why")
	list := slices.Clone(m.Omitted)
	slices.SortStableFunc(list, func(a, b modules.Omission) int { return cmp.Compare(a.Kind, b.Kind) })
	for _, o := range list {
		t.row(o.Kind, code(o.Name), o.Reason)
	}
	return t.String()
}
