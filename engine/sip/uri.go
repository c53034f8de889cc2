package sip

import (
	"bytes"
	"errors"
)

// Scheme is a URI scheme a proxy acts upon; SchemeOther has only a name.
type Scheme uint8

// The schemes known: RFC 3261 §19.1, RFC 3966, RFC 8141.
const (
	SchemeOther Scheme = iota
	SchemeSIP
	SchemeSIPS
	SchemeTEL
	SchemeURN
)

// URI is a view of a URI; all fields are slices of what was parsed. For tel
// the number is User; for other schemes all behind the colon is Host.
type URI struct {
	Scheme         Scheme
	HasPort        bool
	Port           uint16 // 0 when absent
	SchemeName     []byte // as written
	User, Password []byte // as written, escapes kept; User is nil when there is no "@"
	Host           []byte // IPv6 references keep their brackets
	Params         []byte // behind the first ";", without it; nil when absent
	Headers        []byte // behind "?", without it; nil when absent
	Raw            []byte // the whole URI
}

// Errors of ParseURI.
var (
	ErrURIScheme = errors.New("URI has no scheme; sip:user@host is needed")
	ErrURIBytes  = errors.New("URI holds white space, control bytes, < > or \"; these must be escaped")
	ErrURIUser   = errors.New("URI has an empty user before its @")
	ErrURIHost   = errors.New("URI host is not a name, an IPv4 address or an IPv6 address in brackets")
	ErrURIPort   = errors.New("URI port is not a number from 0 to 65535")
)

// ParseURI reads a URI (RFC 3261 §19.1.1, RFC 3966, RFC 3986). It refuses what
// would break the line it stands in; schemes it does not know are taken whole.
func ParseURI(b []byte, u *URI) error {
	*u = URI{Raw: b}
	colon := 0
	for colon < len(b) && b[colon] != ':' {
		c := b[colon]
		if !is(c, clHost) && c != '+' || c == '_' {
			return ErrURIScheme
		}
		colon++
	}
	if colon == 0 || colon == len(b) || lower(b[0]) < 'a' || lower(b[0]) > 'z' {
		return ErrURIScheme
	}
	if span(b, colon, clURI) != len(b) {
		return ErrURIBytes
	}
	u.SchemeName = b[:colon]
	rest := b[colon+1:]
	switch {
	case EqualFold(u.SchemeName, "sip"):
		u.Scheme = SchemeSIP
		return u.parseSIP(rest)
	case EqualFold(u.SchemeName, "sips"):
		u.Scheme = SchemeSIPS
		return u.parseSIP(rest)
	case EqualFold(u.SchemeName, "tel"):
		u.Scheme = SchemeTEL
		return u.parseTel(rest)
	case EqualFold(u.SchemeName, "urn"):
		u.Scheme = SchemeURN
	}
	u.Host = rest
	if len(rest) == 0 {
		return ErrURIHost
	}
	return nil
}

// parseSIP reads what follows "sip:": [user[:password]@]host[:port][;params][?headers].
// A user may hold ";", "?" and "/", so the first "@" decides.
func (u *URI) parseSIP(b []byte) error {
	if i := bytes.IndexByte(b, '@'); i >= 0 {
		if i == 0 || b[0] == ':' {
			return ErrURIUser
		}
		u.User = b[:i]
		if j := bytes.IndexByte(u.User, ':'); j >= 0 {
			u.User, u.Password = b[:j], b[j+1:i]
		}
		b = b[i+1:]
	}
	n := hostEnd(b)
	if n <= 0 {
		return ErrURIHost
	}
	u.Host = b[:n]
	b = b[n:]
	if len(b) > 0 && b[0] == ':' {
		n = span(b, 1, clHex)
		port, ok := parseUint(b[1:n], 65535)
		if !ok {
			return ErrURIPort
		}
		u.Port, u.HasPort = uint16(port), true
		b = b[n:]
	}
	return u.parseTail(b)
}

