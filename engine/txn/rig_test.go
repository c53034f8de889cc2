package txn_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
)

// rig is a worker of the tests: a stopped clock, a wire that keeps what is
// sent, and a script of Go functions. Everything happens on the test's own
// goroutine; a park runs onPark, in which more may be received.
type rig struct {
	t       testing.TB
	l       *txn.Layer
	now     time.Time
	socks   []*api.Socket
	sent    []packet
	jobs    []job
	busy    int // handlers parked
	full    bool
	names   map[string][]api.Hop // Cached
	slow    map[string][]api.Hop // Resolve, by parking
	refuse  func(api.Dest) error // local send errors
	onPark  func()
	posted  []func()
	logs    []string
	live    *script
	ctxs    int
	buf     []byte
	discard bool // benchmarks keep nothing
}

type packet struct {
	to  api.Dest
	raw []byte
	obs api.SendObserver
	at  time.Duration
	m   sip.Message
}

type job struct {
	call string
	fn   func()
}

// script is the live generation.
type script struct {
	gen         *generation
	main, reply func(*api.Ctx) api.Verdict
	local       func(*api.Ctx) api.Verdict
	errorRoute  bool
}

type generation struct{ refs int }

func (g *generation) ID() uint64 { return 1 }
func (g *generation) Retain()    { g.refs++ }
func (g *generation) Release()   { g.refs-- }

// handler is an armed route.
type handler struct {
	name string
	gen  *generation
	fn   func(*api.Ctx) api.Verdict
}

func (h *handler) Name() string               { return h.name }
func (h *handler) Generation() api.Generation { return h.gen }

func (s *script) Generation() api.Generation     { return s.gen }
func (s *script) Request(c *api.Ctx) api.Verdict { return s.main(c) }
func (s *script) HasReply() bool                 { return s.reply != nil }
func (s *script) HasLocal() bool                 { return s.local != nil }
func (s *script) HasError() bool                 { return s.errorRoute }
func (s *script) Reply(c *api.Ctx) api.Verdict   { return s.reply(c) }
func (s *script) Local(c *api.Ctx) api.Verdict   { return s.local(c) }
func (s *script) Error(*api.Ctx) api.Verdict     { return api.VerdictNone }
func (s *script) Run(c *api.Ctx, h api.Handler, _ ...any) api.Verdict {
	return h.(*handler).fn(c)
}

const (
	uac  = "10.0.0.1:5060"
	uas  = "10.0.0.2:5060"
	uas2 = "10.0.0.3:5060"
	uas3 = "10.0.0.4:5060"
	ours = "10.0.0.9:5060"
)

func socket(i int, p api.Proto, addr string) *api.Socket {
	a := netip.MustParseAddrPort(addr)
	return &api.Socket{Index: i, Proto: p, Addr: a, Name: p.String() + ":" + addr, Host: a.Addr().String(), Port: a.Port(), SentBy: addr}
}

// rfcConfig has RFC 3261's timers: B and F of 32 s, C of 181 s.
func rfcConfig() *txn.Config {
	c := txn.DefaultConfig()
	c.FrTimeout, c.FrInvTimeout = 0, 0
	c.Secret = [16]byte{1, 2, 3}
	return c
}

// newRig is a proxy that relays everything to the Request-URI.
func newRig(t testing.TB, cfg *txn.Config) *rig {
	if cfg == nil {
		cfg = rfcConfig()
	}
	r := &rig{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), names: map[string][]api.Hop{}, slow: map[string][]api.Hop{}}
	r.socks = []*api.Socket{socket(0, api.ProtoUDP, ours), socket(1, api.ProtoTCP, ours)}
	r.live = &script{gen: &generation{}}
	r.live.main = r.relay
	r.l = txn.New(r, cfg)
	return r
}

// relay is a script that relays, and forwards an ACK.
func (r *rig) relay(c *api.Ctx) api.Verdict {
	r.doRelay(c)
	return api.VerdictNone
}

