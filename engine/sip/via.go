package sip

import (
	"errors"
	"net/netip"
	"strconv"
)

// BranchCookie begins the branch of every RFC 3261 transaction (§8.1.1.7).
const BranchCookie = "z9hG4bK"

// Via is one value of a Via header field (RFC 3261 §20.42). All fields are
// slices of what was parsed.
type Via struct {
	Version   []byte // "SIP/2.0", as written (white space around "/" included)
	Transport []byte // as written
	Host      []byte // sent-by host; IPv6 references keep their brackets
	Port      uint16 // sent-by port, 0 when absent
	RPort     uint16 // value of rport, 0 when it has none
	HasRPort  bool   // RFC 3581
	HasAlias  bool   // RFC 5923
	TTL       int    // 0 when absent
	Params    []byte // behind the first ";", without it; nil when absent
	Branch    []byte
	Received  []byte // as written, IPv6 with or without brackets (RFC 5118 §4.5)
	Maddr     []byte
	Comment   []byte // RFC 2543, with its parentheses
	Line      []byte // the whole value

	sentEnd int // length of Line up to the end of sent-by
}

// Errors of ParseVia.
var (
	ErrViaProtocol = errors.New("Via must begin as SIP/2.0/transport")
	ErrViaHost     = errors.New("Via sent-by is not host or host:port")
	ErrViaParam    = errors.New("Via parameters must be ;name or ;name=value, none empty")
	ErrViaTwice    = errors.New("Via parameter stands twice; once is right (RFC 3261 §7.3.1)")
	ErrListEmpty   = errors.New("list holds an empty value")
)

// ParseVia reads the first value of a Via header field into v and returns what
// follows its comma, nil when it is the last. On an error in the parameters the
// sent-by fields of v are set.
func ParseVia(b []byte, v *Via) (rest []byte, err error) {
	*v = Via{}
	i := skipLWS(b, 0)
	start := i
	if i = v.protocol(b, i); i < 0 {
		return nil, ErrViaProtocol
	}
	n := hostEnd(b[i:])
	if n <= 0 {
		return nil, ErrViaHost
	}
	host := b[i : i+n]
	i = skipLWS(b, i+n)
	if i < len(b) && b[i] == ':' {
		i = skipLWS(b, i+1)
		n = span(b, i, clHex)
		port, ok := parseUint(b[i:n], 65535)
		if !ok {
			return nil, ErrViaHost
		}
		v.Port = uint16(port)
		i = skipLWS(b, n)
	}
	v.Host = host
	v.sentEnd = len(trimLWS(b[start:i]))
	end, err := v.params(b, i)
	if err != nil {
		return nil, err
	}
	v.Line = trimLWS(b[start:end])
	if end == len(b) {
		return nil, nil
	}
	rest = b[end+1:]
	if skipLWS(rest, 0) == len(rest) {
		return nil, ErrListEmpty
	}
	return rest, nil
}

// protocol reads "SIP / 2.0 / UDP" and the white space behind it, -1 when it
// is not there.
func (v *Via) protocol(b []byte, i int) int {
	start := i
	for part := 0; part < 3; part++ {
		n := span(b, i, clToken)
		if n == i {
			return -1
		}
		switch part {
		case 1:
			v.Version = b[start:n]
		case 2:
			v.Transport = b[i:n]
			if i = skipLWS(b, n); i == n {
				return -1
			}
			return i
		}
		i = skipLWS(b, n)
		if i == len(b) || b[i] != '/' {
			return -1
		}
		i = skipLWS(b, i+1)
	}
	return -1
}

// params reads the parameters and a comment from b[i] on and returns the index
// of the comma that ends the value, or len(b).
func (v *Via) params(b []byte, i int) (int, error) {
	start := i
	var p param
	for i < len(b) {
		switch b[i] {
		case ',':
			return i, nil
		case '(':
			n := commentEnd(b, i)
			if n < 0 {
				return 0, ErrViaParam
			}
			v.Comment = b[i:n]
			if i = skipLWS(b, n); i < len(b) && b[i] != ',' {
				return 0, ErrViaParam
			}
		case ';':
			if i = nextParam(b, i+1, &p); i < 0 {
				return 0, ErrViaParam
			}
			v.Params = trimLWS(b[start+1 : i])
			if err := v.setParam(&p); err != nil {
				return 0, err
			}
		default:
			return 0, ErrViaParam
		}
	}
	return i, nil
}

