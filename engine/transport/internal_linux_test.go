package transport

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/luasips/luasips/engine/api"
)

func controlled(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, f)
}

func TestTOSAndBacklog(t *testing.T) {
	h := &plainHost{served: make(chan ReadSource, 8)}
	var specs []SocketSpec
	for _, l := range []string{"udp:127.0.0.1:0", "udp:[::1]:0", "tcp:127.0.0.1:0", "tcp:[::1]:0"} {
		specs = append(specs, SocketSpec{Listen: l, TOS: 0x68})
	}
	m, err := Listen(Config{Sockets: specs, TCP: TCP{Backlog: 7, NoKeepAlive: true}}, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range m.bindings {
		level, opt := unix.IPPROTO_IP, unix.IP_TOS
		if b.sock.Addr.Addr().Is6() {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		got := 0
		read := func(fd int) (err error) {
			got, err = unix.GetsockoptInt(fd, level, opt)
			return err
		}
		var err error
		if b.ln == nil {
			err = read(int(b.ports[0].(*udpPort).io.(*batchIO).fd))
		} else {
			err = controlled(b.ln.(*net.TCPListener), read)
		}
		if err != nil || got != 0x68 {
			t.Errorf("%s has TOS %#x, %v", b.sock.Name, got, err)
		}
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestGather: datagrams that come fast are read many at a time; what comes when
// they have stopped is read at once, without a sleep before it.
func TestGather(t *testing.T) {
	h := &plainHost{served: make(chan ReadSource, 8)}
	m, err := Listen(Config{Sockets: []SocketSpec{{Listen: "udp:127.0.0.1:0"}}, Gather: 20 * time.Millisecond}, h)
	if err != nil {
		t.Fatal(err)
	}
	p, o := m.bindings[0].ports[0].(*udpPort), m.NewOutbox(0)
	s := p.io.(*batchIO)
	send := func(n int) {
		for range n {
			if err := o.Send(api.Dest{Proto: api.ProtoUDP, Addr: m.sockets[0].Addr}, []byte("x"), nil); err != nil {
				t.Fatal(err)
			}
		}
		o.Flush()
	}
	b := NewBatch()
	read := func(want int) {
		t.Helper()
		for got := 0; got < want; got += b.N {
			if err := p.Read(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for !s.deaf { // until it has found the pace
		send(5)
		read(5)
	}
	send(20)
	if err := p.Read(b); err != nil || b.N != 20 {
		t.Errorf("%d datagrams read, %v, want the 20 that gathered", b.N, err)
	}
	late := time.AfterFunc(3*paceWindow, func() { send(1) })
	read(1) // one sleep in vain, then it listens again
	late.Stop()
	if s.deaf || s.pace.brings(gatherMin, s.gather) {
		t.Error("it goes on gathering though nothing comes")
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Read(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("behind the end: %v", err)
	}
}
