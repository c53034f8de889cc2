package tr

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func stringFunctions() []modules.Function {
	length := intArg("len", "length of the result in bytes")
	fill := strArg("fill", "what to fill with, repeated as needed")
	return []modules.Function{
		define("s.len", modules.KindNumber, "Length in bytes.",
			func(s string, _ *params) modules.Value { return modules.Int(len(s)) }),
		define("s.int", modules.KindNumber, "The decimal number that the value begins with, 0 when it begins with none.",
			func(s string, _ *params) modules.Value { return modules.Number(Int(s)) }),
		equalFunction(),
		text("s.reverse", "The bytes in reverse order.", always(Reverse)),
		define("s.substr", modules.KindString, "Part of the value; nil when it begins outside.",
			func(s string, p *params) modules.Value { return stringIf(Substr(s, p.int(0, 0), p.int(1, 0))) },
			intArg("offset", "first byte from 0, from the end when negative"),
			optIntArg("length", "0", "bytes to take; 0 takes all that follow, negative leaves out so many at the end")),
		define("s.select", modules.KindString, "One field of a list; nil when there are fewer, \"\" when it is empty.",
			func(s string, p *params) modules.Value { return stringIf(Select(s, p.int(0, 0), p.str(1))) },
			intArg("index", "field from 0, from the end when negative"),
			strArg("separator", "the character between fields; of a longer string the first byte counts")),
		text("s.tolower", "ASCII letters in lower case.", always(ToLower)),
		text("s.toupper", "ASCII letters in upper case.", always(ToUpper)),
		define("s.index", modules.KindNumber, "Where a string first stands, from 0; nil when it does not.",
			func(s string, p *params) modules.Value { return indexOrNil(Index(s, p.str(0), p.int(1, 0))) },
			strArg("needle", "the string to look for"), optIntArg("from", "0", "where to begin; negative counts from the end and wraps")),
		define("s.rindex", modules.KindNumber, "Where a string last stands, from 0; nil when it does not.",
			func(s string, p *params) modules.Value { return indexOrNil(RIndex(s, p.str(0), p.int(1, len(s)-1))) },
			strArg("needle", "the string to look for"), optIntArg("from", "end", "the last place to look at; negative counts from the end and wraps")),
		define("s.fill.left", modules.KindString, "The value filled at its left to a length; longer values stay.",
			func(s string, p *params) modules.Value { return filled(s, p, true) }, fill, length),
		define("s.fill.right", modules.KindString, "The value filled at its right to a length; longer values stay.",
			func(s string, p *params) modules.Value { return filled(s, p, false) }, fill, length),
		define("s.width", modules.KindString, "The value cut, or filled with spaces at its right, to a length.",
			func(s string, p *params) modules.Value { return width(s, p) }, length),
		text("s.trim", "Without white space at both ends.", always(func(s string) string { return strings.Trim(s, blanks) })),
		text("s.triml", "Without white space at the left.", always(func(s string) string { return strings.TrimLeft(s, blanks) })),
		text("s.trimr", "Without white space at the right.", always(func(s string) string { return strings.TrimRight(s, blanks) })),
		text("s.dec2hex", "A decimal number in hexadecimal, 32 bits; nil when it is none.", Dec2Hex),
		define("s.hex2dec", modules.KindNumber, "A hexadecimal number of up to 8 digits; nil when it is none.",
			func(s string, _ *params) modules.Value { return numberIf(Hex2Dec(s)) }),
		define("s.date2unix", modules.KindNumber, "The Unix time of a SIP Date header value, in seconds; nil when it is none.",
			func(s string, _ *params) modules.Value { return numberIf(Date2Unix(s)) }),
	}
}

// equalFunction declares s.eq, which accepts nil on both sides.
func equalFunction() modules.Function {
	doc := "Whether two values are equal without regard to ASCII letter case, as OpenSIPS's == compares strings; nil equals nil alone."
	spec := modules.Spec{Name: "s.eq", OpenSIPS: "==", Doc: doc, TopLevel: true,
		Outputs: []modules.OutputDoc{{Name: "value", Kind: modules.KindBool, Doc: "the result"}}}
	other := subject()
	other.Name, other.Doc = "other", "the value to compare with; may be nil"
	return modules.FN(spec, []modules.Arg{subject(), other}, equalValues)
}

// blanks are the characters that trim cuts.
const blanks = " \t\r\n"

// maxExact is the largest integer that a Lua number holds exactly.
const maxExact = 1 << 53

func indexOrNil(i int) modules.Value {
	if i < 0 {
		return modules.Nil()
	}
	return modules.Int(i)
}

func numberIf(n int64, ok bool) modules.Value {
	if !ok {
		return modules.Nil()
	}
	return modules.Number(float64(n))
}

// Int is {s.int}: the decimal number that s begins with, a sign before it
// allowed; 0 when it begins with none. It stops at 2^53.
func Int(s string) float64 {
	neg := strings.HasPrefix(s, "-")
	if neg || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	n := 0.0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		n = min(n*10+float64(s[i]-'0'), maxExact)
	}
	if neg {
		return -n
	}
	return n
}

