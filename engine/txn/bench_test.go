package txn_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
)

// bench is a host that keeps nothing and pools contexts and messages, as the
// engine does.
type bench struct {
	*rig
	free   []*api.Ctx
	freeIn []*api.Incoming
	last   []byte // the last request that was sent on
	keep   bool
}

func newBench(tb testing.TB) *bench {
	b := &bench{rig: newRig(tb, nil), keep: true}
	b.rig.discard = true
	b.rig.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.ACK {
			if err := b.l.StatelessForward(c, c.Target); err != nil {
				tb.Fatal(err)
			}
			return api.VerdictNone
		}
		tx, err := b.l.Transaction(c)
		if err != nil {
			tb.Fatal(err)
		}
		if o := tx.Relay(c, 0); !o.OK() {
			tb.Fatal(o)
		}
		return api.VerdictNone
	}
	cfg := rfcConfig()
	b.l = txn.New(b, cfg)
	return b
}

func (b *bench) Out() api.Outbox { return b }

func (b *bench) Send(_ api.Dest, raw []byte, _ api.SendObserver) error {
	if b.keep && raw[0] != 'S' {
		b.last = append(b.last[:0], raw...)
	}
	b.buf = raw
	return nil
}

func (b *bench) NewCtx(k api.Route) *api.Ctx {
	if len(b.free) == 0 {
		b.free = append(b.free, &api.Ctx{})
	}
	n := len(b.free) - 1
	c := b.free[n]
	b.free = b.free[:n]
	c.Begin(k, nil)
	return c
}

func (b *bench) FreeCtx(c *api.Ctx) { b.free = append(b.free, c) }

var uacAddr = socket(0, api.ProtoUDP, uac).Addr

// receive is the engine's part for one message.
func (b *bench) receive(raw []byte) {
	var in *api.Incoming
	if n := len(b.freeIn); n > 0 {
		in, b.freeIn = b.freeIn[n-1], b.freeIn[:n-1]
	} else {
		in = api.NewIncoming(func(in *api.Incoming) { b.freeIn = append(b.freeIn, in) })
	}
	in.Use()
	in.Buf = append(in.Buf[:0], raw...)
	if err := in.Msg.ParseDatagram(in.Buf, nil); err != nil {
		b.t.Fatal(err)
	}
	in.Source = api.Source{Socket: b.socks[0], Remote: uacAddr, Received: b.now}
	if in.Msg.IsRequest() {
		if c, run := b.l.Request(in); run {
			b.l.Done(c, b.live.main(c))
		}
	} else {
		b.l.Response(in)
	}
	in.Release()
}

// call is one call with its numbers still to be filled in.
type call struct {
	invite, ack, bye []byte
	reply, sent      []byte
	digits           [8]byte
}

const number = "00000000"

func newCall() *call {
	via := "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx" + number + "%s"
	id := "Call-ID: " + number + "@10.0.0.1"
	c := &call{
		invite: []byte(invite(fmt.Sprintf(via, "i"), id, "Content-Type: application/sdp", "body:"+strings.Repeat(sdp, 4))),
		ack:    []byte(req("ACK", "sip:bob@10.0.0.2", fmt.Sprintf(via, "a"), id, "To: <sip:bob@10.0.0.9>;tag=b")),
		bye:    []byte(req("BYE", "sip:bob@10.0.0.2", fmt.Sprintf(via, "b"), id, "To: <sip:bob@10.0.0.9>;tag=b", "CSeq: 2 BYE")),
	}
	return c
}

// with writes n over the numbers of the top Via's branch and of Call-ID.
func (c *call) with(raw []byte, n int) []byte {
	d := c.digits[:]
	for i := range d {
		d[len(d)-1-i] = byte('0' + n%10)
		n /= 10
	}
	for _, mark := range [][]byte{branchMark, callMark} {
		if i := bytes.Index(raw, mark); i >= 0 {
			copy(raw[i+len(mark):], d)
		}
	}
	return raw
}

var branchMark, callMark = []byte("branch=z9hG4bKx"), []byte("Call-ID: ")

// respond writes a response to the last request sent on.
func (b *bench) respond(c *call, m *sip.Message, code int) {
	c.reply = sip.AppendReply(c.reply[:0], m, code, "", &sip.ReplyOptions{ToTag: []byte("b")})
	b.receive(c.reply)
}

// run is INVITE, 180, 200, ACK, BYE, 200.
func (b *bench) run(c *call, m *sip.Message, n int) {
	b.receive(c.with(c.invite, n))
	c.sent = append(c.sent[:0], b.last...)
	if err := m.ParseDatagram(c.sent, nil); err != nil {
		b.t.Fatal(err)
	}
	b.respond(c, m, 180)
	b.respond(c, m, 200)
	b.receive(c.with(c.ack, n))
	b.receive(c.with(c.bye, n))
	c.sent = append(c.sent[:0], b.last...)
	if err := m.ParseDatagram(c.sent, nil); err != nil {
		b.t.Fatal(err)
	}
	b.respond(c, m, 200)
}

