package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
)

// gate is an output that lets a write through when told to, and can fail.
type gate struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	fail func(p []byte) (int, error)
	pass chan struct{} // nil: open
}

func (g *gate) Write(p []byte) (int, error) {
	if g.pass != nil {
		<-g.pass
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		n, err := g.fail(p)
		g.buf.Write(p[:n])
		return n, err
	}
	return g.buf.Write(p)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.String()
}

func (g *gate) setFail(f func(p []byte) (int, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail = f
}

// background makes a Logger with a writing goroutine.
func background(out io.Writer, edit ...func(*logs.Options)) *logs.Logger {
	o := logs.Options{Out: out, Rate: -1, Go: func(_ string, fn func()) { go fn() }}
	for _, f := range edit {
		f(&o)
	}
	return logs.New(o)
}

func note(l *logs.Logger, format string, args ...any) {
	l.Write(logs.Record{Level: api.LevelInfo, Msg: fmt.Sprintf(format, args...)})
}

func TestBackgroundKeepsOrder(t *testing.T) {
	var out gate
	l := background(&out)
	for i := range 1000 {
		note(l, "n%d", i)
		if i == 500 {
			if err := l.Flush(context.Background()); err != nil || !strings.Contains(out.String(), `"n500"`) {
				t.Errorf("after Flush: %v, n500 not there", err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := lines(t, out.String())
	for i, m := range all {
		if m["msg"] != fmt.Sprint("n", i) {
			t.Fatalf("line %d is %v", i, m["msg"])
		}
	}
	if len(all) != 1000 || l.Lost() != 0 {
		t.Errorf("%d lines, %d lost, want 1,000 and 0", len(all), l.Lost())
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	note(l, "too late")
	if l.Lost() != 1 {
		t.Errorf("a record after Close: %d lost, want 1", l.Lost())
	}
}

// A slow output holds up no one: lines beyond the buffer are dropped, counted,
// and told of once there is room.
func TestSlowOutputDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := gate{pass: make(chan struct{})}
		l := background(&out, func(o *logs.Options) { o.Buffer = 1000 })
		begin := time.Now()
		note(l, "first")
		synctest.Wait()
		for i := range 100 {
			note(l, "n%02d", i)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("logging waited %v for the output", d)
		}
		lost := l.Lost()
		if lost < 80 || lost > 95 {
			t.Errorf("%d of 100 lines lost, want what 1,000 bytes do not hold", lost)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Flush(ctx); !errors.Is(err, logs.ErrSlow) {
			t.Errorf("Flush: %v, want ErrSlow", err)
		}
		close(out.pass)
		if err := l.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		all := lines(t, out.String())
		told := all[len(all)-1]
		if told["dropped"] != float64(lost) || told["level"] != "warn" {
			t.Errorf("last line is %v, want one on %d lost lines", told, lost)
		}
		if len(all) != 1+100-int(lost)+1 {
			t.Errorf("%d lines for 101 records with %d lost and one that tells", len(all), lost)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A full disk costs lines, not calls; what is told afterwards is complete, and
// a torn line does not swallow the next.
func TestFailingOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out gate
		full := errors.New("no space left on device")
		l := background(&out)
		out.setFail(func(p []byte) (int, error) { return 10, full })
		note(l, "torn")
		synctest.Wait()
		out.setFail(func(p []byte) (int, error) { return 0, full })
		for i := range 3 {
			note(l, "lost%d", i)
			synctest.Wait()
		}
		if l.Lost() != 4 {
			t.Errorf("%d lost, want 4", l.Lost())
		}
		out.setFail(nil)
		note(l, "again")
		synctest.Wait()
		torn, rest, _ := strings.Cut(out.String(), "\n")
		if len(torn) != 10 {
			t.Errorf("torn line is %q", torn)
		}
		all := lines(t, rest)
		if len(all) != 2 || all[0]["msg"] != "again" || all[1]["dropped"] != 4.0 {
			t.Errorf("got %v, want the record and a line on 4 lost ones", all)
		}
		l.Close()
	})
}

func TestCloseDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := gate{pass: make(chan struct{})}
		l := background(&out)
		note(l, "stuck")
		begin := time.Now()
		if err := l.Close(); !errors.Is(err, logs.ErrSlow) || time.Since(begin) != 5*time.Second {
			t.Errorf("Close: %v after %v, want ErrSlow after 5 s", err, time.Since(begin))
		}
		close(out.pass)
	})
}

func TestManyWriters(t *testing.T) {
	var out gate
	l := background(&out)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				l.Write(logs.Record{Level: api.LevelInfo, Msg: "m", CallID: fmt.Sprint(g), Fields: []api.Field{{Key: "i", Value: i}}})
				if i%50 == 0 {
					l.SetLevel("tm", api.LevelDebug)
				}
			}
		})
	}
	wg.Wait()
	l.Close()
	if n := len(lines(t, out.String())); n != 1600 {
		t.Errorf("%d lines, want 1,600", n)
	}
}
