package tm

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

func fields() []modules.Field {
	perBranch := api.RouteBranch | api.RouteReply | api.RouteFailure
	field := func(name string, kind modules.Kind, doc string, get func(*Config, *api.Ctx) modules.Value) modules.Field {
		return modules.FieldOf(name, "$"+name, kind, doc, get).Volatile()
	}
	bavp := field("bavp", modules.KindAny, "Values kept with one branch, by name.", nil).In(perBranch)
	bavp.Get = nil
	bavp = modules.KeyedBy(bavp, (*Config).getBavp)
	bavp = modules.SetKeyBy(bavp, (*Config).setBavp)
	return []modules.Field{
		field("T_branch_idx", modules.KindNumber, "Index of the branch at hand, from 0; of the winning one in a failure route.",
			(*Config).branchIdx).In(perBranch),
		field("T_reply_code", modules.KindNumber, "Code of the reply: the last one sent, the one at hand in an onreply route, the winning one in a failure route; 0 when there is none.",
			(*Config).replyCode),
		field("T_ruri", modules.KindString, "Request URI of the branch at hand as it was sent.", (*Config).branchRURI),
		bavp,
		modules.SetBy(field("T_fr_timeout", modules.KindNumber, "Seconds to the final reply of this transaction; nil sets it back to fr_timeout.",
			(*Config).frTimeout), (*Config).setFrTimeout),
		modules.SetBy(field("T_fr_inv_timeout", modules.KindNumber, "Seconds an INVITE may ring in this transaction; nil sets it back to fr_inv_timeout.",
			(*Config).frInvTimeout), (*Config).setFrInvTimeout),
		field("T_id", modules.KindString, "Name of the transaction, unique while it lives; nil without one.", (*Config).id),
		field("T_branch_last_reply_code", modules.KindNumber,
			"Code of the last reply received on the branch at hand; msg.tm_branch[i].last_received is that of another.",
			(*Config).lastReply).In(perBranch),
	}
}

// branchIdx is $T_branch_idx.
func (*Config) branchIdx(c *api.Ctx) modules.Value {
	if c.Branch < 0 {
		return modules.Nil()
	}
	return modules.Int(c.Branch)
}

// replyCode is $T_reply_code.
func (*Config) replyCode(c *api.Ctx) modules.Value {
	if c.Tx == nil {
		return modules.Int(0)
	}
	return modules.Int(c.Tx.ReplyCode(c))
}

// branchRURI is $T_ruri.
func (*Config) branchRURI(c *api.Ctx) modules.Value {
	if c.Tx == nil {
		return modules.Nil()
	}
	if c.Branch >= 0 {
		if b, ok := c.Tx.BranchInfo(c.Branch); ok && b.Target.URI != "" {
			return modules.String(b.Target.URI)
		}
	}
	if c.Kind == api.RouteReply {
		return modules.BytesOrNil(c.Tx.Request().RequestURI())
	}
	return modules.BytesOrNil(c.Msg.RequestURI())
}

// getBavp reads $bavp.
func (*Config) getBavp(c *api.Ctx, key modules.Value) modules.Value {
	if c.Tx == nil || c.Branch < 0 {
		return modules.Nil()
	}
	return fromAny(c.Tx.BranchAVP(c.Branch, key.Text()))
}

// setBavp writes $bavp.
func (*Config) setBavp(c *api.Ctx, key, v modules.Value) error {
	if c.Tx == nil || c.Branch < 0 {
		return errors.New("bavp is of a branch; it can be set in branch, onreply and failure routes")
	}
	x, err := toAny(v)
	if err != nil {
		return err
	}
	c.Tx.SetBranchAVP(c.Branch, key.Text(), x)
	return nil
}

// fromAny reads a Lua-neutral value.
func fromAny(v any) modules.Value {
	switch x := v.(type) {
	case string:
		return modules.String(x)
	case float64:
		return modules.Number(x)
	case bool:
		return modules.Bool(x)
	}
	return modules.Nil()
}

