package luabind

import (
	"fmt"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxFormats bounds the formats that a program keeps parsed.
const maxFormats = 4096

// logFormat is an xlog format, parsed.
type logFormat struct {
	parts []formatPart
	err   error
}

// formatPart is literal text, or one pseudo-variable.
type formatPart struct {
	text  string
	name  string // field of msg: "fu", "ct_fields"; "var" for the table's values
	key   string // $hdr(X): "X"
	keyed bool
	index int // $hdr(X)[1]; from 0, negative from the end
	all   bool
	steps []formatStep
}

// formatStep is one transformation: {s.select,1,;}.
type formatStep struct {
	name string // "s.select"
	args []string
}

// format is the parsed form of a constant.
func (p *Program) format(s string) *logFormat {
	p.cache.mu.RLock()
	f := p.cache.formats[s]
	p.cache.mu.RUnlock()
	if f != nil {
		return f
	}
	f = parseFormat(s)
	p.cache.mu.Lock()
	if len(p.cache.formats) < maxFormats {
		p.cache.formats[s] = f
	}
	p.cache.mu.Unlock()
	return f
}

// parseFormat reads literal text and $name, $(name{tr}), $name(key).
func parseFormat(s string) *logFormat {
	f := &logFormat{}
	var text strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '$' || i+1 == len(s) {
			text.WriteByte(s[i])
			i++
			continue
		}
		if s[i+1] == '$' {
			text.WriteByte('$')
			i += 2
			continue
		}
		part, n, err := parseVariable(s[i:])
		if err != nil {
			f.err = err
			return f
		}
		if n == 0 {
			text.WriteByte('$')
			i++
			continue
		}
		if text.Len() > 0 {
			f.parts = append(f.parts, formatPart{text: text.String()})
			text.Reset()
		}
		f.parts = append(f.parts, part)
		i += n
	}
	if text.Len() > 0 {
		f.parts = append(f.parts, formatPart{text: text.String()})
	}
	return f
}

// parseVariable reads one pseudo-variable at the start of s, which begins with
// a dollar; n is 0 when none stands there.
func parseVariable(s string) (part formatPart, n int, err error) {
	rest := s[1:]
	if strings.HasPrefix(rest, "(") {
		body, n, ok := balanced(rest)
		if !ok {
			return part, 0, fmt.Errorf("%q has no closing )", clip(s))
		}
		part, used, err := parseName(body)
		if err != nil {
			return part, 0, err
		}
		if used == 0 {
			return part, 0, nil
		}
		if err := part.parseSteps(body[used:]); err != nil {
			return part, 0, err
		}
		return part, n + 1, nil
	}
	part, used, err := parseName(rest)
	if used == 0 || err != nil {
		return part, 0, err
	}
	return part, used + 1, nil
}

// balanced is what stands inside the parentheses that s begins with, and how
// long it is with them.
func balanced(s string) (body string, n int, ok bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[1:i], i + 1, true
			}
		}
	}
	return "", 0, false
}

// parseName reads name(key)[index].
func parseName(s string) (part formatPart, n int, err error) {
	if strings.HasPrefix(s, "<") { // <request> and <reply>
		if end := strings.IndexByte(s, '>'); end > 0 {
			n = end + 1
		}
	}
	start := n
	for n < len(s) && (isNameByte(s[n]) || s[n] == '.' && n+1 < len(s) && isNameByte(s[n+1])) {
		n++
	}
	if n == start || s[start] >= '0' && s[start] <= '9' {
		return part, 0, nil
	}
	part.name = strings.ReplaceAll(s[start:n], ".", "_")
	if n < len(s) && s[n] == '(' {
		body, used, ok := balanced(s[n:])
		if !ok {
			return part, 0, fmt.Errorf("%q has no closing )", clip(s))
		}
		part.key, part.keyed = body, true
		n += used
	}
	if n < len(s) && s[n] == '[' {
		end := strings.IndexByte(s[n:], ']')
		if end < 0 {
			return part, n, nil
		}
		in := s[n+1 : n+end]
		if i, err := strconv.Atoi(in); err == nil {
			part.index = i
		} else if in == "*" {
			part.all = true
		} else {
			return part, n, nil
		}
		n += end + 1
	}
	return part, n, nil
}

// parseSteps reads {class.sub,args}{...}.
func (part *formatPart) parseSteps(s string) error {
	for s != "" {
		end := strings.IndexByte(s, '}')
		if s[0] != '{' || end < 0 {
			return fmt.Errorf("%q must be {transformation}", clip(s))
		}
		words := strings.Split(s[1:end], ",")
		part.steps = append(part.steps, formatStep{name: strings.TrimSpace(words[0]), args: words[1:]})
		s = s[end+1:]
	}
	return nil
}

// baseXlog is xlog([level,] format [, vars]).
func baseXlog(L *lua.LState) int {
	r := runOf(L)
	level, at := r.printLevel(), 1
	if _, second := L.Get(2).(lua.LString); second || L.GetTop() > 2 {
		l, ok := parseLevel(L.Get(1).String())
		if !ok {
			L.RaiseError("xlog: argument 1 \"level\" must be L_ALERT to L_DBG, got %s", showValue(L.Get(1)))
		}
		level, at = l, 2
	}
	format, ok := L.Get(at).(lua.LString)
	if !ok {
		L.RaiseError("xlog: argument %d \"format\" must be a string, got %s", at, article(luaType(L.Get(at))))
	}
	vars, _ := L.Get(at + 1).(*lua.LTable)
	if vars == nil && L.Get(at+1) != lua.LNil {
		L.RaiseError("xlog: argument %d \"vars\" must be a table, got %s", at+1, article(luaType(L.Get(at+1))))
	}
	if !r.logs(level) || level > r.xlogLevel() {
		return 0
	}
	text, err := r.expand(L, string(format), vars)
	if err != nil {
		L.RaiseError("xlog: %s", err.Error())
	}
	r.log(L, level, strings.TrimRight(text, "\r\n"), nil)
	return 0
}

