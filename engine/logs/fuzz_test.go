package logs_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
)

// Whatever a value holds: the record is one line of valid JSON, and the value
// comes back but for what is not UTF-8.
func FuzzValue(f *testing.F) {
	for _, s := range evil {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			return
		}
		l, out := direct()
		l.Write(logs.Record{Level: api.LevelInfo, Msg: "m", Fields: []api.Field{{Key: "v", Value: s}, {Key: "k" + s, Value: 1}}})
		if !utf8.ValidString(out.String()) || strings.ContainsFunc(strings.TrimSuffix(out.String(), "\n"), func(r rune) bool { return r < 0x20 || (r >= 0x7f && r < 0xa0) }) {
			t.Fatalf("raw control characters in %q", out)
		}
		all := lines(t, out.String())
		if want := string([]rune(s)); len(all) != 1 || all[0]["v"] != want {
			t.Fatalf("%q came back as %v", s, all)
		}
	})
}
