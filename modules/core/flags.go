package core

import (
	"fmt"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// flagFunctions are those on message and branch flags; msg.flags and
// msg.bflags are the same flags.
func flagFunctions() []modules.Function {
	name := modules.StrArg("flag", "the flag's name")
	index := modules.OptIntArg("branch_idx", 0, "branch; 0 is that of the Request-URI")
	message := func(n, doc string, f func(*api.State, int) modules.Ret) modules.Function {
		return modules.F1(modules.Spec{Name: n, Doc: doc}, name, func(_ *config, c *api.Ctx, flag string) modules.Ret {
			bit, err := c.Host.FlagBit(flag, false)
			if err != nil {
				return modules.Misuse(err)
			}
			return f(c.State, bit)
		})
	}
	branch := func(n, doc string, f func(*api.Flags, int) modules.Ret) modules.Function {
		return modules.F2(modules.Spec{Name: n, Doc: doc, Routes: api.RouteMessage}, name, index, func(_ *config, c *api.Ctx, flag string, i int) modules.Ret {
			return onBranchFlag(c, flag, i, f)
		})
	}
	return []modules.Function{
		message("setflag", "Sets a message flag.", func(s *api.State, bit int) modules.Ret { s.Flags = s.Flags.With(bit, true); return modules.Yes() }),
		message("resetflag", "Clears a message flag.", func(s *api.State, bit int) modules.Ret { s.Flags = s.Flags.With(bit, false); return modules.Yes() }),
		message("isflagset", "Whether a message flag is set.", func(s *api.State, bit int) modules.Ret { return isSet(s.Flags, bit) }),
		branch("setbflag", "Sets a branch flag.", func(f *api.Flags, bit int) modules.Ret { *f = f.With(bit, true); return modules.Yes() }),
		branch("resetbflag", "Clears a branch flag.", func(f *api.Flags, bit int) modules.Ret { *f = f.With(bit, false); return modules.Yes() }),
		branch("isbflagset", "Whether a branch flag is set.", func(f *api.Flags, bit int) modules.Ret { return isSet(*f, bit) }),
	}
}

func isSet(f api.Flags, bit int) modules.Ret {
	return modules.YesIf(f.Has(bit), "not_set", "the flag is not set")
}

func onBranchFlag(c *api.Ctx, flag string, i int, f func(*api.Flags, int) modules.Ret) modules.Ret {
	t, err := branchAt(c, i)
	if err != nil {
		return modules.Misuse(err)
	}
	bit, err := c.Host.FlagBit(flag, true)
	if err != nil {
		return modules.Misuse(err)
	}
	return f(&t.Flags, bit)
}

// branchAt is msg.branch[i]: 0 is the Request-URI's.
func branchAt(c *api.Ctx, i int) (*api.Target, error) {
	switch {
	case c.Target == nil:
		return nil, errNoRequest
	case i == 0:
		return c.Target, nil
	case i < 0 || i > len(c.Extra):
		return nil, fmt.Errorf("branch %d does not exist; the last one is %d", i, len(c.Extra))
	}
	return &c.Extra[i-1], nil
}
