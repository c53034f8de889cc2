package luabind

import "fmt"

// Find is the pattern matcher by itself: the ends of the first match from 0 and
// its captures, "" when there is none.
func Find(s, pattern string) (string, error) {
	m := matcher{src: s, pat: pattern}
	start, end, ok := m.find(0)
	if m.err != nil || !ok {
		return "", m.err
	}
	out := fmt.Sprintf("%d-%d", start+1, end)
	for _, c := range m.captures[:m.level] {
		if c.length == capPosition {
			out += fmt.Sprintf(" @%d", c.start+1)
		} else {
			out += fmt.Sprintf(" %q", s[c.start:c.start+c.length])
		}
	}
	return out, nil
}

// ParseFormat parses an xlog format; the literal text and the names it holds.
func ParseFormat(s string) (literal string, names int, err error) {
	f := parseFormat(s)
	for _, p := range f.parts {
		literal += p.text
		if p.name != "" {
			names++
		}
	}
	return literal, names, f.err
}

// Distance is the edit distance that suggestions go by.
func Distance(a, b string, limit int) int { return distance(a, b, limit) }
