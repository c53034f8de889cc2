package rr_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/rr"
)

// recordRoutes are the values of the Record-Route lines on the wire.
func recordRoutes(wire string) []string { return lines(wire, "Record-Route: ") }

func lines(wire, prefix string) []string {
	var out []string
	for l := range strings.SplitSeq(wire, "\r\n") {
		if v, ok := strings.CutPrefix(l, prefix); ok {
			out = append(out, v)
		}
	}
	return out
}

// send is the branch as it leaves by out.
func send(c *api.Ctx, out *api.Socket) string {
	var d sip.Draft
	d.CopyFrom(c.Msg)
	c.State.OnSend(&d, c.Source.Socket, out)
	return string(d.Serialise(nil))
}

func TestRecordRoute(t *testing.T) {
	for _, tt := range []struct {
		name   string
		params map[string]any
		arg    string
		uri    string // request URI, "" as in the message
		out    int    // socket it leaves by
		want   []string
	}{
		{"same socket", nil, "", "", 0, []string{"<sip:127.0.0.1:5060;lr;ftag=a-tag>"}},
		{"parameters", nil, ";nat=yes", "", 0, []string{"<sip:127.0.0.1:5060;lr;ftag=a-tag;nat=yes>"}},
		{"no tag", map[string]any{"append_fromtag": false}, "", "", 0, []string{"<sip:127.0.0.1:5060;lr>"}},
		{"other protocol", nil, ";a=b", "", 1, []string{
			"<sip:127.0.0.1:5060;transport=tcp;r2=on;lr;ftag=a-tag;a=b>", "<sip:127.0.0.1:5060;r2=on;lr;ftag=a-tag;a=b>"}},
		{"other family", nil, "", "", 3, []string{
			"<sip:[::1]:5060;r2=on;lr;ftag=a-tag>", "<sip:127.0.0.1:5060;r2=on;lr;ftag=a-tag>"}},
		{"double off", map[string]any{"enable_double_rr": false}, "", "", 1, []string{"<sip:127.0.0.1:5060;transport=tcp;lr;ftag=a-tag>"}},
		{"user", map[string]any{"add_username": true}, "", "", 0, []string{"<sip:bob@127.0.0.1:5060;lr;ftag=a-tag>"}},
		{"ignored user", map[string]any{"add_username": true, "ignore_user": "bob"}, "", "", 0, []string{"<sip:xob@127.0.0.1:5060;lr;ftag=a-tag>"}},
		{"sips", nil, "", "sips:bob@example.com", 2, []string{
			"<sips:127.0.0.1:5061;r2=on;lr;ftag=a-tag>", "<sips:127.0.0.1:5060;r2=on;lr;ftag=a-tag>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
			if tt.uri != "" {
				if err := c.Msg.SetRequestURI([]byte(tt.uri)); err != nil {
					t.Fatal(err)
				}
			}
			m := mt.Load(t, mt.HostOf(c), rr.Module(), tt.params)
			if r := m.Call(c, "record_route", tt.arg); !r.OK {
				t.Fatalf("%+v", r)
			}
			wire := send(c, mt.HostOf(c).Socks[tt.out])
			if got := recordRoutes(wire); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%q, want\n%q", got, tt.want)
			}
			again := recordRoutes(send(c, c.Source.Socket))
			if len(again) != 1 || strings.Contains(again[0], "r2=on") {
				t.Errorf("a branch by the incoming socket has %q", again)
			}
		})
	}
}

