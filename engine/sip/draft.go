package sip

import (
	"bytes"
	"iter"
	"net/netip"
	"slices"
	"strconv"
)

// Pos names a header line of a Draft: an original line by its index, an added
// one by a negative number. It stays valid while only other lines are edited.
type Pos int32

// NoPos names no line.
const NoPos = Pos(-1 << 31)

// HeaderView is a header line as a Draft reads it. The slices are valid until
// the draft is next edited or initialised.
type HeaderView struct {
	ID                HeaderID
	Name, Value, Line []byte
}

type editKind uint8

const (
	editInsert  editKind = iota // a new line before original line at
	editReplace                 // a new text of original line at
	editRemove                  // original line at is gone
)

// edit is one change of the header section. Edits stand in wire order: by at,
// inserted lines before the change of the line they precede.
type edit struct {
	at     uint32 // index of an original header line, or their number for the end
	kind   editKind
	id     HeaderID
	pos    Pos // of an inserted line
	anchor Pos // line behind which InsertAfter put it, else NoPos
	line   Span
	name   uint32 // length of the name, which begins the line
	value  Span
}

// Draft is a message under edit: the shared Message and its own list of edits.
// Reading through it sees the edits; the Message never changes. The zero value
// is ready after Init. Texts of edits are copied into the draft.
type Draft struct {
	msg     *Message
	edits   []edit
	buf     []byte // texts of all edits
	ruri    Span   // of buf, when hasRURI
	reason  Span   // of buf, when status is set
	body    Span   // of buf, when hasBody
	status  uint16 // 0: as received
	hasRURI bool
	hasBody bool
	nextPos Pos
	lines   int32 // header lines as edited
	version uint32
	touched [(int(numHeaderIDs) + 63) / 64]uint64 // header IDs with an edit

	views draftViews
}

// Init drops all edits and bases the draft on m; memory is kept.
func (d *Draft) Init(m *Message) {
	*d = Draft{msg: m, edits: d.edits[:0], buf: d.buf[:0], nextPos: -1,
		lines: int32(len(m.hdrs)), version: d.version + 1}
}

// CopyFrom makes d a draft of the same message with a copy of src's edits, as
// a branch begins.
func (d *Draft) CopyFrom(src *Draft) {
	edits, buf, version := append(d.edits[:0], src.edits...), append(d.buf[:0], src.buf...), d.version
	*d = *src
	d.edits, d.buf, d.version, d.views = edits, buf, version+1, draftViews{}
}

// Message returns the message as received.
func (d *Draft) Message() *Message { return d.msg }

// Version changes with each edit; caches key on it.
func (d *Draft) Version() uint32 { return d.version }

// Edited tells whether anything differs from the message as received.
func (d *Draft) Edited() bool {
	return len(d.edits) > 0 || d.hasRURI || d.hasBody || d.status != 0
}

func (d *Draft) text(s Span) []byte { return d.buf[s.Off : s.Off+s.Len : s.Off+s.Len] }

// put copies b into the draft's own text.
func (d *Draft) put(b []byte) Span {
	off := len(d.buf)
	d.buf = append(d.buf, b...)
	return Span{uint32(off), uint32(len(b))}
}

// RequestURI returns the Request-URI, nil in a response.
func (d *Draft) RequestURI() []byte {
	if d.hasRURI {
		return d.text(d.ruri)
	}
	return d.msg.RequestURI()
}

// SetRequestURI replaces the Request-URI. It refuses what would break the
// request line; whether a scheme makes sense is the caller's business.
func (d *Draft) SetRequestURI(uri []byte) error {
	if !d.msg.request {
		return ErrNotRequest
	}
	if !allOf(uri, clURI) {
		return ErrRequestURI
	}
	d.ruri, d.hasRURI = d.put(uri), true
	d.version++
	return nil
}

// SetStatus replaces status and reason of a response; a nil reason takes the
// usual phrase.
func (d *Draft) SetStatus(code int, reason []byte) error {
	if d.msg.request || code < 100 || code > 699 {
		return ErrStatus
	}
	if breaksLine(reason) {
		return ErrHeaderBytes
	}
	if reason == nil {
		reason = []byte(ReasonPhrase(code))
	}
	d.reason, d.status = d.put(reason), uint16(code)
	d.version++
	return nil
}

// StatusCode returns the status of a response, 0 in a request.
func (d *Draft) StatusCode() int {
	if d.status != 0 {
		return int(d.status)
	}
	return d.msg.StatusCode()
}

// Reason returns the reason phrase of a response.
func (d *Draft) Reason() []byte {
	if d.status != 0 {
		return d.text(d.reason)
	}
	return d.msg.Reason()
}

