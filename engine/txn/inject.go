package txn

import "github.com/luasips/luasips/engine/api"

// Inject adds branches to a transaction that waits or rings (OpenSIPS
// t_inject_branches); cancelOthers cancels those there are. It may park.
func (t *transaction) Inject(c *api.Ctx, targets []api.Target, cancelOthers bool) api.Outcome {
	if o := t.mayRelay(); !o.OK() {
		return o
	}
	lv := t.live
	if lv.loop == 0 { // nothing was relayed yet
		lv.loop, lv.breadth = t.l.loopHash(&lv.in.Msg), t.receivedBreadth(&lv.in.Msg)
	}
	if cancelOthers {
		for _, b := range lv.list {
			b.cancel()
		}
	}
	set := make([]*branch, 0, 4)
	for i := range targets {
		b := t.addBranch(t.Request(), &targets[i])
		if b == nil {
			void(set)
			return outcomeMany
		}
		set = append(set, b)
	}
	if lv.wait > 0 {
		lv.wait = max(lv.wait-len(set), 0)
	}
	if !t.shareBreadth(set) {
		void(set)
		return outcomeInjBreadth
	}
	h := lv.onBranch
	lv.onBranch = nil
	t.hold++ // c may be of another call, and the launch may park
	o := t.launch(c, set, 0, h)
	t.hold--
	release(h)
	t.decide()
	t.settle()
	return o
}

// WaitForBranches keeps the transaction open for injected branches even when
// all others have failed (OpenSIPS t_wait_for_new_branches); max 0 is any
// number. It ends with fr_inv_timeout at the latest.
func (t *transaction) WaitForBranches(max int) api.Outcome {
	if o := t.mayRelay(); !o.OK() {
		return o
	}
	t.live.wait = max
	if max <= 0 {
		t.live.wait = -1
	}
	t.waitAt()
	return outcome(1, "waiting", "the transaction waits for branches to be injected")
}

// waitAt bounds the wait.
func (t *transaction) waitAt() {
	t.endAt = t.l.now() + t.live.frInv
	t.schedule()
}

// WaitNoMore ends the wait (OpenSIPS t_wait_no_more_branches): when every
// branch has failed the best response goes upstream.
func (t *transaction) WaitNoMore() api.Outcome {
	if t.live == nil || t.live.wait == 0 {
		return outcome(-1, "not_waiting", "the transaction does not wait for branches")
	}
	t.stopWaiting()
	return outcome(1, "ok", "the transaction waits no more")
}

// stopWaiting decides, with 408 where there never was a branch.
func (t *transaction) stopWaiting() {
	t.live.wait = 0
	if t.pendingBranches() > 0 || t.final || t.live.deciding {
		return
	}
	if t.best() == nil {
		t.noBranch()
		return
	}
	t.decide()
	t.settle()
}

// noBranch counts a transaction that waited for nothing as unanswered, by a
// branch that was never sent, so that a failure route has one to look at.
func (t *transaction) noBranch() {
	b := t.addBranch(t.Request(), &t.live.target)
	if b == nil {
		t.reply(408, "", nil)
		return
	}
	b.state, b.decided, b.local, b.status = clientEnded, true, true, 408
	t.decide()
	t.settle()
}

// Replicate sends a copy of the request that is never answered upstream
// (OpenSIPS t_replicate). It may park.
func (t *transaction) Replicate(c *api.Ctx, uri string, flags api.RelayFlags) api.Outcome {
	if t.live == nil || t.final {
		return outcomeFinal
	}
	b := t.addBranch(c.Msg, &api.Target{Duri: uri, Q: -1})
	if b == nil {
		return outcomeMany
	}
	if b.decided {
		return outcomeNoTarget
	}
	set := []*branch{b}
	o := t.prepareAll(nil, set)
	if o.OK() {
		o = t.resolveAll(c, set)
	}
	if !o.OK() || t.live == nil {
		b.void()
		return o
	}
	b.replica = true
	o = t.sendAll(set, flags|api.RelayNoAuto100)
	if o.OK() {
		c.Done |= api.ActionRelayed
	}
	if t.pendingBranches() == 0 && !t.final { // a replica answers nobody
		t.endAt = t.l.now() + 64*t.cfg.T1
		t.schedule()
	}
	return o
}
