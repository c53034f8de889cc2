package sip

import "errors"

// CSeq is the value of a CSeq header field (RFC 3261 §20.16).
type CSeq struct {
	Num        uint32
	Method     Method
	MethodName []byte // as written
}

// Errors of views.
var (
	ErrMissing     = errors.New("header field is missing")
	ErrCSeq        = errors.New("not a number below 2^32 and a method")
	ErrCSeqMethod  = errors.New("method is not that of the request line")
	ErrCallID      = errors.New("empty, or holds white space or control bytes")
	ErrMaxForwards = errors.New("not a number from 0 to 255")
	ErrExpires     = errors.New("not a number of seconds below 2^32")
	ErrManyValues  = errors.New("holds more than one value")
)

// ParseCSeq reads a CSeq value; the white space between its parts may hold a
// fold.
func ParseCSeq(b []byte) (CSeq, error) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	num, ok := parseUint(b[:i], 1<<32-1)
	j := skipLWS(b, i)
	if !ok || j == i || !IsToken(b[j:]) {
		return CSeq{}, ErrCSeq
	}
	return CSeq{Num: uint32(num), Method: ParseMethod(b[j:]), MethodName: b[j:]}, nil
}

// parseOne reads an address header that holds exactly one value.
func parseOne(b []byte, n *NameAddr) error {
	if b == nil {
		return ErrMissing
	}
	rest, err := ParseNameAddr(b, n)
	switch {
	case err != nil:
		return err
	case rest != nil:
		return ErrManyValues
	case n.Star:
		return ErrURIScheme
	}
	return nil
}

func parseTopVia(b []byte, v *Via) error {
	if b == nil {
		return ErrMissing
	}
	_, err := ParseVia(b, v)
	return err
}

// parseDelta reads seconds; what follows a semicolon or comment is left alone.
func parseDelta(v []byte) (uint32, error) {
	i := 0
	for i < len(v) && v[i] >= '0' && v[i] <= '9' {
		i++
	}
	n, ok := parseUint(v[:i], 1<<32-1)
	j := skipLWS(v, i)
	if !ok || j < len(v) && v[j] != ';' && v[j] != '(' {
		return 0, ErrExpires
	}
	return uint32(n), nil
}

func parseHops(v []byte) (n int, present bool, err error) {
	if v == nil {
		return 0, false, nil
	}
	hops, ok := parseUint(v, 255)
	if !ok {
		return 0, true, ErrMaxForwards
	}
	return int(hops), true, nil
}

// views caches what has been read of a message. done has one bit a view.
type views struct {
	done                                     uint8
	via                                      Via
	from, to                                 NameAddr
	ruri                                     URI
	cseq                                     CSeq
	viaErr, fromErr, toErr, cseqErr, ruriErr error
}

const (
	viewVia uint8 = 1 << iota
	viewFrom
	viewTo
	viewCSeq
	viewRURI
)

// ask tells whether a view has yet to be read, and marks it read.
func (v *views) ask(bit uint8) bool {
	fresh := v.done&bit == 0
	v.done |= bit
	return fresh
}

// Via returns the top-most Via value.
func (m *Message) Via() (*Via, error) {
	if m.views.ask(viewVia) {
		m.views.viaErr = parseTopVia(m.First(HdrVia), &m.views.via)
	}
	return &m.views.via, m.views.viaErr
}

// From returns the From header field.
func (m *Message) From() (*NameAddr, error) {
	if m.views.ask(viewFrom) {
		m.views.fromErr = parseOne(m.First(HdrFrom), &m.views.from)
	}
	return &m.views.from, m.views.fromErr
}

// To returns the To header field.
func (m *Message) To() (*NameAddr, error) {
	if m.views.ask(viewTo) {
		m.views.toErr = parseOne(m.First(HdrTo), &m.views.to)
	}
	return &m.views.to, m.views.toErr
}

// CSeq returns the CSeq header field.
func (m *Message) CSeq() (CSeq, error) {
	if m.views.ask(viewCSeq) {
		if v := m.First(HdrCSeq); v == nil {
			m.views.cseqErr = ErrMissing
		} else {
			m.views.cseq, m.views.cseqErr = ParseCSeq(v)
		}
	}
	return m.views.cseq, m.views.cseqErr
}

// RURI returns the Request-URI read; a response gives ErrNotRequest.
func (m *Message) RURI() (*URI, error) {
	if m.views.ask(viewRURI) {
		m.views.ruriErr = ErrNotRequest
		if m.request {
			m.views.ruriErr = ParseURI(m.RequestURI(), &m.views.ruri)
		}
	}
	return &m.views.ruri, m.views.ruriErr
}

// MaxForwards returns the hops left, 0 to 255 (RFC 3261 §20.22).
func (m *Message) MaxForwards() (n int, present bool, err error) {
	return parseHops(m.First(HdrMaxForwards))
}

// ContentLength returns the header's value; absent is no error.
func (m *Message) ContentLength() (n int, present bool, err error) {
	v := m.First(HdrContentLength)
	if v == nil {
		return 0, false, nil
	}
	n, ok := contentLength(v)
	if !ok {
		return 0, true, errors.New("Content-Length is " + detailLength)
	}
	return n, true, nil
}

// Expires returns the Expires header in seconds.
func (m *Message) Expires() (n uint32, present bool, err error) {
	v := m.First(HdrExpires)
	if v == nil {
		return 0, false, nil
	}
	n, err = parseDelta(v)
	return n, true, err
}

// HasToTag tells whether To carries a tag, so that the request is in a dialog.
func (m *Message) HasToTag() bool {
	to, err := m.To()
	return err == nil && to.Tag != nil
}

// validate refuses what no part of a proxy could treat rightly: mandatory
// headers missing or unreadable (RFC 3261 §16.3, §8.1.1).
func (m *Message) validate(p *parser) {
	if _, err := m.Via(); err != nil {
		p.fail(400, "Via", err.Error())
	}
	if _, err := m.From(); err != nil {
		p.fail(400, "From", err.Error())
	}
	if _, err := m.To(); err != nil {
		p.fail(400, "To", err.Error())
	}
	if err := m.checkCallID(); err != nil {
		p.fail(400, "Call-ID", err.Error())
	}
	cseq, err := m.CSeq()
	if err != nil {
		p.fail(400, "CSeq", err.Error())
	}
	if !m.request {
		return
	}
	if err == nil && string(cseq.MethodName) != string(m.MethodName()) {
		p.fail(400, "CSeq", ErrCSeqMethod.Error())
	}
	if _, err := m.RURI(); err != nil {
		p.fail(400, "", err.Error())
	}
	if _, _, err := m.MaxForwards(); err != nil {
		p.fail(400, "Max-Forwards", err.Error())
	}
}

func (m *Message) checkCallID() error {
	id := m.CallID()
	if id == nil {
		return ErrMissing
	}
	if len(id) == 0 {
		return ErrCallID
	}
	for _, c := range id {
		if c <= ' ' || c == 0x7F {
			return ErrCallID
		}
	}
	return nil
}

// answerable tells whether a response to the broken request could find its way:
// its top Via names a host. An ACK is never answered (RFC 3261 §17.2.1).
func (m *Message) answerable() bool {
	if !m.request || m.method == ACK {
		return false
	}
	via, _ := m.Via()
	return via.Host != nil
}
