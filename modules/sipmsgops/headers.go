package sipmsgops

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/signaling"
)

const lineDoc = `whole header lines, each ending in "\r\n"`

func headerFunctions() []modules.Function {
	line := modules.StrArg("txt", lineDoc)
	name := modules.StrArg("hdr_name", "name of the header, long or compact, in any case")
	option := modules.StrArg("option", "the option, a token")
	return []modules.Function{
		modules.F1(modules.Spec{Name: "append_to_reply", Routes: routesReplies,
			Doc: "Adds header lines to the replies made here to this request."}, line, (*config).appendToReply),
		modules.F1(modules.Spec{Name: "append_body_to_reply", Routes: routesReplies,
			Doc: "Sets the body of the replies made here to this request; append_to_reply gives its Content-Type."},
			modules.StrArg("txt", "the body; empty for none"), (*config).appendBodyToReply),
		modules.F2(modules.Spec{Name: "append_hf", Routes: routesAny,
			Doc: "Adds header lines behind the last header, or behind the first one with a given name."},
			line, modules.OptStrArg("hdr_anchor", "", "header to add them behind; where there is none they go to the end"), (*config).appendHF),
		modules.F2(modules.Spec{Name: "insert_hf", Routes: routesAny,
			Doc: "Adds header lines before the first header, or before the first one with a given name."},
			line, modules.OptStrArg("hdr", "", "header to add them before; where there is none they go to the top"), (*config).insertHF),
		modules.F2(modules.Spec{Name: "append_urihf", Routes: routesReplies &^ api.RouteError,
			Doc: "Adds a header line with the request URI as received in its middle."},
			modules.StrArg("prefix", `what stands before the URI: "CC-Diversion: <"`),
			modules.StrArg("suffix", `what stands behind it, up to "\r\n"`), (*config).appendURIHF),
		modules.F1(modules.Spec{Name: "is_present_hf", Routes: routesAny,
			Doc: "Tells whether the message has a header."}, name, (*config).isPresent),
		modules.F0(modules.Spec{Name: "append_time", Routes: routesRequest,
			Doc: "Adds a Date header to the replies made here to this request."}, (*config).appendTime),
		modules.F1(modules.Spec{Name: "remove_hf", Routes: routesAny,
			Doc: "Removes all headers with a name; true when there was one. Raises for Via, From, To, Call-ID and CSeq, which every message has."}, name, (*config).removeHF),
		modules.F1(modules.Spec{Name: "remove_hf_re", Routes: routesAny,
			Doc: "Removes all headers whose name matches a pattern, but those that every message has; true when there was one."},
			modules.PatternArg("hname_expr", "pattern"), (*config).removeHFRe),
		modules.F1(modules.Spec{Name: "remove_hf_glob", Routes: routesAny,
			Doc: "Removes all headers whose name matches a glob, but those that every message has; true when there was one."},
			globArg(), (*config).removeHFGlob),
		modules.F1(modules.Spec{Name: "get_glob_headers_values", Routes: routesAny,
			Doc: "Reads all headers whose name matches a glob.",
			Outputs: []modules.OutputDoc{
				{Name: "names", Kind: modules.KindList, Doc: "their names, in the order of the message"},
				{Name: "vals", Kind: modules.KindList, Doc: "their values, in the same order"},
			}}, globArg(), (*config).globValues),
		modules.F2(modules.Spec{Name: "list_hdr_has_option", Routes: routesAny,
			Doc: "Tells whether an option is in the comma-separated list of a header (Supported, Require)."},
			name, option, (*config).hasOption),
		modules.F2(modules.Spec{Name: "list_hdr_add_option", Routes: routesAny,
			Doc: "Adds an option to the list of the first header with that name; false when there is none."},
			name, option, (*config).addOption),
		modules.F2(modules.Spec{Name: "list_hdr_remove_option", Routes: routesAny,
			Doc: "Removes an option from the lists of all headers with that name; a list that empties goes."},
			name, option, (*config).removeOption),
	}
}

func globArg() modules.ArgOf[string] {
	return modules.StrArg("hname_pattern", "glob over the name, in any case: * ? [a-z]")
}

// done turns the error of an edit into misuse.
func done(err error) modules.Ret {
	if err != nil {
		return modules.Misuse(err)
	}
	return modules.Yes()
}

