package enginetest

import (
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
)

// wireLink is a UDP port in memory.
type wireLink struct{ *transport.WirePort }

func (l wireLink) send(to netip.AddrPort, b []byte) error {
	l.Send(to, b)
	return nil
}

func (l wireLink) recv(d time.Duration) ([]byte, netip.AddrPort, error) {
	g, err := l.Recv(d)
	return g.Data, g.From, err
}

// udpLink is a UDP socket of the system.
type udpLink struct {
	*net.UDPConn
	buf []byte
}

func (l *udpLink) send(to netip.AddrPort, b []byte) error {
	_, err := l.WriteToUDPAddrPort(b, to)
	return err
}

func (l *udpLink) recv(d time.Duration) ([]byte, netip.AddrPort, error) {
	if err := l.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, netip.AddrPort{}, err
	}
	n, from, err := l.ReadFromUDPAddrPort(l.buf)
	if err != nil {
		return nil, from, err
	}
	return append([]byte(nil), l.buf[:n]...), from, nil
}

// streamLink is a connection, in memory or not.
type streamLink struct {
	conn  net.Conn
	buf   []byte
	state sip.FrameState
}

func (l *streamLink) Close() error { return l.conn.Close() }

func (l *streamLink) send(_ netip.AddrPort, b []byte) error {
	_, err := l.conn.Write(b)
	return err
}

func (l *streamLink) recv(d time.Duration) ([]byte, netip.AddrPort, error) {
	from := l.conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	if err := l.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, from, err
	}
	chunk, lim := make([]byte, 4096), sip.DefaultLimits()
	for {
		skip, n, _, err := sip.Frame(l.buf, &lim, &l.state)
		if err != nil {
			return nil, from, err
		}
		if n > 0 {
			m := append([]byte(nil), l.buf[skip:skip+n]...)
			l.buf = l.buf[skip+n:]
			return m, from, nil
		}
		l.buf = l.buf[skip:]
		k, err := l.conn.Read(chunk)
		l.buf = append(l.buf, chunk[:k]...)
		if k == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, from, err
		}
	}
}
