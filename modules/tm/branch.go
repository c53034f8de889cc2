package tm

import (
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// onFailure is t_on_failure.
func (m *Config) onFailure(c *api.Ctx, h api.Handler) modules.Ret {
	return m.arm(c, api.RouteFailure, h)
}

// onReply is t_on_reply.
func (m *Config) onReply(c *api.Ctx, h api.Handler) modules.Ret { return m.arm(c, api.RouteReply, h) }

// onBranch is t_on_branch.
func (m *Config) onBranch(c *api.Ctx, h api.Handler) modules.Ret {
	return m.arm(c, api.RouteBranch, h)
}

// arm arms h with the transaction, or for the one to come.
func (*Config) arm(c *api.Ctx, kind api.Route, h api.Handler) modules.Ret {
	if c.Tx != nil {
		c.Tx.Arm(c, kind, h)
		return modules.Yes()
	}
	if c.Kind != api.RouteRequest {
		return noTransaction
	}
	p := makePending(c)
	for i, k := range armKinds {
		if k == kind {
			p.armed[i], p.set[i] = h, true
		}
	}
	return modules.Yes()
}

// status is the code that t_check_status looks at.
func status(c *api.Ctx) int {
	switch {
	case c.Kind == api.RouteReply:
		return c.Msg.StatusCode()
	case c.Kind == api.RouteFailure:
		return c.ReplyCode
	case c.Tx != nil:
		return c.Tx.Status()
	}
	return 0
}

// checkStatus is t_check_status.
func (m *Config) checkStatus(c *api.Ctx, pattern string) modules.Ret {
	re, err := m.patterns.Arg(pattern)
	if err != nil {
		return modules.Misuse(err)
	}
	code := status(c)
	if code == 0 {
		return modules.No(-1, "no_reply", "there is no reply yet")
	}
	var digits [3]byte
	return modules.YesIf(re.Match(strconv.AppendInt(digits[:0], int64(code), 10)), "no_match", "the status does not match")
}

// localReplied is t_local_replied.
func (*Config) localReplied(c *api.Ctx, which string) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	return modules.YesIf(c.Tx.LocalReplied(which), "received", "the reply was received")
}

// wasCancelled is t_was_cancelled.
func (*Config) wasCancelled(c *api.Ctx) modules.Ret {
	return modules.YesIf(c.Host.Cancelled(c), "not_cancelled", "no CANCEL came")
}

// cancelBranch is t_cancel_branch.
func (*Config) cancelBranch(c *api.Ctx, flags string) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	which, keep := api.CancelThis, c.Branch
	switch flags {
	case "a":
		which, keep = api.CancelAll, -1
	case "o":
		which = api.CancelOthers
	}
	return modules.YesIf(c.Tx.CancelBranches(c, which, keep) > 0, "none_pending", "no branch is pending")
}

// inject is t_inject_branches.
func (*Config) inject(c *api.Ctx, _, flags string) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	cancel, last := false, false
	for w := range strings.SplitSeq(flags, ",") {
		switch strings.TrimSpace(w) {
		case "cancel", "c":
			cancel = true
		case "last", "l":
			last = true
		}
	}
	o := c.Tx.Inject(c, targets(c), cancel)
	if o.OK() && last {
		c.Tx.WaitNoMore()
	}
	return done(c, o)
}

// targets are the destinations of c's message: its request URI, then the
// branches added.
func targets(c *api.Ctx) []api.Target {
	var list []api.Target
	if c.Target != nil && c.Msg != nil && c.Msg.IsRequest() {
		first := *c.Target
		first.URI = string(c.Msg.RequestURI())
		list = append(list, first)
	}
	return append(list, c.Extra...)
}

// waitForBranches is t_wait_for_new_branches.
func (*Config) waitForBranches(c *api.Ctx, n int) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	return modules.FromOutcome(c.Tx.WaitForBranches(n))
}

// waitNoMore is t_wait_no_more_branches.
func (*Config) waitNoMore(c *api.Ctx) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	return modules.FromOutcome(c.Tx.WaitNoMore())
}

// branchByAttr is t_get_branch_idx_by_attr.
func (*Config) branchByAttr(c *api.Ctx, a *modules.Args) modules.Ret {
	if c.Tx == nil {
		return modules.NoOutput(noTransaction.Code, noTransaction.Name, noTransaction.Text)
	}
	for i := max(0, int(a.V[3].Num)); i < c.Tx.NumBranches(); i++ {
		b, ok := c.Tx.BranchInfo(i)
		if !ok {
			break
		}
		if v, has := b.Target.Attrs[a.V[0].Text()]; has && attrIs(v, a.V[1], a.V[2]) {
			return modules.Output(modules.Int(i))
		}
	}
	return modules.NoOutput(-1, "not_found", "no branch has the attribute with that value")
}

// attrIs tells whether an attribute has the value asked for; none is any.
func attrIs(v any, str, num modules.Value) bool {
	if !str.IsNil() {
		s, ok := v.(string)
		return ok && s == str.Text()
	}
	if !num.IsNil() {
		n, ok := v.(float64)
		return ok && n == num.Num
	}
	return true
}
