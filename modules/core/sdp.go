package core

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// sdpFields are $sdp and its views by filter. A filter is prefix[index], of
// lines, behind a slash of the line's words, and for streams of media before:
// "a=rtpmap[1]", "m=audio/[1]", "video[0]/a=fmtp:115/bitrate=". A slash that
// belongs to a prefix is written \/.
func sdpFields() []modules.Field {
	sdp := field("sdp", "$sdp", modules.KindString, "The SDP body; nil when the body is none. Assigning replaces the body, nil removes it.", func(c *api.Ctx) modules.Value {
		if _, err := readSDP(c); err != nil {
			return modules.Nil()
		}
		return modules.Bytes(c.Msg.Body())
	})
	view := func(name, opensips, doc string, depth int, in func(*sip.SDP, filter) (sip.Section, int, bool)) modules.Field {
		f := keyed(name, opensips, modules.KindString, doc, func(c *api.Ctx, key modules.Value) modules.Value {
			return readFiltered(c, key.Text(), depth, in)
		})
		return modules.SetKeyBy(f, func(_ *config, c *api.Ctx, key, v modules.Value) error {
			return writeFiltered(c, key.Text(), v, depth, in)
		})
	}
	return []modules.Field{
		writable(sdp, setSDP),
		view("sdp_line", "$sdp.line", "A line of the SDP body by filter: msg.sdp_line[\"a=ptime\"]; nil removes it.", 1, allLines),
		view("sdp_session", "$sdp.session", "A line of the session part of the SDP body by filter; nil removes it.", 1, sessionLines),
		view("sdp_stream", "$sdp.stream", "A line of a stream of the SDP body by filter: msg.sdp_stream[\"video[1]/a=fmtp\"]; without a line filter the whole stream. nil removes it.", 2, streamLines),
		keyed("sdp_stream_idx", "$sdp.stream.idx", modules.KindNumber, "Index from 0 of the stream that a filter finds; nil when none.", streamIndex),
	}
}

var errNoSDP = errors.New("the message has no SDP body")

func readSDP(c *api.Ctx) (*sip.SDP, error) {
	body := c.Msg.Body()
	if len(body) == 0 {
		return nil, errNoSDP
	}
	return sip.ParseSDP(body)
}

func setSDP(c *api.Ctx, v modules.Value) error {
	if v.IsNil() || v.Text() == "" {
		return c.Msg.SetBody([]byte{}, nil)
	}
	body := []byte(v.Text())
	if _, err := sip.ParseSDP(body); err != nil {
		return err
	}
	return c.Msg.SetBody([]byte("application/sdp"), body)
}

// filter is one step: what begins with prefix, the index-th of it.
type filter struct {
	prefix string
	index  int
}

// parseFilters cuts a key at its slashes into at most max steps.
func parseFilters(key string, max int) ([]filter, error) {
	var steps []filter
	var b strings.Builder
	add := func() error {
		f, err := parseFilter(b.String())
		steps = append(steps, f)
		b.Reset()
		return err
	}
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == '\\' && i+1 < len(key) && key[i+1] == '/':
			i++
			b.WriteByte('/')
		case key[i] == '/':
			if err := add(); err != nil {
				return nil, err
			}
		default:
			b.WriteByte(key[i])
		}
	}
	if err := add(); err != nil {
		return nil, err
	}
	if len(steps) > max {
		return nil, fmt.Errorf("filter %q has %d steps; at most %d are known here (write a slash of a prefix as \\/)", key, len(steps), max)
	}
	return steps, nil
}

