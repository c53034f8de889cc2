package luabind

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// settingKind is the type of a core setting.
type settingKind uint8

const (
	boolSetting settingKind = iota
	intSetting
	stringSetting
	levelSetting // a log level: a word or OpenSIPS's number
	tableSetting // a table of names and words
)

var settingWords = [...]string{"a boolean", "a whole number", "a string", "a log level (alert, crit, error, warn, notice, info, debug)", "a table"}

// Setting declares one name of config{}.
type Setting struct {
	Name     string
	Kind     settingKind
	Unit     string  // "seconds", "milliseconds", "bytes"; "" when none
	Default  any     // as Program.Settings gives it; nil when unset means "decided elsewhere"
	Min, Max float64 // bounds of a number where Max > Min
	Doc      string
	Ignored  string // why it means nothing here; "" for one that works
}

// SettingsTable is every name that config{} takes: luasips's own and
// OpenSIPS's core globals, in alphabetical order.
func SettingsTable() []Setting {
	out := append([]Setting(nil), settings...)
	for name, why := range ignoredSettings {
		out = append(out, Setting{Name: name, Kind: stringSetting, Doc: "Taken from OpenSIPS, without meaning here.", Ignored: why})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

var settings = []Setting{
	{Name: "log_level", Kind: levelSetting, Default: "notice", Doc: "Records up to this level are written."},
	{Name: "log_levels", Kind: tableSetting, Doc: "Log level by module: {tm = \"debug\"}."},
	{Name: "log_stdout", Kind: boolSetting, Default: false, Doc: "Log to standard output rather than to standard error.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "log_prefix", Kind: stringSetting, Default: "", Doc: "Text before each record.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "log_json", Kind: boolSetting, Default: false, Doc: "Write records as JSON lines.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "stderror_enabled", Kind: boolSetting, Default: true, Doc: "Log to standard error.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "stderror_log_format", Kind: stringSetting, Default: "plain_text", Doc: "plain_text or json.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "syslog_enabled", Kind: boolSetting, Default: false, Doc: "Log to syslog.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "syslog_facility", Kind: stringSetting, Default: "LOG_DAEMON", Doc: "Facility for syslog.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "syslog_name", Kind: stringSetting, Default: "luasips", Doc: "Name for syslog.", Ignored: "the log goes to standard error; run --log-format chooses its form"},
	{Name: "xlog_level", Kind: levelSetting, Default: "notice", Doc: "Highest level that xlog writes."},
	{Name: "xlog_print_level", Kind: levelSetting, Default: "notice", Doc: "Level of an xlog without one."},
	{Name: "xlog_buf_size", Kind: intSetting, Unit: "bytes", Default: 4096.0, Min: 64, Max: 65536, Doc: "Longest record of xlog."},
	{Name: "workers", Kind: intSetting, Default: 0.0, Min: 0, Max: 1024, Doc: "Workers, each with its own Lua state; 0 takes as many as there are processors.", Ignored: "run --workers sets it"},
	{Name: "script_cpu_ms", Kind: intSetting, Unit: "milliseconds", Default: 50.0, Min: 1, Max: 60000, Doc: "CPU budget of one handler: time in which it holds its worker."},
	{Name: "script_wall", Kind: intSetting, Unit: "seconds", Default: 30.0, Min: 1, Max: 3600, Doc: "Longest wait of one blocking call that has no timeout of its own."},
	{Name: "script_memory", Kind: intSetting, Unit: "bytes", Default: 16777216.0, Min: 65536, Max: 1 << 31, Doc: "Strings and tables that one handler may build."},
	{Name: "script_call_depth", Kind: intSetting, Default: 256.0, Min: 16, Max: 4096, Doc: "Calls inside each other."},
	{Name: "max_parked", Kind: intSetting, Default: 4000.0, Min: 1, Max: 1000000, Doc: "Handlers that wait, per worker; beyond it new requests get 503."},
	{Name: "max_while_loops", Kind: intSetting, Default: 10000.0, Doc: "OpenSIPS's bound on loops.", Ignored: "loops are bounded by script_cpu_ms"},
	{Name: "max_breadth", Kind: intSetting, Default: 60.0, Min: 1, Max: 1000, Doc: "Branches of a request without Max-Breadth (RFC 5393)."},
	{Name: "user_agent_header", Kind: stringSetting, Doc: "User-Agent of requests made here, with or without the header's name."},
	{Name: "server_header", Kind: stringSetting, Doc: "Server of replies made here, with or without the header's name."},
	{Name: "server_signature", Kind: boolSetting, Default: true, Doc: "Put Server and User-Agent into what is made here."},
	{Name: "advertised_address", Kind: stringSetting, Doc: "Address for Via and Record-Route of sockets without their own."},
	{Name: "advertised_port", Kind: intSetting, Min: 0, Max: 65535, Doc: "Port for Via and Record-Route of sockets without their own."},
	{Name: "auto_aliases", Kind: boolSetting, Default: false, Doc: "Names that our addresses resolve from are ours."},
	{Name: "mhomed", Kind: boolSetting, Default: false, Doc: "Choose the sending socket by the route to the destination.", Ignored: "the sending socket is chosen by protocol, family and subnet"},
	{Name: "tos", Kind: intSetting, Default: 16.0, Min: 0, Max: 255, Doc: "IP type of service of what is sent."},
	{Name: "mcast_loopback", Kind: boolSetting, Default: false, Doc: "Receive our own multicasts.", Ignored: "multicast is not supported"},
	{Name: "mcast_ttl", Kind: intSetting, Min: 0, Max: 255, Doc: "Time to live of multicasts.", Ignored: "multicast is not supported"},
	{Name: "maxbuffer", Kind: intSetting, Unit: "bytes", Default: 4194304.0, Min: 4096, Max: 1 << 30, Doc: "Receive buffer asked of the system for each UDP socket."},
	{Name: "udp_sockets_per_address", Kind: intSetting, Default: 1.0, Min: 1, Max: 64, Doc: "Sockets that share each UDP address, by SO_REUSEPORT."},
	{Name: "check_via", Kind: boolSetting, Default: false, Doc: "Drop a reply whose top Via is not ours; it never reaches the script anyway.", Ignored: "a reply whose top Via is not ours is never relayed"},
	{Name: "disable_503_translation", Kind: boolSetting, Default: false, Doc: "Send a 503 upstream as it is, not as 500 (RFC 3261 §16.7).", Ignored: "a 503 is always sent upstream as 500 (RFC 3261 §16.7)"},
	{Name: "disable_stateless_fwd", Kind: boolSetting, Default: true, Doc: "Replies that match no transaction are not relayed.", Ignored: "replies that match no transaction are never relayed"},
	{Name: "sip_warning", Kind: boolSetting, Default: false, Doc: "Put a Warning header into replies made here.", Ignored: "no Warning header is added"},
	{Name: "dns", Kind: boolSetting, Default: false, Doc: "Compare Via against the source by DNS.", Ignored: "Via is compared with the source address, without DNS"},
	{Name: "rev_dns", Kind: boolSetting, Default: false, Doc: "Compare Via against the source by reverse DNS.", Ignored: "Via is compared with the source address, without DNS"},
	{Name: "dns_retr_time", Kind: intSetting, Unit: "seconds", Min: 1, Max: 60, Doc: "Wait for a name server's answer."},
	{Name: "dns_retr_no", Kind: intSetting, Min: 0, Max: 20, Doc: "Repetitions of a query."},
	{Name: "dns_servers_no", Kind: intSetting, Min: 0, Max: 20, Doc: "Name servers of the system that are used.", Ignored: "all name servers of the system are used; dns_servers names others"},
	{Name: "dns_servers", Kind: tableSetting, Doc: "Name servers instead of the system's: {\"192.0.2.1:53\"}."},
	{Name: "dns_try_ipv6", Kind: boolSetting, Default: false, Doc: "Ask for AAAA where A has no answer.", Ignored: "AAAA is asked for wherever an IPv6 socket can use the answer"},
	{Name: "dns_try_naptr", Kind: boolSetting, Default: true, Doc: "Ask for NAPTR (RFC 3263)."},
	{Name: "dns_use_search_list", Kind: boolSetting, Default: true, Doc: "Use the system's search list."},
	{Name: "disable_dns_failover", Kind: boolSetting, Default: false, Doc: "Try the first resolved address only.", Ignored: "t_relay's flag no-dns-failover does this"},
	{Name: "disable_dns_blacklist", Kind: boolSetting, Default: true, Doc: "Do not remember failed destinations.", Ignored: "failed destinations are not remembered"},
	{Name: "tcp_accept_aliases", Kind: boolSetting, Default: false, Doc: "Honour ;alias of Via (RFC 5923)."},
	{Name: "tcp_connect_timeout", Kind: intSetting, Unit: "milliseconds", Default: 5000.0, Min: 1, Max: 60000, Doc: "Wait for a connection; it holds nothing up meanwhile."},
	{Name: "tcp_send_timeout", Kind: intSetting, Unit: "milliseconds", Default: 5000.0, Min: 1, Max: 60000, Doc: "Wait for a peer that does not read."},
	{Name: "tcp_connection_lifetime", Kind: intSetting, Unit: "seconds", Default: 120.0, Min: 1, Max: 86400, Doc: "Idle time after which a connection is closed."},
	{Name: "tcp_max_connections", Kind: intSetting, Default: 2048.0, Min: 1, Max: 1000000, Doc: "Accepted connections."},
	{Name: "tcp_max_connections_per_source", Kind: intSetting, Default: 0.0, Min: 0, Max: 1000000, Doc: "Accepted connections from one address; 0 for no bound of its own."},
	{Name: "tcp_max_msg_time", Kind: intSetting, Unit: "seconds", Default: 4.0, Min: 1, Max: 300, Doc: "Time in which a message must be whole after its first byte."},
	{Name: "tcp_socket_backlog", Kind: intSetting, Default: 0.0, Min: 0, Max: 65535, Doc: "Connections that wait to be accepted; 0 for the system's most."},
	{Name: "tcp_write_queue", Kind: intSetting, Unit: "bytes", Default: 1048576.0, Min: 4096, Max: 1 << 30, Doc: "Bytes that wait on one connection before it is closed."},
	{Name: "tcp_keepalive", Kind: boolSetting, Default: true, Doc: "TCP keep-alive."},
	{Name: "tcp_keepcount", Kind: intSetting, Min: 1, Max: 100, Doc: "Lost keep-alives that end a connection."},
	{Name: "tcp_keepidle", Kind: intSetting, Unit: "seconds", Min: 1, Max: 86400, Doc: "Idle time before the first keep-alive."},
	{Name: "tcp_keepinterval", Kind: intSetting, Unit: "seconds", Min: 1, Max: 86400, Doc: "Time between keep-alives."},
	{Name: "tcp_no_new_conn_bflag", Kind: stringSetting, Doc: "Branch flag: send over an existing connection only.", Ignored: "not supported: a connection is opened where none is left"},
	{Name: "tcp_no_new_conn_rplflag", Kind: stringSetting, Doc: "Message flag: send replies over an existing connection only.", Ignored: "not supported: a connection is opened where none is left"},
	{Name: "max_message_size", Kind: intSetting, Unit: "bytes", Default: 65535.0, Min: 1024, Max: 1 << 24, Doc: "Largest message on a stream."},
	{Name: "db_default_url", Kind: stringSetting, Doc: "db_url of modules without their own.", Ignored: "no module uses a database"},
	{Name: "db_version_table", Kind: stringSetting, Default: "version", Doc: "Name of the version table.", Ignored: "no module uses a database"},
	{Name: "enable_asserts", Kind: boolSetting, Default: false, Doc: "core.assert is evaluated."},
	{Name: "abort_on_assert", Kind: boolSetting, Default: false, Doc: "A failed assertion ends the handler with an error.", Ignored: "a failed assertion always ends its handler with an error"},
	{Name: "mi_listen", Kind: stringSetting, Doc: "Address of the management interface.", Ignored: "management is on the control socket; see run --control"},
	{Name: "udp_gather", Kind: intSetting, Unit: "microseconds", Default: 2000.0, Min: 0, Max: 20000, Doc: "How long a UDP socket on which messages come fast lets them gather before they are handled; 0 is not at all."},
	{Name: "overload_delay", Kind: intSetting, Unit: "milliseconds", Default: 200.0, Min: 1, Max: 60000, Doc: "Delay over which new dialogs get 503."},
}

const (
	noProcesses = "there are no processes and no shared memory here"
	byGo        = "memory is managed by the Go runtime; GOMEMLIMIT bounds it"
	bySystem    = "the service manager does this"
)

// ignoredSettings are taken with one note that gives the reason.
var ignoredSettings = map[string]string{
	"udp_workers": noProcesses, "tcp_workers": noProcesses, "timer_workers": noProcesses, "tcp_threads": noProcesses,
	"auto_scaling_cycle": noProcesses, "auto_scaling_profile": noProcesses, "children": noProcesses, "tcp_children": noProcesses,
	"poll_method": noProcesses, "db_max_async_connections": "no async statement is needed; db pools are set by the modules",
	"shm": byGo, "shm_mem": byGo, "pkg_mem": byGo, "mem-group": byGo, "mem_warming": byGo, "mem_warming_percentage": byGo,
	"mem_warming_pattern_file": byGo, "memdump": byGo, "mem_dump": byGo, "memlog": byGo, "mem_log": byGo,
	"shm_hash_split_percentage": byGo, "shm_memlog_size": byGo, "shm_secondary_hash_size": byGo,
	"event_pkg_threshold": byGo, "event_shm_threshold": byGo, "restart_persistency_cache_file": byGo,
	"restart_persistency_size": byGo, "rpm_mem_file": byGo, "rpm_mem_size": byGo,
	"chroot": bySystem, "wdir": bySystem, "user": bySystem, "group": bySystem, "uid": bySystem, "gid": bySystem,
	"disable_core_dump": bySystem, "open_files_limit": bySystem, "debug_mode": "log_level = \"debug\" does this",
	"mpath": "modules are part of the program", "include_file": "require does this", "import_file": "require does this",
	"exec_dns_threshold": "slow calls are seen in the traces", "exec_msg_threshold": "slow calls are seen in the traces",
	"tcp_threshold": "slow calls are seen in the traces", "pv_print_buf_size": "strings have no fixed buffers here",
	"log_json_buf_size": "strings have no fixed buffers here", "log_msg_buf_size": "strings have no fixed buffers here",
	"log_event_enabled": "the log's own consumers serve", "log_event_level_filter": "the log's own consumers serve",
	"stderror_level_filter": "log_level serves", "syslog_level_filter": "log_level serves",
	"syslog_log_format": "stderror_log_format serves", "xlog_force_color": "the log is not coloured",
	"query_buffer_size": "set by the modules", "query_flush_time": "set by the modules", "dst_blacklist": "not taken over",
	"enable_dst_blacklist": "not taken over", "log_facility": "syslog_facility serves", "log_name": "syslog_name serves",
}

var settingIndex = func() map[string]*Setting {
	m := make(map[string]*Setting, len(settings))
	for i := range settings {
		m[settings[i].Name] = &settings[i]
	}
	return m
}()

// settingNames are all names that config{} takes, for suggestions.
func settingNames() []string {
	var out []string
	for _, s := range SettingsTable() {
		out = append(out, s.Name)
	}
	return out
}

// readSetting checks one value of config{} and gives it typed.
func readSetting(s *Setting, v lua.LValue) (any, error) {
	wrong := fmt.Errorf("config %s must be %s, got %s", s.Name, settingWords[s.Kind], showValue(v))
	switch s.Kind {
	case boolSetting:
		if b, ok := looseBool(v); ok {
			return b, nil
		}
	case intSetting:
		n, ok := looseNumber(v)
		if !ok || n != math.Trunc(n) {
			return nil, wrong
		}
		if s.Max > s.Min && (n < s.Min || n > s.Max) {
			return nil, fmt.Errorf("config %s must be from %s to %s%s, got %s", s.Name, numberText(s.Min), numberText(s.Max), unitText(s.Unit), numberText(n))
		}
		return n, nil
	case stringSetting:
		if x, ok := v.(lua.LString); ok {
			return string(x), nil
		}
	case levelSetting:
		if l, ok := levelWord(v); ok {
			return l, nil
		}
	case tableSetting:
		t, ok := v.(*lua.LTable)
		if !ok {
			break
		}
		out := map[string]any{}
		t.ForEach(func(k, v lua.LValue) { out[k.String()] = v.String() })
		return out, nil
	}
	return nil, wrong
}

func unitText(u string) string {
	if u == "" {
		return ""
	}
	return " " + u
}

func showValue(v lua.LValue) string {
	switch x := v.(type) {
	case lua.LString:
		return fmt.Sprintf("the string %q", clip(string(x)))
	case lua.LNumber:
		return "the number " + numberText(float64(x))
	}
	return article(luaType(v))
}

// looseBool takes OpenSIPS's ways to write yes and no.
func looseBool(v lua.LValue) (bool, bool) {
	switch x := v.(type) {
	case lua.LBool:
		return bool(x), true
	case lua.LNumber:
		return x == 1, x == 0 || x == 1
	case lua.LString:
		switch strings.ToLower(string(x)) {
		case "yes", "true", "on", "enable", "1":
			return true, true
		case "no", "false", "off", "disable", "0":
			return false, true
		}
	}
	return false, false
}

func looseNumber(v lua.LValue) (float64, bool) {
	switch x := v.(type) {
	case lua.LNumber:
		return float64(x), true
	case lua.LString:
		return parseNumber(string(x))
	}
	return 0, false
}

// levelWord is the word of a log level, also of OpenSIPS's number or L_NAME.
func levelWord(v lua.LValue) (string, bool) {
	switch x := v.(type) {
	case lua.LNumber:
		for w, n := range levelNumbers {
			if n == int(x) && len(w) > 3 || w == "warn" && n == int(x) {
				return w, true
			}
		}
	case lua.LString:
		l, ok := parseLevel(string(x))
		if !ok {
			return "", false
		}
		for w, n := range levelNumbers {
			if n == int(l) {
				return w, true
			}
		}
	}
	return "", false
}

// setting is a core setting's value, or its default.
func (p *Program) setting(name string) any {
	if v, ok := p.settings[name]; ok {
		return v
	}
	if s := settingIndex[name]; s != nil {
		return s.Default
	}
	return nil
}

func (p *Program) number(name string) float64 {
	n, _ := p.setting(name).(float64)
	return n
}

func (p *Program) milliseconds(name string) time.Duration {
	return time.Duration(p.number(name)) * time.Millisecond
}
