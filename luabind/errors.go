package luabind

import (
	"fmt"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
)

// Severity tells an error, which refuses the script, from a warning, which
// luasips check fails on too, and from a note.
type Severity uint8

// The severities.
const (
	SeverityError Severity = iota
	SeverityWarning
	SeverityNote
)

// String is "error", "warning" or "note".
func (s Severity) String() string {
	switch s {
	case SeverityWarning:
		return "warning"
	case SeverityNote:
		return "note"
	}
	return "error"
}

// Finding is one thing that loading or checking found.
type Finding struct {
	Severity Severity
	File     string // path below the script's folder
	Line     int    // from 1; 0 when the place is not known
	Column   int    // from 1; 0 when not known
	Text     string // what, and what would be right
	Source   string // the source line
}

// String is "file:line:column: text".
func (f Finding) String() string {
	return place(f.File, f.Line, f.Column) + f.Text
}

// Error is why a script cannot be loaded, or how a handler ended: the first
// finding, with all of them.
type Error struct {
	File         string
	Line, Column int
	Text         string
	Source       string // the source line; "" when the place is not known
	Stack        string // Lua stack, innermost call first; "" at load
	Findings     []Finding
	Err          error // what it came from; may be nil
}

// Brief is the report in one line: position and text, and how many errors there
// are beside it.
func (e *Error) Brief() string {
	s := place(e.File, e.Line, e.Column) + e.Text
	if n := e.others(); n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return s
}

// others is how many errors there are beside the first.
func (e *Error) others() int {
	n := 0
	for _, f := range e.Findings {
		if f.Severity == SeverityError {
			n++
		}
	}
	return max(0, n-1)
}

// Error is the whole report: position, text, source line with a caret, stack.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(place(e.File, e.Line, e.Column))
	b.WriteString(e.Text)
	if e.Source != "" {
		b.WriteString("\n    ")
		b.WriteString(e.Source)
		if e.Column > 0 {
			b.WriteString("\n    ")
			b.WriteString(caret(e.Source, e.Column))
		}
	}
	if e.Stack != "" {
		b.WriteString("\n")
		b.WriteString(e.Stack)
	}
	if n := e.others(); n > 0 {
		fmt.Fprintf(&b, "\n(and %d more)", n)
	}
	return b.String()
}

// Unwrap is the error it came from.
func (e *Error) Unwrap() error { return e.Err }

func place(file string, line, col int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file + ": "
	case col == 0:
		return file + ":" + strconv.Itoa(line) + ": "
	}
	return file + ":" + strconv.Itoa(line) + ":" + strconv.Itoa(col) + ": "
}

