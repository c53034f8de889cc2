package sipmsgops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

func messageFunctions() []modules.Function {
	return []modules.Function{
		modules.F1(modules.Spec{Name: "is_method", Routes: routesAny,
			Doc: "Tells whether the request, or the request a reply is to, has one of these methods."},
			modules.StrArg("name", `one or several, "INVITE|SUBSCRIBE", in any case`), (*config).isMethod),
		modules.F0(modules.Spec{Name: "has_totag", Routes: routesAny,
			Doc: "Tells whether To has a tag: whether the request is part of a dialog."}, (*config).hasToTag),
		modules.F1(modules.Spec{Name: "is_privacy", Routes: routesAny,
			Doc: "Tells whether the Privacy header asks for a kind of privacy."},
			modules.StrArg("privacy_type", "user, header, session, none, critical, id or history"), (*config).isPrivacy),
		modules.F1(modules.Spec{Name: "sipmsg_validate", Routes: routesAny &^ api.RouteLocal, Results: validateResults(),
			Doc: "Checks the message against RFC 3261: that it has the headers it needs, and with flags their contents. " +
				"The sentence of the result says what is wrong."},
			modules.OptStrArg("flags", "", "letters: s the SDP, h each header, m not Max-Forwards, r the request URI, f From, t To, c Contact"),
			(*config).validate),
		modules.F2(modules.Spec{Name: "change_reply_status", Routes: api.RouteReply,
			Doc: "Changes the status of a reply on its way back. Provisional ones and 2xx keep their class."},
			modules.IntArg("code", "new status code").With(func(a *modules.Arg) { a.Min, a.Max = 100, 699 }),
			modules.OptStrArg("reason", "", "reason phrase; the usual one for the code when not given"), (*config).changeStatus),
		modules.F0(modules.Spec{Name: "sip_to_json", Routes: routesAny,
			Doc:     "Writes the message as a JSON object with first_line, headers (a list of values for each name) and body.",
			Outputs: []modules.OutputDoc{{Name: "json", Kind: modules.KindString, Doc: "the object as text"}}}, (*config).toJSON),
	}
}

// isMethod is is_method.
func (*config) isMethod(c *api.Ctx, names string) modules.Ret {
	method := c.Msg.MethodName()
	for more := true; more; {
		var name string
		name, names, more = strings.Cut(names, "|")
		if sip.EqualFold(method, strings.TrimSpace(name)) {
			return modules.Yes()
		}
	}
	return modules.No(-1, "other_method", "the method is another one")
}

// hasToTag is has_totag.
func (*config) hasToTag(c *api.Ctx) modules.Ret {
	return modules.YesIf(c.Msg.HasToTag(), "no_tag", "To has no tag")
}

var privacyTypes = [...]string{"user", "header", "session", "none", "critical", "id", "history"}

// isPrivacy is is_privacy (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1).
func (*config) isPrivacy(c *api.Ctx, kind string) modules.Ret {
	known := false
	for _, t := range privacyTypes {
		known = known || strings.EqualFold(t, kind)
	}
	if !known {
		return modules.Misuse(fmt.Errorf("%q is no kind of privacy; there are %s", kind, strings.Join(privacyTypes[:], ", ")))
	}
	for v := range c.Msg.Values([]byte("Privacy")) {
		for one := range bytes.FieldsFuncSeq(v, func(r rune) bool { return strings.ContainsRune(";, \t\r\n", r) }) {
			if sip.EqualFold(one, kind) {
				return modules.Yes()
			}
		}
	}
	return missing("the message does not ask for it")
}

var errClass = errors.New("the class of a provisional or 2xx reply cannot be changed, nor can another reply become one")

// changeStatus is change_reply_status.
func (*config) changeStatus(c *api.Ctx, code int, reason string) modules.Ret {
	if old := c.Msg.StatusCode(); (code < 300 || old < 300) && code/100 != old/100 {
		return modules.No(-1, "class", errClass.Error())
	}
	var phrase []byte
	if reason != "" {
		phrase = []byte(reason)
	}
	return done(c.Msg.SetStatus(code, phrase))
}

// toJSON is sip_to_json.
func (*config) toJSON(c *api.Ctx) modules.Ret {
	line, _, _ := bytes.Cut(c.Msg.Serialise(nil), []byte("\r\n"))
	var b bytes.Buffer
	b.WriteString(`{"first_line":`)
	writeJSON(&b, line)
	b.WriteString(`,"headers":{`)
	seen := make(map[string]bool)
	for _, h := range c.Msg.Headers() {
		key := strings.ToLower(string(h.Name))
		if seen[key] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[key] = true
		writeJSON(&b, h.Name)
		b.WriteByte(':')
		writeValues(&b, c.Msg, h.Name)
	}
	b.WriteByte('}')
	if body := c.Msg.Body(); len(body) > 0 {
		b.WriteString(`,"body":`)
		writeJSON(&b, body)
	}
	b.WriteByte('}')
	return modules.Output(modules.Bytes(b.Bytes()))
}

// writeValues writes the values of the headers written like name.
func writeValues(b *bytes.Buffer, d *sip.Draft, name []byte) {
	b.WriteByte('[')
	first := true
	for _, h := range d.Headers() {
		if !bytes.EqualFold(h.Name, name) {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		writeJSON(b, h.Value)
	}
	b.WriteByte(']')
}

// writeJSON writes text as a JSON string; bytes that are no UTF-8 become U+FFFD.
func writeJSON(b *bytes.Buffer, text []byte) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if enc.Encode(string(text)) == nil {
		b.Truncate(b.Len() - 1) // the line feed Encode ends with
	}
}
