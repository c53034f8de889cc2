package luabind

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// maxSource is the largest script file, maxReadFile the largest file that
// core.read_file reads, in bytes.
const (
	maxSource   = 4 << 20
	maxReadFile = 16 << 20
)

// source is one file of the script, compiled.
type source struct {
	name  string // path below the script's folder
	lines []string
	proto *lua.FunctionProto
	names map[int]*lineNames
}

func (s *source) line(n int) string {
	if s == nil || n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// naming says what was nil in the errors where gopher-lua does not, and gives
// the word to point at.
func (s *source) naming(line int, text string) (string, string) {
	n := s.names[line]
	if n == nil {
		n = &lineNames{}
	}
	switch {
	case strings.HasPrefix(text, "attempt to call a non-function object"):
		if len(n.calls) == 1 {
			return "attempt to call a nil value (" + n.calls[0] + ")", n.hints[0]
		}
		if len(n.calls) > 1 {
			return "attempt to call a nil value (one of " + strings.Join(n.calls, ", ") + ")", n.hints[0]
		}
	case strings.HasPrefix(text, "attempt to index a non-table object("):
		rest := strings.TrimPrefix(text, "attempt to index a non-table object(")
		kind, key, ok := strings.Cut(rest, ") with key '")
		if !ok {
			break
		}
		key = strings.TrimSuffix(key, "'")
		text = "attempt to index a " + kind + " value with key '" + key + "'"
		if obj := n.indexed[key]; obj != "" {
			text = "attempt to index a " + kind + " value (" + obj + ") with key '" + key + "'"
		}
		return text, key
	case strings.HasPrefix(text, "attempt to concatenate "):
		value, advice, _ := strings.Cut(text, ";")
		value, hint := n.named(value, opConcat)
		return value + ";" + advice, hint
	case strings.HasPrefix(text, "attempt to compare "):
		return n.named(text, opCompare)
	case strings.HasPrefix(text, "cannot perform "):
		return n.named("attempt to perform arithmetic on "+culprit(text)+" value", opArithmetic)
	case text == "__unm undefined":
		return n.named("attempt to perform arithmetic on a value that is no number", opArithmetic)
	case text == "__len undefined":
		return n.named("attempt to get the length of a value that has none", opLength)
	}
	return text, quotedWord(text)
}

// culprit is the type that "cannot perform add operation between number and
// nil" is about.
func culprit(text string) string {
	_, types, _ := strings.Cut(text, " between ")
	a, b, _ := strings.Cut(types, " and ")
	if a == "number" {
		a = b
	}
	return "a " + a
}

// quotedWord is a word of the message that may stand in the line.
func quotedWord(text string) string {
	if i := strings.IndexAny(text, ": "); i > 0 {
		j := strings.LastIndexByte(text[:i], '.')
		if j > 0 && j+1 < i || text[i] == ':' {
			return text[j+1 : i]
		}
	}
	for _, q := range []string{"'", `"`} {
		if _, rest, ok := strings.Cut(text, q); ok {
			if w, _, ok := strings.Cut(rest, q); ok && w != "" {
				return w
			}
		}
	}
	return ""
}

// column is where hint stands in line as a word, else where the line begins.
func column(line, hint string) int {
	if hint != "" {
		for from := 0; ; {
			i := strings.Index(line[from:], hint)
			if i < 0 {
				break
			}
			i += from
			end := i + len(hint)
			if (i == 0 || !isNameByte(line[i-1])) && (end == len(line) || !isNameByte(line[end])) {
				return i + 1
			}
			from = i + 1
		}
	}
	if t := strings.TrimLeft(line, " \t"); t != "" {
		return len(line) - len(t) + 1
	}
	return 0
}

// openFolder is where scripts are read from, and the script's name in it.
// close lets the folder go.
func openFolder(o *Options) (dir fs.FS, name string, close func(), err error) {
	if o.FS != nil {
		return o.FS, o.Path, func() {}, nil
	}
	root, err := os.OpenRoot(filepath.Dir(o.Path))
	if err != nil {
		return nil, "", nil, err
	}
	return root.FS(), filepath.Base(o.Path), func() { root.Close() }, nil
}

// readBelow reads a file below the script's folder, of at most limit bytes.
func readBelow(dir fs.FS, name string, limit int64) ([]byte, error) {
	clean := path.Clean(filepath.ToSlash(name))
	if !fs.ValidPath(clean) {
		return nil, fmt.Errorf("%q is not below the script's folder", name)
	}
	info, err := fs.Stat(dir, clean)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, pathless(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%q has %d bytes, more than the %d allowed", name, info.Size(), limit)
	}
	b, err := fs.ReadFile(dir, clean)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, pathless(err))
	}
	return b, nil
}

