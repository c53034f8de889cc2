package sip_test

import (
	"net/netip"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// proxied makes the edits of an ordinary hop.
func proxied(d *sip.Draft, m *sip.Message) {
	d.Init(m)
	_ = d.Prepend(sip.HdrVia, proxyVia)
	_ = d.Prepend(sip.HdrRecordRoute, proxyRoute)
	_ = d.Set(maxForwards, proxyHops)
	_ = d.SetRequestURI(proxyTarget)
}

var (
	maxForwards = []byte("Max-Forwards")
	proxyVia    = []byte("SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKabcdef.0")
	proxyRoute  = []byte("<sip:192.0.2.200;lr>")
	proxyHops   = []byte("69")
	proxyTarget = []byte("sip:bob@192.0.2.33:5060")
)

func views(m *sip.Message) error {
	if _, err := m.Via(); err != nil {
		return err
	}
	if _, err := m.From(); err != nil {
		return err
	}
	if _, err := m.To(); err != nil {
		return err
	}
	_, err := m.CSeq()
	return err
}

// TestAllocations pins the hot path at no allocation once memory has grown.
func TestAllocations(t *testing.T) {
	raw := []byte(invite)
	resp := sip.AppendReply(nil, mustParse(t, invite), 200, "", nil)
	lim := sip.DefaultLimits()
	src := netip.MustParseAddrPort("192.0.2.101:5066")
	var m, r sip.Message
	var d, branch sip.Draft
	var st sip.FrameState
	dst := make([]byte, 0, 4096)
	opts := sip.ReplyOptions{ToTag: []byte("t"), ViaReceived: src}
	for name, run := range map[string]func(){
		"parse and views": func() {
			if m.ParseDatagram(raw, &lim) != nil || views(&m) != nil {
				t.Error("does not parse")
			}
		},
		"parse response": func() { _ = r.ParseDatagram(resp, nil) },
		"frame": func() {
			if _, n, _, _ := sip.Frame(raw, &lim, &st); n == 0 {
				t.Error("no frame")
			}
		},
		"find":      func() { _ = m.Find(maxForwards) },
		"serialise": func() { dst = d.Serialise(dst[:0]) },
		"edit and serialise": func() {
			proxied(&d, &m)
			_ = d.SetReceived(src)
			branch.CopyFrom(&d)
			dst = branch.Serialise(dst[:0])
		},
		"draft views": func() {
			via, err := branch.Via()
			if err != nil || via.Branch == nil {
				t.Error("no Via")
			}
			_, _ = branch.RURI()
		},
		"reply":  func() { dst = sip.AppendReply(dst[:0], &m, 180, "", &opts) },
		"ack":    func() { dst = branch.AppendAck(dst[:0], &r, nil) },
		"cancel": func() { dst = branch.AppendCancel(dst[:0], nil) },
	} {
		_ = m.ParseDatagram(raw, &lim)
		_ = r.ParseDatagram(resp, nil)
		proxied(&d, &m)
		branch.CopyFrom(&d)
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	raw := []byte(invite)
	lim := sip.DefaultLimits()
	var m sip.Message
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.ParseDatagram(raw, &lim); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	raw := []byte(invite)
	lim := sip.DefaultLimits()
	var st sip.FrameState
	b.ReportAllocs()
	for b.Loop() {
		if _, n, _, err := sip.Frame(raw, &lim, &st); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkViews(b *testing.B) {
	from := []byte(`"Alice, A." <sip:alice@atlanta.example.com>;tag=1928301774`)
	via := []byte("SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport")
	cseq := []byte("314159 INVITE")
	var n sip.NameAddr
	var v sip.Via
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sip.ParseNameAddr(from, &n); err != nil {
			b.Fatal(err)
		}
		if _, err := sip.ParseVia(via, &v); err != nil {
			b.Fatal(err)
		}
		if _, err := sip.ParseCSeq(cseq); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSerialise(b *testing.B) {
	m := mustParse(b, invite)
	var d sip.Draft
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		proxied(&d, m)
		dst = d.Serialise(dst[:0])
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkReply(b *testing.B) {
	m := mustParse(b, invite)
	dst := make([]byte, 0, 4096)
	o := sip.ReplyOptions{ToTag: []byte("tag"), ViaReceived: netip.MustParseAddrPort("192.0.2.101:5066")}
	b.ReportAllocs()
	for b.Loop() {
		dst = sip.AppendReply(dst[:0], m, 180, "", &o)
	}
}
