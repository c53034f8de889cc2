package sip

import (
	"bytes"
	"net/netip"
	"slices"
)

// breaksLine tells whether b holds bytes that end a line or a string.
func breaksLine(b []byte) bool {
	for _, c := range b {
		if c == '\r' || c == '\n' || c == 0 {
			return true
		}
	}
	return false
}

func checkLine(name, value []byte) error {
	switch {
	case !IsToken(name):
		return ErrHeaderName
	case breaksLine(value):
		return ErrHeaderBytes
	case LookupHeader(name) == HdrContentLength:
		return ErrContentLength
	}
	return nil
}

// newLine writes "name: value" CRLF into the draft's text.
func (d *Draft) newLine(name, value []byte) edit {
	value = trimLWS(value)
	off := uint32(len(d.buf))
	d.buf = append(d.buf, name...)
	d.buf = append(d.buf, ": "...)
	from := uint32(len(d.buf))
	d.buf = append(d.buf, value...)
	d.buf = append(d.buf, "\r\n"...)
	return edit{
		id: LookupHeader(name), anchor: NoPos, name: uint32(len(name)),
		line:  Span{off, uint32(len(d.buf)) - off},
		value: Span{from, uint32(len(value))},
	}
}

func (d *Draft) touch(id HeaderID) {
	d.touched[id/64] |= 1 << (id % 64)
	d.version++
}

// insert puts a new line at index i of the edits, before original line at.
func (d *Draft) insert(i, at int, e edit) Pos {
	e.at, e.kind, e.pos = uint32(at), editInsert, d.nextPos
	d.nextPos--
	d.edits = slices.Insert(d.edits, i, e)
	d.lines++
	d.touch(e.id)
	return e.pos
}

// editOf returns the index of the edit that is the line p: an inserted line, or
// the change of an original one; found is false for an original line as it came,
// with the index at which its edit belongs.
func (d *Draft) editOf(p Pos) (i int, found bool) {
	for i = range d.edits {
		e := &d.edits[i]
		if p < 0 {
			if e.kind == editInsert && e.pos == p {
				return i, true
			}
			continue
		}
		if int(e.at) > int(p) {
			return i, false
		}
		if int(e.at) == int(p) && e.kind != editInsert {
			return i, true
		}
	}
	return len(d.edits), false
}

// SetAt replaces the value of line p; its name stays as written.
func (d *Draft) SetAt(p Pos, value []byte) error {
	v, err := d.At(p)
	if err != nil {
		return err
	}
	if err := checkLine(v.Name, value); err != nil {
		return err
	}
	d.setAt(p, v.Name, value)
	return nil
}

func (d *Draft) setAt(p Pos, name, value []byte) {
	e := d.newLine(name, value)
	i, found := d.editOf(p)
	if !found {
		e.at, e.kind = uint32(p), editReplace
		d.edits = slices.Insert(d.edits, i, e)
	} else {
		old := &d.edits[i]
		old.line, old.value, old.name = e.line, e.value, e.name
	}
	d.touch(e.id)
}

// RemoveAt removes line p; a line that is gone stays gone.
func (d *Draft) RemoveAt(p Pos) {
	v, err := d.At(p)
	if err != nil {
		return
	}
	i, found := d.editOf(p)
	switch {
	case p < 0:
		d.edits = slices.Delete(d.edits, i, i+1)
	case found:
		d.edits[i].kind = editRemove
	default:
		d.edits = slices.Insert(d.edits, i, edit{at: uint32(p), kind: editRemove, id: v.ID, anchor: NoPos})
	}
	d.lines--
	d.touch(v.ID)
}

// Set gives the first header line of that name the value and removes further
// ones; it appends a line when there is none.
func (d *Draft) Set(name, value []byte) error {
	if err := checkLine(name, value); err != nil {
		return err
	}
	d.set(name, value)
	return nil
}

func (d *Draft) set(name, value []byte) {
	p, v, ok := d.FindPos(name)
	if !ok {
		d.insert(len(d.edits), len(d.msg.hdrs), d.newLine(name, value))
		return
	}
	d.setAt(p, v.Name, value)
	d.removeMatches(matchName(name), true)
}

// Remove removes all header lines of that name and returns how many there were.
func (d *Draft) Remove(name []byte) int { return d.removeMatches(matchName(name), false) }

// RemoveID removes all header lines with id and returns how many there were.
func (d *Draft) RemoveID(id HeaderID) int {
	if id == HdrOther || id >= numHeaderIDs {
		return 0
	}
	return d.removeMatches(match{id: id}, false)
}

func (d *Draft) removeMatches(q match, keepFirst bool) (n int) {
	var w walk
	for {
		p, _, ok := d.find(&w, &q)
		if !ok {
			return n
		}
		if keepFirst {
			keepFirst = false
			continue
		}
		before := len(d.edits)
		d.RemoveAt(p)
		// The cursor stands behind the line: keep it there as edits come and go.
		w.edit += len(d.edits) - before
		n++
	}
}

