// Package sip holds one SIP message as its bytes, an index over them and a list
// of edits. Parsing finds the spans of header names and values in one pass and
// copies nothing; typed views are read when first asked for; serialising copies
// what no one edited byte for byte. The package does no I/O, reads no clock and
// starts no goroutine.
//
// A Message and its views belong to one goroutine at a time, as a call belongs
// to one worker: asking for a view writes its cache.
package sip

// Span is a stretch of Message.Raw, in bytes.
type Span struct{ Off, Len uint32 }

// Header is one header line of a message.
type Header struct {
	ID    HeaderID
	Line  Span // with its CRLF and folded continuations
	Name  Span
	Value Span // white space trimmed; may contain folds
}

// Message is one SIP message, indexed. Its zero value is ready; parsing reuses
// it. It holds, and does not copy, the bytes it was given.
type Message struct {
	raw     []byte
	hdrs    []Header
	first   [numHeaderIDs]uint16 // index of the first header with an ID, plus one
	request bool
	method  Method
	status  uint16
	start   Span // start line without its CRLF
	name    Span // method name of a request
	uri     Span
	version Span
	reason  Span
	hdrOff  uint32 // first header line
	bodyOff uint32
	length  int // Content-Length, -1 when absent

	views views
}

// Raw returns the message from its start line to the end of its body.
func (m *Message) Raw() []byte { return m.raw }

// IsRequest tells requests from responses.
func (m *Message) IsRequest() bool { return m.request }

// Method returns the method of the request line, in a response that of CSeq.
func (m *Message) Method() Method {
	if m.request {
		return m.method
	}
	c, _ := m.CSeq()
	return c.Method
}

// MethodName returns the method's name as written, from the request line or in
// a response from CSeq.
func (m *Message) MethodName() []byte {
	if m.request {
		return m.Bytes(m.name)
	}
	c, _ := m.CSeq()
	return c.MethodName
}

// RequestURI returns the Request-URI as written, nil in a response.
func (m *Message) RequestURI() []byte {
	if !m.request {
		return nil
	}
	return m.Bytes(m.uri)
}

// StatusCode returns the status of a response, 0 in a request.
func (m *Message) StatusCode() int { return int(m.status) }

// Reason returns the reason phrase of a response; it may be empty.
func (m *Message) Reason() []byte {
	if m.request {
		return nil
	}
	return m.Bytes(m.reason)
}

// NumHeaders returns the number of header lines.
func (m *Message) NumHeaders() int { return len(m.hdrs) }

// HeaderAt returns header line i, counted from 0; i must be below NumHeaders.
func (m *Message) HeaderAt(i int) Header { return m.hdrs[i] }

// Bytes returns the bytes of a span.
func (m *Message) Bytes(s Span) []byte { return m.raw[s.Off : s.Off+s.Len : s.Off+s.Len] }

// First returns the value of the first header line with id: nil when there is
// none, empty and not nil when it is empty.
func (m *Message) First(id HeaderID) []byte {
	if id >= numHeaderIDs || m.first[id] == 0 {
		return nil
	}
	return m.Bytes(m.hdrs[m.first[id]-1].Value)
}

// Has tells whether a header line with id is there.
func (m *Message) Has(id HeaderID) bool { return id < numHeaderIDs && m.first[id] != 0 }

// Find returns the value of the first header line with that name, long or
// compact, in any case; nil when there is none.
func (m *Message) Find(name []byte) []byte {
	if id := LookupHeader(name); id != HdrOther {
		return m.First(id)
	}
	for i := range m.hdrs {
		if h := &m.hdrs[i]; h.ID == HdrOther && EqualFold(m.Bytes(h.Name), name) {
			return m.Bytes(h.Value)
		}
	}
	return nil
}

// CallID returns the Call-ID, nil when absent.
func (m *Message) CallID() []byte { return m.First(HdrCallID) }

// Body returns the body; it is empty when there is none.
func (m *Message) Body() []byte { return m.raw[m.bodyOff:] }

// Reset forgets the message and lets its bytes go; memory of the index is kept
// for the next one, unless a huge message has grown it.
func (m *Message) Reset() {
	hdrs := m.hdrs[:0]
	if cap(hdrs) > 256 {
		hdrs = nil
	}
	*m = Message{hdrs: hdrs, length: -1}
}
