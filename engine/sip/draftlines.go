package sip

import (
	"bytes"
)

// AppendLines adds raw header lines, each "Name: value" CRLF, behind the last
// header (OpenSIPS append_hf). All are checked before any is added.
func (d *Draft) AppendLines(lines []byte) error {
	if err := CheckLines(lines); err != nil {
		return err
	}
	eachLine(lines, func(line []byte) {
		d.insert(len(d.edits), len(d.msg.hdrs), d.rawLine(line))
	})
	return nil
}

// InsertLinesAfter adds raw header lines behind the last header named anchor,
// in their order.
func (d *Draft) InsertLinesAfter(anchor, lines []byte) error {
	if err := CheckLines(lines); err != nil {
		return err
	}
	p, ok := d.last(anchor)
	if !ok {
		return ErrNoHeader
	}
	eachLine(lines, func(line []byte) { d.insertBehind(p, d.rawLine(line)) })
	return nil
}

// InsertLinesBehind adds raw header lines behind line p, in their order; lines
// added so earlier stay before them (OpenSIPS append_hf with a header).
func (d *Draft) InsertLinesBehind(p Pos, lines []byte) error {
	if err := CheckLines(lines); err != nil {
		return err
	}
	eachLine(lines, func(line []byte) { d.insertBehind(p, d.rawLine(line)) })
	return nil
}

// InsertLinesBefore adds raw header lines before the first header named anchor,
// or of all when anchor is nil, in their order (OpenSIPS insert_hf).
func (d *Draft) InsertLinesBefore(anchor, lines []byte) error {
	if err := CheckLines(lines); err != nil {
		return err
	}
	p, ok := d.firstOrTop(anchor)
	if !ok {
		return ErrNoHeader
	}
	eachLine(lines, func(line []byte) {
		i, at := 0, 0
		if p != NoPos {
			i, at = d.before(p)
		} else {
			i = len(d.edits)
		}
		d.insert(i, at, d.rawLine(line))
	})
	return nil
}

// CheckLines tells whether b is whole header lines, each a token, a colon and a
// value without CR, LF or NUL, ending in CRLF, none of them Content-Length.
func CheckLines(b []byte) error {
	if len(b) == 0 {
		return ErrHeaderLine
	}
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n')
		if n < 1 || b[n-1] != '\r' {
			return ErrHeaderLine
		}
		line := b[:n-1]
		name, colon := splitLine(line)
		if colon == 0 {
			return ErrHeaderLine
		}
		if err := checkLine(line[:name], line[colon:]); err != nil {
			return err
		}
		b = b[n+1:]
	}
	return nil
}

func eachLine(b []byte, f func(line []byte)) {
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		f(b[:n])
		b = b[n:]
	}
}

// rawLine copies a checked line into the draft's text as it is.
func (d *Draft) rawLine(line []byte) edit {
	s := d.put(line)
	name, colon := splitLine(line)
	from, to := colon, len(line)-2
	for from < to && is(line[from], clLWS) {
		from++
	}
	for to > from && is(line[to-1], clLWS) {
		to--
	}
	return edit{id: LookupHeader(line[:name]), anchor: NoPos, name: uint32(name), line: s,
		value: Span{s.Off + uint32(from), uint32(to - from)}}
}
