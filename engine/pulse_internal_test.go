package engine

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPulseRests: while nobody works nothing beats, and a call ends the rest.
func TestPulseRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		var beats atomic.Int32
		rouse := e.OnPulse(func(time.Time) bool { beats.Add(1); return false })
		time.Sleep(30 * time.Minute)
		if n := beats.Load(); n > 2 {
			t.Errorf("%d beats in half an hour without work", n)
		}
		beats.Store(0)
		rouse()
		time.Sleep(time.Second)
		if n := beats.Load(); n < 1 || n > 3 {
			t.Errorf("%d beats behind one call, want one or two", n)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