func (r *rig) doRelay(c *api.Ctx) api.Outcome {
	switch c.Msg.Method() {
	case sip.ACK:
		if err := r.l.StatelessForward(c, c.Target); err != nil {
			r.t.Errorf("ACK not forwarded: %v", err)
		}
		return api.Outcome{Code: 1}
	case sip.CANCEL:
		if tx := r.l.Lookup(c); tx != nil {
			return tx.Relay(c, 0)
		}
		return api.Outcome{Code: -1}
	}
	return r.tx(c).Relay(c, 0)
}

func (r *rig) tx(c *api.Ctx) api.Transaction {
	tx, err := r.l.Transaction(c)
	if err != nil {
		r.t.Fatalf("no transaction: %v", err)
	}
	return tx
}

// fork relays to further targets too.
func (r *rig) fork(uris ...string) {
	r.live.main = func(c *api.Ctx) api.Verdict {
		if c.Msg.Method() == sip.INVITE || c.Msg.Method() == sip.OPTIONS {
			for _, u := range uris {
				c.Extra = append(c.Extra, api.Target{URI: u, Q: -1})
			}
		}
		return r.relay(c)
	}
}

// arm makes a handler of the live generation.
func (r *rig) arm(name string, fn func(c *api.Ctx)) *handler {
	return &handler{name: name, gen: r.live.gen, fn: func(c *api.Ctx) api.Verdict { fn(c); return api.VerdictNone }}
}

// The Host.

func (r *rig) Worker() int            { return 3 }
func (r *rig) Now() time.Time         { return r.now }
func (r *rig) Out() api.Outbox        { return r }
func (r *rig) Resolver() api.Resolver { return r }
func (r *rig) Script() api.Script     { return r.live }
func (r *rig) APIHost() api.Host      { return nil }
func (r *rig) Post(fn func())         { r.posted = append(r.posted, fn) }
func (r *rig) Sockets() []*api.Socket { return r.socks }
func (r *rig) Waiting(id []byte) bool { return r.busy > 0 || len(r.jobs) > 0 }
func (r *rig) FreeCtx(*api.Ctx)       { r.ctxs-- }
func (r *rig) NewCtx(k api.Route) *api.Ctx {
	r.ctxs++
	c := &api.Ctx{}
	c.Begin(k, nil)
	return c
}

func (r *rig) Schedule(id []byte, size int, fn func()) bool {
	if r.full {
		return false
	}
	r.jobs = append(r.jobs, job{string(id), fn})
	return true
}

func (r *rig) Park(c *api.Ctx, fn func()) {
	r.l.Parking(c)
	r.busy++
	if r.onPark != nil {
		f := r.onPark
		r.onPark = nil
		f()
	}
	fn()
	r.busy--
	r.l.Resumed(c)
}

func (r *rig) IsMyself(host string, port uint16, p api.Proto) bool {
	return host == "10.0.0.9" || host == "proxy.test"
}

func (r *rig) PickBond(bond string, proto api.Proto, v6 bool) (*api.Socket, bool) {
	for _, s := range r.socks {
		if bond == "all" && s.Proto == proto && s.Addr.Addr().Is6() == v6 {
			return s, false
		}
	}
	return nil, true
}

func (r *rig) Log(_ *api.Ctx, level api.Level, msg string, f ...api.Field) {
	r.logs = append(r.logs, fmt.Sprint(msg, f))
}

// The Outbox.

func (r *rig) Buffer() []byte { return r.buf[:0] }

func (r *rig) Send(to api.Dest, b []byte, obs api.SendObserver) error {
	if r.refuse != nil {
		if err := r.refuse(to); err != nil {
			return err
		}
	}
	if r.discard {
		r.buf = b
		return nil
	}
	p := packet{to: to, raw: bytes.Clone(b), obs: obs, at: r.since()}
	if err := p.m.ParseDatagram(p.raw, nil); err != nil {
		r.t.Errorf("sent what does not parse: %v\n%s", err, b)
	}
	r.sent = append(r.sent, p)
	return nil
}

func (r *rig) Pick(to api.Dest) *api.Socket {
	if to.Socket != nil {
		return to.Socket
	}
	for _, s := range r.socks {
		if s.Proto == to.Proto && s.Addr.Addr().Is4() == to.Addr.Addr().Is4() {
			return s
		}
	}
	return nil
}

