package transport

import (
	"context"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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
		var sc syscall.Conn
		if b.ln != nil {
			sc = b.ln.(*net.TCPListener)
		} else {
			sc = b.ports[0].(*udpPort).conn
		}
		raw, err := sc.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		level, opt := unix.IPPROTO_IP, unix.IP_TOS
		if b.sock.Addr.Addr().Is6() {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		got := 0
		err = control(raw, func(fd int) (err error) {
			got, err = unix.GetsockoptInt(fd, level, opt)
			return err
		})
		if err != nil || got != 0x68 {
			t.Errorf("%s has TOS %#x, %v", b.sock.Name, got, err)
		}
	}
	if err := m.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
