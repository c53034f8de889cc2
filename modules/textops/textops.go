package textops

import (
	"bytes"
	"regexp"
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// change turns a text into another; ok is false when nothing matched.
type change func(text []byte) (changed []byte, ok bool)

var noMatch = modules.No(-1, "no_match", "nothing matches")

// with runs f with the compiled pattern of an argument.
func (m *config) with(pattern string, flags posix.Flags, f func(*regexp.Regexp) modules.Ret) modules.Ret {
	re, err := m.patterns.Get(pattern, flags)
	if err != nil {
		return modules.Misuse(err)
	}
	return f(re)
}

const argFlags = posix.IgnoreCase | posix.Newline

// search is search.
func (m *config) search(c *api.Ctx, pattern string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret {
		return modules.YesIf(re.Match(c.Msg.Serialise(nil)), "no_match", "nothing matches")
	})
}

// searchBody is search_body.
func (m *config) searchBody(c *api.Ctx, pattern string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret {
		return modules.YesIf(len(c.Msg.Body()) > 0 && re.Match(c.Msg.Body()), "no_match", "nothing matches")
	})
}

// searchAppend is search_append.
func (m *config) searchAppend(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onMessage(c, appending(re, text)) })
}

// searchAppendBody is search_append_body.
func (m *config) searchAppendBody(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onBody(c, appending(re, text)) })
}

// replace is replace.
func (m *config) replace(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onMessage(c, replacing(re, text, 1)) })
}

// replaceBody is replace_body.
func (m *config) replaceBody(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onBody(c, replacing(re, text, 1)) })
}

// replaceAll is replace_all.
func (m *config) replaceAll(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onMessage(c, replacing(re, text, -1)) })
}

// replaceBodyAll is replace_body_all.
func (m *config) replaceBodyAll(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, argFlags, func(re *regexp.Regexp) modules.Ret { return onBody(c, replacing(re, text, -1)) })
}

// replaceBodyAtOnce is replace_body_atonce.
func (m *config) replaceBodyAtOnce(c *api.Ctx, pattern, text string) modules.Ret {
	return m.with(pattern, posix.IgnoreCase, func(re *regexp.Regexp) modules.Ret { return onBody(c, replacing(re, text, -1)) })
}

// appending puts text behind the first match.
func appending(re *regexp.Regexp, text string) change {
	return func(in []byte) ([]byte, bool) {
		at := re.FindIndex(in)
		if at == nil {
			return nil, false
		}
		return bytes.Join([][]byte{in[:at[1]], []byte(text), in[at[1]:]}, nil), true
	}
}

// replacing puts text in place of the first n matches, of all when n is -1.
// Empty matches are none.
func replacing(re *regexp.Regexp, text string, n int) change {
	return func(in []byte) ([]byte, bool) {
		return rewrite(in, re.FindAllSubmatchIndex(in, n), func(dst []byte, _ []int) []byte { return append(dst, text...) })
	}
}

// rewrite puts what with appends in place of each match; empty ones are passed
// over.
func rewrite(in []byte, matches [][]int, with func(dst []byte, match []int) []byte) (out []byte, ok bool) {
	done := 0
	for _, m := range matches {
		if m[0] == m[1] {
			continue
		}
		out = append(out, in[done:m[0]]...)
		out = with(out, m)
		done, ok = m[1], true
	}
	return append(out, in[done:]...), ok
}

// onBody changes the body; Content-Length follows.
func onBody(c *api.Ctx, f change) modules.Ret {
	body := c.Msg.Body()
	if len(body) == 0 {
		return noMatch
	}
	changed, ok := f(body)
	if !ok {
		return noMatch
	}
	if err := c.Msg.SetBody(nil, changed); err != nil {
		return broken(err)
	}
	return modules.Yes()
}

func broken(err error) modules.Ret {
	return modules.No(-1, "broken", "the change leaves no proper message: "+err.Error())
}

// onMessage changes all behind the first line. What would not parse is refused;
// else the difference becomes edits of the message.
func onMessage(c *api.Ctx, f change) modules.Ret {
	text := c.Msg.Serialise(nil)
	first := bytes.IndexByte(text, '\n') + 1
	changed, ok := f(text[first:])
	if !ok {
		return noMatch
	}
	changed = fixLength(append(text[:first:first], changed...))
	lim := sip.DefaultLimits()
	var m sip.Message
	if err := m.ParseDatagram(changed, &lim); err != nil {
		return broken(err)
	}
	if err := become(c.Msg, &m); err != nil {
		return broken(err)
	}
	return modules.Yes()
}

// fixLength writes the length of the body into the Content-Length headers of a
// message.
func fixLength(msg []byte) []byte {
	end := bytes.Index(msg, []byte("\r\n\r\n"))
	if end < 0 {
		return msg
	}
	head, rest := msg[:end+2], msg[end+2:]
	out := make([]byte, 0, len(msg)+8)
	for line := range bytes.Lines(head) {
		name, _, ok := bytes.Cut(line, []byte{':'})
		if !ok || sip.LookupHeader(bytes.TrimRight(name, " \t")) != sip.HdrContentLength {
			out = append(out, line...)
			continue
		}
		out = append(append(out, name...), ": "...)
		out = strconv.AppendInt(out, int64(len(rest)-2), 10)
		out = append(out, "\r\n"...)
	}
	return append(out, rest...)
}
