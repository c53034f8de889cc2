package core

import "github.com/luasips/luasips/modules"

// omissions are OpenSIPS's core functions and variables that are left out.
func omissions() []modules.Omission {
	var out []modules.Omission
	add := func(kind, reason string, names ...string) {
		for _, n := range names {
			out = append(out, modules.Omission{Kind: kind, Name: n, Reason: reason})
		}
	}
	add("function", "Lua has it: return, break, and the globals exit() and drop().", "return", "break", "exit", "drop", "route")
	add("function", "Globals of the script: log.info(...) and xlog(...).", "log", "xlog")
	add("function", "Concatenate, or use cat().", "pv_printf")
	add("function", "Older form of append_msg_branch(uri).", "append_branch_old")
	add("function", "A copy without our Via could not be answered through us; core.forward or tm.t_replicate send one with it.", "send")
	add("function", "Connections are found again by their flow; sharing one by the Via port would let others take a call over.", "force_tcp_alias")
	add("function", "The storage local has no query language.", "cache_raw_query")
	add("function", "External subscribers of events are not there yet; event_route runs in the script.", "subscribe_event")
	add("function", "Destination blacklists are not there yet.", "use_blacklist", "unuse_blacklist", "check_blacklist_rule", "add_blacklist_rule", "del_blacklist_rule")
	add("function", "Log records carry file and line; a debugger of single statements is not there.", "script_trace")
	add("function", "A module that is not ready refuses the script, so a script that runs needs no check.", "sr_check_status")
	add("variable", "A function answers ok, result: result.code is that integer.", "rc", "retcode", "return")
	add("variable", "Routes are functions with parameters.", "param")
	add("variable", "Errors and log records carry file and line.", "cfg_line", "cfg_file")
	add("variable", "Messages are told apart by Call-ID and CSeq in every log record.", "mi")
	add("variable", "Use os.getenv.", "argv")
	add("variable", "Log records are structured and have no colours.", "C")
	add("variable", "Lua variables take its place.", "var")
	add("variable", "msg.branch[i] has the fields of each branch.", "bf", "branch", "branch.flag")
	add("variable", "msg:headers(\"Contact\") lists them all, tr.nameaddr takes them apart.", "ct[n]")
	add("variable", "msg.rb_info[n] has the parts; sipmsgops tells what type they are.", "cT[n]")
	add("variable", "msg.route is the route that the handler was entered by; an error's Lua stack shows the calls within it.", "route[n]")
	add("assignment", "Levels are set by config{ log_level =, log_levels = } and, while the program runs, by the management command log_level.", "log_level", "xlog_level")
	add("flag", "Replies go where RFC 3261 §18.2.2 and RFC 3581 say: to the address that the request came from.", `set_via_handling("reply-to-via")`)
	add("flag", "As force_tcp_alias.", `set_via_handling("force-tcp-alias")`)
	return out
}
