package core

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// parts are a SIP URI taken apart for editing.
type parts struct {
	scheme, user, password, host string
	hasUser, hasPassword         bool
	port                         string // "" when none
	tail                         string // parameters and headers with what separates them
	tel                          bool
}

// takeApart reads a sip, sips or tel URI.
func takeApart(raw []byte) (parts, error) {
	var u sip.URI
	if err := sip.ParseURI(raw, &u); err != nil {
		return parts{}, err
	}
	if !u.IsSIP() && u.Scheme != sip.SchemeTEL {
		return parts{}, fmt.Errorf("the URI is a %s one; only sip, sips and tel URIs have parts to edit", u.SchemeName)
	}
	p := parts{scheme: string(u.SchemeName), user: string(u.User), password: string(u.Password), host: string(u.Host),
		hasUser: u.User != nil, hasPassword: u.Password != nil, tel: u.Scheme == sip.SchemeTEL}
	if u.HasPort {
		p.port = strconv.Itoa(int(u.Port))
	}
	if u.Params != nil {
		p.tail = ";" + string(u.Params)
	}
	if u.Headers != nil {
		p.tail += "?" + string(u.Headers)
	}
	return p, nil
}

// String puts the URI together again.
func (p *parts) String() string {
	var b strings.Builder
	b.WriteString(p.scheme + ":")
	if p.hasUser && p.user != "" {
		b.WriteString(p.user)
		if p.hasPassword {
			b.WriteString(":" + p.password)
		}
		if !p.tel {
			b.WriteByte('@')
		}
	}
	b.WriteString(p.host)
	if p.port != "" {
		b.WriteString(":" + p.port)
	}
	b.WriteString(p.tail)
	return b.String()
}

var (
	errTel      = errors.New("a tel URI has no host, port or password")
	errNoUser   = errors.New("a tel URI cannot be without its number")
	errPassword = errors.New("a URI without user cannot have a password")
)

// setUser replaces the user; "" removes it and its password.
func (p *parts) setUser(user string) error {
	if user == "" && p.tel {
		return errNoUser
	}
	clean, err := escapePart(user, userChars)
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	p.user, p.hasUser = clean, clean != ""
	if clean == "" {
		p.password, p.hasPassword = "", false
	}
	return nil
}

// setPassword replaces the password; "" removes it.
func (p *parts) setPassword(pass string) error {
	switch {
	case p.tel:
		return errTel
	case !p.hasUser && pass != "":
		return errPassword
	}
	clean, err := escapePart(pass, passwordChars)
	if err != nil {
		return fmt.Errorf("password: %w", err)
	}
	p.password, p.hasPassword = clean, clean != ""
	return nil
}

// setHost replaces the host, an IPv6 address with or without brackets.
func (p *parts) setHost(host string) error {
	if p.tel {
		return errTel
	}
	h, err := checkHost(host)
	p.host = h
	return err
}

// setPort replaces the port; 0 removes it.
func (p *parts) setPort(port int) error {
	switch {
	case p.tel:
		return errTel
	case port < 0 || port > 65535:
		return fmt.Errorf("port %d must be 1 to 65535, or 0 for none", port)
	case port == 0:
		p.port = ""
	default:
		p.port = strconv.Itoa(port)
	}
	return nil
}

// setHostPort replaces host and port by "host" or "host:port".
func (p *parts) setHostPort(hostport string) error {
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return err
	}
	if err := p.setHost(host); err != nil {
		return err
	}
	return p.setPort(port)
}

// splitHostPort reads "host", "host:port", "[v6]" or "[v6]:port"; port is 0
// when there is none.
func splitHostPort(s string) (host string, port int, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") || strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return s, 0, nil
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: port must be 1 to 65535", s)
	}
	return s[:i], int(n), nil
}

