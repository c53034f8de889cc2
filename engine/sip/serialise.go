package sip

import "strconv"

// Serialise appends the message as edited. Runs of lines that no one edited are
// copied byte for byte; with room in dst nothing is allocated.
func (d *Draft) Serialise(dst []byte) []byte {
	m := d.msg
	if !d.Edited() {
		return append(dst, m.raw...)
	}
	dst = d.appendStart(dst)
	run, hdr := m.hdrOff, 0 // the next byte to copy, the line it stands in
	for i := range d.edits {
		e := &d.edits[i]
		if int(e.at) != hdr {
			hdr = int(e.at)
			at := m.lineOff(hdr)
			dst = append(dst, m.raw[run:at]...)
			run = at
		}
		if e.kind != editRemove {
			dst = append(dst, d.text(e.line)...)
		}
		if e.kind != editInsert {
			hdr++
			run = m.lineOff(hdr)
		}
	}
	if !d.hasBody {
		return append(dst, m.raw[run:]...)
	}
	dst = append(dst, m.raw[run:m.bodyOff]...)
	return append(dst, d.text(d.body)...)
}

// lineOff returns the offset of header line i, or of the empty line behind the
// last.
func (m *Message) lineOff(i int) uint32 {
	if i < len(m.hdrs) {
		return m.hdrs[i].Line.Off
	}
	if i == 0 {
		return m.hdrOff
	}
	last := m.hdrs[i-1].Line
	return last.Off + last.Len
}

// appendStart appends the start line as edited, with its CRLF.
func (d *Draft) appendStart(dst []byte) []byte {
	m := d.msg
	switch {
	case d.hasRURI:
		dst = append(dst, m.raw[:m.uri.Off]...)
		dst = append(dst, d.text(d.ruri)...)
		return append(dst, m.raw[m.uri.Off+m.uri.Len:m.hdrOff]...)
	case d.status != 0:
		dst = append(dst, m.Bytes(m.version)...)
		dst = append(dst, ' ')
		dst = strconv.AppendUint(dst, uint64(d.status), 10)
		dst = append(dst, ' ')
		dst = append(dst, d.text(d.reason)...)
		return append(dst, "\r\n"...)
	}
	return append(dst, m.raw[:m.hdrOff]...)
}

// SizeHint returns about how many bytes Serialise will write, never less.
func (d *Draft) SizeHint() int { return len(d.msg.raw) + len(d.buf) + 16 }

// Rebase serialises the draft, parses that into into, and bases the draft on it
// without edits; textops needs it where a pattern works on the whole message.
// into must not be the draft's own message. On an error the draft is unchanged.
func (d *Draft) Rebase(into *Message) error {
	b := d.Serialise(make([]byte, 0, d.SizeHint()))
	lim := Limits{MaxSize: len(b), MaxHeaders: maxHeaderLines, MaxLine: len(b), MaxBody: len(b)}
	if err := into.ParseDatagram(b, &lim); err != nil {
		return err
	}
	d.Init(into)
	return nil
}
