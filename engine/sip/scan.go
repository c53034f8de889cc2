package sip

import "bytes"

// Byte classes of RFC 3261 §25.1, kept in one table so that a scan costs one
// load per byte.
const (
	clToken uint8 = 1 << iota // token
	clLWS                     // SP, HTAB, and the CR LF of a fold
	clHost                    // letters, digits, "-", "." and the "_" seen in the wild
	clHex
	clURI      // bytes that may stand in a Request-URI; bytes over 0x7F are let through
	clEnclose  // what begins or ends a quoted string or a URI in <>
	clParamEnd // what ends a word of a parameter: ";", ",", white space, clEnclose
)

var byteClass = makeByteClass()

func makeByteClass() (t [256]uint8) {
	for c := 0; c < 256; c++ {
		b := byte(c)
		alnum := b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		if alnum || bytes.IndexByte([]byte("-.!%*_+`'~"), b) >= 0 {
			t[c] |= clToken
		}
		if b == ' ' || b == '\t' || b == '\r' || b == '\n' {
			t[c] |= clLWS
		}
		if alnum || b == '-' || b == '.' || b == '_' {
			t[c] |= clHost
		}
		if b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' {
			t[c] |= clHex
		}
		if b > ' ' && b != 0x7F && b != '<' && b != '>' && b != '"' {
			t[c] |= clURI
		}
		if b == '"' || b == '<' || b == '>' {
			t[c] |= clEnclose
		}
		if b == ';' || b == ',' || t[c]&(clLWS|clEnclose) != 0 {
			t[c] |= clParamEnd
		}
	}
	return t
}

func is(c byte, class uint8) bool { return byteClass[c]&class != 0 }

// skipLWS returns the index of the first byte at or behind i that is no
// linear white space.
func skipLWS(b []byte, i int) int {
	for i < len(b) && is(b[i], clLWS) {
		i++
	}
	return i
}

// span returns the index of the first byte at or behind i outside class.
func span(b []byte, i int, class uint8) int {
	for i < len(b) && is(b[i], class) {
		i++
	}
	return i
}

// spanTo returns the index of the first byte at or behind i that is of class.
func spanTo(b []byte, i int, class uint8) int {
	for i < len(b) && !is(b[i], class) {
		i++
	}
	return i
}

// allOf tells whether b is not empty and all its bytes are of class.
func allOf(b []byte, class uint8) bool { return len(b) > 0 && span(b, 0, class) == len(b) }

// trimLWS cuts linear white space from both ends.
func trimLWS(b []byte) []byte {
	i := skipLWS(b, 0)
	n := len(b)
	for n > i && is(b[n-1], clLWS) {
		n--
	}
	return b[i:n]
}

// IsToken tells whether b is a token of RFC 3261 §25.1.
func IsToken(b []byte) bool { return allOf(b, clToken) }

// lower folds an ASCII letter to lower case.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// EqualFold compares two byte strings by the ASCII rule of RFC 3261 §7.3.1:
// letters without case, all else exactly.
func EqualFold[A, B ~[]byte | ~string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// quotedEnd returns the index behind the closing quote of the quoted string
// that opens at b[i], or -1 when it never closes.
func quotedEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// parseUint reads b as decimal digits and nothing else. It tells whether b
// was that and not over max.
func parseUint(b []byte, max uint64) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
		if n > max {
			return 0, false
		}
	}
	return n, true
}

// Unquote appends b to dst without its surrounding quotes and with its
// quoted pairs resolved. Bytes that are not quoted are appended as they are.
func Unquote(dst, b []byte) []byte {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return append(dst, b...)
	}
	b = b[1 : len(b)-1]
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		dst = append(dst, b[i])
	}
	return dst
}

// AppendQuoted appends s as a quoted string (RFC 3261 §25.1), quotes and
// backslashes escaped, CR, LF and NUL left out.
func AppendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		switch c {
		case '\r', '\n', 0:
			continue
		case '"', '\\':
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
