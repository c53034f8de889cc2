package sipmsgops

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func bodyFunctions() []modules.Function {
	mime := modules.OptStrArg("mime", "", `type and subtype, "application/sdp"; any when not given`)
	noBody := modules.Result{Code: -1, Name: "no_body", Doc: "the message has no body"}
	noPart := modules.Result{Code: -2, Name: "not_found", Doc: "no part has that type"}
	return []modules.Function{
		modules.F1(modules.Spec{Name: "has_body_part", Routes: routesAny,
			Doc: "Tells whether the message has a body, or a part of that type."}, mime, (*config).hasBodyPart),
		modules.F1(modules.Spec{Name: "has_body", Routes: routesAny,
			Doc: "The older name of has_body_part."}, mime, (*config).hasBodyPart),
		modules.F2(modules.Spec{Name: "remove_body_part", Routes: routesAny,
			Doc: "Removes the parts of that type, or the whole body; Content-Type and Content-Length follow."},
			mime, modules.OptStrArg("revert", "", `"revert": remove all parts but those`).
				With(func(a *modules.Arg) { a.Words = []string{"", "revert"} }), (*config).removeBodyPart),
		modules.F3(modules.Spec{Name: "add_body_part", Routes: routesAny,
			Doc: "Adds a part. A body that is there already becomes a multipart one."},
			modules.StrArg("body", "content of the part"), modules.StrArg("mime", "its Content-Type"),
			modules.OptStrArg("headers", "", "further header lines of the part, each ending in \"\\r\\n\""), (*config).addBodyPart),
		modules.F1(modules.Spec{Name: "get_updated_body_part", Routes: routesAny,
			Doc:     "Reads a part as it is now, with all edits; the whole body when no type is given.",
			Results: []modules.Result{noBody, noPart},
			Outputs: []modules.OutputDoc{{Name: "body", Kind: modules.KindString, Doc: "the part"}}}, mime, (*config).getBodyPart),
	}
}

// part is one part of a body.
type part struct {
	raw     []byte // headers, empty line and body; nil where the body is one part
	headers []byte // header lines, without the empty line
	body    []byte
	mime    []byte // type/subtype
}

// parts are the parts of a body, and its boundary when it is multipart.
func parts(d *sip.Draft) (list []part, boundary []byte) {
	body := d.Body()
	if len(body) == 0 {
		return nil, nil
	}
	ctype := d.First(sip.HdrContentType)
	boundary, multi := sip.Boundary(ctype)
	if !multi {
		return []part{{body: body, mime: sip.MediaType(ctype)}}, nil
	}
	for p := range sip.SplitMultipart(body, boundary) {
		x := part{raw: p.Raw.Of(body), headers: p.Headers.Of(body), body: p.Body.Of(body)}
		x.mime = sip.MediaType(sip.PartHeader(x.headers, "Content-Type"))
		if len(x.mime) == 0 {
			x.mime = []byte("text/plain") // RFC 2046 §5.1
		}
		list = append(list, x)
	}
	return list, boundary
}

func (p *part) is(mime string) bool { return sip.EqualFold(p.mime, strings.TrimSpace(mime)) }

// hasBodyPart is has_body_part.
func (*config) hasBodyPart(c *api.Ctx, mime string) modules.Ret {
	if len(c.Msg.Body()) == 0 {
		return modules.No(-1, "no_body", "the message has no body")
	}
	if mime == "" || sip.EqualFold(sip.MediaType(c.Msg.First(sip.HdrContentType)), mime) {
		return modules.Yes()
	}
	list, _ := parts(c.Msg)
	for i := range list {
		if list[i].is(mime) {
			return modules.Yes()
		}
	}
	return missing("no part has that type")
}

// removeBodyPart is remove_body_part.
func (*config) removeBodyPart(c *api.Ctx, mime, revert string) modules.Ret {
	list, boundary := parts(c.Msg)
	if len(list) == 0 {
		return modules.No(-1, "no_body", "the message has no body")
	}
	if mime == "" {
		return done(c.Msg.SetBody([]byte{}, nil))
	}
	var keep []part
	for _, p := range list {
		if p.is(mime) == (revert != "") {
			keep = append(keep, p)
		}
	}
	switch {
	case len(keep) == len(list):
		return missing("no part is to be removed")
	case len(keep) == 0:
		return done(c.Msg.SetBody([]byte{}, nil))
	case len(keep) == 1:
		return done(setOnly(c.Msg, keep[0]))
	}
	return done(c.Msg.SetBody(nil, joinParts(boundary, keep)))
}

