package resolve

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/miekg/dns"
)

// source is where a plan reads record sets.
type source interface {
	// get returns the set of k, which may hold an error of its own. err is
	// something that is no answer: not cached, out of time, closed.
	get(k key) (s *set, err error)
	// prefetch makes ready what get will be asked for, all at once.
	prefetch(ks ...key)
}

// plan makes one answer by RFC 3263 §4.
type plan struct {
	r     *Resolver
	q     *api.Query
	src   source
	a     *answer
	group int
	soft  error // a server failure on the way, reported when nothing else was found
	lost  error // what get failed with: there is no answer then
}

// make returns the answer of q, which may hold an error, or the source's err.
func (r *Resolver) make(q *api.Query, src source) (*answer, error) {
	p := &plan{r: r, q: q, src: src, a: &answer{q: *q, expires: r.cfg.Now().Add(r.cfg.MaxTTL)}}
	p.a.q.Host = strings.Clone(q.Host)
	p.a.err = p.run()
	if p.lost != nil {
		return nil, p.lost
	}
	p.a.settle()
	return p.a, nil
}

// settle drops the targets when their order is final.
func (a *answer) settle() {
	for i := 1; i < len(a.targets); i++ {
		if a.targets[i].group == a.targets[i-1].group {
			return
		}
	}
	a.targets = nil
}

