package textops

import (
	"errors"
	"fmt"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// expr is a parsed "/re/replacement/flags".
type expr struct {
	pattern     string
	replacement string
	flags       posix.Flags
	all         bool
}

var errSubst = errors.New(`a substitution is "/re/replacement/flags"`)

// parseSubst reads a substitution. Its first byte is the delimiter, which a
// backslash takes into the pattern or the replacement.
func parseSubst(s string) (e expr, err error) {
	e.flags = posix.Newline
	if len(s) < 3 {
		return e, errSubst
	}
	delim := s[0]
	if delim == '\\' || delim == '\n' || delim >= 0x80 {
		return e, errSubst
	}
	var ok bool
	if e.pattern, s, ok = untilDelim(s[1:], delim); !ok || e.pattern == "" {
		return e, errSubst
	}
	if e.replacement, s, ok = untilDelim(s, delim); !ok {
		return e, errSubst
	}
	for _, f := range s {
		switch f {
		case 'i':
			e.flags |= posix.IgnoreCase
		case 'g':
			e.all = true
		case 's':
			e.flags &^= posix.Newline
		default:
			return e, fmt.Errorf("substitution: unknown flag %q; there are i, g and s", f)
		}
	}
	return e, nil
}

// untilDelim cuts s at the first delimiter that no backslash stands before, and
// takes the backslash off those that have one.
func untilDelim(s string, delim byte) (part, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == delim:
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] != delim {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// substitution makes the change that a "/re/replacement/flags" means.
func (m *config) substitution(s string) (change, error) {
	e, err := parseSubst(s)
	if err != nil {
		return nil, err
	}
	re, err := m.patterns.Get(e.pattern, e.flags)
	if err != nil {
		return nil, err
	}
	n := 1
	if e.all {
		n = -1
	}
	return func(in []byte) ([]byte, bool) {
		return rewrite(in, re.FindAllSubmatchIndex(in, n), func(dst []byte, match []int) []byte {
			return expand(dst, e.replacement, in, match)
		})
	}, nil
}

// expand appends the replacement: \0 to \9 are the match and its groups, \n,
// \r and \t the control characters, another character behind \ itself.
func expand(dst []byte, replacement string, in []byte, match []int) []byte {
	for i := 0; i < len(replacement); i++ {
		c := replacement[i]
		if c != '\\' || i+1 == len(replacement) {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = replacement[i]; {
		case c >= '0' && c <= '9':
			if g := 2 * int(c-'0'); g+1 < len(match) && match[g] >= 0 {
				dst = append(dst, in[match[g]:match[g+1]]...)
			}
		case c == 'n':
			dst = append(dst, '\n')
		case c == 'r':
			dst = append(dst, '\r')
		case c == 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// subst is subst.
func (m *config) subst(c *api.Ctx, s string) modules.Ret {
	f, err := m.substitution(s)
	if err != nil {
		return modules.Misuse(err)
	}
	return onMessage(c, f)
}

// substBody is subst_body.
func (m *config) substBody(c *api.Ctx, s string) modules.Ret {
	f, err := m.substitution(s)
	if err != nil {
		return modules.Misuse(err)
	}
	return onBody(c, f)
}

// substURI is subst_uri.
func (m *config) substURI(c *api.Ctx, s string) modules.Ret {
	f, err := m.substitution(s)
	if err != nil {
		return modules.Misuse(err)
	}
	changed, ok := f(c.Msg.RequestURI())
	if !ok {
		return noMatch
	}
	return setURI(c, changed)
}

// substUser is subst_user. A URI without user has an empty one.
func (m *config) substUser(c *api.Ctx, s string) modules.Ret {
	f, err := m.substitution(s)
	if err != nil {
		return modules.Misuse(err)
	}
	u, err := c.Msg.RURI()
	if err != nil {
		return broken(err)
	}
	changed, ok := f(u.User)
	if !ok {
		return noMatch
	}
	// The user begins behind the scheme; what follows it stays.
	behind := u.Raw[len(u.SchemeName)+1+len(u.User):]
	uri := string(u.SchemeName) + ":" + string(changed)
	switch {
	case u.User == nil && len(changed) > 0:
		uri += "@"
	case u.User != nil && len(changed) == 0 && u.Password == nil && u.IsSIP():
		behind = behind[1:]
	}
	return setURI(c, []byte(uri+string(behind)))
}

// setURI makes uri the request URI when it is one.
func setURI(c *api.Ctx, uri []byte) modules.Ret {
	var u sip.URI
	if err := sip.ParseURI(uri, &u); err != nil {
		return broken(err)
	}
	if err := c.Msg.SetRequestURI(uri); err != nil {
		return broken(err)
	}
	return modules.Yes()
}
