package rr

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

var (
	errNoFromTag = errors.New("is_direction needs the parameter append_fromtag, which is off")
	errAlready   = errors.New("the request is record-routed already")
)

// recordRoute is record_route. The header shows the socket the request came
// by; onSend completes it for each branch.
func (m *config) recordRoute(c *api.Ctx, params string) modules.Ret {
	if err := checkParams(params); err != nil {
		return modules.Misuse(err)
	}
	st := stateOf(c.State)
	if !st.claim(c) {
		return modules.No(-1, "already", errAlready.Error())
	}
	user := m.user(c)
	head := headOf(user, c.Source.Socket, c.Source.Socket.SentBy, isSecure(c.Msg))
	st.note(made{head: head, user: user, dynamic: true, below: countHeads(c.Msg, head)})
	if err := c.Msg.Prepend(sip.HdrRecordRoute, []byte(head+";lr"+m.tag(c)+params+st.pending+">")); err != nil {
		return modules.Misuse(err)
	}
	if !st.hooked {
		st.hooked = true
		c.State.AddOnSend(func(s *api.State, d *sip.Draft, in, out *api.Socket) { m.onSend(st, s, d, in, out) })
	}
	return modules.Yes()
}

// note keeps how a Record-Route made here begins; branches of one request
// mostly make the same.
func (st *state) note(n made) {
	for _, o := range st.made {
		if o.head == n.head {
			return
		}
	}
	st.made = append(st.made, n)
}

// claim notes that c's message is record-routed; false when it was before. A
// branch route speaks for its branch alone.
func (st *state) claim(c *api.Ctx) bool {
	if st.all || c.Kind == api.RouteBranch && slices.Contains(st.branches, c.Branch) {
		return false
	}
	if c.Kind == api.RouteBranch {
		st.branches = append(st.branches, c.Branch)
	} else {
		st.all = true
	}
	return true
}

// onSend settles our Record-Route of one branch, now that the outgoing socket
// is known: nothing when it is the one the request came by, else a second
// header above it, for the other side (RFC 3261 §16.6 step 4, RFC 5658 §4), or
// the outgoing socket in place of the incoming where that is switched off. The
// side that the request leaves by shows what set_advertised_address and _port
// say.
func (m *config) onSend(st *state, s *api.State, d *sip.Draft, in, out *api.Socket) {
	if in == nil || out == nil {
		return
	}
	same := sameSocket(in, out)
	if same && s.AdvHost == "" && s.AdvPort == 0 {
		return
	}
	for _, n := range st.made {
		if n.dynamic && countHeads(d, n.head) > n.below {
			m.complete(n, d, out, sentBy(s, out), m.double && !same)
			return
		}
	}
}

// sentBy is the address of a socket as the request shows it.
func sentBy(s *api.State, out *api.Socket) string {
	if s.AdvHost == "" && s.AdvPort == 0 {
		return out.SentBy
	}
	host, port := out.Host, out.Port
	if s.AdvHost != "" {
		host = s.AdvHost
	}
	if s.AdvPort != 0 {
		port = s.AdvPort
	}
	return host + ":" + strconv.Itoa(int(port))
}

// complete is onSend for the header that n tells of: it adds a second one for
// the outgoing side, or changes the one there is to it. The edits are not
// refused: their bytes were in the header that record_route made, or were
// checked.
func (m *config) complete(n made, d *sip.Draft, out *api.Socket, sentBy string, second bool) {
	pos, value, ok := findHead(d, n.head)
	if !ok {
		return
	}
	other := headOf(n.user, out, sentBy, strings.HasPrefix(n.head, "<sips:"))
	tail := string(value[len(n.head):])
	if !second {
		_ = d.SetAt(pos, []byte(other+tail))
		return
	}
	if d.SetAt(pos, []byte(n.head+";r2=on"+tail)) == nil {
		_ = d.Prepend(sip.HdrRecordRoute, []byte(other+";r2=on"+tail))
	}
}

// sameSocket tells whether two sockets are one address for the peer.
func sameSocket(a, b *api.Socket) bool {
	return a == b || a.Proto == b.Proto && a.Host == b.Host && a.Port == b.Port && a.Addr.Addr() == b.Addr.Addr()
}

// headOf is how our Record-Route begins: the URI up to its transport.
func headOf(user string, s *api.Socket, sentBy string, secure bool) string {
	scheme := "<sip:"
	if secure {
		scheme = "<sips:"
	}
	if user != "" {
		user += "@"
	}
	return scheme + user + sentBy + transportParam(s.Proto, secure)
}

// transportParam names the protocol of a socket in a URI. A sips URI says TLS
// by itself (RFC 5630 §3.1.4) and wss as ws (RFC 7118 §5.2).
func transportParam(p api.Proto, secure bool) string {
	switch {
	case p == api.ProtoUDP || secure && p == api.ProtoTLS:
		return ""
	case secure && p == api.ProtoWSS:
		return ";transport=ws"
	}
	return ";transport=" + p.String()
}

