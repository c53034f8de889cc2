package transport

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
