package posix_test

import (
	"strconv"
	"testing"

	"github.com/luasips/luasips/modules/textops/posix"
)

func TestCompile(t *testing.T) {
	for _, tt := range []struct {
		pattern, subject string
		flags            posix.Flags
		want             bool
	}{
		{"486|408", "408", 0, true},
		{"4..", "486", 0, true},
		{"^4[0-9][0-9]$", "503", 0, false},
		{"bob", "BOB", 0, false},
		{"bob", "BOB", posix.IgnoreCase, true},
		{"^b", "a\nb", 0, false},
		{"^b", "a\nb", posix.Newline, true},
		{"a.b", "a\nb", 0, true},
		{"a.b", "a\nb", posix.Newline, false},
		{"a[^x]b", "a\nb", posix.Newline, false},
		{"a[^x]b", "a\nb", 0, true},
		{`a[\.]b`, `a\b`, 0, true},
		{`^[]x]+$`, `]x]`, 0, true},
		{`^[[:digit:]]+$`, "0815", 0, true},
		{`\<bob\>`, "a bob b", 0, true},
		{`\<bob\>`, "bobby", 0, false},
		{`^\+49`, "+4930", 0, true},
		{`a{2,3}`, "aa", 0, true},
	} {
		re, err := posix.Compile(tt.pattern, tt.flags)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		if got := re.MatchString(tt.subject); got != tt.want {
			t.Errorf("%q on %q, flags %d: %v, want %v", tt.pattern, tt.subject, tt.flags, got, tt.want)
		}
	}
}

func TestLongest(t *testing.T) {
	re, err := posix.Compile("a|ab|abc", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := re.FindString("xabcd"); got != "abc" {
		t.Errorf("matched %q, want the longest", got)
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, p := range []string{"a(", "[a", `a\`, `(a)\1`, "(?i)a", "[[:digit", string(make([]byte, posix.MaxLength+1))} {
		if _, err := posix.Compile(p, 0); err == nil {
			t.Errorf("%.20q compiled", p)
		}
	}
}

func TestCache(t *testing.T) {
	var c posix.Cache
	first, err := c.Arg("Bob")
	if err != nil || !first.MatchString("bob") {
		t.Fatalf("%v, %v", first, err)
	}
	if again, _ := c.Arg("Bob"); again != first {
		t.Error("compiled twice")
	}
	if other, _ := c.Get("Bob", 0); other == first || other.MatchString("bob") {
		t.Error("flags are not part of the key")
	}
	for i := range 3000 {
		if _, err := c.Arg("x" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := c.Arg("Bob"); again == first {
		t.Error("the cache was never emptied")
	}
}

func FuzzCompile(f *testing.F) {
	for _, p := range []string{"486|408", "[^]a]", `\<a\>`, "[[:alpha:]", "a{1,2}", `\`, "(a", "*"} {
		f.Add(p, "abc486")
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		re, err := posix.Compile(p, posix.IgnoreCase|posix.Newline)
		if err != nil {
			return
		}
		if loc := re.FindStringIndex(s); loc != nil && (loc[0] < 0 || loc[1] > len(s) || loc[0] > loc[1]) {
			t.Errorf("match %v outside of %q", loc, s)
		}
	})
}
