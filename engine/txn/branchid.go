package txn

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"

	"github.com/luasips/luasips/engine/sip"
)

// branchID is what our own Via branch says. It is written as the cookie and 48
// hexadecimal digits: 16 bytes of numbers and a keyed hash of them, so that a
// branch is known to be ours without looking anything up, and cannot be made
// up by a stranger.
type branchID struct {
	stateless bool   // the request was forwarded without a transaction
	worker    uint16 // below 2^15
	index     uint32 // slot of the transaction, below 2^24
	label     uint32 // which of the slot's transactions
	branch    uint16
	loop      uint64 // loop hash (RFC 3261 §16.6 item 8), 40 bits
}

// Bounds of the numbers in a branch.
const (
	maxIndex  = 1<<24 - 1
	maxBranch = 1<<16 - 1
	loopMask  = 1<<40 - 1
)

const branchLen = len(sip.BranchCookie) + 48

func (id branchID) pack(b *[16]byte) {
	w := id.worker
	if id.stateless {
		w |= 1 << 15
	}
	binary.BigEndian.PutUint16(b[0:], w)
	b[2], b[3], b[4] = byte(id.index>>16), byte(id.index>>8), byte(id.index)
	binary.BigEndian.PutUint32(b[5:], id.label)
	binary.BigEndian.PutUint16(b[9:], id.branch)
	b[11] = byte(id.loop >> 32)
	binary.BigEndian.PutUint32(b[12:], uint32(id.loop))
}

// append writes the branch value.
func (id branchID) append(dst []byte, k *hashKey) []byte {
	var b [24]byte
	id.pack((*[16]byte)(b[:16]))
	binary.BigEndian.PutUint64(b[16:], k.sum(b[:16]))
	dst = append(dst, sip.BranchCookie...)
	return hex.AppendEncode(dst, b[:])
}

// parseBranch reads a branch value; ok is false when it is not ours.
func parseBranch(v []byte, k *hashKey) (id branchID, ok bool) {
	var b [24]byte
	if len(v) != branchLen || !sip.EqualFold(v[:len(sip.BranchCookie)], sip.BranchCookie) {
		return id, false
	}
	if _, err := hex.Decode(b[:], v[len(sip.BranchCookie):]); err != nil {
		return id, false
	}
	if binary.BigEndian.Uint64(b[16:]) != k.sum(b[:16]) {
		return id, false
	}
	w := binary.BigEndian.Uint16(b[0:])
	id.stateless, id.worker = w>>15 == 1, w&(1<<15-1)
	id.index = uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
	id.label = binary.BigEndian.Uint32(b[5:])
	id.branch = binary.BigEndian.Uint16(b[9:])
	id.loop = uint64(b[11])<<32 | uint64(binary.BigEndian.Uint32(b[12:]))
	return id, true
}

// WorkerOf reads the worker's number out of a branch value of ours, which is
// the top Via's in a response; ok is false when it was not made with secret.
// It is a pure function, to be used before a worker is picked.
func WorkerOf(branch []byte, secret *[16]byte) (worker int, ok bool) {
	k := newHashKey(secret)
	id, ok := parseBranch(branch, &k)
	return int(id.worker), ok
}

// hashKey is a key of SipHash-2-4, the keyed hash of Aumasson and Bernstein.
type hashKey struct{ k0, k1 uint64 }

func newHashKey(secret *[16]byte) hashKey {
	return hashKey{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

type sipState struct{ a, b, c, d uint64 }

func (s *sipState) round() {
	s.a += s.b
	s.b = bits.RotateLeft64(s.b, 13) ^ s.a
	s.a = bits.RotateLeft64(s.a, 32)
	s.c += s.d
	s.d = bits.RotateLeft64(s.d, 16) ^ s.c
	s.a += s.d
	s.d = bits.RotateLeft64(s.d, 21) ^ s.a
	s.c += s.b
	s.b = bits.RotateLeft64(s.b, 17) ^ s.c
	s.c = bits.RotateLeft64(s.c, 32)
}

func (s *sipState) word(m uint64) {
	s.d ^= m
	s.round()
	s.round()
	s.a ^= m
}

// sum is the 64-bit keyed hash of b.
func (k *hashKey) sum(b []byte) uint64 {
	s := sipState{k.k0 ^ 0x736f6d6570736575, k.k1 ^ 0x646f72616e646f6d, k.k0 ^ 0x6c7967656e657261, k.k1 ^ 0x7465646279746573}
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		s.word(binary.LittleEndian.Uint64(b))
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	s.word(last)
	s.c ^= 0xff
	for range 4 {
		s.round()
	}
	return s.a ^ s.b ^ s.c ^ s.d
}