// parseTail reads [;params][?headers].
func (u *URI) parseTail(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case ';':
		n := 1
		for n < len(b) && b[n] != '?' {
			if b[n] == '@' || b[n] == ',' {
				return ErrURIBytes
			}
			n++
		}
		u.Params = b[1:n]
		if n < len(b) {
			u.Headers = b[n+1:]
		}
		return nil
	case '?':
		u.Headers = b[1:]
		return nil
	}
	return ErrURIHost
}

// parseTel reads what follows "tel:" (RFC 3966 §3).
func (u *URI) parseTel(b []byte) error {
	n := 0
	for n < len(b) && b[n] != ';' && b[n] != '?' {
		n++
	}
	if n == 0 {
		return ErrURIUser
	}
	u.User = b[:n]
	return u.parseTail(b[n:])
}

// hostEnd returns the length of the host that b begins with: a name, an IPv4
// address or an IPv6 reference in brackets; 0 or less when there is none.
func hostEnd(b []byte) int {
	if len(b) == 0 || b[0] != '[' {
		return span(b, 0, clHost)
	}
	colons := 0
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == ':':
			colons++
		case c == ']':
			if colons < 2 || i > 46 {
				return -1
			}
			return i + 1
		case c != '.' && !is(c, clHex):
			return -1
		}
	}
	return -1
}

// Param finds a URI parameter by name. Names compare without case and with
// escapes resolved (RFC 3261 §19.1.4), so %6C%72 is lr.
func (u *URI) Param(name string) (value []byte, ok bool) {
	b := u.Params
	for len(b) > 0 {
		n, eq := 0, -1
		for n < len(b) && b[n] != ';' {
			if b[n] == '=' && eq < 0 {
				eq = n
			}
			n++
		}
		key := b[:n]
		if eq >= 0 {
			key = b[:eq]
		}
		if equalEscaped(key, []byte(name), true) {
			if eq >= 0 {
				return b[eq+1 : n], true
			}
			return nil, true
		}
		b = b[min(n+1, len(b)):]
	}
	return nil, false
}

func (u *URI) value(name string) []byte {
	v, _ := u.Param(name)
	return v
}

// Transport returns the transport parameter, nil when absent.
func (u *URI) Transport() []byte { return u.value("transport") }

// Maddr returns the maddr parameter, nil when absent.
func (u *URI) Maddr() []byte { return u.value("maddr") }

// LR tells whether the URI asks for loose routing: an lr parameter with or
// without a value (RFC 3261 §19.1.1).
func (u *URI) LR() bool {
	_, ok := u.Param("lr")
	return ok
}

// IsSIP tells whether the scheme is sip or sips.
func (u *URI) IsSIP() bool { return u.Scheme == SchemeSIP || u.Scheme == SchemeSIPS }

// unhex returns the value of a hexadecimal digit, -1 when c is none.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case lower(c) >= 'a' && lower(c) <= 'f':
		return int(lower(c)-'a') + 10
	}
	return -1
}

// escaped reads one character at b[i], resolving %HH. Reserved characters that
// come escaped stay apart from the plain ones (RFC 3261 §19.1.4), told by over.
func escaped(b []byte, i int) (c byte, over bool, next int) {
	if b[i] != '%' || i+2 >= len(b) {
		return b[i], false, i + 1
	}
	hi, lo := unhex(b[i+1]), unhex(b[i+2])
	if hi < 0 || lo < 0 {
		return b[i], false, i + 1
	}
	c = byte(hi<<4 | lo)
	return c, isReserved(c), i + 3
}

// isReserved names the characters that mean something else when escaped.
func isReserved(c byte) bool {
	switch c {
	case ';', '/', '?', ':', '@', '&', '=', '+', '$', ',':
		return true
	}
	return false
}

