package api

import "github.com/luasips/luasips/engine/sip"

// Incoming is one received message on its way through a worker: its bytes, its
// index and where it came from. It is pooled by the worker that owns the call;
// Retain and Release count under that worker's token.
type Incoming struct {
	Msg    sip.Message
	Source Source
	Buf    []byte // the copy that Msg indexes
	Came   int64  // when the oldest of its batch reached this host, UnixNano; 0 when it was made here

	refs int32
	free func(*Incoming)
}

// NewIncoming makes one whose last Release calls free (which may pool it).
func NewIncoming(free func(*Incoming)) *Incoming { return &Incoming{free: free} }

// Use starts a life with one reference.
func (in *Incoming) Use() { in.refs = 1 }

// Retain adds a reference: a transaction that keeps its request, a branch that
// keeps its best reply, a script run that waits.
func (in *Incoming) Retain() { in.refs++ }

// Release drops one; at zero the bytes may be reused.
func (in *Incoming) Release() {
	in.refs--
	if in.refs == 0 && in.free != nil {
		in.free(in)
	}
}
