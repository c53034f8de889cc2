package rr

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// hop is one value of the Route headers. Its slices are the message's, which
// edits leave as they are.
type hop struct {
	pos   sip.Pos
	value []byte // as it stands in the list
	uri   []byte
	u     sip.URI // over uri
}

// fewHops is how many hops a usual request has at most.
const fewHops = 4

// looseRoute is loose_route.
func (m *config) looseRoute(c *api.Ctx) modules.Ret {
	stripMaddr(c)
	var room [fewHops]hop
	hops, err := routes(c.Msg, room[:0])
	switch {
	case err != nil:
		return modules.No(-1, "bad_route", "Route: "+err.Error())
	case len(hops) == 0:
		return modules.No(-1, "no_route", "there is no Route header")
	}
	to, err := c.Msg.To()
	if err != nil {
		return modules.No(-1, "bad_route", "To: "+err.Error())
	}
	r := routing{config: m, c: c, hops: hops, st: stateOf(c.State)}
	if len(to.Tag) == 0 {
		return r.afterLoose(true)
	}
	var u sip.URI
	if err := sip.ParseURI(c.Msg.RequestURI(), &u); err != nil {
		return modules.No(-1, "bad_route", "request URI: "+err.Error())
	}
	// A strict router put our Record-Route where the request URI was
	// (RFC 3261 §16.4). Ours always say lr; a GRUU is a target, never a route.
	if _, gruu := u.Param("gr"); !gruu && u.LR() && m.mine(c, &u) {
		return r.afterStrict(&u)
	}
	return r.afterLoose(false)
}

// routes appends the values of all Route headers to hops.
func routes(d *sip.Draft, hops []hop) ([]hop, error) {
	var at sip.Cursor
	for {
		pos, h, ok := d.Next(&at, sip.HdrRoute)
		if !ok {
			return hops, nil
		}
		for list := h.Value; list != nil; {
			var n sip.NameAddr
			rest, err := sip.ParseNameAddr(list, &n)
			if err != nil {
				return nil, err
			}
			hops = append(hops, hop{pos: pos, value: n.Line, uri: n.Addr, u: n.URI})
			list = rest
		}
	}
}

// routing is one run of loose_route.
type routing struct {
	*config
	c    *api.Ctx
	st   *state
	hops []hop
}

// afterLoose handles a request whose last hop left the request URI alone
// (RFC 3261 §16.4, §16.6 step 6). Without To tag the routes were preloaded.
func (r *routing) afterLoose(preloaded bool) modules.Ret {
	first := &r.hops[0]
	if r.ignored(&first.u) {
		return modules.No(-1, "no_route", "the Route on top has the user that ignore_user names")
	}
	taken := 0
	if r.mine(r.c, &first.u) {
		taken = 1 + r.second(&first.u, 1, preloaded)
		r.st.routed, r.st.params = true, string(first.u.Params)
	}
	if taken == len(r.hops) {
		r.remove(taken)
		if preloaded {
			return modules.No(-1, "no_route", "only our own Route was preloaded")
		}
		return modules.Yes()
	}
	next := &r.hops[taken]
	if next.u.LR() || !next.u.IsSIP() {
		r.remove(taken)
		r.c.Target.Duri = string(next.uri)
		return modules.Yes()
	}
	return r.toStrict(next, taken)
}

// toStrict hands the request to a strict router: it finds itself in the
// request URI, and the target behind the last Route (RFC 3261 §16.6 step 6). As
// the destination, too, it tells the engine that this has been done.
func (r *routing) toStrict(next *hop, taken int) modules.Ret {
	target := "<" + string(r.c.Msg.RequestURI()) + ">"
	r.remove(taken + 1)
	r.c.Target.Duri = string(next.uri)
	err := appendRoute(r.c.Msg, target)
	if err == nil {
		err = r.c.Msg.SetRequestURI(next.uri)
	}
	if err != nil {
		return modules.No(-1, "bad_route", err.Error())
	}
	return modules.Yes()
}