// equalEscaped compares two URI parts with escapes resolved, by letter case or
// without.
func equalEscaped(a, b []byte, fold bool) bool {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		ca, ra, ni := escaped(a, i)
		cb, rb, nj := escaped(b, j)
		if fold {
			ca, cb = lower(ca), lower(cb)
		}
		if ca != cb || ra != rb {
			return false
		}
		i, j = ni, nj
	}
	return i == len(a) && j == len(b)
}

// URIEqual compares two URIs by RFC 3261 §19.1.4: scheme, user (by case),
// password, host, port; parameters that only one has are ignored unless they
// are user, ttl, method, maddr or transport; headers must match as sets.
// URIs of other schemes compare byte for byte behind their scheme, tel by its
// digits (RFC 3966 §4).
func URIEqual(a, b *URI) bool {
	if !EqualFold(a.SchemeName, b.SchemeName) {
		return false
	}
	switch {
	case a.Scheme == SchemeTEL:
		return telEqual(a.User, b.User) && paramsEqual(a, b, true)
	case !a.IsSIP():
		return string(a.Host) == string(b.Host)
	}
	if (a.User == nil) != (b.User == nil) || !equalEscaped(a.User, b.User, false) ||
		(a.Password == nil) != (b.Password == nil) || !equalEscaped(a.Password, b.Password, false) {
		return false
	}
	if !EqualFold(a.Host, b.Host) || a.HasPort != b.HasPort || a.Port != b.Port {
		return false
	}
	return paramsEqual(a, b, false) && headersIn(a.Headers, b.Headers) && headersIn(b.Headers, a.Headers)
}

// telEqual compares numbers without their visual separators (RFC 3966 §4).
func telEqual(a, b []byte) bool {
	i, j := 0, 0
	for {
		i, j = skipVisual(a, i), skipVisual(b, j)
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lower(a[i]) != lower(b[j]) {
			return false
		}
		i, j = i+1, j+1
	}
}

func skipVisual(b []byte, i int) int {
	for i < len(b) && (b[i] == '-' || b[i] == '.' || b[i] == '(' || b[i] == ')') {
		i++
	}
	return i
}

// paramsEqual compares the parameters of two URIs; all of them count when
// strict (tel), else those of both and the five that always do.
func paramsEqual(a, b *URI, strict bool) bool {
	return paramsIn(a, b, strict) && paramsIn(b, a, strict)
}

func paramsIn(a, b *URI, strict bool) bool {
	equal := true
	EachParam(a.Params, func(name, value []byte) bool {
		other, ok := findEscaped(b.Params, name)
		if ok {
			equal = equalEscaped(value, other, true)
		} else {
			equal = !strict && !paramCounts(name)
		}
		return equal
	})
	return equal
}

func paramCounts(name []byte) bool {
	for _, n := range [...]string{"user", "ttl", "method", "maddr", "transport"} {
		if equalEscaped(name, []byte(n), true) {
			return true
		}
	}
	return false
}

func findEscaped(params, name []byte) (found []byte, ok bool) {
	EachParam(params, func(n, v []byte) bool {
		if equalEscaped(n, name, true) {
			found, ok = v, true
		}
		return !ok
	})
	return found, ok
}

// headersIn tells whether each header of a URI stands in the other too.
func headersIn(a, b []byte) bool {
	for len(a) > 0 {
		var h []byte
		h, a = cutByte(a, '&')
		if !headerIn(h, b) {
			return false
		}
	}
	return true
}

func headerIn(h, list []byte) bool {
	name, value := cutByte(h, '=')
	for len(list) > 0 {
		var o []byte
		o, list = cutByte(list, '&')
		n, v := cutByte(o, '=')
		if equalEscaped(name, n, true) && equalEscaped(value, v, false) {
			return true
		}
	}
	return false
}

func cutByte(b []byte, sep byte) (before, after []byte) {
	for i, c := range b {
		if c == sep {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// AppendUnescaped appends a URI part with its %HH resolved.
func AppendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		var c byte
		c, _, i = escaped(b, i)
		dst = append(dst, c)
	}
	return dst
}
