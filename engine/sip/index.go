package sip

import "bytes"

// IsKeepAlive tells whether a datagram holds nothing but CRLFs or NULs, as
// clients send them to keep a NAT binding open (RFC 5626 §3.5.1); an empty one
// counts too.
func IsKeepAlive(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

// ParseDatagram reads the message in a datagram. Bytes behind Content-Length
// are dropped (RFC 3261 §18.3); a body shorter than that is an error, as is all
// that makes a message unfit to relay. lim may be nil for DefaultLimits. The
// error is a *ParseError; where its Respond is set the message is indexed far
// enough for AppendReply. A WebSocket message is read likewise (RFC 7118).
func (m *Message) ParseDatagram(b []byte, lim *Limits) error { return m.parse(b, lim, false) }

// ParseFrame reads exactly one message as Frame cut it from a stream, where
// Content-Length must be there and be right (RFC 3261 §18.3, §20.14).
func (m *Message) ParseFrame(b []byte, lim *Limits) error { return m.parse(b, lim, true) }

// parser carries one pass over a message. The first fault found is the one
// reported; the pass goes on where the lines behind it can still be told apart,
// so that an error response finds its headers.
type parser struct {
	m     *Message
	b     []byte
	lim   Limits
	err   *ParseError
	mute  bool // lines cannot be told apart: nothing of it may be echoed
	lines int  // CRLFs seen in the header section
}

func (p *parser) fail(code int, header, detail string) {
	if p.err == nil {
		p.err = &ParseError{Code: code, Reason: ReasonPhrase(code), Detail: detail, Header: header}
	}
}

func (m *Message) parse(b []byte, lim *Limits, frame bool) error {
	m.Reset()
	p := parser{m: m}
	if lim != nil {
		p.lim = *lim
	} else {
		p.lim = DefaultLimits()
	}
	for len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		b = b[2:]
	}
	if len(b) > p.lim.MaxSize {
		p.fail(513, "", "message is larger than the limit")
		p.mute = true
		b = b[:p.lim.MaxSize]
	}
	p.b, m.raw = b, b
	p.message(frame)
	if p.err == nil {
		return nil
	}
	p.err.Respond = !p.mute && m.answerable()
	return p.err
}

func (p *parser) message(frame bool) {
	if len(p.b) == 0 {
		p.fail(400, "", "message is empty")
		p.mute = true
		return
	}
	pos := p.startLine()
	if p.mute {
		return
	}
	p.m.hdrOff = uint32(pos)
	if !p.headers(pos) {
		return
	}
	p.controls()
	p.body(frame)
	p.m.validate(p)
}

// startLine reads request line or status line and returns the offset of the
// first header line.
func (p *parser) startLine() int {
	end := bytes.IndexByte(p.b, '\n')
	if end < 1 || p.b[end-1] != '\r' {
		p.mute = true
		p.fail(400, "", "start line does not end in CRLF")
		return 0
	}
	if end > p.lim.MaxLine {
		p.fail(414, "", "start line is longer than the limit")
	}
	p.lines = 1
	line := p.b[:end-1]
	p.m.start = Span{0, uint32(len(line))}
	if len(line) >= 4 && EqualFold(line[:4], "SIP/") {
		p.statusLine(line)
	} else {
		p.requestLine(line)
	}
	return end + 1
}

// requestLine reads Method SP Request-URI SP SIP-Version (RFC 3261 §7.1), with
// exactly one space at each place.
func (p *parser) requestLine(line []byte) {
	m := p.m
	m.request = true
	n := span(line, 0, clToken)
	if n == 0 || n == len(line) || line[n] != ' ' {
		p.mute = true
		p.fail(400, "", "request line does not begin with a method and one space")
		return
	}
	m.name = Span{0, uint32(n)}
	m.method = ParseMethod(line[:n])
	uri := n + 1
	end := span(line, uri, clURI)
	m.uri = Span{uint32(uri), uint32(end - uri)}
	if end == uri {
		p.fail(400, "", "request line has no Request-URI behind one space, or one in <> or quotes")
		return
	}
	if end == len(line) || line[end] != ' ' {
		p.fail(400, "", "request line has no SIP version, or Request-URI holds forbidden bytes")
		return
	}
	ver := line[end+1:]
	m.version = Span{uint32(end + 1), uint32(len(ver))}
	switch {
	case EqualFold(ver, "SIP/2.0"):
	case len(ver) > 4 && EqualFold(ver[:4], "SIP/") && span(ver, 4, clToken) == len(ver):
		p.fail(505, "", "SIP version is not SIP/2.0")
	default:
		p.fail(400, "", "request line does not end in SIP/2.0 behind one space")
	}
}

