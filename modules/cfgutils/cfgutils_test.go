package cfgutils_test

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/cfgutils"
	"github.com/luasips/luasips/modules/moduletest"
)

func load(t *testing.T, params map[string]any) *moduletest.Loaded {
	return moduletest.Load(t, moduletest.NewHost(t), cfgutils.Module(), params)
}

func mustYes(t *testing.T, r modules.Ret) {
	t.Helper()
	if r.Err != nil || !r.OK {
		t.Fatalf("not true: %q %q, error %v", r.Name, r.Text, r.Err)
	}
}

func TestParams(t *testing.T) {
	for _, r := range []struct {
		params map[string]any
		want   string
	}{
		{map[string]any{"lock_pool_size": 33}, "power of 2"},
		{map[string]any{"initial_probability": 101}, "0 to 100"},
		{map[string]any{"shvset": "x"}, "name=i:number"},
		{map[string]any{"shvset": "=i:1"}, "name=i:number"},
		{map[string]any{"shvset": "x=i:y"}, "no whole number"},
		{map[string]any{"shvset": "x=q:y"}, "type is i"},
	} {
		_, err := moduletest.TryLoad(t, moduletest.NewHost(t), cfgutils.Module(), r.params)
		if err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%v: error %v, want one with %q", r.params, err, r.want)
		}
	}
}

func TestChance(t *testing.T) {
	l := load(t, map[string]any{"initial_probability": 100})
	c := l.Host.Ctx("", api.RouteTimer)
	for range 50 {
		mustYes(t, l.Call(c, "rand_event"))
		if r := l.Call(c, "rand_event", 0); r.OK || r.Name != "no_event" {
			t.Fatalf("0 percent: %+v", r)
		}
	}
	mustYes(t, l.Call(c, "rand_set_prob", 50))
	if r := l.Call(c, "rand_get_prob"); r.Out.Num != 50 {
		t.Errorf("rand_get_prob = %v", r.Out.Num)
	}
	seen := map[bool]int{}
	for range 1000 {
		seen[l.Call(c, "rand_event").OK]++
	}
	if seen[true] < 300 || seen[false] < 300 {
		t.Errorf("50 percent gave %v", seen)
	}
	mustYes(t, l.Call(c, "rand_reset_prob"))
	if r := l.Call(c, "rand_get_prob"); r.Out.Num != 100 {
		t.Errorf("after reset %v", r.Out.Num)
	}
	if r := l.Call(c, "rand_set_prob", 101); r.Err == nil {
		t.Error("101 percent was taken")
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load(t, nil)
		c := l.Host.Ctx("", api.RouteTimer)
		began := time.Now()
		mustYes(t, l.Call(c, "sleep", 2))
		mustYes(t, l.Call(c, "usleep", 500000))
		if took := time.Since(began); took != 2500*time.Millisecond || l.Host.Parks() != 2 {
			t.Errorf("took %v, parked %d times", took, l.Host.Parks())
		}
		if r := l.Call(c, "sleep", 3601); r.Err == nil {
			t.Error("more than an hour was taken")
		}
	})
}

// TestSleepOverWall waits no longer than script_wall and then raises what the
// script cannot catch.
func TestSleepOverWall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := moduletest.NewHost(t)
		h.Set = map[string]any{"script_wall": 3.0}
		l := moduletest.Load(t, h, cfgutils.Module(), nil)
		a, b := h.Ctx("", api.RouteTimer), h.Ctx("", api.RouteTimer)
		mustYes(t, l.Call(a, "sleep", 3))
		mustYes(t, l.Call(a, "get_static_lock", "k"))
		for _, call := range [][]any{{"sleep", 4}, {"usleep", 3000001}, {"get_static_lock", "k"}} {
			began := time.Now()
			r := l.Call(b, call[0].(string), call[1:]...)
			var over *modules.WallError
			if !errors.As(r.Err, &over) || over.Wall != 3*time.Second || time.Since(began) != 3*time.Second {
				t.Errorf("%v: %v after %v", call, r.Err, time.Since(began))
			}
		}
	})
}

// TestSleepEnds closes the process part around a sleeper.
func TestSleepEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slept := make(chan modules.Ret, 1)
		l := load(t, nil)
		c := l.Host.Ctx("", api.RouteTimer)
		go func() { slept <- l.Call(c, "sleep", 3600) }()
		synctest.Wait()
		l.Close()
		if mustYes(t, <-slept); time.Since(began) > time.Second {
			t.Errorf("the sleeper went on after %v", time.Since(began))
		}
	})
}

func TestLists(t *testing.T) {
	l := load(t, nil)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	c.State.SetAVP("dids", "a", 2.0, true)
	c.State.SetAVP("weights", 0.0, "7", 0.0)
	for _, r := range []struct {
		arg  any
		want float64
	}{{"dids", 3}, {"none", 0}, {[]any{1, 2}, 2}, {nil, 0}, {5, 1}} {
		if got := l.Call(c, "set_count", r.arg); got.Out.Num != r.want {
			t.Errorf("set_count(%v) = %v, want %v", r.arg, got.Out.Num, r.want)
		}
	}
	for range 20 {
		if got := l.Call(c, "set_select_weight", "weights"); got.Out.Num != 1 {
			t.Fatalf("chose %v, which weighs nothing", got.Out.Num)
		}
	}
	counts := [3]int{}
	for range 2000 {
		counts[int(l.Call(c, "set_select_weight", []any{1, 0, 3}).Out.Num)]++
	}
	if share := float64(counts[2]) / 2000; counts[1] != 0 || math.Abs(share-0.75) > 0.1 {
		t.Errorf("weights 1, 0, 3 were chosen %v times", counts)
	}
	for _, none := range []any{"none", []any{0, -1, "x"}} {
		if r := l.Call(c, "set_select_weight", none); r.OK || r.Name != "no_weight" {
			t.Errorf("%v: %+v", none, r)
		}
	}
}