// IsRequest tells requests from responses.
func (d *Draft) IsRequest() bool { return d.msg.request }

// Method is Message.Method; a draft does not change it.
func (d *Draft) Method() Method { return d.msg.Method() }

// MethodName is Message.MethodName; a draft does not change it.
func (d *Draft) MethodName() []byte { return d.msg.MethodName() }

// CallID returns the Call-ID, nil when absent.
func (d *Draft) CallID() []byte { return d.First(HdrCallID) }

// Body returns the body as edited.
func (d *Draft) Body() []byte {
	if d.hasBody {
		return d.text(d.body)
	}
	return d.msg.Body()
}

// Len returns the number of header lines as edited.
func (d *Draft) Len() int { return int(d.lines) }

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

// next returns the line at the cursor and moves on; ok is false behind the last.
func (d *Draft) next(w *walk) (p Pos, v HeaderView, ok bool) {
	for {
		if w.edit < len(d.edits) && int(d.edits[w.edit].at) == w.hdr {
			e := &d.edits[w.edit]
			w.edit++
			switch e.kind {
			case editInsert:
				return e.pos, d.editView(e), true
			case editReplace:
				w.hdr++
				return Pos(e.at), d.editView(e), true
			}
			w.hdr++
			continue
		}
		if w.hdr >= len(d.msg.hdrs) {
			return NoPos, HeaderView{}, false
		}
		w.hdr++
		return Pos(w.hdr - 1), d.msg.view(w.hdr - 1), true
	}
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

// match is a header name made ready for comparing with many lines.
type match struct {
	id   HeaderID
	name []byte
}

func matchName(name []byte) match { return match{LookupHeader(name), name} }

func (q match) of(v *HeaderView) bool {
	if q.id != HdrOther {
		return v.ID == q.id
	}
	return v.ID == HdrOther && EqualFold(v.Name, q.name)
}

func (d *Draft) isTouched(id HeaderID) bool { return d.touched[id/64]&(1<<(id%64)) != 0 }

// find returns the first line that matches from the cursor on.
func (d *Draft) find(w *walk, q match) (Pos, HeaderView, bool) {
	for {
		p, v, ok := d.next(w)
		if !ok || q.of(&v) {
			return p, v, ok
		}
	}
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
	var w walk
	_, v, _ := d.find(&w, match{id: id})
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
	var w walk
	return d.find(&w, matchName(name))
}

// FindID returns the first header line with id and its place.
func (d *Draft) FindID(id HeaderID) (Pos, HeaderView, bool) {
	var w walk
	if id == HdrOther {
		return NoPos, HeaderView{}, false
	}
	return d.find(&w, match{id: id})
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
			_, v, ok := d.find(&w, q)
			if !ok || !yield(v.Value) {
				return
			}
		}
	}
}

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
		p, _, ok := d.find(&w, q)
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
		p, _, more := d.find(&w, q)
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
	var w walk
	if anchor == nil {
		p, _, _ := d.next(&w)
		return p, true
	}
	p, _, ok := d.find(&w, matchName(anchor))
	return p, ok
}

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

var (
	nameContentLength = []byte("Content-Length")
	nameContentType   = []byte("Content-Type")
)

// SetBody replaces the body and writes Content-Length. A nil contentType keeps
// the header as it is; an empty one removes it.
func (d *Draft) SetBody(contentType, body []byte) error {
	if breaksLine(contentType) {
		return ErrHeaderBytes
	}
	switch {
	case contentType == nil:
	case len(contentType) == 0:
		d.RemoveID(HdrContentType)
	default:
		d.set(nameContentType, contentType)
	}
	d.body, d.hasBody = d.put(body), true
	d.version++
	d.setLength(len(body))
	return nil
}

func (d *Draft) setLength(n int) {
	var b [20]byte
	d.set(nameContentLength, strconv.AppendInt(b[:0], int64(n), 10))
}

// EnsureContentLength adds a Content-Length header where there is none, as a
// stream needs it (RFC 3261 §16.6 item 9).
func (d *Draft) EnsureContentLength() {
	if !d.Has(HdrContentLength) {
		d.setLength(len(d.Body()))
	}
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
	unfold(value)
	d.setAt(p, v.Name, value)
	return nil
}

// unfold turns the CR and LF of folds into spaces, in place.
func unfold(b []byte) {
	for i, c := range b {
		if c == '\r' || c == '\n' {
			b[i] = ' '
		}
	}
}

// behindFirst returns what follows the value first at the head of a list value.
func behindFirst(list, first []byte) []byte {
	i := bytes.Index(list, first)
	if i < 0 {
		return nil
	}
	return list[i+len(first):]
}
