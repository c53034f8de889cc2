package sip

import "errors"

// NameAddr is one value of From, To, Contact, Route, Record-Route, Path,
// P-Asserted-Identity, Diversion or Refer-To: a name-addr or addr-spec with
// its parameters (RFC 3261 §20.10). All fields are slices of what was parsed.
type NameAddr struct {
	Display []byte // as written, quotes included; nil when absent
	Addr    []byte // the URI as written, without < and >
	Params  []byte // of the header field, behind the first ";", without it; nil when absent
	Tag     []byte // nil when absent
	Star    bool   // Contact: *
	Bracket bool   // the URI stands in <>
	URI     URI
	Line    []byte // the whole value
}

// Errors of ParseNameAddr.
var (
	ErrAddrQuote   = errors.New("quoted display name never closes")
	ErrAddrBracket = errors.New("< without >, or nothing between them")
	ErrAddrDisplay = errors.New("display name holds a comma, semicolon or quote; put it in quotes")
	ErrAddrNaked   = errors.New("a URI with ? or , must stand in <> (RFC 3261 §20)")
	ErrAddrParam   = errors.New("parameters must be ;name or ;name=value, none empty")
	ErrAddrTag     = errors.New("tag is empty or stands twice")
	ErrAddrTail    = errors.New("junk behind the address")
)

// ParseNameAddr reads the first value of an address list into n and returns
// what follows its comma, nil when it is the last.
func ParseNameAddr(b []byte, n *NameAddr) (rest []byte, err error) {
	*n = NameAddr{}
	start := skipLWS(b, 0)
	i, err := n.address(b, start)
	if err != nil {
		return nil, err
	}
	if !n.Star {
		if err := ParseURI(n.Addr, &n.URI); err != nil {
			return nil, err
		}
	}
	if i, err = n.params(b, skipLWS(b, i)); err != nil {
		return nil, err
	}
	n.Line = trimLWS(b[start:i])
	if i == len(b) {
		return nil, nil
	}
	rest = b[i+1:]
	if skipLWS(rest, 0) == len(rest) {
		return nil, ErrListEmpty
	}
	return rest, nil
}

// address reads display name and URI from b[i] on and returns the index behind
// them.
func (n *NameAddr) address(b []byte, i int) (int, error) {
	start := i
	if i < len(b) && b[i] == '"' {
		end := quotedEnd(b, i)
		if end < 0 {
			return 0, ErrAddrQuote
		}
		n.Display = b[i:end]
		if i = skipLWS(b, end); i == len(b) || b[i] != '<' {
			return 0, ErrAddrBracket
		}
		return n.bracketed(b, i)
	}
	for ; i < len(b); i++ {
		switch b[i] {
		case '<':
			if d := trimLWS(b[start:i]); len(d) > 0 {
				n.Display = d
			}
			return n.bracketed(b, i)
		case '"':
			return 0, ErrAddrDisplay
		case '?':
			return 0, ErrAddrNaked
		case ',', ';':
			return n.naked(b, start, i)
		}
	}
	return n.naked(b, start, i)
}

func (n *NameAddr) naked(b []byte, start, end int) (int, error) {
	n.Addr = trimLWS(b[start:end])
	n.Star = len(n.Addr) == 1 && n.Addr[0] == '*'
	return end, nil
}

func (n *NameAddr) bracketed(b []byte, i int) (int, error) {
	n.Bracket = true
	for j := i + 1; j < len(b); j++ {
		if b[j] == '>' {
			n.Addr = b[i+1 : j]
			return j + 1, nil
		}
	}
	return 0, ErrAddrBracket
}

func (n *NameAddr) params(b []byte, i int) (int, error) {
	start := i
	var p param
	for i < len(b) && b[i] != ',' {
		if b[i] != ';' {
			return 0, ErrAddrTail
		}
		if i = nextParam(b, i+1, &p); i < 0 {
			return 0, ErrAddrParam
		}
		if len(p.name) == 3 && EqualFold(p.name, "tag") {
			if n.Tag != nil || len(p.value) == 0 {
				return 0, ErrAddrTag
			}
			n.Tag = p.value
		}
		n.Params = trimLWS(b[start+1 : i])
	}
	return i, nil
}

// Param finds a parameter of the header field by name in any case. The value
// comes as written, quotes included.
func (n *NameAddr) Param(name string) (value []byte, ok bool) { return Param(n.Params, name) }
