package sipmsgops

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// fault is what a check finds, nil when nothing: a code and word of
// validateFaults, and a sentence.
type fault struct {
	code int
	text string
}

// validateFaults are the answers of sipmsg_validate, with OpenSIPS's codes.
var validateFaults = []struct {
	code int
	name string
	doc  string
}{
	{-1, "no_message", "there is no message"},
	{-2, "bad_header", "a header does not parse (flag h)"},
	{-3, "no_callid", "no Call-ID"},
	{-4, "no_content_length", "no Content-Length on a stream transport"},
	{-5, "content_length", "Content-Length is not the length of the body"},
	{-6, "bad_sdp", "the SDP does not parse (flag s)"},
	{-7, "no_cseq", "no CSeq"},
	{-8, "no_from", "no From"},
	{-9, "no_to", "no To"},
	{-10, "no_via", "no Via"},
	{-11, "bad_ruri", "the request URI does not parse (flag r)"},
	{-12, "ruri_host", "bad host in the request URI (flag r)"},
	{-13, "no_maxforwards", "no Max-Forwards (not with flag m)"},
	{-14, "no_contact", "no Contact where one is needed (flag c)"},
	{-15, "path", "Path in a request that is no REGISTER"},
	{-16, "no_allow", "no Allow in a 405"},
	{-17, "no_min_expires", "no Min-Expires in a 423 to REGISTER"},
	{-18, "no_proxy_authenticate", "no Proxy-Authenticate in a 407"},
	{-19, "no_unsupported", "no Unsupported in a 420"},
	{-20, "no_www_authenticate", "no WWW-Authenticate in a 401"},
	{-21, "no_content_type", "a body without Content-Type"},
	{-22, "bad_to", "To does not parse (flag t)"},
	{-23, "to_host", "bad host in To (flag t)"},
	{-24, "bad_from", "From does not parse (flag f)"},
	{-25, "from_host", "bad host in From (flag f)"},
	{-26, "bad_contact", "Contact does not parse (flag c)"},
	{-27, "ruri_user", "bad user in the request URI (flag r)"},
	{-28, "from_user", "bad user in From (flag f)"},
	{-29, "to_user", "bad user in To (flag t)"},
	{-30, "star_contact", "Contact is * where it may not be (flag c)"},
}

func validateResults() []modules.Result {
	out := []modules.Result{{Code: 1, Name: "ok", Doc: "the message complies"}}
	for _, f := range validateFaults {
		out = append(out, modules.Result{Code: f.code, Name: f.name, Doc: f.doc})
	}
	return out
}

// validate is sipmsg_validate.
func (*config) validate(c *api.Ctx, flags string) modules.Ret {
	for _, f := range flags {
		if !strings.ContainsRune("shmrftc", f) {
			return modules.Misuse(fmt.Errorf("unknown flag %q; there are s h m r f t c", f))
		}
	}
	v := validation{c: c, d: c.Msg, flags: flags}
	for _, check := range [...]func(*validation) *fault{
		(*validation).mandatory, (*validation).body, (*validation).toAndFrom, (*validation).request,
		(*validation).reply, (*validation).contacts, (*validation).headers,
	} {
		if f := check(&v); f != nil {
			return modules.No(f.code, faultName(f.code), f.text)
		}
	}
	return modules.Yes()
}

func faultName(code int) string {
	for _, f := range validateFaults {
		if f.code == code {
			return f.name
		}
	}
	return "invalid"
}

type validation struct {
	c     *api.Ctx
	d     *sip.Draft
	flags string
}

func (v *validation) has(flag byte) bool { return strings.IndexByte(v.flags, flag) >= 0 }

// needs lists headers with the fault of their absence.
type needs []struct {
	id   sip.HeaderID
	code int
}

func (v *validation) lacks(list needs) *fault {
	for _, n := range list {
		if !v.d.Has(n.id) {
			return &fault{n.code, "message has no " + n.id.Name() + " header"}
		}
	}
	return nil
}

func (v *validation) mandatory() *fault {
	return v.lacks(needs{{sip.HdrCallID, -3}, {sip.HdrCSeq, -7}, {sip.HdrFrom, -8}, {sip.HdrTo, -9}, {sip.HdrVia, -10}})
}

func (v *validation) body() *fault {
	if s := v.c.Source.Socket; s != nil && s.Proto.Stream() && !v.d.Has(sip.HdrContentLength) {
		return &fault{-4, "message has no Content-Length on " + s.Proto.String()}
	}
	if v.d.Method() == sip.CANCEL {
		return nil
	}
	body := v.d.Body()
	if n, ok := contentLength(v.d); ok && n != len(body) {
		return &fault{-5, fmt.Sprintf("Content-Length is %d, the body is %d bytes long", n, len(body))}
	}
	if len(body) > 0 && !v.d.Has(sip.HdrContentType) {
		return &fault{-21, "body has no Content-Type"}
	}
	if !v.has('s') {
		return nil
	}
	list, _ := parts(v.d)
	for i := range list {
		if list[i].is("application/sdp") {
			if err := checkSDP(list[i].body); err != nil {
				return &fault{-6, "SDP: " + err.Error()}
			}
		}
	}
	return nil
}

