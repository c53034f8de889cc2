package txn

import (
	"strconv"

	"github.com/luasips/luasips/engine/sip"
)

// receivedBreadth is the request's Max-Breadth, or the setting where it has
// none or one that cannot be read (RFC 5393 §5.3.3).
func (t *transaction) receivedBreadth(m *sip.Message) int {
	v := m.First(sip.HdrMaxBreadth)
	if v == nil {
		return t.cfg.MaxBreadth
	}
	n, err := strconv.ParseUint(string(v), 10, 31)
	if err != nil {
		return t.cfg.MaxBreadth
	}
	return int(n)
}

// shareBreadth divides what is left of Max-Breadth among new branches, so that
// the sum over branches under way never exceeds what was received
// (RFC 5393 §5.3.3). False when it does not suffice. While branches may be
// injected, their share is held back.
func (t *transaction) shareBreadth(set []*branch) bool {
	if t.cfg.MaxBreadth <= 0 {
		return true
	}
	left := t.live.breadth
	for _, b := range t.live.list {
		if b.pending() && b.state != clientNew {
			left -= int(b.breadth)
		}
	}
	if left < len(set) {
		return false
	}
	shares := len(set) + max(t.live.wait, 0)
	if t.live.wait < 0 {
		shares = left
	}
	each, more := left/max(shares, 1), left%max(shares, 1)
	if each == 0 {
		each, more = 1, 0
	}
	for i, b := range set {
		n := each
		if i < more {
			n++
		}
		b.breadth = uint16(min(n, 1<<16-1))
	}
	return true
}
