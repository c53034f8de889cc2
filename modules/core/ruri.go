package core

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// uriPart reads one part of a URI.
type uriPart struct {
	suffix, doc string // doc has a place for what the URI is
	kind        modules.Kind
	get         func(*sip.URI) modules.Value
}

// uriParts are those that $r*, $o* and others have, by their letter.
var uriParts = [...]uriPart{
	{"U", "User of %s.", modules.KindString, func(u *sip.URI) modules.Value { return modules.StringOrNil(string(u.User)) }},
	{"d", "Host of %s.", modules.KindString, func(u *sip.URI) modules.Value {
		if u.Scheme == sip.SchemeTEL {
			return modules.Nil()
		}
		return modules.StringOrNil(string(u.Host))
	}},
	{"p", "Port of %s; the transport's default when none is written.", modules.KindNumber, func(u *sip.URI) modules.Value { return modules.Int(defaultPort(u)) }},
	{"P", "Transport of %s; udp, for sips tls, when none is written.", modules.KindString, transportOf},
}

// partFields declares the parts of a URI that find gives; nil when there is
// none or it does not parse.
func partFields(prefix, what, suffixes string, find func(*api.Ctx) *sip.URI) []modules.Field {
	var out []modules.Field
	for _, part := range uriParts {
		if !strings.Contains(suffixes, part.suffix) {
			continue
		}
		name := prefix + part.suffix
		out = append(out, field(name, "$"+name, part.kind, fmt.Sprintf(part.doc, what), func(c *api.Ctx) modules.Value {
			u := find(c)
			if u == nil {
				return modules.Nil()
			}
			return part.get(u)
		}))
	}
	return out
}

// parsed reads a URI, nil when it is none.
func parsed(raw []byte) *sip.URI {
	var u sip.URI
	if raw == nil || sip.ParseURI(raw, &u) != nil {
		return nil
	}
	return &u
}

func ruri(c *api.Ctx) *sip.URI {
	if !c.Msg.IsRequest() {
		return nil
	}
	u, err := c.Msg.RURI()
	if err != nil {
		return nil
	}
	return u
}

// ruriFields are $ru and its parts, and $ru_q.
func ruriFields() []modules.Field {
	fields := partFields("r", "the Request-URI", "UdpP", ruri)
	writers := map[string]func(*parts, modules.Value) error{
		"rU": func(p *parts, v modules.Value) error { return p.setUser(v.Text()) },
		"rd": func(p *parts, v modules.Value) error { return p.setHost(v.Text()) },
		"rp": setPortValue,
	}
	for i, f := range fields {
		if w := writers[f.Name]; w != nil {
			fields[i] = writable(f, func(c *api.Ctx, v modules.Value) error {
				return editRequestURI(c, func(p *parts) error { return w(p, v) })
			})
		}
	}
	ru := field("ru", "$ru", modules.KindString, "Request-URI.", func(c *api.Ctx) modules.Value {
		if !c.Msg.IsRequest() {
			return modules.Nil()
		}
		return modules.Bytes(c.Msg.RequestURI())
	})
	q := field("ru_q", "$ru_q", modules.KindNumber, "q value of the Request-URI's branch in thousandths, 0 to 1000; nil when none is set.", func(c *api.Ctx) modules.Value {
		if c.Target == nil || c.Target.Q < 0 {
			return modules.Nil()
		}
		return modules.Int(c.Target.Q)
	}).Volatile()
	return append(fields,
		writable(ru, func(c *api.Ctx, v modules.Value) error { return setRequestURI(c, v.Text()) }),
		writable(q, setQ))
}

func setPortValue(p *parts, v modules.Value) error {
	n, err := portArg(v)
	if err != nil {
		return err
	}
	return p.setPort(n)
}

func setQ(c *api.Ctx, v modules.Value) error {
	if !hasRequest(c) {
		return errNoRequest
	}
	if v.IsNil() {
		c.Target.Q = -1
		return nil
	}
	q, err := checkQ(v)
	if err == nil {
		c.Target.Q = q
	}
	return err
}

func checkQ(v modules.Value) (int, error) {
	q := int(v.Num)
	if v.Kind != modules.KindNumber || float64(q) != v.Num || q < 0 || q > 1000 {
		return 0, fmt.Errorf("q %s must be a whole number of thousandths, 0 to 1000", v.Text())
	}
	return q, nil
}

