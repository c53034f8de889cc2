package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/logs"
	"github.com/luasips/luasips/engine/resolve"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/transport"
	"github.com/luasips/luasips/engine/txn"
	"github.com/luasips/luasips/luabind"
)

// settings reads config{} with its types.
type settings map[string]any

// withDefaults are the script's values with the declared default of each name
// that it leaves out.
func withDefaults(values map[string]any) settings {
	s := settings{}
	for _, d := range luabind.SettingsTable() {
		if d.Default != nil && d.Ignored == "" {
			s[d.Name] = d.Default
		}
	}
	maps.Copy(s, values)
	return s
}

func (s settings) num(name string, def float64) float64 {
	if n, ok := s[name].(float64); ok {
		return n
	}
	return def
}

func (s settings) flag(name string, def bool) bool {
	if b, ok := s[name].(bool); ok {
		return b
	}
	return def
}

func (s settings) str(name string) string { t, _ := s[name].(string); return t }

func (s settings) seconds(name string) time.Duration {
	return time.Duration(s.num(name, 0) * float64(time.Second))
}

func (s settings) millis(name string) time.Duration {
	return time.Duration(s.num(name, 0) * float64(time.Millisecond))
}

func (s settings) micros(name string) time.Duration {
	return time.Duration(s.num(name, 0) * float64(time.Microsecond))
}

// atStart are the settings that netOf reads: the engine takes them once.
var atStart = [...]string{"advertised_address", "advertised_port", "auto_aliases", "dns_retr_no", "dns_retr_time", "dns_servers",
	"dns_try_naptr", "dns_use_search_list", "max_message_size", "max_parked", "maxbuffer", "overload_delay", "udp_gather",
	"tcp_accept_aliases", "tcp_connect_timeout", "tcp_connection_lifetime", "tcp_keepalive", "tcp_keepcount", "tcp_keepidle",
	"tcp_keepinterval", "tcp_max_connections", "tcp_max_connections_per_source", "tcp_max_msg_time", "tcp_send_timeout",
	"tcp_socket_backlog", "tcp_write_queue", "tos", "udp_sockets_per_address"}

// netOf is what the engine binds: the script's sockets with its settings.
func netOf(p *luabind.Program) engine.Net {
	s := withDefaults(p.Settings())
	t := transport.Config{AutoAliases: s.flag("auto_aliases", false), RcvBuf: int(s.num("maxbuffer", 0)), Gather: s.micros("udp_gather"), TCP: tcpOf(s), Limits: limitsOf(s)}
	for _, d := range p.Sockets() {
		spec := transport.SocketSpec{Listen: d.Listen, Tag: d.Tag, As: d.As, TOS: d.TOS, ReusePort: d.ReusePort, Where: d.Where}
		if spec.As == "" {
			spec.As = advertised(s)
		}
		if spec.TOS == 0 {
			spec.TOS = int(s.num("tos", 0))
		}
		if spec.ReusePort == 0 {
			spec.ReusePort = int(s.num("udp_sockets_per_address", 1))
		}
		t.Sockets = append(t.Sockets, spec)
	}
	for _, b := range p.Bonds() {
		t.Bonds = append(t.Bonds, transport.BondSpec{Name: b.Name, Members: b.Members, Strict: b.Strict, Where: b.Where})
	}
	for _, a := range p.Aliases() {
		t.Aliases, t.AliasesWhere = append(t.Aliases, a.Name), append(t.AliasesWhere, a.Where)
	}
	return engine.Net{Transport: t, MaxParked: int(s.num("max_parked", 0)), Overload: s.millis("overload_delay"), Resolver: resolverOf(s)}
}

