package modules

import (
	"strconv"

	"github.com/luasips/luasips/engine/api"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds. KindAny in a declaration accepts each of them.
const (
	KindNil Kind = iota
	KindBool
	KindNumber
	KindString
	KindList // []Value
	KindMap  // map[string]Value
	KindFunc // api.Handler
	KindAny
)

var kindNames = [...]string{"nil", "boolean", "number", "string", "list", "table", "function", "any"}

// String is the Lua word for the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// Value crosses between Lua and a module. The zero Value is nil.
type Value struct {
	Kind Kind
	Num  float64 // KindNumber, KindBool (1 or 0)
	Str  string  // KindString
	Any  any     // []Value, map[string]Value or api.Handler
}

// Nil is Lua's nil.
func Nil() Value { return Value{} }

// Bool makes a boolean.
func Bool(b bool) Value {
	if b {
		return Value{Kind: KindBool, Num: 1}
	}
	return Value{Kind: KindBool}
}

// Number makes a number.
func Number(n float64) Value { return Value{Kind: KindNumber, Num: n} }

// Int makes a number from an integer.
func Int(n int) Value { return Value{Kind: KindNumber, Num: float64(n)} }

// String makes a string.
func String(s string) Value { return Value{Kind: KindString, Str: s} }

// Bytes makes a string from bytes, copying them.
func Bytes(b []byte) Value { return Value{Kind: KindString, Str: string(b)} }

// BytesOrNil makes a string, nil for a nil slice.
func BytesOrNil(b []byte) Value {
	if b == nil {
		return Value{}
	}
	return Bytes(b)
}

// StringOrNil makes a string, nil for the empty one.
func StringOrNil(s string) Value {
	if s == "" {
		return Value{}
	}
	return String(s)
}

// List makes a Lua list, indices from 1.
func List(v []Value) Value { return Value{Kind: KindList, Any: v} }

// Map makes a Lua table by name.
func Map(m map[string]Value) Value { return Value{Kind: KindMap, Any: m} }

// Func makes a function value.
func Func(h api.Handler) Value { return Value{Kind: KindFunc, Any: h} }

// IsNil reports whether v is nil.
func (v Value) IsNil() bool { return v.Kind == KindNil }

// Truth is Lua's: all but nil and false.
func (v Value) Truth() bool { return v.Kind != KindNil && !(v.Kind == KindBool && v.Num == 0) }

// List is the list's values, nil when v is none.
func (v Value) List() []Value { l, _ := v.Any.([]Value); return l }

// Map is the table's values, nil when v is none.
func (v Value) Map() map[string]Value { m, _ := v.Any.(map[string]Value); return m }

// Func is the function, nil when v is none.
func (v Value) Func() api.Handler { h, _ := v.Any.(api.Handler); return h }

// Text is the value as cat() and headers show it: numbers without a needless
// fraction, nil as empty.
func (v Value) Text() string {
	switch v.Kind {
	case KindString:
		return v.Str
	case KindNumber:
		if v.Num == float64(int64(v.Num)) {
			return strconv.FormatInt(int64(v.Num), 10)
		}
		return strconv.FormatFloat(v.Num, 'g', 14, 64)
	case KindBool:
		return strconv.FormatBool(v.Num != 0)
	}
	return ""
}

// Ret is what a module function answers. Yes/no functions set OK, Code, Name
// and Text; functions with an output set Out, and where they fail the former.
type Ret struct {
	Code int // OpenSIPS's integer; 0 means 1 when OK, -1 when not
	OK   bool
	Name string // a word
	Text string // a sentence
	// Out is the output; HasOut tells that this function answers it (or nil,
	// result on failure) rather than ok, result.
	Out    Value
	HasOut bool
	// Extra are named outputs set on failure or success, in result.NAME.
	Extra map[string]Value
	// Err is misuse: it raises in the script at the caller's line.
	Err error
}

// Yes is the plain true.
func Yes() Ret { return Ret{OK: true, Code: 1} }

// YesCode is true with a code above 1 and a word ("push_sent").
func YesCode(code int, name string) Ret { return Ret{OK: true, Code: code, Name: name} }

// No is false with OpenSIPS's negative code, a word and a sentence.
func No(code int, name, text string) Ret { return Ret{Code: code, Name: name, Text: text} }

// YesIf is Yes or No(-1, name, text).
func YesIf(ok bool, name, text string) Ret {
	if ok {
		return Yes()
	}
	return No(-1, name, text)
}

// Output answers one output.
func Output(v Value) Ret { return Ret{OK: true, Code: 1, Out: v, HasOut: true} }

// NoOutput is failure of a function with outputs: nil, result.
func NoOutput(code int, name, text string) Ret {
	return Ret{Code: code, Name: name, Text: text, HasOut: true}
}

// Misuse raises err in the script.
func Misuse(err error) Ret { return Ret{Err: err} }

// FromOutcome turns a transaction's answer into a function's.
func FromOutcome(o api.Outcome) Ret {
	return Ret{OK: o.Code > 0, Code: o.Code, Name: o.Name, Text: o.Text}
}