// appendToReply is append_to_reply.
func (*config) appendToReply(c *api.Ctx, lines string) modules.Ret {
	if err := sip.CheckLines([]byte(lines)); err != nil {
		return modules.Misuse(err)
	}
	c.State.ReplyHeaders = append(c.State.ReplyHeaders, lines...)
	return modules.Yes()
}

// appendBodyToReply is append_body_to_reply.
func (*config) appendBodyToReply(c *api.Ctx, body string) modules.Ret {
	signaling.SetReplyBody(c.State, []byte(body))
	return modules.Yes()
}

// appendHF is append_hf.
func (*config) appendHF(c *api.Ctx, lines, anchor string) modules.Ret {
	if anchor != "" {
		if pos, _, ok := c.Msg.FindPos([]byte(anchor)); ok {
			return done(c.Msg.InsertLinesBehind(pos, []byte(lines)))
		}
	}
	return done(c.Msg.AppendLines([]byte(lines)))
}

// insertHF is insert_hf.
func (*config) insertHF(c *api.Ctx, lines, anchor string) modules.Ret {
	if anchor != "" {
		if err := c.Msg.InsertLinesBefore([]byte(anchor), []byte(lines)); !errors.Is(err, sip.ErrNoHeader) {
			return done(err)
		}
	}
	return done(c.Msg.InsertLinesBefore(nil, []byte(lines)))
}

// appendURIHF is append_urihf.
func (*config) appendURIHF(c *api.Ctx, prefix, suffix string) modules.Ret {
	return done(c.Msg.AppendLines([]byte(prefix + string(c.Msg.Message().RequestURI()) + suffix)))
}

// isPresent is is_present_hf.
func (*config) isPresent(c *api.Ctx, name string) modules.Ret {
	return modules.YesIf(c.Msg.Find([]byte(name)) != nil, "not_found", "there is no such header")
}

// appendTime is append_time.
func (*config) appendTime(c *api.Ctx) modules.Ret {
	b := append(c.State.ReplyHeaders, "Date: "...)
	b = c.Host.Now().UTC().AppendFormat(b, http.TimeFormat)
	c.State.ReplyHeaders = append(b, "\r\n"...)
	return modules.Yes()
}

// removeHF is remove_hf.
func (*config) removeHF(c *api.Ctx, name string) modules.Ret {
	if id := sip.LookupHeader([]byte(name)); id.Mandatory() {
		return modules.Misuse(fmt.Errorf("%s cannot be removed: no message is without it (RFC 3261 §8.1.1)", id.Name()))
	}
	return edited(c.Msg.Remove([]byte(name)), "there is no such header")
}

// removeHFRe is remove_hf_re.
func (m *config) removeHFRe(c *api.Ctx, pattern string) modules.Ret {
	re, err := m.patterns.Arg(pattern)
	if err != nil {
		return modules.Misuse(err)
	}
	return edited(removeWhere(c.Msg, re.Match), "no header name matches")
}

// removeHFGlob is remove_hf_glob.
func (*config) removeHFGlob(c *api.Ctx, pattern string) modules.Ret {
	return edited(removeWhere(c.Msg, func(name []byte) bool { return glob(pattern, string(name)) }), "no header name matches")
}

// removeWhere removes the headers whose name f accepts, but those that every
// message has.
func removeWhere(d *sip.Draft, f func(name []byte) bool) int {
	var gone []sip.Pos
	for pos, h := range d.Headers() {
		if !h.ID.Mandatory() && f(h.Name) {
			gone = append(gone, pos)
		}
	}
	for _, pos := range gone {
		d.RemoveAt(pos)
	}
	return len(gone)
}

// globValues is get_glob_headers_values.
func (*config) globValues(c *api.Ctx, pattern string) modules.Ret {
	var names, vals []modules.Value
	for _, h := range c.Msg.Headers() {
		if glob(pattern, string(h.Name)) {
			names, vals = append(names, modules.Bytes(h.Name)), append(vals, modules.Bytes(h.Value))
		}
	}
	if len(names) == 0 {
		return modules.NoOutput(-1, "not_found", "no header name matches")
	}
	return modules.Output(modules.Map(map[string]modules.Value{"names": modules.List(names), "vals": modules.List(vals)}))
}

// optionLine is one header line with a list of options.
type optionLine struct {
	pos     sip.Pos
	options []string
}

