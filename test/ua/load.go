package ua

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// Callee answers every INVITE with 180 and 200 at once, and BYE with 200, until
// it is closed.
type Callee struct {
	conn    *Conn
	ended   chan struct{}
	Invites atomic.Int64 // INVITEs received, repeated ones included
	Byes    atomic.Int64
	mu      sync.Mutex
	seen    map[string]int // INVITEs by top Via branch
	Status  int            // final reply; 0 is 200
}

// NewCallee starts one on addr.
func NewCallee(addr netip.AddrPort) (*Callee, error) {
	conn, err := Listen(addr)
	if err != nil {
		return nil, err
	}
	c := &Callee{conn: conn, ended: make(chan struct{}), seen: map[string]int{}}
	go c.serve() // ends with Close
	return c, nil
}

// Addr is where it listens.
func (c *Callee) Addr() netip.AddrPort { return c.conn.Addr() }

// Close ends it.
func (c *Callee) Close() {
	c.conn.Close()
	<-c.ended
}

func (c *Callee) serve() {
	defer close(c.ended)
	for {
		m, err := c.conn.Receive(time.Minute)
		if err != nil {
			return
		}
		if m == nil || !m.IsRequest() {
			continue
		}
		if err := c.answer(m); err != nil {
			return
		}
	}
}

func (c *Callee) answer(m *sip.Message) error {
	v, err := m.Via()
	if err != nil {
		return err
	}
	to := netip.AddrPortFrom(c.conn.addr.Addr(), v.Port)
	if a, err := netip.ParseAddr(string(v.Host)); err == nil {
		to = netip.AddrPortFrom(a, v.Port)
	}
	switch m.Method() {
	case sip.INVITE:
		c.Invites.Add(1)
		c.mu.Lock()
		c.seen[string(v.Branch)]++
		c.mu.Unlock()
		if err := c.conn.Send(to, Reply(m, 180, "b", c.conn.addr)); err != nil {
			return err
		}
		code := 200
		if c.Status != 0 {
			code = c.Status
		}
		return c.conn.Send(to, Reply(m, code, "b", c.conn.addr))
	case sip.ACK:
		return nil
	case sip.BYE:
		c.Byes.Add(1)
	}
	return c.conn.Send(to, Reply(m, 200, "b", c.conn.addr))
}

// Transactions is how many different INVITE branches were seen.
func (c *Callee) Transactions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// Load makes calls at a steady rate and measures them.
type Load struct {
	Proxy, Callee netip.AddrPort
	Rate          float64 // calls per second
	Calls         int
	Prefix        string        // of Call-IDs
	Wait          time.Duration // for what is still open at the end; 0 is 5 s
	Resend        bool          // resend INVITE and BYE at 0.5, 1, 2 s as RFC 3261 wants
	User          string        // user part of the request URI; "" is "callee"
	Over          string        // "tcp" for a caller that is a Stream; the callee is called over UDP
}

// Agent sends and receives SIP: a Conn or a Stream.
type Agent interface {
	Addr() netip.AddrPort
	Send(to netip.AddrPort, msg []byte) error
	Receive(d time.Duration) (*sip.Message, error)
}

// Result is what a Load saw.
type Result struct {
	Done    int             // calls that were answered 200 and whose BYE was
	Refused map[int]int     // by final reply to the INVITE
	ByeFail map[int]int     // by final reply to the BYE
	Open    int             // no final reply
	Setup   []time.Duration // INVITE to 200, sorted
}

// Percentile is the setup time that p (0 to 1) of the calls did not exceed; 0
// without any.
func (r *Result) Percentile(p float64) time.Duration {
	if len(r.Setup) == 0 {
		return 0
	}
	return r.Setup[min(int(p*float64(len(r.Setup))), len(r.Setup)-1)]
}

// String is one line for people.
func (r *Result) String() string {
	return fmt.Sprintf("%d done, %d open, refused %v, BYE failed %v, setup p50 %v p99 %v", r.Done, r.Open, r.Refused, r.ByeFail,
		r.Percentile(0.5).Round(10*time.Microsecond), r.Percentile(0.99).Round(10*time.Microsecond))
}