// The Resolver.

var errName = errors.New("no such name")

func (r *rig) Cached(q api.Query) ([]api.Hop, bool, error) {
	if h, ok := r.names[q.Host]; ok {
		return h, true, nil
	}
	return nil, false, nil
}

func (r *rig) Resolve(q api.Query) ([]api.Hop, error) {
	if h, ok := r.slow[q.Host]; ok {
		return h, nil
	}
	return nil, errName
}

func (r *rig) ResolveAsync(q api.Query, done func([]api.Hop, error)) { done(r.Resolve(q)) }
func (r *rig) Addrs(string) ([]netip.Addr, error)                    { return nil, errName }

// Driving.

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *rig) since() time.Duration { return r.now.Sub(start) }

// advance moves the clock and fires what is due on the way.
func (r *rig) advance(d time.Duration) {
	end := r.now.Add(d)
	for {
		next := r.l.Next()
		if next.IsZero() || next.After(end) {
			break
		}
		if next.After(r.now) {
			r.now = next
		}
		r.l.Tick(r.now)
		r.run()
	}
	r.now = end
	r.l.Tick(r.now)
	r.run()
}

// run does queued script runs, unless a handler is parked.
func (r *rig) run() {
	for len(r.posted) > 0 {
		f := r.posted[0]
		r.posted = r.posted[1:]
		f()
	}
	for len(r.jobs) > 0 && r.busy == 0 {
		j := r.jobs[0]
		r.jobs = r.jobs[1:]
		j.fn()
	}
}

// incoming is a received message.
func (r *rig) incoming(from, raw string, s *api.Socket) *api.Incoming {
	in := api.NewIncoming(nil)
	in.Use()
	in.Buf = []byte(raw)
	if err := in.Msg.ParseDatagram(in.Buf, nil); err != nil {
		r.t.Fatalf("received what does not parse: %v\n%s", err, raw)
	}
	in.Source = api.Source{Socket: s, Remote: netip.MustParseAddrPort(from), Received: r.now}
	if s.Proto.Stream() {
		in.Source.Flow = 7
	}
	return in
}

// recv receives a message over UDP and returns what was sent on it.
func (r *rig) recv(from, raw string) []packet { return r.recvOn(r.socks[0], from, raw) }

func (r *rig) recvOn(s *api.Socket, from, raw string) []packet {
	r.t.Helper()
	mark := len(r.sent)
	in := r.incoming(from, raw, s)
	if in.Msg.IsRequest() {
		if c, run := r.l.Request(in); run {
			if r.busy > 0 {
				r.jobs = append(r.jobs, job{fn: func() { r.l.Done(c, r.live.main(c)) }})
			} else {
				r.l.Done(c, r.live.main(c))
			}
		}
	} else {
		r.l.Response(in)
	}
	in.Release()
	r.run()
	return r.sent[mark:]
}

// Messages.

const sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\n"

