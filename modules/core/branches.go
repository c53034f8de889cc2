package core

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxBranches bounds the branches that a script can add to one request.
const maxBranches = 1000

// branchFunctions change the set of branches that the next relay sends.
// remove_, move_ and swap_ count as OpenSIPS does there: the added branches
// from 0, so that msg.branch[1] is 0; what is negative or not given is the
// Request-URI's branch.
func branchFunctions() []modules.Function {
	index := func(name, doc string) modules.ArgOf[int] {
		return modules.OptIntArg(name, -1, doc+": an added branch from 0, the Request-URI's when negative or not given")
	}
	added := func(name, doc string) modules.Spec { return modules.Spec{Name: name, Doc: doc, Routes: branchRoutes} }
	moved := added("next_branches", "Takes the next group of branches of equal q from those that serialize_branches put aside: the first becomes the request's target, the others are added.")
	moved.Results = []modules.Result{
		{Code: 1, Name: "more", Doc: "further branches are left"},
		{Code: 2, Name: "last", Doc: "no further branches are left"},
		{Code: -1, Name: "none", Doc: "none was left"},
	}
	appendArgs := []modules.Arg{
		modules.StrArg("uri", "Request-URI of the branch").Arg,
		modules.OptAnyArg("qvalue", `q as a Contact has it, "0.5" (RFC 3261 §20.10), or a number of thousandths, 2 to 1000`).Arg,
		modules.FlagsArg("flags", "inherite takes destination URI, path, q, socket and flags from the Request-URI's branch", "inherite", "inherit").Arg,
	}
	return []modules.Function{
		modules.FN(added("append_msg_branch", "Adds a branch that the next relay sends too."), appendArgs, appendBranch),
		modules.F1(added("remove_msg_branch", "Removes an added branch; those behind it move up."), modules.IntArg("branch_idx", "an added branch from 0"), removeBranch),
		modules.F3(added("move_msg_branch", "Writes one branch over another and removes it; the Request-URI's branch is only copied."),
			index("src_idx", "branch to move"), index("dst_idx", "branch to write"),
			modules.FlagsArg("keep", "keep copies and removes nothing", "keep"), moveBranch),
		modules.F2(added("swap_msg_branches", "Exchanges two branches."), index("br1_idx", "one branch"), index("br2_idx", "the other"), swapBranches),
		modules.F2(added("serialize_branches", "Puts all branches aside, in the order of q, to be tried one group after the other by next_branches. The Request-URI stays as it is."),
			modules.IntArg("clear_previous", "not 0: forget what an earlier call put aside"),
			modules.OptIntArg("keep_order", 0, "not 0: one branch after the other in the order they stand, whatever their q"), serializeBranches),
		modules.F0(moved, nextBranches),
	}
}

func appendBranch(_ *config, c *api.Ctx, a *modules.Args) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	uri := a.V[0].Text()
	if err := checkURI(uri); err != nil {
		return modules.Misuse(fmt.Errorf("argument \"uri\": %w", err))
	}
	if len(c.Extra) >= maxBranches {
		return modules.No(-1, "too_many", fmt.Sprintf("a request has at most %d added branches", maxBranches))
	}
	t := api.Target{Q: -1}
	if a.V[2].Text() != "" {
		t = clone(*c.Target)
	}
	t.URI = uri
	if !a.V[1].IsNil() {
		q, err := readQ(a.V[1])
		if err != nil {
			return modules.Misuse(fmt.Errorf("argument \"qvalue\": %w", err))
		}
		t.Q = q
	}
	c.Extra = append(c.Extra, t)
	return modules.Yes()
}

func clone(t api.Target) api.Target {
	t.Attrs = maps.Clone(t.Attrs)
	return t
}

func removeBranch(_ *config, c *api.Ctx, i int) modules.Ret {
	if i < 0 || i >= len(c.Extra) {
		return noBranch(c, i)
	}
	c.Extra = slices.Delete(c.Extra, i, i+1)
	return modules.Yes()
}