// optionLines reads all headers of that name.
func optionLines(d *sip.Draft, name string) []optionLine {
	var out []optionLine
	for pos, h := range d.Headers() {
		if !sip.SameHeader(h.Name, []byte(name)) {
			continue
		}
		l := optionLine{pos: pos}
		for o := range sip.SplitList(h.Value) {
			l.options = append(l.options, unfold(o))
		}
		out = append(out, l)
	}
	return out
}

// unfold is a header value on one line (RFC 3261 §7.3.1).
func unfold(b []byte) string {
	line := bytes.Clone(b)
	for i, c := range line {
		if c == '\r' || c == '\n' {
			line[i] = ' '
		}
	}
	return string(line)
}

// hasOption is list_hdr_has_option.
func (*config) hasOption(c *api.Ctx, name, option string) modules.Ret {
	for _, l := range optionLines(c.Msg, name) {
		for _, o := range l.options {
			if strings.EqualFold(o, option) {
				return modules.Yes()
			}
		}
	}
	return missing("the option is not listed")
}

// addOption is list_hdr_add_option.
func (*config) addOption(c *api.Ctx, name, option string) modules.Ret {
	if err := checkList(name, option); err != nil {
		return modules.Misuse(err)
	}
	if lines := optionLines(c.Msg, name); len(lines) > 0 {
		l := lines[0]
		return done(c.Msg.SetAt(l.pos, []byte(strings.Join(append(l.options, option), ", "))))
	}
	if c.Msg.Message().Find([]byte(name)) == nil {
		return missing("there is no such header")
	}
	// list_hdr_remove_option took its last option, and the line with it.
	return done(c.Msg.Append([]byte(name), []byte(option)))
}

// checkList refuses headers that hold no list, and what is no item of one.
func checkList(name, option string) error {
	if id := sip.LookupHeader([]byte(name)); id.Mandatory() {
		return fmt.Errorf("%s holds no list of options", id.Name())
	}
	if option == "" || strings.ContainsAny(option, ",\r\n\x00") {
		return fmt.Errorf("option %q is no list item", option)
	}
	return nil
}

// removeOption is list_hdr_remove_option.
func (*config) removeOption(c *api.Ctx, name, option string) modules.Ret {
	if err := checkList(name, option); err != nil {
		return modules.Misuse(err)
	}
	n := 0
	for _, l := range optionLines(c.Msg, name) {
		var keep []string
		for _, o := range l.options {
			if !strings.EqualFold(o, option) {
				keep = append(keep, o)
			}
		}
		switch {
		case len(keep) == len(l.options):
			continue
		case len(keep) == 0:
			c.Msg.RemoveAt(l.pos)
		default:
			if err := c.Msg.SetAt(l.pos, []byte(strings.Join(keep, ", "))); err != nil {
				return modules.Misuse(err)
			}
		}
		n++
	}
	return edited(n, "the option is not listed")
}

// glob matches a name against * ? [set] and \x, in any case (fnmatch with
// FNM_CASEFOLD). It takes time linear in the product of both lengths.
func glob(pattern, name string) bool {
	p, s := []byte(strings.ToLower(pattern)), []byte(strings.ToLower(name))
	back, from := -1, 0 // where to go on behind the last star, and what it took
	i, j := 0, 0
	for j < len(s) {
		if i < len(p) && p[i] == '*' {
			i++
			back, from = i, j
			continue
		}
		if n := globOne(p[min(i, len(p)):], s[j]); n > 0 {
			i, j = i+n, j+1
			continue
		}
		if back < 0 {
			return false
		}
		from++
		i, j = back, from
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// globOne matches one byte against the head of a pattern and returns how much
// of the pattern that took, 0 when it does not match.
func globOne(p []byte, c byte) int {
	switch {
	case len(p) == 0:
		return 0
	case p[0] == '?':
		return 1
	case p[0] == '[':
		if end := bytes.IndexByte(p[min(2, len(p)):], ']'); end >= 0 {
			if globSet(p[1:end+2], c) {
				return end + 3
			}
			return 0
		}
	case p[0] == '\\' && len(p) > 1:
		if p[1] == c {
			return 2
		}
		return 0
	}
	if p[0] == c {
		return 1
	}
	return 0
}

// globSet tells whether c is in a set such as "a-z0" or "!x".
func globSet(set []byte, c byte) bool {
	not := len(set) > 0 && (set[0] == '!' || set[0] == '^')
	if not {
		set = set[1:]
	}
	in := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			in = in || set[i] <= c && c <= set[i+2]
			i += 2
			continue
		}
		in = in || set[i] == c
	}
	return in != not
}
