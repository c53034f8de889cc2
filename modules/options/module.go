// Package options answers OPTIONS requests to the proxy itself (RFC 3261 §11):
// OpenSIPS's module options.
package options

import (
	"fmt"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/signaling"
)

// Module declares the module.
func Module() *modules.Module {
	params := make([]modules.Param, 0, len(headers))
	for _, h := range headers {
		params = append(params, modules.Param{Name: h.param, Kind: modules.KindString, Default: modules.String(h.def),
			Doc: fmt.Sprintf("Value of the %s header; an empty one leaves the header out.", h.name)})
	}
	return &modules.Module{
		Name:   "options",
		Doc:    "Answers OPTIONS requests to the proxy itself, by which others see that it is alive and what it can do.",
		Params: params,
		Functions: []modules.Function{
			modules.F0(modules.Spec{
				Name:   "options_reply",
				Doc:    "Answers an OPTIONS request whose request URI has no user with 200. Call it for requests to ourselves only.",
				Routes: api.RouteRequest,
				Results: []modules.Result{
					{Code: 1, Name: "ok", Doc: "the request was answered"},
					{Code: -1, Name: "not_for_us", Doc: "no OPTIONS request, or its request URI has a user"},
					{Code: -1, Name: "not_sent", Doc: "the reply cannot be sent"},
				},
			}, (*config).reply),
		},
		New: newConfig,
	}
}

// headers are those of the reply, in its order, with the parameter that sets
// each and its default.
var headers = []struct{ param, name, def string }{
	{"accept", "Accept", "*/*"},
	{"accept_encoding", "Accept-Encoding", ""},
	{"accept_language", "Accept-Language", "en"},
	{"support", "Supported", ""},
}

type config struct {
	modules.NoLifecycle
	lines []byte // of the reply
}

func newConfig(_ modules.GenerationHost, p modules.Params) (modules.Config, error) {
	var b strings.Builder
	for _, h := range headers {
		v := p.Str(h.param)
		if v == "" {
			continue
		}
		if strings.ContainsAny(v, "\r\n\x00") {
			return nil, fmt.Errorf("%s: %w", h.param, sip.ErrHeaderBytes)
		}
		b.WriteString(h.name + ": " + v + "\r\n")
	}
	return &config{lines: []byte(b.String())}, nil
}

// reply is options_reply.
func (m *config) reply(c *api.Ctx) modules.Ret {
	if c.Msg.Method() != sip.OPTIONS {
		return modules.No(-1, "not_for_us", "the request is no OPTIONS")
	}
	u, err := c.Msg.RURI()
	if err != nil || len(u.User) > 0 {
		return modules.No(-1, "not_for_us", "the request URI has a user")
	}
	return signaling.Send(c, 200, "", &api.ReplyOptions{Headers: m.lines})
}
