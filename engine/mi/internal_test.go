package mi

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// pipes is a listener whose only connection is a pipe: nothing is taken from it
// that the peer does not read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// TestNeverReadingCaller: a caller that does not take its answer is cut, and
// holds nothing any more.
func TestNeverReadingCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		ln := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		ln.conns <- there
		s := New()
		s.ln = ln
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		const call = `{"jsonrpc":"2.0","method":"which"}`
		if _, err := io.WriteString(here, "POST /mi HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n"+call); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()                                      // the answer is being written
		if err := s.http.Shutdown(t.Context()); err != nil { // waits for it
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n, err := here.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes of the answer were still there", n)
		}
	})
}
