package moduletest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// Host is a worker made for tests. Set what a test needs before it calls;
// read what was recorded afterwards. It belongs to one goroutine, but for Go,
// Post, Park and the records, which take a lock.
type Host struct {
	T testing.TB

	Clock    time.Time        // what Now answers; Advance moves it
	Socks    []*api.Socket    // udp, tcp and tls on 127.0.0.1 and [::1] unless replaced
	Mine     []string         // further names that are ours (aliases)
	Bonds    map[string][]int // bond name to socket indices
	Flows    map[string]api.Flow
	Set      map[string]any    // config{} settings
	Files    map[string]string // what ReadFile finds
	Names    Names             // what Resolver answers
	NWorkers int               // number of workers, 1 unless set

	// SendErr, when set, is what StatelessReply, StatelessForward and
	// NewRequest fail with.
	SendErr error
	// Tx is what Transaction gives; LookupTx is what Lookup gives.
	Tx       *Transaction
	LookupTx *Transaction

	mu       sync.Mutex
	wg       sync.WaitGroup
	parks    int
	replies  []Reply
	forwards []Forward
	requests []api.NewRequest
	logs     []Record
	events   []RaisedEvent
	closed   []api.Flow
	flags    [2][]string
}

// Reply is one reply that was made.
type Reply struct {
	Code    int
	Reason  string
	Options api.ReplyOptions
}

// Forward is one request that was sent on, as it would stand on the wire
// without the Via of the proxy.
type Forward struct {
	Target api.Target
	Wire   string
}

// Record is one log record.
type Record struct {
	Level  api.Level
	Text   string
	Fields []api.Field
}

// RaisedEvent is one event that was raised.
type RaisedEvent struct {
	Name   string
	Params map[string]any
}

// NewHost makes a host with six sockets: udp, tcp and tls on 127.0.0.1 and on
// [::1], the first tagged "main". Its clock stands at 2026-03-02 10:20:30 UTC,
// a Monday.
func NewHost(t testing.TB) *Host {
	h := &Host{T: t, Clock: time.Date(2026, 3, 2, 10, 20, 30, 0, time.UTC), NWorkers: 1}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, p := range []api.Proto{api.ProtoUDP, api.ProtoTCP, api.ProtoTLS} {
			h.AddSocket(p, ip, p.DefaultPort(), "")
		}
	}
	h.Socks[0].Tag = "main"
	t.Cleanup(h.wg.Wait)
	return h
}

// AddSocket adds a socket; advertised, when not empty, is its "host:port" in
// Via and Record-Route.
func (h *Host) AddSocket(p api.Proto, ip string, port uint16, advertised string) *api.Socket {
	a := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
	s := &api.Socket{Index: len(h.Socks), Proto: p, Addr: a, Name: p.String() + ":" + a.String(),
		Host: ip, Port: port, SentBy: a.String()}
	if a.Addr().Is6() {
		s.Host = "[" + ip + "]"
	}
	if host, adv, ok := strings.Cut(advertised, ":"); ok {
		n, err := strconv.ParseUint(adv, 10, 16)
		if err != nil {
			h.T.Fatalf("advertised %q: %v", advertised, err)
		}
		s.Host, s.Port, s.Advertised, s.SentBy = host, uint16(n), true, advertised
	}
	h.Socks = append(h.Socks, s)
	return s
}

// Advance moves the clock.
func (h *Host) Advance(d time.Duration) { h.Clock = h.Clock.Add(d) }

// Replies are the stateless replies made so far.
func (h *Host) Replies() []Reply { return recorded(h, h.replies) }

// Forwards are the stateless forwards made so far.
func (h *Host) Forwards() []Forward { return recorded(h, h.forwards) }

// Requests are those of NewRequest so far.
func (h *Host) Requests() []api.NewRequest { return recorded(h, h.requests) }

// Logs are the log records written so far.
func (h *Host) Logs() []Record { return recorded(h, h.logs) }

// Events are those raised so far.
func (h *Host) Events() []RaisedEvent { return recorded(h, h.events) }

// Closed are the flows closed so far.
func (h *Host) Closed() []api.Flow { return recorded(h, h.closed) }

// Parks is how often the token was given away.
func (h *Host) Parks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parks
}

func recorded[E any](h *Host, list []E) []E {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(list)
}

func record[E any](h *Host, list *[]E, e E) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, e)
}

// Worker is 0.
func (h *Host) Worker() int { return 0 }

// Workers is NWorkers.
func (h *Host) Workers() int { return h.NWorkers }

// Now is the clock.
func (h *Host) Now() time.Time { return h.Clock }

// Park calls fn on this goroutine and counts.
func (h *Host) Park(c *api.Ctx, fn func()) {
	h.mu.Lock()
	h.parks++
	h.mu.Unlock()
	if c.Hooks != nil {
		c.Hooks.Parking()
		defer c.Hooks.Resumed()
	}
	fn()
}

// Go runs fn on a goroutine that the test awaits at its end.
func (h *Host) Go(_ string, fn func()) { h.wg.Go(fn) }

// Post runs fn at once.
func (h *Host) Post(_ int, fn func()) { fn() }

