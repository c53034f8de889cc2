package textops

import (
	"bytes"

	"github.com/luasips/luasips/engine/sip"
)

// become edits d until its headers and body are those of m. The message under
// d stays the one received, which replies and matching go by.
func become(d *sip.Draft, m *sip.Message) error {
	var work sip.Draft
	work.CopyFrom(d)
	e := editor{d: &work, old: linesOf(&work)}
	var target sip.Draft
	target.Init(m)
	e.new = linesOf(&target)
	if err := e.run(); err != nil {
		return err
	}
	if body := m.Body(); !bytes.Equal(body, d.Body()) {
		if err := work.SetBody(nil, body); err != nil {
			return err
		}
	}
	d.CopyFrom(&work)
	return nil
}

// line is a header line with the place it has in a draft.
type line struct {
	pos              sip.Pos
	name, value, raw []byte
}

// linesOf lists the header lines but Content-Length, which follows the body.
func linesOf(d *sip.Draft) []line {
	var out []line
	for pos, h := range d.Headers() {
		if h.ID != sip.HdrContentLength {
			out = append(out, line{pos, h.Name, h.Value, h.Line})
		}
	}
	return out
}

// editor turns one list of header lines into another.
type editor struct {
	d        *sip.Draft
	old, new []line
	last     *line // the line of new that was dealt with last
}

// run walks both lists: equal lines stay, those of one name get the new value,
// what only new has is inserted, what only old has is removed.
func (e *editor) run() error {
	i, j := 0, 0
	for i < len(e.old) || j < len(e.new) {
		var err error
		switch skip := e.ahead(i, j); {
		case i == len(e.old) || skip > 0:
			err = e.insert(e.new[j : j+max(skip, 1)])
			j += max(skip, 1)
		case skip < 0:
			e.d.RemoveAt(e.old[i].pos)
			i++
		default:
			err = e.replace(i, j)
			i, j = i+1, j+1
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ahead tells how many lines of new stand before the one that old[i] becomes:
// one that is equal, or else one of its name; -1 when there is none.
func (e *editor) ahead(i, j int) int {
	if i == len(e.old) || j == len(e.new) {
		return -1
	}
	if sip.SameHeader(e.old[i].name, e.new[j].name) {
		return 0
	}
	for k := j + 1; k < len(e.new); k++ {
		if bytes.Equal(e.old[i].raw, e.new[k].raw) {
			return k - j
		}
	}
	return -1
}

// replace gives the line old[i] the value of new[j].
func (e *editor) replace(i, j int) error {
	e.last = &e.new[j]
	if bytes.Equal(e.old[i].raw, e.new[j].raw) {
		return nil
	}
	return e.d.SetAt(e.old[i].pos, unfold(e.new[j].value))
}

// insert puts lines behind the last one dealt with, which it finds by name.
func (e *editor) insert(lines []line) error {
	var raw []byte
	for _, l := range lines {
		raw = append(append(append(raw, l.name...), ": "...), unfold(l.value)...)
		raw = append(raw, "\r\n"...)
	}
	if e.last == nil {
		e.last = &lines[len(lines)-1]
		return e.d.InsertLinesBefore(nil, raw)
	}
	anchor := e.last.name
	e.last = &lines[len(lines)-1]
	return e.d.InsertLinesAfter(anchor, raw)
}

// unfold is a header value on one line (RFC 3261 §7.3.1).
func unfold(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if c == '\r' || c == '\n' {
			out[i] = ' '
		}
	}
	return out
}
