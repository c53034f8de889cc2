package luabind

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// maxString is the longest string that a helper builds, in bytes.
const maxString = 16 << 20

// openStrings replaces the string functions that are unbounded or wrong.
func (st *State) openStrings() {
	t := st.base.G.Global.RawGetString("string").(*lua.LTable)
	for name, fn := range map[string]lua.LGFunction{"rep": strRep, "find": strFind, "match": strMatch,
		"gmatch": strGmatch, "gsub": strGsub, "format": strFormat, "upper": strUpper, "lower": strLower,
		"reverse": strReverse, "char": strChar} {
		st.set(t, name, fn)
	}
	t.RawSetString("gfind", lua.LNil)
	t.RawSetString("dump", lua.LNil)
	t.RawSetString("__index", lua.LNil)
	mt := st.base.NewTable()
	mt.RawSetString("__index", t)
	mt.RawSetString("__metatable", lua.LString("string"))
	st.base.SetMetatable(lua.LString(""), mt)
}

// build counts and pushes a string that a helper made.
func build(L *lua.LState, s string) int {
	runOf(L).charge(L, len(s)+16)
	L.Push(lua.LString(s))
	return 1
}

// wovenConcat is what .. of a script becomes. It joins from the right, as the
// operator does, so that __concat sees what it would see.
func wovenConcat(L *lua.LState) int {
	n := L.GetTop()
	total := 0
	plain := true
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			total += len(v)
		case lua.LNumber:
			total += 24
		default:
			plain = false
		}
	}
	r := runOf(L)
	if !plain {
		return r.concatSlow(L, n)
	}
	r.room(L, total)
	var buf [256]byte
	out := buf[:0]
	if total > len(buf) {
		out = make([]byte, 0, total)
	}
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			out = append(out, v...)
		case lua.LNumber:
			out = append(out, v.String()...)
		}
	}
	r.charge(L, len(out)+16)
	L.Push(lua.LString(out))
	return 1
}

// concatSlow joins pairwise from the right with __concat.
func (r *run) concatSlow(L *lua.LState, n int) int {
	acc := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(acc) {
			s := left.String() + acc.String()
			r.charge(L, len(s)+16)
			acc = lua.LString(s)
			continue
		}
		mf := L.GetMetaField(left, "__concat")
		if mf == lua.LNil {
			mf = L.GetMetaField(acc, "__concat")
		}
		if mf == lua.LNil {
			bad := left
			if lua.LVCanConvToString(left) {
				bad = acc
			}
			L.RaiseError("attempt to concatenate a %s value; cat() takes nil as empty", luaType(bad))
		}
		L.Push(mf)
		L.Push(left)
		L.Push(acc)
		L.Call(2, 1)
		acc = L.Get(-1)
		L.Pop(1)
	}
	L.Push(acc)
	return 1
}

func strRep(L *lua.LState) int {
	s, n := L.CheckString(1), L.CheckInt(2)
	if n <= 0 || s == "" {
		L.Push(lua.LString(""))
		return 1
	}
	if n > maxString/len(s) {
		L.RaiseError("string.rep: the result would have more than %d bytes", maxString)
	}
	runOf(L).room(L, n*len(s))
	return build(L, strings.Repeat(s, n))
}

func strUpper(L *lua.LState) int { return build(L, mapASCII(L.CheckString(1), 'a', 'z')) }
func strLower(L *lua.LState) int { return build(L, mapASCII(L.CheckString(1), 'A', 'Z')) }

// mapASCII changes the case of letters from low to high; other bytes stay.
func mapASCII(s string, low, high byte) string {
	b := []byte(s)
	for i, c := range b {
		if c >= low && c <= high {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}

func strReverse(L *lua.LState) int {
	s := L.CheckString(1)
	b := make([]byte, len(s))
	for i := range s {
		b[len(s)-1-i] = s[i]
	}
	return build(L, string(b))
}

func strChar(L *lua.LState) int {
	b := make([]byte, L.GetTop())
	for i := range b {
		n := L.CheckInt(i + 1)
		if n < 0 || n > 255 {
			L.ArgError(i+1, "must be from 0 to 255")
		}
		b[i] = byte(n)
	}
	return build(L, string(b))
}

// startIndex is Lua's init argument as an offset from 0.
func startIndex(L *lua.LState, at, length int) int {
	i := L.OptInt(at, 1)
	switch {
	case i > 0:
		i--
	case i < 0:
		i = max(0, length+i)
	}
	return i
}

func raisePattern(L *lua.LState, what string, err error) {
	if err != nil {
		L.RaiseError("string.%s: %s", what, err.Error())
	}
}

func strFind(L *lua.LState) int {
	s, p := L.CheckString(1), L.CheckString(2)
	from := startIndex(L, 3, len(s))
	if from > len(s) {
		L.Push(lua.LNil)
		return 1
	}
	if lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(p, "^$*+?.([%-") {
		i := strings.Index(s[from:], p)
		if i < 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(from + i + 1))
		L.Push(lua.LNumber(from + i + len(p)))
		return 2
	}
	m := matcher{src: s, pat: p}
	start, end, ok := m.find(from)
	raisePattern(L, "find", m.err)
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(start + 1))
	L.Push(lua.LNumber(end))
	return 2 + m.push(L, "find")
}

