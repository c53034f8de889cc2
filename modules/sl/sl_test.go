package sl_test

import (
	"testing"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/signaling"
	"github.com/luasips/luasips/modules/sl"
)

func TestSendReply(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	tx := mt.NewTransaction(c)
	c.Tx = tx
	if r := mt.Call(t, c, sl.Module(), "sl_send_reply", 503, "Later"); !r.OK {
		t.Fatalf("%+v", r)
	}
	got := mt.HostOf(c).Replies()
	if len(got) != 1 || got[0].Code != 503 || got[0].Reason != "Later" || len(tx.Replies) != 0 {
		t.Errorf("stateless %+v, stateful %+v", got, tx.Replies)
	}
}

func TestReplyError(t *testing.T) {
	for _, tt := range []struct {
		failure *signaling.Failure
		code    int
	}{{nil, 500}, {&signaling.Failure{Code: 478, Reason: "Unresolvable destination"}, 478}} {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		if tt.failure != nil {
			signaling.NoteFailure(c.State, *tt.failure)
		}
		if r := mt.Call(t, c, sl.Module(), "sl_reply_error"); !r.OK {
			t.Fatalf("%+v", r)
		}
		if got := mt.HostOf(c).Replies(); len(got) != 1 || got[0].Code != tt.code {
			t.Errorf("%+v, want %d", got, tt.code)
		}
	}
}

func TestACKIsNotAnswered(t *testing.T) {
	raw := "ACK sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKx\n" +
		"From: <sip:a@example.org>;tag=a\nTo: <sip:bob@example.com>;tag=b\nCall-ID: x\nCSeq: 1 ACK\nContent-Length: 0\n\n"
	c := mt.NewCtx(t, raw, api.RouteRequest)
	if r := mt.Call(t, c, sl.Module(), "sl_send_reply", 200); r.OK || r.Err != nil {
		t.Errorf("%+v", r)
	}
}
