package sip

import (
	"bytes"
	"iter"
)

// param is one ";name=value" of a header field or URI.
type param struct {
	name, value []byte
	hasValue    bool
}

// nextParam reads one parameter at b[i], behind its semicolon. It returns the
// index behind it and any white space, where a well-formed list has ";", ","
// or its end; -1 when the name is empty, a quoted string or a URI in <> never
// closes, or a quote, "<" or ">" stands within a word, of which one parser would
// make a string and another not.
func nextParam(b []byte, i int, p *param) int {
	i = skipLWS(b, i)
	start := i
	for i < len(b) && b[i] != '=' && !is(b[i], clParamEnd) {
		i++
	}
	*p = param{name: b[start:i]}
	if i == start || i < len(b) && is(b[i], clEnclose) {
		return -1
	}
	i = skipLWS(b, i)
	if i == len(b) || b[i] != '=' {
		return i
	}
	p.hasValue = true
	i = skipLWS(b, i+1)
	start = i
	if i < len(b) && is(b[i], clEnclose) {
		if i = enclosedEnd(b, i); i < 0 {
			return -1
		}
		p.value = b[start:i]
		return skipLWS(b, i)
	}
	i = spanTo(b, i, clParamEnd)
	if i < len(b) && is(b[i], clEnclose) {
		return -1
	}
	p.value = b[start:i]
	return skipLWS(b, i)
}

// enclosedEnd returns the index behind the quoted string or the URI in <> that
// begins at b[i], -1 when it never closes or does not begin one.
func enclosedEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return quotedEnd(b, i)
	case '<':
		if n := bytes.IndexByte(b[i:], '>'); n > 0 {
			return i + n + 1
		}
	}
	return -1
}

// EachParam calls f for each parameter of a list as NameAddr.Params, Via.Params
// or URI.Params hold it, until f returns false. Values come as written, with
// their quotes; value is nil when there is no "=". Empty members are passed over,
// what cannot be read ends the walk.
func EachParam(params []byte, f func(name, value []byte) bool) {
	var p param
	for i := 0; i < len(params); {
		if params[i] == ';' || is(params[i], clLWS) {
			i++
			continue
		}
		if i = nextParam(params, i, &p); i < 0 {
			return
		}
		if p.hasValue && p.value == nil {
			p.value = params[i:i]
		}
		if !f(p.name, p.value) || i < len(params) && params[i] != ';' {
			return
		}
	}
}

// Param finds a parameter by name, in any case, in a list as EachParam takes.
func Param(params []byte, name string) (value []byte, ok bool) {
	var p param
	for i := 0; i < len(params); {
		if params[i] == ';' || is(params[i], clLWS) {
			i++
			continue
		}
		if i = nextParam(params, i, &p); i < 0 {
			return nil, false
		}
		if EqualFold(p.name, name) {
			return p.value, true
		}
		if i < len(params) && params[i] != ';' {
			return nil, false
		}
	}
	return nil, false
}

// listEnd returns the index of the comma that ends the list value at b[i], or
// len(b). Commas in quoted strings and between < and > do not count.
func listEnd(b []byte, i int) int {
	angle := false
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			if angle {
				continue
			}
			end := quotedEnd(b, i)
			if end < 0 {
				return len(b)
			}
			i = end - 1
		case '<':
			angle = true
		case '>':
			angle = false
		case ',':
			if !angle {
				return i
			}
		}
	}
	return len(b)
}

// SplitList walks the comma-separated values of a header value, white space
// trimmed, empty ones passed over (RFC 3261 §7.3.1). Commas in quoted strings
// and in <> do not separate.
func SplitList(v []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i <= len(v); {
			end := listEnd(v, i)
			if item := trimLWS(v[i:end]); len(item) > 0 && !yield(item) {
				return
			}
			i = end + 1
		}
	}
}
