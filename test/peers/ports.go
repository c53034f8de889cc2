package peers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Leased ports lie under the kernel's ephemeral range (32768 and up), so that
// no outgoing connection takes one between the lease and its use.
const (
	firstPort = 12000
	lastPort  = 31999
)

// PortLease holds one loopback port, free for UDP and TCP, against every other
// lease on this machine.
type PortLease struct {
	Port int
	lock *os.File
}

// LeasePort finds a port that nothing listens on and locks it by a file in the
// temporary directory, so that test processes running side by side never get
// the same one. Release it when done.
func LeasePort() (*PortLease, error) {
	dir := filepath.Join(os.TempDir(), "luasips-test-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("port leases: %w", err)
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if portFree(port) {
			return &PortLease{Port: port, lock: lock}, nil
		}
		lock.Close()
	}
	return nil, errors.New("port leases: no free loopback port after 1000 tries")
}

// Release gives the port back.
func (l *PortLease) Release() { l.lock.Close() }

// Port leases a port until the test ends.
func Port(tb testing.TB) int {
	tb.Helper()
	lease, err := LeasePort()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(lease.Release)
	return lease.Port
}

// lockFile opens path and takes an exclusive lock, which closing the file ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// portFree tells whether port can be bound for UDP and TCP on every address. No
// process is started meanwhile: until it runs its program it would hold a copy of
// the sockets, and so the port, after they are closed here.
func portFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return false
	}
	defer udp.Close()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return false
	}
	tcp.Close()
	return true
}