// unfold is a header value on one line (RFC 3261 §7.3.1).
func unfold(b []byte) string {
	line := bytes.Clone(bytes.TrimSpace(b))
	for i, c := range line {
		if c == '\r' || c == '\n' {
			line[i] = ' '
		}
	}
	return string(line)
}

// appendRoute puts a value behind the last Route.
func appendRoute(d *sip.Draft, value string) error {
	var last sip.Pos
	var before string
	var at sip.Cursor
	for pos, h, ok := d.Next(&at, sip.HdrRoute); ok; pos, h, ok = d.Next(&at, sip.HdrRoute) {
		last, before = pos, unfold(h.Value)
	}
	if before == "" {
		return d.Prepend(sip.HdrRoute, []byte(value))
	}
	return d.SetAt(last, []byte(before+", "+value))
}

// afterStrict handles a request whose last hop is a strict router: our URI is
// in place of the request URI, which stands in the last Route (RFC 3261 §16.4).
func (r *routing) afterStrict(ruri *sip.URI) modules.Ret {
	taken := r.second(ruri, 0, false)
	if taken == len(r.hops) {
		return modules.No(-1, "no_target", "a strict router sent the request, but no Route holds its target")
	}
	r.st.routed, r.st.params = true, string(ruri.Params)
	next, last := &r.hops[taken], &r.hops[len(r.hops)-1]
	target := last
	if next.u.LR() {
		r.c.Target.Duri = string(next.uri)
		r.removeLast()
		r.hops = r.hops[:len(r.hops)-1]
		r.remove(taken)
	} else {
		// Strict on both sides: its own URI goes where ours was, and the
		// target stays the last Route.
		target = next
		if next != last {
			r.c.Target.Duri = string(next.uri)
		}
		r.remove(taken + 1)
	}
	if err := r.c.Msg.SetRequestURI(target.uri); err != nil {
		return modules.No(-1, "bad_route", err.Error())
	}
	return modules.Yes()
}

// second takes the second of two Record-Routes of ours: first was the one of
// the side the request came from, hops[at] is that of the other side, whose
// socket it leaves by. It returns how many hops that takes, 0 or 1.
func (r *routing) second(first *sip.URI, at int, preloaded bool) int {
	r2, _ := first.Param("r2")
	if !r.double || string(r2) != "on" || at >= len(r.hops) || !r.mine(r.c, &r.hops[at].u) {
		if !preloaded && r.c.Target.Socket == nil {
			r.c.Target.Socket = r.c.Source.Socket
		}
		return 0
	}
	u := &r.hops[at].u
	if s := socketOf(r.c.Host.Sockets(), u); s != nil {
		r.c.Target.Socket = s
	} else if r.warnSocket {
		r.c.Host.Log(r.c, api.LevelWarn, "no socket of ours is named by the second Route",
			api.Field{Key: "route", Value: string(r.hops[at].uri)})
	}
	return 1
}

// remove takes the first n values off the Route headers.
func (r *routing) remove(n int) {
	r.removeRange(0, n)
}

// removeLast takes the last value off.
func (r *routing) removeLast() {
	r.removeRange(len(r.hops)-1, len(r.hops))
}

// removeRange takes the values from..to-1 off: whole lines where nothing is
// left of them.
func (r *routing) removeRange(from, to int) {
	for i := from; i < to; {
		pos := r.hops[i].pos
		var left []string
		for j, h := range r.hops {
			if h.pos == pos && (j < from || j >= to) {
				left = append(left, unfold(h.value))
			}
		}
		for i < to && r.hops[i].pos == pos {
			i++
		}
		if len(left) == 0 {
			r.c.Msg.RemoveAt(pos)
			continue
		}
		// The bytes stood in this header before: they are not refused.
		_ = r.c.Msg.SetAt(pos, []byte(strings.Join(left, ", ")))
	}
}

