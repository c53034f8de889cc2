package core

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// headerFields read what stands in one header field.
func headerFields() []modules.Field {
	fields := []modules.Field{
		headerField("ci", "Call-ID.", sip.HdrCallID),
		headerField("cT", "Content-Type.", sip.HdrContentType),
		headerField("ua", "User-Agent.", sip.HdrUserAgent),
		field("cs", "$cs", modules.KindNumber, "CSeq number.", func(c *api.Ctx) modules.Value {
			cseq, err := c.Msg.CSeq()
			if err != nil {
				return modules.Nil()
			}
			return modules.Number(float64(cseq.Num))
		}),
		field("cl", "$cl", modules.KindNumber, "Content-Length as the header says; nil when it is absent.", func(c *api.Ctx) modules.Value {
			n, err := strconv.Atoi(string(c.Msg.First(sip.HdrContentLength)))
			if err != nil {
				return modules.Nil()
			}
			return modules.Int(n)
		}),
		field("ct", "$ct", modules.KindString, "First contact: display name, URI and parameters; \"*\" where a REGISTER has that.", func(c *api.Ctx) modules.Value {
			n, ok := firstAddr(c, sip.HdrContact)
			if !ok {
				return modules.Nil()
			}
			return modules.Bytes(n.Line)
		}),
		keyed("ct_fields", "$ct.fields", modules.KindString, "A part of the first contact; numbers come as strings.", contactPart,
			"name", "uri", "q", "expires", "methods", "received", "params"),
		keyed("hdrcnt", "$hdrcnt", modules.KindNumber, "How many header lines of that name there are.", func(c *api.Ctx, key modules.Value) modules.Value {
			return modules.Int(c.Msg.Count([]byte(key.Text())))
		}),
		keyed("hdr_name", "$hdr_name", modules.KindString, "Name of the header line at an index from 0, from the end when negative; nil past the end.", headerName),
	}
	return append(fields, addressFields()...)
}

func headerField(name, doc string, id sip.HeaderID) modules.Field {
	return field(name, "$"+name, modules.KindString, doc, func(c *api.Ctx) modules.Value { return modules.BytesOrNil(c.Msg.First(id)) })
}

// addressFields are $f*, $t* and those of other headers that hold an address.
func addressFields() []modules.Field {
	from := func(c *api.Ctx) (*sip.NameAddr, error) { return c.Msg.From() }
	to := func(c *api.Ctx) (*sip.NameAddr, error) { return c.Msg.To() }
	fields := append(partyFields("f", "From", from), partyFields("t", "To", to)...)
	uris := []struct {
		name, doc string
		id        sip.HeaderID
	}{
		{"ai", "URI in P-Asserted-Identity (RFC 3325).", sip.HdrPAI},
		{"rt", "URI in Refer-To.", sip.HdrReferTo},
		{"re", "URI in Remote-Party-ID.", sip.HdrRPID},
		{"di", "URI in the first Diversion.", sip.HdrDiversion},
	}
	for _, h := range uris {
		fields = append(fields, addrField(h.name, h.doc, h.id, func(n *sip.NameAddr) []byte { return n.Addr }))
	}
	return append(fields,
		addrField("dip", "Parameter privacy of the first Diversion.", sip.HdrDiversion, addrParam("privacy")),
		addrField("dir", "Parameter reason of the first Diversion.", sip.HdrDiversion, addrParam("reason")))
}

