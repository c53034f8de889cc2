package interop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/luasips/luasips/test/peers"
)

// What a bad cable does to each packet, as `tc qdisc add ... netem delay 10ms
// reorder 25% loss 5% duplicate 5%` would. It is done here and not by netem
// because many kernels are built without that.
const (
	cableLoss      = 0.05
	cableDuplicate = 0.05
	cableReorder   = 0.25 // goes out at once, before those that are delayed
	cableDelay     = 10 * time.Millisecond
)

// cable joins two network namespaces by a pair of TUN devices and carries the
// packets from one to the other, badly.
type cable struct {
	near, far     string // namespaces
	nearIP, farIP string // addresses of their ends
	ends          [2]*os.File
	wg            sync.WaitGroup
}

// namespaceName begins the names of namespaces; what one is for and the
// process's id follow.
const namespaceName = "luasips-"

// namespace makes a network namespace, with loopback up, until the test ends.
func namespace(t *testing.T, purpose string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatalf("network namespaces need root: run the tests as root, or this one by `sudo -E go test -run '^%s$' ./test/interop`", t.Name())
	}
	peers.RequireTool(t, "ip")
	sweep(t)
	ns := namespaceName + purpose + "-" + itoa(os.Getpid())
	command(t, "ip netns add "+ns)
	t.Cleanup(func() { command(t, "ip netns delete "+ns) })
	command(t, "ip -n "+ns+" link set lo up")
	return ns
}

// sweep removes namespaces of test processes that were killed.
func sweep(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob("/run/netns/" + namespaceName + "*-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		name := filepath.Base(path)
		if _, err := os.Stat("/proc/" + name[strings.LastIndexByte(name, '-')+1:]); os.IsNotExist(err) {
			_ = exec.Command("ip", "netns", "delete", name).Run() // another test may have done it
		}
	}
}

// newCable builds namespaces and cable until the test ends.
func newCable(t *testing.T) *cable {
	t.Helper()
	c := &cable{near: namespace(t, "near"), far: namespace(t, "far"), nearIP: "10.219.77.1", farIP: "10.219.77.2"}
	t.Cleanup(c.cut)
	for i, end := range []struct{ ns, ip string }{{c.near, c.nearIP}, {c.far, c.farIP}} {
		c.ends[i] = plug(t, end.ns, end.ip, fmt.Sprintf("ls%d%d", os.Getpid(), i))
	}
	for i := range c.ends {
		c.wg.Add(1)
		go c.carry(c.ends[i], c.ends[1-i], rand.New(rand.NewPCG(1, uint64(i)))) // ends with cut
	}
	return c
}

// plug makes a TUN device and moves it into a namespace, ready to use.
func plug(t *testing.T, ns, ip, name string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("/dev/net/tun: %v: the kernel needs CONFIG_TUN, a container the device", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		t.Fatalf("TUN device %s: %v", name, errors.Join(err, unix.Close(fd)))
	}
	f := os.NewFile(uintptr(fd), name) // now: before it has a device it would poll as broken
	command(t, fmt.Sprintf("ip link set dev %s netns %s", name, ns))
	command(t, fmt.Sprintf("ip -n %s addr add %s/30 dev %s", ns, ip, name))
	command(t, fmt.Sprintf("ip -n %s link set %s up", ns, name))
	return f
}

// carry takes packets from one end to the other until an end is closed.
func (c *cable) carry(from, to *os.File, chance *rand.Rand) {
	defer c.wg.Done()
	buf := make([]byte, 65536)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if chance.Float64() < cableLoss {
			continue
		}
		copies := 1
		if chance.Float64() < cableDuplicate {
			copies = 2
		}
		for range copies {
			packet := append([]byte(nil), buf[:n]...)
			delay := cableDelay
			if chance.Float64() < cableReorder {
				delay = 0
			}
			c.wg.Add(1)
			time.AfterFunc(delay, func() {
				defer c.wg.Done()
				_, _ = to.Write(packet) // a packet that does not fit is lost, as on any cable
			})
		}
	}
}

// cut ends it and waits for what is on its way.
func (c *cable) cut() {
	for _, f := range c.ends {
		if f != nil {
			_ = f.Close() // the device goes with its file
		}
	}
	c.wg.Wait()
}

// command runs one command without quoting to its end.
func command(t *testing.T, line string) {
	t.Helper()
	args := strings.Fields(line)
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
}
