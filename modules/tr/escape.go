package tr

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/luasips/luasips/modules"
)

func escapeFunctions() []modules.Function {
	return []modules.Function{
		text("s.encode.hexa", "Each byte as two lower-case hexadecimal digits.", always(func(s string) string {
			return hex.EncodeToString([]byte(s))
		})),
		text("s.decode.hexa", "The bytes that pairs of hexadecimal digits stand for; nil when others are among them.", DecodeHexa),
		text("s.escape.common", "Quotes, backslash and NUL with a backslash before them, as for a database.", always(EscapeCommon)),
		text("s.unescape.common", "The reverse of s.escape.common.", always(UnescapeCommon)),
		text("s.escape.user", "What may not stand in the user of a SIP URI as %hh; nil when bytes outside printable ASCII are in it.", EscapeUser),
		text("s.unescape.user", "%hh as the characters meant; nil when an escape is broken or means a character that is not printable ASCII.", UnescapeURI),
		text("s.escape.param", "What may not stand in a SIP URI parameter as %hh; nil when bytes outside printable ASCII are in it.", EscapeParam),
		text("s.unescape.param", "%hh as the characters meant; nil when an escape is broken or means a character that is not printable ASCII.", UnescapeURI),
		text("s.b64encode", "Base64 (RFC 4648 §4), with padding.", always(func(s string) string {
			return base64.StdEncoding.EncodeToString([]byte(s))
		})),
		text("s.b64decode", "The bytes that Base64 stands for, up to the first character that is none.", always(DecodeBase64)),
		define("s.xor", modules.KindString, "Each byte XORed with a byte of the secret, which is repeated; nil for an empty secret.",
			func(s string, p *params) modules.Value { return stringIf(Xor(s, p.str(0))) }, strArg("secret", "the secret")),
	}
}

// DecodeHexa is {s.decode.hexa}; an odd digit at the end is left out.
func DecodeHexa(s string) (string, bool) {
	b, err := hex.DecodeString(s[:len(s)&^1])
	return string(b), err == nil
}

// EscapeCommon is {s.escape.common}.
func EscapeCommon(s string) string {
	return strings.NewReplacer(`'`, `\'`, `"`, `\"`, `\`, `\\`, "\x00", `\0`).Replace(s)
}

// UnescapeCommon is {s.unescape.common}.
func UnescapeCommon(s string) string {
	return strings.NewReplacer(`\'`, `'`, `\"`, `"`, `\\`, `\`, `\0`, "\x00").Replace(s)
}

// unreserved of RFC 3261 §25.1 beside letters and digits, then what each part
// of a URI allows beyond.
const (
	marks         = "-_.!~*'()"
	userReserved  = marks + "&=+$,;?/"
	paramReserved = marks + "[]/:&+$"
)

// EscapeUser is {s.escape.user} (user of RFC 3261 §25.1). ok is false when s
// holds bytes that OpenSIPS refuses: control characters and non-ASCII.
func EscapeUser(s string) (out string, ok bool) { return escapeURI(s, userReserved) }

// EscapeParam is {s.escape.param} (paramchar of RFC 3261 §25.1).
func EscapeParam(s string) (out string, ok bool) { return escapeURI(s, paramReserved) }

func escapeURI(s, allowed string) (string, bool) {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < ' ' || c > '~':
			return "", false
		case isAlnum(c) || strings.IndexByte(allowed, c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b), true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// UnescapeURI is {s.unescape.user} and {s.unescape.param}.
func UnescapeURI(s string) (out string, ok bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil || c[0] < ' ' || c[0] > '~' {
			return "", false
		}
		b = append(b, c[0])
		i += 2
	}
	return string(b), true
}

// DecodeBase64 is {s.b64decode}: as many characters as can be.
func DecodeBase64(s string) string {
	n := 0
	for n < len(s) && (isAlnum(s[n]) || s[n] == '+' || s[n] == '/') {
		n++
	}
	if n%4 == 1 {
		n--
	}
	b := make([]byte, base64.RawStdEncoding.DecodedLen(n))
	got, _ := base64.RawStdEncoding.Decode(b, []byte(s[:n]))
	return string(b[:got])
}

// Xor is {s.xor,secret}.
func Xor(s, secret string) (string, bool) {
	if secret == "" {
		return "", false
	}
	b := []byte(s)
	for i := range b {
		b[i] ^= secret[i%len(secret)]
	}
	return string(b), true
}
