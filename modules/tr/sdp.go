package tr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func sdpFunctions() []modules.Function {
	which := modules.Arg{Name: "which", Kind: modules.KindAny,
		Doc: "a number: the stream from 0, from the end when negative; a string: its media type (audio)"}
	del := define("sdp.stream_delete", modules.KindString, "An SDP body without one stream, or without all of a media type; nil when there is none such.",
		func(s string, p *params) modules.Value {
			w, ok := p.stream()
			if !ok {
				return modules.Nil()
			}
			return stringIf(DeleteStreams(s, w))
		}, which)
	del.OpenSIPS = "{sdp.stream-delete}"
	return []modules.Function{
		define("sdp.line", modules.KindString, "One line of an SDP body, its type included (\"a=sendrecv\"), its line end not; nil when there is none such.",
			func(s string, p *params) modules.Value { return sdpLine(s, p) },
			strArg("type", "the letter before the equals sign"), optIntArg("index", "0", "which line of that type, from 0")),
		define("sdp.stream", modules.KindString, "One stream of an SDP body from its m= line on; by media type the first; nil when there is none such.",
			func(s string, p *params) modules.Value {
				w, ok := p.stream()
				if !ok {
					return modules.Nil()
				}
				return stringIf(FindStream(s, w))
			}, which),
		del,
	}
}

// Stream selects streams of an SDP body: those of a media type, or when Media
// is empty the one at Index, which counts from the end when negative.
type Stream struct {
	Media string
	Index int
}

// stream reads the parameter that selects a stream; one that is neither number
// nor string is an error that the call raises.
func (p *params) stream() (Stream, bool) {
	switch v := p.a.V[1]; v.Kind {
	case modules.KindString:
		if i, err := strconv.Atoi(v.Str); err == nil {
			return Stream{Index: i}, true
		}
		return Stream{Media: v.Str}, v.Str != ""
	case modules.KindNumber:
		i := p.int(0, 0)
		return Stream{Index: i}, p.err == nil
	default:
		p.err = fmt.Errorf("argument \"which\": wants a number or a media type, got a %s", v.Kind)
		return Stream{}, false
	}
}

// lines cuts a body behind each line feed.
func lines(body string) []string { return strings.SplitAfter(body, "\n") }

func sdpLine(body string, p *params) modules.Value {
	kind, index := p.str(0), p.int(1, 0)
	if len(kind) == 0 || index < 0 {
		return modules.Nil()
	}
	for _, l := range lines(body) {
		if len(l) < 2 || l[0] != kind[0] || l[1] != '=' {
			continue
		}
		if index == 0 {
			return modules.String(strings.TrimRight(l, "\r\n"))
		}
		index--
	}
	return modules.Nil()
}

// streams cuts a body into its session part and its streams.
func streams(body string) (session string, list []string) {
	start, at := -1, 0
	for _, l := range lines(body) {
		if strings.HasPrefix(l, "m=") {
			if start < 0 {
				session = body[:at]
			} else {
				list = append(list, body[start:at])
			}
			start = at
		}
		at += len(l)
	}
	if start < 0 {
		return body, nil
	}
	return session, append(list, body[start:])
}

func (w Stream) matches(i int, stream string) bool {
	if w.Media == "" {
		return i == w.Index
	}
	media, _, _ := strings.Cut(strings.TrimPrefix(stream, "m="), " ")
	return sip.EqualFold(media, w.Media)
}

// FindStream is {sdp.stream,which}.
func FindStream(body string, w Stream) (string, bool) {
	_, list := streams(body)
	w.fromEnd(len(list))
	for i, s := range list {
		if w.matches(i, s) {
			return s, true
		}
	}
	return "", false
}

// DeleteStreams is {sdp.stream-delete,which}.
func DeleteStreams(body string, w Stream) (string, bool) {
	out, list := streams(body)
	w.fromEnd(len(list))
	found := false
	for i, s := range list {
		if w.matches(i, s) {
			found = true
			continue
		}
		out += s
	}
	return out, found
}

func (w *Stream) fromEnd(n int) {
	if w.Index < 0 {
		w.Index += n
	}
}
