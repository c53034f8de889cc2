package luabind

import (
	"fmt"
	"strings"
)

// scanner walks over Lua source by token, as far as finding what the parser
// does not tell needs: unknown escapes in string literals, and which block is
// left open.
type scanner struct {
	src       string
	pos       int
	line      int
	lineStart int
	file      string
	findings  []Finding
	broken    bool // a string or comment has no end

	blocks  []block
	suspect *block // first block whose end stands elsewhere than it
	pending int    // while and for whose do has not come
}

// block is an open function, if, do, while, for or repeat.
type block struct {
	word   string
	line   int
	indent int // columns of white space before the line it begins on
}

func scanSource(file, src string) *scanner {
	s := &scanner{src: src, file: file, line: 1}
	for s.pos < len(s.src) {
		s.token()
	}
	return s
}

func (s *scanner) token() {
	c := s.src[s.pos]
	switch {
	case c == '\n':
		s.newline()
	case c == '-' && strings.HasPrefix(s.src[s.pos:], "--"):
		s.comment()
	case c == '"' || c == '\'':
		s.quoted(c)
	case c == '[' && s.longLevel() >= 0:
		s.long(s.longLevel())
	case isNameByte(c) && (c < '0' || c > '9'):
		s.word()
	case c >= '0' && c <= '9':
		for s.pos < len(s.src) && (isNameByte(s.src[s.pos]) || s.src[s.pos] == '.') {
			s.pos++
		}
	default:
		s.pos++
	}
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (s *scanner) newline() {
	s.pos++
	s.line++
	s.lineStart = s.pos
}

// longLevel is the number of = of a long bracket that opens here; -1 for none.
func (s *scanner) longLevel() int {
	i := s.pos + 1
	for i < len(s.src) && s.src[i] == '=' {
		i++
	}
	if i < len(s.src) && s.src[i] == '[' {
		return i - s.pos - 1
	}
	return -1
}

func (s *scanner) long(level int) {
	end := "]" + strings.Repeat("=", level) + "]"
	i := strings.Index(s.src[s.pos:], end)
	stop := len(s.src)
	if i >= 0 {
		stop = s.pos + i + len(end)
	} else {
		s.unfinished(s.pos, "a string or comment in long brackets has no end: "+end+" is missing")
	}
	for s.pos < stop {
		if s.src[s.pos] == '\n' {
			s.newline()
		} else {
			s.pos++
		}
	}
}

func (s *scanner) comment() {
	s.pos += 2
	if s.pos < len(s.src) && s.src[s.pos] == '[' {
		if l := s.longLevel(); l >= 0 {
			s.long(l)
			return
		}
	}
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		s.pos++
	}
}

func (s *scanner) unfinished(pos int, text string) {
	s.find(pos, text)
	s.broken = true
}

func (s *scanner) quoted(q byte) {
	start := s.pos
	s.pos++
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case q:
			s.pos++
			return
		case '\n':
			s.unfinished(start, "the string has no end in this line: "+string(q)+" is missing")
			return
		case '\\':
			s.escape()
		default:
			s.pos++
		}
	}
	s.unfinished(start, "the string has no end: "+string(q)+" is missing")
}

func (s *scanner) escape() {
	if s.pos+1 >= len(s.src) {
		s.pos++
		return
	}
	c := s.src[s.pos+1]
	switch {
	case strings.IndexByte("abfnrtv\\\"'", c) >= 0:
		s.pos += 2
	case c == '\n':
		s.pos++
		s.newline()
	case c == '\r':
		s.pos += 2
	case c >= '0' && c <= '9':
		n := 0
		s.pos++
		for i := 0; i < 3 && s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9'; i++ {
			n = n*10 + int(s.src[s.pos]-'0')
			s.pos++
		}
		if n > 255 {
			s.find(s.pos-4, fmt.Sprintf(`escape \%d is more than a byte holds`, n))
		}
	default:
		s.find(s.pos, fmt.Sprintf(`unknown escape \%c in a string; a pattern is best written as [=[...]=], a backslash as \\`, c))
		s.pos += 2
	}
}

func (s *scanner) find(pos int, text string) {
	s.findings = append(s.findings, Finding{File: s.file, Line: s.line, Column: pos - s.lineStart + 1, Text: text})
}

func (s *scanner) word() {
	start := s.pos
	for s.pos < len(s.src) && isNameByte(s.src[s.pos]) {
		s.pos++
	}
	switch w := s.src[start:s.pos]; w {
	case "function", "if", "repeat":
		s.open(w)
	case "while", "for":
		s.open(w)
		s.pending++
	case "do":
		if s.pending > 0 {
			s.pending--
			return
		}
		s.open(w)
	case "end", "until":
		s.close(start)
	}
}

func (s *scanner) open(w string) {
	s.blocks = append(s.blocks, block{word: w, line: s.line, indent: s.indent()})
}

func (s *scanner) close(start int) {
	n := len(s.blocks)
	if n == 0 {
		return
	}
	b := s.blocks[n-1]
	s.blocks = s.blocks[:n-1]
	first := strings.TrimSpace(s.src[s.lineStart:start]) == ""
	if first && s.suspect == nil && b.line != s.line && start-s.lineStart != b.indent {
		s.suspect = &b
	}
}

func (s *scanner) indent() int {
	i := s.lineStart
	for i < len(s.src) && (s.src[i] == ' ' || s.src[i] == '\t') {
		i++
	}
	return i - s.lineStart
}

// unclosed tells which block is probably left open; "" when none is.
func (s *scanner) unclosed() string {
	if len(s.blocks) == 0 {
		return ""
	}
	b := s.blocks[len(s.blocks)-1]
	if s.suspect != nil {
		b = *s.suspect
	}
	word := "end"
	if b.word == "repeat" {
		word = "until"
	}
	return fmt.Sprintf("%q is missing for the %q of line %d", word, b.word, b.line)
}
