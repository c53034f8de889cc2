package txn

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// largeUDP is the size above which a request goes by a stream where it may
// (RFC 3261 §18.1.1), bytes.
const largeUDP = 1300

var errNoSocket = errors.New("no socket of ours speaks that protocol and address family")

// newBranch makes a branch of t; nil when it may have no more.
func (t *transaction) newBranch() *branch {
	if int(t.branches) >= t.cfg.MaxBranches || t.branches == maxBranch {
		return nil
	}
	b := t.l.takeBranch()
	b.tx, b.index = t, t.branches
	b.invite = t.method == sip.INVITE
	b.resendAt, b.timeoutAt, b.cancelAt = never, never, never
	t.branches++
	t.live.list = append(t.live.list, b)
	return b
}

// aim points the branch at a hop: the socket that it leaves by is chosen
// (forced socket, bond, flow, the socket the request came by, or what the
// transport picks). False when there is none.
func (b *branch) aim(h api.Hop) bool {
	var ok bool
	b.dest, ok = b.tx.l.destOf(h, &b.to, b.tx.live.source.Socket)
	return ok
}

// destOf is the Dest of a hop with its socket chosen.
func (l *Layer) destOf(h api.Hop, to *api.Target, in *api.Socket) (api.Dest, bool) {
	d := api.Dest{Proto: h.Proto, Addr: h.Addr, Flow: to.Flow}
	v6 := h.Addr.Addr().Is6() && !h.Addr.Addr().Is4In6()
	switch {
	case to.Socket != nil:
		d.Socket = to.Socket
		if to.Socket.Proto != h.Proto {
			d.Socket = nil
		}
	case to.Bond != "":
		s, refuse := l.host.PickBond(to.Bond, h.Proto, v6)
		if s == nil && refuse {
			return d, false
		}
		d.Socket = s
	case in != nil && in.Proto == h.Proto && in.Addr.Addr().Is6() == v6:
		d.Socket = in
	}
	if d.Socket == nil {
		d.Socket = l.host.Out().Pick(d)
	}
	return d, d.Socket != nil
}

// compose is the branch's request as it goes out: the hooks that need the
// socket, the lines of AddHeaders, and our Via on top (RFC 3261 §16.6 item 8).
// The draft is the layer's and valid until the next compose.
func (b *branch) compose() *sip.Draft {
	l, lv := b.tx.l, b.tx.live
	d := &l.scratch
	d.CopyFrom(&b.draft)
	b.runHooks(d)
	if lines := b.ownLines(); len(lines) > 0 {
		l.logEdit(d.AppendLines(lines))
	}
	l.addVia(d, b.dest, b.way, branchID{worker: uint16(l.host.Worker()), index: b.tx.index, label: b.tx.label, branch: b.index, loop: lv.loop})
	return d
}

// runHooks runs the hooks that need the socket. They see the advertised address
// of the time the branch was sent, so that a resend is the same.
func (b *branch) runHooks(d *sip.Draft) {
	st := &b.tx.live.state
	host, port := st.AdvHost, st.AdvPort
	st.AdvHost, st.AdvPort = b.way.host, b.way.port
	st.OnSend(d, b.tx.live.source.Socket, b.dest.Socket)
	st.AdvHost, st.AdvPort = host, port
}

// ownLines are the lines of AddHeaders at the time the branch was sent; they go
// with its ACK and CANCEL too (OpenSIPS t_add_hdrs).
func (b *branch) ownLines() []byte { return b.tx.live.headers[:b.way.lines] }

// addVia puts our Via on top and, on a stream, sees to Content-Length.
func (l *Layer) addVia(d *sip.Draft, to api.Dest, as way, id branchID) {
	v := append(l.bytes[:0], "SIP/2.0/"...)
	v = append(v, to.Proto.Via()...)
	v = append(v, ' ')
	v = appendSentBy(v, to.Socket, as)
	v = append(v, ";branch="...)
	v = id.append(v, &l.key)
	if as.rport {
		v = append(v, ";rport"...)
	}
	l.bytes = v
	l.logEdit(d.Prepend(sip.HdrVia, v))
	if to.Proto.Stream() {
		d.EnsureContentLength()
	}
}

// wayOf are the settings of the moment.
func wayOf(st *api.State) way {
	return way{host: st.AdvHost, port: st.AdvPort, rport: st.AddLocalRport}
}

// appendSentBy writes the socket's sent-by, or what set_advertised_address and
// _port put in its place.
func appendSentBy(v []byte, s *api.Socket, as way) []byte {
	if as.host == "" && as.port == 0 {
		return append(v, s.SentBy...)
	}
	host, port := s.Host, s.Port
	if as.host != "" {
		host = as.host
	}
	if as.port != 0 {
		port = as.port
	}
	v = append(v, host...)
	if port != 0 {
		v = append(v, ':')
		v = strconv.AppendUint(v, uint64(port), 10)
	}
	return v
}

