package txn

import (
	"time"

	"github.com/luasips/luasips/engine/api"
)

// Config are the settings of the transaction layer: tm's parameters and the
// timers of RFC 3261 table 4. A transaction keeps the Config it began with, so
// it must not be changed once given.
type Config struct {
	T1, T2, T4 time.Duration // round trip estimate, longest resend interval, network memory
	// FrTimeout ends a branch without any reply (tm fr_timeout): Timer B and F.
	// Zero is 64*T1.
	FrTimeout time.Duration
	// FrInvTimeout ends an INVITE branch that rings (tm fr_inv_timeout).
	// Zero is TimerC.
	FrInvTimeout time.Duration
	// TimerC is RFC 3261 §16.6 item 11; more than 3 minutes.
	TimerC time.Duration
	// Auto100 sends 100 to an INVITE as soon as it is relayed (tm auto_100trying).
	Auto100 bool
	// RestartFrOnReply restarts FrInvTimeout on each 101-199 and not on the
	// first alone (tm restart_fr_on_each_reply; RFC 3261 §16.7 item 2).
	RestartFrOnReply bool
	// Disable6xxBlock takes 6xx for a failure of its branch alone, so that
	// others go on and new ones may be tried (tm disable_6xx_block).
	Disable6xxBlock bool
	// MinorBranch are the branch flags that make a branch minor: the decision
	// does not wait for it (tm minor_branch_flag).
	MinorBranch api.Flags
	// MaxBreadth stands for an absent Max-Breadth (RFC 5393 §5.3.3); 60 is its
	// recommended value. 0 neither reads nor writes the header.
	MaxBreadth int
	// MaxBranches bounds the branches of one transaction; 0 is the most that a
	// branch value can number, 65,536.
	MaxBranches int
	// ServerHeader is the value of Server in replies made here; UserAgent that
	// of User-Agent in requests made here. Empty adds none.
	ServerHeader, UserAgent string
	// Secret keys the branch values and tags made here. It is read by New
	// alone: a layer keeps the one it began with.
	Secret [16]byte

	server []byte // ServerHeader, nil when empty
}

// DefaultConfig are the values of RFC 3261, with OpenSIPS's fr_timeout (30 s)
// and fr_inv_timeout (120 s).
func DefaultConfig() *Config {
	return &Config{
		T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 5 * time.Second,
		FrTimeout: 30 * time.Second, FrInvTimeout: 120 * time.Second, TimerC: 181 * time.Second,
		Auto100: true, RestartFrOnReply: true, MaxBreadth: 60,
	}
}

// filled is c with defaults where a duration is zero.
func (c *Config) filled() *Config {
	d := *c
	for _, f := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&d.T1, 500 * time.Millisecond}, {&d.T2, 4 * time.Second}, {&d.T4, 5 * time.Second}, {&d.TimerC, 181 * time.Second}} {
		if *f.at <= 0 {
			*f.at = f.def
		}
	}
	if d.FrTimeout <= 0 {
		d.FrTimeout = 64 * d.T1
	}
	if d.FrInvTimeout <= 0 {
		d.FrInvTimeout = d.TimerC
	}
	if d.MaxBranches <= 0 || d.MaxBranches > maxBranch+1 {
		d.MaxBranches = maxBranch + 1
	}
	if d.ServerHeader != "" {
		d.server = []byte(d.ServerHeader)
	}
	return &d
}