func parseFilter(s string) (filter, error) {
	s = strings.TrimSpace(s)
	prefix, rest, ok := strings.Cut(s, "[")
	if !ok {
		return filter{prefix: s}, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	if err != nil || n < 0 || !strings.HasSuffix(rest, "]") {
		return filter{}, fmt.Errorf("filter %q: the index must be a number from 0 in brackets", s)
	}
	return filter{prefix: prefix, index: n}, nil
}

func allLines(s *sip.SDP, _ filter) (sip.Section, int, bool)     { return s.All(), 0, true }
func sessionLines(s *sip.SDP, _ filter) (sip.Section, int, bool) { return s.Session(), 0, true }

// streamLines finds the index-th stream whose media begin with the prefix, and
// its number among all.
func streamLines(s *sip.SDP, f filter) (sip.Section, int, bool) {
	for n, in := range s.Streams() {
		media := strings.TrimPrefix(string(s.LineAt(in.First)), "m=")
		if len(media) < len(f.prefix) || !sip.EqualFold(media[:len(f.prefix)], f.prefix) {
			continue
		}
		if f.index == 0 {
			return in, n, true
		}
		f.index--
	}
	return sip.Section{}, 0, false
}

// found is where a filter led: a line, and a word of it when asked for.
type found struct {
	sdp   *sip.SDP
	in    sip.Section
	whole bool // the section itself is meant
	line  int
	text  string
	word  *filter
}

// search follows a key; depth is how many steps lead to a line. found is nil
// when it leads nowhere.
func search(c *api.Ctx, key string, depth int, in func(*sip.SDP, filter) (sip.Section, int, bool)) (*found, error) {
	steps, err := parseFilters(key, depth+1)
	if err != nil {
		return nil, err
	}
	s, err := readSDP(c)
	if err != nil {
		return nil, err
	}
	section, _, ok := in(s, steps[0])
	if !ok {
		return nil, nil
	}
	at := &found{sdp: s, in: section}
	if len(steps) < depth {
		at.whole = true
		return at, nil
	}
	step := steps[depth-1]
	i, text := s.LineIn(section, step.prefix, step.index)
	if text == nil {
		return nil, nil
	}
	at.line, at.text = i, string(text)
	if len(steps) > depth {
		at.word = &steps[depth]
	}
	return at, nil
}

// find gives the bounds in text of the word that w leads to, "x=" not counted.
func (w *filter) find(text string) (start, end int, ok bool) {
	skip := w.index
	for i := min(2, len(text)); i < len(text); i = end {
		for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
			i++
		}
		for end = i; end < len(text) && text[end] != ' ' && text[end] != '\t'; {
			end++
		}
		word := text[i:end]
		if word == "" || len(word) < len(w.prefix) || !sip.EqualFold(word[:len(w.prefix)], w.prefix) {
			continue
		}
		if skip == 0 {
			return i, end, true
		}
		skip--
	}
	return 0, 0, false
}

func readFiltered(c *api.Ctx, key string, depth int, in func(*sip.SDP, filter) (sip.Section, int, bool)) modules.Value {
	at, err := search(c, key, depth, in)
	switch {
	case err != nil || at == nil:
		return modules.Nil()
	case at.whole:
		var b strings.Builder
		for i := at.in.First; i < at.in.End; i++ {
			b.Write(at.sdp.LineAt(i))
			b.WriteString("\r\n")
		}
		return modules.String(b.String())
	case at.word == nil:
		return modules.String(at.text)
	}
	start, end, ok := at.word.find(at.text)
	if !ok {
		return modules.Nil()
	}
	return modules.String(at.text[start:end])
}

// writeFiltered replaces what a filter leads to: a line, or what follows the
// prefix in a word. What is not there cannot be written, but removed.
func writeFiltered(c *api.Ctx, key string, v modules.Value, depth int, in func(*sip.SDP, filter) (sip.Section, int, bool)) error {
	at, err := search(c, key, depth, in)
	if err != nil {
		return err
	}
	if at == nil {
		if v.IsNil() {
			return nil
		}
		return fmt.Errorf("filter %q leads to no line of the SDP body", key)
	}
	if err := at.write(v); err != nil {
		return fmt.Errorf("filter %q: %w", key, err)
	}
	return c.Msg.SetBody(nil, at.sdp.Append(nil))
}

func (at *found) write(v modules.Value) error {
	switch {
	case at.whole && v.IsNil():
		at.sdp.DeleteSection(at.in)
		return nil
	case at.whole:
		return errors.New("a whole stream can be removed but not written; name a line behind a slash")
	case at.word == nil && v.IsNil():
		at.sdp.DeleteLine(at.line)
		return nil
	case at.word == nil:
		return at.sdp.SetLine(at.line, []byte(strings.TrimRight(v.Text(), "\r\n")))
	case v.IsNil():
		return errors.New("a word can be replaced but not removed; write the whole line")
	}
	start, end, ok := at.word.find(at.text)
	if !ok {
		return errors.New("the line has no such word")
	}
	start += len(at.word.prefix)
	return at.sdp.SetLine(at.line, []byte(at.text[:start]+v.Text()+at.text[end:]))
}

func streamIndex(c *api.Ctx, key modules.Value) modules.Value {
	steps, err := parseFilters(key.Text(), 3)
	if err != nil {
		return modules.Nil()
	}
	s, err := readSDP(c)
	if err != nil {
		return modules.Nil()
	}
	_, n, ok := streamLines(s, steps[0])
	if !ok {
		return modules.Nil()
	}
	return modules.Int(n)
}
