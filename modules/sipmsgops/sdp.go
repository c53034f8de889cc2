package sipmsgops

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func sdpFunctions() []modules.Function {
	name := modules.StrArg("name", "name of the codec, in any case")
	clock := modules.OptStrArg("clock", "", "clock rate in Hz; any when not given")
	pattern := modules.PatternArg("regexp", "pattern over the codec's name")
	media := modules.PatternArg("regexp", "pattern over the media type: audio, video, image")
	transport := modules.OptStrArg("regexp2", "", "pattern over the transport: RTP/AVP, RTP/SAVP").With(func(a *modules.Arg) { a.Pattern = true })
	spec := func(name, doc string) modules.Spec { return modules.Spec{Name: name, Routes: routesAny, Doc: doc} }
	const in = " in any stream of the SDP"
	return []modules.Function{
		modules.F2(spec("codec_exists", "Tells whether a codec is offered"+in+"."), name, clock, (*config).codecExists),
		modules.F1(spec("codec_exists_re", "Tells whether a codec that matches is offered"+in+"."), pattern, (*config).codecExistsRe),
		modules.F2(spec("codec_delete", "Removes a codec"+in+", with its attributes. A stream that loses its last one gets port 0."), name, clock, (*config).codecDelete),
		modules.F1(spec("codec_delete_re", "Removes the codecs that match"+in+"."), pattern, (*config).codecDeleteRe),
		modules.F1(spec("codec_delete_except_re", "Removes the codecs that do not match"+in+"."), pattern, (*config).codecDeleteExceptRe),
		modules.F2(spec("codec_move_up", "Makes a codec the preferred one"+in+"."), name, clock, (*config).codecUp),
		modules.F1(spec("codec_move_up_re", "Makes the codecs that match the preferred ones"+in+"."), pattern, (*config).codecUpRe),
		modules.F2(spec("codec_move_down", "Makes a codec the last choice"+in+"."), name, clock, (*config).codecDown),
		modules.F1(spec("codec_move_down_re", "Makes the codecs that match the last choice"+in+"."), pattern, (*config).codecDownRe),
		modules.F2(spec("stream_exists", "Tells whether the SDP has a stream of that media type and transport."), media, transport, (*config).streamExists),
		modules.F2(spec("stream_delete", "Removes the streams of that media type and transport."), media, transport, (*config).streamDelete),
		modules.F0(modules.Spec{Name: "is_audio_on_hold", Routes: routesAny,
			Doc: "Tells whether an audio stream of the SDP is on hold.",
			Results: []modules.Result{
				{Code: 1, Name: "null_address", Doc: "the connection address is null (RFC 2543)"},
				{Code: 2, Name: "not_receiving", Doc: "the stream is inactive or sendonly (RFC 3264 §8.4)"},
				{Code: -1, Name: "not_on_hold", Doc: "none is, or there is no SDP"},
			}}, (*config).audioOnHold),
	}
}

var (
	noSDP   = modules.No(-1, "no_sdp", "the message has no SDP")
	noCodec = modules.No(-1, "not_found", "no such codec is offered")
)

// codecMatch selects codecs.
type codecMatch func(sip.Codec) bool

// codecName is the name of a codec: that of its rtpmap or static type, or the
// format itself where that is a word (t38).
func codecName(c sip.Codec) []byte {
	if c.Name == nil && len(c.Format) > 0 && (c.Format[0] < '0' || c.Format[0] > '9') {
		return c.Format
	}
	return c.Name
}

func byName(name, clock string) codecMatch {
	return func(c sip.Codec) bool {
		return sip.EqualFold(codecName(c), name) && (clock == "" || sip.EqualFold(c.Clock, clock))
	}
}

// byPattern selects by name; codecs without one are never selected.
func (m *config) byPattern(pattern string, want bool) (codecMatch, error) {
	re, err := m.patterns.Arg(pattern)
	if err != nil {
		return nil, err
	}
	return func(c sip.Codec) bool {
		name := codecName(c)
		return len(name) > 0 && re.Match(name) == want
	}, nil
}

func exists(c *api.Ctx, match codecMatch) modules.Ret {
	s, _ := sdpOf(c.Msg)
	if s == nil {
		return noSDP
	}
	for _, stream := range s.Streams() {
		for codec := range s.Codecs(stream) {
			if match(codec) {
				return modules.Yes()
			}
		}
	}
	return noCodec
}

// change runs f on every stream and writes the SDP back when one changed.
func change(c *api.Ctx, f func(s *sip.SDP, in sip.Section) int) modules.Ret {
	s, put := sdpOf(c.Msg)
	if s == nil {
		return noSDP
	}
	n := 0
	// From the last stream to the first: what f removes moves later lines only.
	for _, stream := range slices.Backward(s.Streams()) {
		n += f(s, stream)
	}
	if n == 0 {
		return noCodec
	}
	return done(put())
}

func remove(c *api.Ctx, match codecMatch) modules.Ret {
	return change(c, func(s *sip.SDP, in sip.Section) int {
		return s.DeleteCodecs(in, withLinked(s, in, match))
	})
}

// withLinked selects also the formats that go with a selected one: its
// retransmission and redundancy formats name it by apt= (RFC 4588 §8.1).
func withLinked(s *sip.SDP, in sip.Section, match codecMatch) codecMatch {
	var gone [][]byte
	for c := range s.Codecs(in) {
		if match(c) {
			gone = append(gone, c.Format)
		}
	}
	return func(c sip.Codec) bool {
		if match(c) {
			return true
		}
		apt, ok := sip.Param(c.Params, "apt")
		return ok && slices.ContainsFunc(gone, func(f []byte) bool { return bytes.Equal(f, apt) })
	}
}

