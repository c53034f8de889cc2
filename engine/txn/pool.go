package txn

import "github.com/luasips/luasips/engine/sip"

// takeTx is a fresh transaction object.
func (l *Layer) takeTx() *transaction {
	t := l.freeTx
	if t == nil {
		t = &transaction{}
	} else {
		l.freeTx = t.next
	}
	*t = transaction{l: l, last: t.last[:0], acks: t.acks[:0], resendAt: never, endAt: never, tryAt: never}
	t.timer.owner = t
	return t
}

// putTx takes a transaction back. A buffer of unusual size goes to the collector.
func (l *Layer) putTx(t *transaction) {
	last := t.last
	if cap(last) > 2048 {
		last = nil
	}
	clear(t.acks)
	*t = transaction{next: l.freeTx, state: serverGone, last: last[:0], acks: t.acks[:0]}
	l.freeTx = t
}

func (l *Layer) takeLive() *live {
	lv := l.freeLive
	if lv == nil {
		return &live{}
	}
	l.freeLive = lv.next
	lv.next = nil
	return lv
}

func (l *Layer) putLive(lv *live) {
	draft, list := lv.draft, lv.list
	clear(list)
	dropDraft(&draft)
	*lv = live{draft: draft, list: list[:0], headers: lv.headers[:0], cancelReason: lv.cancelReason[:0], next: l.freeLive}
	l.freeLive = lv
}

func (l *Layer) takeBranch() *branch {
	b := l.freeBranch
	if b == nil {
		b = &branch{}
	} else {
		l.freeBranch = b.next
	}
	b.next = nil
	l.serial++
	b.serial = l.serial
	b.timer.owner = b
	return b
}

func (l *Layer) putBranch(b *branch) {
	l.wheel.clear(&b.timer)
	release(b.onReply)
	if b.reply != nil {
		b.reply.Release()
	}
	draft := b.draft
	dropDraft(&draft)
	*b = branch{draft: draft, ack: b.ack[:0], next: l.freeBranch}
	l.freeBranch = b
}

// empty is what a pooled draft is based on.
var empty sip.Message

// dropDraft lets a draft's message go and keeps its memory.
func dropDraft(d *sip.Draft) {
	if d.Message() != nil {
		d.Init(&empty)
	}
}
