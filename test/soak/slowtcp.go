package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/luasips/luasips/test/ua"
)

// slowBound is what the p99 of good calls may be beside bad peers.
const slowBound = 200 * time.Millisecond

// badPeer is one kind of bad peer. It must be gone within limit; talk returns nil
// or os.ErrDeadlineExceeded when it was not cut.
type badPeer struct {
	name   string
	number int
	limit  time.Duration
	talk   func(net.Conn) error
}

// badPeers are the kinds. A message has 4 s to arrive (tcp_max_msg_time); a peer
// that does not read has 5 s (tcp_send_timeout), once the buffers of both systems
// are full, which takes some seconds more.
func badPeers() []badPeer {
	return []badPeer{
		{"drip a byte a second", 200, 6 * time.Second, drip},
		{"stop inside a message", 200, 6 * time.Second, halfOpen},
		{"never read", 2, 15 * time.Second, neverRead},
	}
}

// slowTCP opens bad peers and runs good calls meanwhile.
func slowTCP(r *run) error {
	s, err := start(r.dir, script("", plainScript))
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	callee, err := newCallee()
	if err != nil {
		return err
	}
	defer callee.Close()
	bad := badPeers()
	cuts := make([]chan cut, len(bad))
	for i, b := range bad {
		cuts[i] = make(chan cut, b.number)
		for range b.number {
			go func() { cuts[i] <- b.open(s.addr) }() // ends when cut, at the latest after its deadlines
		}
	}
	var failed error
	for _, over := range []string{"", "tcp"} {
		l := ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: 300, Calls: 3000, Prefix: "good" + over, Over: over}
		res, err := load(l)
		if err != nil {
			return err
		}
		r.say("300 good calls/s beside them over %s: %v", map[string]string{"": "UDP", "tcp": "TCP"}[over], res)
		if res.Done != l.Calls || res.Percentile(0.99) > slowBound {
			failed = errors.Join(failed, errors.New("good calls were hurt"))
		}
	}
	for i, b := range bad {
		failed = errors.Join(failed, b.judge(r, cuts[i]))
	}
	return failed
}

// cut is how a bad peer ended: after how long, or what went wrong instead.
type cut struct {
	after time.Duration
	err   error
}

// judge collects the ends of one kind.
func (b badPeer) judge(r *run, cuts <-chan cut) error {
	var after []time.Duration
	var failed error
	for range b.number {
		c := <-cuts
		if c.err != nil {
			failed = fmt.Errorf("of the peers that %s %w", b.name, c.err)
			continue
		}
		after = append(after, c.after)
	}
	if len(after) == 0 {
		return failed
	}
	slices.Sort(after)
	last := after[len(after)-1]
	r.say("%d of %d peers that %s: cut after %v to %v", len(after), b.number, b.name,
		after[0].Round(10*time.Millisecond), last.Round(10*time.Millisecond))
	if last > b.limit {
		failed = errors.Join(failed, fmt.Errorf("of the peers that %s one lived for %v, longer than %v", b.name, last, b.limit))
	}
	return failed
}

func (b badPeer) open(addr netip.AddrPort) cut {
	c, err := dialSmall(addr)
	if err != nil {
		return cut{err: err}
	}
	defer c.Close()
	begin := time.Now()
	if err := b.talk(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return cut{err: errors.New("one was not cut")}
	}
	return cut{after: time.Since(begin)}
}

// dialSmall connects with a small receive buffer, set before the connection is
// made: set later, it makes the system drop the proxy's acknowledgements as well.
func dialSmall(addr netip.AddrPort) (net.Conn, error) {
	small := func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(failed, err)
	}
	d := net.Dialer{Control: small}
	return d.Dial("tcp", addr.String())
}

const slowRequest = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"

// drip sends a byte a second until the connection is closed under it.
func drip(c net.Conn) error {
	for i := range 15 {
		if _, err := c.Write([]byte{slowRequest[i]}); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// halfOpen sends part of a message and waits.
func halfOpen(c net.Conn) error {
	if _, err := io.WriteString(c, slowRequest); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// neverRead sends up to 5,000 requests a second whose answers it does not take.
func neverRead(c net.Conn) error {
	for i := range 100000 {
		if i%25 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
		if err := c.SetWriteDeadline(time.Now().Add(15 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c, "%sTo: <sip:a@b>;tag=x\r\nCall-ID: never%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", slowRequest, i); err != nil {
			return err
		}
	}
	return nil
}
