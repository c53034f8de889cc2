package ua

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/luasips/luasips/engine/sip"
)

// Stream speaks SIP over TCP as Conn does over UDP. It listens, opens one
// connection to each address that it sends requests to, and answers a request
// on the connection that brought it. Sending and receiving are each for one
// goroutine at a time.
type Stream struct {
	listener net.Listener
	addr     netip.AddrPort
	in       chan inbound
	stop     chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	dialed map[netip.AddrPort]net.Conn
	asked  map[string]net.Conn // where a request came from, by its top branch
}

// inbound is a message or what ended a connection.
type inbound struct {
	msg *sip.Message
	err error
}

// ListenStream opens one on addr, port 0 for a free one.
func ListenStream(addr netip.AddrPort) (*Stream, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	s := &Stream{listener: l, addr: l.Addr().(*net.TCPAddr).AddrPort(), in: make(chan inbound, 1024), stop: make(chan struct{}),
		conns: map[net.Conn]bool{}, dialed: map[netip.AddrPort]net.Conn{}, asked: map[string]net.Conn{}}
	s.wg.Add(1)
	go s.accept() // ends with Close
	return s, nil
}

// Addr is where it listens.
func (s *Stream) Addr() netip.AddrPort { return s.addr }

// Close closes the listener and every connection.
func (s *Stream) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	close(s.stop)
	for c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

func (s *Stream) accept() {
	defer s.wg.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil || !s.keep(c) {
			return // closed
		}
	}
}

// keep reads from a connection until it ends; false when s is closed.
func (s *Stream) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
		_ = c.Close() // nobody is left to read from it
		return false
	default:
	}
	s.conns[c] = true
	s.wg.Add(1)
	go s.read(c) // ends when c is closed
	return true
}

func (s *Stream) read(c net.Conn) {
	defer s.wg.Done()
	r := bufio.NewReader(c)
	for {
		m, err := next(r)
		if m != nil && m.IsRequest() {
			s.remember(m, c)
		}
		if err == nil || !errors.Is(err, io.EOF) {
			select {
			case s.in <- inbound{m, err}:
			case <-s.stop:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// remember notes the connection that a request came on.
func (s *Stream) remember(m *sip.Message, c net.Conn) {
	if v, err := m.Via(); err == nil {
		s.mu.Lock()
		s.asked[string(v.Branch)] = c
		s.mu.Unlock()
	}
}

// next reads one message; keep-alives between messages are passed over.
func next(r *bufio.Reader) (*sip.Message, error) {
	var head []byte
	size := 0
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if len(head) == 0 && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		head = append(head, line...)
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if name, v, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return nil, err
			}
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	m, lim := new(sip.Message), sip.DefaultLimits()
	if err := m.ParseDatagram(append(head, body...), &lim); err != nil {
		return nil, fmt.Errorf("a message that does not parse: %w\n%s", err, head)
	}
	return m, nil
}

// Send sends one message: a request to the peer that listens at to, a response
// on the connection that brought its request.
func (s *Stream) Send(to netip.AddrPort, msg []byte) error {
	c, err := s.connection(to, msg)
	if err != nil {
		return err
	}
	_, err = c.Write(msg)
	return err
}

func (s *Stream) connection(to netip.AddrPort, msg []byte) (net.Conn, error) {
	if bytes.HasPrefix(msg, []byte("SIP/2.0 ")) {
		m, lim := new(sip.Message), sip.DefaultLimits()
		if err := m.ParseDatagram(msg, &lim); err != nil {
			return nil, err
		}
		v, err := m.Via()
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.asked[string(v.Branch)]; c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("no request with branch %s has come", v.Branch)
	}
	if c := s.dialed[to]; c != nil {
		return c, nil
	}
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		return nil, err
	}
	if !s.keep(c) {
		return nil, net.ErrClosed
	}
	s.dialed[to] = c
	return c, nil
}

// Receive is the next message of any connection; nil without an error when none
// came within d.
func (s *Stream) Receive(d time.Duration) (*sip.Message, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case i := <-s.in:
		return i.msg, i.err
	case <-s.stop:
		return nil, net.ErrClosed
	case <-timer.C:
		return nil, nil
	}
}