func (r *run) printLevel() api.Level {
	s, _ := r.st.prog.setting("xlog_print_level").(string)
	return api.Level(levelNumbers[s])
}

// xlogLevel is the highest level that xlog writes: xlog_level when it is set,
// else all.
func (r *run) xlogLevel() api.Level {
	if s, ok := r.st.prog.settings["xlog_level"].(string); ok {
		return api.Level(levelNumbers[s])
	}
	return api.LevelDebug
}

// expand fills the format in. What is not set reads <null>, as in OpenSIPS.
func (r *run) expand(L *lua.LState, format string, vars *lua.LTable) (string, error) {
	f := r.st.prog.format(format)
	if f.err != nil {
		return "", f.err
	}
	limit := int(r.st.prog.number("xlog_buf_size"))
	var b strings.Builder
	var m *msgObj
	for i := range f.parts {
		part := &f.parts[i]
		if part.name == "" {
			b.WriteString(part.text)
			continue
		}
		if m == nil && !r.top {
			m = newMsg(r)
		}
		v, err := r.formatValue(L, m, part, vars)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		if b.Len() > limit {
			break
		}
	}
	out := b.String()
	if len(out) > limit {
		out = out[:limit]
	}
	r.charge(L, len(out))
	return out, nil
}

const nullText = "<null>"

func (r *run) formatValue(L *lua.LState, m *msgObj, part *formatPart, vars *lua.LTable) (string, error) {
	v := r.variable(L, m, part, vars)
	for _, s := range part.steps {
		var err error
		if v, err = r.transform(s, v); err != nil {
			return "", err
		}
	}
	if v.IsNil() {
		return nullText, nil
	}
	return v.Text(), nil
}

// variable reads one pseudo-variable.
func (r *run) variable(L *lua.LState, m *msgObj, part *formatPart, vars *lua.LTable) modules.Value {
	if part.name == "var" {
		if vars == nil {
			return modules.Value{}
		}
		v, err := r.st.decode(vars.RawGetString(part.key), "")
		if err != nil {
			return modules.Value{}
		}
		return v
	}
	if m == nil {
		return modules.Value{}
	}
	c := m.c
	switch part.name {
	case "hdr":
		return headerValue(c, part)
	case "avp":
		vals := c.State.AVP(part.key)
		if i, ok := place0(part.index, len(vals)); ok {
			v, _ := r.st.decode(r.st.avpLua(vals[i]), "")
			return v
		}
		return modules.Value{}
	}
	def := r.st.prog.fields.byName[part.name]
	if def == nil || def.decl == nil {
		if def != nil {
			return ownText(L, m, def)
		}
		return modules.Value{}
	}
	if !m.means(def.decl) {
		return modules.Value{}
	}
	var v modules.Value
	err := r.guard("$"+part.name, func() error {
		switch {
		case part.keyed && def.decl.GetKey != nil:
			v = def.decl.GetKey(def.mod.config, c, modules.String(part.key))
		case def.decl.Get != nil:
			v = def.decl.Get(def.mod.config, c)
		}
		return nil
	})
	if err != nil {
		return modules.Value{}
	}
	return v
}

func ownText(L *lua.LState, m *msgObj, def *fieldDef) modules.Value {
	v, err := m.r.st.decode(def.own.get(L, m), "")
	if err != nil {
		return modules.Value{}
	}
	return v
}

// place0 is index i of n, negative ones from the end.
func place0(i, n int) (int, bool) {
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

func headerValue(c *api.Ctx, part *formatPart) modules.Value {
	if c.Msg == nil {
		return modules.Value{}
	}
	name := []byte(part.key)
	if part.index == 0 && !part.all {
		return modules.BytesOrNil(c.Msg.Find(name))
	}
	var all []string
	for v := range c.Msg.Values(name) {
		all = append(all, string(v))
	}
	if part.all && len(all) > 0 {
		return modules.String(strings.Join(all, ", "))
	}
	if i, ok := place0(part.index, len(all)); ok {
		return modules.String(all[i])
	}
	return modules.Value{}
}

// transform applies one transformation of module tr.
func (r *run) transform(s formatStep, v modules.Value) (modules.Value, error) {
	if v.IsNil() {
		return v, nil
	}
	m := r.st.prog.byName["tr"]
	if m == nil {
		return v, fmt.Errorf("there are no transformations: %s", s.name)
	}
	b := m.find(s.name)
	if b == nil {
		return v, fmt.Errorf("%s", unknownMember(m, s.name))
	}
	args := modules.Args{N: b.max}
	args.V[0] = v
	if len(s.args) >= b.max && len(s.args) > 0 {
		return v, fmt.Errorf("{%s} takes %s", s.name, countText(b.min-1, b.max-1))
	}
	for i, a := range s.args {
		x, err := r.st.argument(&b.fn.Args[i+1], lua.LString(a))
		if err != nil {
			return v, fmt.Errorf("{%s}: argument %q %w", s.name, b.fn.Args[i+1].Name, err)
		}
		args.V[i+1] = x
	}
	var ret modules.Ret
	err := r.guard("{"+s.name+"}", func() error { ret = b.fn.Invoke(m.config, r.c, &args); return nil })
	switch {
	case err != nil:
		return v, err
	case ret.Err != nil:
		return v, fmt.Errorf("{%s}: %w", s.name, ret.Err)
	case ret.HasOut || len(b.fn.Outputs) > 0:
		return ret.Out, nil
	}
	return modules.Bool(ret.OK), nil
}
