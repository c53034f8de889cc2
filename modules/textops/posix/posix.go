// Package posix compiles POSIX extended regular expressions the way OpenSIPS's
// functions do: matched anywhere in the subject, leftmost and longest, in time
// linear in the subject's length. Beyond POSIX it knows what the GNU library
// adds (\w \W \s \S \b \B \< \>) and \d and \D; it has no back-references.
package posix

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// Flags change how a pattern matches.
type Flags uint8

// The flags. OpenSIPS compiles a function's pattern argument with both.
const (
	// IgnoreCase compares letters without case (REG_ICASE).
	IgnoreCase Flags = 1 << iota
	// Newline ends lines: ^ and $ match at each line, neither "." nor a
	// negated class matches a line feed (REG_NEWLINE).
	Newline
)

// MaxLength is the longest pattern taken, in bytes.
const MaxLength = 4096

// Compile translates pattern.
func Compile(pattern string, f Flags) (*regexp.Regexp, error) {
	if len(pattern) > MaxLength {
		return nil, fmt.Errorf("pattern is %d bytes long, at most %d are taken", len(pattern), MaxLength)
	}
	translated, err := translate(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	mode := syntax.PerlX
	if f&IgnoreCase != 0 {
		mode |= syntax.FoldCase
	}
	if f&Newline == 0 {
		mode |= syntax.OneLine | syntax.ClassNL | syntax.DotNL
	}
	tree, err := syntax.Parse(translated, mode)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re, err := regexp.Compile(tree.String())
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re.Longest()
	return re, nil
}

// translate rewrites what POSIX writes otherwise than Go: a backslash in a
// bracket expression is itself, word boundaries are \< and \>, and "(?" is no
// group option.
func translate(p string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '[':
			n := bracketEnd(p, i)
			if n < 0 {
				return "", fmt.Errorf("[ at byte %d never closes", i)
			}
			b.WriteString(strings.ReplaceAll(p[i:n], `\`, `\\`))
			i = n - 1
		case '\\':
			if i+1 == len(p) {
				return "", fmt.Errorf(`a pattern cannot end in \`)
			}
			i++
			if err := escape(&b, p[i]); err != nil {
				return "", err
			}
		case '(':
			if i+1 < len(p) && p[i+1] == '?' {
				return "", fmt.Errorf("(? at byte %d: POSIX groups have no options", i)
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// escape writes what stands behind a backslash outside brackets.
func escape(b *strings.Builder, c byte) error {
	switch {
	case c == '<' || c == '>':
		b.WriteString(`\b`)
	case strings.IndexByte("wWsSbBdD", c) >= 0:
		b.WriteByte('\\')
		b.WriteByte(c)
	case c >= '1' && c <= '9':
		return fmt.Errorf(`back-reference \%c is not known`, c)
	case c >= 0x80:
		b.WriteByte(c)
	default:
		b.WriteString(regexp.QuoteMeta(string(c)))
	}
	return nil
}

// bracketEnd returns the index behind the bracket expression at p[i], -1 when
// it does not close. A ] that comes first, and classes like [:digit:], are part
// of it.
func bracketEnd(p string, i int) int {
	i++
	if i < len(p) && p[i] == '^' {
		i++
	}
	if i < len(p) && p[i] == ']' {
		i++
	}
	for i < len(p) {
		if p[i] == ']' {
			return i + 1
		}
		if p[i] == '[' && i+1 < len(p) && p[i+1] == ':' {
			n := strings.Index(p[i:], ":]")
			if n < 0 {
				return -1
			}
			i += n + 2
			continue
		}
		i++
	}
	return -1
}

// cacheSize bounds a Cache; a script has far fewer constant patterns.
const cacheSize = 1024

// Cache keeps compiled patterns. The zero value is ready; it may be used from
// several goroutines at once. When full it begins anew, so that patterns made
// from message contents cannot grow it without bound.
type Cache struct {
	mu sync.RWMutex
	m  map[cacheKey]*regexp.Regexp
}

type cacheKey struct {
	pattern string
	flags   Flags
}

// Get compiles pattern, or returns it as compiled before.
func (c *Cache) Get(pattern string, f Flags) (*regexp.Regexp, error) {
	key := cacheKey{pattern, f}
	c.mu.RLock()
	re := c.m[key]
	c.mu.RUnlock()
	if re != nil {
		return re, nil
	}
	re, err := Compile(pattern, f)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= cacheSize {
		c.m = make(map[cacheKey]*regexp.Regexp)
	}
	c.m[key] = re
	return re, nil
}

// Arg is Get with the flags of a function's pattern argument: letters compare
// without case, lines end at line feeds.
func (c *Cache) Arg(pattern string) (*regexp.Regexp, error) {
	return c.Get(pattern, IgnoreCase|Newline)
}
