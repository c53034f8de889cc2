package txn

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// requestKey is the hash of what a request is matched by: branch, sent-by and
// method, where an ACK counts as its INVITE (RFC 3261 §17.2.3). Without the
// magic cookie it is the Request-URI, From tag, Call-ID, CSeq number and top Via
// instead; a To tag is left out there, since it cannot differ where these agree
// and the ACK has one that the INVITE has not.
func (l *Layer) requestKey(m *sip.Message, via *sip.Via, method sip.Method) uint64 {
	b := l.bytes[:0]
	if method == sip.ACK {
		method = sip.INVITE
	}
	b = append(b, byte(method))
	if method == sip.MethodOther {
		b = field(b, m.MethodName())
	}
	if via.HasCookie() {
		b = lower(b, via.Branch)
		b = lower(b, via.Host)
		b = binary.BigEndian.AppendUint16(b, via.Port)
	} else {
		b = legacyKey(b, m, via)
	}
	l.bytes = b
	return maphash.Bytes(l.seed, b)
}

// taggedHere tells that an ACK is to a final response made here, without a
// transaction or by one that is gone: its To tag is the one that its INVITE got
// (RFC 3261 §8.2.7).
func (l *Layer) taggedHere(m *sip.Message, key uint64) bool {
	to, err := m.To()
	if err != nil || len(to.Tag) != tagLen {
		return false
	}
	var tag [tagLen]byte
	return bytes.Equal(l.tag(tag[:0], key), to.Tag)
}

// legacyKey is what RFC 2543 requests are matched by. A CANCEL and its INVITE
// agree in all of it.
func legacyKey(b []byte, m *sip.Message, via *sip.Via) []byte {
	b = field(b, m.RequestURI())
	if from, err := m.From(); err == nil {
		b = field(b, from.Tag)
	}
	b = field(b, m.CallID())
	if cseq, err := m.CSeq(); err == nil {
		b = binary.BigEndian.AppendUint32(b, cseq.Num)
	}
	return field(b, via.Line)
}

// field appends v with its length, so that neighbours cannot run together.
func field(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// lower is field for tokens that compare without case.
func lower(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	for _, c := range v {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// newPending makes the entry by which retransmissions and a CANCEL find a
// request while its script runs or waits.
func (l *Layer) newPending(in *api.Incoming, key uint64, via *sip.Via) *transaction {
	t := l.takeTx()
	t.key, t.method, t.state = key, in.Msg.Method(), serverPending
	t.magic = via.HasCookie()
	t.up = replyDest(via, &in.Source, false)
	t.cfg = l.cfg
	t.hold = 1
	l.requests.add(t)
	return t
}

// begin turns a pending entry into a server transaction; false when this
// worker has no number left for it.
func (t *transaction) begin(c *api.Ctx, in *api.Incoming) bool {
	if !t.number() {
		return false
	}
	lv := t.l.takeLive()
	t.live, t.state = lv, serverProceeding
	lv.in, lv.c, lv.source = in, c, in.Source
	in.Retain()
	lv.draft.Init(&in.Msg)
	lv.fr, lv.frInv = t.cfg.FrTimeout, t.cfg.FrInvTimeout
	lv.state = *c.State
	c.State = &lv.state
	t.endAt = t.l.now() + 64*t.cfg.T1
	t.l.nLive++
	t.schedule()
	return true
}

// number gives the transaction the index and label that its branches carry.
func (t *transaction) number() bool {
	l := t.l
	if n := len(l.unused); n > 0 {
		t.index = l.unused[n-1]
		l.unused = l.unused[:n-1]
	} else if len(l.slots) > maxIndex {
		return false
	} else {
		t.index = uint32(len(l.slots))
		l.slots = append(l.slots, nil)
	}
	l.slots[t.index] = t
	l.label++
	t.label = l.label
	return true
}

// Lookup is the INVITE transaction that c's CANCEL would cancel, or that its
// ACK acknowledges hop by hop (OpenSIPS t_check_trans); nil when there is none
// and for other requests. Relay of what it returns, called with the CANCEL's c,
// performs the cancellation.
func (l *Layer) Lookup(c *api.Ctx) api.Transaction {
	if c.Msg == nil || !c.Msg.IsRequest() {
		return nil
	}
	if m := c.Msg.Method(); m != sip.CANCEL && m != sip.ACK {
		return nil
	}
	if t := l.inviteOf(c.Msg.Message()); t != nil && t.live != nil {
		return t
	}
	return nil
}

// inviteOf finds the INVITE's entry of a CANCEL or ACK (RFC 3261 §9.2).
func (l *Layer) inviteOf(m *sip.Message) *transaction {
	via, err := m.Via()
	if err != nil {
		return nil
	}
	return l.requests.find(l.requestKey(m, via, sip.INVITE))
}
