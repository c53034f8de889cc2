package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/luasips/luasips/test/ua"
)

// slowBound is what the p99 of good calls may be beside bad peers.
const slowBound = 200 * time.Millisecond

// slowTCP opens peers that drip, that stay silent inside a message and that
// never read, and runs good calls meanwhile.
func slowTCP(dir string) error {
	s, err := start(dir, script("", plainScript))
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	callee, err := ua.NewCallee(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	defer callee.Close()
	const each = 200
	cut := make(chan time.Duration, 3*each)
	for i := range each {
		go peer(s.addr, cut, drip)
		go peer(s.addr, cut, halfOpen)
		if i%100 == 0 {
			go peer(s.addr, cut, neverRead)
		}
	}
	r, err := load(ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: 300, Calls: 3000, Prefix: "good"})
	if err != nil {
		return err
	}
	fmt.Println("   good calls beside them:", r)
	n, latest := 0, time.Duration(0)
	for deadline := time.After(20 * time.Second); n < 2*each; {
		select {
		case d := <-cut:
			n++
			latest = max(latest, d)
		case <-deadline:
			return fmt.Errorf("%d of %d slow peers were cut", n, 2*each)
		}
	}
	fmt.Printf("   %d peers cut, the last after %v\n", n, latest.Round(10*time.Millisecond))
	if r.Done != 3000 || r.Percentile(0.99) > slowBound {
		return fmt.Errorf("good calls were hurt")
	}
	return nil
}

func peer(addr netip.AddrPort, cut chan<- time.Duration, talk func(net.Conn) error) {
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, "dial:", err)
		return
	}
	defer c.Close()
	begin := time.Now()
	if err := talk(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	cut <- time.Since(begin)
}

const slowRequest = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"

// drip sends a byte a second until the connection is closed under it.
func drip(c net.Conn) error {
	for i := 0; i < 15; i++ {
		if _, err := c.Write([]byte{slowRequest[i]}); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// halfOpen sends part of a message and waits.
func halfOpen(c net.Conn) error {
	if _, err := io.WriteString(c, slowRequest); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// neverRead sends 2,500 requests a second whose answers it does not take.
func neverRead(c net.Conn) error {
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		return err
	}
	for i := 0; i < 25000; i++ {
		if i%25 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if err := c.SetWriteDeadline(time.Now().Add(15 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c, "%sTo: <sip:a@b>;tag=x\r\nCall-ID: never%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", slowRequest, i); err != nil {
			return err
		}
	}
	return nil
}