func TestShuffle(t *testing.T) {
	l := load(t, nil)
	c := l.Host.Ctx(moduletest.Invite, api.RouteRequest)
	if r := l.Call(c, "shuffle_avps", "x"); r.OK || r.Name != "no_avp" {
		t.Errorf("nothing to shuffle: %+v", r)
	}
	orders := map[string]bool{}
	for range 200 {
		c.State.SetAVP("x", "a", "b", "c")
		mustYes(t, l.Call(c, "shuffle_avps", "x"))
		var got []string
		for _, v := range c.State.AVP("x") {
			got = append(got, v.(string))
		}
		orders[strings.Join(got, "")] = true
		slices.Sort(got)
		if !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Fatalf("values became %v", got)
		}
	}
	if len(orders) != 6 {
		t.Errorf("%d of 6 orders were seen", len(orders))
	}
}

func TestTimes(t *testing.T) {
	l := load(t, nil)
	l.Host.Advance(1500 * time.Microsecond)
	c := l.Host.Ctx("", api.RouteTimer)
	for _, r := range []struct {
		fn   string
		args []any
		want map[string]any
	}{
		{"get_accurate_time", nil, map[string]any{"sec": 1772446830.0, "usec": 1500.0, "str_sec_usec": "1772446830.001500"}},
		{"ts_usec_delta", []any{10, 300, 12, 100}, map[string]any{"delta_str": "1999800", "delta_int": 1999800.0}},
		{"ts_usec_delta", []any{1772446830, 0, 0, 1}, map[string]any{"delta_str": "1772446829999999", "delta_int": 1772446829999999.0}},
	} {
		if got := moduletest.GoOf(l.Call(c, r.fn, r.args...).Out); !reflect.DeepEqual(got, r.want) {
			t.Errorf("%s%v = %v, want %v", r.fn, r.args, got, r.want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Setenv("LUASIPS_TEST", "here")
	l := load(t, map[string]any{"shvset": []string{"debug=i:1", "gw=s:sip:10.10.10.10"}})
	c := l.Host.Ctx("", api.RouteTimer)
	read := func(name, key string) any {
		return moduletest.GoOf(l.Var(name).GetKey(l.Inst, c, modules.String(key)))
	}
	for _, r := range []struct {
		name, key string
		want      any
	}{
		{"ctime", "sec", 30.0}, {"ctime", "min", 20.0}, {"ctime", "hour", 10.0}, {"ctime", "mday", 2.0}, {"ctime", "mon", 3.0},
		{"ctime", "year", 2026.0}, {"ctime", "wday", 2.0}, {"ctime", "yday", 61.0}, {"ctime", "isdst", 0.0}, {"ctime", "x", nil},
		{"env", "LUASIPS_TEST", "here"}, {"env", "LUASIPS_TEST_NOT", nil},
		{"shv", "debug", 1.0}, {"shv", "gw", "sip:10.10.10.10"}, {"shv", "none", 0.0},
	} {
		if got := read(r.name, r.key); got != r.want {
			t.Errorf("%s.%s = %v, want %v", r.name, r.key, got, r.want)
		}
	}
	random := map[float64]bool{}
	for range 10 {
		n := l.Var("RANDOM").Get(l.Inst, c).Num
		if n < 0 || n >= 1<<31 || n != math.Trunc(n) {
			t.Fatalf("RANDOM = %v", n)
		}
		random[n] = true
	}
	if len(random) < 2 {
		t.Error("RANDOM is always the same")
	}
	set := l.Var("shv").SetKey
	for _, v := range []modules.Value{modules.Int(7), modules.String("x"), modules.Nil()} {
		if err := set(l.Inst, c, modules.String("debug"), v); err != nil {
			t.Fatal(err)
		}
		if got := read("shv", "debug"); v.IsNil() && got != 0.0 || !v.IsNil() && got != moduletest.GoOf(v) {
			t.Errorf("set to %v, reads %v", moduletest.GoOf(v), got)
		}
	}
	if err := set(l.Inst, c, modules.String("debug"), modules.Bool(true)); err == nil || !strings.Contains(err.Error(), "not a boolean") {
		t.Errorf("a boolean: %v", err)
	}
}

func TestSharedIsBounded(t *testing.T) {
	l := load(t, nil)
	set := l.Var("shv").SetKey
	for i := range 65536 {
		if err := set(l.Inst, nil, modules.Int(i), modules.Int(i)); err != nil {
			t.Fatal(err)
		}
	}
	if set(l.Inst, nil, modules.String("more"), modules.Int(1)) == nil {
		t.Error("there is no bound")
	}
	if err := set(l.Inst, nil, modules.Int(5), modules.Int(1)); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