// statusLine reads SIP-Version SP Status-Code SP Reason-Phrase (RFC 3261 §7.2).
// The space before an empty reason may be missing.
func (p *parser) statusLine(line []byte) {
	m := p.m
	if len(line) < 11 || !EqualFold(line[:8], "SIP/2.0 ") || len(line) > 11 && line[11] != ' ' {
		p.fail(400, "", "status line is not SIP/2.0, a three-digit status and a reason")
		return
	}
	m.version = Span{0, 7}
	code, ok := parseUint(line[8:11], 699)
	if !ok || code < 100 {
		p.fail(400, "", "status is not a number from 100 to 699")
		return
	}
	m.status = uint16(code)
	reason := min(len(line), 12)
	m.reason = Span{uint32(reason), uint32(len(line) - reason)}
}

// headers indexes the header lines from pos on. It tells whether the header
// section ends in an empty line.
func (p *parser) headers(pos int) bool {
	m, b := p.m, p.b
	for {
		if pos+1 < len(b) && b[pos] == '\r' && b[pos+1] == '\n' {
			p.lines++
			m.bodyOff = uint32(pos + 2)
			return true
		}
		end, fault := lineEnd(b, pos, &p.lines)
		if fault != "" {
			p.mute = p.mute || end < 0
			m.bodyOff = uint32(len(b))
			p.fail(400, "", fault)
			if end < 0 {
				return false
			}
		}
		if end == len(b) {
			p.fail(400, "", "header section has no empty line behind it")
			p.line(pos, end)
			m.bodyOff = uint32(len(b))
			p.controls()
			m.validate(p)
			return false
		}
		p.line(pos, end)
		pos = end
	}
}

// Faults that make the line structure itself doubtful.
const (
	faultBareLF = "line ends in LF alone; CRLF is needed"
	faultCut    = "header line does not end in CRLF"
	faultBlank  = "folded line is blank, which some read as the end of the headers"
	faultHidden = "folded line reads as a Content-Length field"
)

const faultLookAlike = "another header's name differs from it in punctuation alone, so that some read it as the length"

// looksLikeLength tells whether the name of a header is Content-Length but for
// what is no letter: Content_Length, as software that turns names into variables
// sees it, ContentLength, Content-Length'.
func looksLikeLength(name []byte) bool {
	const letters = "contentlength"
	n := 0
	for _, c := range name {
		if c = lower(c); c < 'a' || c > 'z' {
			continue
		}
		if n == len(letters) || c != letters[n] {
			return false
		}
		n++
	}
	return n == len(letters)
}

// lineEnd returns the index behind the header line at b[pos], its folded
// continuations included, and counts its CRLFs. A fault with end -1 means that
// lines cannot be told apart.
func lineEnd(b []byte, pos int, crlfs *int) (end int, fault string) {
	for end = pos; ; {
		n := bytes.IndexByte(b[end:], '\n')
		if n < 0 {
			return -1, faultCut
		}
		if n == 0 || b[end+n-1] != '\r' {
			return -1, faultBareLF
		}
		*crlfs++
		end += n + 1
		if end == len(b) || b[end] != ' ' && b[end] != '\t' {
			return end, fault
		}
		if f := foldFault(b[end:]); f != "" && fault == "" {
			fault = f
		}
	}
}

// foldFault looks at a continuation line for what two parsers could read in two
// ways: nothing but white space, or a Content-Length of its own.
func foldFault(b []byte) string {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i < len(b) && b[i] == '\r' {
		return faultBlank
	}
	n := span(b, i, clToken)
	if LookupHeader(b[i:n]) != HdrContentLength {
		return ""
	}
	for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
		n++
	}
	if n < len(b) && b[n] == ':' {
		return faultHidden
	}
	return ""
}

// splitLine finds the name of the header line b and the offset behind its
// colon; colon is 0 when there is none or the name is no token (RFC 3261 §7.3.1:
// white space may stand before the colon, nothing else).
func splitLine(b []byte) (name, colon int) {
	name = span(b, 0, clToken)
	if name == 0 {
		return 0, 0
	}
	i := name
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	if i == len(b) || b[i] != ':' {
		return name, 0
	}
	return name, i + 1
}

