package sip

import (
	"bytes"
	"errors"
	"iter"
	"slices"
	"strconv"
)

// Errors of SDP.
var (
	ErrSDP       = errors.New("body is no SDP: it must begin with v= (RFC 8866 §5.1)")
	ErrSDPLine   = errors.New("SDP line must be x=text without CR, LF or NUL")
	ErrSDPStream = errors.New("no such stream, or its m= line is not media port proto formats")
	ErrSDPMany   = errors.New("SDP has more lines than are taken (4,096)")
)

const (
	maxSDPLines = 4096
	// maxFormats bounds the formats of a stream whose codecs are told apart; RTP
	// has 128.
	maxFormats = 256
)

// SDP is a session description as a list of lines (RFC 8866). Lines that no one
// edits come out byte for byte, with the line end they had. It holds, and does
// not copy, the body it was read from; new text is copied.
type SDP struct {
	lines []sdpLine
	eol   []byte // for new lines: what the first line ends in
}

type sdpLine struct{ text, eol []byte }

// Section is a stretch of lines, from First up to but without End: the session
// part, or one stream. It is valid until lines are inserted or deleted.
type Section struct{ First, End int }

// ParseSDP reads a body. It takes line ends CRLF, LF and, on the last line, none,
// and keeps lines it does not understand; only what does not begin with v= is
// refused, and what has too many lines.
func ParseSDP(body []byte) (*SDP, error) {
	if !bytes.HasPrefix(body, []byte("v=")) {
		return nil, ErrSDP
	}
	n := bytes.Count(body, []byte{'\n'}) + 1
	if n > maxSDPLines {
		return nil, ErrSDPMany
	}
	s := &SDP{lines: make([]sdpLine, 0, n), eol: []byte("\r\n")}
	for len(body) > 0 {
		end, eol := len(body), 0
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			end, eol = i, 1
			if i > 0 && body[i-1] == '\r' {
				end, eol = i-1, 2
			}
		}
		s.lines = append(s.lines, sdpLine{body[:end:end], body[end : end+eol : end+eol]})
		body = body[end+eol:]
	}
	if len(s.lines[0].eol) == 1 {
		s.eol = s.lines[0].eol
	}
	return s, nil
}

// Append appends the description as edited.
func (s *SDP) Append(dst []byte) []byte {
	for i, l := range s.lines {
		dst = append(dst, l.text...)
		if len(l.eol) == 0 && i+1 < len(s.lines) {
			dst = append(dst, s.eol...)
			continue
		}
		dst = append(dst, l.eol...)
	}
	return dst
}

// NumLines returns the number of lines.
func (s *SDP) NumLines() int { return len(s.lines) }

// LineAt returns line i without its end, nil when there is none.
func (s *SDP) LineAt(i int) []byte {
	if i < 0 || i >= len(s.lines) {
		return nil
	}
	return s.lines[i].text
}

// All is the section of all lines.
func (s *SDP) All() Section { return Section{0, len(s.lines)} }

// Session is the section before the first stream.
func (s *SDP) Session() Section { return Section{0, s.nextMedia(0)} }

func (s *SDP) nextMedia(i int) int {
	for i < len(s.lines) && !bytes.HasPrefix(s.lines[i].text, []byte("m=")) {
		i++
	}
	return i
}

// Streams returns the sections of the media streams, each beginning with its m=
// line.
func (s *SDP) Streams() []Section {
	var out []Section
	for i := s.nextMedia(0); i < len(s.lines); {
		end := s.nextMedia(i + 1)
		out = append(out, Section{i, end})
		i = end
	}
	return out
}

// Stream returns the section of stream n, counted from 0.
func (s *SDP) Stream(n int) (Section, bool) {
	streams := s.Streams()
	if n < 0 || n >= len(streams) {
		return Section{}, false
	}
	return streams[n], true
}

// Line returns the n-th line that begins with prefix (such as "a=rtpmap:"),
// counted from 0 over the whole description, and its index; -1 when there is
// none.
func (s *SDP) Line(prefix string, n int) (i int, text []byte) { return s.LineIn(s.All(), prefix, n) }

// LineIn is Line within a section.
func (s *SDP) LineIn(in Section, prefix string, n int) (i int, text []byte) {
	for i = max(in.First, 0); i < min(in.End, len(s.lines)); i++ {
		t := s.lines[i].text
		if len(t) < len(prefix) || string(t[:len(prefix)]) != prefix {
			continue
		}
		if n == 0 {
			return i, t
		}
		n--
	}
	return -1, nil
}

func checkSDPLine(text []byte) error {
	if len(text) < 2 || text[1] != '=' || breaksLine(text) {
		return ErrSDPLine
	}
	return nil
}

