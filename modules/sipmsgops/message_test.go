package sipmsgops_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/sipmsgops"
)

func TestIsMethod(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	for names, want := range map[string]bool{"INVITE": true, "invite": true, "BYE|INVITE": true, "BYE | INVITE": true, "BYE": false, "INVITE2|INVI": false, "": false} {
		if r := m.Call(c, "is_method", names); r.OK != want {
			t.Errorf("%q: %+v", names, r)
		}
	}
	m, c = load(t, mt.OK, api.RouteReply)
	if r := m.Call(c, "is_method", "INVITE"); !r.OK {
		t.Errorf("reply: %+v", r)
	}
}

func TestIsMethodDoesNotAllocate(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	f := m.Function("is_method")
	tag := m.Function("has_totag")
	m.Call(c, "has_totag")
	in := newArgs(mt.ValueOf("BYE|CANCEL|INVITE"))
	if n := testing.AllocsPerRun(100, func() { f.Invoke(m.Inst, c, in); tag.Invoke(m.Inst, c, in) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestHasToTag(t *testing.T) {
	for raw, want := range map[string]bool{mt.Invite: false, mt.OK: true, strings.Replace(mt.Invite, "To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=x", 1): true} {
		c := mt.NewCtx(t, raw, api.RouteReply)
		if r := mt.Call(t, c, sipmsgops.Module(), "has_totag"); r.OK != want {
			t.Errorf("%+v for\n%s", r, raw)
		}
	}
}

func TestIsPrivacy(t *testing.T) {
	raw := strings.Replace(mt.Invite, "User-Agent", "Privacy: id;critical\nPrivacy: header\nUser-Agent", 1)
	m, c := load(t, raw, api.RouteRequest)
	for kind, want := range map[string]bool{"id": true, "ID": true, "critical": true, "header": true, "user": false, "none": false} {
		if r := m.Call(c, "is_privacy", kind); r.Err != nil || r.OK != want {
			t.Errorf("%s: %+v", kind, r)
		}
	}
	if r := m.Call(c, "is_privacy", "secret"); r.Err == nil {
		t.Error("secret was taken")
	}
}

func TestChangeReplyStatus(t *testing.T) {
	for _, tt := range []struct {
		old, code int
		reason    any
		want      string
	}{
		{603, 404, "Not here", "SIP/2.0 404 Not here\r\n"},
		{486, 503, nil, "SIP/2.0 503 Service Unavailable\r\n"},
		{180, 183, "Session Progress", "SIP/2.0 183 Session Progress\r\n"},
		{200, 404, nil, ""}, {486, 200, nil, ""}, {183, 200, nil, ""},
	} {
		m, c := load(t, mt.OK, api.RouteReply)
		if err := c.Msg.SetStatus(tt.old, nil); err != nil {
			t.Fatal(err)
		}
		r := m.Call(c, "change_reply_status", tt.code, tt.reason)
		if r.Err != nil || r.OK != (tt.want != "") || !strings.HasPrefix(mt.WireOf(c), tt.want) {
			t.Errorf("%d to %d: %+v", tt.old, tt.code, r)
		}
	}
	m, c := load(t, mt.OK, api.RouteReply)
	if r := m.Call(c, "change_reply_status", 202, "a\r\nX: y"); r.Err == nil {
		t.Error("a reason with a line end was taken")
	}
}

func TestToJSON(t *testing.T) {
	raw := strings.Replace(mt.Invite, "User-Agent", "X-A: \"<1>\"\nx-a: 2\nUser-Agent", 1)
	m, c := load(t, raw, api.RouteRequest)
	if err := c.Msg.Set([]byte("User-Agent"), []byte("bad \xff byte")); err != nil {
		t.Fatal(err)
	}
	r := m.Call(c, "sip_to_json")
	var got struct {
		FirstLine string              `json:"first_line"`
		Headers   map[string][]string `json:"headers"`
		Body      string              `json:"body"`
	}
	if err := json.Unmarshal([]byte(r.Out.Str), &got); err != nil {
		t.Fatalf("%v in %s", err, r.Out.Str)
	}
	if got.FirstLine != "INVITE sip:bob@example.com SIP/2.0" || got.Body != string(c.Msg.Body()) ||
		len(got.Headers["X-A"]) != 2 || got.Headers["X-A"][0] != `"<1>"` || got.Headers["User-Agent"][0] != "bad \ufffd byte" {
		t.Errorf("%+v", got)
	}
}

func TestToJSONBig(t *testing.T) {
	name := strings.Repeat("N", 60000)
	m, c := load(t, mt.Invite, api.RouteRequest)
	if err := c.Msg.Append([]byte(name), []byte("v")); err != nil {
		t.Fatal(err)
	}
	if r := m.Call(c, "sip_to_json"); !strings.Contains(r.Out.Str, name) {
		t.Errorf("a long name is missing: %+v", r.Name)
	}
}

func TestRURIParams(t *testing.T) {
	const uri = "sip:bob@example.com;user=phone;lr;x=%20a?Subject=hi"
	m, c := load(t, strings.Replace(mt.Invite, "INVITE sip:bob@example.com", "INVITE "+uri, 1), api.RouteRequest)
	for _, tt := range []struct {
		args []any
		want bool
	}{{[]any{"user", "phone"}, true}, {[]any{"user"}, false}, {[]any{"lr"}, true}, {[]any{"LR"}, true}, {[]any{"user", "ip"}, false}, {[]any{"none"}, false}, {[]any{"Subject", "hi"}, false}} {
		if r := m.Call(c, "ruri_has_param", tt.args...); r.OK != tt.want {
			t.Errorf("%q: %+v", tt.args, r)
		}
	}
	step := func(f, arg, want string) {
		t.Helper()
		r := m.Call(c, f, arg)
		if got := string(c.Msg.RequestURI()); !r.OK || got != want {
			t.Errorf("%s(%s): %+v, %s, want %s", f, arg, r, got, want)
		}
	}
	step("ruri_add_param", "nat=yes", "sip:bob@example.com;user=phone;lr;x=%20a;nat=yes?Subject=hi")
	step("ruri_del_param", "lr", "sip:bob@example.com;user=phone;x=%20a;nat=yes?Subject=hi")
	step("ruri_del_param", "USER", "sip:bob@example.com;x=%20a;nat=yes?Subject=hi")
	step("ruri_del_param", "nat", "sip:bob@example.com;x=%20a?Subject=hi")
	step("ruri_del_param", "x", "sip:bob@example.com?Subject=hi")
	step("ruri_add_param", "", "sip:bob@example.com?Subject=hi")
	if r := m.Call(c, "ruri_del_param", "x"); r.OK {
		t.Errorf("%+v", r)
	}
	for _, p := range []string{"a b", "a?b", "a@b", "a\r\nb"} {
		if r := m.Call(c, "ruri_add_param", p); r.Err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}

func TestTel2SIP(t *testing.T) {
	for uri, want := range map[string]string{
		"tel:+49-30-1234":           "sip:+49-30-1234@example.org;user=phone",
		"tel:110;phone-context=+49": "sip:110;phone-context=+49@example.org;user=phone",
		"sip:bob@example.com":       "sip:bob@example.com",
	} {
		m, c := load(t, strings.Replace(mt.Invite, "INVITE sip:bob@example.com", "INVITE "+uri, 1), api.RouteRequest)
		if r := m.Call(c, "ruri_tel2sip"); !r.OK || string(c.Msg.RequestURI()) != want {
			t.Errorf("%s: %+v, %s", uri, r, c.Msg.RequestURI())
		}
		if _, err := c.Msg.RURI(); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestIsE164(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	for uri, want := range map[string]bool{"sip:+4930123456@x": true, "tel:+49301": true, "sip:+49@x": true, "sip:4930@x": false, "sip:+4@x": false,
		"sip:+49a30@x": false, "sip:+1234567890123456@x": false, "sip:x": false, "nonsense": false} {
		if r := m.Call(c, "is_uri_user_e164", uri); r.Err != nil || r.OK != want {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}

// script writes a header the parser would not let in, "" to remove it.
func script(t *testing.T, c *api.Ctx, name, value string) {
	t.Helper()
	if value == "" {
		c.Msg.Remove([]byte(name))
		return
	}
	if err := c.Msg.Set([]byte(name), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func TestValidate(t *testing.T) {
	star := map[string]string{"Contact": "*", "Expires": "0"}
	for _, tt := range []struct {
		name, raw, flags string
		set              map[string]string
		status           int
		code             int
		word             string
	}{
		{"invite", mt.Invite, "shrftc", nil, 0, 1, ""},
		{"reply", mt.OK, "shftc", nil, 0, 1, ""},
		{"register", mt.Register, "shrftc", nil, 0, 1, ""},
		{"no Call-ID", mt.Invite, "", map[string]string{"Call-ID": ""}, 0, -3, "no_callid"},
		{"no CSeq", mt.Invite, "", map[string]string{"CSeq": ""}, 0, -7, "no_cseq"},
		{"no From", mt.Invite, "", map[string]string{"From": ""}, 0, -8, "no_from"},
		{"no To", mt.Invite, "", map[string]string{"To": ""}, 0, -9, "no_to"},
		{"no Via", mt.Invite, "", map[string]string{"Via": ""}, 0, -10, "no_via"},
		{"no Max-Forwards", mt.Invite, "", map[string]string{"Max-Forwards": ""}, 0, -13, "no_maxforwards"},
		{"no Max-Forwards, not asked", mt.Invite, "m", map[string]string{"Max-Forwards": ""}, 0, 1, ""},
		{"no Contact", mt.Invite, "c", map[string]string{"Contact": ""}, 0, -14, "no_contact"},
		{"no Contact, not asked", mt.Invite, "", map[string]string{"Contact": ""}, 0, 1, ""},
		{"Path", mt.Invite, "", map[string]string{"Path": "<sip:p>"}, 0, -15, "path"},
		{"no Content-Type", mt.Invite, "", map[string]string{"Content-Type": ""}, 0, -21, "no_content_type"},
		{"From host", mt.Invite, "f", map[string]string{"From": "<sip:a@b..c>;tag=x"}, 0, -25, "from_host"},
		{"From syntax", mt.Invite, "f", map[string]string{"From": "<sip:"}, 0, -24, "bad_from"},
		{"From user", mt.Invite, "f", map[string]string{"From": "<sip:a%zz@b>;tag=x"}, 0, -28, "from_user"},
		{"To host", mt.Invite, "t", map[string]string{"To": "<sip:a@-b>"}, 0, -23, "to_host"},
		{"To syntax", mt.Invite, "t", map[string]string{"To": "x y"}, 0, -22, "bad_to"},
		{"To user", mt.Invite, "t", map[string]string{"To": "<sip:a`b@c>"}, 0, -29, "to_user"},
		{"To, not asked", mt.Invite, "f", map[string]string{"To": "x y"}, 0, 1, ""},
		{"Contact syntax", mt.Invite, "c", map[string]string{"Contact": "<sip:"}, 0, -26, "bad_contact"},
		{"Contact star", mt.Invite, "c", map[string]string{"Contact": "*"}, 0, -30, "star_contact"},
		{"Contact star in REGISTER", mt.Register, "c", star, 0, 1, ""},
		{"Contact star with Expires", mt.Register, "c", map[string]string{"Contact": "*"}, 0, -30, "star_contact"},
		{"401", mt.OK, "", nil, 401, -20, "no_www_authenticate"},
		{"405", mt.OK, "", nil, 405, -16, "no_allow"},
		{"407", mt.OK, "", nil, 407, -18, "no_proxy_authenticate"},
		{"420", mt.OK, "", nil, 420, -19, "no_unsupported"},
		{"423 to INVITE", mt.OK, "", nil, 423, 1, ""},
		{"423 to REGISTER", strings.ReplaceAll(mt.OK, "INVITE", "REGISTER"), "", nil, 423, -17, "no_min_expires"},
		{"Expires", mt.Invite, "h", map[string]string{"Expires": "soon"}, 0, -2, "bad_header"},
		{"Route", mt.Invite, "h", map[string]string{"Route": "<sip:a>, <sip"}, 0, -2, "bad_header"},
		{"empty Subject", mt.Invite, "h", map[string]string{"Subject": " "}, 0, -2, "bad_header"},
		{"MIME", mt.Invite, "h", map[string]string{"Content-Type": "text/*"}, 0, -2, "bad_header"},
		{"credentials", mt.Invite, "h", map[string]string{"Authorization": "Digest"}, 0, -2, "bad_header"},
		{"unclosed quote", mt.Invite, "h", map[string]string{"Authorization": `Digest a="b`}, 0, -2, "bad_header"},
		{"headers, not asked", mt.Invite, "", map[string]string{"Expires": "soon"}, 0, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, c := load(t, tt.raw, map[bool]api.Route{true: api.RouteRequest, false: api.RouteReply}[!strings.HasPrefix(tt.raw, "SIP")])
			for name, value := range tt.set {
				script(t, c, name, value)
			}
			if tt.status != 0 {
				if err := c.Msg.SetStatus(tt.status, nil); err != nil {
					t.Fatal(err)
				}
			}
			r := m.Call(c, "sipmsg_validate", tt.flags)
			if r.Err != nil || r.Code != tt.code || r.Name != tt.word || (r.Text == "") != (tt.code == 1) {
				t.Errorf("answered %+v", r)
			}
		})
	}
}

func TestValidateBody(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	if err := c.Msg.SetBody([]byte("application/sdp"), []byte("v=0\r\nm=audio\r\n")); err != nil {
		t.Fatal(err)
	}
	if r := m.Call(c, "sipmsg_validate", "s"); r.Code != -6 || r.Name != "bad_sdp" {
		t.Errorf("SDP: %+v", r)
	}
	if r := m.Call(c, "sipmsg_validate"); !r.OK {
		t.Errorf("SDP, not asked: %+v", r)
	}
	c.Msg.RemoveID(sip.HdrContentLength)
	c.Source.Socket = m.Host.Socks[1]
	if r := m.Call(c, "sipmsg_validate"); r.Code != -4 || r.Name != "no_content_length" {
		t.Errorf("TCP: %+v", r)
	}
	if r := m.Call(c, "sipmsg_validate", "x"); r.Err == nil {
		t.Error("an unknown flag was taken")
	}
}

func TestValidateRURI(t *testing.T) {
	for uri, code := range map[string]int{"sip:bob@example.com": 1, "sip:[2001:db8::1]": 1, "tel:+49-30": 1, "sip:a@b..c": -12, "sip:a`b@c": -27} {
		m, c := load(t, mt.Invite, api.RouteRequest)
		if err := c.Msg.SetRequestURI([]byte(uri)); err != nil {
			t.Fatal(err)
		}
		if r := m.Call(c, "sipmsg_validate", "r"); r.Code != code {
			t.Errorf("%s: %+v", uri, r)
		}
	}
}