// toAny makes a Lua-neutral value.
func toAny(v modules.Value) (any, error) {
	switch v.Kind {
	case modules.KindNil:
		return nil, nil
	case modules.KindString:
		return v.Str, nil
	case modules.KindNumber:
		return v.Num, nil
	case modules.KindBool:
		return v.Num != 0, nil
	}
	return nil, fmt.Errorf("a branch keeps strings, numbers and booleans, not a %s", v.Kind)
}

func seconds(d time.Duration) modules.Value { return modules.Number(d.Seconds()) }

// frTimeout is $T_fr_timeout.
func (m *Config) frTimeout(c *api.Ctx) modules.Value {
	if c.Tx != nil {
		return seconds(c.Tx.FrTimeout())
	}
	if p := pendingOf(c); p != nil && p.fr > 0 {
		return seconds(p.fr)
	}
	return seconds(m.settings.FrTimeout)
}

// frInvTimeout is $T_fr_inv_timeout.
func (m *Config) frInvTimeout(c *api.Ctx) modules.Value {
	if c.Tx != nil {
		return seconds(c.Tx.FrInvTimeout())
	}
	if p := pendingOf(c); p != nil && p.inv > 0 {
		return seconds(p.inv)
	}
	return seconds(m.settings.FrInvTimeout)
}

func (m *Config) setFrTimeout(c *api.Ctx, v modules.Value) error {
	d, err := duration(v, m.settings.FrTimeout)
	if err != nil {
		return err
	}
	if c.Tx != nil {
		c.Tx.SetFrTimeout(d)
	} else {
		makePending(c).fr = d
	}
	return nil
}

func (m *Config) setFrInvTimeout(c *api.Ctx, v modules.Value) error {
	d, err := duration(v, m.settings.FrInvTimeout)
	if err != nil {
		return err
	}
	if c.Tx != nil {
		c.Tx.SetFrInvTimeout(d)
	} else {
		makePending(c).inv = d
	}
	return nil
}

// duration reads seconds; nil is def.
func duration(v modules.Value, def time.Duration) (time.Duration, error) {
	if v.IsNil() {
		return def, nil
	}
	if v.Kind != modules.KindNumber || !(v.Num > 0 && v.Num <= 86400) {
		return 0, fmt.Errorf("a timeout is a number of seconds from above 0 to 86400, not %q", v.Text())
	}
	return time.Duration(v.Num * float64(time.Second)), nil
}

// id is $T_id.
func (*Config) id(c *api.Ctx) modules.Value {
	if c.Tx == nil {
		return modules.Nil()
	}
	return modules.String(c.Tx.ID())
}

// lastReply is $T_branch_last_reply_code.
func (*Config) lastReply(c *api.Ctx) modules.Value {
	b, ok := current(c)
	if !ok {
		return modules.Nil()
	}
	return lastReceived(&b)
}

func lastReceived(b *api.BranchInfo) modules.Value {
	if b.Received == 0 {
		return modules.Nil()
	}
	return modules.Int(b.Received)
}

// branchFields are the parts of $tm.branch for the branch at hand. Those of all
// branches are msg.tm_branch[i], which the language has itself.
func branchFields() []modules.Field {
	const routes = api.RouteBranch | api.RouteReply | api.RouteFailure
	var out []modules.Field
	for _, p := range branchParts {
		f := modules.FieldOf("tm_branch_"+p.name, "$tm.branch."+p.name, p.kind, p.doc,
			func(_ *Config, c *api.Ctx) modules.Value {
				b, ok := current(c)
				if !ok {
					return modules.Nil()
				}
				return p.get(c, &b)
			}).Volatile().In(routes)
		out = append(out, f)
	}
	flag := modules.Field{Name: "tm_branch_flag", OpenSIPS: "$tm.branch.flag", Kind: modules.KindBool, Routes: routes,
		Doc: "Branch flags of the branch at hand, by name."}
	flag = modules.SetKeyBy(modules.KeyedBy(flag, (*Config).branchFlag), (*Config).setBranchFlag)
	attr := modules.Field{Name: "tm_branch_attr", OpenSIPS: "$tm.branch.attr", Kind: modules.KindAny, Routes: routes,
		Doc: "Attributes of the branch at hand, by name."}
	attr = modules.SetKeyBy(modules.KeyedBy(attr, (*Config).branchAttr), (*Config).setBranchAttr)
	return append(out, flag, attr)
}