// pathless drops the path that fs errors repeat.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// compile reads, checks, weaves and compiles one file. What is wrong with it
// goes to p.findings; nil when it cannot run.
func (p *Program) compile(name string) *source {
	if s := p.sources[name]; s != nil {
		return s
	}
	b, err := readBelow(p.dir, name, maxSource)
	if err != nil {
		p.find(Finding{File: name, Text: "cannot read the script: " + err.Error()})
		return nil
	}
	return p.compileText(name, b)
}

func (p *Program) compileText(name string, b []byte) *source {
	s := &source{name: name, lines: strings.Split(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")}
	p.sources[name] = s
	if bytes.HasPrefix(b, []byte("\x1bLua")) {
		p.find(Finding{File: name, Text: "is Lua bytecode; only source is taken"})
		return nil
	}
	if bytes.HasPrefix(b, []byte("#")) { // "#!/usr/bin/luasips", as a comment of the same length in lines
		b = append([]byte("--"), b...)
	}
	sc := scanSource(name, string(b))
	for _, f := range sc.findings {
		p.find(f)
	}
	tree, err := parse.Parse(bytes.NewReader(b), name)
	if err != nil {
		if !sc.broken {
			p.find(syntaxFinding(s, err, sc))
		}
		return nil
	}
	s.names = namesByLine(tree)
	p.check(s, tree)
	weave(tree)
	proto, err := lua.Compile(tree, name)
	if err != nil {
		p.find(compileFinding(name, err))
		return nil
	}
	s.proto = proto
	return s
}

// syntaxFinding says more than "syntax error": the place, the block that was
// left open, and what Lua writes instead of another language's sign.
func syntaxFinding(s *source, err error, sc *scanner) Finding {
	f := Finding{File: s.name, Text: err.Error()}
	var pe *parse.Error
	if !errors.As(err, &pe) {
		return f
	}
	f.Line, f.Column = pe.Pos.Line, max(1, pe.Pos.Column-len(pe.Token)+1)
	switch {
	case pe.Pos.Line == parse.EOF:
		f.Line, f.Column = len(s.lines), 0
		f.Text = "the file ends too early"
		if u := sc.unclosed(); u != "" {
			f.Text += ": " + u
		}
		return f
	case pe.Token == "":
		f.Text = pe.Message
	case pe.Message == "parse error":
		f.Text = fmt.Sprintf("an expression alone is no statement, near '%s': a call needs (...), an assignment =", pe.Token)
	default:
		f.Text = fmt.Sprintf("%s near '%s'", pe.Message, pe.Token)
	}
	if h := s.foreign(f.Line, f.Column); h != "" {
		f.Text += "; " + h
	} else if u := sc.unclosed(); u != "" && sc.suspect != nil {
		f.Text += "; perhaps " + u
	}
	return f
}

// foreignSigns are signs of other languages, opensips.cfg's among them, with
// what Lua writes. The longer ones come first.
var foreignSigns = []struct{ sign, lua string }{
	{"!=", "Lua writes ~= for !="}, {"=~", "a pattern is matched by re.match(v, pattern, flags)"}, {"!", "Lua writes not for !"}, {"&&", "Lua writes and for &&"}, {"||", "Lua writes or for ||"},
	{"//", "a comment begins with --"}, {"/*", "a comment begins with --, one of several lines stands in --[[ and ]]"},
	{"++", "Lua writes x = x + 1"}, {"+=", "Lua writes x = x + y"}, {"-=", "Lua writes x = x - y"}, {"->", "Lua writes a.b for a->b"},
	{"?", "Lua writes c and a or b for c ? a : b"}, {"$", "a pseudo-variable is a field of the message, as msg.ru for $ru"},
	{"#", "a comment begins with --"}, {"&", "bit.band(a, b) is Lua's a & b"}, {"|", "bit.bor(a, b) is Lua's a | b"},
}

// foreignBlock is an if, while or for of other languages.
var foreignBlock = regexp.MustCompile(`^\s*(if|while|for)\b.*\)\s*\{`)

// foreign tells what Lua writes for another language's sign at a place, where
// the parser stopped at the sign or one byte into it; "" when there is none.
func (s *source) foreign(line, col int) string {
	text := s.line(line)
	for _, at := range []int{col - 1, col - 2} {
		for _, f := range foreignSigns {
			if at >= 0 && at < len(text) && strings.HasPrefix(text[at:], f.sign) && (at == col-1 || len(f.sign) > 1) {
				return f.lua
			}
		}
	}
	for n := line; n > 0 && n > line-8; n-- {
		if foreignBlock.MatchString(s.line(n)) {
			return fmt.Sprintf("the block of line %d begins with then or do in Lua, and ends with end", n)
		}
	}
	return ""
}

// compileFinding reads the line out of the compiler's error.
func compileFinding(name string, err error) Finding {
	f := Finding{File: name, Text: err.Error()}
	var ce *lua.CompileError
	if errors.As(err, &ce) {
		f.Line, f.Text = ce.Line, ce.Message
	}
	return f
}
