package txn

import (
	"net/netip"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// question turns a URI into what the resolver starts from (RFC 3263 §4). Where
// the host is numeric the answer is there at once: hop, numeric. With sips the
// URI is read as one: the request's own URI is, wherever its next hop comes from
// (RFC 3261 §16.6 item 7).
func (l *Layer) question(uri []byte, to *api.Target, sips bool) (q api.Query, hop api.Hop, numeric bool) {
	var u sip.URI
	if sip.ParseURI(uri, &u) != nil {
		return q, hop, false
	}
	host := u.Host
	if m := u.Maddr(); len(m) > 0 {
		host = m
	}
	q.Port, q.Sips = u.Port, sips || u.Scheme == sip.SchemeSIPS
	q.Transport = transportOf(&u)
	if q.Sips && q.Transport != protoUnknown {
		q.Transport = secured(q.Transport)
	} else if q.Transport == api.ProtoAny && to.Socket != nil {
		q.Transport = to.Socket.Proto
	}
	if a, err := sip.ParseAddr(host); err == nil {
		return q, numericHop(&q, a), true
	}
	q.Host = string(host)
	l.reach(&q)
	return q, hop, false
}

// protoUnknown is the transport of a URI that names one we have never heard of.
// No socket speaks it, so that such a URI leads nowhere.
const protoUnknown = api.Proto(0xff)

// transportOf is the transport that a URI names, which must be used
// (RFC 3263 §4.1); ProtoAny when it names none.
func transportOf(u *sip.URI) api.Proto {
	name := u.Transport()
	if p, ok := api.ParseProtoBytes(name); ok || name == nil {
		return p
	}
	return protoUnknown
}

// secured is the transport a sips URI means: TLS, or WSS where it says ws
// (RFC 3261 §26.2.2).
func secured(p api.Proto) api.Proto {
	switch p {
	case api.ProtoWS, api.ProtoWSS:
		return api.ProtoWSS
	case api.ProtoAny, api.ProtoUDP:
		return api.ProtoTLS
	}
	return api.ProtoTLS
}

// numericHop needs no query: RFC 3263 §4.1 and §4.2.
func numericHop(q *api.Query, a netip.Addr) api.Hop {
	p := q.Transport
	if p == api.ProtoAny {
		p = api.ProtoUDP
	}
	port := q.Port
	if port == 0 {
		port = p.DefaultPort()
	}
	return api.Hop{Proto: p, Addr: netip.AddrPortFrom(a, port)}
}

// reach fills in what our sockets can reach.
func (l *Layer) reach(q *api.Query) {
	for _, s := range l.host.Sockets() {
		if q.Sips && !s.Proto.Secure() {
			continue
		}
		q.Protos |= 1 << s.Proto
		if s.Addr.Addr().Is4() {
			q.V4 = true
		} else {
			q.V6 = true
		}
	}
}

// lookup is one name that is not in the cache.
type lookup struct {
	b    *branch
	q    api.Query
	hops []api.Hop
	err  error
}

// resolveAll gives every branch its hops. Names that are not in the cache are
// asked for together, with the token given away.
func (t *transaction) resolveAll(c *api.Ctx, set []*branch) api.Outcome {
	var missing []lookup
	for _, b := range set {
		if b.decided {
			continue
		}
		q, hop, numeric := t.l.question(b.nextURI(), &b.to, b.sips)
		if numeric {
			b.aim(hop)
			continue
		}
		hops, ok, err := t.l.host.Resolver().Cached(q)
		if !ok {
			missing = append(missing, lookup{b: b, q: q})
			continue
		}
		if err != nil {
			b.tx.l.logUnresolved(c, &q, err)
		}
		b.hops = hops
	}
	if len(missing) > 0 {
		t.l.parkToResolve(c, missing)
		for i := range missing {
			m := &missing[i]
			if m.err != nil {
				t.l.logUnresolved(c, &m.q, m.err)
			}
			m.b.hops = m.hops
		}
	}
	return t.anyResolved(set)
}

func (t *transaction) anyResolved(set []*branch) api.Outcome {
	for _, b := range set {
		if !b.decided && (len(b.hops) > 0 || b.dest.Addr.IsValid()) {
			return outcomeRelayed
		}
	}
	return outcomeUnresolved
}

func (l *Layer) logUnresolved(c *api.Ctx, q *api.Query, err error) {
	l.host.Log(c, api.LevelInfo, "name not resolved", api.Field{Key: "host", Value: q.Host}, api.Field{Key: "error", Value: err})
}

// parkToResolve asks for all names at once and waits without the token.
func (l *Layer) parkToResolve(c *api.Ctx, missing []lookup) {
	r := l.host.Resolver()
	l.host.Park(c, func() {
		if len(missing) == 1 {
			missing[0].hops, missing[0].err = r.Resolve(missing[0].q)
			return
		}
		done := make(chan struct{}, len(missing))
		for i := range missing {
			m := &missing[i]
			r.ResolveAsync(m.q, func(hops []api.Hop, err error) {
				m.hops, m.err = hops, err
				done <- struct{}{}
			})
		}
		for range missing {
			<-done
		}
	})
}

// stripOwnMaddr is RFC 3261 §16.4: a maddr of the Request-URI that names us goes,
// with the port and transport it came by.
func (l *Layer) stripOwnMaddr(c *api.Ctx) {
	u, err := c.Msg.RURI()
	if err != nil || !u.IsSIP() || u.Params == nil {
		return
	}
	maddr := u.Maddr()
	if len(maddr) == 0 {
		return
	}
	s := c.Source.Socket
	p, _ := api.ParseProtoBytes(u.Transport())
	port := u.Port
	if port == 0 {
		port = s.Proto.DefaultPort()
	}
	if p != api.ProtoAny && p != s.Proto || port != s.Addr.Port() && port != s.Port || !l.host.IsMyself(string(maddr), 0, api.ProtoAny) {
		return
	}
	out := append([]byte(nil), u.SchemeName...)
	out = append(out, ':')
	if u.User != nil {
		out = append(out, u.User...)
		if u.Password != nil {
			out = append(append(out, ':'), u.Password...)
		}
		out = append(out, '@')
	}
	out = append(out, u.Host...)
	sip.EachParam(u.Params, func(name, value []byte) bool {
		if sip.EqualFold(name, "maddr") || sip.EqualFold(name, "transport") {
			return true
		}
		out = append(append(out, ';'), name...)
		if value != nil {
			out = append(append(out, '='), value...)
		}
		return true
	})
	if u.Headers != nil {
		out = append(append(out, '?'), u.Headers...)
	}
	l.logEdit(c.Msg.SetRequestURI(out))
}
