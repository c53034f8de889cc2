package txn

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// StatelessReply answers c's request without a transaction (OpenSIPS
// sl_send_reply, RFC 3261 §8.2.7). The To tag is a function of the request, so
// that a retransmission gets the same. In an error route c's message may be one
// that did not parse.
func (l *Layer) StatelessReply(c *api.Ctx, code int, reason string, o *api.ReplyOptions) error {
	if c.Msg == nil || c.Msg.Message() == nil || !c.Msg.IsRequest() {
		return errNoRequest
	}
	if code < 100 || code > 699 {
		return sip.ErrStatus
	}
	m := c.Msg.Message()
	if m.Method() == sip.ACK {
		return errACK
	}
	via, err := m.Via()
	if err != nil && via.Host == nil { // else its sent-by could be read, which is enough to answer to
		return err
	}
	var tag [tagLen]byte
	so := l.replyOptions(c.State, o, l.statelessTag(tag[:0], m, via), &c.Source)
	out := l.host.Out()
	b := sip.AppendReply(out.Buffer(), m, code, reason, &so)
	c.State.ReplyHeaders = c.State.ReplyHeaders[:0]
	c.Done |= actionOf(code)
	return out.Send(replyDest(via, &c.Source, c.State.AddRport), b, nil)
}

// statelessTag appends the To tag of responses made without a transaction. A
// CANCEL's is that of the INVITE's responses (RFC 3261 §9.2).
func (l *Layer) statelessTag(dst []byte, m *sip.Message, via *sip.Via) []byte {
	method := m.Method()
	if method == sip.CANCEL {
		method = sip.INVITE
	}
	return l.tag(dst, l.requestKey(m, via, method))
}

// LocalTag is the To tag that responses made here to c's request have: one that
// it came with, the transaction's when there is one, else that of a stateless
// one; "" when the request is none that could be answered (OpenSIPS
// $sig_local_totag).
func (l *Layer) LocalTag(c *api.Ctx) string {
	if c.Msg == nil || c.Msg.Message() == nil || !c.Msg.IsRequest() {
		return ""
	}
	m := c.Msg.Message()
	if to, err := m.To(); err == nil && len(to.Tag) > 0 {
		return string(to.Tag)
	}
	var tag [tagLen]byte
	if t := l.of(c); t != nil {
		return string(t.toTag(tag[:0]))
	}
	via, err := m.Via()
	if err != nil {
		return ""
	}
	return string(l.statelessTag(tag[:0], m, via))
}

// StatelessForward sends c's request on to t without a transaction (OpenSIPS
// forward, and the ACK to a 2xx): RFC 3261 §16.11. It parks when the name is
// not in the cache. c.Msg keeps the edits of the script alone.
func (l *Layer) StatelessForward(c *api.Ctx, t *api.Target) error {
	if c.Msg == nil || !c.Msg.IsRequest() {
		return errNoRequest
	}
	if x := l.of(c); x != nil && x.cancelled {
		return errCancelled
	}
	d := l.takeDraft()
	defer l.putDraft(d)
	d.CopyFrom(c.Msg)
	strict, sips, err := l.prepareStateless(c, d, t)
	if err != nil {
		return err
	}
	uri := nextHopURI(d, strict)
	if t.Duri != "" {
		uri = []byte(t.Duri)
	}
	if !usable(uri) {
		return sip.ErrURIScheme
	}
	to, err := l.destination(c, uri, t, sips)
	if err != nil {
		return err
	}
	free := t.Socket == nil && !namesTransport(uri)
	c.Done |= api.ActionRelayed
	out := l.host.Out()
	buf := l.composeStateless(c, d, to, out.Buffer())
	if len(buf) > largeUDP && to.Proto == api.ProtoUDP && free {
		return l.forwardLarge(c, d, t, to, buf)
	}
	return out.Send(to, buf, nil)
}

// composeStateless appends d as it goes to its destination: the hooks that need
// the socket, and our Via.
func (l *Layer) composeStateless(c *api.Ctx, d *sip.Draft, to api.Dest, dst []byte) []byte {
	c.State.OnSend(d, c.Source.Socket, to.Socket)
	l.addVia(d, to, wayOf(c.State), l.statelessID(c.Msg.Message()))
	l.noteFlow(d, c.Source.Flow)
	return d.Serialise(dst)
}

// forwardLarge sends by TCP what is too large for UDP, and as plain by UDP when
// there is no connection to be had (RFC 3261 §18.1.1).
func (l *Layer) forwardLarge(c *api.Ctx, d *sip.Draft, t *api.Target, udp api.Dest, plain []byte) error {
	out := l.host.Out()
	tcp, ok := l.destOf(api.Hop{Proto: api.ProtoTCP, Addr: udp.Addr}, t, c.Source.Socket)
	if !ok {
		return out.Send(udp, plain, nil)
	}
	again := &plainAgain{l: l, to: udp, msg: bytes.Clone(plain)}
	d.CopyFrom(c.Msg)
	if _, _, err := l.prepareStateless(c, d, t); err != nil {
		return err
	}
	if out.Send(tcp, l.composeStateless(c, d, tcp, plain[:0]), again) != nil {
		return out.Send(udp, append(out.Buffer(), again.msg...), nil)
	}
	return nil
}