// checkHost gives a host as a URI carries it: a name, an IPv4 address, or an
// IPv6 one, which gets its brackets.
func checkHost(host string) (string, error) {
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() && a.Zone() == "" {
		return "[" + host + "]", nil
	}
	var u sip.URI
	if host == "" || sip.ParseURI([]byte("sip:"+host), &u) != nil || string(u.Host) != host {
		return "", fmt.Errorf("%q is not a host: a name, an IPv4 address or an IPv6 address is needed", host)
	}
	return host, nil
}

// What stands plain in a user and in a password beside letters and digits
// (RFC 3261 §25.1).
const (
	userChars     = "-_.!~*'()&=+$,;?/"
	passwordChars = "-_.!~*'()&=+$,"
)

var errPartBytes = errors.New("holds white space or control bytes, which would break the request line")

// escapePart writes what may not stand plain as %HH and keeps the escapes that
// are there. White space and control bytes are refused.
func escapePart(s, allowed string) (string, error) {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c <= ' ' || c == 0x7F:
			return "", errPartBytes
		case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte(allowed, c) >= 0:
			b = append(b, c)
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b), nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// checkURI refuses what cannot be a Request-URI.
func checkURI(uri string) error {
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return fmt.Errorf("%q: %w", uri, err)
	}
	return nil
}

// checkSIP refuses what is not a sip or sips URI, as a next hop must be.
func checkSIP(uri string) error {
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return fmt.Errorf("%q: %w", uri, err)
	}
	if !u.IsSIP() {
		return fmt.Errorf("%q is not a sip or sips URI, which a destination must be", uri)
	}
	return nil
}

var errNoRequest = errors.New("there is no request to write to")

// setRequestURI writes a checked URI.
func setRequestURI(c *api.Ctx, uri string) error {
	if !hasRequest(c) {
		return errNoRequest
	}
	if err := checkURI(uri); err != nil {
		return err
	}
	return c.Msg.SetRequestURI([]byte(uri))
}

// editRequestURI takes the Request-URI apart, has edit change it and writes it.
func editRequestURI(c *api.Ctx, edit func(*parts) error) error {
	if !hasRequest(c) {
		return errNoRequest
	}
	p, err := takeApart(c.Msg.RequestURI())
	if err != nil {
		return err
	}
	if err := edit(&p); err != nil {
		return err
	}
	return setRequestURI(c, p.String())
}

// editDestination does so with the destination URI.
func editDestination(c *api.Ctx, edit func(*parts) error) error {
	if !hasRequest(c) {
		return errNoRequest
	}
	if c.Target.Duri == "" {
		return errors.New("no destination URI is set; set msg.du first")
	}
	p, err := takeApart([]byte(c.Target.Duri))
	if err != nil {
		return err
	}
	if err := edit(&p); err != nil {
		return err
	}
	c.Target.Duri = p.String()
	return nil
}

// defaultPort is the port that a URI means, written or not (RFC 3261 §19.1.2).
func defaultPort(u *sip.URI) int {
	if u.HasPort && u.Port != 0 {
		return int(u.Port)
	}
	return int(uriProto(u).DefaultPort())
}

// uriProto is the transport that a URI names or means: UDP, for sips TLS.
func uriProto(u *sip.URI) api.Proto {
	proto, ok := api.ParseProtoBytes(u.Transport())
	switch {
	case ok && u.Scheme == sip.SchemeSIPS && proto == api.ProtoTCP:
		return api.ProtoTLS
	case ok && u.Scheme == sip.SchemeSIPS && proto == api.ProtoWS:
		return api.ProtoWSS
	case ok:
		return proto
	case u.Scheme == sip.SchemeSIPS:
		return api.ProtoTLS
	}
	return api.ProtoUDP
}

// transportOf is $rP: the transport parameter as written, else what the scheme
// means.
func transportOf(u *sip.URI) modules.Value {
	if t := u.Transport(); len(t) > 0 {
		return modules.Bytes(t)
	}
	return modules.String(uriProto(u).String())
}

// portArg reads a port that may be written as a string; nil is 0.
func portArg(v modules.Value) (int, error) {
	if v.IsNil() {
		return 0, nil
	}
	n, err := strconv.Atoi(v.Text())
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number", v.Text())
	}
	return n, nil
}
