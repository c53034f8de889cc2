package tr

import (
	"strings"

	"github.com/luasips/luasips/modules"
)

func csvFunctions() []modules.Function {
	return []modules.Function{
		define("csv.count", modules.KindNumber, "How many fields a comma-separated list has; nil for the empty string.",
			func(s string, _ *params) modules.Value {
				fields := SplitCSV(s)
				if fields == nil {
					return modules.Nil()
				}
				return modules.Int(len(fields))
			}),
		define("csv.value", modules.KindString, "One field of a comma-separated list, quotes off; nil outside of the list.",
			func(s string, p *params) modules.Value {
				fields := SplitCSV(s)
				i, ok := at(p.int(0, 0), len(fields))
				if !ok {
					return modules.Nil()
				}
				return modules.String(fields[i])
			}, intArg("index", "field from 0, from the end when negative")),
	}
}

// SplitCSV reads one record of RFC 4180: fields in quotes may hold commas and
// doubled quotes. A quote that never closes runs to the end. nil for "".
func SplitCSV(s string) []string {
	if s == "" {
		return nil
	}
	var fields []string
	for {
		field, rest, more := csvField(s)
		fields = append(fields, field)
		if !more {
			return fields
		}
		s = rest
	}
}

func csvField(s string) (field, rest string, more bool) {
	if !strings.HasPrefix(s, `"`) {
		return strings.Cut(s, ",")
	}
	var b strings.Builder
	i := 1
	for i < len(s) {
		if s[i] == '"' {
			if i+1 == len(s) || s[i+1] != '"' {
				i++
				break
			}
			i++
		}
		b.WriteByte(s[i])
		i++
	}
	tail, rest, more := strings.Cut(s[i:], ",")
	return b.String() + tail, rest, more
}
