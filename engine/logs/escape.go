package logs

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// plain reports whether s is printable ASCII, which needs no look at its runes.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// visible reports whether r shows as itself and moves nothing: no control
// character of C0 or C1 (an ESC, a CSI), no line or paragraph separator, no
// mark that reverses the text around it.
func visible(r rune) bool {
	return r >= 0x20 && (r < 0x7f || r >= 0xa0) && !unicode.Is(unicode.Bidi_Control, r) &&
		r != '\u2028' && r != '\u2029' && r != '\ufeff' && !(r >= 0xe0000 && r <= 0xe007f)
}

// appendEscaped adds s as it stands inside a JSON string: what is not visible
// as an escape, what is not UTF-8 as U+FFFD. quotes also escapes the quotation
// mark and the backslash.
func appendEscaped(dst []byte, s string, quotes bool) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			if quotes && (c == '"' || c == '\\') {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if visible(r) {
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = appendRuneEscape(dst, r)
	}
	return dst
}

func appendRuneEscape(dst []byte, r rune) []byte {
	switch r {
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r > 0xffff { // as JSON writes it, in two halves
		r -= 0x10000
		dst = appendHex(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return appendHex(dst, r)
}

func appendHex(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// cut is s within limit bytes, at a rune's end, and how many bytes were left
// out.
func cut(s string, limit int) (head string, left int) {
	if len(s) <= limit {
		return s, 0
	}
	n := max(limit, 0)
	for i := 0; i < utf8.UTFMax-1 && n > 0 && !utf8.RuneStart(s[n]); i++ {
		n--
	}
	return s[:n], len(s) - n
}

// appendCut adds the note on what cut left out.
func appendCut(dst []byte, left int) []byte {
	dst = append(dst, "...["...)
	dst = strconv.AppendInt(dst, int64(left), 10)
	return append(dst, " bytes cut]"...)
}