// isSecure tells whether our Record-Route must be a sips URI: when the request
// URI or the Record-Route on top is (RFC 3261 §16.6 step 4).
func isSecure(d *sip.Draft) bool {
	if isSips(d.RequestURI()) {
		return true
	}
	var top sip.NameAddr
	if v := d.First(sip.HdrRecordRoute); v != nil {
		if _, err := sip.ParseNameAddr(v, &top); err == nil {
			return top.URI.Scheme == sip.SchemeSIPS
		}
	}
	return false
}

func isSips(uri []byte) bool {
	return len(uri) > 5 && bytes.EqualFold(uri[:5], []byte("sips:"))
}

// tag is the ftag parameter.
func (m *config) tag(c *api.Ctx) string {
	if !m.fromTag {
		return ""
	}
	from, err := c.Msg.From()
	if err != nil || len(from.Tag) == 0 {
		return ""
	}
	return ";ftag=" + string(from.Tag)
}

// user is the user of the request URI as received, or as it is now where that
// had none.
func (m *config) user(c *api.Ctx) string {
	if !m.addUser {
		return ""
	}
	var u sip.URI
	for _, raw := range [...][]byte{c.Msg.Message().RequestURI(), c.Msg.RequestURI()} {
		if sip.ParseURI(raw, &u) == nil && len(u.User) > 0 {
			return m.changeIgnored(string(u.User))
		}
	}
	return ""
}

// changeIgnored keeps the user that ignore_user names out of our headers, or
// they would not be ours when they come back.
func (m *config) changeIgnored(user string) string {
	if m.ignoreUser == "" || user != m.ignoreUser {
		return user
	}
	if user[0] == 'x' {
		return "y" + user[1:]
	}
	return "x" + user[1:]
}

// recordRoutePreset is record_route_preset.
func (m *config) recordRoutePreset(c *api.Ctx, address, inbound string) modules.Ret {
	if inbound != "" && !m.double {
		return modules.Misuse(errors.New("two addresses need the parameter enable_double_rr, which is off"))
	}
	user, tag := m.user(c), m.tag(c)
	if user != "" {
		user += "@"
	}
	st := stateOf(c.State)
	var heads []string
	for _, a := range [...]string{inbound, address} { // the outgoing one ends on top
		if a != "" {
			heads = append(heads, "<sip:"+user+a)
		}
	}
	for _, h := range heads {
		var n sip.NameAddr
		if _, err := sip.ParseNameAddr([]byte(h+tag+";lr>"), &n); err != nil {
			return modules.Misuse(fmt.Errorf("address %q: %w", h[len("<sip:"):], err))
		}
	}
	if !st.claim(c) {
		return modules.No(-1, "already", errAlready.Error())
	}
	for _, h := range heads {
		st.note(made{head: h})
		if err := c.Msg.Prepend(sip.HdrRecordRoute, []byte(h+tag+";lr"+st.pending+">")); err != nil {
			return modules.Misuse(err)
		}
	}
	return modules.Yes()
}

// addParam is add_rr_param.
func (m *config) addParam(c *api.Ctx, param string) modules.Ret {
	if err := AddParam(c, param); err != nil {
		return modules.Misuse(err)
	}
	return modules.Yes()
}

// AddParam adds ";name=value" to our Record-Route headers, to those made later
// when there are none yet. An error says what is wrong with param.
func AddParam(c *api.Ctx, param string) error {
	if param == "" {
		return errors.New(`parameter is empty, ";name=value" is needed`)
	}
	if err := checkParams(param); err != nil {
		return err
	}
	st := stateOf(c.State)
	added := false
	for _, n := range st.made {
		pos, value, ok := findHead(c.Msg, n.head)
		if !ok {
			continue
		}
		grown := append(slices.Clone(value[:len(value)-1]), param...)
		if err := c.Msg.SetAt(pos, append(grown, '>')); err != nil {
			return err
		}
		added = true
	}
	if !added {
		st.pending += param
	}
	return nil
}

// checkParams tells whether p is a run of ";name=value" that keeps a URI whole.
func checkParams(p string) error {
	if p == "" {
		return nil
	}
	var u sip.URI
	if p[0] != ';' || strings.Contains(p, ";;") || strings.ContainsAny(p, "?@,") || sip.ParseURI([]byte("sip:h"+p), &u) != nil {
		return fmt.Errorf(`%q is not ";name=value", or needs escaping`, p)
	}
	return nil
}

// findHead finds the topmost Record-Route that begins with head and is one of
// ours: its line and its value, which ends in ">".
func findHead(d *sip.Draft, head string) (pos sip.Pos, value []byte, ok bool) {
	var at sip.Cursor
	for {
		pos, h, ok := d.Next(&at, sip.HdrRecordRoute)
		if !ok || hasHead(h.Value, head) {
			return pos, h.Value, ok
		}
	}
}

func countHeads(d *sip.Draft, head string) int {
	var at sip.Cursor
	for n := 0; ; {
		_, h, ok := d.Next(&at, sip.HdrRecordRoute)
		if !ok {
			return n
		}
		if hasHead(h.Value, head) {
			n++
		}
	}
}

func hasHead(value []byte, head string) bool {
	return len(value) > len(head) && value[len(head)] == ';' && value[len(value)-1] == '>' &&
		string(value[:len(head)]) == head
}
