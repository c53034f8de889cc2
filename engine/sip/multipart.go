package sip

import (
	"bytes"
	"iter"
)

// Part is one part of a multipart body; its spans are into that body.
type Part struct {
	Raw     Span // header lines, empty line and body
	Headers Span // header lines, their line ends included
	Body    Span
}

// Of returns the bytes of a span of a part within the body it was split from.
func (s Span) Of(body []byte) []byte { return body[s.Off : s.Off+s.Len : s.Off+s.Len] }

// MediaType returns type/subtype of a Content-Type value, without parameters.
func MediaType(contentType []byte) []byte {
	t, _ := cutByte(contentType, ';')
	return trimLWS(t)
}

// Boundary returns the boundary of a multipart Content-Type without its quotes;
// ok is false for other types (RFC 2046 §5.1).
func Boundary(contentType []byte) (boundary []byte, ok bool) {
	t, params := cutByte(contentType, ';')
	if t = trimLWS(t); len(t) < 10 || !EqualFold(t[:10], "multipart/") {
		return nil, false
	}
	v, _ := Param(params, "boundary")
	if len(v) > 1 && v[0] == '"' {
		v = v[1 : len(v)-1]
	}
	return v, len(v) > 0 && len(v) <= 200
}

// SplitMultipart walks the parts of a multipart body between its boundaries
// (RFC 2046 §5.1.1). Line ends may be CRLF or LF alone; a body without a closing
// boundary ends with its last part.
func SplitMultipart(body, boundary []byte) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		if len(boundary) == 0 {
			return
		}
		_, from, last := delimiter(body, boundary, 0)
		for from >= 0 && !last {
			var end, next int
			end, next, last = delimiter(body, boundary, from)
			if !yield(newPart(body, from, end)) {
				return
			}
			from = next
		}
	}
}

// delimiter finds the next boundary line at or behind from, which begins a line.
// end is where the text before it ends, next where the text behind it begins, -1
// when there is no boundary; last tells the closing one.
func delimiter(body, boundary []byte, from int) (end, next int, last bool) {
	for i := from; i < len(body); {
		line := body[i:]
		n := bytes.IndexByte(line, '\n') + 1
		if n == 0 {
			n = len(line)
		}
		if ok, closing := isDelimiter(line[:n], boundary); ok {
			return textEnd(body, from, i), i + n, closing
		}
		i += n
	}
	return len(body), -1, true
}

func isDelimiter(line, boundary []byte) (ok, closing bool) {
	line, ok = bytes.CutPrefix(line, []byte("--"))
	if ok {
		line, ok = bytes.CutPrefix(line, boundary)
	}
	if !ok {
		return false, false
	}
	line, closing = bytes.CutPrefix(line, []byte("--"))
	return len(trimLWS(line)) == 0, closing
}

// textEnd cuts the line end that belongs to the boundary at i.
func textEnd(body []byte, from, i int) int {
	if i > from && body[i-1] == '\n' {
		if i--; i > from && body[i-1] == '\r' {
			i--
		}
	}
	return i
}

func newPart(body []byte, from, end int) Part {
	p := Part{Raw: spanOf(from, end), Headers: spanOf(from, end), Body: spanOf(end, end)}
	for i := from; i < end; {
		n := bytes.IndexByte(body[i:end], '\n') + 1
		if n == 0 {
			break
		}
		if len(trimLWS(body[i:i+n])) == 0 {
			p.Headers, p.Body = spanOf(from, i), spanOf(i+n, end)
			break
		}
		i += n
	}
	return p
}

func spanOf(from, to int) Span { return Span{uint32(from), uint32(to - from)} }

// PartHeader finds a header field in the header lines of a part, any case, nil
// when absent. Folds are not joined.
func PartHeader(headers []byte, name string) []byte {
	for len(headers) > 0 {
		var line []byte
		line, headers = cutByte(headers, '\n')
		n, v := cutByte(line, ':')
		if EqualFold(trimLWS(n), name) {
			return trimLWS(v)
		}
	}
	return nil
}