func noBranch(c *api.Ctx, i int) modules.Ret {
	return modules.No(-1, "no_branch", fmt.Sprintf("there is no added branch %d; there are %d", i, len(c.Extra)))
}

// readBranch copies a branch with its URI; i below 0 is the Request-URI's.
func readBranch(c *api.Ctx, i int) api.Target {
	if i >= 0 {
		return clone(c.Extra[i])
	}
	t := clone(*c.Target)
	t.URI = string(c.Msg.RequestURI())
	return t
}

// writeBranch overwrites a branch; i below 0 is the Request-URI's.
func writeBranch(c *api.Ctx, i int, t api.Target) error {
	if i >= 0 {
		c.Extra[i] = t
		return nil
	}
	if err := c.Msg.SetRequestURI([]byte(t.URI)); err != nil {
		return err
	}
	t.URI = ""
	*c.Target = t
	return nil
}

func moveBranch(_ *config, c *api.Ctx, src, dst int, keep string) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	src, dst = max(src, -1), max(dst, -1)
	for _, i := range [...]int{src, dst} {
		if i >= len(c.Extra) {
			return noBranch(c, i)
		}
	}
	if src == dst {
		return modules.Yes()
	}
	if err := writeBranch(c, dst, readBranch(c, src)); err != nil {
		return modules.Misuse(err)
	}
	if keep == "" && src >= 0 {
		c.Extra = slices.Delete(c.Extra, src, src+1)
	}
	return modules.Yes()
}

func swapBranches(_ *config, c *api.Ctx, a, b int) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	a, b = max(a, -1), max(b, -1)
	for _, i := range [...]int{a, b} {
		if i >= len(c.Extra) {
			return noBranch(c, i)
		}
	}
	x, y := readBranch(c, a), readBranch(c, b)
	if err := writeBranch(c, a, y); err != nil {
		return modules.Misuse(err)
	}
	return done(writeBranch(c, b, x))
}

// serialKey is where serialised branches wait in the transaction's state: as
// groups, each to be sent in parallel.
type serialKey struct{}

func serializeBranches(_ *config, c *api.Ctx, clear, keepOrder int) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	all := append([]api.Target{readBranch(c, -1)}, c.Extra...)
	groups := serialGroups(all, keepOrder != 0)
	if waiting, _ := c.State.Slot(serialKey{}).([][]api.Target); clear == 0 {
		groups = append(groups, waiting...)
	}
	if len(groups) > maxBranches {
		return modules.No(-1, "too_many", fmt.Sprintf("at most %d groups of branches wait", maxBranches))
	}
	c.State.SetSlot(serialKey{}, groups)
	c.Extra = c.Extra[:0]
	return modules.Yes()
}

// serialGroups cuts branches into groups of equal q, the highest first; one
// branch each when the order is kept.
func serialGroups(all []api.Target, keepOrder bool) (groups [][]api.Target) {
	if !keepOrder {
		slices.SortStableFunc(all, func(a, b api.Target) int { return cmp.Compare(b.Q, a.Q) })
	}
	for i := range all {
		if n := len(groups); n > 0 && !keepOrder && all[i].Q == groups[n-1][0].Q {
			groups[n-1] = append(groups[n-1], all[i])
			continue
		}
		groups = append(groups, []api.Target{all[i]})
	}
	return groups
}

func nextBranches(_ *config, c *api.Ctx) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	groups, _ := c.State.Slot(serialKey{}).([][]api.Target)
	if len(groups) == 0 {
		return modules.No(-1, "none", "no serialised branches are left")
	}
	if err := writeBranch(c, -1, groups[0][0]); err != nil {
		return modules.Misuse(err)
	}
	c.Extra = append(c.Extra, groups[0][1:]...)
	c.State.SetSlot(serialKey{}, groups[1:])
	if len(groups) > 1 {
		return modules.YesCode(1, "more")
	}
	return modules.YesCode(2, "last")
}
