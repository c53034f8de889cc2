package transport_test

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/transport"
)

// held is a manager whose sources the benchmark reads itself.
func held(b *testing.B, listen string) (*holdback, *transport.Manager) {
	b.Helper()
	h := &holdback{host: newHost(b)}
	m, err := transport.Listen(transport.Config{Sockets: sockets(listen)}, h)
	if err != nil {
		b.Fatal(err)
	}
	m.Start()
	b.Cleanup(func() { stop(b, h.host, m) })
	return h, m
}

// BenchmarkUDPLoop sends a message over loopback and reads it: alone, and as
// one of a full batch. The figure is per message.
func BenchmarkUDPLoop(b *testing.B) {
	for _, bc := range []struct {
		name string
		size int
	}{{"1", 1}, {"4", 4}, {"32", 32}} {
		b.Run(bc.name, func(b *testing.B) {
			h, m := held(b, "udp:127.0.0.1:0")
			src, batch, o := h.sources[0], transport.NewBatch(), m.NewOutbox(0)
			to := api.Dest{Proto: api.ProtoUDP, Addr: m.Sockets()[0].Addr}
			msg := make([]byte, 600)
			msg[0] = 'x'
			b.ReportAllocs()
			for i := 0; i < b.N; i += bc.size {
				for range bc.size {
					if err := o.Send(to, append(o.Buffer(), msg...), nil); err != nil {
						b.Fatal(err)
					}
				}
				o.Flush()
				for n := 0; n < bc.size; n += batch.N {
					if err := src.Read(batch); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkTCPWrite hands messages to a connection whose peer reads: one a
// flush, and eight.
func BenchmarkTCPWrite(b *testing.B) {
	for _, bc := range []struct {
		name string
		size int
	}{{"1", 1}, {"8", 8}} {
		b.Run(bc.name, func(b *testing.B) {
			h := newHost(b)
			m := start(b, h, transport.Config{Sockets: sockets("tcp:127.0.0.1:0"), TCP: transport.TCP{WriteQueueBytes: 64 << 20}})
			peer := listen(b, "127.0.0.1:0")
			o := m.NewOutbox(0)
			to := api.Dest{Proto: api.ProtoTCP, Addr: peer.addr}
			send(b, o, to, "first", nil)
			o.Flush()
			c := peer.accept(b)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = io.Copy(io.Discard, struct{ net.Conn }{c})
			}()
			msg := make([]byte, 600)
			b.ReportAllocs()
			for i := 0; i < b.N; i += bc.size {
				for range bc.size {
					if err := o.Send(to, append(o.Buffer(), msg...), nil); err != nil {
						b.Fatal(err)
					}
				}
				o.Flush()
			}
			b.StopTimer()
			m.CloseFlow(m.FlowTo(peer.addr.String()))
			<-done
		})
	}
}

// BenchmarkTCPRead reads messages that come pipelined.
func BenchmarkTCPRead(b *testing.B) {
	h := &holdback{host: newHost(b), ch: make(chan transport.ReadSource, 1)}
	m, err := transport.Listen(transport.Config{Sockets: sockets("tcp:127.0.0.1:0")}, h)
	if err != nil {
		b.Fatal(err)
	}
	m.Start()
	defer stop(b, h.host, m)
	c := dial(b, m.Sockets()[0])
	go func() {
		eight := ""
		for i := range 8 {
			eight += request(i)
		}
		for {
			if _, err := io.WriteString(c, eight); err != nil {
				return
			}
		}
	}()
	src, batch := <-h.ch, transport.NewBatch()
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += batch.N {
		if err := src.Read(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	_ = c.Close()
}

// BenchmarkIdleConnection reports what one accepted connection costs while its
// peer is silent, its goroutine's stack included, the kernel's part and the
// test's own end of it excluded.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 1000
	for b.Loop() {
		h := newHost(b)
		m, err := transport.Listen(transport.Config{Sockets: sockets("tcp:127.0.0.1:0"), TCP: transport.TCP{MaxConns: conns}}, h)
		if err != nil {
			b.Fatal(err)
		}
		ends := make([]*net.TCPConn, conns)
		for i := range ends[:100] {
			ends[i] = dial(b, m.Sockets()[0]) // fills the backlog
		}
		m.Start()
		for i := range ends[100:] {
			ends[100+i] = dial(b, m.Sockets()[0])
		}
		for _, c := range ends {
			write(b, c, request(1))
			h.next()
		}
		with := memory()
		stop(b, h, m)
		b.ReportMetric(float64(with-memory())/conns, "B/conn")
		for _, c := range ends {
			_ = c.Close()
		}
	}
}

func memory() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc + s.StackInuse)
}
