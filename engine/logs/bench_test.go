package logs_test

import (
	"io"
	"net/netip"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
)

var usual = logs.Record{
	Level: api.LevelInfo, Component: "script", Msg: "callee is not here", CallID: "f81d4fae7dec@192.0.2.1", Method: "INVITE", Route: "main",
	Where: "main.lua:38", Generation: 3, Peer: netip.MustParseAddrPort("192.0.2.1:5060"), Fields: []api.Field{{Key: "aor", Value: "sip:bob@example.com"}, {Key: "n", Value: 2.5}},
}

func TestAllocations(t *testing.T) {
	l := background(io.Discard)
	defer l.Close()
	quiet := usual
	quiet.Level = api.LevelDebug
	if n := testing.AllocsPerRun(200, func() { l.Write(quiet) }); n != 0 {
		t.Errorf("a record below the level allocates %v times", n)
	}
	limited := background(io.Discard, func(o *logs.Options) { o.Rate = 1 })
	defer limited.Close()
	if n := testing.AllocsPerRun(200, func() { limited.Write(usual) }); n != 0 {
		t.Errorf("a record beyond the rate allocates %v times", n)
	}
}

func BenchmarkDisabled(b *testing.B) {
	for name, own := range map[string]api.Level{"all": api.LevelWarn, "another component talks": api.LevelDebug} {
		b.Run(name, func(b *testing.B) {
			l := background(io.Discard, func(o *logs.Options) { o.Levels = map[string]api.Level{"tm": own} })
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				if l.Enabled("script", api.LevelDebug) {
					b.Fatal("enabled")
				}
			}
		})
	}
}

func BenchmarkEnabled(b *testing.B) {
	l := background(io.Discard)
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		l.Write(usual)
	}
}

func BenchmarkRateLimited(b *testing.B) {
	l := background(io.Discard, func(o *logs.Options) { o.Rate = 1 })
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		l.Write(usual)
	}
}
