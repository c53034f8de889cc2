package resolve

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/miekg/dns"
)

// Config says how a Resolver works. Zero fields take the defaults named here;
// Go alone must be set.
type Config struct {
	// Servers are the DNS servers, "address" or "address:port", asked in this
	// order. Empty: those of ResolvConf (OpenSIPS dns_servers_no: all).
	Servers []string
	// ResolvConf is read when Servers is empty; "" is /etc/resolv.conf.
	ResolvConf string
	// Hosts is the hosts file; "" is /etc/hosts. It is read again when it has
	// changed. A name in it needs no query, and is taken as the name of a
	// machine: no NAPTR, no SRV.
	Hosts string
	// Timeout is how long one try waits (dns_retr_time); 0 takes resolv.conf's,
	// 5 s when it says nothing.
	Timeout time.Duration
	// Attempts is how often each server is tried (dns_retr_no); 0 takes
	// resolv.conf's, 2 when it says nothing.
	Attempts int
	// Deadline bounds one Resolve with all its lookups; 0 is 10 s.
	Deadline time.Duration
	// Search completes names with fewer dots than resolv.conf's ndots by its
	// search list (dns_use_search_list). Off by default.
	Search bool
	// NoNAPTR leaves NAPTR out (dns_try_naptr=no).
	NoNAPTR bool
	// PreferV6 puts AAAA before A where both are of use.
	PreferV6 bool

	// MaxEntries bounds the record sets kept; 0 is 4,096. A quarter as many
	// failures are kept besides.
	MaxEntries int
	// MaxTTL bounds how long a record set is kept; 0 is 24 h. A TTL below one
	// second, 0 included, counts as one second.
	MaxTTL time.Duration
	// NegativeTTL bounds how long "no such name" is kept (RFC 2308 §5: the
	// SOA's minimum); 0 is 60 s.
	NegativeTTL time.Duration
	// Stale is how long past its TTL a record set still serves while the
	// servers do not answer (RFC 8767); 0 is one hour, negative never.
	Stale time.Duration
	// MaxQueries bounds the goroutines that ask at one time; 0 is 512.
	MaxQueries int
	// MaxWaiting bounds the callers that wait at one time; 0 is 65,536.
	MaxWaiting int

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Rand is a source of 64 random bits for the order by weight, safe for
	// concurrent use; nil is math/rand/v2.
	Rand func() uint64
	// Go starts a named goroutine whose end its owner awaits; false says that
	// none is started any more.
	Go func(name string, fn func()) bool
	// Log hears of servers that stopped answering and of answers that were
	// cut; nil is silence.
	Log func(level api.Level, msg string, fields ...api.Field)
}

// Bounds on what one answer may take.
const (
	maxSRVSet   = 512 // SRV records kept of one answer
	maxAddrs    = 16  // addresses kept of one name
	maxNAPTR    = 64  // NAPTR records kept of one answer
	maxTargets  = 32  // SRV records used of one name
	maxHops     = 64  // places in one answer
	maxCNAME    = 8   // CNAME records followed
	answerSlots = 4096

	minTTL      = time.Second
	failureTTL  = time.Second             // servers did not answer (RFC 9520 §3.2)
	staleWait   = 1800 * time.Millisecond // patience when a stale set is at hand (RFC 8767 §5)
	staleHold   = 30 * time.Second        // between tries to renew a stale set (RFC 8767 §5)
	noSOATTL    = 5 * time.Second         // "no such name" without an SOA record
	hostsTTL    = 5 * time.Second         // between looks at the hosts file
	udpSize     = 1232                    // EDNS0 payload that is not fragmented
	defDeadline = 10 * time.Second
)