// setOnly makes the one part that is left the body. Its Content headers become
// the message's.
func setOnly(d *sip.Draft, p part) error {
	body, headers := bytes.Clone(p.body), bytes.Clone(p.headers)
	ctype := bytes.Clone(sip.PartHeader(headers, "Content-Type"))
	if len(ctype) == 0 {
		ctype = p.mime
	}
	for line := range bytes.Lines(headers) {
		name, value, ok := bytes.Cut(line, []byte{':'})
		name = bytes.TrimSpace(name)
		id := sip.LookupHeader(name)
		if !ok || id == sip.HdrContentType || id == sip.HdrContentLength || len(name) < 8 || !sip.EqualFold(name[:8], "content-") {
			continue
		}
		if err := d.Set(name, bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
	return d.SetBody(ctype, body)
}

// joinParts writes a multipart body.
func joinParts(boundary []byte, list []part) []byte {
	var b []byte
	for _, p := range list {
		b = append(append(append(b, "--"...), boundary...), "\r\n"...)
		b = append(append(b, p.raw...), "\r\n"...)
	}
	return append(append(append(b, "--"...), boundary...), "--\r\n"...)
}

// addBodyPart is add_body_part.
func (*config) addBodyPart(c *api.Ctx, body, mime, headers string) modules.Ret {
	if err := checkPart(body, mime, headers); err != nil {
		return modules.Misuse(err)
	}
	list, boundary := parts(c.Msg)
	if len(list) == 0 && boundary == nil {
		if headers != "" {
			if err := c.Msg.AppendLines([]byte(headers)); err != nil {
				return modules.Misuse(err)
			}
		}
		return done(c.Msg.SetBody([]byte(mime), []byte(body)))
	}
	var ctype []byte
	if boundary == nil {
		boundary = newBoundary(c.Msg.CallID(), list[0].body, []byte(body))
		list[0].raw = rawPart(string(c.Msg.First(sip.HdrContentType)), "", list[0].body)
		ctype = []byte("multipart/mixed;boundary=" + string(boundary))
	} else if bytes.Contains([]byte(body), append([]byte("--"), boundary...)) {
		return modules.Misuse(errors.New("the part holds the boundary of the body it is added to"))
	}
	list = append(list, part{raw: rawPart(mime, headers, []byte(body))})
	return done(c.Msg.SetBody(ctype, joinParts(boundary, list)))
}

func checkPart(body, mime, headers string) error {
	if body == "" {
		return errors.New("the part is empty")
	}
	if t, sub, ok := strings.Cut(mime, "/"); !ok || t == "" || sub == "" || strings.ContainsAny(mime, "\r\n\x00") {
		return fmt.Errorf("%q is no Content-Type", mime)
	}
	if headers == "" {
		return nil
	}
	return sip.CheckLines([]byte(headers))
}

func rawPart(mime, headers string, body []byte) []byte {
	if mime == "" {
		mime = "text/plain"
	}
	return append([]byte("Content-Type: "+unfold([]byte(mime))+"\r\n"+headers+"\r\n"), body...)
}

// newBoundary makes a boundary that none of the bodies holds, the same for the
// same message, so that resends are equal.
func newBoundary(callID []byte, bodies ...[]byte) []byte {
	h := fnv.New64a()
	_, _ = h.Write(callID)
	for n := uint64(0); ; n++ {
		b := strconv.AppendUint([]byte("part-"), h.Sum64()+n, 36)
		held := false
		for _, body := range bodies {
			held = held || bytes.Contains(body, b)
		}
		if !held {
			return b
		}
	}
}

// getBodyPart is get_updated_body_part.
func (*config) getBodyPart(c *api.Ctx, mime string) modules.Ret {
	list, _ := parts(c.Msg)
	if len(list) == 0 {
		return modules.NoOutput(-1, "no_body", "the message has no body")
	}
	if mime == "" {
		return modules.Output(modules.Bytes(c.Msg.Body()))
	}
	for i := range list {
		if list[i].is(mime) {
			return modules.Output(modules.Bytes(list[i].body))
		}
	}
	return modules.NoOutput(-2, "not_found", "no part has that type")
}

// sdpOf reads the SDP of a message, its body or the first such part of it; put
// writes it back as edited. nil when there is none.
func sdpOf(d *sip.Draft) (s *sip.SDP, put func() error) {
	list, boundary := parts(d)
	for i := range list {
		if !list[i].is("application/sdp") {
			continue
		}
		s, err := sip.ParseSDP(list[i].body)
		if err != nil {
			return nil, nil
		}
		return s, func() error {
			text := s.Append(nil)
			if boundary == nil {
				return d.SetBody(nil, text)
			}
			head := list[i].raw[:len(list[i].raw)-len(list[i].body)]
			list[i].raw = append(bytes.Clone(head), text...)
			return d.SetBody(nil, joinParts(boundary, list))
		}
	}
	return nil, nil
}
