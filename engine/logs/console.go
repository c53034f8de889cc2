package logs

import (
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
)

// console writes r as one line for people:
//
//	15:04:05.000 INFO   tm: callee is not here  call_id=a@b where=main.lua:38 aor=sip:x@y
//
// A stack follows on the same line, its line ends escaped.
func (e *encoder) console(r *Record, now time.Time, dropped uint64, color bool) []byte {
	e.buf = now.AppendFormat(e.buf[:0], "15:04:05.000 ")
	e.paint(color, levelColor(r.Level))
	name := strings.ToUpper(LevelName(r.Level))
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, "       "[:7-len(name)]...)
	e.paint(color, "")
	if r.Component != "" {
		e.words(r.Component)
		e.buf = append(e.buf, ": "...)
	}
	e.words(r.Msg)
	e.buf = append(e.buf, ' ')
	e.pair(color, "call_id", r.CallID)
	e.pair(color, "method", r.Method)
	e.pair(color, "route", r.Route)
	e.pair(color, "where", r.Where)
	if r.Generation != 0 {
		e.pair(color, "generation", strconv.FormatUint(r.Generation, 10))
	}
	if r.Peer.IsValid() {
		e.pair(color, "peer", r.Peer.String())
	}
	for i := range r.Fields {
		if i == maxFields {
			e.pair(color, "fields_cut", strconv.Itoa(len(r.Fields)-i))
			break
		}
		e.any(color, &r.Fields[i])
	}
	e.pair(color, "stack", r.Stack)
	if dropped != 0 {
		e.pair(color, "dropped", strconv.FormatUint(dropped, 10))
	}
	for e.buf[len(e.buf)-1] == ' ' {
		e.buf = e.buf[:len(e.buf)-1]
	}
	e.buf = append(e.buf, '\n')
	return e.buf
}

// words adds text as it is, escaped and cut.
func (e *encoder) words(s string) {
	head, left := e.take(s)
	e.buf = appendEscaped(e.buf, head, false)
	if left > 0 {
		e.buf = appendCut(e.buf, left)
	}
}

// pair adds key=value, the value in quotes when it has a space or one of the
// signs that a reader would stumble over.
func (e *encoder) pair(color bool, key, s string) {
	if s != "" {
		e.value(color, key, s)
	}
}

func (e *encoder) value(color bool, key, s string) {
	e.buf = append(e.buf, ' ')
	e.paint(color, dim)
	e.buf = append(e.buf, key...)
	e.buf = append(e.buf, '=')
	e.paint(color, "")
	if s != "" && !strings.ContainsAny(s, " =\"\\\t\r\n") {
		e.words(s)
		return
	}
	head, left := e.take(s)
	e.buf = append(e.buf, '"')
	e.buf = appendEscaped(e.buf, head, true)
	if left > 0 {
		e.buf = appendCut(e.buf, left)
	}
	e.buf = append(e.buf, '"')
}

func (e *encoder) any(color bool, f *api.Field) {
	s := ""
	switch v := f.Value.(type) {
	case string:
		s = v
	case nil:
		s = "nil"
	default:
		s = text(v)
	}
	e.value(color, fieldKey(f.Key), s)
}

const dim = "2"

func levelColor(l api.Level) string {
	switch {
	case l <= api.LevelError:
		return "31" // red
	case l <= api.LevelWarn:
		return "33" // yellow
	case l >= api.LevelDebug:
		return dim
	}
	return "32" // green
}

// paint begins a colour, or ends it with "".
func (e *encoder) paint(color bool, code string) {
	if !color {
		return
	}
	if code == "" {
		code = "0"
	}
	e.buf = append(e.buf, '\x1b', '[')
	e.buf = append(e.buf, code...)
	e.buf = append(e.buf, 'm')
}