// SetLine replaces the text of line i; its line end stays.
func (s *SDP) SetLine(i int, text []byte) error {
	if i < 0 || i >= len(s.lines) {
		return ErrSDPLine
	}
	if err := checkSDPLine(text); err != nil {
		return err
	}
	s.lines[i].text = bytes.Clone(text)
	return nil
}

// InsertLine puts a line before line i; NumLines appends it.
func (s *SDP) InsertLine(i int, text []byte) error {
	if i < 0 || i > len(s.lines) || len(s.lines) >= maxSDPLines {
		return ErrSDPLine
	}
	if err := checkSDPLine(text); err != nil {
		return err
	}
	s.lines = slices.Insert(s.lines, i, sdpLine{bytes.Clone(text), s.eol})
	return nil
}

// DeleteLine removes line i; there is nothing to do when it is not there.
func (s *SDP) DeleteLine(i int) {
	if i >= 0 && i < len(s.lines) {
		s.lines = slices.Delete(s.lines, i, i+1)
	}
}

// DeleteSection removes the lines of a section, such as a whole stream.
func (s *SDP) DeleteSection(in Section) {
	from, to := max(in.First, 0), min(in.End, len(s.lines))
	if from < to {
		s.lines = slices.Delete(s.lines, from, to)
	}
}

// Media is an m= line in parts (RFC 8866 §5.14).
type Media struct {
	Type    []byte // audio, video, ...
	Port    []byte // with its "/count" when there is one
	Proto   []byte // RTP/AVP, ...
	Formats []byte // payload types, with the spaces between them
}

// ParseMedia reads an m= line.
func ParseMedia(line []byte) (Media, error) {
	if !bytes.HasPrefix(line, []byte("m=")) {
		return Media{}, ErrSDPStream
	}
	var m Media
	rest := line[2:]
	for _, field := range [...]*[]byte{&m.Type, &m.Port, &m.Proto} {
		*field, rest = sdpWord(rest)
		if len(*field) == 0 {
			return Media{}, ErrSDPStream
		}
	}
	m.Formats = bytes.TrimSpace(rest)
	return m, nil
}

// sdpWord cuts the first word of b.
func sdpWord(b []byte) (word, rest []byte) {
	b = bytes.TrimLeft(b, " \t")
	if i := bytes.IndexAny(b, " \t"); i >= 0 {
		return b[:i], b[i:]
	}
	return b, nil
}

// Codec is one format of an RTP stream.
type Codec struct {
	Format []byte // payload type as written
	Name   []byte // nil when no a=rtpmap names it and it is not static
	Clock  []byte // rate in Hz, as written
	Params []byte // of a=fmtp, nil when there is none
}

// Codecs walks the formats of a stream in the order of its m= line, with what
// a=rtpmap and a=fmtp say of them; static payload types are known by RFC 3551 §6.
// A stream of more than 256 formats has no codecs, and is left alone by edits.
func (s *SDP) Codecs(in Section) iter.Seq[Codec] {
	return func(yield func(Codec) bool) {
		m, err := ParseMedia(s.LineAt(in.First))
		if err != nil || countWords(m.Formats) > maxFormats {
			return
		}
		maps, params := s.attributes(in, "a=rtpmap:"), s.attributes(in, "a=fmtp:")
		for rest := m.Formats; len(rest) > 0; {
			var c Codec
			if c.Format, rest = sdpWord(rest); len(c.Format) == 0 {
				return
			}
			c.describe(maps, params)
			if !yield(c) {
				return
			}
		}
	}
}

func (c *Codec) describe(maps, params map[string][]byte) {
	if v, ok := maps[string(c.Format)]; ok {
		c.Name, v = cutByte(v, '/')
		c.Clock, _ = cutByte(v, '/')
	} else if i := slices.IndexFunc(staticCodecs[:], func(k staticCodec) bool {
		return k.format == string(c.Format)
	}); i >= 0 {
		c.Name, c.Clock = []byte(staticCodecs[i].name), []byte(staticCodecs[i].clock)
	}
	c.Params = params[string(c.Format)]
}

// countWords counts the words of b, one more than maxFormats at most.
func countWords(b []byte) (n int) {
	for len(b) > 0 && n <= maxFormats {
		var w []byte
		if w, b = sdpWord(b); len(w) > 0 {
			n++
		}
	}
	return n
}

