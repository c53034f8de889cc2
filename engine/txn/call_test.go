package txn_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// TestCall is a whole call, and what is left after it.
func TestCall(t *testing.T) {
	r := newRig(t, nil)
	out := r.recv(uac, invite("body:"+sdp))
	r.want(out, "100 "+uac, "INVITE "+uas)
	inv := out[1]
	r.want(r.recv(uas, answer(inv, 100, "")))
	r.want(r.recv(uas, answer(inv, 180, "b1")), "180 "+uac)
	out = r.recv(uas, answer(inv, 200, "b1", "Contact: <sip:bob@10.0.0.2:5060>"))
	r.want(out, "200 "+uac)
	if vias := out[0].all("Via"); len(vias) != 1 || !strings.Contains(vias[0], "client1") {
		t.Errorf("Via of the 200: %q", vias)
	}
	out = r.recv(uac, req("ACK", "sip:bob@10.0.0.2:5060", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKack", "To: <sip:bob@10.0.0.9>;tag=b1"))
	r.want(out, "ACK "+uas)
	bye := req("BYE", "sip:bob@10.0.0.2:5060", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKbye", "To: <sip:bob@10.0.0.9>;tag=b1", "CSeq: 2 BYE")
	out = r.recv(uac, bye)
	r.want(out, "BYE "+uas)
	r.want(r.recv(uas, answer(out[0], 200, "b1")), "200 "+uac)
	r.want(r.recv(uac, bye), "200 "+uac)
	r.quiet()
}

// TestRow063_InviteResends: 0.5 doubling, 7 sends in 32 s, none after a 1xx.
func TestRow063_InviteResends(t *testing.T) {
	r := newRig(t, nil)
	r.recv(uac, invite())
	r.advance(40 * time.Second)
	if got, want := times(r.sent, "INVITE"), []int{0, 500, 1500, 3500, 7500, 15500, 31500}; !slices.Equal(got, want) {
		t.Errorf("INVITE sent at %v, want %v", got, want)
	}
	r.quiet()

	r = newRig(t, nil)
	inv := r.recv(uac, invite())[1]
	r.advance(700 * time.Millisecond)
	r.recv(uas, answer(inv, 100, ""))
	r.advance(20 * time.Second)
	if n := len(find(r.sent, "INVITE")); n != 2 {
		t.Errorf("%d INVITEs, want 2: a 100 stops Timer A", n)
	}
}

// TestRow065_TimerB: nothing comes for 32 s: 408 upstream.
func TestRow065_TimerB(t *testing.T) {
	r := newRig(t, nil)
	r.recv(uac, invite())
	r.advance(31900 * time.Millisecond)
	if len(find(r.sent, "408")) != 0 {
		t.Fatal("408 before 32 s")
	}
	r.advance(200 * time.Millisecond)
	p := r.one(r.sent, "408")
	if p.toTag() == "" {
		t.Error("408 without a To tag")
	}
	r.quiet()
}

// TestRow068_NonInviteResends: doubling up to T2: 11 sends, Timer F at 32 s; in
// Proceeding every 4 s.
func TestRow068_NonInviteResends(t *testing.T) {
	r := newRig(t, nil)
	r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2"))
	r.advance(40 * time.Second)
	want := []int{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
	if got := times(r.sent, "OPTIONS"); !slices.Equal(got, want) {
		t.Errorf("OPTIONS sent at %v, want %v", got, want)
	}
	r.quiet()

	r = newRig(t, nil)
	o := r.recv(uac, req("OPTIONS", "sip:bob@10.0.0.2"))[0]
	r.recv(uas, answer(o, 100, ""))
	r.advance(40 * time.Second)
	want = []int{0, 4000, 8000, 12000, 16000, 20000, 24000, 28000}
	if got := times(r.sent, "OPTIONS"); !slices.Equal(got, want) {
		t.Errorf("in Proceeding OPTIONS sent at %v, want %v", got, want)
	}
}

// TestRow064_NoResendsOnStreams.
func TestRow064_NoResendsOnStreams(t *testing.T) {
	r := newRig(t, nil)
	r.recv(uac, req("INVITE", "sip:bob@10.0.0.2;transport=tcp"))
	r.advance(31 * time.Second)
	out := find(r.sent, "INVITE")
	if len(out) != 1 || out[0].to.Proto != api.ProtoTCP {
		t.Errorf("INVITEs over TCP: %v", list(out))
	}
	if !strings.HasPrefix(out[0].header("Via"), "SIP/2.0/TCP ") {
		t.Errorf("Via %q does not say TCP", out[0].header("Via"))
	}
	r.quiet()
}