// contentLength reads the header as edited.
func contentLength(d *sip.Draft) (n int, ok bool) {
	v := d.First(sip.HdrContentLength)
	for _, c := range v {
		if c < '0' || c > '9' || n > 1<<30 {
			return -1, true
		}
		n = n*10 + int(c-'0')
	}
	return n, v != nil
}

// checkSDP reads a session description and each of its streams.
func checkSDP(body []byte) error {
	s, err := sip.ParseSDP(body)
	if err != nil {
		return err
	}
	for i := range s.NumLines() {
		if l := s.LineAt(i); len(l) < 2 || l[1] != '=' {
			return sip.ErrSDPLine
		}
	}
	for _, stream := range s.Streams() {
		if _, err := sip.ParseMedia(s.LineAt(stream.First)); err != nil {
			return err
		}
	}
	return nil
}

func (v *validation) toAndFrom() *fault {
	if v.has('t') {
		to, err := v.d.To()
		if f := address("To", to, err, -22, -23, -29); f != nil {
			return f
		}
	}
	if v.has('f') {
		from, err := v.d.From()
		return address("From", from, err, -24, -25, -28)
	}
	return nil
}

// address checks the URI of a header: its syntax, host and user.
func address(name string, n *sip.NameAddr, err error, syntax, host, user int) *fault {
	if err != nil {
		return &fault{syntax, name + ": " + err.Error()}
	}
	return checkURI(name, &n.URI, host, user)
}

func checkURI(name string, u *sip.URI, host, user int) *fault {
	if u.IsSIP() && !isHost(u.Host) {
		return &fault{host, fmt.Sprintf("%s: %q is no host name or address", name, u.Host)}
	}
	if !isUser(u.User) {
		return &fault{user, fmt.Sprintf("%s: user %q holds what must be escaped", name, u.User)}
	}
	return nil
}

