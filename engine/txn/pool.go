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
	*t = transaction{l: l, acks: t.acks[:0], resendAt: never, endAt: never, tryAt: never}
	t.timer.owner = t
	return t
}

// putTx takes a transaction back.
func (l *Layer) putTx(t *transaction) {
	l.buffers.put(t.last)
	for i := range t.acks {
		l.buffers.put(t.acks[i].ack)
	}
	clear(t.acks)
	*t = transaction{next: l.freeTx, state: serverGone, acks: t.acks[:0]}
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

// takeDraft is a draft for a request that may have to wait for its destination.
func (l *Layer) takeDraft() *sip.Draft {
	n := len(l.drafts)
	if n == 0 {
		return &sip.Draft{}
	}
	d := l.drafts[n-1]
	l.drafts = l.drafts[:n-1]
	return d
}

func (l *Layer) putDraft(d *sip.Draft) {
	dropDraft(d)
	l.drafts = append(l.drafts, d)
}

// empty is what a pooled draft is based on.
var empty sip.Message

// dropDraft lets a draft's message go and keeps its memory.
func dropDraft(d *sip.Draft) {
	if d.Message() != nil {
		d.Init(&empty)
	}
}