// attributes reads the lines "prefix format value" of a section: the values by
// format, the first of each, nil when there is none.
func (s *SDP) attributes(in Section, prefix string) (values map[string][]byte) {
	for i := max(in.First, 0); i < min(in.End, len(s.lines)); i++ {
		t := s.lines[i].text
		if len(t) < len(prefix) || string(t[:len(prefix)]) != prefix {
			continue
		}
		f, v := sdpWord(t[len(prefix):])
		if _, twice := values[string(f)]; twice {
			continue
		}
		if values == nil {
			values = make(map[string][]byte)
		}
		values[string(f)] = bytes.TrimSpace(v)
	}
	return values
}

type staticCodec struct{ format, name, clock string }

var staticCodecs = [...]staticCodec{
	{"0", "PCMU", "8000"}, {"3", "GSM", "8000"}, {"4", "G723", "8000"}, {"5", "DVI4", "8000"},
	{"6", "DVI4", "16000"}, {"7", "LPC", "8000"}, {"8", "PCMA", "8000"}, {"9", "G722", "8000"},
	{"10", "L16", "44100"}, {"11", "L16", "44100"}, {"12", "QCELP", "8000"}, {"13", "CN", "8000"},
	{"14", "MPA", "90000"}, {"15", "G728", "8000"}, {"16", "DVI4", "11025"}, {"17", "DVI4", "22050"},
	{"18", "G729", "8000"}, {"25", "CelB", "90000"}, {"26", "JPEG", "90000"}, {"28", "nv", "90000"},
	{"31", "H261", "90000"}, {"32", "MPV", "90000"}, {"33", "MP2T", "90000"}, {"34", "H263", "90000"},
}

// SetPort writes the port of a stream; 0 rejects it (RFC 3264 §6).
func (s *SDP) SetPort(in Section, port uint16) error {
	m, err := ParseMedia(s.LineAt(in.First))
	if err != nil {
		return err
	}
	s.setMedia(in, m, strconv.AppendUint(nil, uint64(port), 10), m.Formats)
	return nil
}

func (s *SDP) setMedia(in Section, m Media, port, formats []byte) {
	line := append([]byte("m="), m.Type...)
	line = append(append(line, ' '), port...)
	line = append(append(line, ' '), m.Proto...)
	line = append(append(line, ' '), formats...)
	s.lines[in.First].text = line
}

// DeleteCodecs removes the formats of a stream that match names, from the m= line
// and with their rtpmap, fmtp and rtcp-fb attributes, and returns how many there
// were. When none would be left the m= line keeps its formats and its port becomes
// 0, which rejects the stream (RFC 3264 §6). Sections are void when any were
// removed.
func (s *SDP) DeleteCodecs(in Section, match func(Codec) bool) int {
	m, err := ParseMedia(s.LineAt(in.First))
	if err != nil {
		return 0
	}
	var keep, gone [][]byte
	for c := range s.Codecs(in) {
		if match(c) {
			gone = append(gone, c.Format)
		} else {
			keep = append(keep, c.Format)
		}
	}
	switch {
	case len(gone) == 0:
		return 0
	case len(keep) == 0:
		s.setMedia(in, m, []byte{'0'}, m.Formats)
		return len(gone)
	}
	s.setMedia(in, m, m.Port, bytes.Join(keep, []byte{' '}))
	s.dropAttributes(in, gone)
	return len(gone)
}

func (s *SDP) dropAttributes(in Section, formats [][]byte) {
	kept := s.lines[:in.First]
	for i := in.First; i < len(s.lines); i++ {
		if i < in.End && ofFormats(s.lines[i].text, formats) {
			continue
		}
		kept = append(kept, s.lines[i])
	}
	s.lines = kept
}

// ofFormats tells whether an attribute line speaks of one of the formats.
func ofFormats(line []byte, formats [][]byte) bool {
	for _, prefix := range [...]string{"a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"} {
		if len(line) <= len(prefix) || string(line[:len(prefix)]) != prefix {
			continue
		}
		f, _ := sdpWord(line[len(prefix):])
		return slices.ContainsFunc(formats, func(x []byte) bool { return bytes.Equal(x, f) })
	}
	return false
}

// MoveCodecs moves the formats that match names to the front of the m= line, or
// with up false to its back, in the order they had, and returns how many.
func (s *SDP) MoveCodecs(in Section, up bool, match func(Codec) bool) int {
	m, err := ParseMedia(s.LineAt(in.First))
	if err != nil {
		return 0
	}
	var moved, others [][]byte
	for c := range s.Codecs(in) {
		if match(c) {
			moved = append(moved, c.Format)
		} else {
			others = append(others, c.Format)
		}
	}
	if len(moved) == 0 {
		return 0
	}
	first, second := others, moved
	if up {
		first, second = moved, others
	}
	s.setMedia(in, m, m.Port, bytes.Join(append(first, second...), []byte{' '}))
	return len(moved)
}
