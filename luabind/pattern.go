package luabind

import (
	"errors"
	"strings"
)

// Lua's patterns, as string.find and its kin use them, with a bound on steps:
// a backtracking pattern cannot hold a worker up.

// maxPatternSteps is how many single comparisons one call may take (about
// 10 ms), besides patternStepsPerByte for each byte searched; maxPatternDepth how deep it may recurse; maxCaptures is Lua's own.
const (
	maxPatternSteps     = 1000000
	patternStepsPerByte = 4
	maxPatternDepth     = 200
	maxCaptures         = 32
)

const (
	capUnfinished = -1
	capPosition   = -2
)

var (
	errPatternSteps    = errors.New("pattern takes too many steps on this string")
	errPatternDepth    = errors.New("pattern is too complex")
	errPatternCaptures = errors.New("pattern has more than 32 captures")
	errPatternPercent  = errors.New("malformed pattern (ends with '%')")
	errPatternBracket  = errors.New("malformed pattern (missing ']')")
	errPatternCapture  = errors.New("invalid pattern capture")
	errPatternIndex    = errors.New("invalid capture index")
	errPatternUnclosed = errors.New("unfinished capture")
	errPatternBalance  = errors.New("missing arguments to '%b'")
	errPatternFrontier = errors.New("missing '[' after '%f' in pattern")
)

type capture struct{ start, length int }

// matcher matches one pattern against one string.
type matcher struct {
	src, pat string
	level    int
	captures [maxCaptures]capture
	steps    int
	depth    int
	err      error
}

func (m *matcher) fail(err error) int {
	if m.err == nil {
		m.err = err
	}
	return -1
}

// at tries the pattern at position s; -1 or where the match ends.
func (m *matcher) at(s int) int {
	m.level = 0
	p := 0
	if strings.HasPrefix(m.pat, "^") {
		p = 1
	}
	return m.match(s, p)
}

func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxPatternDepth {
		return m.fail(errPatternDepth)
	}
	defer func() { m.depth-- }()
	for p < len(m.pat) && m.err == nil {
		if m.steps++; m.steps > maxPatternSteps+patternStepsPerByte*len(m.src) {
			return m.fail(errPatternSteps)
		}
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.startCapture(s, p+2, capPosition)
			}
			return m.startCapture(s, p+1, capUnfinished)
		case ')':
			return m.endCapture(s, p+1)
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		case '%':
			if p+1 >= len(m.pat) {
				return m.fail(errPatternPercent)
			}
			switch c := m.pat[p+1]; {
			case c == 'b':
				if s = m.balance(s, p+2); s < 0 {
					return -1
				}
				p += 4
				continue
			case c == 'f':
				end, ok := m.frontier(s, p+2)
				if !ok {
					return -1
				}
				p = end
				continue
			case c >= '0' && c <= '9':
				if s = m.backReference(s, c); s < 0 {
					return -1
				}
				p += 2
				continue
			}
		}
		end := m.classEnd(p)
		if end < 0 {
			return -1
		}
		quantifier := byte(0)
		if end < len(m.pat) {
			quantifier = m.pat[end]
		}
		switch quantifier {
		case '?':
			if m.single(s, p, end) {
				if r := m.match(s+1, end+1); r >= 0 || m.err != nil {
					return r
				}
			}
			p = end + 1
		case '*':
			return m.maxExpand(s, p, end, 0)
		case '+':
			return m.maxExpand(s, p, end, 1)
		case '-':
			return m.minExpand(s, p, end)
		default:
			if !m.single(s, p, end) {
				return -1
			}
			s, p = s+1, end
		}
	}
	if m.err != nil {
		return -1
	}
	return s
}

// classEnd is where the single-character class at p ends.
func (m *matcher) classEnd(p int) int {
	c := m.pat[p]
	p++
	switch c {
	case '%':
		if p >= len(m.pat) {
			return m.fail(errPatternPercent)
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.pat) || m.pat[p] != ']'; first = false {
			if p >= len(m.pat) {
				return m.fail(errPatternBracket)
			}
			if m.pat[p] == '%' {
				p++
			}
			p++
		}
		return p + 1
	}
	return p
}

func (m *matcher) single(s, p, end int) bool {
	if m.steps++; m.steps > maxPatternSteps+patternStepsPerByte*len(m.src) {
		m.fail(errPatternSteps)
		return false
	}
	if s >= len(m.src) {
		return false
	}
	c := m.src[s]
	switch m.pat[p] {
	case '.':
		return true
	case '%':
		return classMatches(c, m.pat[p+1])
	case '[':
		return m.setMatches(c, p, end-1)
	}
	return m.pat[p] == c
}

