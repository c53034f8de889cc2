package sipmsgops_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/sipmsgops"
)

func newArgs(v ...modules.Value) *modules.Args {
	a := &modules.Args{N: len(v)}
	copy(a.V[:], v)
	return a
}

// multipart is an INVITE with an SDP and an ISUP part that holds a NUL.
var multipart = mt.Wire(strings.Replace(mt.Invite[:strings.Index(mt.Invite, "\n\n")+1], "application/sdp", `multipart/mixed;boundary="b1"`, 1) + `
--b1
Content-Type: application/sdp
Content-Disposition: session

` + sdp + `
--b1
Content-Type: application/isup;version=x
Content-Disposition: signal;handling=optional

` + "\x00\x01 isup" + `
--b1--
`)

const sdp = `v=0
o=- 1 1 IN IP4 192.0.2.10
s=-
c=IN IP4 192.0.2.10
t=0 0
m=audio 4000 RTP/AVP 0 8 96 97 101
a=rtpmap:0 PCMU/8000
a=rtpmap:96 speex/16000
a=fmtp:96 mode=1
a=rtpmap:97 speex/8000
a=rtpmap:101 telephone-event/8000
a=sendrecv
m=video 4002 RTP/SAVP 98 99
a=rtpmap:98 H264/90000
a=rtpmap:99 rtx/90000
a=fmtp:99 apt=98
`

func TestHasBodyPart(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		mime string
		want bool
	}{
		{mt.Invite, "", true}, {mt.Invite, "application/sdp", true}, {mt.Invite, "Application/SDP", true}, {mt.Invite, "text/plain", false},
		{mt.Register, "", false}, {mt.Register, "application/sdp", false},
		{multipart, "", true}, {multipart, "application/sdp", true}, {multipart, "application/isup", true}, {multipart, "multipart/mixed", true}, {multipart, "text/plain", false},
	} {
		m, c := load(t, tt.raw, api.RouteRequest)
		for _, f := range []string{"has_body_part", "has_body"} {
			if r := m.Call(c, f, tt.mime); r.Err != nil || r.OK != tt.want {
				t.Errorf("%s(%q): %+v in\n%s", f, tt.mime, r, tt.raw)
			}
		}
	}
}

// wire is c's message parsed again from its bytes.
func wire(t *testing.T, c *api.Ctx) *sip.Message {
	t.Helper()
	return mt.Parse(t, mt.WireOf(c))
}

func TestRemoveBodyPart(t *testing.T) {
	for _, tt := range []struct {
		name, raw   string
		args        []any
		ok          bool
		ctype, body string
		disposition string
	}{
		{"all", mt.Invite, nil, true, "", "", ""},
		{"the only one", mt.Invite, []any{"application/sdp"}, true, "", "", ""},
		{"another", mt.Invite, []any{"text/plain"}, false, "application/sdp", "", ""},
		{"all of a multipart", multipart, nil, true, "", "", ""},
		{"one of two", multipart, []any{"application/isup"}, true, "application/sdp", mt.Wire(sdp), "session"},
		{"all but one", multipart, []any{"application/isup", "revert"}, true, "application/isup;version=x", "\x00\x01 isup", "signal;handling=optional"},
		{"none of two", multipart, []any{"text/plain"}, false, `multipart/mixed;boundary="b1"`, "", ""},
		{"both of two", multipart, []any{"text/plain", "revert"}, true, "", "", ""},
		{"no body", mt.Register, nil, false, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c := load(t, tt.raw, api.RouteRequest)
			before := string(c.Msg.Body())
			if r := m.Call(c, "remove_body_part", tt.args...); r.Err != nil || r.OK != tt.ok {
				t.Errorf("%+v", r)
			}
			got := wire(t, c)
			want := tt.body
			if !tt.ok {
				want = before
			}
			if string(got.Body()) != want || string(got.First(sip.HdrContentType)) != tt.ctype || string(got.First(sip.HdrContentDisposition)) != tt.disposition {
				t.Errorf("left\n%s", got.Raw())
			}
		})
	}
}