// plainAgain has by UDP what could not be sent by TCP.
type plainAgain struct {
	l   *Layer
	to  api.Dest
	msg []byte
}

// SendFailed sends it. api.SendObserver.
func (a *plainAgain) SendFailed(error) {
	out := a.l.host.Out()
	if err := out.Send(a.to, append(out.Buffer(), a.msg...), nil); err != nil {
		a.l.host.Log(nil, api.LevelInfo, "request not sent", api.Field{Key: "error", Value: err})
	}
}

// prepareStateless applies RFC 3261 §16.6 items 2, 3 and 6 to a request that
// is forwarded without a transaction. strict tells that the next hop is a strict
// router, sips that the Request-URI was one before.
func (l *Layer) prepareStateless(c *api.Ctx, d *sip.Draft, t *api.Target) (strict, sips bool, err error) {
	if t.URI != "" && t.URI != string(d.RequestURI()) {
		if err := d.SetRequestURI([]byte(t.URI)); err != nil {
			return false, false, err
		}
	}
	turned := turnedRound(d, t)
	cleanRequestURI(l, d)
	came := c.Msg.Message()
	if i := l.find(c); i >= 0 {
		came = &l.active[i].in.Msg
	}
	if n, present, err := d.MaxForwards(); err == nil && present && n == 0 && !hopsTouched(d, came) {
		return false, false, errHops
	}
	countHop(l, d, came)
	l.setReceived(d, &c.Source, c.State.AddRport)
	if t.Path != "" {
		l.logEdit(d.Prepend(sip.HdrRoute, []byte(t.Path)))
	}
	sips = isSips(d.RequestURI())
	return turned || strictRoute(l, d), sips, nil
}

// destination resolves a URI to one place, always the first of its hops that
// we can send to, so that a retransmission goes the same way (RFC 3263 §4.3).
func (l *Layer) destination(c *api.Ctx, uri []byte, t *api.Target, sips bool) (api.Dest, error) {
	q, hop, numeric := l.question(uri, t, sips)
	if numeric {
		return l.firstOf([]api.Hop{hop}, t, c.Source.Socket)
	}
	key := l.statelessHash(c.Msg.Message())
	hops, ok, err := l.steady(q, key)
	if !ok {
		missing := []lookup{{q: q}}
		l.parkToResolve(c, missing)
		if hops, ok, err = l.steady(q, key); !ok {
			hops, err = missing[0].hops, missing[0].err
		}
	}
	if err != nil {
		return api.Dest{}, err
	}
	return l.firstOf(hops, t, c.Source.Socket)
}

// stableResolver is a resolver that can give hops of equal standing in an order
// that depends on a key alone, and not on chance.
type stableResolver interface {
	AppendStable(dst []api.Hop, q *api.Query, key uint64) (hops []api.Hop, ok bool, err error)
}

// steady is the cache's answer in the order that key gives it.
func (l *Layer) steady(q api.Query, key uint64) (hops []api.Hop, ok bool, err error) {
	if s, has := l.host.Resolver().(stableResolver); has {
		return s.AppendStable(nil, &q, key)
	}
	return l.host.Resolver().Cached(q)
}

func (l *Layer) firstOf(hops []api.Hop, t *api.Target, in *api.Socket) (api.Dest, error) {
	for _, h := range hops {
		if d, ok := l.destOf(h, t, in); ok {
			return d, nil
		}
	}
	return api.Dest{}, errNoSocket
}

// statelessID is a branch that is a pure function of the request and our
// secret (RFC 3261 §16.11): of the branch received where it has the cookie,
// else of what RFC 2543 requests are matched by. Nothing else counts, so that a
// CANCEL and the ACK to a non-2xx get the branch of their INVITE. It tells no
// loops; Max-Forwards ends those.
func (l *Layer) statelessID(m *sip.Message) branchID {
	h := l.statelessHash(m)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h)
	return branchID{stateless: true, worker: uint16(l.host.Worker()), index: uint32(h) & maxIndex, label: uint32(h >> 32),
		branch: uint16(h >> 24), loop: l.key.sum(b[:]) & loopMask}
}

// statelessHash is a keyed hash of what a request has in common with its
// retransmissions, its CANCEL and the ACK to its non-2xx.
func (l *Layer) statelessHash(m *sip.Message) uint64 {
	b := l.bytes[:0]
	if via, err := m.Via(); err == nil {
		if via.HasCookie() {
			b = lower(lower(b, via.Branch), via.Host)
			b = binary.BigEndian.AppendUint16(b, via.Port)
		} else {
			b = legacyKey(b, m, via)
		}
	}
	l.bytes = b
	return l.key.sum(b)
}

// flowParam is the parameter of our Via that says by which connection a request
// came that was forwarded without a transaction.
const flowParam = "i"

