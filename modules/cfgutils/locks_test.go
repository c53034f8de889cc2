package cfgutils_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

func TestLocks(t *testing.T) {
	for _, kind := range []string{"static", "dynamic"} {
		get, release := "get_"+kind+"_lock", "release_"+kind+"_lock"
		synctest.Test(t, func(t *testing.T) {
			l := load(t, nil)
			a, b, c := l.Host.Ctx("", api.RouteTimer), l.Host.Ctx("", api.RouteTimer), l.Host.Ctx("", api.RouteTimer)
			mustYes(t, l.Call(a, get, "k"))
			if l.Host.Parks() != 0 {
				t.Error("a free lock parked")
			}
			if r := l.Call(a, get, "k"); r.OK || r.Name != "held" {
				t.Errorf("taken twice: %+v", r)
			}
			if r := l.Call(b, release, "k"); r.OK || r.Name != "not_held" {
				t.Errorf("another released it: %+v", r)
			}
			order := make(chan string, 2)
			wait := func(name string, ctx *api.Ctx) {
				if l.Call(ctx, get, "k").OK {
					order <- name
				}
			}
			go wait("b", b)
			synctest.Wait()
			go wait("c", c)
			synctest.Wait()
			if len(order) != 0 {
				t.Fatal("two hold one lock")
			}
			mustYes(t, l.Call(a, release, "k"))
			if got := <-order; got != "b" {
				t.Errorf("%s came first", got)
			}
			mustYes(t, l.Call(b, release, "k"))
			if got := <-order; got != "c" {
				t.Errorf("%s came second", got)
			}
			mustYes(t, l.Call(c, release, "k"))
			mustYes(t, l.Call(a, get, "k"))
		})
	}
}

// TestForgottenLock waits for a lock that nobody releases.
func TestForgottenLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load(t, nil)
		a, b := l.Host.Ctx("", api.RouteTimer), l.Host.Ctx("", api.RouteTimer)
		mustYes(t, l.Call(a, "get_static_lock", "k"))
		began := time.Now()
		mustYes(t, l.Call(b, "get_static_lock", "k"))
		if took := time.Since(began); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("taken over after %v", took)
		}
		if logs := l.Host.Logs(); len(logs) != 1 || logs[0].Level != api.LevelError {
			t.Errorf("logged %+v", logs)
		}
		if r := l.Call(a, "release_static_lock", "k"); r.OK {
			t.Error("the former holder released the new one's lock")
		}
		mustYes(t, l.Call(b, "release_static_lock", "k"))
	})
}

// TestLockGoesWithTransaction takes a lock for a request and releases it when
// the request has become a transaction, which keeps a copy of its state; the
// memory of that state, used for the next request, holds no lock.
func TestLockGoesWithTransaction(t *testing.T) {
	l := load(t, nil)
	c := l.Host.Ctx("", api.RouteTimer)
	mustYes(t, l.Call(c, "get_dynamic_lock", "k"))
	first, copied := c.State, *c.State
	c.State = &copied
	mustYes(t, l.Call(c, "release_dynamic_lock", "k"))

	mustYes(t, l.Call(c, "get_dynamic_lock", "k"))
	*first = api.State{}
	next := l.Host.Ctx("", api.RouteTimer)
	next.State = first
	if r := l.Call(next, "release_dynamic_lock", "k"); r.OK {
		t.Error("another request released the lock")
	}
}

func TestWaiterEndsWithProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan modules.Ret, 1)
		l := load(t, nil)
		mustYes(t, l.Call(l.Host.Ctx("", api.RouteTimer), "get_static_lock", "k"))
		b := l.Host.Ctx("", api.RouteTimer)
		go func() { got <- l.Call(b, "get_static_lock", "k") }()
		synctest.Wait()
		l.Close()
		if r := <-got; r.OK || r.Name != "ending" {
			t.Errorf("the waiter got %+v", r)
		}
	})
}

func TestSharedLocks(t *testing.T) {
	l := load(t, map[string]any{"lock_pool_size": 2})
	c := l.Host.Ctx("", api.RouteTimer)
	mustYes(t, l.Call(c, "strings_share_lock", "a", "a"))
	share, apart := 0, 0
	for i := range 100 {
		if l.Call(c, "strings_share_lock", "a", fmt.Sprint(i)).OK {
			share++
		} else {
			apart++
		}
	}
	if share < 20 || apart < 20 {
		t.Errorf("of 100 strings %d share one of two locks", share)
	}
}