// readQ reads a q value as OpenSIPS's functions take it, "0.5", and as
// msg.ru_q has it, in thousandths. Of numbers up to 1 the former is meant.
func readQ(v modules.Value) (int, error) {
	if v.Kind == modules.KindNumber && v.Num > 1 {
		return checkQ(v)
	}
	text := v.Text()
	n, err := strconv.ParseFloat(text, 64)
	whole, decimals, _ := strings.Cut(text, ".")
	if err != nil || !(n >= 0 && n <= 1) || len(whole) != 1 || len(decimals) > 3 {
		return 0, fmt.Errorf("q %q must be 0 to 1 with at most three decimals, or a number of thousandths", text)
	}
	return int(math.Round(n * 1000)), nil
}

// originalFields are $ou and its parts: the Request-URI as received.
func originalFields() []modules.Field {
	original := func(c *api.Ctx) []byte {
		m := c.Msg.Message()
		if m == nil || !m.IsRequest() {
			return nil
		}
		return m.RequestURI()
	}
	return append(partFields("o", "the Request-URI as received", "UdpP", func(c *api.Ctx) *sip.URI { return parsed(original(c)) }),
		field("ou", "$ou", modules.KindString, "Request-URI as received.", func(c *api.Ctx) modules.Value { return modules.BytesOrNil(original(c)) }))
}

// destinationFields are $du and its parts, $ds and $path.
func destinationFields() []modules.Field {
	fields := partFields("d", "the destination URI", "dpP", func(c *api.Ctx) *sip.URI {
		if c.Target == nil || c.Target.Duri == "" {
			return nil
		}
		return parsed([]byte(c.Target.Duri))
	})
	for i := range fields {
		fields[i] = fields[i].Volatile()
		switch fields[i].Name {
		case "dd":
			fields[i] = writable(fields[i], func(c *api.Ctx, v modules.Value) error {
				return editDestination(c, func(p *parts) error { return p.setHost(v.Text()) })
			})
		case "dp":
			fields[i] = writable(fields[i], func(c *api.Ctx, v modules.Value) error {
				return editDestination(c, func(p *parts) error { return setPortValue(p, v) })
			})
		}
	}
	du := field("du", "$du", modules.KindString, "Destination URI: where the request goes next, whatever its Request-URI says; nil when none is set.",
		ofTarget(func(t *api.Target) modules.Value { return modules.StringOrNil(t.Duri) })).Volatile()
	return append(fields,
		writable(du, func(c *api.Ctx, v modules.Value) error { return setDuri(c, v.Text()) }),
		field("ds", "$ds", modules.KindString, "The destination set as a Contact header would show it.", destinationSet).Volatile(),
		field("path", "$path", modules.KindString, "Path that the request will follow as Route headers (RFC 3327 §5.3); nil when there is none.",
			ofTarget(func(t *api.Target) modules.Value { return modules.StringOrNil(t.Path) })).Volatile())
}

func ofTarget(f func(*api.Target) modules.Value) func(*api.Ctx) modules.Value {
	return func(c *api.Ctx) modules.Value {
		if c.Target == nil {
			return modules.Nil()
		}
		return f(c.Target)
	}
}

// setDuri writes the destination URI; "" removes it.
func setDuri(c *api.Ctx, uri string) error {
	if !hasRequest(c) {
		return errNoRequest
	}
	if uri != "" {
		if err := checkSIP(uri); err != nil {
			return err
		}
	}
	c.Target.Duri = uri
	return nil
}

func destinationSet(c *api.Ctx) modules.Value {
	if !hasRequest(c) {
		return modules.Nil()
	}
	var b strings.Builder
	b.WriteString("Contact: ")
	addContact(&b, string(c.Msg.RequestURI()), c.Target.Q)
	for i := range c.Extra {
		b.WriteString(", ")
		addContact(&b, c.Extra[i].URI, c.Extra[i].Q)
	}
	return modules.String(b.String())
}

func addContact(b *strings.Builder, uri string, q int) {
	b.WriteString("<" + uri + ">")
	if q >= 0 {
		b.WriteString(";q=" + strconv.FormatFloat(float64(q)/1000, 'f', -1, 64))
	}
}
