package sip_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// cutStream feeds a stream in the chunks given and returns its frames, the pings
// seen and the error that ended it.
func cutStream(chunks [][]byte, lim *sip.Limits) (frames []string, pings int, err error) {
	var st sip.FrameState
	var buf []byte
	for _, c := range chunks {
		buf = append(buf, c...)
		for {
			skip, n, ping, err := sip.Frame(buf, lim, &st)
			if ping {
				pings++
			}
			buf = buf[skip:]
			if err != nil {
				return frames, pings, err
			}
			if n == 0 {
				break
			}
			frames = append(frames, string(buf[:n]))
			buf = buf[n:]
		}
	}
	return frames, pings, nil
}

func TestFrameSplitAnywhere(t *testing.T) {
	stream := invite + "\r\n\r\n" + request("l: 0\r\n", "") + "\r\n" + request("Content-Length :\r\n 3\r\n", "a\r\n") + invite
	whole, pings, err := cutStream([][]byte{[]byte(stream)}, nil)
	if err != nil || len(whole) != 4 || pings != 1 {
		t.Fatalf("%d frames, %d pings, %v", len(whole), pings, err)
	}
	for i := range len(stream) + 1 {
		got, _, err := cutStream([][]byte{[]byte(stream[:i]), []byte(stream[i:])}, nil)
		if err != nil || strings.Join(got, "|") != strings.Join(whole, "|") {
			t.Fatalf("split at %d: %d frames, %v", i, len(got), err)
		}
	}
	var single [][]byte
	for i := range len(stream) {
		single = append(single, []byte(stream[i:i+1]))
	}
	got, pings, err := cutStream(single, nil)
	if err != nil || pings != 1 || strings.Join(got, "|") != strings.Join(whole, "|") {
		t.Fatalf("byte by byte: %d frames, %d pings, %v", len(got), pings, err)
	}
	for _, f := range whole {
		var m sip.Message
		if err := m.ParseFrame([]byte(f), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestFramePipelined(t *testing.T) {
	frames, _, err := cutStream([][]byte{[]byte(strings.Repeat(invite, 100))}, nil)
	if err != nil || len(frames) != 100 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
}

func TestFrameKeepAlives(t *testing.T) {
	for in, want := range map[string]int{"\r\n": 0, "\r\n\r\n": 1, "\r\n\r\n\r\n\r\n": 1, "\r": 0, "": 0} {
		_, pings, err := cutStream([][]byte{[]byte(in)}, nil)
		if pings != want || err != nil {
			t.Errorf("%q: %d pings, %v", in, pings, err)
		}
	}
	_, pings, _ := cutStream([][]byte{[]byte("\r\n\r\n"), []byte("\r\n"), []byte("\r"), []byte("\n")}, nil)
	if pings != 2 {
		t.Errorf("%d pings of two", pings)
	}
}

// TestFrameRefused holds that a stream is never guessed at, and that the head of
// the message at fault is given back.
func TestFrameRefused(t *testing.T) {
	for _, row := range []struct {
		name, stream string
		code         int
		head         bool
	}{
		{"no length", request("", ""), 400, true},
		{"length twice", request("l: 0\r\nContent-Length: 0\r\n", ""), 400, true},
		{"negative", request("l: -1\r\n", ""), 400, true},
		{"overflow 32", request("l: 4294967296\r\n", ""), 400, true},
		{"overflow 64", request("l: 18446744073709551616\r\n", ""), 400, true},
		{"1 GiB", request("l: 1073741824\r\n", ""), 513, true},
		{"body over limit", request("l: 65536\r\n", ""), 513, true},
		{"sum over limit", request("l: 65530\r\n", ""), 513, true},
		{"bad name", request("l\x01: 0\r\nl: 0\r\n", ""), 400, true},
		{"bare LF", request("a: b\nl: 0\r\n", ""), 400, true},
		{"bare CR", request("a: b\rc\r\nl: 0\r\n", ""), 400, true},
		{"NUL", request("a: \x00\r\nl: 0\r\n", ""), 400, true},
		{"hidden length", request("a: b\r\n l: 5\r\nl: 0\r\n", ""), 400, true},
		{"blank fold", request("a: b\r\n \t\r\nl: 0\r\n", ""), 400, true},
		{"look-alike length", request("Content_Length: 5\r\nl: 0\r\n", ""), 400, true},
		{"binary", "\x16\x03\x01\x02\x00", 400, false},
		{"lone LF", "\n", 400, false},
		{"CR alone", "\rO", 400, false},
		{"start line in LF", "OPTIONS sip:a SIP/2.0\nl: 0\r\n\r\n", 400, true},
		{"endless head", "OPTIONS sip:" + strings.Repeat("a", 70000), 513, false},
	} {
		var st sip.FrameState
		_, n, _, err := sip.Frame([]byte(row.stream), nil, &st)
		var pe *sip.ParseError
		if !errors.As(err, &pe) || pe.Code != row.code || (n > 0) != row.head {
			t.Errorf("%s: n %d, %v", row.name, n, err)
			continue
		}
		var m sip.Message
		if err := m.ParseFrame([]byte(row.stream[:n]), nil); err == nil {
			t.Errorf("%s: its head parses", row.name)
		}
	}
}

func TestParseFrameExact(t *testing.T) {
	for name, frame := range map[string]string{
		"too long":  request("l: 1\r\n", "ab"),
		"too short": request("l: 3\r\n", "ab"),
		"no length": request("", ""),
	} {
		var m sip.Message
		if err := m.ParseFrame([]byte(frame), nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