// mine tells whether a URI names this proxy (RFC 3261 §16.4).
func (m *config) mine(c *api.Ctx, u *sip.URI) bool {
	if !u.IsSIP() || m.ignored(u) {
		return false
	}
	host := u.Host
	if maddr := u.Maddr(); len(maddr) > 0 {
		host = maddr
	}
	proto, port, ok := transport(u)
	return ok && c.Host.IsMyself(string(host), port, proto)
}

func (m *config) ignored(u *sip.URI) bool {
	return m.ignoreUser != "" && string(u.User) == m.ignoreUser
}

// transport is the protocol and port that a URI names, explicitly or by
// default (RFC 3261 §19.1.2); ok is false for a protocol that is not known.
func transport(u *sip.URI) (p api.Proto, port uint16, ok bool) {
	p = api.ProtoUDP
	if u.Scheme == sip.SchemeSIPS {
		p = api.ProtoTLS
	}
	if t := u.Transport(); len(t) > 0 {
		if p, ok = api.ParseProtoBytes(t); !ok {
			return 0, 0, false
		}
		if u.Scheme == sip.SchemeSIPS {
			p = secured(p)
		}
	}
	if u.HasPort {
		return p, u.Port, true
	}
	return p, p.DefaultPort(), true
}

// secured is the protocol that a sips URI means by a transport.
func secured(p api.Proto) api.Proto {
	switch p {
	case api.ProtoTCP, api.ProtoUDP:
		return api.ProtoTLS
	case api.ProtoWS:
		return api.ProtoWSS
	}
	return p
}

// socketOf finds the socket whose address a Record-Route of ours shows.
func socketOf(sockets []*api.Socket, u *sip.URI) *api.Socket {
	p, port, ok := transport(u)
	if !ok {
		return nil
	}
	for _, s := range sockets {
		if s.Proto == p && s.Port == port && strings.EqualFold(s.Host, string(u.Host)) {
			return s
		}
	}
	return nil
}

// stripMaddr takes maddr, port and transport off a request URI whose maddr is
// us, when the request came by that port and protocol (RFC 3261 §16.4).
func stripMaddr(c *api.Ctx) {
	var u sip.URI
	if sip.ParseURI(c.Msg.RequestURI(), &u) != nil || !u.IsSIP() || len(u.Maddr()) == 0 || c.Source.Socket == nil {
		return
	}
	p, port, ok := transport(&u)
	if !ok || p != c.Source.Socket.Proto || port != c.Source.Socket.Port || !c.Host.IsMyself(string(u.Maddr()), port, p) {
		return
	}
	// What is left is part of a URI that parsed: it is not refused.
	_ = c.Msg.SetRequestURI(withoutMaddr(&u))
}

// withoutMaddr writes u without maddr, transport, and a port that is not the
// default.
func withoutMaddr(u *sip.URI) []byte {
	b := append([]byte(nil), u.SchemeName...)
	b = append(b, ':')
	if u.User != nil {
		b = append(b, u.User...)
		if u.Password != nil {
			b = append(append(b, ':'), u.Password...)
		}
		b = append(b, '@')
	}
	b = append(b, u.Host...)
	if u.HasPort && (u.Port == 5060 && u.Scheme == sip.SchemeSIP || u.Port == 5061 && u.Scheme == sip.SchemeSIPS) {
		b = strconv.AppendUint(append(b, ':'), uint64(u.Port), 10)
	}
	sip.EachParam(u.Params, func(name, value []byte) bool {
		if !bytes.EqualFold(name, []byte("maddr")) && !bytes.EqualFold(name, []byte("transport")) {
			b = append(append(b, ';'), name...)
			if value != nil {
				b = append(append(b, '='), value...)
			}
		}
		return true
	})
	if u.Headers != nil {
		b = append(append(b, '?'), u.Headers...)
	}
	return b
}
