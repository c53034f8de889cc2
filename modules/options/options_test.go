package options_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/options"
)

func request(method, uri string) string {
	return strings.ReplaceAll(strings.Replace(mt.Invite, "sip:bob@example.com SIP", uri+" SIP", 1), "INVITE", method)
}

func TestReply(t *testing.T) {
	for _, tt := range []struct {
		params map[string]any
		want   string
	}{
		{nil, "Accept: */*\r\nAccept-Language: en\r\n"},
		{map[string]any{"accept": "", "accept_language": "", "support": "path"}, "Supported: path\r\n"},
		{map[string]any{"accept": "application/sdp", "accept_encoding": "gzip", "accept_language": "de", "support": "path, gruu"},
			"Accept: application/sdp\r\nAccept-Encoding: gzip\r\nAccept-Language: de\r\nSupported: path, gruu\r\n"},
		{map[string]any{"accept": "", "accept_language": ""}, ""},
	} {
		c := mt.NewCtx(t, request("OPTIONS", "sip:127.0.0.1:5060"), api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), options.Module(), tt.params)
		if r := m.Call(c, "options_reply"); !r.OK {
			t.Fatalf("%+v", r)
		}
		got := mt.HostOf(c).Replies()
		if len(got) != 1 || got[0].Code != 200 || string(got[0].Options.Headers) != tt.want {
			t.Errorf("%v: %+v", tt.params, got)
		}
	}
}

func TestOnlyForUs(t *testing.T) {
	for _, raw := range []string{mt.Invite, request("OPTIONS", "sip:bob@127.0.0.1")} {
		c := mt.NewCtx(t, raw, api.RouteRequest)
		if r := mt.Call(t, c, options.Module(), "options_reply"); r.OK || r.Name != "not_for_us" {
			t.Errorf("%+v", r)
		}
		if got := mt.HostOf(c).Replies(); len(got) != 0 {
			t.Errorf("sent %+v", got)
		}
	}
}

func TestStateful(t *testing.T) {
	c := mt.NewCtx(t, request("OPTIONS", "sip:127.0.0.1"), api.RouteRequest)
	tx := mt.NewTransaction(c)
	c.Tx = tx
	mt.Call(t, c, options.Module(), "options_reply")
	if got := tx.Codes(); len(got) != 1 || got[0] != 200 {
		t.Errorf("%v", got)
	}
}

func TestBadParameter(t *testing.T) {
	if _, err := mt.TryLoad(t, mt.NewHost(t), options.Module(), map[string]any{"accept": "a\r\nX: y"}); err == nil {
		t.Error("a value with a line end was taken")
	}
}
