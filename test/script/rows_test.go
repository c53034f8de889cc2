package script_test

import (
	"fmt"
	"strings"
	"testing"
)

// row is the body of a function(msg): its results, joined by "|", are the reason
// of the 200, or it raises and the log tells want.
type row struct {
	lua    string
	want   string
	raises bool
}

// raises is a row whose body must raise an error that holds want.
func raises(lua, want string) row { return row{lua, want, true} }

const rowsPrelude = `
local function show(...)
  local out = {}
  for i = 1, select("#", ...) do out[i] = tostring((select(i, ...))) end
  return table.concat(out, "|")
end
local rows = {}
function route.main(msg)
  if msg.rm == "ACK" then return end
  local reason = show(rows[tonumber(msg.hdr["X-Row"])](msg))
  sl.sl_send_reply(200, reason == "" and "-" or reason)
end
`

// request is what the rows are asked with: bob's address goes in.
const request = "OPTIONS sip:bob:secret@%[1]s;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;branch=z9hG4bK-row-%[3]d;rport\r\n" +
	"Max-Forwards: 70\r\nf: \"Alice A.\" <sip:alice@example.org:5080>;tag=a-tag\r\nTo: <sip:bob@example.com>\r\n" +
	"Call-ID: row-%[3]d@example.org\r\nCSeq: 4711 OPTIONS\r\nContact: \"A\" <sip:alice@192.0.2.9:5080;ob>;q=0.5\r\n" +
	"X-Row: %[3]d\r\nX-Foo: one\r\nx-foo: two\r\nX-Empty:\r\ns: compact\r\n" +
	"Content-Type: application/sdp\r\nContent-Length: %[4]d\r\n\r\n%[5]s"

const sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"

// hold asks a proxy for each row; top is put before them.
func hold(t *testing.T, top string, rows []row) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		var script strings.Builder
		script.WriteString(top + rowsPrelude)
		for i, r := range rows {
			fmt.Fprintf(&script, "rows[%d] = function(msg) %s end\n", i+1, r.lua)
		}
		p := start(t, script.String())
		for i, r := range rows {
			before := len(p.Log())
			p.alice.Send(fmt.Sprintf(request, p.bob.Addr, p.alice.Addr, i+1, len(sdp), sdp))
			m := p.final()
			log := p.Log()[before:]
			code, got := m.StatusCode(), string(m.Reason())
			switch {
			case r.raises && (code != 500 || !strings.Contains(log, r.want)):
				t.Errorf("%s\ngot %d %s, want an error with %q; log:\n%s", r.lua, code, got, r.want, log)
			case !r.raises && (code != 200 || got != r.want):
				t.Errorf("%s\ngot %d %s, want %s; log:\n%s", r.lua, code, got, r.want, log)
			}
		}
	})
}
