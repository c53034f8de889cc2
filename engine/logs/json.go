package logs

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/rs/zerolog"
)

// bounds limit what one record may take, in bytes.
type bounds struct{ field, record int }

// maxFields and maxKey bound the fields of a record and a field's name.
const (
	maxFields = 64
	maxKey    = 64
)

// encoder is the scratch memory of one record under way.
type encoder struct {
	buf    []byte
	left   int // bytes of values that the record may still take
	bounds bounds
}

// timeForm is RFC 3339 with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// json sends r as one JSON object: time, level, msg, what is known of the run,
// then the fields in their order.
func (e *encoder) json(ev *zerolog.Event, r *Record, now time.Time, dropped uint64) {
	e.buf = now.AppendFormat(e.buf[:0], timeForm)
	ev.Bytes("time", e.buf)
	ev.Str("level", LevelName(r.Level))
	e.str(ev, "msg", r.Msg)
	e.known(ev, "component", r.Component)
	e.known(ev, "call_id", r.CallID)
	e.known(ev, "method", r.Method)
	e.known(ev, "route", r.Route)
	e.known(ev, "where", r.Where)
	if r.Generation != 0 {
		ev.Uint64("generation", r.Generation)
	}
	if r.Peer.IsValid() {
		e.buf = r.Peer.AppendTo(e.buf[:0])
		ev.Bytes("peer", e.buf)
	}
	for i := range r.Fields {
		if i == maxFields {
			ev.Int("fields_cut", len(r.Fields)-i)
			break
		}
		e.field(ev, &r.Fields[i])
	}
	e.known(ev, "stack", r.Stack)
	if dropped != 0 {
		ev.Uint64("dropped", dropped)
	}
	ev.Send()
}

// known adds a string that the record may lack.
func (e *encoder) known(ev *zerolog.Event, key, s string) {
	if s != "" {
		e.str(ev, key, s)
	}
}

// str adds a string, escaped and cut.
func (e *encoder) str(ev *zerolog.Event, key, s string) {
	head, left := e.take(s)
	if left == 0 && plain(head) {
		ev.Str(key, head)
		return
	}
	e.buf = append(e.buf[:0], '"')
	e.buf = appendEscaped(e.buf, head, true)
	if left > 0 {
		e.buf = appendCut(e.buf, left)
	}
	e.buf = append(e.buf, '"')
	ev.RawJSON(key, e.buf)
}

// take is what s may have of the record's bytes, and how many are cut.
func (e *encoder) take(s string) (head string, left int) {
	head, left = cut(s, min(e.bounds.field, e.left))
	e.left -= len(head)
	return head, left
}

// field adds one value by its type. Numbers stay numbers; what JSON has no
// number for (NaN, infinities) becomes a string, and so does a duration.
func (e *encoder) field(ev *zerolog.Event, f *api.Field) {
	key := fieldKey(f.Key)
	switch v := f.Value.(type) {
	case string:
		e.str(ev, key, v)
	case bool:
		ev.Bool(key, v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			ev.Str(key, strconv.FormatFloat(v, 'g', -1, 64))
			return
		}
		ev.Float64(key, v)
	case int:
		ev.Int(key, v)
	case int64:
		ev.Int64(key, v)
	case uint64:
		ev.Uint64(key, v)
	case nil:
		ev.RawJSON(key, jsonNull)
	default:
		e.str(ev, key, text(v))
	}
}

var jsonNull = []byte("null")

// text is the value of another type as fmt writes it, which survives a method
// that panics.
func text(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return v.String()
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

// reserved are the names that a record gives itself; a field of that name gets
// an underscore, so that it cannot pass for one.
var reserved = map[string]bool{
	"time": true, "level": true, "msg": true, "component": true, "call_id": true, "method": true, "route": true,
	"where": true, "generation": true, "peer": true, "stack": true, "dropped": true, "fields_cut": true,
}

// fieldKey is a field's name as it is written: cut, and without characters that
// would have to be escaped.
func fieldKey(key string) string {
	if reserved[key] {
		return key + "_"
	}
	if len(key) <= maxKey && key != "" && plain(key) {
		return key
	}
	head, _ := cut(key, maxKey)
	out := make([]byte, 0, len(head)+1)
	for _, r := range head {
		if !visible(r) {
			r = '_'
		}
		out = append(out, string(r)...)
	}
	if len(out) == 0 {
		return "_"
	}
	return string(out)
}
