package luabind

import (
	"io/fs"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// ProcessEnv is what the engine offers to scripts and their modules, for the
// life of the process. It must be safe for use by any goroutine.
type ProcessEnv interface {
	modules.ProcessHost
	// Sockets are the sockets of the program, empty while none is bound.
	Sockets() []*api.Socket
	// FlagBit is the bit of a message or branch flag; an error when all 64
	// are in use.
	FlagBit(name string, branch bool) (int, error)
	// OnPulse has fn called every few milliseconds while a worker is at work, and
	// soon again when it answers true. fn does not block. rouse has it called
	// though no worker is at work.
	OnPulse(fn func(now time.Time) (busy bool)) (rouse func())
	// ReadFile reads a file that a module names by an absolute path, a
	// certificate for one. Files beside the script do not go through it.
	ReadFile(path string) ([]byte, error)
}

// Options say what Load loads.
type Options struct {
	// Path is the script's file. What it requires and reads must be below its
	// folder.
	Path string
	// FS, when not nil, is read instead of the folder of Path; Path is then a
	// path inside it.
	FS fs.FS
	// Modules are all modules that a script may load, and the builtin ones.
	Modules []*modules.Module
	// Workers is how many workers there are, at least 1.
	Workers int
	// Env is the engine. nil only with CheckOnly.
	Env ProcessEnv
	// Previous is the program that runs now, at reload: process parts of
	// modules and shared values are taken over from it.
	Previous *Program
	// CheckOnly collects every finding and opens no process part.
	CheckOnly bool
	// Bind, when not nil, is called after the top level and before the
	// modules prepare their configuration, so that the declared sockets exist
	// by then.
	Bind func(p *Program) error
	// OnGone, when not nil, is called with the program's ID when its Lua states
	// have been let go.
	OnGone func(id uint64)
}

// SocketDecl is one socket() of the script.
type SocketDecl struct {
	Listen        string // "udp:127.0.0.1:5060"
	Tag           string // name for force_send_socket; "" when none
	As            string // advertised host[:port]; "" when none
	TOS           int    // IP type of service; 0 takes the setting tos
	ReusePort     int    // sockets per address; 0 takes the setting udp_sockets_per_address
	ProxyProtocol string // "", "allow", "send" or "both"
	Workers       int    // use_workers, taken and without meaning
	AcceptSub     bool   // accept_subdomain: subdomains of the name are ours
	Anycast       bool
	Frag          bool
	Where         string // file:line
}

// BondDecl is one bond() of the script.
type BondDecl struct {
	Name    string
	Members []string // sockets or tags, in the order of choice
	Strict  bool     // no member matches: the send fails
	Where   string   // file:line
}

// AliasDecl is one alias() of the script.
type AliasDecl struct {
	Name      string // "[proto:]host[:port]"
	AcceptSub bool   // accept_subdomain
	Where     string // file:line
}

// TimerDecl is one timer_route() of the script; it runs once per process.
type TimerDecl struct {
	Name    string
	Seconds int
	Handler api.Handler // runs in any worker's state
	Where   string      // file:line
}
