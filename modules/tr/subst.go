package tr

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

func reFunctions() []modules.Function {
	doc := "The value with a substitution applied; unchanged when nothing matches."
	spec := modules.Spec{Name: "re.subst", OpenSIPS: "{re.subst}", Doc: doc, TopLevel: true,
		Outputs: []modules.OutputDoc{{Name: "value", Kind: modules.KindString, Doc: "the result"}}}
	expr := strArg("expr", "/pattern/replacement/flags with any separator: POSIX extended; \\1 to \\9 are groups, \\0 is the match; flags i (ignore case), g (all matches), s (lines do not end a match)")
	return []modules.Function{modules.FN(spec, []modules.Arg{subject(), expr}, substitute)}
}

func substitute(cfg *config, _ *api.Ctx, a *modules.Args) modules.Ret {
	if a.V[0].IsNil() {
		return modules.Output(modules.Nil())
	}
	s, err := ParseSubst(a.V[1].Text())
	if err != nil {
		return modules.Misuse(fmt.Errorf("argument \"expr\": %w", err))
	}
	re, err := cfg.patterns.Get(s.Pattern, s.Flags)
	if err != nil {
		return modules.Misuse(fmt.Errorf("argument \"expr\": %w", err))
	}
	return modules.Output(modules.String(s.Apply(re, a.V[0].Text())))
}

// Subst is a parsed substitution expression.
type Subst struct {
	Pattern string
	Flags   posix.Flags
	Replace string // with \0 to \9
	All     bool
}

// ParseSubst reads "/pattern/replacement/flags". The first byte separates; in
// both parts a backslash before it makes it plain.
func ParseSubst(expr string) (s Subst, err error) {
	if len(expr) < 3 {
		return s, errors.New("wants the form /pattern/replacement/flags")
	}
	sep := expr[0]
	pattern, rest, ok1 := cutEscaped(expr[1:], sep)
	replace, flags, ok2 := cutEscaped(rest, sep)
	if !ok1 || !ok2 || pattern == "" {
		return s, fmt.Errorf("%q wants the form /pattern/replacement/flags", expr)
	}
	s = Subst{Pattern: pattern, Replace: replace, Flags: posix.Newline}
	for _, f := range flags {
		switch f {
		case 'i':
			s.Flags |= posix.IgnoreCase
		case 's':
			s.Flags &^= posix.Newline
		case 'g':
			s.All = true
		default:
			return s, fmt.Errorf("%q has the unknown flag %q; i, g and s are known", expr, f)
		}
	}
	return s, nil
}

// cutEscaped cuts at the first sep without a backslash before it, and takes
// the backslash from those that have one.
func cutEscaped(s string, sep byte) (before, after string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == sep:
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] != sep {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), "", false
}

// Apply replaces the first match of re in v, or all of them.
func (s *Subst) Apply(re *regexp.Regexp, v string) string {
	n := 1
	if s.All {
		n = -1
	}
	found := re.FindAllStringSubmatchIndex(v, n)
	if found == nil {
		return v
	}
	var b strings.Builder
	last := 0
	for _, m := range found {
		b.WriteString(v[last:m[0]])
		s.expand(&b, v, m)
		last = m[1]
	}
	b.WriteString(v[last:])
	return b.String()
}

// expand writes the replacement for the match m.
func (s *Subst) expand(b *strings.Builder, v string, m []int) {
	for i := 0; i < len(s.Replace); i++ {
		c := s.Replace[i]
		if c != '\\' || i+1 == len(s.Replace) {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = s.Replace[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		default:
			if c < '0' || c > '9' {
				b.WriteByte(c)
			} else if g := 2 * int(c-'0'); g < len(m) && m[g] >= 0 {
				b.WriteString(v[m[g]:m[g+1]])
			}
		}
	}
}
