package mi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/mi"
)

// poster sends bodies over one connection.
func poster(t *testing.T, path string) func(body string) (int, []byte) {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	client := &http.Client{Transport: tr}
	return func(body string) (int, []byte) {
		resp, err := client.Post("http://localhost/mi", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, out
	}
}

// bad are requests that no command runs for, and the code of the answer.
var bad = map[string]int{
	"":     mi.CodeParse,
	"{":    mi.CodeParse,
	"\x00": mi.CodeParse,
	`{"jsonrpc":"2.0","method":"` + strings.Repeat("m", 4096): mi.CodeParse,
	`[{"jsonrpc":"2.0","method":"echo","id":1}]`:              mi.CodeInvalidRequest,
	`"reload"`:                                              mi.CodeInvalidRequest,
	`{"jsonrpc":"2.0","method":5,"id":1}`:                   mi.CodeInvalidRequest,
	`{"method":"echo","id":1}`:                              mi.CodeInvalidRequest,
	`{"jsonrpc":"1.0","method":"echo"}`:                     mi.CodeInvalidRequest,
	`null`:                                                  mi.CodeInvalidRequest,
	`{"jsonrpc":"2.0","method":"ECHO"}`:                     mi.CodeNoMethod,
	`{"jsonrpc":"2.0","method":"e\u0000"}`:                  mi.CodeNoMethod,
	`{"jsonrpc":"2.0","method":"echo","params":"x"}`:        mi.CodeParams,
	`{"jsonrpc":"2.0","method":"echo","params":7}`:          mi.CodeParams,
	strings.Repeat("[", 20000) + strings.Repeat("]", 20000): mi.CodeParse,
	`{"jsonrpc":"2.0","method":"` + strings.Repeat("m", 1<<16) + `","id":"x"}`: mi.CodeNoMethod,
}

func TestBadRequests(t *testing.T) {
	s := mi.New()
	s.Handle("echo", func(context.Context, mi.Params) (any, error) { return nil, errors.New("echo ran") })
	post := poster(t, serve(t, s))
	for body, want := range bad {
		status, raw := post(body)
		var answer struct {
			Version string `json:"jsonrpc"`
			Error   *mi.Error
			ID      json.RawMessage
		}
		err := json.Unmarshal(raw, &answer)
		if err != nil || status != http.StatusOK || answer.Error == nil || answer.Error.Code != want || answer.Version != "2.0" {
			t.Errorf("%.60q: %d %.200s (%v), want code %d", body, status, raw, err, want)
		}
	}
	if status, _ := post(strings.Repeat("x", 1<<20+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("more than 1 MiB: %d", status)
	}
}

// TestNothingIsAResult: an answer without an error has a result.
func TestNothingIsAResult(t *testing.T) {
	s := mi.New()
	s.Handle("quiet", func(context.Context, mi.Params) (any, error) { return nil, nil })
	if raw, err := mi.Call(t.Context(), serve(t, s), "quiet", nil); err != nil || string(raw) != "null" {
		t.Errorf("got %q, %v, want null", raw, err)
	}
}

// TestOtherHTTP: only POST /mi is there.
func TestOtherHTTP(t *testing.T) {
	path := serve(t, mi.New())
	for line, want := range map[string]string{
		"GET /mi HTTP/1.1\r\nHost: x": "405", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0": "404",
		"POST /mi HTTP/1.1\r\nHost: x\r\nContent-Length: -1": "400", "POST /mi HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2": "400",
		"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h": "400",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "%s\r\nConnection: close\r\n\r\n", line)
		got, err := io.ReadAll(c)
		if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 "+want)) && !bytes.HasPrefix(got, []byte("HTTP/1.0 "+want)) {
			t.Errorf("%q: %.40q (%v), want %s", line, got, err, want)
		}
		c.Close()
	}
}

// TestBadRequestsLeaveNothing: memory is what it was behind a great many
// (CVE-2023-28096 leaked on each).
func TestBadRequestsLeaveNothing(t *testing.T) {
	post := poster(t, serve(t, mi.New()))
	small := []string{"{", `[]`, `{"jsonrpc":"2.0","method":"nope","params":["x"]}`, `{"jsonrpc":"2.0","method":"which","params":5}`}
	round := func(n int) uint64 {
		for i := range n {
			post(small[i%len(small)] + strings.Repeat(" ", i%100))
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := round(1000)
	if after := round(20000); after > before+1<<20 {
		t.Errorf("heap of %d bytes grew to %d over 20,000 bad requests", before, after)
	}
}
