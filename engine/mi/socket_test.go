package mi_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/luasips/luasips/engine/mi"
)

// TestSocketIsPrivateFromTheStart: no moment in which another user could connect.
func TestSocketIsPrivateFromTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mi.sock")
	var done atomic.Bool
	seen := make(chan os.FileMode, 1)
	go func() {
		defer close(seen)
		for !done.Load() {
			if st, err := os.Lstat(path); err == nil && st.Mode().Perm() != 0o600 {
				seen <- st.Mode().Perm()
				return
			}
		}
	}()
	for range 300 {
		s := mi.New()
		if err := s.Listen(path); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(t.Context()), removed(path)); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	if mode, ok := <-seen; ok {
		t.Errorf("mode %v for a while, want 0600", mode)
	}
}

// removed removes what a server that never served leaves.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// TestStaleSocketIsReplaced: its program died without removing it.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mi.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s := mi.New()
	if err := s.Listen(path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(t.Context()), removed(path)); err != nil {
		t.Error(err)
	}
}

// TestBusyProgramKeepsItsSocket: one that does not come round to accepting is no
// stale one.
func TestBusyProgramKeepsItsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mi.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); err != nil && !full {
			t.Fatal(err)
		}
		if c != nil {
			defer c.Close()
		}
	}
	if err := mi.New().Listen(path); !errors.Is(err, mi.ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("its socket is gone: %v", err)
	}
}

// TestCloseLeavesTheNextProgramsSocket: while one program waits for its last
// command, the next one listens already.
func TestCloseLeavesTheNextProgramsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mi.sock")
	first, second := mi.New(), mi.New()
	began, release := make(chan struct{}), make(chan struct{})
	first.Handle("wait", func(context.Context, mi.Params) (any, error) {
		close(began)
		<-release
		return nil, nil
	})
	served := make(chan error, 1)
	if err := first.Listen(path); err != nil {
		t.Fatal(err)
	}
	go func() { served <- first.Serve() }()
	answered, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := mi.Call(context.Background(), path, "wait", nil)
		answered <- err
	}()
	<-began
	go func() { closed <- first.Close(context.Background()) }()
	if err := <-served; err != nil { // the listener is closed
		t.Fatal(err)
	}
	if err := second.Listen(path); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := errors.Join(<-answered, <-closed); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second program's socket is gone: %v", err)
	}
	if err := errors.Join(second.Close(t.Context()), removed(path)); err != nil {
		t.Error(err)
	}
}