// setMatches tells whether c is in the set from p to its closing bracket.
func (m *matcher) setMatches(c byte, p, closing int) bool {
	in := true
	p++
	if m.pat[p] == '^' {
		in = false
		p++
	}
	for ; p < closing; p++ {
		switch {
		case m.pat[p] == '%' && p+1 < closing:
			p++
			if classMatches(c, m.pat[p]) {
				return in
			}
		case p+2 < closing && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return in
			}
			p += 2
		case m.pat[p] == c:
			return in
		}
	}
	return !in
}

// classMatches is %a, %d and so on, in the C locale; capitals are complements.
func classMatches(c, class byte) bool {
	var in bool
	switch class | 0x20 {
	case 'a':
		in = isAlpha(c)
	case 'c':
		in = c < 32 || c == 127
	case 'd':
		in = c >= '0' && c <= '9'
	case 'l':
		in = c >= 'a' && c <= 'z'
	case 'p':
		in = c > 32 && c < 127 && !isAlpha(c) && (c < '0' || c > '9')
	case 's':
		in = c == ' ' || c >= 9 && c <= 13
	case 'u':
		in = c >= 'A' && c <= 'Z'
	case 'w':
		in = isAlpha(c) || c >= '0' && c <= '9'
	case 'x':
		in = c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
	case 'z':
		in = c == 0
	default:
		return class == c
	}
	if !isAlpha(class) {
		return class == c
	}
	return in != (class >= 'A' && class <= 'Z')
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (m *matcher) maxExpand(s, p, end, least int) int {
	n := 0
	for m.single(s+n, p, end) {
		n++
	}
	for ; n >= least && m.err == nil; n-- {
		if r := m.match(s+n, end+1); r >= 0 {
			return r
		}
	}
	return -1
}

func (m *matcher) minExpand(s, p, end int) int {
	for m.err == nil {
		if r := m.match(s, end+1); r >= 0 {
			return r
		}
		if !m.single(s, p, end) {
			return -1
		}
		s++
	}
	return -1
}

func (m *matcher) startCapture(s, p, what int) int {
	if m.level >= maxCaptures {
		return m.fail(errPatternCaptures)
	}
	m.captures[m.level] = capture{s, what}
	m.level++
	r := m.match(s, p)
	if r < 0 {
		m.level--
	}
	return r
}

func (m *matcher) endCapture(s, p int) int {
	l := -1
	for i := m.level - 1; i >= 0; i-- {
		if m.captures[i].length == capUnfinished {
			l = i
			break
		}
	}
	if l < 0 {
		return m.fail(errPatternCapture)
	}
	m.captures[l].length = s - m.captures[l].start
	r := m.match(s, p)
	if r < 0 {
		m.captures[l].length = capUnfinished
	}
	return r
}

func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		return m.fail(errPatternBalance)
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	open, closing, depth := m.pat[p], m.pat[p+1], 1
	for i := s + 1; i < len(m.src); i++ {
		if m.steps++; m.steps > maxPatternSteps+patternStepsPerByte*len(m.src) {
			return m.fail(errPatternSteps)
		}
		switch m.src[i] {
		case closing:
			if depth--; depth == 0 {
				return i + 1
			}
		case open:
			depth++
		}
	}
	return -1
}

// frontier is %f[set]: the place where the set begins.
func (m *matcher) frontier(s, p int) (end int, ok bool) {
	if p >= len(m.pat) || m.pat[p] != '[' {
		m.fail(errPatternFrontier)
		return 0, false
	}
	if end = m.classEnd(p); end < 0 {
		return 0, false
	}
	var before, here byte
	if s > 0 {
		before = m.src[s-1]
	}
	if s < len(m.src) {
		here = m.src[s]
	}
	return end, !m.setMatches(before, p, end-1) && m.setMatches(here, p, end-1)
}

func (m *matcher) backReference(s int, digit byte) int {
	l := int(digit) - '1'
	if l < 0 || l >= m.level || m.captures[l].length == capUnfinished || m.captures[l].length == capPosition {
		return m.fail(errPatternIndex)
	}
	c := m.captures[l]
	if m.steps += c.length; m.steps > maxPatternSteps+patternStepsPerByte*len(m.src) {
		return m.fail(errPatternSteps)
	}
	if strings.HasPrefix(m.src[s:], m.src[c.start:c.start+c.length]) {
		return s + c.length
	}
	return -1
}

// find is the first match from position from on: its ends, from 0. ok is
// false when there is none or m.err is set.
func (m *matcher) find(from int) (start, end int, ok bool) {
	anchored := strings.HasPrefix(m.pat, "^")
	for s := from; s <= len(m.src); s++ {
		if e := m.at(s); e >= 0 {
			return s, e, m.finished()
		}
		if anchored || m.err != nil {
			break
		}
	}
	return 0, 0, false
}

// finished checks that no capture was left open.
func (m *matcher) finished() bool {
	for i := range m.level {
		if m.captures[i].length == capUnfinished {
			m.fail(errPatternUnclosed)
			return false
		}
	}
	return true
}