// push pushes the captures.
func (m *matcher) push(L *lua.LState, what string) int {
	n := 0
	for i := range m.level {
		L.Push(m.capture(L, what, i))
		n++
	}
	return n
}

func (m *matcher) capture(L *lua.LState, what string, i int) lua.LValue {
	c := m.captures[i]
	if c.length == capPosition {
		return lua.LNumber(c.start + 1)
	}
	runOf(L).charge(L, 16)
	return lua.LString(m.src[c.start : c.start+c.length])
}

// whole pushes the captures, or the whole match when there are none.
func (m *matcher) whole(L *lua.LState, what string, start, end int) int {
	if m.level > 0 {
		return m.push(L, what)
	}
	L.Push(lua.LString(m.src[start:end]))
	return 1
}

func strMatch(L *lua.LState) int {
	s, p := L.CheckString(1), L.CheckString(2)
	from := startIndex(L, 3, len(s))
	m := matcher{src: s, pat: p}
	if from <= len(s) {
		start, end, ok := m.find(from)
		raisePattern(L, "match", m.err)
		if ok {
			return m.whole(L, "match", start, end)
		}
	}
	L.Push(lua.LNil)
	return 1
}

func strGmatch(L *lua.LState) int {
	s, p := L.CheckString(1), L.CheckString(2)
	at, steps := 0, 0
	L.Push(runOf(L).st.base.NewFunction(func(L *lua.LState) int {
		// Lua 5.1's gmatch takes ^ literally: it would match at every place.
		for at <= len(s) {
			m := matcher{src: s, pat: p, steps: steps}
			start := at
			end := m.match(start, 0)
			steps = m.steps
			raisePattern(L, "gmatch", m.err)
			if end < 0 {
				at++
				continue
			}
			if !m.finished() {
				raisePattern(L, "gmatch", m.err)
			}
			at = end
			if end == start {
				at++
			}
			return m.whole(L, "gmatch", start, end)
		}
		L.Push(lua.LNil)
		return 1
	}))
	return 1
}

func strGsub(L *lua.LState) int {
	s, p := L.CheckString(1), L.CheckString(2)
	repl := L.Get(3)
	switch repl.Type() {
	case lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction:
	default:
		L.ArgError(3, "string, table or function expected, got "+luaType(repl))
	}
	limit := L.OptInt(4, math.MaxInt)
	r := runOf(L)
	var out []byte
	m := matcher{src: s, pat: p}
	anchored := strings.HasPrefix(p, "^")
	n, at := 0, 0
	for n < limit {
		end := m.at(at)
		if end >= 0 && m.err == nil {
			m.finished()
		}
		raisePattern(L, "gsub", m.err)
		if end >= 0 {
			n++
			out = append(out, m.replacement(L, repl, at, end)...)
			if len(out) > maxString {
				L.RaiseError("string.gsub: the result has more than %d bytes", maxString)
			}
			r.room(L, len(out))
		}
		switch {
		case end > at:
			at = end
		case at < len(s):
			out = append(out, s[at])
			at++
		default:
			at++
		}
		if at > len(s) || anchored {
			break
		}
	}
	if at < len(s) {
		out = append(out, s[at:]...)
	}
	build(L, string(out))
	L.Push(lua.LNumber(n))
	return 2
}

// replacement is what one match becomes.
func (m *matcher) replacement(L *lua.LState, repl lua.LValue, start, end int) string {
	whole := m.src[start:end]
	var v lua.LValue
	switch f := repl.(type) {
	case lua.LString:
		return m.template(L, string(f), whole)
	case lua.LNumber:
		return m.template(L, f.String(), whole)
	case *lua.LTable:
		key := lua.LValue(lua.LString(whole))
		if m.level > 0 {
			key = m.capture(L, "gsub", 0)
		}
		v = L.GetTable(f, key)
	case *lua.LFunction:
		L.Push(f)
		n := m.whole(L, "gsub", start, end)
		L.Call(n, 1)
		v = L.Get(-1)
		L.Pop(1)
	}
	switch x := v.(type) {
	case lua.LString:
		return string(x)
	case lua.LNumber:
		return x.String()
	}
	if lua.LVIsFalse(v) {
		return whole
	}
	L.RaiseError("string.gsub: invalid replacement value (%s)", article(luaType(v)))
	return ""
}