// Append adds a header line behind the last one.
func (d *Draft) Append(name, value []byte) error {
	if err := checkLine(name, value); err != nil {
		return err
	}
	d.insert(len(d.edits), len(d.msg.hdrs), d.newLine(name, value))
	return nil
}

// Prepend adds a header line before the first with the same id, at the top of
// the header section when there is none.
func (d *Draft) Prepend(id HeaderID, value []byte) error {
	if id == HdrOther || id >= numHeaderIDs {
		return ErrHeaderName
	}
	name := headerNames[id]
	if id == HdrContentLength {
		return ErrContentLength
	}
	if breaksLine(value) {
		return ErrHeaderBytes
	}
	p, _, ok := d.FindID(id)
	i, at := 0, 0
	if ok {
		i, at = d.before(p)
	}
	d.insert(i, at, d.newLineOf(name, value))
	return nil
}

// newLineOf is newLine for a canonical name.
func (d *Draft) newLineOf(name string, value []byte) edit {
	var b [32]byte
	return d.newLine(append(b[:0], name...), value)
}

// before returns where an edit belongs that inserts right before line p.
func (d *Draft) before(p Pos) (i, at int) {
	i, found := d.editOf(p)
	if p < 0 && found {
		return i, int(d.edits[i].at)
	}
	return i, int(p)
}

// behind returns where an edit belongs that inserts behind line p, behind
// others that were inserted there before.
func (d *Draft) behind(p Pos) (i, at int) {
	i, found := d.editOf(p)
	if p < 0 {
		at = int(d.edits[i].at)
	} else {
		at = int(p) + 1
	}
	if found {
		i++
	}
	for i < len(d.edits) && int(d.edits[i].at) == at && d.edits[i].kind == editInsert && d.edits[i].anchor == p {
		i++
	}
	return i, at
}

// InsertAfter adds a header line behind the last one named anchor (OpenSIPS
// append_hf with a header); lines added so earlier stay before it.
func (d *Draft) InsertAfter(anchor, name, value []byte) error {
	if err := checkLine(name, value); err != nil {
		return err
	}
	p, ok := d.last(anchor)
	if !ok {
		return ErrNoHeader
	}
	d.insertBehind(p, d.newLine(name, value))
	return nil
}

func (d *Draft) insertBehind(p Pos, e edit) {
	i, at := d.behind(p)
	e.anchor = p
	d.insert(i, at, e)
}

func (d *Draft) last(name []byte) (last Pos, ok bool) {
	var w walk
	q := matchName(name)
	for {
		p, _, more := d.find(&w, &q)
		if !more {
			return last, ok
		}
		last, ok = p, true
	}
}

// InsertBefore adds a header line before the first one named anchor (OpenSIPS
// insert_hf with a header); a nil anchor is the first header line.
func (d *Draft) InsertBefore(anchor, name, value []byte) error {
	if err := checkLine(name, value); err != nil {
		return err
	}
	p, ok := d.firstOrTop(anchor)
	if !ok {
		return ErrNoHeader
	}
	i, at := 0, 0
	if p != NoPos {
		i, at = d.before(p)
	}
	d.insert(i, at, d.newLine(name, value))
	return nil
}

// firstOrTop finds the first line named anchor; NoPos for an empty header
// section with a nil anchor.
func (d *Draft) firstOrTop(anchor []byte) (Pos, bool) {
	if anchor == nil {
		var w walk
		p, _, _ := d.next(&w)
		return p, true
	}
	p, _, ok := d.findFirst(matchName(anchor))
	return p, ok
}

// SetReceived rewrites the top Via as the receiver of a request must: received
// and rport from the packet's source (RFC 3261 §18.2.1, RFC 3581 §4).
func (d *Draft) SetReceived(src netip.AddrPort) error {
	via, err := d.Via()
	if err != nil {
		return err
	}
	p, v, _ := d.FindID(HdrVia)
	var b [512]byte
	value := via.AppendReceived(b[:0], src)
	value = append(value, behindFirst(v.Value, via.Line)...)
	if string(value) == string(v.Value) {
		return nil
	}
	d.setAt(p, v.Name, Unfold(value))
	return nil
}

// Unfold turns the CR and LF of folds into spaces, in place, and returns b: the
// same value on one line (RFC 3261 §7.3.1), as edits take it.
func Unfold(b []byte) []byte {
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b[i] = ' '
		}
	}
	return b
}

// behindFirst returns what follows the value first at the head of a list value.
func behindFirst(list, first []byte) []byte {
	i := bytes.Index(list, first)
	if i < 0 {
		return nil
	}
	return list[i+len(first):]
}
