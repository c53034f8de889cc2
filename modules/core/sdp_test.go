package core_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules/moduletest"
)

const twoStreams = `INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKa1
From: <sip:alice@example.org>;tag=a
To: <sip:bob@example.com>
Call-ID: c
CSeq: 1 INVITE
Content-Type: application/sdp

v=0
o=- 1 1 IN IP4 192.0.2.10
s=-
t=0 0
a=ice-lite
m=audio 4000 RTP/AVP 0 8
a=ptime:20
a=fmtp:101 0-16
m=video 4002 RTP/AVP 115
a=fmtp:115 bitrate=64000 x=1
`

func TestSDPReads(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(twoStreams, api.RouteRequest)
	for _, r := range []struct {
		field, key string
		want       any
	}{
		{"sdp_line", "a=", "a=ice-lite"},
		{"sdp_line", "a=[1]", "a=ptime:20"},
		{"sdp_line", "[3]", "t=0 0"},
		{"sdp_line", "a=[9]", nil},
		{"sdp_line", "m=audio/[0]", "audio"},
		{"sdp_line", "m=audio/[1]", "4000"},
		{"sdp_line", `m=audio/RTP\/AVP`, "RTP/AVP"},
		{"sdp_line", "m=audio/RTQ", nil},
		{"sdp_line", "m=audio/[5]", nil},
		{"sdp_line", "a=[x]", nil},
		{"sdp_session", "a=ice", "a=ice-lite"},
		{"sdp_session", "a=ptime", nil},
		{"sdp_stream", "/a=ptime", "a=ptime:20"},
		{"sdp_stream", "[1]/a=fmtp", "a=fmtp:115 bitrate=64000 x=1"},
		{"sdp_stream", "VIDEO/a=fmtp:115/bitrate=", "bitrate=64000"},
		{"sdp_stream", "video/a=ptime", nil},
		{"sdp_stream", "video", "m=video 4002 RTP/AVP 115\r\na=fmtp:115 bitrate=64000 x=1\r\n"},
		{"sdp_stream", "text", nil},
		{"sdp_stream_idx", "video", 1.0},
		{"sdp_stream_idx", "a", 0.0},
		{"sdp_stream_idx", "text", nil},
	} {
		if got := moduletest.GoOf(l.GetKey(c, r.field, r.key)); got != r.want {
			t.Errorf("msg.%s[%q] = %#v, want %#v", r.field, r.key, got, r.want)
		}
	}
}

func TestSDPWrites(t *testing.T) {
	for _, r := range []struct {
		field, key string
		value      any
		old, new   string // what the body changes; old "!" is an error with new in it
	}{
		{"sdp_line", "a=ptime", "a=ptime:40", "a=ptime:20", "a=ptime:40"},
		{"sdp_line", "a=ptime", nil, "a=ptime:20\r\n", ""},
		{"sdp_line", "a=none", nil, "", ""},
		{"sdp_session", "a=ice", "a=x\r\n", "a=ice-lite", "a=x"},
		{"sdp_stream", "video[0]/a=fmtp:115/bitrate=", 48000, "bitrate=64000", "bitrate=48000"},
		{"sdp_stream", "audio/m=/[1]", "0", "m=audio 4000", "m=audio 0"},
		{"sdp_stream", "video", nil, "m=video 4002 RTP/AVP 115\r\na=fmtp:115 bitrate=64000 x=1\r\n", ""},
		{"sdp_line", "a=none", "a=y", "!", "leads to no line"},
		{"sdp_line", "a=ptime", "no line", "!", "SDP line"},
		{"sdp_line", "a=ptime", "a=x\r\na=y", "!", "SDP line"},
		{"sdp_stream", "video", "m=x", "!", "not written"},
		{"sdp_stream", "video/a=fmtp/bitrate=", nil, "!", "not removed"},
		{"sdp_stream", "video/a=fmtp/none=", "1", "!", "no such word"},
		{"sdp_line", "a/b/c", "a=x", "!", "at most 2"},
	} {
		l := load(t)
		c := l.Host.Ctx(twoStreams, api.RouteRequest)
		before := l.Get(c, "rb").Str
		err := l.SetKey(c, r.field, r.key, r.value)
		if r.old == "!" {
			if err == nil || !strings.Contains(err.Error(), r.new) || l.Get(c, "rb").Str != before {
				t.Errorf("%s[%q] = %v: error %v", r.field, r.key, r.value, err)
			}
			continue
		}
		if got := l.Get(c, "rb").Str; err != nil || got != strings.Replace(before, r.old, r.new, 1) {
			t.Errorf("%s[%q] = %v made (%v)\n%s", r.field, r.key, r.value, err, got)
		}
	}
}

func TestWholeSDP(t *testing.T) {
	l := load(t)
	c := l.Host.Ctx(twoStreams, api.RouteRequest)
	if err := l.Set(c, "sdp", "junk"); err == nil {
		t.Error("junk became the SDP body")
	}
	if err := l.Set(c, "sdp", "v=0\r\ns=-\r\n"); err != nil || l.Get(c, "sdp").Str != "v=0\r\ns=-\r\n" {
		t.Errorf("%v, sdp %q", err, l.Get(c, "sdp").Str)
	}
	if wire := moduletest.WireOf(c); !strings.Contains(wire, "Content-Length: 10\r\n") || !strings.HasSuffix(wire, "\r\n\r\nv=0\r\ns=-\r\n") {
		t.Errorf("on the wire:\n%s", wire)
	}
	if err := l.Set(c, "sdp", nil); err != nil || !l.Get(c, "sdp").IsNil() || !l.Get(c, "cT").IsNil() {
		t.Errorf("%v, sdp %v, type %v", err, l.Get(c, "sdp"), l.Get(c, "cT"))
	}
	if err := l.SetKey(c, "sdp_line", "a=", "a=x"); err == nil {
		t.Error("a line was written where there is no body")
	}
}

// FuzzWrites sets every writable field to anything: what is taken must leave a
// message that parses with one header block.
func FuzzWrites(f *testing.F) {
	f.Add("bob", "a=ptime")
	f.Add("a@b\r\nX: y", "video[0]/a=fmtp:115/bitrate=")
	f.Add("[2001:db8::1]", `m=\//[`)
	f.Fuzz(func(t *testing.T, value, key string) {
		h := moduletest.NewHost(t)
		l := loadOn(t, h)
		c := h.Ctx(twoStreams, api.RouteRequest)
		lines := c.Msg.Len()
		c.Target.Duri = "sip:192.0.2.1"
		for _, fd := range l.M.Fields {
			if fd.Set != nil && fd.Name != "sdp" {
				_ = l.Set(c, fd.Name, value)
			}
			if fd.SetKey != nil {
				_ = l.SetKey(c, fd.Name, key, value)
			}
		}
		for _, fn := range []string{"prefix", "setuser", "setuserpass", "sethost", "sethostport", "setport", "seturi", "setdsturi", "append_msg_branch"} {
			l.Call(c, fn, value)
		}
		m := moduletest.Parse(t, moduletest.WireOf(c))
		if _, err := m.RURI(); err != nil {
			t.Fatalf("%q made the Request-URI %q: %v", value, m.RequestURI(), err)
		}
		if n := m.NumHeaders(); n > lines+1 {
			t.Fatalf("%q made %d header lines of %d", value, n, lines)
		}
	})
}
