// Package tm relays requests statefully and steers their transactions
// (RFC 3261 §16, §17): OpenSIPS's module tm. The work is done by the
// transaction layer; here stand its functions, parameters and variables.
package tm

import (
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Module declares the module.
func Module() *modules.Module {
	return &modules.Module{
		Name: "tm",
		Doc: "Relays requests with a transaction: retransmits, forks in parallel and in series, chooses the best reply, " +
			"cancels, and runs the script's branch, reply and failure routes.",
		Params:    params(),
		Functions: append(append(relayFunctions(), armFunctions()...), branchFunctions()...),
		Fields:    append(fields(), branchFields()...),
		Omitted:   omitted(),
		New:       newConfig,
	}
}

const (
	routesAll   = api.RouteRequest | api.RouteFailure | api.RouteReply | api.RouteBranch
	routesLocal = routesAll | api.RouteLocal
	routesReply = api.RouteRequest | api.RouteFailure
)

func omitted() []modules.Omission {
	const fifo = "scripts have HTTP, SQL and events for handing a request to another program; there is no FIFO interface"
	const mi = "the management interface does not act on transactions"
	const anycast = "anycast addresses shared by several nodes are not supported"
	return []modules.Omission{
		{Kind: "function", Name: "t_write_req", Reason: fifo},
		{Kind: "function", Name: "t_write_unix", Reason: fifo},
		{Kind: "function", Name: "t_anycast_replicate", Reason: anycast},
		{Kind: "function", Name: "t_reply_by_callid", Reason: "transactions are found by branch alone; a CANCEL finds its INVITE by t_relay(), and a t_reply() made by the INVITE's own handlers ends it"},
		{Kind: "flag", Name: `t_relay("allow-no-cancel")`, Reason: "branches are always cancelled when one answers 2xx (RFC 3261 §16.7 step 10)"},
		{Kind: "argument", Name: `t_inject_branches("event")`, Reason: "an event route puts the branch into msg and uses \"msg\""},
		{Kind: "mi", Name: "tm:uac_dlg", Reason: mi},
		{Kind: "mi", Name: "tm:uac_cancel", Reason: mi},
		{Kind: "mi", Name: "tm:hash", Reason: mi},
		{Kind: "mi", Name: "tm:reply", Reason: mi},
		{Kind: "variable", Name: "$tm.branch.*[n/active]", Reason: "branches are numbered over the whole transaction"},
	}
}

func params() []modules.Param {
	num := func(name, unit string, def, low, high int, doc string) modules.Param {
		return modules.Param{Name: name, Kind: modules.KindNumber, Unit: unit, Default: modules.Int(def),
			Min: float64(low), Max: float64(high), Doc: doc}
	}
	yes := func(name string, def bool, doc string) modules.Param {
		return modules.Param{Name: name, Kind: modules.KindBool, Default: modules.Bool(def), Doc: doc}
	}
	ignored := func(name string, kind modules.Kind, why string) modules.Param {
		return modules.Param{Name: name, Kind: kind, Ignored: why}
	}
	const rfc = "transactions linger as long as RFC 3261 §17 and RFC 6026 say"
	const match = "requests of RFC 2543 senders are matched as RFC 3261 §17.2.3 says"
	const fifo = "there is no FIFO interface"
	const anycast = "anycast addresses are not supported"
	return []modules.Param{
		num("fr_timeout", "seconds", 30, 1, 3600, "How long a branch may stay without a final reply, for an INVITE without any reply."),
		num("fr_inv_timeout", "seconds", 120, 1, 86400, "How long a branch of an INVITE may ring: from its first provisional reply to the final one."),
		num("T1_timer", "milliseconds", 500, 1, 60000, "Interval of the first retransmission (RFC 3261 timer T1)."),
		num("T2_timer", "milliseconds", 4000, 1, 60000, "Longest interval between retransmissions (RFC 3261 timer T2)."),
		yes("restart_fr_on_each_reply", true, "Every provisional reply starts fr_inv_timeout anew, not only the first."),
		yes("auto_100trying", true, "Answers an INVITE with 100 Trying as soon as it has a transaction."),
		yes("disable_6xx_block", false, "Lets a failure route try further branches after a 6xx, which RFC 3261 §16.7 step 4 forbids."),
		{Name: "minor_branch_flag", Kind: modules.KindString, Doc: "Branch flag that makes a branch minor: when only minor ones are left without a final reply, they are not waited for."},
		ignored("local_request_route", modules.KindAny, "local_route.main sees the requests made here"),
		ignored("local_reply_route", modules.KindAny, "replies made here are seen where the script makes them"),
		{Name: "onreply_avp_mode", Kind: modules.KindNumber, Default: modules.Int(1), Min: 0, Max: 1,
			Ignored: "AVPs are those of the transaction in every route, which is mode 1"},
		ignored("wt_timer", modules.KindNumber, rfc),
		ignored("delete_timer", modules.KindNumber, rfc),
		ignored("ruri_matching", modules.KindBool, match),
		ignored("via1_matching", modules.KindBool, match),
		ignored("unix_tx_timeout", modules.KindNumber, fifo),
		ignored("tw_append", modules.KindString, fifo),
		ignored("pass_provisional_replies", modules.KindBool, fifo),
		ignored("syn_branch", modules.KindBool, "branch values are made one way only"),
		ignored("timer_partitions", modules.KindNumber, "each worker has its own timers"),
		ignored("enable_stats", modules.KindBool, "counters are always kept"),
		ignored("tm_replication_cluster", modules.KindNumber, anycast),
		ignored("cluster_param", modules.KindString, anycast),
		ignored("cluster_auto_cancel", modules.KindBool, anycast),
	}
}

var outcomes = []modules.Result{
	{Code: 1, Name: "ok", Doc: "the request was relayed"},
	{Code: -1, Name: "error", Doc: "there is no transaction to act on, or the layer refused"},
	{Code: -2, Name: "bad_message", Doc: "the request cannot be relayed as it is"},
	{Code: -3, Name: "no_target", Doc: "there is no branch, or the request was cancelled"},
	{Code: -4, Name: "unresolved", Doc: "no target's name resolves"},
	{Code: -6, Name: "send_failed", Doc: "no branch could be sent"},
}

func relayFlags() modules.ArgOf[string] {
	return modules.FlagsArg("flags", "comma-separated words", "no-auto-477", "no-dns-failover", "pass-reason-hdr")
}

func relayFunctions() []modules.Function {
	code := modules.IntArg("code", "status code").With(func(a *modules.Arg) { a.Min, a.Max = 100, 699 })
	reason := modules.OptStrArg("reason", "", "reason phrase; the usual one for the code when not given")
	return []modules.Function{
		modules.F2(modules.Spec{
			Name: "t_relay", Routes: routesReply, Blocks: true, Results: outcomes,
			Doc: "Relays the request to its target and to the branches added to it. An ACK goes on without a transaction; " +
				"a CANCEL cancels the INVITE it is for, and is false when there is none.",
		}, relayFlags(), modules.OptStrArg("outbound_proxy", "", `"[proto:]host[:port]" to send to where no destination is set`), (*Config).relay),
		modules.F2(modules.Spec{
			Name: "t_reply", Routes: routesReply, Doc: "Answers the request, making its transaction when there is none.",
		}, code, reason, (*Config).reply),
		modules.F3(modules.Spec{
			Name: "t_reply_with_body", Routes: routesReply,
			Doc: "Answers with a body; append_to_reply gives its Content-Type.",
		}, code, reason, modules.StrArg("body", "the body"), (*Config).replyWithBody),
		modules.F0(modules.Spec{
			Name: "t_newtran", Routes: api.RouteRequest,
			Doc: "Makes the transaction now, which for an INVITE sends 100 Trying. Not for ACK and CANCEL.",
		}, (*Config).newTran),
		modules.F0(modules.Spec{
			Name: "t_check_trans", Routes: api.RouteRequest | api.RouteBranch,
			Doc: "Tells whether a CANCEL's INVITE is known, or whether this request has its transaction already. " +
				"Retransmissions and the ACK to a final error never reach the script.",
			Results: []modules.Result{
				{Code: 1, Name: "ok", Doc: "there is a transaction"},
				{Code: -1, Name: "none", Doc: "there is none"},
				{Code: -2, Name: "e2e_ack", Doc: "an ACK to a 2xx"},
			},
		}, (*Config).checkTrans),
		modules.F2(modules.Spec{
			Name: "t_replicate", Routes: routesReply, Blocks: true, Results: outcomes,
			Doc: "Sends a copy of the request, and of the branches added, whose replies nobody sees.",
		}, modules.StrArg("uri", "SIP URI to send the copy to"), modules.FlagsArg("flags", "comma-separated words", "no-dns-failover"), (*Config).replicate),
		modules.FN(modules.Spec{
			Name: "t_new_request", Blocks: true,
			Doc: "Sends a request of our own, unrelated to the one at hand; it does not wait for the reply.",
		}, []modules.Arg{
			{Name: "method", Kind: modules.KindString, Doc: "method"},
			{Name: "ruri", Kind: modules.KindString, Doc: "request URI, also where it is sent"},
			{Name: "from", Kind: modules.KindString, Doc: `"[display ]URI"`},
			{Name: "to", Kind: modules.KindString, Doc: `"[display ]URI"`},
			{Name: "body", Kind: modules.KindString, Optional: true, Doc: `content type, a space, and the body: "text/plain Hello"`},
			{Name: "ctx", Kind: modules.KindString, Optional: true, Doc: "a text that local_route.main finds in msg.avp.uac_ctx"},
		}, (*Config).newRequest),
		modules.F1(modules.Spec{
			Name: "t_add_hdrs", Routes: api.RouteRequest,
			Doc: "Adds header lines to every request that the transaction sends from now on. Needs a transaction.",
		}, modules.StrArg("headers", `whole lines, each ending in "\r\n"`), (*Config).addHeaders),
		modules.F1(modules.Spec{
			Name: "t_add_cancel_reason", Routes: api.RouteRequest,
			Doc: "Sets the Reason header of the CANCELs that relaying this CANCEL sends.",
		}, modules.StrArg("reason", `the whole line, ending in "\r\n"`), (*Config).addCancelReason),
		modules.F0(modules.Spec{
			Name: "t_flush_flags", Routes: api.RouteRequest | api.RouteBranch,
			Doc: "True when there is a transaction. Message flags are shared with it at all times, nothing needs flushing.",
		}, (*Config).flushFlags),
	}
}

func armFunctions() []modules.Function {
	arm := func(name string, routes, kind api.Route, arg, doc string, f func(*Config, *api.Ctx, api.Handler) modules.Ret) modules.Function {
		return modules.F1(modules.Spec{Name: name, Routes: routes, Doc: doc},
			modules.RouteArg(arg, kind, "the route: a function or its name; nil disarms"), f)
	}
	return []modules.Function{
		arm("t_on_failure", routesLocal, api.RouteFailure, "failure_route",
			"Arms the route that runs when all branches have failed, before the reply goes back. It fires once.", (*Config).onFailure),
		arm("t_on_reply", routesLocal, api.RouteReply, "reply_route",
			"Arms the route that runs for each reply received; in a branch route for the replies of that branch.", (*Config).onReply),
		arm("t_on_branch", routesAll, api.RouteBranch, "branch_route",
			"Arms the route that runs for each branch before it is sent.", (*Config).onBranch),
	}
}

func branchFunctions() []modules.Function {
	return []modules.Function{
		modules.F1(modules.Spec{
			Name: "t_check_status", Routes: routesAll,
			Doc: "Tells whether a status code matches: of the last reply sent in a request or branch route, " +
				"of the reply at hand in an onreply route, of the winning reply in a failure route.",
		}, modules.PatternArg("re", `pattern over the three digits, "486|408"`), (*Config).checkStatus),
		modules.F1(modules.Spec{
			Name: "t_local_replied", Routes: routesAll,
			Doc: "Tells whether replies were made here and not received: all, the last one, or that of this branch.",
		}, modules.WordArg("reply", "which replies", "all", "last", "branch"), (*Config).localReplied),
		modules.F0(modules.Spec{
			Name: "t_was_cancelled", Routes: routesAll,
			Doc: "Tells whether the sender cancelled the INVITE.",
		}, (*Config).wasCancelled),
		modules.F1(modules.Spec{
			Name: "t_cancel_branch", Routes: api.RouteReply,
			Doc: "Cancels pending branches.",
		}, modules.OptStrArg("flags", "", `"a" all, "o" all but this one, not given: this one`).
			With(func(a *modules.Arg) { a.Words = []string{"", "a", "o"} }), (*Config).cancelBranch),
		modules.F2(modules.Spec{
			Name: "t_inject_branches", Routes: api.RouteRequest | api.RouteReply | api.RouteEvent, Blocks: true, Results: outcomes,
			Doc: "Adds the target and branches of msg to a transaction that waits, and sends them.",
		}, modules.WordArg("source", "where the branches come from", "msg"),
			modules.FlagsArg("flags", "cancel (c): cancel what is pending first; last (l): wait for no more", "cancel", "c", "last", "l"), (*Config).inject),
		modules.F1(modules.Spec{
			Name: "t_wait_for_new_branches", Routes: api.RouteRequest,
			Doc: "Keeps the transaction open for branches that come later, until fr_inv_timeout. Needs a transaction.",
		}, modules.OptIntArg("branches", 0, "how many may come; 0 is no limit").With(func(a *modules.Arg) { a.Min, a.Max = 0, 1000 }), (*Config).waitForBranches),
		modules.F0(modules.Spec{
			Name: "t_wait_no_more_branches", Routes: routesAll,
			Doc: "Ends the waiting that t_wait_for_new_branches began.",
		}, (*Config).waitNoMore),
		modules.FN(modules.Spec{
			Name: "t_get_branch_idx_by_attr", Routes: api.RouteFailure | api.RouteReply | api.RouteBranch,
			Doc:     "Finds the branch that has an attribute, with that value where one is given.",
			Outputs: []modules.OutputDoc{{Name: "index", Kind: modules.KindNumber, Doc: "index of the branch, from 0"}},
		}, []modules.Arg{
			{Name: "attr", Kind: modules.KindString, Doc: "name of the attribute"},
			{Name: "val_str", Kind: modules.KindString, Optional: true, Doc: "value, where it is a string"},
			{Name: "val_int", Kind: modules.KindNumber, Optional: true, Doc: "value, where it is a number"},
			{Name: "offset", Kind: modules.KindNumber, Optional: true, Default: "0", Doc: "branch to begin at"},
		}, (*Config).branchByAttr),
	}
}