func move(c *api.Ctx, up bool, match codecMatch) modules.Ret {
	return change(c, func(s *sip.SDP, in sip.Section) int { return s.MoveCodecs(in, up, match) })
}

// withPattern runs f with a selection by pattern.
func (m *config) withPattern(pattern string, want bool, f func(codecMatch) modules.Ret) modules.Ret {
	match, err := m.byPattern(pattern, want)
	if err != nil {
		return modules.Misuse(err)
	}
	return f(match)
}

func (*config) codecExists(c *api.Ctx, name, clock string) modules.Ret {
	return exists(c, byName(name, clock))
}

func (m *config) codecExistsRe(c *api.Ctx, pattern string) modules.Ret {
	return m.withPattern(pattern, true, func(s codecMatch) modules.Ret { return exists(c, s) })
}

func (*config) codecDelete(c *api.Ctx, name, clock string) modules.Ret {
	return remove(c, byName(name, clock))
}

func (m *config) codecDeleteRe(c *api.Ctx, pattern string) modules.Ret {
	return m.withPattern(pattern, true, func(s codecMatch) modules.Ret { return remove(c, s) })
}

func (m *config) codecDeleteExceptRe(c *api.Ctx, pattern string) modules.Ret {
	return m.withPattern(pattern, false, func(s codecMatch) modules.Ret { return remove(c, s) })
}

func (*config) codecUp(c *api.Ctx, name, clock string) modules.Ret {
	return move(c, true, byName(name, clock))
}

func (m *config) codecUpRe(c *api.Ctx, pattern string) modules.Ret {
	return m.withPattern(pattern, true, func(s codecMatch) modules.Ret { return move(c, true, s) })
}

func (*config) codecDown(c *api.Ctx, name, clock string) modules.Ret {
	return move(c, false, byName(name, clock))
}

func (m *config) codecDownRe(c *api.Ctx, pattern string) modules.Ret {
	return m.withPattern(pattern, true, func(s codecMatch) modules.Ret { return move(c, false, s) })
}

// streamMatch selects streams by media type and transport.
func (m *config) streamMatch(media, transport string) (func(sip.Media) bool, error) {
	mediaRe, err := m.patterns.Arg(media)
	if err != nil {
		return nil, err
	}
	protoRe, err := m.patterns.Arg(transport)
	if err != nil {
		return nil, err
	}
	return func(x sip.Media) bool { return mediaRe.Match(x.Type) && protoRe.Match(x.Proto) }, nil
}

// matching are the streams that match.
func matching(s *sip.SDP, match func(sip.Media) bool) []sip.Section {
	var out []sip.Section
	for _, stream := range s.Streams() {
		if x, err := sip.ParseMedia(s.LineAt(stream.First)); err == nil && match(x) {
			out = append(out, stream)
		}
	}
	return out
}

// streamExists is stream_exists.
func (m *config) streamExists(c *api.Ctx, media, transport string) modules.Ret {
	match, err := m.streamMatch(media, transport)
	if err != nil {
		return modules.Misuse(err)
	}
	s, _ := sdpOf(c.Msg)
	if s == nil {
		return noSDP
	}
	return modules.YesIf(len(matching(s, match)) > 0, "not_found", "no stream matches")
}

// streamDelete is stream_delete.
func (m *config) streamDelete(c *api.Ctx, media, transport string) modules.Ret {
	match, err := m.streamMatch(media, transport)
	if err != nil {
		return modules.Misuse(err)
	}
	s, put := sdpOf(c.Msg)
	if s == nil {
		return noSDP
	}
	gone := matching(s, match)
	if len(gone) == 0 {
		return missing("no stream matches")
	}
	for _, stream := range slices.Backward(gone) {
		s.DeleteSection(stream)
	}
	return done(put())
}

// audioOnHold is is_audio_on_hold.
func (*config) audioOnHold(c *api.Ctx) modules.Ret {
	s, _ := sdpOf(c.Msg)
	if s == nil {
		return noSDP
	}
	isAudio := func(x sip.Media) bool { return sip.EqualFold(x.Type, "audio") && string(x.Port) != "0" }
	for _, stream := range matching(s, isAudio) {
		switch {
		case nullAddress(s, stream):
			return modules.YesCode(1, "null_address")
		case notReceiving(s, stream):
			return modules.YesCode(2, "not_receiving")
		}
	}
	return modules.No(-1, "not_on_hold", "no audio stream is on hold")
}

// nullAddress tells whether the connection address of a stream, its own or the
// session's, is null.
func nullAddress(s *sip.SDP, stream sip.Section) bool {
	i, line := s.LineIn(stream, "c=", 0)
	if i < 0 {
		if i, line = s.LineIn(s.Session(), "c=", 0); i < 0 {
			return false
		}
	}
	fields := bytes.Fields(line)
	addr, err := netip.ParseAddr(string(fields[len(fields)-1]))
	return err == nil && addr.IsUnspecified()
}

// notReceiving tells whether the direction of a stream, its own or the
// session's, keeps it from receiving.
func notReceiving(s *sip.SDP, stream sip.Section) bool {
	for _, in := range [...]sip.Section{stream, s.Session()} {
		for i := in.First; i < in.End; i++ {
			switch string(bytes.TrimSpace(s.LineAt(i))) {
			case "a=inactive", "a=sendonly":
				return true
			case "a=sendrecv", "a=recvonly":
				return false
			}
		}
	}
	return false
}