// caret points at column col of line, whose tabs it keeps.
func caret(line string, col int) string {
	var b strings.Builder
	for i := 0; i < col-1 && i < len(line); i++ {
		if line[i] == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteByte('^')
	return b.String()
}

// splitPosition reads the "file:line: " that Lua puts before a message.
func splitPosition(msg string) (file string, line int, rest string) {
	for i := 0; i < len(msg) && i < 512; i++ {
		if msg[i] != ':' {
			continue
		}
		j := i + 1
		for j < len(msg) && msg[j] >= '0' && msg[j] <= '9' {
			j++
		}
		if j == i+1 || j >= len(msg) || msg[j] != ':' {
			continue
		}
		n, err := strconv.Atoi(msg[i+1 : j])
		if err != nil {
			return "", 0, msg
		}
		return msg[:i], n, strings.TrimPrefix(msg[j+1:], " ")
	}
	return "", 0, msg
}

// errorOf makes the report of an error that came out of a Lua call.
func (p *Program) errorOf(err error) *Error {
	e := &Error{Err: err}
	lerr, ok := err.(*lua.ApiError)
	if !ok {
		e.Text = err.Error()
		return e
	}
	text := ""
	switch v := lerr.Object.(type) {
	case lua.LString:
		text = string(v)
	case nil:
		text = err.Error()
	default:
		text = "error value " + describe(v, 0)
	}
	// A function of ours that pcall or a coroutine calls itself has no line: the
	// message begins with the space behind it.
	e.File, e.Line, e.Text = splitPosition(strings.TrimPrefix(text, " "))
	if e.Text == "lua callstack overflow" || e.Text == "stack overflow" { // as gopher-lua says it
		e.Text = fmt.Sprintf("stack overflow: calls are nested more than %d deep (config script_call_depth)", p.limits.depth)
	}
	e.Stack = cleanStack(lerr.StackTrace)
	if e.File == "" {
		e.File, e.Line = firstFrame(lerr.StackTrace)
	}
	src := p.sources[e.File]
	if src == nil {
		return e
	}
	var hint string
	e.Text, hint = src.naming(e.Line, e.Text)
	e.Source = src.line(e.Line)
	e.Column = column(e.Source, hint)
	return e
}

// cleanStack turns gopher-lua's trace into ours: one call per line, without
// the frames that only the machinery has.
func cleanStack(trace string) string {
	var out []string
	for _, l := range strings.Split(trace, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || l == "stack traceback:" || l == "[G]: ?" {
			continue
		}
		l = strings.Replace(l, "[G]:", "[Go]:", 1)
		l = strings.Replace(l, "in function '"+concatName+"'", "in operator '..'", 1)
		out = append(out, "    "+l)
	}
	if len(out) == 0 {
		return ""
	}
	return "stack:\n" + strings.Join(out, "\n")
}

// firstFrame is the innermost place in the script of a trace.
func firstFrame(trace string) (string, int) {
	for _, l := range strings.Split(trace, "\n") {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[G]") || strings.HasPrefix(l, "stack") {
			continue
		}
		if f, n, _ := splitPosition(l); f != "" {
			return f, n
		}
	}
	return "", 0
}

// describe shows an error value that is not a string.
func describe(v lua.LValue, depth int) string {
	t, ok := v.(*lua.LTable)
	if !ok || depth > 2 {
		if s, ok := v.(lua.LString); ok {
			return strconv.Quote(string(s))
		}
		return v.String()
	}
	var parts []string
	t.ForEach(func(k, v lua.LValue) {
		if len(parts) < 8 {
			parts = append(parts, k.String()+" = "+describe(v, depth+1))
		}
	})
	return "{" + strings.Join(parts, ", ") + "}"
}

// reportRun counts and logs how a handler ended.
func (p *Program) reportRun(r *run, err error) {
	p.proc.errors.Add(1)
	e := p.errorOf(err)
	if r.killed() || strings.HasPrefix(e.Text, "stack overflow: ") {
		p.proc.budgets.Add(1)
	}
	e.Stack = strings.ReplaceAll(e.Stack, "in main chunk", "in "+r.name)
	if r.c.Host == nil {
		return
	}
	r.failedAt = strings.TrimSuffix(place(e.File, e.Line, 0), ": ")
	r.c.Host.Log(r.c, api.LevelError, "script error: "+place(e.File, e.Line, e.Column)+e.Text,
		api.Field{Key: "handler", Value: r.name},
		api.Field{Key: "source", Value: strings.TrimSpace(e.Source)},
		api.Field{Key: "lua_stack", Value: strings.TrimPrefix(e.Stack, "stack:\n")})
	r.failedAt = ""
}

// position is "file:line" of the innermost Lua frame of L; "" when none.
func position(L *lua.LState) string {
	for level := 0; level < 16; level++ {
		d, ok := L.GetStack(level)
		if !ok {
			return ""
		}
		if _, err := L.GetInfo("Sl", d, lua.LNil); err != nil {
			return ""
		}
		if d.Source != "" && d.CurrentLine > 0 {
			return d.Source + ":" + strconv.Itoa(d.CurrentLine)
		}
	}
	return ""
}

func functionPlace(fn *lua.LFunction) string {
	if fn.Proto == nil {
		return "of Go"
	}
	return fn.Proto.SourceName + ":" + strconv.Itoa(fn.Proto.LineDefined)
}