func (p *plan) run() error {
	name, err := canonical(p.q.Host)
	if err != nil {
		return err
	}
	if !p.q.V4 && !p.q.V6 {
		return familyError(p.q)
	}
	if _, err := chosen(p.q); err != nil {
		return err
	}
	for _, n := range p.r.candidates(name, strings.HasSuffix(p.q.Host, ".")) {
		if err = p.host(n); !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return err
}

// candidates are the names that name may stand for: itself, and with
// Config.Search those of the search list (resolv.conf(5)).
func (r *Resolver) candidates(name string, absolute bool) []string {
	if absolute || len(r.search) == 0 {
		return []string{name}
	}
	var full []string
	for _, s := range r.search {
		if n, err := canonical(name + "." + s); err == nil {
			full = append(full, n)
		}
	}
	if strings.Count(name, ".") >= r.ndots {
		return slices.Insert(full, 0, name)
	}
	return append(full, name)
}

// host finds the places of one name: a port in the URI leaves only its
// addresses (§4.2), and so does a name of the hosts file; else NAPTR, SRV,
// addresses.
func (p *plan) host(name string) error {
	proto, err := chosen(p.q)
	if err != nil {
		return err
	}
	_, machine := p.r.hosts.lookup(name, p.r.cfg.Now())
	if p.q.Port == 0 && !machine {
		done, err := p.services(name)
		if done || err != nil {
			return err
		}
	}
	if n, err := p.addresses(name, proto, portOr(p.q.Port, proto)); n > 0 || err != nil {
		return err
	}
	return notFound(p.q.Host, "has no address")
}

// service is a name to ask SRV records of, and the transport they stand for.
type service struct {
	proto api.Proto
	name  string
}

// services tries NAPTR and SRV. done is false when the name has neither, which
// leaves its addresses at the default port.
func (p *plan) services(name string) (done bool, err error) {
	if p.q.Transport == api.ProtoAny && !p.r.cfg.NoNAPTR {
		list, err := p.naptr(name)
		if err != nil {
			return true, err
		}
		if len(list) > 0 {
			if done, err := p.srvAll(list); done || err != nil {
				return done, err
			}
		}
	}
	return p.srvAll(p.guesses(name))
}

// naptr is the services that NAPTR records name and that we can use: those of
// the lowest order that has any, by preference (RFC 3263 §4.1, RFC 3403 §4.1).
// A server that refuses the type counts as one without records.
func (p *plan) naptr(name string) ([]service, error) {
	s, err := p.get(key{name, dns.TypeNAPTR})
	if err != nil {
		return nil, err
	}
	if errors.Is(s.err, errSilent) {
		return nil, s.err
	}
	var out []service
	order := -1
	for _, n := range s.naptrs {
		if order >= 0 && int(n.order) != order {
			break
		}
		if proto, ok := p.usable(n.service); ok {
			order = int(n.order)
			out = append(out, service{proto, n.replacement})
		}
	}
	return out, nil
}

// usable tells which transport a NAPTR service field stands for, and whether
// this query may take it: sips leaves SIPS+D2T and SIPS+D2W alone
// (RFC 3263 §4.1, RFC 7118 §10).
func (p *plan) usable(field string) (proto api.Proto, ok bool) {
	switch field {
	case "SIP+D2U":
		proto = api.ProtoUDP
	case "SIP+D2T":
		proto = api.ProtoTCP
	case "SIPS+D2T":
		proto = api.ProtoTLS
	case "SIP+D2W":
		proto = api.ProtoWS
	case "SIPS+D2W":
		proto = api.ProtoWSS
	default:
		return 0, false
	}
	return proto, spoken(p.q, proto) && (!p.q.Sips || proto.Secure())
}

// guesses are the SRV names to ask where no NAPTR record names one: for each
// transport that the URI and our sockets leave open (RFC 3263 §4.1).
func (p *plan) guesses(name string) []service {
	if p.q.Transport != api.ProtoAny {
		proto, err := named(p.q)
		if prefix := srvPrefix(proto); err == nil && prefix != "" {
			return []service{{proto, prefix + name}}
		}
		return nil
	}
	var out []service
	for _, proto := range preferred {
		prefix := srvPrefix(proto)
		if prefix != "" && spoken(p.q, proto) && (!p.q.Sips || proto.Secure()) {
			out = append(out, service{proto, prefix + name})
		}
	}
	return out
}

// srvPrefix is what a domain's SRV records for a transport stand under; ""
// for WebSocket, for which RFC 7118 defines none.
func srvPrefix(p api.Proto) string {
	switch p {
	case api.ProtoUDP:
		return "_sip._udp."
	case api.ProtoTCP:
		return "_sip._tcp."
	case api.ProtoTLS:
		return "_sips._tcp."
	}
	return ""
}

// srvAll takes the places of all services in turn. done is false when none of
// them has a record.
func (p *plan) srvAll(list []service) (done bool, err error) {
	list = slices.DeleteFunc(list, func(s service) bool { return len(s.name) > 253 })
	ks := make([]key, len(list))
	for i, s := range list {
		ks[i] = key{s.name, dns.TypeSRV}
	}
	p.src.prefetch(ks...)
	records := false
	for i, k := range ks {
		set, err := p.get(k)
		switch {
		case err != nil:
			return true, err
		case errors.Is(set.err, ErrUnavailable):
			p.soft = set.err
			continue
		case set.err != nil:
			continue
		}
		records = true
		if err := p.srv(set, list[i].proto); err != nil {
			return true, err
		}
	}
	switch {
	case len(p.a.hops) > 0:
		return true, nil
	case p.soft != nil:
		return true, p.soft
	case records:
		return true, notFound(p.q.Host, "has SRV records of which none leads to an address")
	}
	return false, nil
}

// srv takes the places of one set of SRV records, by priority.
func (p *plan) srv(s *set, proto api.Proto) error {
	recs := p.r.pick(s)
	ks := make([]key, 0, 2*len(recs))
	for _, rec := range recs {
		ks = append(ks, p.families(rec.target)...)
	}
	p.src.prefetch(ks...)
	for i, rec := range recs {
		if i == 0 || rec.priority != recs[i-1].priority {
			p.group++
		}
		from := len(p.a.hops)
		_, err := p.addresses(rec.target, proto, rec.port)
		switch {
		case errors.Is(err, ErrUnavailable):
			p.soft = err
		case err != nil:
			return err
		}
		if to := len(p.a.hops); to > from {
			p.a.targets = append(p.a.targets, target{group: p.group, weight: rec.weight, from: from, to: to})
		}
	}
	return nil
}

// pick is the records of s that are used, by priority and then by name: all
// when they are few, else the first maxTargets in an order by weight.
func (r *Resolver) pick(s *set) []srv {
	recs := slices.DeleteFunc(slices.Clone(s.srvs), func(v srv) bool { return v.target == "" })
	slices.SortFunc(recs, compareSRV)
	if len(recs) <= maxTargets {
		return recs
	}
	r.cfg.Log(api.LevelNotice, "SRV answer is long, part of it is used",
		api.Field{Key: "name", Value: s.key.name}, api.Field{Key: "records", Value: len(recs)}, api.Field{Key: "used", Value: maxTargets})
	rng := rand.NewPCG(r.cfg.Rand(), 0x5ca1ab1e)
	out := make([]srv, 0, len(recs))
	for len(out) < maxTargets {
		rest := recs[len(out):]
		n := slices.IndexFunc(rest, func(v srv) bool { return v.priority != rest[0].priority })
		if n < 0 {
			n = len(rest)
		}
		weights, order := make([]uint16, n), make([]uint16, n)
		for i := range weights {
			weights[i] = rest[i].weight
		}
		byWeight(order, weights, rng)
		for _, k := range order {
			out = append(out, rest[k])
		}
	}
	out = out[:maxTargets]
	slices.SortFunc(out, compareSRV)
	return out
}

func compareSRV(a, b srv) int {
	if a.priority != b.priority {
		return int(a.priority) - int(b.priority)
	}
	if c := strings.Compare(a.target, b.target); c != 0 {
		return c
	}
	return int(a.port) - int(b.port)
}

// families are the address types to ask of a name, in the order of use.
func (p *plan) families(name string) []key {
	ks := make([]key, 0, 2)
	if p.q.V4 {
		ks = append(ks, key{name, dns.TypeA})
	}
	if p.q.V6 {
		ks = append(ks, key{name, dns.TypeAAAA})
	}
	if p.r.cfg.PreferV6 {
		slices.Reverse(ks)
	}
	return ks
}

// addresses adds the places of one machine and tells how many. With one family
// answered, the failure of the other is passed over.
func (p *plan) addresses(name string, proto api.Proto, port uint16) (n int, err error) {
	ks := p.families(name)
	p.src.prefetch(ks...)
	var failed error
	for _, k := range ks {
		s, err := p.get(k)
		if err != nil {
			return n, err
		}
		if errors.Is(s.err, ErrUnavailable) {
			failed = s.err
		}
		for _, a := range s.addrs {
			if len(p.a.hops) >= maxHops {
				return n, nil
			}
			p.a.hops = append(p.a.hops, api.Hop{Proto: proto, Addr: netip.AddrPortFrom(a, port)})
			n++
		}
	}
	if n > 0 {
		failed = nil
	}
	return n, failed
}

// get reads a set and lowers the answer's life to it.
func (p *plan) get(k key) (*set, error) {
	s, err := p.src.get(k)
	if err != nil {
		p.lost = err
		return nil, err
	}
	if s.expires.Before(p.a.expires) {
		p.a.expires = s.expires
	}
	return s, nil
}

func notFound(host, what string) error { return fmt.Errorf("%w: %s %s", ErrNotFound, host, what) }
