package tm

import (
	"fmt"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/textops/posix"
)

// Config is the module in one generation.
type Config struct {
	modules.NoLifecycle
	settings Settings
	patterns posix.Cache
}

// Settings are the module's parameters as the transaction layer wants them.
type Settings struct {
	FrTimeout       time.Duration // fr_timeout
	FrInvTimeout    time.Duration // fr_inv_timeout
	T1, T2          time.Duration // T1_timer, T2_timer
	RestartFr       bool          // restart_fr_on_each_reply
	Auto100         bool          // auto_100trying
	Disable6xxBlock bool          // disable_6xx_block
	// Minor holds the branch flag of minor_branch_flag; 0 when there is none.
	Minor api.Flags
}

// TxnSettings are the settings of this generation. The program gives them to
// the transaction layer when the generation becomes the live one.
func (m *Config) TxnSettings() Settings { return m.settings }

// DefaultSettings are those of a script that does not load tm.
func DefaultSettings() Settings {
	return Settings{FrTimeout: 30 * time.Second, FrInvTimeout: 120 * time.Second,
		T1: 500 * time.Millisecond, T2: 4 * time.Second, RestartFr: true, Auto100: true}
}

func newConfig(g modules.GenerationHost, p modules.Params) (modules.Config, error) {
	s := Settings{
		FrTimeout:       time.Duration(p.Int("fr_timeout")) * time.Second,
		FrInvTimeout:    time.Duration(p.Int("fr_inv_timeout")) * time.Second,
		T1:              time.Duration(p.Int("T1_timer")) * time.Millisecond,
		T2:              time.Duration(p.Int("T2_timer")) * time.Millisecond,
		RestartFr:       p.Bool("restart_fr_on_each_reply"),
		Auto100:         p.Bool("auto_100trying"),
		Disable6xxBlock: p.Bool("disable_6xx_block"),
	}
	if s.T1 > s.T2 {
		return nil, fmt.Errorf("T1_timer (%v) is longer than T2_timer (%v), the longest interval", s.T1, s.T2)
	}
	if name := p.Str("minor_branch_flag"); name != "" {
		bit, err := g.FlagBit(name, true)
		if err != nil {
			return nil, fmt.Errorf("minor_branch_flag: %w", err)
		}
		s.Minor = api.Flags(0).With(bit, true)
	}
	return &Config{settings: s}, nil
}
