package txn

import (
	"encoding/binary"

	"github.com/luasips/luasips/engine/sip"
)

// loopHash is the hash of what a request's routing depends on, as received
// (RFC 3261 §16.6 item 8, without the top Via as RFC 5393 §4.2 has it). The
// method is no part of it.
func (l *Layer) loopHash(m *sip.Message) uint64 {
	b := l.bytes[:0]
	b = field(b, m.RequestURI())
	b = field(b, m.CallID())
	if to, err := m.To(); err == nil {
		b = field(b, to.Tag)
	}
	if from, err := m.From(); err == nil {
		b = field(b, from.Tag)
	}
	if cseq, err := m.CSeq(); err == nil {
		b = binary.BigEndian.AppendUint32(b, cseq.Num)
	}
	if m.Has(sip.HdrRoute) || m.Has(sip.HdrProxyRequire) || m.Has(sip.HdrProxyAuthorization) {
		for i := range m.NumHeaders() {
			switch h := m.HeaderAt(i); h.ID {
			case sip.HdrRoute, sip.HdrProxyRequire, sip.HdrProxyAuthorization:
				b = append(b, byte(h.ID))
				b = field(b, m.Bytes(h.Value))
			}
		}
	}
	l.bytes = b
	return l.key.sum(b) & loopMask
}

// looped tells whether the request has been here before and would be routed as
// it was then (RFC 3261 §16.3 item 4, RFC 5393 §4.2.2).
func (l *Layer) looped(m *sip.Message, loop uint64) bool {
	for i := range m.NumHeaders() {
		h := m.HeaderAt(i)
		if h.ID != sip.HdrVia {
			continue
		}
		rest := m.Bytes(h.Value)
		for len(rest) > 0 {
			var v sip.Via
			next, err := sip.ParseVia(rest, &v)
			if err != nil {
				break
			}
			if id, ok := parseBranch(v.Branch, &l.key); ok && id.loop == loop {
				return true
			}
			rest = next
		}
	}
	return false
}

// merged tells that the same request, arrived by another way, is being relayed
// right now: same From tag, Call-ID, CSeq and Request-URI, no To tag, and no Via of
// ours. The user agent would answer 482 to the second (RFC 3261 §8.2.2.2); we do
// so instead of doubling the traffic behind us. Otherwise the request is noted.
func (t *transaction) merged(m *sip.Message, loop uint64) bool {
	if m.HasToTag() {
		return false
	}
	key := loop<<8 | uint64(t.method)
	if t.method == sip.MethodOther {
		return false
	}
	if other := t.l.merges[key]; other != nil && other != t && !other.final {
		return true
	}
	t.live.merge = key
	t.l.merges[key] = t
	return false
}
