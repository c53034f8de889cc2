package luabind

import (
	"errors"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// topHost is the Host of the top level: there is no message and no network.
type topHost struct{ p *Program }

var errTopLevel = errors.New("there is no message at the top level")

func (h topHost) Worker() int { return 0 }

func (h topHost) Now() time.Time {
	if h.p.opt.Env == nil {
		return time.Now()
	}
	return h.p.opt.Env.Now()
}

func (h topHost) Park(_ *api.Ctx, fn func()) { fn() }

func (h topHost) Go(name string, fn func()) {
	if h.p.opt.Env != nil {
		h.p.opt.Env.Go(name, fn)
	}
}

func (h topHost) Post(worker int, fn func()) {
	if h.p.opt.Env != nil {
		h.p.opt.Env.Post(worker, fn)
	}
}

func (h topHost) Workers() int                                   { return h.p.opt.Workers }
func (h topHost) Transaction(*api.Ctx) (api.Transaction, error)  { return nil, errTopLevel }
func (topHost) Cancelled(*api.Ctx) bool                          { return false }
func (h topHost) Lookup(*api.Ctx) api.Transaction                { return nil }
func (h topHost) StatelessForward(*api.Ctx, *api.Target) error   { return errTopLevel }
func (h topHost) NewRequest(*api.Ctx, *api.NewRequest) error     { return errTopLevel }
func (h topHost) IsMyself(string, uint16, api.Proto) bool        { return false }
func (h topHost) FindSocket(string) (*api.Socket, string, error) { return nil, "", errTopLevel }
func (h topHost) BondHas(string, *api.Socket) bool               { return false }
func (h topHost) CloseFlow(api.Flow) bool                        { return false }
func (h topHost) FlowTo(string) api.Flow                         { return 0 }
func (h topHost) FlagName(int, bool) string                      { return "" }
func (h topHost) Setting(name string) any                        { return h.p.setting(name) }
func (h topHost) Sockets() []*api.Socket                         { return genHost(h).Sockets() }
func (h topHost) FlagBit(name string, branch bool) (int, error) {
	return genHost(h).FlagBit(name, branch)
}

func (h topHost) StatelessReply(*api.Ctx, int, string, *api.ReplyOptions) error { return errTopLevel }

func (h topHost) Resolver() api.Resolver {
	if h.p.opt.Env == nil {
		return nil
	}
	return h.p.opt.Env.Resolver()
}

func (h topHost) Log(_ *api.Ctx, level api.Level, msg string, fields ...api.Field) {
	genHost(h).Log(level, msg, fields...)
}

func (h topHost) RaiseEvent(name string, params map[string]any) {
	if h.p.opt.Env != nil {
		h.p.opt.Env.RaiseEvent(name, params)
	}
}

// yesRet is the plain true, whose result every state makes once.
var yesRet = modules.Yes()

func newParams() map[string]map[string]modules.Value { return map[string]map[string]modules.Value{} }
