package sip

import (
	"strconv"
)

// Pos names a header line of a Draft: an original line by its index, an added
// one by a negative number. It stays valid while only other lines are edited.
type Pos int32

// NoPos names no line.
const NoPos = Pos(-1 << 31)

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

	views *draftViews // made when an edited header is first asked for, then kept
}

// Init drops all edits and bases the draft on m; memory is kept.
func (d *Draft) Init(m *Message) {
	*d = Draft{msg: m, edits: d.edits[:0], buf: d.buf[:0], nextPos: -1,
		lines: int32(len(m.hdrs)), version: d.version + 1, views: d.views}
}

// CopyFrom makes d a draft of the same message with a copy of src's edits, as
// a branch begins.
func (d *Draft) CopyFrom(src *Draft) {
	edits, buf := append(d.edits[:0], src.edits...), append(d.buf[:0], src.buf...)
	version, views := d.version+1, d.views
	*d = *src
	d.edits, d.buf, d.version, d.views = edits, buf, version, views
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
// request line or is no URI (ParseURI says why); whether a scheme makes sense is
// the caller's business.
func (d *Draft) SetRequestURI(uri []byte) error {
	if !d.msg.request {
		return ErrNotRequest
	}
	if !allOf(uri, clURI) {
		return ErrRequestURI
	}
	var u URI
	if err := ParseURI(uri, &u); err != nil {
		return err
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