func advertised(s settings) string {
	host, port := s.str("advertised_address"), int(s.num("advertised_port", 0))
	if host == "" || port == 0 {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}

func limitsOf(s settings) sip.Limits {
	l := sip.DefaultLimits()
	if n := int(s.num("max_message_size", 0)); n > 0 {
		l.MaxSize = n
	}
	return l
}

func tcpOf(s settings) transport.TCP {
	return transport.TCP{
		ConnectTimeout:    s.millis("tcp_connect_timeout"),
		SendTimeout:       s.millis("tcp_send_timeout"),
		IdleLifetime:      s.seconds("tcp_connection_lifetime"),
		MaxMsgTime:        s.seconds("tcp_max_msg_time"),
		MaxConns:          int(s.num("tcp_max_connections", 0)),
		MaxConnsPerSource: int(s.num("tcp_max_connections_per_source", 0)),
		AcceptAlias:       s.flag("tcp_accept_aliases", false),
		Backlog:           int(s.num("tcp_socket_backlog", 0)),
		NoKeepAlive:       !s.flag("tcp_keepalive", true),
		KeepAliveIdle:     s.seconds("tcp_keepidle"),
		KeepAliveInterval: s.seconds("tcp_keepinterval"),
		KeepAliveCount:    int(s.num("tcp_keepcount", 0)),
		WriteQueueBytes:   int(s.num("tcp_write_queue", 0)),
	}
}

func resolverOf(s settings) func(func(string, func()) bool) (api.Resolver, error) {
	return func(goFn func(string, func()) bool) (api.Resolver, error) {
		c := resolve.Config{Go: goFn, Timeout: s.seconds("dns_retr_time"), Attempts: int(s.num("dns_retr_no", 0)),
			NoNAPTR: !s.flag("dns_try_naptr", true), Search: s.flag("dns_use_search_list", true)}
		servers, _ := s["dns_servers"].(map[string]any)
		for i := 1; servers[fmt.Sprint(i)] != nil; i++ {
			c.Servers = append(c.Servers, fmt.Sprint(servers[fmt.Sprint(i)]))
		}
		return resolve.New(c)
	}
}

// applyCore puts what config{} says about transactions over tm's parameters.
func applyCore(values map[string]any, c *txn.Config) {
	s := withDefaults(values)
	if n := int(s.num("max_breadth", 0)); n > 0 {
		c.MaxBreadth = n
	}
	if !s.flag("server_signature", true) {
		return
	}
	c.ServerHeader, c.UserAgent = "luasips/"+version(), "luasips/"+version()
	if h := s.str("server_header"); h != "" {
		c.ServerHeader = headerValue(h)
	}
	if h := s.str("user_agent_header"); h != "" {
		c.UserAgent = headerValue(h)
	}
}

// headerValue takes a header with or without its name, as OpenSIPS wants it
// with.
func headerValue(h string) string {
	if name, value, ok := strings.Cut(h, ":"); ok && (strings.EqualFold(name, "Server") || strings.EqualFold(name, "User-Agent")) {
		return strings.TrimSpace(value)
	}
	return h
}

// levelWords are the log levels by name.
var levelWords = map[string]api.Level{"alert": api.LevelAlert, "crit": api.LevelCrit, "error": api.LevelError,
	"warn": api.LevelWarn, "notice": api.LevelNotice, "info": api.LevelInfo, "debug": api.LevelDebug}

func parseLevel(word string) (api.Level, error) {
	if l, ok := levelWords[strings.ToLower(word)]; ok {
		return l, nil
	}
	return 0, fmt.Errorf("no log level %q: alert, crit, error, warn, notice, info or debug", word)
}

func levelName(l api.Level) string {
	for w, v := range levelWords {
		if v == l {
			return w
		}
	}
	return fmt.Sprint(int(l))
}

// logLevels are the levels that config{} sets, by component; "" is the rest.
func logLevels(values map[string]any) map[string]api.Level {
	out := map[string]api.Level{"": api.LevelNotice}
	if l, ok := levelWords[settings(values).str("log_level")]; ok {
		out[""] = l
	}
	table, _ := values["log_levels"].(map[string]any)
	for component, word := range table {
		if l, err := parseLevel(fmt.Sprint(word)); err == nil {
			out[component] = l
		}
	}
	return out
}

// newLogger writes to w by a goroutine that wg awaits: lines for people on a
// terminal, JSON elsewhere.
func newLogger(format string, w io.Writer, wg *sync.WaitGroup) *logs.Logger {
	console := format == "console"
	if f, ok := w.(*os.File); ok && format == "auto" {
		st, err := f.Stat()
		console = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return logs.New(logs.Options{Out: w, Console: console, Level: api.LevelNotice,
		Go: func(_ string, fn func()) { wg.Go(fn) }})
}
