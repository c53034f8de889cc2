package script_test

import (
	"strings"
	"testing"
)

// bodies are functions on the body of a message, each on a message of its own:
// what it answers, and what the body is then.
type bodyRow struct{ lua, want, body string }

const offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n" +
	"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n" +
	"m=video 4002 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\na=sendonly\r\n"

func TestBodyFunctions(t *testing.T) {
	cut := func(gone ...string) string { return strings.NewReplacer(pairs(gone)...).Replace(offer) }
	for _, r := range []bodyRow{
		{`sipmsgops.codec_exists("pcma")`, "true", offer},
		{`sipmsgops.codec_exists("PCMA", "16000")`, "false not_found", offer},
		{`sipmsgops.codec_exists_re("^H26[0-9]$")`, "true", offer},
		{`sipmsgops.codec_delete("PCMU")`, "true", cut("AVP 0 8 101|AVP 8 101", "a=rtpmap:0 PCMU/8000\r\n|")},
		{`sipmsgops.codec_delete("GSM")`, "false not_found", offer},
		{`sipmsgops.codec_delete_re("PCM.|telephone-event")`, "true", cut("m=audio 4000|m=audio 0")},
		{`sipmsgops.codec_move_up("PCMA")`, "true", cut("AVP 0 8 101|AVP 8 0 101")},
		{`sipmsgops.codec_move_down("PCMU", "8000")`, "true", cut("AVP 0 8 101|AVP 8 101 0")},
		{`sipmsgops.stream_exists("video")`, "true", offer},
		{`sipmsgops.stream_exists("audio", "SAVP")`, "false not_found", offer},
		{`sipmsgops.stream_delete("video")`, "true", offer[:strings.Index(offer, "m=video")]},
		{`sipmsgops.is_audio_on_hold()`, "false not_on_hold", offer},
		{`sipmsgops.has_body("application/sdp")`, "true", offer},
		{`sipmsgops.has_body_part("text/plain")`, "false not_found", offer},
		{`sipmsgops.remove_body_part("application/sdp")`, "true", ""},
		{`sipmsgops.get_updated_body_part("text/plain")`, "nil not_found", offer},
		{`textops.replace_body("rtp/avp", "RTP/SAVP")`, "true", cut("audio 4000 RTP/AVP|audio 4000 RTP/SAVP")},
		{`textops.replace_body_all("rtp/avp", "RTP/SAVP")`, "true", strings.ReplaceAll(offer, "RTP/AVP", "RTP/SAVP")},
		{`textops.replace_body_atonce("^v=0.*$", "v=0\r\n")`, "true", "v=0\r\n"},
		{`textops.search_append_body("s=-", "luasips")`, "true", cut("s=-|s=-luasips")},
		{`textops.subst_body([=[/192\.0\.2\.([0-9]+)/10.0.0.\1/g]=])`, "true", strings.ReplaceAll(offer, "192.0.2.9", "10.0.0.9")},
		{`textops.subst_body("/nothing/x/")`, "false no_match", offer},
		{`(function() msg.sdp_line["a=ptime"] = "a=ptime:40" return true end)()`, "true", cut("ptime:20|ptime:40")},
		{`(function() msg.sdp_stream["video/a=sendonly"] = nil return true end)()`, "true", cut("a=sendonly\r\n|")},
		{`(function() msg.sdp_stream["audio/m=/[1]"] = "5000" return true end)()`, "true", cut("audio 4000|audio 5000")},
		{`(function() msg.sdp = nil return true end)()`, "true", ""},
		{`(function() msg.body = { type = "text/plain", data = "x" } return true end)()`, "true", "x"},
	} {
		t.Run(r.lua, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := start(t, `function route.main(msg)
  local ok, why = `+r.lua+`
  msg.hdr["X-Said"] = tostring(ok) .. (why and why.name ~= "" and not ok and " " .. why.name or "")
  tm.t_relay()
end`)
				p.alice.Send(strings.Replace(p.call().RequestWithBody("MESSAGE", 1, offer), "text/plain", "application/sdp", 1))
				m := p.bob.Expect("MESSAGE")
				if got := header(m, "X-Said"); got != r.want || string(m.Body()) != r.body {
					t.Errorf("said %q, want %q; body:\n%s\nwant:\n%s", got, r.want, m.Body(), r.body)
				}
				if r.body == "" && header(m, "Content-Type") != "" {
					t.Errorf("a Content-Type without a body:\n%s", m.Raw())
				}
				p.bob.Reply(m, 200)
				p.alice.Expect("200")
			})
		})
	}
}

// pairs makes "old|new" what strings.NewReplacer takes.
func pairs(list []string) []string {
	var out []string
	for _, p := range list {
		was, is, _ := strings.Cut(p, "|")
		out = append(out, was, is)
	}
	return out
}