func TestRecordRouteGoesOnTop(t *testing.T) {
	raw := strings.Replace(mt.Invite, "Max-Forwards", "Record-Route: <sip:192.0.2.10;lr>\nMax-Forwards", 1)
	c := mt.NewCtx(t, raw, api.RouteRequest)
	mt.Call(t, c, rr.Module(), "record_route")
	want := []string{"<sip:127.0.0.1:5060;lr;ftag=a-tag>", "<sip:192.0.2.10;lr>"}
	if got := recordRoutes(mt.WireOf(c)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRecordRouteSecureByTop(t *testing.T) {
	raw := strings.Replace(mt.Invite, "Max-Forwards", "Record-Route: <sips:192.0.2.10;lr>\nMax-Forwards", 1)
	c := mt.NewCtx(t, raw, api.RouteRequest)
	mt.Call(t, c, rr.Module(), "record_route")
	if got := recordRoutes(mt.WireOf(c)); !strings.HasPrefix(got[0], "<sips:") {
		t.Errorf("got %q below a sips Record-Route", got)
	}
}

func TestRecordRouteOnce(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
	m.Call(c, "record_route")
	if r := m.Call(c, "record_route"); r.OK || r.Name != "already" {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "record_route_preset", "198.51.100.1:5060"); r.OK || r.Name != "already" {
		t.Errorf("preset: %+v", r)
	}
	if n := len(recordRoutes(send(c, c.Source.Socket))); n != 1 {
		t.Errorf("%d headers", n)
	}
}

// A branch route speaks for its own branch.
func TestRecordRouteInBranches(t *testing.T) {
	h := mt.NewHost(t)
	m := mt.Load(t, h, rr.Module(), nil)
	state := &api.State{}
	for i := range 3 {
		c := h.Ctx(mt.Invite, api.RouteBranch)
		c.State, c.Branch = state, i
		if i == 1 {
			if got := recordRoutes(send(c, h.Socks[1])); len(got) != 0 {
				t.Errorf("branch 1 has %q", got)
			}
			continue
		}
		if r := m.Call(c, "record_route"); !r.OK {
			t.Fatalf("branch %d: %+v", i, r)
		}
		if r := m.Call(c, "record_route"); r.OK {
			t.Errorf("branch %d: twice", i)
		}
		if got := recordRoutes(send(c, h.Socks[1])); len(got) != 2 || strings.Count(strings.Join(got, ""), "r2=on") != 2 {
			t.Errorf("branch %d has %q", i, got)
		}
	}
}

// A request that passes here a second time has our header of the first pass.
func TestRecordRouteSpiral(t *testing.T) {
	mine := "<sip:127.0.0.1:5060;lr;ftag=a-tag>"
	c := mt.NewCtx(t, strings.Replace(mt.Invite, "Max-Forwards", "Record-Route: "+mine+"\nMax-Forwards", 1), api.RouteRequest)
	mt.Call(t, c, rr.Module(), "record_route")
	want := []string{"<sip:127.0.0.1:5060;transport=tcp;r2=on;lr;ftag=a-tag>", "<sip:127.0.0.1:5060;r2=on;lr;ftag=a-tag>", mine}
	if got := recordRoutes(send(c, mt.HostOf(c).Socks[1])); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAddParam(t *testing.T) {
	for _, order := range [][]string{{"before", "record"}, {"record", "after"}, {"before", "record", "after"}} {
		c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
		want := "<sip:127.0.0.1:5060;lr;ftag=a-tag"
		for _, step := range order {
			if step == "record" {
				m.Call(c, "record_route")
				continue
			}
			want += ";" + step + "=1"
			if r := m.Call(c, "add_rr_param", ";"+step+"=1"); !r.OK {
				t.Fatalf("%+v", r)
			}
		}
		if got := recordRoutes(send(c, c.Source.Socket)); !slices.Equal(got, []string{want + ">"}) {
			t.Errorf("%v: got %q", order, got)
		}
		for _, got := range recordRoutes(send(c, mt.HostOf(c).Socks[1])) {
			if strings.Count(got, "=1") != strings.Count(want, "=1") {
				t.Errorf("%v: a header of two lacks parameters: %q", order, got)
			}
		}
	}
}

func TestAddParamRefuses(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
	for _, p := range []string{"", "nat=yes", ";nat=yes>", ";a b", ";a\r\nX: y", ";a?b", ";;a", ";a,b"} {
		if r := m.Call(c, "add_rr_param", p); r.Err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	if r := m.Call(c, "record_route", "nat"); r.Err == nil {
		t.Error("record_route took nat")
	}
	if r := m.Call(c, "record_route"); !r.OK {
		t.Errorf("a refused call counted: %+v", r)
	}
}

func TestPreset(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), nil)
	m.Call(c, "add_rr_param", ";x=1")
	if r := m.Call(c, "record_route_preset", "198.51.100.1:5090;transport=tcp;r2=on", "203.0.113.1:5060;r2=on"); !r.OK {
		t.Fatalf("%+v", r)
	}
	want := []string{"<sip:198.51.100.1:5090;transport=tcp;r2=on;ftag=a-tag;lr;x=1>", "<sip:203.0.113.1:5060;r2=on;ftag=a-tag;lr;x=1>"}
	if got := recordRoutes(send(c, mt.HostOf(c).Socks[1])); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPresetRefuses(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), rr.Module(), map[string]any{"enable_double_rr": false})
	if r := m.Call(c, "record_route_preset", "a b"); r.Err == nil {
		t.Error("took a b")
	}
	if r := m.Call(c, "record_route_preset", "198.51.100.1", "203.0.113.1"); r.Err == nil {
		t.Error("took two addresses while double is off")
	}
	if r := m.Call(c, "record_route_preset", "198.51.100.1"); !r.OK {
		t.Errorf("%+v", r)
	}
}