// noteFlow puts the connection into the Via that was just added, with a keyed
// hash: the response goes back by it (RFC 3261 §18.2.2), and nobody can have it
// sent by another. It is no part of the branch, which a CANCEL by another
// connection must share.
func (l *Layer) noteFlow(d *sip.Draft, f api.Flow) {
	if f == 0 {
		return
	}
	p, via, ok := d.FindID(sip.HdrVia)
	if !ok {
		return
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(f))
	binary.BigEndian.PutUint64(b[8:], l.key.sum(b[:8]))
	v := append(l.bytes[:0], via.Value...)
	v = append(v, ";"+flowParam+"="...)
	v = hex.AppendEncode(v, b[:])
	l.bytes = v
	l.logEdit(d.SetAt(p, v))
}

// flowOf is the connection that noteFlow put into via; 0 when there is none.
func (l *Layer) flowOf(via *sip.Via) api.Flow {
	v, ok := via.Param(flowParam)
	var b [16]byte
	if !ok || len(v) != 2*len(b) {
		return 0
	}
	if _, err := hex.Decode(b[:], v); err != nil || binary.BigEndian.Uint64(b[8:]) != l.key.sum(b[:8]) {
		return 0
	}
	return api.Flow(binary.BigEndian.Uint64(b[:]))
}

// relayStateless passes on the response to a request that was forwarded
// without a transaction (RFC 3261 §16.11, §18.2.2): to where the next Via says.
func (l *Layer) relayStateless(in *api.Incoming) {
	d := &l.response
	d.Init(&in.Msg)
	var flow api.Flow
	if ours, err := in.Msg.Via(); err == nil {
		flow = l.flowOf(ours)
	}
	if !dropTopVia(l, d) {
		return
	}
	via, err := d.Via()
	if err != nil {
		return
	}
	to := api.Dest{Proto: in.Source.Socket.Proto, Flow: flow}
	if p, ok := api.ParseProtoBytes(via.Transport); ok {
		to.Proto = p
	}
	host, port := via.Host, via.Port
	switch {
	case len(via.Maddr) > 0 && !to.Proto.Stream():
		host = via.Maddr
	case len(via.Received) > 0:
		host = via.Received
		if via.RPort != 0 {
			port = via.RPort
		}
	}
	if port == 0 {
		port = to.Proto.DefaultPort()
	}
	addr, err := sip.ParseAddr(host)
	if err != nil {
		l.resolveReply(in, string(host), via.Port, to)
		return
	}
	to.Addr = netip.AddrPortFrom(addr, port)
	l.sendReplyTo(in, to)
}

// sendReplyTo sends a stateless response, by way of onreply_route.main where
// the script has one.
func (l *Layer) sendReplyTo(in *api.Incoming, to api.Dest) {
	if s := in.Source.Socket; s.Proto == to.Proto && s.Addr.Addr().Is4() == to.Addr.Addr().Is4() {
		to.Socket = s
	} else if to.Socket = l.host.Out().Pick(to); to.Socket == nil {
		l.sendFailed(errNoSocket)
		return
	}
	if !l.host.Script().HasReply() && !l.host.Waiting(in.Msg.CallID()) {
		d := &l.response
		d.Init(&in.Msg)
		l.sendStateless(d, to)
		return
	}
	in.Retain()
	ok := l.host.Schedule(in.Msg.CallID(), len(in.Buf), func() {
		defer in.Release()
		c := l.host.NewCtx(api.RouteReply)
		defer l.host.FreeCtx(c)
		c.Route, c.Source, c.ReplyCode = "main", in.Source, in.Msg.StatusCode()
		c.Msg.Init(&in.Msg)
		v := api.VerdictNone
		if s := l.host.Script(); s.HasReply() {
			v = s.Reply(c)
		}
		if v == api.VerdictError {
			c.Msg.Init(&in.Msg)
		}
		if v != api.VerdictDrop || in.Msg.StatusCode() >= 200 {
			l.sendStateless(c.Msg, to)
		}
	})
	if !ok {
		in.Release()
	}
}

func (l *Layer) sendStateless(d *sip.Draft, to api.Dest) {
	if dropTopVia(l, d) {
		out := l.host.Out()
		l.sendFailed(out.Send(to, d.Serialise(out.Buffer()), nil))
	}
}

// resolveReply finds the address of a sent-by that is a name (RFC 3263 §5).
func (l *Layer) resolveReply(in *api.Incoming, host string, port uint16, to api.Dest) {
	q := api.Query{Host: host, Port: port, Transport: to.Proto}
	l.reach(&q)
	in.Retain()
	l.host.Resolver().ResolveAsync(q, func(hops []api.Hop, err error) {
		l.host.Post(func() {
			defer in.Release()
			if err != nil || len(hops) == 0 {
				l.host.Log(nil, api.LevelInfo, "response not sent: sent-by does not resolve", api.Field{Key: "host", Value: host})
				return
			}
			to.Addr = hops[0].Addr
			l.sendReplyTo(in, to)
		})
	})
}
