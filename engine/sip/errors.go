package sip

import (
	"errors"
	"strconv"
)

// ParseError says what is wrong with a message and what its sender deserves.
type ParseError struct {
	Code    int    // the SIP status for a request so broken: 400, 414, 505, 513
	Reason  string // reason phrase of Code
	Detail  string // what is wrong and what would be right, for the log
	Header  string // name of the header field at fault, "" when none
	Respond bool   // false: drop silently (a response, an ACK, or no Via to answer along)
}

// Error gives the header, what is wrong, and the status that fits.
func (e *ParseError) Error() string {
	s := e.Detail
	if e.Header != "" {
		s = e.Header + ": " + s
	}
	return s + " (" + strconv.Itoa(e.Code) + ")"
}

// Errors of edits. None of them changes the draft.
var (
	// ErrHeaderBytes refuses CR, LF or NUL in a header value.
	ErrHeaderBytes = errors.New("header value holds CR, LF or NUL; one line without them is needed")
	// ErrHeaderName refuses a header name that is no token.
	ErrHeaderName = errors.New("header name is not a token (RFC 3261 §25.1)")
	// ErrContentLength refuses edits of Content-Length: it follows the body.
	ErrContentLength = errors.New("Content-Length follows the body and cannot be written")
	// ErrHeaderLine refuses raw lines that are not "Name: value" CRLF.
	ErrHeaderLine = errors.New(`raw header lines need the form "Name: value" and end in CRLF each`)
	// ErrRequestURI refuses a Request-URI that would break the request line.
	ErrRequestURI = errors.New("Request-URI is empty or holds white space, control bytes, < > or \"")
	// ErrStatus refuses a status outside 100-699, or one set on a request.
	ErrStatus = errors.New("status must be 100 to 699 and be set on a response")
	// ErrNotRequest refuses a Request-URI on a response.
	ErrNotRequest = errors.New("a response has no Request-URI")
	// ErrNoHeader says that the header line to edit, or to insert beside, is not there.
	ErrNoHeader = errors.New("no such header line")
)

// Limits bound what is accepted, all before anything is allocated for it.
type Limits struct {
	MaxSize    int // bytes of one message, start line to end of body
	MaxHeaders int // header lines
	MaxLine    int // bytes of one line, its folded continuations included
	MaxBody    int // bytes of the body
}

// DefaultLimits takes what fits into one datagram: 65,535 bytes, 1,000
// header lines, 16 KiB a line.
func DefaultLimits() Limits {
	return Limits{MaxSize: 65535, MaxHeaders: 1000, MaxLine: 16384, MaxBody: 65535}
}

// maxHeaderLines is what the index can count, whatever Limits say.
const maxHeaderLines = 65000