// partyFields are display name, tag, URI and its parts of From or To.
func partyFields(prefix, header string, find func(*api.Ctx) (*sip.NameAddr, error)) []modules.Field {
	of := func(get func(*sip.NameAddr) []byte) func(*api.Ctx) modules.Value {
		return func(c *api.Ctx) modules.Value {
			n, err := find(c)
			if err != nil || n == nil {
				return modules.Nil()
			}
			return modules.StringOrNil(string(get(n)))
		}
	}
	fields := partFields(prefix, "the URI in "+header, "Ud", func(c *api.Ctx) *sip.URI {
		n, err := find(c)
		if err != nil || n == nil {
			return nil
		}
		return &n.URI
	})
	return append(fields,
		field(prefix+"u", "$"+prefix+"u", modules.KindString, "URI in "+header+".", of(func(n *sip.NameAddr) []byte { return n.Addr })),
		field(prefix+"n", "$"+prefix+"n", modules.KindString, "Display name in "+header+" as written, quotes kept; nil when there is none.", of(func(n *sip.NameAddr) []byte { return n.Display })),
		field(prefix+"t", "$"+prefix+"t", modules.KindString, "Tag of "+header+"; nil when there is none.", of(func(n *sip.NameAddr) []byte { return n.Tag })))
}

// identityFields are $p*: the parts of P-Preferred-Identity (RFC 3325).
func identityFields() []modules.Field {
	fields := partFields("p", "the URI in P-Preferred-Identity", "Ud", func(c *api.Ctx) *sip.URI {
		n, ok := firstAddr(c, sip.HdrPPI)
		if !ok {
			return nil
		}
		return &n.URI
	})
	return append(fields,
		addrField("pu", "URI in P-Preferred-Identity.", sip.HdrPPI, func(n *sip.NameAddr) []byte { return n.Addr }),
		addrField("pn", "Display name in P-Preferred-Identity as written, quotes kept.", sip.HdrPPI, func(n *sip.NameAddr) []byte { return n.Display }))
}

// firstAddr reads the first address in a header field.
func firstAddr(c *api.Ctx, id sip.HeaderID) (n sip.NameAddr, ok bool) {
	v := c.Msg.First(id)
	if v == nil {
		return n, false
	}
	_, err := sip.ParseNameAddr(v, &n)
	return n, err == nil
}

func addrField(name, doc string, id sip.HeaderID, get func(*sip.NameAddr) []byte) modules.Field {
	return field(name, "$"+name, modules.KindString, doc, func(c *api.Ctx) modules.Value {
		n, ok := firstAddr(c, id)
		if !ok {
			return modules.Nil()
		}
		return modules.StringOrNil(string(get(&n)))
	})
}

func addrParam(name string) func(*sip.NameAddr) []byte {
	return func(n *sip.NameAddr) []byte {
		v, _ := n.Param(name)
		return sip.Unquote(nil, v)
	}
}

func contactPart(c *api.Ctx, key modules.Value) modules.Value {
	n, ok := firstAddr(c, sip.HdrContact)
	if !ok {
		return modules.Nil()
	}
	switch part := key.Text(); part {
	case "name":
		return modules.StringOrNil(string(n.Display))
	case "uri":
		return modules.StringOrNil(string(n.Addr))
	case "params":
		return modules.StringOrNil(string(n.Params))
	case "q", "expires", "methods", "received":
		return modules.StringOrNil(string(addrParam(part)(&n)))
	}
	return modules.Nil()
}

func headerName(c *api.Ctx, key modules.Value) modules.Value {
	i := int(key.Num)
	if key.Kind != modules.KindNumber {
		return modules.Nil()
	}
	if i < 0 {
		i += c.Msg.Len()
	}
	if i < 0 {
		return modules.Nil()
	}
	for _, h := range c.Msg.Headers() {
		if i == 0 {
			return modules.Bytes(h.Name)
		}
		i--
	}
	return modules.Nil()
}

// makeHeader is core.hdr: one header line that cannot break the message.
func makeHeader(name, value string) (string, error) {
	if !sip.IsToken([]byte(name)) {
		return "", fmt.Errorf("%q is not a header name (a token of RFC 3261 §25.1)", name)
	}
	if bytes.ContainsAny([]byte(value), "\r\n\x00") {
		return "", fmt.Errorf("%s: %w", name, sip.ErrHeaderBytes)
	}
	return name + ": " + value + "\r\n", nil
}
