package luabind

import (
	"errors"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// topHost is the Host of the top level: there is no message and no network.
type topHost struct {
	p      *Program
	worker int
}

// scriptLog is implemented by an Env that tells records of the script from the
// engine's.
type scriptLog interface {
	// LogScript writes a record of generation's script at where ("file:line");
	// force writes it whatever the log's level is.
	LogScript(level api.Level, force bool, where string, generation uint64, msg string, fields ...api.Field)
}

var errTopLevel = errors.New("there is no message at the top level")

func (h topHost) Worker() int { return h.worker }

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
func (h topHost) Sockets() []*api.Socket                         { return genHost{h.p}.Sockets() }
func (h topHost) FlagBit(name string, branch bool) (int, error) {
	return genHost{h.p}.FlagBit(name, branch)
}

func (h topHost) StatelessReply(*api.Ctx, int, string, *api.ReplyOptions) error { return errTopLevel }

func (h topHost) Resolver() api.Resolver {
	if h.p.opt.Env == nil {
		return nil
	}
	return h.p.opt.Env.Resolver()
}

// Log writes what the top level says, once and not for each worker, by the
// level that the script has set so far: the log has that of the version before.
func (h topHost) Log(c *api.Ctx, level api.Level, msg string, fields ...api.Field) {
	if h.worker != 0 {
		return
	}
	r, ok := c.Data.(*run)
	l, ok2 := h.p.opt.Env.(scriptLog)
	if !ok || !ok2 {
		genHost{h.p}.Log(level, msg, fields...)
		return
	}
	word, _ := r.st.decl.settings["log_level"].(string)
	own, set := parseLevel(word)
	l.LogScript(level, set && level <= own, r.Position(), h.p.id, msg, fields...)
}

func (h topHost) RaiseEvent(name string, params map[string]any) {
	if h.p.opt.Env != nil {
		h.p.opt.Env.RaiseEvent(name, params)
	}
}

// yesRet is the plain true, whose result every state makes once.
var yesRet = modules.Yes()

func newParams() map[string]map[string]modules.Value { return map[string]map[string]modules.Value{} }