// branchPart is one readable part of a branch.
type branchPart struct {
	name string
	kind modules.Kind
	doc  string
	get  func(c *api.Ctx, b *api.BranchInfo) modules.Value
}

var branchParts = []branchPart{
	{"uri", modules.KindString, "Request URI of the branch at hand.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value { return modules.StringOrNil(b.Target.URI) }},
	{"duri", modules.KindString, "Destination URI of the branch at hand; nil when it has none.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value { return modules.StringOrNil(b.Target.Duri) }},
	{"path", modules.KindString, "Path of the branch at hand; nil when it has none.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value { return modules.StringOrNil(b.Target.Path) }},
	{"q", modules.KindNumber, "q value of the branch at hand in thousandths, 0 to 1000; nil when it has none.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value {
			if b.Target.Q < 0 {
				return modules.Nil()
			}
			return modules.Int(b.Target.Q)
		}},
	{"flags", modules.KindString, "Names of the flags of the branch at hand, separated by commas.",
		func(c *api.Ctx, b *api.BranchInfo) modules.Value { return modules.String(flagNames(c, b.Target.Flags)) }},
	{"socket", modules.KindString, "Socket the branch at hand was sent from.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value {
			for _, s := range [...]*api.Socket{b.Dest.Socket, b.Target.Socket} {
				if s != nil {
					return modules.String(s.Name)
				}
			}
			return modules.Nil()
		}},
	{"last_received", modules.KindNumber, "Code of the last reply received on the branch at hand; nil when none came.",
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value { return lastReceived(b) }},
	{"type", modules.KindString, `"sip", or "phony" for one that only waits for branches to come.`,
		func(_ *api.Ctx, b *api.BranchInfo) modules.Value { return modules.StringOrNil(b.Type) }},
}

func flagNames(c *api.Ctx, f api.Flags) string {
	var names []string
	for bit := range 64 {
		if f.Has(bit) {
			names = append(names, c.Host.FlagName(bit, true))
		}
	}
	return strings.Join(names, ",")
}

// branchFlag is $tm.branch.flag(name).
func (*Config) branchFlag(c *api.Ctx, key modules.Value) modules.Value {
	b, ok := current(c)
	if !ok {
		return modules.Nil()
	}
	bit, err := c.Host.FlagBit(key.Text(), true)
	if err != nil {
		return modules.Nil()
	}
	return modules.Bool(b.Target.Flags.Has(bit))
}

func (*Config) setBranchFlag(c *api.Ctx, key, v modules.Value) error {
	b, ok := current(c)
	if !ok {
		return errNoBranch
	}
	bit, err := c.Host.FlagBit(key.Text(), true)
	if err != nil {
		return err
	}
	c.Tx.SetBranchFlags(b.Index, b.Target.Flags.With(bit, v.Truth()))
	return nil
}

// branchAttr is $tm.branch.attr(name).
func (*Config) branchAttr(c *api.Ctx, key modules.Value) modules.Value {
	b, ok := current(c)
	if !ok {
		return modules.Nil()
	}
	return fromAny(b.Target.Attrs[key.Text()])
}

func (*Config) setBranchAttr(c *api.Ctx, key, v modules.Value) error {
	b, ok := current(c)
	if !ok {
		return errNoBranch
	}
	x, err := toAny(v)
	if err != nil {
		return err
	}
	c.Tx.SetBranchAttr(b.Index, key.Text(), x)
	return nil
}

var errNoBranch = errors.New("there is no branch at hand; this is for branch, onreply and failure routes")

// current is the branch at hand.
func current(c *api.Ctx) (api.BranchInfo, bool) {
	if c.Tx == nil || c.Branch < 0 {
		return api.BranchInfo{}, false
	}
	return c.Tx.BranchInfo(c.Branch)
}