// BenchmarkCall is a full call through the layer: five requests and replies in, their
// messages parsed, and out to nowhere.
func BenchmarkCall(bm *testing.B) {
	b := newBench(bm)
	c := newCall()
	var m sip.Message
	for i := range 20000 { // steady state: 32 s of lingering transactions
		b.now = b.now.Add(2 * time.Millisecond)
		b.l.Tick(b.now)
		b.run(c, &m, i)
	}
	bm.ReportAllocs()
	n := 20000
	for bm.Loop() {
		n++
		b.now = b.now.Add(2 * time.Millisecond)
		b.l.Tick(b.now)
		b.run(c, &m, n%1e8)
	}
	bm.ReportMetric(float64(b.l.Lingering()), "lingering")
}

// BenchmarkMatch is a retransmitted request found among 10,000.
func BenchmarkMatch(bm *testing.B) {
	b := newBench(bm)
	c := newCall()
	for i := range 10000 {
		b.receive(c.with(c.bye, i))
	}
	raw := append([]byte(nil), c.with(c.bye, 5000)...)
	bm.ReportAllocs()
	for bm.Loop() {
		b.receive(raw)
	}
}

// TestMatchAllocates nothing.
func TestMatchAllocates(t *testing.T) {
	b := newBench(t)
	c := newCall()
	for i := range 100 {
		b.receive(c.with(c.bye, i))
	}
	if n := testing.AllocsPerRun(200, func() { b.receive(c.bye) }); n != 0 {
		t.Errorf("%v allocations for a retransmission", n)
	}
}

// TestCallAllocates: a call in steady state allocates nothing.
func TestCallAllocates(t *testing.T) {
	b := newBench(t)
	c := newCall()
	var m sip.Message
	n := 0
	step := func() {
		n++
		b.now = b.now.Add(50 * time.Millisecond)
		b.l.Tick(b.now)
		b.run(c, &m, n)
	}
	for range 3000 {
		step()
	}
	if got := testing.AllocsPerRun(500, step); got != 0 {
		t.Errorf("%v allocations a call", got)
	}
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// bytesPer measures what n of something hold, without their messages.
func bytesPer(n int, do func(i int)) float64 {
	before := heap()
	for i := range n {
		do(i)
	}
	return float64(heap()-before) / float64(n)
}

// messageBytes is what one kept request costs apart from its transaction.
func messageBytes(raw []byte) float64 {
	keep := make([]*api.Incoming, 2000)
	n := bytesPer(len(keep), func(i int) {
		in := api.NewIncoming(nil)
		in.Buf = append(in.Buf, raw...)
		if err := in.Msg.ParseDatagram(in.Buf, nil); err == nil {
			keep[i] = in
		}
	})
	runtime.KeepAlive(keep)
	return n
}

func liveBytes(tb testing.TB, extra int) float64 {
	b := newBench(tb)
	main := b.live.main
	b.live.main = func(c *api.Ctx) api.Verdict {
		for i := range extra {
			c.Extra = append(c.Extra, api.Target{URI: uris[i], Q: -1})
		}
		return main(c)
	}
	c := newCall()
	raw := append([]byte(nil), c.invite...)
	msg := messageBytes(raw)
	n := bytesPer(2000, func(i int) { b.receive(c.with(c.invite, i)) })
	runtime.KeepAlive(b)
	return n - msg
}

var uris = func() []string {
	u := make([]string, 10)
	for i := range u {
		u[i] = fmt.Sprintf("sip:bob@10.2.0.%d", i+1)
	}
	return u
}()

// BenchmarkLiveTransactionBytes: a live INVITE transaction with one branch, beside its message.
func BenchmarkLiveTransactionBytes(bm *testing.B) {
	for bm.Loop() {
		bm.ReportMetric(liveBytes(bm, 0), "bytes/transaction")
	}
	bm.ReportMetric(float64(unsafe.Sizeof(sip.Draft{})), "bytes/draft")
}

// BenchmarkBranchBytes: each further branch of a fork.
func BenchmarkBranchBytes(bm *testing.B) {
	for bm.Loop() {
		bm.ReportMetric((liveBytes(bm, 10)-liveBytes(bm, 0))/10, "bytes/branch")
	}
}

func lingeringBytes(tb testing.TB, code int) float64 {
	const n = 4000
	b := newBench(tb)
	c := newCall()
	var m sip.Message
	// Pools of live parts and messages exist anyway: fill them first.
	one := func(i int) {
		b.receive(c.with(c.invite, i))
		if err := m.ParseDatagram(b.last, nil); err != nil {
			tb.Fatal(err)
		}
		b.respond(c, &m, code)
	}
	for i := range 10 {
		one(i)
	}
	last := 0.0
	if code >= 300 {
		last = float64(len(c.reply) - len("Via: SIP/2.0/UDP 10.0.0.9:5060;branch=") - 55 + 2*len("Content-Length"))
	}
	got := bytesPer(n, func(i int) { one(i + 10) })
	runtime.KeepAlive(b)
	return got - last
}

// BenchmarkLingeringBytes: an answered INVITE transaction beside its last response (and,
// for a failure, the ACK it may have to repeat).
func BenchmarkLingeringBytes(bm *testing.B) {
	for bm.Loop() {
		bm.ReportMetric(lingeringBytes(bm, 200), "bytes/2xx")
		bm.ReportMetric(lingeringBytes(bm, 486), "bytes/failure+ack")
	}
}