func (c *Config) setDefaults() {
	def(&c.ResolvConf, "/etc/resolv.conf")
	def(&c.Hosts, "/etc/hosts")
	def(&c.Deadline, defDeadline)
	def(&c.MaxEntries, 4096)
	def(&c.MaxTTL, 24*time.Hour)
	def(&c.NegativeTTL, time.Minute)
	def(&c.Stale, time.Hour)
	def(&c.MaxQueries, 512)
	def(&c.MaxWaiting, 65536)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	if c.Log == nil {
		c.Log = func(api.Level, string, ...api.Field) {}
	}
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (c *Config) check() error {
	switch {
	case c.Go == nil:
		return errors.New("resolve: Config.Go is nil, a function that starts goroutines is needed")
	case c.Timeout < 0, c.Deadline < 0, c.Attempts < 0:
		return fmt.Errorf("resolve: timeout %v, deadline %v and attempts %d must not be negative", c.Timeout, c.Deadline, c.Attempts)
	case c.MaxEntries < 0, c.MaxQueries < 0, c.MaxWaiting < 0, c.MaxTTL < 0, c.NegativeTTL < 0:
		return errors.New("resolve: a bound is negative")
	}
	return nil
}

// Resolver implements api.Resolver. Its methods may be called from any
// goroutine.
type Resolver struct {
	cfg     Config
	servers []string
	search  []string
	ndots   int
	hosts   *hostsFile
	cache   *cache
	slots   chan struct{} // one per goroutine that may ask

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	seed    maphash.Seed
	answers [answerSlots]atomic.Pointer[answer]

	mu      sync.Mutex
	flights map[api.Query]*flight
	waiting int      // callers in flights and in ready
	ready   []func() // callbacks that need no query, not yet called
	calling bool     // a goroutine works on ready
	closed  bool

	first   atomic.Int32 // index of the server to ask first
	queries atomic.Uint64
	timeout atomic.Uint64
	refused atomic.Uint64
}

var _ api.Resolver = (*Resolver)(nil)

// New makes a Resolver. It fails when a server is no address, when resolv.conf
// or the hosts file exist and cannot be read, and when Config.Go is nil.
func New(cfg Config) (*Resolver, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	r := &Resolver{cfg: cfg, ndots: 1, seed: maphash.MakeSeed(), flights: make(map[api.Query]*flight)}
	if err := r.readServers(); err != nil {
		return nil, err
	}
	var err error
	if r.hosts, err = newHostsFile(cfg.Hosts, cfg.Now()); err != nil {
		return nil, err
	}
	r.cache = newCache(cfg.MaxEntries, max(cfg.MaxEntries/4, 1))
	r.slots = make(chan struct{}, cfg.MaxQueries)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// readServers takes servers, timeout, attempts and search list from the
// configuration, and what it leaves open from resolv.conf. Without that file
// the server is 127.0.0.1 (resolv.conf(5)).
func (r *Resolver) readServers() error {
	conf := &dns.ClientConfig{Port: "53", Ndots: 1, Timeout: 5, Attempts: 2}
	if len(r.cfg.Servers) == 0 || r.cfg.Search {
		c, err := dns.ClientConfigFromFile(r.cfg.ResolvConf)
		switch {
		case err == nil:
			conf = c
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("resolve: %w", err)
		}
	}
	if r.cfg.Timeout == 0 {
		r.cfg.Timeout = time.Duration(max(conf.Timeout, 1)) * time.Second
	}
	if r.cfg.Attempts == 0 {
		r.cfg.Attempts = max(conf.Attempts, 1)
	}
	if r.cfg.Search {
		r.search, r.ndots = conf.Search, conf.Ndots
	}
	list := r.cfg.Servers
	if len(list) == 0 {
		list = conf.Servers
	}
	if len(list) == 0 {
		list = []string{"127.0.0.1"}
	}
	for _, s := range list {
		addr, err := serverAddr(s)
		if err != nil {
			return err
		}
		r.servers = append(r.servers, addr)
	}
	return nil
}

func serverAddr(s string) (string, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		return ap.String(), nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	return "", fmt.Errorf("resolve: DNS server %q is not an address or address:port, such as 192.0.2.53 or [2001:db8::53]:53", s)
}

// Close refuses further lookups and ends those under way; their callers get
// ErrClosed. Numeric and cached hosts still answer. It does not wait: the
// goroutines end by themselves, and Config.Go's owner knows when.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
}

// Stats are counters since New.
type Stats struct {
	Queries  uint64 // messages sent to servers
	Timeouts uint64 // tries that got no usable answer
	Refused  uint64 // lookups answered with ErrBusy
	Evicted  uint64 // record sets that gave way to others
	Entries  int    // record sets kept now
	Asking   int    // goroutines asking now
	Waiting  int    // callers waiting now
}

// Stats returns the counters as they stand.
func (r *Resolver) Stats() Stats {
	r.mu.Lock()
	waiting := r.waiting
	r.mu.Unlock()
	entries, evicted := r.cache.stats()
	return Stats{
		Queries: r.queries.Load(), Timeouts: r.timeout.Load(), Refused: r.refused.Load(),
		Evicted: evicted, Entries: entries, Asking: len(r.slots), Waiting: waiting,
	}
}
