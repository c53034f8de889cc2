package interop_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/test/peers"
	"github.com/luasips/luasips/test/ua"
)

const (
	lossyCalls = 300
	lossyRate  = 30 // calls a second
	// lossyWait is the time for the last calls: Timer B and F are 32 s.
	lossyWait = 32 * time.Second
)

// TestFaultsNetem makes calls over a link that loses, doubles and reorders
// packets both ways: all complete, and the callee sees one INVITE transaction
// for each. SIPp cannot be a phone here: it gives a call up when messages come
// in another order than its scenario has.
func TestFaultsNetem(t *testing.T) {
	t.Parallel()
	c := newCable(t)
	c.startProxy(t)
	caller, callee := c.listen(t), c.listen(t)
	answered := make(chan error, 1)
	transactions := map[string]map[string]int{}
	go func() { answered <- answerForSure(callee, c.proxy(), transactions) }() // ends when callee is closed
	load := ua.Load{Proxy: c.proxy(), Callee: callee.Addr(), Calls: lossyCalls, Rate: lossyRate, Prefix: "lossy", Wait: lossyWait, Resend: true}
	r, err := load.Run(caller)
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != lossyCalls || len(r.Refused)+len(r.ByeFail)+r.Open != 0 {
		t.Errorf("of %d calls: %v", lossyCalls, r)
	}
	if err := callee.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	checkOneTransactionEach(t, transactions)
}

// checkOneTransactionEach takes the branches that the callee saw of each call,
// with how often it saw them: one each, some of them repeated.
func checkOneTransactionEach(t *testing.T, transactions map[string]map[string]int) {
	t.Helper()
	repeated := 0
	for id, branches := range transactions {
		if len(branches) != 1 {
			t.Errorf("call %s reached the callee as %d transactions: %v", id, len(branches), branches)
		}
		for _, n := range branches {
			repeated += n - 1
		}
	}
	if len(transactions) != lossyCalls {
		t.Errorf("the callee saw %d calls, want %d", len(transactions), lossyCalls)
	}
	if repeated == 0 {
		t.Error("no INVITE came twice: the link is too good")
	}
}

// unanswered is a 200 that waits for its ACK.
type unanswered struct {
	ok   []byte
	due  time.Time
	wait time.Duration
}

// answerForSure is a callee that sends each 200 again until the ACK, or the BYE,
// has come (RFC 3261 §13.3.1.4), until u is closed. It notes the branches of
// each call's INVITE.
func answerForSure(u *ua.Conn, proxy netip.AddrPort, transactions map[string]map[string]int) error {
	open := map[string]*unanswered{} // by Call-ID
	for {
		m, err := u.Receive(20 * time.Millisecond)
		if err != nil {
			return nil // closed
		}
		if m != nil && m.IsRequest() {
			if err := answerOnce(u, proxy, m, open, transactions); err != nil {
				return err
			}
		}
		for _, w := range open {
			if time.Now().Before(w.due) {
				continue
			}
			w.wait = min(2*w.wait, 4*time.Second)
			w.due = time.Now().Add(w.wait)
			if err := u.Send(proxy, w.ok); err != nil {
				return nil // closed
			}
		}
	}
}

func answerOnce(u *ua.Conn, proxy netip.AddrPort, m *sip.Message, open map[string]*unanswered, transactions map[string]map[string]int) error {
	id := string(m.CallID())
	switch m.Method() {
	case sip.INVITE:
		via, err := m.Via()
		if err != nil {
			return err
		}
		if transactions[id] == nil {
			transactions[id] = map[string]int{}
			open[id] = &unanswered{ok: ua.Reply(m, 200, "b", u.Addr()), due: time.Now().Add(time.Second / 2), wait: time.Second / 2}
			_ = u.Send(proxy, ua.Reply(m, 180, "b", u.Addr())) // a lost one is no fault
		}
		transactions[id][string(via.Branch)]++
		if w := open[id]; w != nil {
			_ = u.Send(proxy, w.ok) // will be sent again
		}
	case sip.ACK:
		delete(open, id)
	case sip.BYE:
		delete(open, id)
		_ = u.Send(proxy, ua.Reply(m, 200, "", u.Addr())) // the BYE will come again
	}
	return nil
}

// proxy is where the proxy at the near end listens.
func (c *cable) proxy() netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(c.nearIP), 5060)
}

// listen opens a socket at the far end until the test ends.
func (c *cable) listen(t *testing.T) *ua.Conn {
	t.Helper()
	var u *ua.Conn
	err := within(c.far, func() (err error) {
		u, err = ua.Listen(netip.AddrPortFrom(netip.MustParseAddr(c.farIP), 0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() }) // the test may have closed it
	return u
}

// within runs f in a network namespace and comes back to its own.
func within(ns string, f func() error) error {
	runtime.LockOSThread()
	own, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(own)
	other, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(other)
	if err := unix.Setns(other, unix.CLONE_NEWNET); err != nil {
		return err
	}
	failed := f()
	if err := unix.Setns(own, unix.CLONE_NEWNET); err != nil {
		return errors.Join(failed, err) // the thread stays locked: nobody else shall run on it
	}
	runtime.UnlockOSThread()
	return failed
}

// startProxy runs proxy.lua at the near end until the test ends.
func (c *cable) startProxy(t *testing.T) {
	t.Helper()
	bin, err := peers.BuildLuasips()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.lua")
	text := strings.ReplaceAll(example(t, "proxy", nil), "127.0.0.1:{port}", c.proxy().String())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := peers.StartProcess(peers.Command{Name: "luasips", Dir: dir,
		Args: []string{"ip", "netns", "exec", c.near, bin, "run", "-f", path, "--no-control"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop(patience)
		if t.Failed() {
			t.Logf("luasips printed:\n%s", p.Log())
		}
	})
	if err := p.WaitFor("readiness", patience, func() bool { return strings.Contains(p.Log(), `"msg":"ready"`) }); err != nil {
		t.Fatal(err)
	}
}
