package sip

import (
	"iter"
)

// HeaderView is a header line as a Draft reads it. The slices are valid until
// the draft is initialised or copied to; edits add text and change none.
type HeaderView struct {
	ID                HeaderID
	Name, Value, Line []byte
}

func (d *Draft) editView(e *edit) HeaderView {
	line := d.text(e.line)
	return HeaderView{ID: e.id, Name: line[:e.name:e.name], Value: d.text(e.value), Line: line}
}

func (m *Message) view(i int) HeaderView {
	h := &m.hdrs[i]
	return HeaderView{ID: h.ID, Name: m.Bytes(h.Name), Value: m.Bytes(h.Value), Line: m.Bytes(h.Line)}
}

// walk is a cursor over the header lines as edited.
type walk struct {
	hdr  int // next original line
	edit int // next edit
}

// step moves the cursor over one line: p names it, e is its edit, nil for an
// original line as it came; ok is false behind the last.
func (d *Draft) step(w *walk) (p Pos, e *edit, ok bool) {
	for w.edit < len(d.edits) && int(d.edits[w.edit].at) == w.hdr {
		e := &d.edits[w.edit]
		w.edit++
		if e.kind == editInsert {
			return e.pos, e, true
		}
		w.hdr++
		if e.kind == editReplace {
			return Pos(e.at), e, true
		}
	}
	if w.hdr >= len(d.msg.hdrs) {
		return NoPos, nil, false
	}
	w.hdr++
	return Pos(w.hdr - 1), nil, true
}

// viewOf reads the line that step gave.
func (d *Draft) viewOf(p Pos, e *edit) HeaderView {
	if e != nil {
		return d.editView(e)
	}
	return d.msg.view(int(p))
}

// next returns the line at the cursor and moves on; ok is false behind the last.
func (d *Draft) next(w *walk) (p Pos, v HeaderView, ok bool) {
	p, e, ok := d.step(w)
	if !ok {
		return p, HeaderView{}, false
	}
	return p, d.viewOf(p, e), true
}

// Headers walks the header lines as edited, in wire order.
func (d *Draft) Headers() iter.Seq2[Pos, HeaderView] {
	return func(yield func(Pos, HeaderView) bool) {
		var w walk
		for {
			p, v, ok := d.next(&w)
			if !ok || !yield(p, v) {
				return
			}
		}
	}
}

// Cursor is a place among the header lines of a Draft; its zero value is before
// the first.
type Cursor struct{ walk }

// Next returns the next line with id, which is not HdrOther, behind the cursor,
// and moves there; ok is false behind the last. Unlike a range over Headers it
// lets what its caller gathers stay on the stack.
func (d *Draft) Next(at *Cursor, id HeaderID) (p Pos, v HeaderView, ok bool) {
	if !d.isTouched(id) && !d.msg.Has(id) {
		return NoPos, HeaderView{}, false
	}
	return d.find(&at.walk, &match{id: id})
}

// match is a header name made ready for comparing with many lines.
type match struct {
	id   HeaderID
	name []byte
}

func matchName(name []byte) match { return match{LookupHeader(name), name} }

// matches tells whether the line that step gave has the name sought.
func (d *Draft) matches(p Pos, e *edit, q *match) bool {
	id := HdrOther
	if e != nil {
		id = e.id
	} else {
		id = d.msg.hdrs[p].ID
	}
	if id != q.id || id != HdrOther {
		return id == q.id
	}
	v := d.viewOf(p, e)
	return EqualFold(v.Name, q.name)
}

func (d *Draft) isTouched(id HeaderID) bool { return d.touched[id/64]&(1<<(id%64)) != 0 }

// find returns the next line from the cursor on that has the name sought.
func (d *Draft) find(w *walk, q *match) (Pos, HeaderView, bool) {
	for {
		p, e, ok := d.step(w)
		if !ok {
			return p, HeaderView{}, false
		}
		if d.matches(p, e, q) {
			return p, d.viewOf(p, e), true
		}
	}
}

// findFirst is find from the top; a header that no one edited is found by the
// message's index.
func (d *Draft) findFirst(q match) (Pos, HeaderView, bool) {
	if q.id == HdrOther || d.isTouched(q.id) {
		var w walk
		return d.find(&w, &q)
	}
	i := int(d.msg.first[q.id]) - 1
	if i < 0 {
		return NoPos, HeaderView{}, false
	}
	return Pos(i), d.msg.view(i), true
}

// First returns the value of the first header line with id, nil when there is
// none.
func (d *Draft) First(id HeaderID) []byte {
	if id == HdrOther || id >= numHeaderIDs {
		return nil
	}
	if !d.isTouched(id) {
		return d.msg.First(id)
	}
	_, v, _ := d.findFirst(match{id: id})
	return v.Value
}

// Has tells whether a header line with id is there.
func (d *Draft) Has(id HeaderID) bool { return d.First(id) != nil }

// Find returns the value of the first header line of that name, nil when there
// is none.
func (d *Draft) Find(name []byte) []byte {
	_, v, _ := d.FindPos(name)
	return v.Value
}

// FindPos returns the first header line of that name and its place.
func (d *Draft) FindPos(name []byte) (Pos, HeaderView, bool) {
	return d.findFirst(matchName(name))
}

// FindID returns the first header line with id and its place.
func (d *Draft) FindID(id HeaderID) (Pos, HeaderView, bool) {
	if id == HdrOther || id >= numHeaderIDs {
		return NoPos, HeaderView{}, false
	}
	return d.findFirst(match{id: id})
}

// Count returns the number of header lines of that name.
func (d *Draft) Count(name []byte) (n int) {
	for range d.Values(name) {
		n++
	}
	return n
}

// Values walks the values of the header lines of that name; lists stay whole,
// SplitList divides them.
func (d *Draft) Values(name []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var w walk
		q := matchName(name)
		for {
			_, v, ok := d.find(&w, &q)
			if !ok || !yield(v.Value) {
				return
			}
		}
	}
}

// At returns line p, ErrNoHeader when it is gone or was never there.
func (d *Draft) At(p Pos) (HeaderView, error) {
	i, found := d.editOf(p)
	switch {
	case found && d.edits[i].kind == editRemove:
	case found:
		return d.editView(&d.edits[i]), nil
	case p >= 0 && int(p) < len(d.msg.hdrs):
		return d.msg.view(int(p)), nil
	}
	return HeaderView{}, ErrNoHeader
}
