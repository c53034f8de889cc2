package maxfwd_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules/maxfwd"
	mt "github.com/luasips/luasips/modules/moduletest"
)

// ctx is a request with that Max-Forwards, "" for none. The value is written by
// the script, since the parser lets only numbers in.
func ctx(t *testing.T, value string, kind api.Route) *api.Ctx {
	t.Helper()
	c := mt.NewCtx(t, mt.Invite, kind)
	if value == "" {
		c.Msg.RemoveID(sip.HdrMaxForwards)
		return c
	}
	if err := c.Msg.Set([]byte("Max-Forwards"), []byte(value)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		limit, code  int
		word, wire   string
	}{
		{"lowered by one", "70", 256, 1, "", "Max-Forwards: 69\r\n"},
		{"added", "", 256, 2, "added", "Max-Forwards: 10\r\n"},
		{"run out", "0", 256, -1, "zero", "Max-Forwards: 0\r\n"},
		{"over the limit", "200", 32, 1, "", "Max-Forwards: 32\r\n"},
		{"no number", "many", 256, -2, "bad_header", "Max-Forwards: many\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ctx(t, tt.header, api.RouteRequest)
			m := mt.Load(t, mt.HostOf(c), maxfwd.Module(), map[string]any{"max_limit": tt.limit})
			r := m.Call(c, "mf_process_maxfwd_header", 10)
			if r.Err != nil || r.Code != tt.code || r.OK != (tt.code > 0) || r.Name != tt.word {
				t.Errorf("answered %+v", r)
			}
			wire := mt.WireOf(c)
			if strings.Count(wire, "Max-Forwards") != 1 || !strings.Contains(wire, tt.wire) {
				t.Errorf("want %q once in\n%s", tt.wire, wire)
			}
		})
	}
}

// What is added is bounded like what is lowered, and by what the header may be.
func TestAddedIsBounded(t *testing.T) {
	for limit, want := range map[int]string{32: "Max-Forwards: 32\r\n", 256: "Max-Forwards: 255\r\n"} {
		c := ctx(t, "", api.RouteRequest)
		m := mt.Load(t, mt.HostOf(c), maxfwd.Module(), map[string]any{"max_limit": limit})
		if r := m.Call(c, "mf_process_maxfwd_header", 256); r.Code != 2 || !strings.Contains(mt.WireOf(c), want) {
			t.Errorf("limit %d: %+v in\n%s", limit, r, mt.WireOf(c))
		}
	}
}

func TestLessThan(t *testing.T) {
	for _, tt := range []struct {
		header string
		code   int
	}{{"4", 1}, {"5", -1}, {"6", -1}, {"", -2}, {"x", -3}} {
		c := ctx(t, tt.header, api.RouteBranch)
		if r := mt.Call(t, c, maxfwd.Module(), "is_maxfwd_lt", 5); r.Code != tt.code {
			t.Errorf("Max-Forwards %q: %+v, want code %d", tt.header, r, tt.code)
		}
	}
}

func TestSeesItsOwnEdit(t *testing.T) {
	c := ctx(t, "1", api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), maxfwd.Module(), nil)
	if r := m.Call(c, "mf_process_maxfwd_header", 10); !r.OK {
		t.Fatal(r)
	}
	if r := m.Call(c, "is_maxfwd_lt", 1); !r.OK {
		t.Errorf("0 is not less than 1: %+v", r)
	}
}

func TestRefuses(t *testing.T) {
	c := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	m := mt.Load(t, mt.HostOf(c), maxfwd.Module(), nil)
	for _, arg := range []any{-1, 257, "x", 1.5} {
		if r := m.Call(c, "mf_process_maxfwd_header", arg); r.Err == nil {
			t.Errorf("%v was taken", arg)
		}
	}
	reply := mt.NewCtx(t, mt.OK, api.RouteReply)
	if r := m.Call(reply, "mf_process_maxfwd_header", 10); r.Err == nil {
		t.Error("worked on a reply")
	}
}
