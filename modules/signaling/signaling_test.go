package signaling_test

import (
	"errors"
	"testing"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/signaling"
)

func TestSendReply(t *testing.T) {
	t.Run("without a transaction", func(t *testing.T) {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		if r := mt.Call(t, c, signaling.Module(), "send_reply", 404, "Gone fishing"); !r.OK {
			t.Fatalf("%+v", r)
		}
		if got := mt.HostOf(c).Replies(); len(got) != 1 || got[0].Code != 404 || got[0].Reason != "Gone fishing" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("with one", func(t *testing.T) {
		c := mt.NewCtx(t, mt.Invite, api.RouteFailure)
		if r := mt.Call(t, c, signaling.Module(), "send_reply", 486); !r.OK {
			t.Fatalf("%+v", r)
		}
		tx := c.Tx.(*mt.Transaction)
		if len(tx.Replies) != 1 || tx.Replies[0].Code != 486 || tx.Replies[0].Reason != "Busy Here" {
			t.Errorf("%+v", tx.Replies)
		}
		if got := mt.HostOf(c).Replies(); len(got) != 0 {
			t.Errorf("stateless: %+v", got)
		}
	})
	t.Run("not sent", func(t *testing.T) {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		mt.HostOf(c).SendErr = errors.New("no socket")
		if r := mt.Call(t, c, signaling.Module(), "send_reply", 404); r.OK || r.Name != "not_sent" || r.Text != "no socket" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("misuse", func(t *testing.T) {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), signaling.Module(), nil)
		for _, args := range [][]any{{99}, {700}, {"x"}, {404, "a\r\nX: y"}, {404, "a\x00"}, {}} {
			if r := m.Call(c, "send_reply", args...); r.Err == nil {
				t.Errorf("%q was taken", args)
			}
		}
		if got := mt.HostOf(c).Replies(); len(got) != 0 {
			t.Errorf("sent %+v", got)
		}
	})
}

func TestReplyBody(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	signaling.SetReplyBody(c.State, []byte("hello"))
	own := &api.ReplyOptions{Body: []byte("mine")}
	headers := &api.ReplyOptions{Headers: []byte("X: y\r\n")}
	for _, o := range []*api.ReplyOptions{nil, own, headers} {
		if r := signaling.Send(c, 200, "", o); !r.OK {
			t.Fatalf("%+v", r)
		}
	}
	got := mt.HostOf(c).Replies()
	if string(got[0].Options.Body) != "hello" || string(got[1].Options.Body) != "mine" ||
		string(got[2].Options.Body) != "hello" || string(got[2].Options.Headers) != "X: y\r\n" {
		t.Errorf("%+v", got)
	}
	if headers.Body != nil {
		t.Error("the caller's options were written to")
	}
}

func TestFailure(t *testing.T) {
	s := &api.State{}
	if f, ok := signaling.LastFailure(s); ok {
		t.Errorf("%+v", f)
	}
	signaling.NoteFailure(s, signaling.Failure{Code: 478, Reason: "Unresolvable"})
	if f, ok := signaling.LastFailure(s); !ok || f.Code != 478 {
		t.Errorf("%+v", f)
	}
}

func TestReplyBodyType(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	c.State.ReplyHeaders = []byte("X-A: 1\r\nc: text/plain\r\nX-B: 2\r\n")
	signaling.SetReplyBody(c.State, []byte("hello"))
	signaling.Send(c, 200, "", nil)
	if got := mt.HostOf(c).Replies()[0].Options.ContentType; got != "text/plain" {
		t.Errorf("Content-Type %q", got)
	}
	if got := string(c.State.ReplyHeaders); got != "X-A: 1\r\nX-B: 2\r\n" {
		t.Errorf("headers left: %q", got)
	}
}

// tagged is a host that knows its To tag.
type tagged struct{ *mt.Host }

func (tagged) LocalTag(c *api.Ctx) string {
	if c.Tx != nil {
		return "stateful"
	}
	return "stateless"
}

func TestLocalTag(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), signaling.Module(), nil)
	if v := m.Get(c, "sig_local_totag"); !v.IsNil() {
		t.Errorf("a host that cannot tell: %v", v)
	}
	c.Host = tagged{mt.HostOf(c)}
	if v := m.Get(c, "sig_local_totag"); v.Str != "stateless" {
		t.Errorf("%v", v)
	}
	c.Tx = mt.NewTransaction(c)
	if v := m.Get(c, "sig_local_totag"); v.Str != "stateful" {
		t.Errorf("%v", v)
	}
}