// Reverse is {s.reverse}.
func Reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// Substr is {s.substr,offset,length}. ok is false when offset is outside of s
// or length leaves out more than is there.
func Substr(s string, offset, length int) (out string, ok bool) {
	if offset, ok = at(offset, len(s)); !ok {
		return "", false
	}
	s = s[offset:]
	if length < 1 {
		length += len(s)
	}
	if length < 0 {
		return "", false
	}
	return s[:min(length, len(s))], true
}

// Select is {s.select,index,separator}; the first byte of separator counts.
func Select(s string, index int, separator string) (out string, ok bool) {
	if separator == "" {
		return "", false
	}
	sep := separator[0]
	if index < 0 {
		return selectBack(s, -index-1, sep)
	}
	for ; index > 0; index-- {
		i := strings.IndexByte(s, sep)
		if i < 0 {
			return "", false
		}
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, sep); i >= 0 {
		s = s[:i]
	}
	return s, true
}

func selectBack(s string, skip int, sep byte) (string, bool) {
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(s, sep)
		if i < 0 {
			return "", false
		}
		s = s[:i]
	}
	return s[strings.LastIndexByte(s, sep)+1:], true
}

// ToLower is {s.tolower}: ASCII letters alone.
func ToLower(s string) string { return mapASCII(s, 'A', 'a') }

// ToUpper is {s.toupper}: ASCII letters alone.
func ToUpper(s string) string { return mapASCII(s, 'a', 'A') }

// mapASCII moves the 26 letters from first on to those from into on.
func mapASCII(s string, first, into byte) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if c := s[i] - first; c < 26 {
			if b == nil {
				b = []byte(s)
			}
			b[i] = into + c
		}
	}
	if b == nil {
		return s
	}
	return string(b)
}

// wrap turns a negative start into one from the end, modulo the length.
func wrap(from, n int) int {
	if from >= 0 || n == 0 {
		return max(from, 0)
	}
	if r := -from % n; r > 0 {
		return n - r
	}
	return 0
}

// Index is {s.index,needle,from}; -1 when needle does not stand in s. An empty
// needle stands nowhere.
func Index(s, needle string, from int) int {
	from = wrap(from, len(s))
	if needle == "" || from >= len(s) {
		return -1
	}
	if i := strings.Index(s[from:], needle); i >= 0 {
		return from + i
	}
	return -1
}

// RIndex is {s.rindex,needle,from}: the last place at or before from.
func RIndex(s, needle string, from int) int {
	if needle == "" || len(needle) > len(s) {
		return -1
	}
	from = min(wrap(from, len(s)), len(s)-len(needle))
	return strings.LastIndex(s[:from+len(needle)], needle)
}

func filled(s string, p *params, left bool) modules.Value {
	n := p.int(1, 0)
	fill := p.str(0)
	switch {
	case n > maxLength:
		p.err = fmt.Errorf("length %d is over %d bytes", n, maxLength)
	case fill == "":
		p.err = fmt.Errorf("fill is empty")
	default:
		return modules.String(Fill(s, fill, n, left))
	}
	return modules.Nil()
}

// Fill is {s.fill.left,fill,n} and {s.fill.right,fill,n}. On the left the fill
// ends at the value, so that "abc" fills "485" to 8 bytes as "bcabc485".
func Fill(s, fill string, n int, left bool) string {
	missing := n - len(s)
	if missing <= 0 || fill == "" {
		return s
	}
	f := strings.Repeat(fill, missing/len(fill)+1)
	if left {
		return f[len(f)-missing:] + s
	}
	return s + f[:missing]
}

func width(s string, p *params) modules.Value {
	n := p.int(0, 0)
	if n < 1 || n > maxLength {
		p.err = fmt.Errorf("width %d must be 1 to %d", n, maxLength)
		return modules.Nil()
	}
	if n <= len(s) {
		return modules.String(s[:n])
	}
	return modules.String(s + strings.Repeat(" ", n-len(s)))
}

// Dec2Hex is {s.dec2hex}: 32 bits, negative numbers as their two's complement.
func Dec2Hex(s string) (string, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 {
		return "", false
	}
	return strconv.FormatUint(uint64(uint32(n)), 16), true
}

// Hex2Dec is {s.hex2dec}; an 0x before the digits is allowed.
func Hex2Dec(s string) (int64, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X")
	n, err := strconv.ParseUint(s, 16, 32)
	return int64(n), err == nil
}

// Date2Unix is {s.date2unix}: a SIP Date value (RFC 3261 §20.17).
func Date2Unix(s string) (int64, bool) {
	t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 GMT", strings.Trim(s, blanks))
	if err != nil {
		return 0, false
	}
	return t.Unix(), true
}
func equalValues(_ *config, _ *api.Ctx, a *modules.Args) modules.Ret {
	x, y := a.V[0], a.V[1]
	if x.IsNil() || y.IsNil() {
		return modules.Output(modules.Bool(x.IsNil() && y.IsNil()))
	}
	return modules.Output(modules.Bool(sip.EqualFold(x.Text(), y.Text())))
}
