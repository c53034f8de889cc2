package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/miekg/dns"
)

// lookup asks the servers for k. Their silence or refusal is a set too, kept
// for a moment; err says that ctx ended first. While an old set is at hand it
// serves in their place (RFC 8767), and the wait is short.
func (r *Resolver) lookup(ctx context.Context, k key) (*set, error) {
	old := r.cache.old(k)
	if old != nil && (old.err != nil || !r.cfg.Now().Before(old.stale)) {
		old = nil
	}
	wait := ctx
	if old != nil {
		w, cancel := context.WithTimeout(ctx, staleWait)
		defer cancel()
		wait = w
	}
	s, err := r.follow(wait, k)
	if err == nil {
		return s, nil
	}
	if ended := r.ended(ctx); errors.Is(ended, ErrClosed) || (ended != nil && old == nil) {
		return nil, ended
	}
	now := r.cfg.Now()
	if old != nil {
		return &set{key: k, expires: now.Add(staleHold), stale: old.stale, addrs: old.addrs, srvs: old.srvs, naptrs: old.naptrs}, nil
	}
	r.cfg.Log(api.LevelWarn, "DNS lookup failed", api.Field{Key: "name", Value: k.name},
		api.Field{Key: "type", Value: dns.TypeToString[k.typ]}, api.Field{Key: "error", Value: err})
	return &set{key: k, expires: now.Add(failureTTL), err: err}, nil
}

// follow asks for k and, where the answer is a CNAME whose end it does not
// hold, for that end, maxCNAME records in all.
func (r *Resolver) follow(ctx context.Context, k key) (*set, error) {
	c := chain{name: k.name, typ: k.typ, ttl: r.cfg.MaxTTL}
	for {
		m, err := r.exchange(ctx, c.name, k.typ)
		if err != nil {
			return nil, err
		}
		asked := c.name
		rrs := c.walk(m)
		switch {
		case len(rrs) > 0:
			return r.records(k, rrs, max(c.ttl, minTTL)), nil
		case c.steps > maxCNAME:
			return r.nothing(k, m, fmt.Sprintf("has a CNAME chain of more than %d names, or one that loops", maxCNAME)), nil
		case m.Rcode == dns.RcodeNameError:
			return r.nothing(k, m, "does not exist"), nil
		case c.name == asked || soa(m) != nil:
			return r.nothing(k, m, "has no "+dns.TypeToString[k.typ]+" record"), nil
		}
	}
}

// chain is the walk from a name over CNAME records to what it stands for.
type chain struct {
	name  string // where the walk is
	typ   uint16
	ttl   time.Duration // least seen on the way
	steps int
}

// walk goes on within one answer and returns the records at the end of the
// chain, none when it ends in a name that the answer has no records of. Records
// of other names are not looked at.
func (c *chain) walk(m *dns.Msg) (rrs []dns.RR) {
	for c.steps <= maxCNAME {
		next := ""
		for _, rr := range m.Answer {
			h := rr.Header()
			if !sameName(h.Name, c.name) {
				continue
			}
			cname, alias := rr.(*dns.CNAME)
			switch {
			case h.Rrtype == c.typ:
				rrs = append(rrs, rr)
			case alias && next == "":
				next = cname.Target
			default:
				continue
			}
			c.ttl = min(c.ttl, time.Duration(h.Ttl)*time.Second)
		}
		if len(rrs) > 0 || next == "" {
			return rrs
		}
		c.steps++
		name, err := canonical(next)
		if err != nil {
			return nil
		}
		c.name = name
	}
	return nil
}

func sameName(wire, name string) bool {
	return strings.EqualFold(strings.TrimSuffix(wire, "."), name)
}

// records makes the set of an answer's records.
func (r *Resolver) records(k key, rrs []dns.RR, ttl time.Duration) *set {
	now := r.cfg.Now()
	s := &set{key: k, expires: now.Add(ttl), stale: now.Add(ttl + r.cfg.Stale)}
	for _, rr := range rrs {
		switch v := rr.(type) {
		case *dns.A:
			s.addAddr(v.A)
		case *dns.AAAA:
			s.addAddr(v.AAAA)
		case *dns.SRV:
			s.addSRV(v)
		case *dns.NAPTR:
			s.addNAPTR(v)
		}
	}
	slices.SortStableFunc(s.naptrs, func(a, b naptr) int {
		if a.order != b.order {
			return int(a.order) - int(b.order)
		}
		return int(a.preference) - int(b.preference)
	})
	return s
}

func (s *set) addAddr(ip net.IP) {
	if a, ok := netip.AddrFromSlice(ip); ok && len(s.addrs) < maxAddrs {
		s.addrs = append(s.addrs, a.Unmap())
	}
}