// Transaction is Tx, made from c when it is nil.
func (h *Host) Transaction(c *api.Ctx) (api.Transaction, error) {
	if c.Msg == nil || !c.Msg.IsRequest() || c.Msg.Method() == sip.ACK {
		return nil, errors.New("no transaction for this message")
	}
	if h.Tx == nil {
		h.Tx = NewTransaction(c)
	}
	c.Tx = h.Tx
	return h.Tx, nil
}

// Cancelled asks c's transaction.
func (h *Host) Cancelled(c *api.Ctx) bool { return c.Tx != nil && c.Tx.Cancelled() }

// Lookup is LookupTx.
func (h *Host) Lookup(*api.Ctx) api.Transaction {
	if h.LookupTx == nil {
		return nil
	}
	return h.LookupTx
}

// StatelessReply records a reply.
func (h *Host) StatelessReply(c *api.Ctx, code int, reason string, o *api.ReplyOptions) error {
	if h.SendErr != nil {
		return h.SendErr
	}
	if c.Msg.Method() == sip.ACK {
		return errors.New("an ACK is never answered")
	}
	record(h, &h.replies, Reply{Code: code, Reason: reason, Options: copyOptions(o)})
	c.Done |= actionOf(code)
	return nil
}

func actionOf(code int) api.Action {
	if code < 200 {
		return api.ActionProvision
	}
	return api.ActionReplied
}

func copyOptions(o *api.ReplyOptions) api.ReplyOptions {
	if o == nil {
		return api.ReplyOptions{}
	}
	return api.ReplyOptions{Headers: slices.Clone(o.Headers), ContentType: o.ContentType, Body: slices.Clone(o.Body)}
}

// StatelessForward records a request sent on.
func (h *Host) StatelessForward(c *api.Ctx, t *api.Target) error {
	if h.SendErr != nil {
		return h.SendErr
	}
	record(h, &h.forwards, Forward{Target: *t, Wire: string(c.Msg.Serialise(nil))})
	c.Done |= api.ActionRelayed
	return nil
}

// NewRequest records a request of our own.
func (h *Host) NewRequest(_ *api.Ctx, r *api.NewRequest) error {
	if h.SendErr != nil {
		return h.SendErr
	}
	record(h, &h.requests, *r)
	return nil
}

// IsMyself compares with the sockets, their advertised addresses and Mine.
func (h *Host) IsMyself(host string, port uint16, proto api.Proto) bool {
	bare := strings.Trim(host, "[]")
	if slices.ContainsFunc(h.Mine, func(m string) bool { return strings.EqualFold(m, host) }) {
		return true
	}
	for _, s := range h.Socks {
		if proto != api.ProtoAny && proto != s.Proto {
			continue
		}
		if s.Addr.Addr().String() == bare && (port == 0 || port == s.Addr.Port()) {
			return true
		}
		if strings.EqualFold(s.Host, host) && (port == 0 || port == s.Port) {
			return true
		}
	}
	return false
}

// Sockets are Socks.
func (h *Host) Sockets() []*api.Socket { return h.Socks }

// FindSocket reads "proto:ip:port", a tag, or "bond:NAME".
func (h *Host) FindSocket(s string) (*api.Socket, string, error) {
	if name, ok := strings.CutPrefix(s, "bond:"); ok {
		if _, ok := h.Bonds[name]; !ok {
			return nil, "", fmt.Errorf("no bond named %q", name)
		}
		return nil, name, nil
	}
	for _, k := range h.Socks {
		if k.Name == s || (k.Tag != "" && k.Tag == s) {
			return k, "", nil
		}
	}
	return nil, "", fmt.Errorf("no socket %q", s)
}

// BondHas looks in Bonds.
func (h *Host) BondHas(bond string, sock *api.Socket) bool {
	return slices.ContainsFunc(h.Bonds[bond], func(i int) bool { return h.Socks[i] == sock })
}

// CloseFlow records and answers whether Flows has f.
func (h *Host) CloseFlow(f api.Flow) bool {
	for addr, have := range h.Flows {
		if have == f {
			delete(h.Flows, addr)
			record(h, &h.closed, f)
			return true
		}
	}
	return false
}

// FlowTo looks in Flows by "ip:port".
func (h *Host) FlowTo(addr string) api.Flow { return h.Flows[addr] }

// Resolver is Names.
func (h *Host) Resolver() api.Resolver { return h.Names }

// FlagBit gives names bits in the order in which they are asked for.
func (h *Host) FlagBit(name string, branch bool) (int, error) {
	list := &h.flags[index(branch)]
	if i := slices.Index(*list, name); i >= 0 {
		return i, nil
	}
	if len(*list) == 64 {
		return 0, errors.New("64 flag names are in use")
	}
	*list = append(*list, name)
	return len(*list) - 1, nil
}

// FlagName is the inverse of FlagBit.
func (h *Host) FlagName(bit int, branch bool) string {
	if list := h.flags[index(branch)]; bit >= 0 && bit < len(list) {
		return list[bit]
	}
	return ""
}

func index(branch bool) int {
	if branch {
		return 1
	}
	return 0
}

// Log records.
func (h *Host) Log(_ *api.Ctx, level api.Level, msg string, fields ...api.Field) {
	record(h, &h.logs, Record{level, msg, fields})
}

// Setting reads Set.
func (h *Host) Setting(name string) any { return h.Set[name] }

// RaiseEvent records.
func (h *Host) RaiseEvent(name string, params map[string]any) {
	record(h, &h.events, RaisedEvent{name, params})
}
