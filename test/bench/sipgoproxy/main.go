// Command sipgoproxy is the smallest stateful, record-routing proxy on sipgo's
// own transport and transaction layers: what a Go developer gets without
// writing either. test/bench measures it beside the others.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:5060", "host:port to listen on, UDP and TCP")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "sipgoproxy:", err)
		os.Exit(1)
	}
}

// proxy relays requests to where their route set or Request-URI points.
type proxy struct {
	ctx    context.Context
	client *sipgo.Client
	host   string
	port   int
}

// serve runs the proxy on UDP and TCP until ctx ends.
func serve(ctx context.Context, addr string) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // no line per call, as in the other servers
	ua, err := sipgo.NewUA()
	if err != nil {
		return err
	}
	defer ua.Close()
	server, err := sipgo.NewServer(ua)
	if err != nil {
		return err
	}
	client, err := sipgo.NewClient(ua, sipgo.WithClientAddr(addr))
	if err != nil {
		return err
	}
	p := &proxy{ctx: ctx, client: client}
	if p.host, p.port, err = sip.ParseAddr(addr); err != nil {
		return err
	}
	server.OnInvite(p.relay)
	server.OnBye(p.relay)
	server.OnAck(p.ack)

	var wg sync.WaitGroup
	failed := make(chan error, 2)
	for _, network := range []string{"udp", "tcp"} {
		wg.Go(func() { failed <- server.ListenAndServe(ctx, network, addr) })
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// relay forwards a request in a client transaction and its responses back.
func (p *proxy) relay(req *sip.Request, tx sip.ServerTransaction) {
	options := []sipgo.ClientRequestOption{sipgo.ClientRequestAddVia}
	if req.IsInvite() {
		options = append(options, sipgo.ClientRequestAddRecordRoute)
	}
	if !p.prepare(req) {
		p.reply(req, tx, 483, "Too Many Hops")
		return
	}
	out, err := p.client.TransactionRequest(p.ctx, req, options...)
	if err != nil {
		p.reply(req, tx, sip.StatusInternalServerError, "Internal Error")
		return
	}
	defer out.Terminate()
	for {
		select {
		case res, more := <-out.Responses():
			if !more {
				return
			}
			if res.StatusCode == 100 {
				continue // sipgo's server transaction sends its own
			}
			res.RemoveHeader("Via")
			res.SetDestination(req.Source())
			if tx.Respond(res) != nil || !res.IsProvisional() {
				return
			}
		case <-out.Done():
			return
		case <-tx.Done():
			return
		}
	}
}

// ack forwards the ACK to a 2xx, statelessly.
func (p *proxy) ack(req *sip.Request, _ sip.ServerTransaction) {
	if p.prepare(req) {
		_ = p.client.WriteRequest(req, sipgo.ClientRequestAddVia) // an ACK has no response
	}
}

// prepare does what RFC 3261 §16.4 and §16.6 ask before a request goes on: the
// Route that names this proxy is taken off, Max-Forwards lowered, the next hop
// set. It is false when the request has travelled far enough.
func (p *proxy) prepare(req *sip.Request) bool {
	if hops := req.MaxForwards(); hops != nil {
		if hops.Val() == 0 {
			return false
		}
		hops.Dec()
	}
	if route := req.Route(); route != nil && route.Address.Host == p.host && route.Address.Port == p.port {
		req.RemoveHeader("Route")
	}
	next := req.Recipient
	if route := req.Route(); route != nil {
		next = route.Address
	}
	req.SetDestination(next.HostPort())
	return true
}

func (p *proxy) reply(req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	_ = tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil)) // the caller tries again when it is lost
}
