package luabind

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxPatterns bounds the patterns that a program keeps compiled; maxPattern is
// the longest one, in bytes.
const (
	maxPatterns = 4096
	maxPattern  = 4096
)

type patternKey struct {
	pattern string
	fold    bool
}

type compiledPattern struct {
	re  *regexp.Regexp
	err error
}

// pattern compiles a POSIX extended pattern, once.
func (p *Program) pattern(k patternKey) *compiledPattern {
	p.cache.mu.RLock()
	c := p.cache.patterns[k]
	p.cache.mu.RUnlock()
	if c != nil {
		return c
	}
	c = compilePattern(k)
	p.cache.mu.Lock()
	if len(p.cache.patterns) < maxPatterns {
		p.cache.patterns[k] = c
	}
	p.cache.mu.Unlock()
	return c
}

// compilePattern reads POSIX extended syntax, leftmost-longest. Go's engine
// runs in linear time.
func compilePattern(k patternKey) *compiledPattern {
	if len(k.pattern) > maxPattern {
		return &compiledPattern{err: fmt.Errorf("pattern has %d bytes, more than the %d allowed", len(k.pattern), maxPattern)}
	}
	re, err := regexp.CompilePOSIX(k.pattern)
	if err != nil {
		return &compiledPattern{err: patternError(k.pattern, err)}
	}
	if k.fold {
		if re, err = foldPattern(k.pattern); err != nil {
			return &compiledPattern{err: patternError(k.pattern, err)}
		}
	}
	return &compiledPattern{re: re}
}

// foldPattern compiles without regard to case. CompilePOSIX has no flags, so
// the tree is parsed with them and printed back.
func foldPattern(p string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(p, syntax.POSIX|syntax.FoldCase)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(tree.String())
	if err != nil {
		return nil, err
	}
	re.Longest()
	return re, nil
}

func patternError(p string, err error) error {
	return fmt.Errorf("pattern %q is not POSIX extended: %s", clip(p), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// openRe makes the table re.
func (st *State) openRe() {
	st.module("re", map[string]lua.LGFunction{"match": reMatch, "find": reFind, "subst": reSubst, "split": reSplit, "escape": reEscape})
}

// reArgs reads value, pattern and flags; ok is false when the value is nil.
func reArgs(L *lua.LState, what string, flagsAt int) (v string, re *regexp.Regexp, flags string, ok bool) {
	p, isStr := L.Get(2).(lua.LString)
	if !isStr {
		L.RaiseError("re.%s: argument 2 \"pattern\" must be a string, got %s", what, article(luaType(L.Get(2))))
	}
	switch f := L.Get(flagsAt).(type) {
	case *lua.LNilType:
	case lua.LString:
		flags = string(f)
	default:
		L.RaiseError("re.%s: argument %d \"flags\" must be a string, got %s", what, flagsAt, article(luaType(f)))
	}
	for _, c := range flags {
		if c != 'i' && !(c == 'g' && what == "subst") {
			L.RaiseError("re.%s: unknown flag %q; \"i\" ignores case%s", what, string(c), map[bool]string{true: ", \"g\" replaces all"}[what == "subst"])
		}
	}
	c := runOf(L).st.prog.pattern(patternKey{string(p), strings.Contains(flags, "i")})
	if c.err != nil {
		L.RaiseError("re.%s: %s", what, c.err.Error())
	}
	if L.Get(1) == lua.LNil {
		return "", c.re, flags, false
	}
	return textOf(L, L.Get(1), "re."+what+": argument 1"), c.re, flags, true
}

// reMatch is re.match(v, pattern, flags): a boolean; nil does not match.
func reMatch(L *lua.LState) int {
	v, re, _, ok := reArgs(L, "match", 3)
	L.Push(lua.LBool(ok && re.MatchString(v)))
	return 1
}

// reFind is re.find(v, pattern, flags): the list of the whole match and its
// groups, nil when there is none.
func reFind(L *lua.LState) int {
	v, re, _, ok := reArgs(L, "find", 3)
	var m []string
	if ok {
		m = re.FindStringSubmatch(v)
	}
	if m == nil {
		L.Push(lua.LNil)
		return 1
	}
	r := runOf(L)
	t := r.st.base.CreateTable(len(m), 0)
	for i, s := range m {
		r.charge(L, 16+len(s))
		t.RawSetInt(i+1, lua.LString(s))
	}
	L.Push(t)
	return 1
}

// reSubst is re.subst(v, pattern, replacement, flags): the first match, with
// "g" all, replaced; \0 to \9 stand for groups. nil stays nil.
func reSubst(L *lua.LState) int {
	v, re, flags, ok := reArgs(L, "subst", 4)
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	repl := textOf(L, L.Get(3), "re.subst: argument 3 \"replacement\"")
	n := 1
	if strings.Contains(flags, "g") {
		n = -1
	}
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(v, n) {
		b.WriteString(v[last:m[0]])
		appendGroups(&b, repl, v, m)
		last = m[1]
		runOf(L).room(L, b.Len())
	}
	b.WriteString(v[last:])
	return build(L, b.String())
}

// appendGroups writes the replacement with its \0 to \9 filled in.
func appendGroups(b *strings.Builder, repl, v string, m []int) {
	for i := 0; i < len(repl); i++ {
		if repl[i] != '\\' || i+1 == len(repl) {
			b.WriteByte(repl[i])
			continue
		}
		i++
		g := int(repl[i]) - '0'
		switch {
		case g < 0 || g > 9:
			b.WriteByte(repl[i])
		case 2*g+1 < len(m) && m[2*g] >= 0:
			b.WriteString(v[m[2*g]:m[2*g+1]])
		}
	}
}

// reSplit is re.split(v, pattern, flags): the list of what stands between
// matches; an empty list for nil.
func reSplit(L *lua.LState) int {
	v, re, _, ok := reArgs(L, "split", 3)
	r := runOf(L)
	t := r.st.base.NewTable()
	if ok {
		for _, s := range re.Split(v, maxItems) {
			r.charge(L, 32)
			t.Append(lua.LString(s))
		}
	}
	L.Push(t)
	return 1
}

// reEscape is re.escape(v): v as a pattern that matches just it.
func reEscape(L *lua.LState) int {
	if L.Get(1) == lua.LNil {
		L.Push(lua.LNil)
		return 1
	}
	return build(L, regexp.QuoteMeta(textOf(L, L.Get(1), "re.escape: argument 1")))
}