// commentEnd returns the index behind the parenthesis that closes the comment
// at b[i], -1 when none does.
func commentEnd(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func (v *Via) setParam(p *param) error {
	switch len(p.name) {
	case 3:
		if EqualFold(p.name, "ttl") {
			n, ok := parseUint(p.value, 255)
			if !ok {
				return ErrViaParam
			}
			v.TTL = int(n)
		}
	case 5:
		switch {
		case EqualFold(p.name, "rport"):
			return v.setRPort(p)
		case EqualFold(p.name, "maddr"):
			return setOnce(&v.Maddr, p)
		case EqualFold(p.name, "alias"):
			v.HasAlias = true
		}
	case 6:
		if EqualFold(p.name, "branch") {
			return setOnce(&v.Branch, p)
		}
	case 8:
		if EqualFold(p.name, "received") {
			return setOnce(&v.Received, p)
		}
	}
	return nil
}

func (v *Via) setRPort(p *param) error {
	if v.HasRPort {
		return ErrViaTwice
	}
	v.HasRPort = true
	if len(p.value) == 0 {
		return nil
	}
	n, ok := parseUint(p.value, 65535)
	if !ok {
		return ErrViaParam
	}
	v.RPort = uint16(n)
	return nil
}

func setOnce(field *[]byte, p *param) error {
	if *field != nil {
		return ErrViaTwice
	}
	if len(p.value) == 0 {
		return ErrViaParam
	}
	*field = p.value
	return nil
}

// Param finds a Via parameter by name in any case.
func (v *Via) Param(name string) (value []byte, ok bool) { return Param(v.Params, name) }

// HasCookie tells whether the branch is that of an RFC 3261 transaction: the
// magic cookie with something behind it (§17.2.3; RFC 4475 §3.1.2.18).
func (v *Via) HasCookie() bool {
	return len(v.Branch) > len(BranchCookie) && EqualFold(v.Branch[:len(BranchCookie)], BranchCookie)
}

// AppendReceived appends the value of v as the receiver of a request leaves it:
// received when the sent-by host is not src's address or when rport asks for
// it, rport filled in (RFC 3261 §18.2.1, RFC 3581 §4). What the sender claimed
// in received and rport is replaced.
func (v *Via) AppendReceived(dst []byte, src netip.AddrPort) []byte {
	if !src.IsValid() {
		return append(dst, v.Line...)
	}
	addr := src.Addr().Unmap()
	need := v.HasRPort || !sameHost(v.Host, addr)
	if v.Received == nil && !v.HasRPort && !need {
		return append(dst, v.Line...)
	}
	dst = v.appendWithout(dst)
	if v.HasRPort {
		dst = append(dst, ";rport="...)
		dst = strconv.AppendUint(dst, uint64(src.Port()), 10)
	}
	if need {
		dst = append(dst, ";received="...)
		dst = addr.WithZone("").AppendTo(dst)
	}
	if v.Comment != nil {
		dst = append(append(dst, ' '), v.Comment...)
	}
	return dst
}

// appendWithout appends the value without received, rport and comment.
func (v *Via) appendWithout(dst []byte) []byte {
	dst = append(dst, v.Line[:v.sentEnd]...)
	EachParam(v.Params, func(name, value []byte) bool {
		if EqualFold(name, "received") || EqualFold(name, "rport") {
			return true
		}
		dst = append(append(dst, ';'), name...)
		if value != nil {
			dst = append(append(dst, '='), value...)
		}
		return true
	})
	return dst
}

// sameHost tells whether a sent-by host is the numeric address addr.
func sameHost(host []byte, addr netip.Addr) bool {
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	if len(host) > 45 {
		return false
	}
	a, err := ParseAddr(host)
	return err == nil && a == addr.WithZone("")
}