// req writes a request: first the Request-URI, then header lines that replace
// the usual ones of that name or come on top.
func req(method, ruri string, lines ...string) string {
	usual := [][2]string{
		{"Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKclient1"}, {"Max-Forwards", "70"},
		{"From", "<sip:alice@10.0.0.1>;tag=a1"}, {"To", "<sip:bob@10.0.0.9>"}, {"Call-ID", "call-1@10.0.0.1"},
		{"CSeq", "1 " + method}, {"Contact", "<sip:alice@10.0.0.1:5060>"},
	}
	if method == "CANCEL" || method == "ACK" {
		usual = usual[:6]
	}
	body := ""
	var b strings.Builder
	b.WriteString(method + " " + ruri + " SIP/2.0\r\n")
	seen := map[string]bool{}
	for _, l := range lines {
		if strings.HasPrefix(l, "body:") {
			body = l[5:]
			continue
		}
		name, v, _ := strings.Cut(l, ":")
		seen[name] = true
		if strings.TrimSpace(v) != "-" {
			b.WriteString(l + "\r\n")
		}
	}
	for _, u := range usual {
		if !seen[u[0]] {
			b.WriteString(u[0] + ": " + u[1] + "\r\n")
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

func invite(lines ...string) string { return req("INVITE", "sip:bob@10.0.0.2", lines...) }

// answer writes a user agent's response to a request that was sent to it.
func answer(p packet, code int, tag string, lines ...string) string {
	o := sip.ReplyOptions{}
	if tag != "" {
		o.ToTag = []byte(tag)
	}
	for _, l := range lines {
		o.Headers = append(o.Headers, l+"\r\n"...)
	}
	return string(sip.AppendReply(nil, &p.m, code, "", &o))
}

// Looking.

// find are the packets of that method or status: "INVITE", "180".
func find(ps []packet, what string) (found []packet) {
	for _, p := range ps {
		if is(&p.m, what) {
			found = append(found, p)
		}
	}
	return found
}

func is(m *sip.Message, what string) bool {
	if m.IsRequest() {
		return string(m.MethodName()) == what
	}
	return fmt.Sprint(m.StatusCode()) == what
}

// one is the only packet of that kind.
func (r *rig) one(ps []packet, what string) packet {
	r.t.Helper()
	f := find(ps, what)
	if len(f) != 1 {
		r.t.Fatalf("%d packets %q, want 1 of:\n%s", len(f), what, dump(ps))
	}
	return f[0]
}

// want checks kinds and destinations of all that was sent: "100 10.0.0.1:5060".
func (r *rig) want(ps []packet, lines ...string) {
	r.t.Helper()
	if got := list(ps); strings.Join(got, "\n") != strings.Join(lines, "\n") {
		r.t.Fatalf("sent\n %s\nwant\n %s\n%s", strings.Join(got, "\n "), strings.Join(lines, "\n "), strings.Join(r.logs, "\n"))
	}
}

func list(ps []packet) (out []string) {
	for _, p := range ps {
		w := string(p.m.MethodName())
		if !p.m.IsRequest() {
			w = fmt.Sprint(p.m.StatusCode())
		}
		out = append(out, w+" "+p.to.Addr.String())
	}
	return out
}

func dump(ps []packet) string {
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&b, "-> %v at %v\n%s\n", p.to.Addr, p.at, p.raw)
	}
	return b.String()
}

// header is the value of a header field, "" when absent.
func (p *packet) header(name string) string { return string(p.m.Find([]byte(name))) }

// all are the values of the lines of one name.
func (p *packet) all(name string) (vs []string) {
	for i := range p.m.NumHeaders() {
		if h := p.m.HeaderAt(i); strings.EqualFold(string(p.m.Bytes(h.Name)), name) {
			vs = append(vs, string(p.m.Bytes(h.Value)))
		}
	}
	return vs
}

func (p *packet) branch() string {
	v, err := p.m.Via()
	if err != nil {
		return ""
	}
	return string(v.Branch)
}

// toTag is the To tag.
func (p *packet) toTag() string {
	to, err := p.m.To()
	if err != nil {
		return ""
	}
	return string(to.Tag)
}

// quiet checks that nothing is left behind: no timer, no transaction, no
// generation kept, no context lost.
func (r *rig) quiet() {
	r.t.Helper()
	r.advance(10 * time.Minute)
	if n, m := r.l.Live(), r.l.Lingering(); n != 0 || m != 0 {
		r.t.Errorf("%d live and %d lingering transactions are left", n, m)
	}
	if !r.l.Next().IsZero() {
		r.t.Error("a timer is left")
	}
	if r.live.gen.refs != 0 {
		r.t.Errorf("the generation is kept %d times", r.live.gen.refs)
	}
	if r.ctxs != 0 {
		r.t.Errorf("%d contexts were not given back", r.ctxs)
	}
}

// times are when packets of a kind were sent, from the first one on, in ms.
func times(ps []packet, what string) (ms []int) {
	f := find(ps, what)
	for _, p := range f {
		ms = append(ms, int((p.at - f[0].at).Round(20*time.Millisecond).Milliseconds()))
	}
	return ms
}
