// Package signaling answers requests, with the transaction when there is one
// and without where there is none: OpenSIPS's module signaling. Other modules
// that answer a request do it by Send, so that the script's choice holds for
// them too.
package signaling

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Module declares the module.
func Module() *modules.Module {
	return &modules.Module{
		Name: "signaling",
		Doc: "Answers the request at hand: within its transaction when the script has made one, else without. " +
			"Unlike OpenSIPS's it needs neither tm nor sl to be loaded.",
		Functions: []modules.Function{
			modules.F2(modules.Spec{
				Name:    "send_reply",
				Doc:     "Answers the request. Headers that append_to_reply put aside go with it.",
				Routes:  api.RouteRequest | api.RouteFailure | api.RouteError,
				Results: SendResults(),
			}, CodeArg(), ReasonArg(), (*config).sendReply),
		},
		Fields: []modules.Field{
			modules.FieldOf("sig_local_totag", "$sig_local_totag", modules.KindString,
				"To tag of replies made here to this request: the request's own in a dialog, else the one that they will get.", (*config).localTag).
				Volatile().In(api.RouteRequest | api.RouteFailure | api.RouteError),
		},
		New: func(modules.GenerationHost, modules.Params) (modules.Config, error) { return &config{}, nil },
	}
}

// CodeArg is the argument of functions that answer: a status code.
func CodeArg() modules.ArgOf[int] {
	return modules.IntArg("code", "status code of the reply").
		With(func(a *modules.Arg) { a.Min, a.Max = 100, 699 })
}

// ReasonArg is the argument behind it: the reason phrase.
func ReasonArg() modules.ArgOf[string] {
	return modules.OptStrArg("reason", "", "reason phrase; the usual one for the code when not given")
}

// SendResults are the answers of functions that reply by Send.
func SendResults() []modules.Result {
	return []modules.Result{
		{Code: 1, Name: "ok", Doc: "the reply was sent"},
		{Code: -1, Name: "not_sent", Doc: "no reply can be sent: the request is an ACK, or has its final reply"},
	}
}