// isHost checks the characters of a host (RFC 3261 §25.1): letters, digits,
// dots that do not follow each other, hyphens that do not end it.
func isHost(h []byte) bool {
	if len(h) == 0 {
		return false
	}
	if h[0] == '[' {
		return h[len(h)-1] == ']'
	}
	last := h[len(h)-1]
	if !isAlnum(h[0]) || !isAlnum(last) && last != '.' {
		return false
	}
	for i, c := range h {
		if !isAlnum(c) && c != '-' && (c != '.' || i > 0 && h[i-1] == '.') {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// isUser checks the characters of a user (RFC 3261 §25.1).
func isUser(u []byte) bool {
	for i := 0; i < len(u); i++ {
		c := u[i]
		if c == '%' {
			if i+2 >= len(u) || !isHex(u[i+1]) || !isHex(u[i+2]) {
				return false
			}
			i += 2
			continue
		}
		if !isAlnum(c) && strings.IndexByte("-_.!~*'()&=+$,;?/", c) < 0 {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func (v *validation) request() *fault {
	if !v.d.IsRequest() {
		return nil
	}
	if v.has('r') {
		u, err := v.d.RURI()
		if err != nil {
			return &fault{-11, "request URI: " + err.Error()}
		}
		if f := checkURI("request URI", u, -12, -27); f != nil {
			return f
		}
	}
	if !v.has('m') {
		if f := v.lacks(needs{{sip.HdrMaxForwards, -13}}); f != nil {
			return f
		}
	}
	if v.d.Has(sip.HdrPath) && v.d.Method() != sip.REGISTER {
		return &fault{-15, "Path is for REGISTER only"}
	}
	return nil
}

func (v *validation) reply() *fault {
	if v.d.IsRequest() || v.d.Method() == sip.CANCEL {
		return nil
	}
	switch v.d.StatusCode() {
	case 401:
		return v.lacks(needs{{sip.HdrWWWAuthenticate, -20}})
	case 405:
		return v.lacks(needs{{sip.HdrAllow, -16}})
	case 407:
		return v.lacks(needs{{sip.HdrProxyAuthenticate, -18}})
	case 420:
		return v.lacks(needs{{sip.HdrUnsupported, -19}})
	case 423:
		if v.d.Method() == sip.REGISTER {
			return v.lacks(needs{{sip.HdrMinExpires, -17}})
		}
	}
	return nil
}

// contacts checks Contact of what sets up or refreshes a dialog or a binding.
func (v *validation) contacts() *fault {
	if !v.has('c') {
		return nil
	}
	if code := v.d.StatusCode(); !v.d.IsRequest() && (code < 200 || code > 399) {
		return nil
	}
	switch v.d.Method() {
	case sip.INVITE, sip.REGISTER, sip.UPDATE, sip.SUBSCRIBE, sip.REFER:
	default:
		return nil
	}
	// A REGISTER that asks for its bindings has none (RFC 3261 §10.2.3), but
	// OpenSIPS wants one here too.
	if !v.d.Has(sip.HdrContact) {
		return &fault{-14, "message has no Contact header"}
	}
	for value := range v.d.Values([]byte("Contact")) {
		if f := v.contact(value); f != nil {
			return f
		}
	}
	return nil
}

func (v *validation) contact(value []byte) *fault {
	for one := range sip.SplitList(value) {
		var n sip.NameAddr
		if _, err := sip.ParseNameAddr(one, &n); err != nil {
			return &fault{-26, "Contact: " + err.Error()}
		}
		if !n.Star {
			continue
		}
		if v.d.Method() != sip.REGISTER || !v.d.IsRequest() {
			return &fault{-30, "Contact is *, which is for REGISTER requests only"}
		}
		if seconds, present, err := v.d.Expires(); err != nil || !present || seconds != 0 {
			return &fault{-30, "Contact is * but Expires is not 0"}
		}
	}
	return nil
}

// headers checks the contents of each header (flag h).
func (v *validation) headers() *fault {
	if !v.has('h') {
		return nil
	}
	for _, h := range v.d.Headers() {
		if err := checkHeader(h.ID, h.Value); err != nil {
			return &fault{-2, fmt.Sprintf("%s: %v", h.Name, err)}
		}
	}
	return nil
}

func checkHeader(id sip.HeaderID, value []byte) error {
	switch id {
	case sip.HdrVia:
		return eachValue(value, func(v []byte) error { var via sip.Via; _, err := sip.ParseVia(v, &via); return err })
	case sip.HdrFrom, sip.HdrTo, sip.HdrRPID, sip.HdrReferTo, sip.HdrReferredBy, sip.HdrContact, sip.HdrRoute,
		sip.HdrRecordRoute, sip.HdrPath, sip.HdrPAI, sip.HdrPPI, sip.HdrDiversion:
		return eachValue(value, func(v []byte) error { var n sip.NameAddr; _, err := sip.ParseNameAddr(v, &n); return err })
	case sip.HdrCSeq:
		_, err := sip.ParseCSeq(value)
		return err
	case sip.HdrMaxForwards, sip.HdrContentLength, sip.HdrExpires, sip.HdrMinExpires, sip.HdrMinSE, sip.HdrSessionExpires:
		return checkNumber(value)
	case sip.HdrContentType:
		return checkMIME(value)
	case sip.HdrAuthorization, sip.HdrProxyAuthorization, sip.HdrWWWAuthenticate, sip.HdrProxyAuthenticate:
		return checkCredentials(value)
	case sip.HdrCallID, sip.HdrProxyRequire, sip.HdrUnsupported, sip.HdrAcceptLanguage, sip.HdrOrganization,
		sip.HdrPriority, sip.HdrSubject, sip.HdrUserAgent, sip.HdrRetryAfter, sip.HdrEvent:
		if len(value) == 0 {
			return errEmpty
		}
	}
	return nil
}

func eachValue(list []byte, f func([]byte) error) error {
	n := 0
	for v := range sip.SplitList(list) {
		if err := f(v); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errEmpty
	}
	return nil
}

type headerError string

func (e headerError) Error() string { return string(e) }

const (
	errEmpty       = headerError("it is empty")
	errNumber      = headerError("it is not a number")
	errMIME        = headerError("it is not type/subtype without wildcards")
	errCredentials = headerError("it is not a scheme and its parameters")
)

// checkNumber takes digits, with parameters behind them.
func checkNumber(value []byte) error {
	digits, _, _ := bytes.Cut(value, []byte{';'})
	digits = bytes.TrimSpace(digits)
	if len(digits) == 0 || len(digits) > 10 {
		return errNumber
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return errNumber
		}
	}
	return nil
}

func checkMIME(value []byte) error {
	t, sub, ok := bytes.Cut(sip.MediaType(value), []byte{'/'})
	if !ok || !sip.IsToken(t) || !sip.IsToken(sub) || string(t) == "*" || string(sub) == "*" {
		return errMIME
	}
	return nil
}

func checkCredentials(value []byte) error {
	scheme, params, ok := bytes.Cut(value, []byte{' '})
	if !ok || !sip.IsToken(scheme) || bytes.IndexByte(params, '=') < 1 || bytes.Count(params, []byte{'"'})%2 != 0 {
		return errCredentials
	}
	return nil
}