// addSRV takes a record whose target is a name, or "." (RFC 2782: the service
// is decidedly not there).
func (s *set) addSRV(v *dns.SRV) {
	target := ""
	if v.Target != "." {
		var err error
		if target, err = canonical(v.Target); err != nil || v.Port == 0 {
			return
		}
	}
	if len(s.srvs) < maxSRVSet {
		s.srvs = append(s.srvs, srv{v.Priority, v.Weight, v.Port, target})
	}
}

// addNAPTR takes SIP's records that lead to SRV ones (RFC 3263 §4.1: flag "s",
// no regular expression).
func (s *set) addNAPTR(v *dns.NAPTR) {
	to, err := canonical(v.Replacement)
	if err != nil || !strings.EqualFold(v.Flags, "s") || v.Regexp != "" || len(s.naptrs) >= maxNAPTR {
		return
	}
	s.naptrs = append(s.naptrs, naptr{v.Order, v.Preference, strings.ToUpper(v.Service), to})
}

// nothing makes the set of a negative answer, kept as long as its SOA record
// says (RFC 2308 §5), within Config.NegativeTTL.
func (r *Resolver) nothing(k key, m *dns.Msg, what string) *set {
	ttl := noSOATTL
	if rr := soa(m); rr != nil {
		ttl = time.Duration(min(rr.Hdr.Ttl, rr.Minttl)) * time.Second
	}
	ttl = min(max(ttl, minTTL), max(r.cfg.NegativeTTL, minTTL))
	return &set{key: k, expires: r.cfg.Now().Add(ttl), err: notFound(k.name, what)}
}

func soa(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if s, ok := rr.(*dns.SOA); ok {
			return s
		}
	}
	return nil
}

// exchange asks each server in turn, Config.Attempts times over, until one
// says what is or that nothing is. It begins with the one that answered last.
func (r *Resolver) exchange(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	var last error
	for range r.cfg.Attempts {
		silent := false
		begin := int(r.first.Load())
		for i := range r.servers {
			n := (begin + i) % len(r.servers)
			m, err := r.try(ctx, r.servers[n], name, typ)
			if err == nil {
				r.prefer(begin, n)
				return m, nil
			}
			last = err
			silent = silent || errors.Is(err, errSilent)
			if ctx.Err() != nil {
				return nil, last
			}
		}
		if !silent {
			break
		}
	}
	return nil, last
}

// prefer makes n the server that is asked first.
func (r *Resolver) prefer(old, n int) {
	if old != n && r.first.CompareAndSwap(int32(old), int32(n)) {
		r.cfg.Log(api.LevelWarn, "DNS server does not answer, another is asked first",
			api.Field{Key: "server", Value: r.servers[old]}, api.Field{Key: "first", Value: r.servers[n]})
	}
}

// try asks one server: by UDP with EDNS0, without it where the server does not
// know it (RFC 6891 §7), by TCP when the answer was cut (RFC 7766 §5).
func (r *Resolver) try(ctx context.Context, server, name string, typ uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), typ)
	m.SetEdns0(udpSize, false)
	in, err := r.roundTrip(ctx, "udp", server, m)
	if err == nil && (in.Rcode == dns.RcodeFormatError || in.Rcode == dns.RcodeNotImplemented) {
		m.Extra = nil
		in, err = r.roundTrip(ctx, "udp", server, m)
	}
	if err == nil && in.Truncated {
		in, err = r.roundTrip(ctx, "tcp", server, m)
	}
	if err != nil {
		r.timeout.Add(1)
		return nil, fmt.Errorf("%w: %s about %s: %w", errSilent, server, name, err)
	}
	if in.Rcode != dns.RcodeSuccess && in.Rcode != dns.RcodeNameError {
		r.timeout.Add(1)
		return nil, fmt.Errorf("%w: %s says %s about %s", ErrUnavailable, server, dns.RcodeToString[in.Rcode], name)
	}
	return in, nil
}

// roundTrip sends m and waits for its answer, Config.Timeout at most. Messages
// that are not the answer are passed over on UDP, since anyone can send them.
func (r *Resolver) roundTrip(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	r.queries.Add(1)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	m.Id = dns.Id()
	c := &dns.Conn{Conn: nc, UDPSize: udpSize}
	if err := c.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		in, err := c.ReadMsg()
		switch {
		case err == nil && answers(in, m):
			return in, nil
		case network == "udp" && (err == nil || !netError(err)):
			continue
		case err == nil:
			err = errors.New("answer to another question")
		}
		return nil, err
	}
}

// netError tells a failure of the socket from a message that does not parse.
func netError(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, net.ErrClosed)
}

// answers reports whether in is the answer to m (RFC 5452 §9.1). A server that
// did not understand the question may leave it out.
func answers(in, m *dns.Msg) bool {
	if in.Id != m.Id || !in.Response {
		return false
	}
	if len(in.Question) == 0 {
		return in.Rcode == dns.RcodeFormatError || in.Rcode == dns.RcodeNotImplemented
	}
	a, b := in.Question[0], m.Question[0]
	return len(in.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