// template fills %0 to %9 in.
func (m *matcher) template(L *lua.LState, t, whole string) string {
	if !strings.Contains(t, "%") {
		return t
	}
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		if t[i] != '%' || i+1 == len(t) {
			b.WriteByte(t[i])
			continue
		}
		i++
		switch c := t[i]; {
		case c == '0' || c == '1' && m.level == 0:
			b.WriteString(whole)
		case c >= '1' && c <= '9':
			if int(c-'1') >= m.level {
				L.RaiseError("string.gsub: invalid capture index %%%c in the replacement", c)
			}
			b.WriteString(m.capture(L, "gsub", int(c-'1')).String())
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// strFormat is string.format with C's rules, bounded in width and precision.
func strFormat(L *lua.LState) int {
	f := L.CheckString(1)
	var b strings.Builder
	arg := 1
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			b.WriteByte(f[i])
			continue
		}
		i++
		if i < len(f) && f[i] == '%' {
			b.WriteByte('%')
			continue
		}
		start := i
		for i < len(f) && strings.IndexByte("-+ #0", f[i]) >= 0 {
			i++
		}
		for i < len(f) && (f[i] >= '0' && f[i] <= '9' || f[i] == '.') {
			i++
		}
		if i >= len(f) {
			L.RaiseError("string.format: the format ends within a %% specification")
		}
		spec := f[start:i]
		if len(spec) > 10 || !shortNumbers(spec) {
			L.RaiseError("string.format: width or precision of %%%s is more than 99", spec)
		}
		arg++
		b.WriteString(formatOne(L, spec, f[i], arg))
		runOf(L).room(L, b.Len())
	}
	return build(L, b.String())
}

// shortNumbers checks that width and precision have two digits at most.
func shortNumbers(spec string) bool {
	spec = strings.TrimLeft(spec, "-+ #0")
	w, p, _ := strings.Cut(spec, ".")
	return len(w) <= 2 && len(p) <= 2 && !strings.Contains(p, ".")
}

func formatOne(L *lua.LState, spec string, verb byte, arg int) string {
	switch verb {
	case 'd', 'i':
		return fmt.Sprintf("%"+spec+"d", int64(L.CheckNumber(arg)))
	case 'u':
		return fmt.Sprintf("%"+spec+"d", uint64(int64(L.CheckNumber(arg))))
	case 'c':
		return string([]byte{byte(L.CheckInt(arg))})
	case 'o', 'x', 'X':
		return fmt.Sprintf("%"+spec+string(verb), uint64(int64(L.CheckNumber(arg))))
	case 'e', 'E', 'f', 'F', 'g', 'G':
		n := float64(L.CheckNumber(arg))
		if (verb == 'g' || verb == 'G') && !strings.Contains(spec, ".") {
			spec += ".6"
		}
		return strings.Replace(strings.Replace(fmt.Sprintf("%"+spec+string(verb), n), "+Inf", "inf", 1), "NaN", "nan", 1)
	case 'q':
		return quoteLua(L.CheckString(arg))
	case 's':
		L.CheckAny(arg)
		s := L.ToStringMeta(L.Get(arg)).String()
		if spec == "" {
			return s
		}
		return padString(spec, s)
	}
	L.RaiseError("string.format: unknown conversion %%%s%c", spec, verb)
	return ""
}

// padString pads by bytes, as C does.
func padString(spec, s string) string {
	left := strings.Contains(spec, "-")
	w, p, hasP := strings.Cut(strings.TrimLeft(spec, "-+ #0"), ".")
	if n, err := strconv.Atoi(p); hasP && err == nil && n < len(s) {
		s = s[:n]
	} else if hasP && p == "" {
		s = ""
	}
	n, err := strconv.Atoi(w)
	if err != nil || n <= len(s) {
		return s
	}
	if left {
		return s + strings.Repeat(" ", n-len(s))
	}
	return strings.Repeat(" ", n-len(s)) + s
}

func quoteLua(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\r':
			b.WriteString(`\r`)
		case 0:
			b.WriteString(`\000`)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// parseNumber reads a number as Lua writes them; ok is false for other text.
func parseNumber(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		n, err := strconv.ParseUint(s[2:], 16, 64)
		return float64(n), err == nil
	}
	if strings.ContainsAny(s, "xXpPnN_") {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}
