package sip

import "bytes"

// FrameState remembers how far a stream buffer has been searched, so that a
// message that arrives byte by byte costs no more than one that comes whole.
// Its zero value starts a stream.
type FrameState struct {
	scanned int // bytes of the current message without the end of its headers
	total   int // length of the current message, 0 until its headers are there
	crlfs   int // keep-alive CRLFs since the last message or ping
}

// Frame finds the first message in the bytes a stream has brought so far.
//
// skip is the number of CRLF bytes before it, to be dropped by the caller at
// once; ping tells that they held a CRLFCRLF keep-alive (RFC 5626 §3.5.1). n is
// the length of the message behind them; 0 without an error means that more
// bytes are needed: call again with the same bytes, without the skipped ones,
// and more behind them. lim may be nil for DefaultLimits.
//
// An error (*ParseError) means that the stream cannot be cut any further; n is
// then the length of the header section if it is there, so that ParseFrame of
// it tells whether an answer may be sent before closing. A stream never is
// guessed at: a message without Content-Length is an error (RFC 3261 §18.3).
func Frame(b []byte, lim *Limits, st *FrameState) (skip, n int, ping bool, err error) {
	l := DefaultLimits()
	if lim != nil {
		l = *lim
	}
	if st.scanned == 0 && st.total == 0 {
		skip, ping = st.keepAlives(b)
	}
	b = b[skip:]
	if len(b) == 0 || len(b) == 1 && b[0] == '\r' {
		return skip, 0, ping, nil
	}
	if st.total == 0 {
		if !is(b[0], clToken) {
			return skip, 0, ping, frameError(400, "", "stream does not hold a SIP message here")
		}
		if n, err = st.head(b, &l); st.total == 0 {
			return skip, n, ping, err
		}
	}
	if len(b) < st.total {
		return skip, 0, ping, nil
	}
	n = st.total
	*st = FrameState{}
	return skip, n, ping, nil
}

// keepAlives counts the CRLFs that b begins with.
func (st *FrameState) keepAlives(b []byte) (skip int, ping bool) {
	for len(b)-skip > 1 && b[skip] == '\r' && b[skip+1] == '\n' {
		skip += 2
		if st.crlfs++; st.crlfs == 2 {
			st.crlfs, ping = 0, true
		}
	}
	if skip < len(b) && b[skip] != '\r' {
		st.crlfs = 0
	}
	return skip, ping
}

var crlfcrlf = []byte("\r\n\r\n")

// head looks for the end of the header section and sets total; while it is not
// there total stays 0.
func (st *FrameState) head(b []byte, lim *Limits) (n int, err error) {
	from := max(0, st.scanned-3)
	i := bytes.Index(b[from:], crlfcrlf)
	if i < 0 {
		st.scanned = len(b)
		if len(b) > lim.MaxSize {
			return 0, frameError(513, "", "header section is larger than the limit")
		}
		return 0, nil
	}
	head := b[:from+i+4]
	length, perr := headLength(head)
	switch {
	case perr != nil:
		return len(head), perr
	case length > lim.MaxBody || len(head)+length > lim.MaxSize:
		return len(head), frameError(513, "Content-Length", "message is larger than the limit")
	}
	st.total = len(head) + length
	return 0, nil
}

func frameError(code int, header, detail string) *ParseError {
	return &ParseError{Code: code, Reason: ReasonPhrase(code), Header: header, Detail: detail}
}

// headLength finds the Content-Length in a whole header section. It refuses
// every section whose lines could be told apart in two ways.
func headLength(head []byte) (int, *ParseError) {
	lines, length := 1, -1
	pos := bytes.IndexByte(head, '\n') + 1
	if pos < 2 || head[pos-2] != '\r' {
		return 0, frameError(400, "", faultBareLF)
	}
	for pos < len(head)-2 {
		end, fault := lineEnd(head, pos, &lines)
		if fault != "" {
			return 0, frameError(400, "", fault)
		}
		name, colon := splitLine(head[pos:end])
		if colon == 0 {
			return 0, frameError(400, "", "header line is not a token and a colon")
		}
		switch id := LookupHeader(head[pos : pos+name]); {
		case id == HdrOther && looksLikeLength(head[pos:pos+name]):
			return 0, frameError(400, "Content-Length", faultLookAlike)
		case id == HdrContentLength:
			n, ok := contentLength(trimLWS(head[pos+colon : end]))
			if !ok {
				return 0, frameError(400, "Content-Length", detailLength)
			}
			if length >= 0 {
				return 0, frameError(400, "Content-Length", "header field stands twice; once is right")
			}
			length = n
		}
		pos = end
	}
	if fault := controlFault(head, lines+1); fault != "" {
		return 0, frameError(400, "", fault)
	}
	if length < 0 {
		return 0, frameError(400, "Content-Length", "missing; on a stream it must be there (RFC 3261 §18.3)")
	}
	return length, nil
}