// onlyOnce names the headers of which a second one would let two parsers
// disagree about dialog, transaction or message length.
func onlyOnce(id HeaderID) bool {
	switch id {
	case HdrFrom, HdrTo, HdrCallID, HdrCSeq, HdrMaxForwards, HdrContentLength:
		return true
	}
	return false
}

// line indexes the header line b[pos:end].
func (p *parser) line(pos, end int) {
	m, b := p.m, p.b
	if end-pos > p.lim.MaxLine {
		p.fail(513, "", "header line is longer than the limit")
		return
	}
	if len(m.hdrs) >= p.lim.MaxHeaders || len(m.hdrs) >= maxHeaderLines {
		p.fail(400, "", "message has more header lines than the limit")
		return
	}
	name, colon := splitLine(b[pos:end])
	if colon == 0 {
		p.fail(400, "", "header line is not a token and a colon")
		return
	}
	from, to := pos+colon, end-2
	for from < to && is(b[from], clLWS) {
		from++
	}
	for to > from && is(b[to-1], clLWS) {
		to--
	}
	id := LookupHeader(b[pos : pos+name])
	if id == HdrOther && looksLikeLength(b[pos:pos+name]) {
		p.fail(400, "Content-Length", faultLookAlike)
	}
	m.hdrs = append(m.hdrs, Header{
		ID:    id,
		Line:  Span{uint32(pos), uint32(end - pos)},
		Name:  Span{uint32(pos), uint32(name)},
		Value: Span{uint32(from), uint32(to - from)},
	})
	if id == HdrOther {
		return
	}
	switch {
	case m.first[id] == 0:
		m.first[id] = uint16(len(m.hdrs))
	case onlyOnce(id):
		p.fail(400, id.Name(), "header field stands twice; once is right")
	}
}

// controls refuses bare CR, and NUL but as a quoted pair (RFC 3261 §25.1), in
// the header section.
func (p *parser) controls() {
	head := p.b[:p.m.bodyOff]
	if fault := controlFault(head, p.lines); fault != "" {
		p.mute = true
		p.fail(400, "", fault)
	}
}

func controlFault(head []byte, lines int) string {
	if bytes.Count(head, crByte) != lines {
		return "CR stands without LF in the header section"
	}
	if bytes.IndexByte(head, 0) >= 0 && nakedNUL(head) {
		return "NUL in the header section"
	}
	return ""
}

var crByte = []byte{'\r'}

// nakedNUL tells whether a NUL stands outside the quoted pairs of quoted
// strings, which do not reach over a line's end here. It is one pass however
// many NULs there are.
func nakedNUL(head []byte) bool {
	quoted := false
	for i := 0; i < len(head); i++ {
		switch head[i] {
		case 0:
			return true
		case '\n':
			quoted = false
		case '"':
			quoted = !quoted
		case '\\':
			if quoted && i+1 < len(head) && head[i+1] != '\n' {
				i++
			}
		}
	}
	return false
}

// contentLength reads a Content-Length value: digits alone, below 2^31.
func contentLength(v []byte) (int, bool) {
	n, ok := parseUint(v, 1<<31-1)
	return int(n), ok
}

const (
	detailLength = "not a plain number below 2^31"
	detailShort  = "body is shorter than Content-Length says"
)

// body cuts the message at its Content-Length.
func (p *parser) body(frame bool) {
	m := p.m
	have := len(p.b) - int(m.bodyOff)
	v := m.First(HdrContentLength)
	if v == nil {
		if frame {
			p.fail(400, "Content-Length", "missing; on a stream it must be there (RFC 3261 §18.3)")
		}
		if have > p.lim.MaxBody {
			p.fail(513, "", "body is larger than the limit")
		}
		return
	}
	n, ok := contentLength(v)
	switch {
	case !ok:
		p.fail(400, "Content-Length", detailLength)
		return
	case n > p.lim.MaxBody && (frame || n <= have):
		p.fail(513, "Content-Length", "body is larger than the limit")
		return
	case n > have:
		p.fail(400, "Content-Length", detailShort)
		return
	case n < have && frame:
		p.fail(400, "Content-Length", "body is longer than Content-Length says")
		return
	}
	m.length = n
	m.raw = p.b[: int(m.bodyOff)+n : int(m.bodyOff)+n]
}
