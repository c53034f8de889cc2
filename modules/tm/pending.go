package tm

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// pending is what a request route settles before its transaction exists:
// armed routes and timeouts. It waits in the message's state and is applied
// when the transaction is made, so that a script which stays stateless makes
// none.
type pending struct {
	armed   [3]api.Handler
	set     [3]bool
	fr, inv time.Duration // 0: not set
}

// armKinds are the route types in the order of pending.armed.
var armKinds = [3]api.Route{api.RouteBranch, api.RouteFailure, api.RouteReply}

type pendingKey struct{}

// pendingOf is the pending record of c's message, nil when there is none.
func pendingOf(c *api.Ctx) *pending {
	p, _ := c.State.Slot(pendingKey{}).(*pending)
	return p
}

// makePending is pendingOf that makes one.
func makePending(c *api.Ctx) *pending {
	p := pendingOf(c)
	if p == nil {
		p = &pending{}
		c.State.SetSlot(pendingKey{}, p)
	}
	return p
}

// apply gives what waited to the transaction.
func (p *pending) apply(c *api.Ctx, tx api.Transaction) {
	for i, kind := range armKinds {
		if p.set[i] {
			tx.Arm(c, kind, p.armed[i])
		}
	}
	if p.fr > 0 {
		tx.SetFrTimeout(p.fr)
	}
	if p.inv > 0 {
		tx.SetFrInvTimeout(p.inv)
	}
	*p = pending{}
}

// transaction is the transaction of c's request, made when there is none, with
// what waited for it applied.
func transaction(c *api.Ctx) (api.Transaction, error) {
	tx := c.Tx
	if tx == nil {
		var err error
		if tx, err = c.Host.Transaction(c); err != nil {
			return nil, err
		}
		c.Tx = tx
	}
	if p := pendingOf(c); p != nil {
		p.apply(c, tx)
	}
	return tx, nil
}

// isMethod tells the method of c's request.
func isMethod(c *api.Ctx, m sip.Method) bool {
	return c.Msg != nil && c.Msg.Method() == m
}