func TestRemoveOneOfThree(t *testing.T) {
	m, c := load(t, multipart, api.RouteRequest)
	if r := m.Call(c, "add_body_part", "note", "text/plain"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if r := m.Call(c, "remove_body_part", "application/isup"); !r.OK {
		t.Fatalf("%+v", r)
	}
	want := mt.Wire("--b1\nContent-Type: application/sdp\nContent-Disposition: session\n\n" + sdp + "\n--b1\nContent-Type: text/plain\n\nnote\n--b1--\n")
	if got := wire(t, c); string(got.Body()) != want {
		t.Errorf("got\n%q, want\n%q", got.Body(), want)
	}
}

func TestAddBodyPart(t *testing.T) {
	t.Run("the first", func(t *testing.T) {
		m, c := load(t, mt.Register, api.RouteRequest)
		if r := m.Call(c, "add_body_part", "hello", "text/plain", "Content-Language: en\r\n"); !r.OK {
			t.Fatalf("%+v", r)
		}
		got := wire(t, c)
		if string(got.Body()) != "hello" || string(got.First(sip.HdrContentType)) != "text/plain" || string(got.First(sip.HdrContentLanguage)) != "en" {
			t.Errorf("%s", got.Raw())
		}
	})
	t.Run("a second", func(t *testing.T) {
		m, c := load(t, mt.Invite, api.RouteRequest)
		sdp := string(c.Msg.Body())
		if r := m.Call(c, "add_body_part", "hello", "text/plain", "X-Part: 1\r\n"); !r.OK {
			t.Fatalf("%+v", r)
		}
		got := wire(t, c)
		boundary, ok := sip.Boundary(got.First(sip.HdrContentType))
		if !ok {
			t.Fatalf("no boundary in\n%s", got.Raw())
		}
		var parts []string
		for p := range sip.SplitMultipart(got.Body(), boundary) {
			parts = append(parts, string(p.Headers.Of(got.Body()))+"|"+string(p.Body.Of(got.Body())))
		}
		want := []string{"Content-Type: application/sdp\r\n|" + sdp, "Content-Type: text/plain\r\nX-Part: 1\r\n|hello"}
		if len(parts) != 2 || parts[0] != want[0] || parts[1] != want[1] {
			t.Errorf("parts %q, want %q", parts, want)
		}
		again, c2 := load(t, mt.Invite, api.RouteRequest)
		again.Call(c2, "add_body_part", "hello", "text/plain", "X-Part: 1\r\n")
		if mt.WireOf(c) != mt.WireOf(c2) {
			t.Error("the same edit makes two messages")
		}
	})
	t.Run("refused", func(t *testing.T) {
		m, c := load(t, multipart, api.RouteRequest)
		for _, args := range [][]any{{"", "text/plain"}, {"x", "text"}, {"x", "text/plain\r\nX: y"}, {"x", "a/b", "nonsense"}, {"x\r\n--b1--", "a/b"}} {
			if r := m.Call(c, "add_body_part", args...); r.Err == nil {
				t.Errorf("%q was taken", args)
			}
		}
	})
}

func TestGetBodyPart(t *testing.T) {
	m, c := load(t, multipart, api.RouteRequest)
	m.Call(c, "codec_delete", "PCMA")
	if r := m.Call(c, "get_updated_body_part", "application/sdp"); !r.OK || !strings.Contains(r.Out.Str, "m=audio 4000 RTP/AVP 0 96 97 101\r\n") {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "get_updated_body_part", "application/isup"); r.Out.Str != "\x00\x01 isup" {
		t.Errorf("%q", r.Out.Str)
	}
	if r := m.Call(c, "get_updated_body_part"); r.Out.Str != string(c.Msg.Body()) {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "get_updated_body_part", "text/plain"); r.OK || r.Code != -2 || !r.HasOut {
		t.Errorf("%+v", r)
	}
	m, c = load(t, mt.Register, api.RouteRequest)
	if r := m.Call(c, "get_updated_body_part"); r.OK || r.Code != -1 {
		t.Errorf("%+v", r)
	}
}

// withSDP is an INVITE with that SDP.
func withSDP(sdp string) string {
	return mt.Invite[:strings.Index(mt.Invite, "\n\n")+2] + sdp
}

func TestCodecs(t *testing.T) {
	const audio, video = "m=audio 4000 RTP/AVP 0 8 96 97 101", "m=video 4002 RTP/SAVP 98 99"
	for _, tt := range []struct {
		f            string
		args         []any
		ok           bool
		audio, video string
		gone         []string
	}{
		{"codec_exists", []any{"speex"}, true, audio, video, nil},
		{"codec_exists", []any{"SPEEX", "16000"}, true, audio, video, nil},
		{"codec_exists", []any{"pcma", 8000}, true, audio, video, nil},
		{"codec_exists", []any{"speex", "32000"}, false, audio, video, nil},
		{"codec_exists", []any{"GSM"}, false, audio, video, nil},
		{"codec_exists_re", []any{"^sp[a-z]*$"}, true, audio, video, nil},
		{"codec_exists_re", []any{"^x"}, false, audio, video, nil},
		{"codec_delete", []any{"PCMU"}, true, "m=audio 4000 RTP/AVP 8 96 97 101", video, []string{"a=rtpmap:0"}},
		{"codec_delete", []any{"speex", "16000"}, true, "m=audio 4000 RTP/AVP 0 8 97 101", video, []string{"a=rtpmap:96", "a=fmtp:96"}},
		{"codec_delete", []any{"H264"}, true, audio, "m=video 0 RTP/SAVP 98 99", nil},
		{"codec_delete", []any{"GSM"}, false, audio, video, nil},
		{"codec_delete_re", []any{"PCM.|speex"}, true, "m=audio 4000 RTP/AVP 101", video, []string{"a=rtpmap:0", "a=rtpmap:96", "a=fmtp:96", "a=rtpmap:97"}},
		{"codec_delete_except_re", []any{"PCMU|telephone|H264|rtx"}, true, "m=audio 4000 RTP/AVP 0 101", video, []string{"a=rtpmap:96", "a=fmtp:96"}},
		{"codec_move_up", []any{"speex"}, true, "m=audio 4000 RTP/AVP 96 97 0 8 101", video, nil},
		{"codec_move_up_re", []any{"pcma|speex"}, true, "m=audio 4000 RTP/AVP 8 96 97 0 101", video, nil},
		{"codec_move_down", []any{"PCMU"}, true, "m=audio 4000 RTP/AVP 8 96 97 101 0", video, nil},
		{"codec_move_down_re", []any{"pcm"}, true, "m=audio 4000 RTP/AVP 96 97 101 0 8", video, nil},
		{"codec_move_down_re", []any{"none"}, false, audio, video, nil},
	} {
		for _, raw := range []string{withSDP(sdp), multipart} {
			m, c := load(t, raw, api.RouteRequest)
			before := mt.WireOf(c)
			if r := m.Call(c, tt.f, tt.args...); r.Err != nil || r.OK != tt.ok {
				t.Errorf("%s%q: %+v", tt.f, tt.args, r)
				continue
			}
			body := string(wire(t, c).Body())
			if !strings.Contains(body, tt.audio+"\r\n") || !strings.Contains(body, tt.video+"\r\n") {
				t.Errorf("%s%q left\n%s", tt.f, tt.args, body)
			}
			for _, g := range tt.gone {
				if strings.Contains(body, g+" ") {
					t.Errorf("%s%q kept %s in\n%s", tt.f, tt.args, g, body)
				}
			}
			if raw == multipart && !strings.Contains(body, "\x00\x01 isup\r\n--b1--") {
				t.Errorf("%s%q damaged the other part:\n%s", tt.f, tt.args, body)
			}
			if !tt.ok && mt.WireOf(c) != before {
				t.Errorf("%s%q changed the message", tt.f, tt.args)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	for _, tt := range []struct {
		f    string
		args []any
		ok   bool
		left string // media types left
	}{
		{"stream_exists", []any{"video"}, true, "audio video"}, {"stream_exists", []any{"image"}, false, "audio video"},
		{"stream_exists", []any{"audio", "SAVP"}, false, "audio video"}, {"stream_exists", []any{"video", "^RTP/SAVP$"}, true, "audio video"},
		{"stream_delete", []any{"video"}, true, "audio"}, {"stream_delete", []any{"audio|video", "RTP/AVP"}, true, "video"},
		{"stream_delete", []any{".*"}, true, ""}, {"stream_delete", []any{"image"}, false, "audio video"},
	} {
		m, c := load(t, withSDP(sdp), api.RouteRequest)
		if r := m.Call(c, tt.f, tt.args...); r.Err != nil || r.OK != tt.ok {
			t.Errorf("%s%q: %+v", tt.f, tt.args, r)
		}
		s, err := sip.ParseSDP(wire(t, c).Body())
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, in := range s.Streams() {
			x, _ := sip.ParseMedia(s.LineAt(in.First))
			left = append(left, string(x.Type))
		}
		if got := strings.Join(left, " "); got != tt.left {
			t.Errorf("%s%q left %s, want %s", tt.f, tt.args, got, tt.left)
		}
	}
}

func TestNoSDP(t *testing.T) {
	for _, raw := range []string{mt.Register, strings.Replace(mt.Invite, "v=0", "x", 1), strings.Replace(mt.Invite, "application/sdp", "text/plain", 1)} {
		m, c := load(t, raw, api.RouteRequest)
		before := mt.WireOf(c)
		for _, f := range []string{"codec_exists", "codec_delete", "codec_move_up", "codec_delete_re", "stream_exists", "stream_delete"} {
			if r := m.Call(c, f, "PCMU"); r.OK || r.Err != nil || r.Name != "no_sdp" {
				t.Errorf("%s: %+v", f, r)
			}
		}
		if r := m.Call(c, "is_audio_on_hold"); r.OK || r.Name != "no_sdp" {
			t.Errorf("%+v", r)
		}
		if mt.WireOf(c) != before {
			t.Error("the message was changed")
		}
	}
}

func TestOnHold(t *testing.T) {
	for _, tt := range []struct {
		change []string
		code   int
	}{
		{nil, -1},
		{[]string{"a=sendrecv", "a=sendonly"}, 2},
		{[]string{"a=sendrecv", "a=inactive"}, 2},
		{[]string{"a=sendrecv", "a=recvonly"}, -1},
		{[]string{"c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0"}, 1},
		{[]string{"c=IN IP4 192.0.2.10", "c=IN IP6 ::"}, 1},
		{[]string{"t=0 0", "t=0 0\na=sendonly"}, -1},
		{[]string{"t=0 0", "t=0 0\na=sendonly", "a=sendrecv\n", ""}, 2},
		{[]string{"a=sendrecv", "c=IN IP4 0.0.0.0\na=sendrecv"}, 1},
		{[]string{"m=audio 4000", "m=audio 0", "a=sendrecv", "a=inactive"}, -1},
		{[]string{"c=IN IP4 192.0.2.10", "c="}, -1},
	} {
		m, c := load(t, withSDP(strings.NewReplacer(tt.change...).Replace(sdp)), api.RouteRequest)
		if r := m.Call(c, "is_audio_on_hold"); r.Code != tt.code || r.OK != (tt.code > 0) {
			t.Errorf("%q: %+v", tt.change, r)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add(`multipart/mixed;boundary="b1"`, "--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n--b1--", "PCMU")
	f.Add("application/sdp", "v=0\r\nc=\r\nm=\r\na=rtpmap:\r\na=fmtp:", "x")
	f.Fuzz(func(t *testing.T, ctype, body, arg string) {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		if c.Msg.SetBody([]byte(ctype), []byte(body)) != nil {
			return
		}
		m := mt.Load(t, mt.HostOf(c), sipmsgops.Module(), nil)
		for _, fn := range []string{"has_body_part", "codec_exists", "codec_move_up", "codec_delete_re", "codec_delete", "stream_exists", "stream_delete", "remove_body_part"} {
			m.Call(c, fn, arg)
		}
		m.Call(c, "is_audio_on_hold")
		m.Call(c, "sipmsg_validate", "sh")
		m.Call(c, "add_body_part", arg, "text/plain")
		m.Call(c, "sip_to_json")
		mt.Parse(t, mt.WireOf(c))
	})
}
