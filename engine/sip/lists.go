package sip

import "iter"

// lineValues walks the values of the header lines with id, as received.
func (m *Message) lineValues(id HeaderID) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !m.Has(id) {
			return
		}
		for i := int(m.first[id]) - 1; i < len(m.hdrs); i++ {
			if m.hdrs[i].ID == id && !yield(m.Bytes(m.hdrs[i].Value)) {
				return
			}
		}
	}
}

// lineValues walks the values of the header lines with id, as edited.
func (d *Draft) lineValues(id HeaderID) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if id == HdrOther || id >= numHeaderIDs {
			return
		}
		var w walk
		q := match{id: id}
		for {
			_, v, ok := d.find(&w, &q)
			if !ok || !yield(v.Value) {
				return
			}
		}
	}
}

// Items walks the comma-separated values of all header lines with id, such as
// the option tags of Require, Supported and Proxy-Require.
func (m *Message) Items(id HeaderID) iter.Seq[[]byte] { return items(m.lineValues(id)) }

// Items is Message.Items through the edits.
func (d *Draft) Items(id HeaderID) iter.Seq[[]byte] { return items(d.lineValues(id)) }

func items(lines iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for v := range lines {
			for item := range SplitList(v) {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// HasItem tells whether a list header such as Supported names an item, in any
// case, whatever parameters follow it.
func (m *Message) HasItem(id HeaderID, item string) bool { return hasItem(m.Items(id), item) }

// HasItem is Message.HasItem through the edits.
func (d *Draft) HasItem(id HeaderID, item string) bool { return hasItem(d.Items(id), item) }

func hasItem(list iter.Seq[[]byte], item string) bool {
	for v := range list {
		if EqualFold(MediaType(v), item) {
			return true
		}
	}
	return false
}

// Addrs walks the addresses of all header lines with id: Contact, Route,
// Record-Route, Path, P-Asserted-Identity, Diversion, Refer-To. What cannot be
// read comes as an error, once, in place of the rest of its line. The NameAddr is
// overwritten by the next step.
func (m *Message) Addrs(id HeaderID) iter.Seq2[*NameAddr, error] { return addrs(m.lineValues(id)) }

// Addrs is Message.Addrs through the edits.
func (d *Draft) Addrs(id HeaderID) iter.Seq2[*NameAddr, error] { return addrs(d.lineValues(id)) }

func addrs(lines iter.Seq[[]byte]) iter.Seq2[*NameAddr, error] {
	return func(yield func(*NameAddr, error) bool) {
		var n NameAddr
		for rest := range lines {
			for rest != nil {
				var err error
				rest, err = ParseNameAddr(rest, &n)
				if err != nil {
					rest = nil
				}
				if !yield(&n, err) {
					return
				}
			}
		}
	}
}

// EventPackage returns the package of an Event value, without its parameters
// (RFC 6665 §8.2.1), nil when the message has none.
func (m *Message) EventPackage() []byte {
	v := m.First(HdrEvent)
	if v == nil {
		return nil
	}
	return MediaType(v)
}
