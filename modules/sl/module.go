// Package sl answers requests without a transaction (RFC 3261 §8.2.7):
// OpenSIPS's module sl.
package sl

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/signaling"
)

// Module declares the module.
func Module() *modules.Module {
	return &modules.Module{
		Name: "sl",
		Doc: "Answers requests without keeping anything about them. The ACK to such a reply is absorbed " +
			"by the engine and does not reach the script.",
		Params: []modules.Param{{
			Name: "enable_stats", Kind: modules.KindBool, Default: modules.Bool(true),
			Doc: "Counting of replies.", Ignored: "counters are always kept; they cost nothing that could be saved",
		}},
		Functions: []modules.Function{
			modules.F2(modules.Spec{
				Name:    "sl_send_reply",
				Doc:     "Answers the request without a transaction, also when there is one.",
				Routes:  api.RouteRequest | api.RouteError,
				Results: signaling.SendResults(),
			}, signaling.CodeArg(), signaling.ReasonArg(), (*config).sendReply),
			modules.F0(modules.Spec{
				Name: "sl_reply_error",
				Doc: "Answers the request with the status of the last failure in this handler " +
					"(404 no destination, 478 cannot be resolved, 477 cannot be sent), 500 when there was none.",
				Routes:  api.RouteRequest,
				Results: signaling.SendResults(),
			}, (*config).replyError),
		},
		New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { return &config{}, nil },
	}
}

type config struct{ modules.NoLifecycle }

// sendReply is sl_send_reply.
func (*config) sendReply(c *api.Ctx, code int, reason string) modules.Ret {
	return signaling.SendStateless(c, code, reason, nil)
}

// replyError is sl_reply_error.
func (*config) replyError(c *api.Ctx) modules.Ret {
	f, ok := signaling.LastFailure(c.State)
	if !ok {
		f.Code, f.Reason = 500, "Server Internal Error"
	}
	return signaling.SendStateless(c, f.Code, f.Reason, nil)
}
