package sip

import (
	"net/netip"
	"strconv"
)

// ReplyOptions are the parts of a response that the request does not give. The
// zero value and nil make the plainest one.
type ReplyOptions struct {
	ToTag       []byte         // added to To unless it has one; nil adds none
	Headers     []byte         // whole lines, as CheckLines takes them
	ContentType []byte         // nil when there is no body
	Body        []byte         // may be nil
	Server      []byte         // value of Server; nil adds none
	ViaReceived netip.AddrPort // source of the request for received and rport; invalid leaves Via as it is
}

// AppendReply appends a response to req (RFC 3261 §8.2.6): Via list, From, To,
// Call-ID and CSeq as they came, Record-Route in 101-299 to what may set up a
// dialog, Timestamp in 100. An empty reason takes the usual phrase. req may be a
// message that ParseDatagram refused with Respond set: what it lacks is left out.
func AppendReply(dst []byte, req *Message, code int, reason string, o *ReplyOptions) []byte {
	var none ReplyOptions
	if o == nil {
		o = &none
	}
	if reason == "" {
		reason = ReasonPhrase(code)
	}
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	dst = append(dst, "\r\n"...)
	dialog := code > 100 && code < 300 && req.method.CreatesDialog()
	for i := range req.hdrs {
		h := &req.hdrs[i]
		switch h.ID {
		case HdrVia:
			dst = req.appendReplyVia(dst, i, o.ViaReceived)
		case HdrTo:
			dst = req.appendReplyTo(dst, i, code, o.ToTag)
		case HdrFrom, HdrCallID, HdrCSeq:
			if int(req.first[h.ID]) == i+1 {
				dst = append(dst, req.Bytes(h.Line)...)
			}
		case HdrRecordRoute:
			if dialog {
				dst = append(dst, req.Bytes(h.Line)...)
			}
		case HdrTimestamp:
			if code == 100 {
				dst = append(dst, req.Bytes(h.Line)...)
			}
		}
	}
	if o.Server != nil {
		dst = appendHeader(dst, HdrServer, o.Server)
	}
	dst = append(dst, o.Headers...)
	return appendBody(dst, o.ContentType, o.Body)
}

func appendHeader(dst []byte, id HeaderID, value []byte) []byte {
	dst = append(dst, headerNames[id]...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// appendBody appends Content-Type, Content-Length, the empty line and the body.
func appendBody(dst, contentType, body []byte) []byte {
	if contentType != nil && len(body) > 0 {
		dst = appendHeader(dst, HdrContentType, contentType)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// appendReplyVia copies Via line i, the top value with what src tells.
func (m *Message) appendReplyVia(dst []byte, i int, src netip.AddrPort) []byte {
	h := &m.hdrs[i]
	via, err := m.Via()
	if int(m.first[HdrVia]) != i+1 || !src.IsValid() || err != nil {
		return append(dst, m.Bytes(h.Line)...)
	}
	dst = append(dst, m.Bytes(h.Name)...)
	dst = append(dst, ": "...)
	dst = via.AppendReceived(dst, src)
	dst = append(dst, behindFirst(m.Bytes(h.Value), via.Line)...)
	return append(dst, "\r\n"...)
}

// appendReplyTo copies the To line with a tag where it lacks one; 100 gets none
// (RFC 3261 §8.2.6.2).
func (m *Message) appendReplyTo(dst []byte, i, code int, tag []byte) []byte {
	h := &m.hdrs[i]
	if int(m.first[HdrTo]) != i+1 {
		return dst
	}
	to, err := m.To()
	if code == 100 || tag == nil || err != nil || to.Tag != nil {
		return append(dst, m.Bytes(h.Line)...)
	}
	dst = append(dst, m.raw[h.Line.Off:h.Value.Off+h.Value.Len]...)
	dst = append(dst, ";tag="...)
	dst = append(dst, tag...)
	return append(dst, "\r\n"...)
}

// AppendCancel appends the CANCEL of a request that was sent (RFC 3261 §9.1): its
// Request-URI, top Via, Route, From, To, Call-ID, and its CSeq number. sent is
// the request as serialised for the branch; extra are whole header lines such as
// Reason, or nil. dst comes back unchanged when sent is no request. A caller that
// holds the branch's draft uses Draft.AppendCancel, which parses nothing.
func AppendCancel(dst, sent, extra []byte) []byte {
	var m Message
	if err := m.ParseDatagram(sent, nil); err != nil || !m.request {
		return dst
	}
	var d Draft
	d.Init(&m)
	return d.AppendCancel(dst, extra)
}

// AppendAck appends the ACK to a non-2xx final response (RFC 3261 §17.1.1.3): as
// the request, but with To of the response. sent is the request as sent.
func AppendAck(dst []byte, sent *Message, resp *Message) []byte {
	var d Draft
	d.Init(sent)
	return d.AppendAck(dst, resp, nil)
}

// AppendCancel is the function AppendCancel for a branch's draft.
func (d *Draft) AppendCancel(dst, extra []byte) []byte {
	return d.appendHopByHop(dst, "CANCEL", nil, extra)
}

// AppendAck is the function AppendAck for a branch's draft, with whole lines
// that go with it.
func (d *Draft) AppendAck(dst []byte, resp *Message, extra []byte) []byte {
	return d.appendHopByHop(dst, "ACK", resp.First(HdrTo), extra)
}

// appendHopByHop appends a request that goes where the draft's went, and no
// further: one Via, same Request-URI and Route. A nil to takes the draft's.
func (d *Draft) appendHopByHop(dst []byte, method string, to, extra []byte) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, d.RequestURI()...)
	dst = append(dst, " SIP/2.0\r\n"...)
	if via, err := d.Via(); err == nil {
		dst = appendHeader(dst, HdrVia, via.Line)
	}
	dst = append(dst, "Max-Forwards: 70\r\n"...)
	var w walk
	for {
		_, v, ok := d.next(&w)
		if !ok {
			break
		}
		switch {
		case v.ID == HdrTo && to != nil:
			dst = appendHeader(dst, HdrTo, to)
		case v.ID == HdrRoute, v.ID == HdrFrom, v.ID == HdrTo, v.ID == HdrCallID:
			dst = append(dst, v.Line...)
		case v.ID == HdrCSeq:
			dst = d.appendCSeq(dst, method)
		}
	}
	dst = append(dst, extra...)
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

func (d *Draft) appendCSeq(dst []byte, method string) []byte {
	c, _ := d.CSeq()
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(c.Num), 10)
	dst = append(dst, ' ')
	dst = append(dst, method...)
	return append(dst, "\r\n"...)
}