// loadCall is one call of a Load.
type loadCall struct {
	Call
	sent     time.Time
	last     []byte // for resending
	due      time.Time
	wait     time.Duration
	answered bool
}

// Run makes the calls from conn and returns when all have ended or Wait has
// passed.
func (l *Load) Run(conn Agent) (*Result, error) {
	r := &Result{Refused: map[int]int{}, ByeFail: map[int]int{}}
	open := map[string]*loadCall{}
	start, started := time.Now(), 0
	wait := l.Wait
	if wait == 0 {
		wait = 5 * time.Second
	}
	var end time.Time
	for started < l.Calls || len(open) > 0 {
		now := time.Now()
		for started < l.Calls && now.Sub(start).Seconds()*l.Rate >= float64(started) {
			c := l.call(conn, started)
			open[c.ID] = c
			started++
			if err := conn.Send(l.Proxy, c.last); err != nil {
				return nil, err
			}
		}
		if started == l.Calls {
			if end.IsZero() {
				end = now.Add(wait)
			}
			if now.After(end) {
				break
			}
		}
		if l.Resend {
			if err := l.resend(conn, open, now); err != nil {
				return nil, err
			}
		}
		m, err := conn.Receive(2 * time.Millisecond)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		if c := open[string(m.CallID())]; c != nil {
			if err := l.step(conn, c, m, r, open); err != nil {
				return nil, err
			}
		}
	}
	r.Open = len(open)
	slices.Sort(r.Setup)
	return r, nil
}

func (l *Load) call(conn Agent, n int) *loadCall {
	c := &loadCall{Call: Call{ID: fmt.Sprintf("%s-%d", l.Prefix, n), From: conn.Addr(), To: l.Callee, Over: l.Over}, sent: time.Now()}
	if user := cmp.Or(l.User, "callee"); l.User != "" || l.Over != "" {
		c.target = fmt.Sprintf("sip:%s@%s", user, l.Callee)
	}
	c.hold(c.Request("INVITE", 1, c.ID+"i"))
	return c
}

// hold keeps a request for resending.
func (c *loadCall) hold(msg []byte) {
	c.last, c.wait = msg, 500*time.Millisecond
	c.due = time.Now().Add(c.wait)
}

func (l *Load) resend(conn Agent, open map[string]*loadCall, now time.Time) error {
	for _, c := range open {
		if c.last == nil || now.Before(c.due) {
			continue
		}
		c.wait = min(2*c.wait, 4*time.Second)
		c.due = now.Add(c.wait)
		if err := conn.Send(l.Proxy, c.last); err != nil {
			return err
		}
	}
	return nil
}

func (l *Load) step(conn Agent, c *loadCall, m *sip.Message, r *Result, open map[string]*loadCall) error {
	cseq, err := m.CSeq()
	if err != nil || m.IsRequest() {
		return err
	}
	code := m.StatusCode()
	switch {
	case cseq.Method == sip.BYE && code >= 200:
		if code == 200 {
			r.Done++
		} else {
			r.ByeFail[code]++
		}
		delete(open, c.ID)
	case cseq.Method != sip.INVITE:
	case code < 200:
		if !c.answered {
			c.last = nil // RFC 3261 §17.1.1.2: a provisional stops resending
		}
	case code >= 300:
		r.Refused[code]++
		delete(open, c.ID)
		c.Learn(m)
		c.routes, c.target = "", ""
		return conn.Send(l.Proxy, c.Request("ACK", 1, c.ID+"i"))
	case c.answered:
		return conn.Send(l.Proxy, c.Request("ACK", 1, c.ID+"a"))
	default:
		c.answered = true
		r.Setup = append(r.Setup, time.Since(c.sent))
		c.Learn(m)
		if err := conn.Send(l.Proxy, c.Request("ACK", 1, c.ID+"a")); err != nil {
			return err
		}
		c.hold(c.Request("BYE", 2, c.ID+"b"))
		return conn.Send(l.Proxy, c.last)
	}
	return nil
}