// logEdit logs an edit that the draft refused. The text put together here is
// checked before, so it tells of a hook's or a peer's oddity.
func (l *Layer) logEdit(err error) {
	if err != nil {
		l.host.Log(nil, api.LevelWarn, "header edit refused", api.Field{Key: "error", Value: err})
	}
}

// send sends the request for the first time and starts its timers. A large one
// goes by TCP where UDP was not asked for, with UDP as the next hop to try
// (RFC 3261 §18.1.1).
func (b *branch) send() error {
	b.way = wayOf(&b.tx.live.state)
	b.way.lines = len(b.tx.live.headers)
	out := b.tx.l.host.Out()
	buf := b.compose().Serialise(out.Buffer())
	if len(buf) > largeUDP && b.dest.Proto == api.ProtoUDP && b.toStream() {
		buf = b.compose().Serialise(buf[:0])
	}
	b.start()
	if err := out.Send(b.dest, buf, b.observer()); err != nil {
		b.stop()
		return err
	}
	return nil
}

// toStream turns a UDP branch into a TCP one when the URI left the choice to
// us and a TCP socket of the family exists.
func (b *branch) toStream() bool {
	if b.noStream || b.to.Socket != nil || namesTransport(b.nextURI()) {
		return false
	}
	was := b.dest
	if !b.aim(api.Hop{Proto: api.ProtoTCP, Addr: was.Addr}) {
		b.dest = was
		return false
	}
	b.fallback = true
	b.hops = append([]api.Hop{{Proto: api.ProtoUDP, Addr: was.Addr}}, b.hops...)
	return true
}

// nextHop takes the next place to try; false when there is none.
func (b *branch) nextHop() (h api.Hop, ok bool) {
	if len(b.hops) == 0 {
		return h, false
	}
	h, b.hops = b.hops[0], b.hops[1:]
	b.noStream, b.fallback = b.fallback, false
	return h, true
}

// reached tells that the other side has been reached by the stream that the
// request's size asked for: UDP is no way to try then (RFC 3261 §18.1.1).
func (b *branch) reached() {
	if b.fallback {
		b.hops, b.fallback = b.hops[1:], false
	}
}

func namesTransport(uri []byte) bool {
	var u sip.URI
	return sip.ParseURI(uri, &u) != nil || u.Transport() != nil
}

// transmit sends the request again, byte for byte as before. A final response
// may end the branch before the resend is on its way.
func (b *branch) transmit() error {
	out := b.tx.l.host.Out()
	return out.Send(b.dest, b.compose().Serialise(out.Buffer()), &sendObserver{b, b.serial})
}

// replyDest is where responses to a request go (RFC 3261 §18.2.2, RFC 3581
// §4): over the connection it came by, or over UDP to maddr, or to the source
// address, and the source port where rport or force_rport ask for it.
func replyDest(via *sip.Via, src *api.Source, forceRport bool) api.Dest {
	d := api.Dest{Proto: src.Socket.Proto, Socket: src.Socket, Flow: src.Flow}
	port := via.Port
	if port == 0 {
		port = d.Proto.DefaultPort()
	}
	d.Addr = netip.AddrPortFrom(src.Remote.Addr(), port)
	if d.Proto.Stream() {
		return d
	}
	if len(via.Maddr) > 0 {
		if a, err := sip.ParseAddr(via.Maddr); err == nil {
			d.Addr = netip.AddrPortFrom(a, port)
			return d
		}
	}
	if via.HasRPort || forceRport {
		d.Addr = src.Remote
	}
	return d
}

// setReceived notes on the request's top Via where it came from
// (RFC 3261 §18.2.1, RFC 3581 §4); force adds rport where none was asked for.
func (l *Layer) setReceived(d *sip.Draft, src *api.Source, force bool) {
	l.logEdit(d.SetReceived(src.Remote))
	if !force {
		return
	}
	via, err := d.Via()
	if err != nil || via.HasRPort {
		return
	}
	pos, h, ok := d.FindID(sip.HdrVia)
	if !ok {
		return
	}
	v := append(l.bytes[:0], via.Line...)
	if len(via.Received) == 0 {
		v = append(v, ";received="...)
		v = src.Remote.Addr().Unmap().AppendTo(v)
	}
	v = append(v, ";rport="...)
	v = strconv.AppendUint(v, uint64(src.Remote.Port()), 10)
	if i := bytes.Index(h.Value, via.Line); i >= 0 {
		v = append(v, h.Value[i+len(via.Line):]...)
	}
	l.bytes = v
	l.logEdit(d.SetAt(pos, sip.Unfold(v)))
}
