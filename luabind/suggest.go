package luabind

import (
	"slices"
	"sort"
	"strings"
)

// olderHomes are names of OpenSIPS before 4.0, and Kamailio's where they
// differ, with what replaces them here.
var olderHomes = map[string]string{
	"append_branch":            "core.append_msg_branch",
	"append_branch_old":        "core.append_msg_branch",
	"next_branches":            "core.next_branches",
	"has_totag":                "sipmsgops.has_totag",
	"is_method":                "msg.rm",
	"sl_send_reply":            "signaling.send_reply",
	"sl_reply":                 "signaling.send_reply",
	"send_reply":               "signaling.send_reply",
	"t_reply":                  "tm.t_reply",
	"t_relay":                  "tm.t_relay",
	"is_uri_host_local":        "domain.is_uri_host_local",
	"is_from_local":            "domain.is_from_local",
	"db_is_to_authorized":      "auth_db.db_is_to_authorized",
	"check_to":                 "auth_db.db_is_to_authorized",
	"check_from":               "auth_db.db_is_from_authorized",
	"does_uri_exist":           "auth_db.db_does_uri_exist",
	"db_check_from":            "auth_db.db_is_from_authorized",
	"db_check_to":              "auth_db.db_is_to_authorized",
	"db_does_uri_exist":        "auth_db.db_does_uri_exist",
	"is_user":                  "sipmsgops.is_uri_user_e164",
	"avp_db_query":             "sqlops.sql_query",
	"avp_db_load":              "sqlops.sql_avp_load",
	"avp_db_store":             "sqlops.sql_avp_store",
	"avp_db_delete":            "sqlops.sql_avp_delete",
	"avp_check":                "tr.re.subst or re.match",
	"avp_subst":                "re.subst",
	"avp_copy":                 "msg.avp",
	"avp_delete":               "msg.avp.NAME = nil",
	"avp_pushto":               "msg.avp",
	"avp_printf":               "cat",
	"avp_print":                "core.avp_print",
	"setflag":                  "msg.flags.NAME = true",
	"resetflag":                "msg.flags.NAME = false",
	"isflagset":                "msg.flags.NAME",
	"setbflag":                 "msg.bflags.NAME = true",
	"resetbflag":               "msg.bflags.NAME = false",
	"isbflagset":               "msg.bflags.NAME",
	"remove_branch":            "core.remove_msg_branch",
	"sethost":                  "msg.rd = HOST",
	"setuser":                  "msg.rU = USER",
	"seturi":                   "msg.ru = URI",
	"setport":                  "msg.rp = PORT",
	"setdsturi":                "msg.du = URI",
	"resetdsturi":              "msg.du = nil",
	"isdsturiset":              "msg.du",
	"pv_printf":                "an assignment",
	"rewritehost":              "msg.rd = HOST",
	"rewriteuser":              "msg.rU = USER",
	"rewriteuri":               "msg.ru = URI",
	"revert_uri":               "core.revert_uri",
	"search_hf":                "textops.search",
	"is_present_hf":            "sipmsgops.is_present_hf",
	"remove_hf":                "sipmsgops.remove_hf",
	"append_hf":                "sipmsgops.append_hf",
	"append_to_reply":          "sipmsgops.append_to_reply",
	"codec_exists":             "sipmsgops.codec_exists",
	"has_body":                 "sipmsgops.has_body",
	"mf_process_maxfwd":        "maxfwd.mf_process_maxfwd_header",
	"force_rtp_proxy":          "rtpproxy.rtpproxy_engage",
	"nat_uac_test":             "nathelper.nat_uac_test",
	"fix_contact":              "nathelper.fix_contact",
	"fix_nated_contact":        "nathelper.fix_nated_contact",
	"dlg_manage":               "dialog.create_dialog",
	"www_challenge":            "auth.www_challenge",
	"www_authorize":            "auth_db.www_authorize",
	"proxy_authorize":          "auth_db.proxy_authorize",
	"consume_credentials":      "auth.consume_credentials",
	"lookup":                   "registrar.lookup",
	"save":                     "registrar.save",
	"loose_route":              "rr.loose_route",
	"record_route":             "rr.record_route",
	"async":                    "a plain call: blocking is invisible here",
	"return_code":              "the function's own results",
	"route_to_carrier":         "drouting.route_to_carrier",
	"ds_select_dst":            "dispatcher.ds_select_dst",
	"mf_process_maxfwd_header": "maxfwd.mf_process_maxfwd_header",
}

// distance is the Levenshtein distance of a and b, with swapped neighbours as
// one step; limit+1 when it is more than limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	two := make([]int, len(b)+1)
	one := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(one[j]+1, cur[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], two[j-2]+1)
			}
		}
		two, one, cur = one, cur, two
	}
	return one[len(b)]
}

// closest is the candidate nearest to name; "" when none is near.
func closest(name string, candidates []string) string {
	limit := 1 + len(name)/4
	if limit > 3 {
		limit = 3
	}
	best, at := "", limit+1
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	low := strings.ToLower(name)
	for _, c := range sorted {
		if c == name {
			continue
		}
		d := distance(low, strings.ToLower(c), limit)
		if d < at {
			best, at = c, d
		}
	}
	return best
}

// otherNames are OpenSIPS's second names of pseudo-variables and those that 4.0
// has renamed, with the field of each.
var otherNames = map[string]string{
	"ruri": "ru", "ruri_user": "rU", "ruri_domain": "rd", "ouri": "ou", "duri": "du", "src_ip": "si", "src_port": "sp",
	"from": "fu", "from_user": "fU", "from_domain": "fd", "to": "tu", "to_user": "tU", "to_domain": "td",
	"Ri": "socket_in_info", "Rp": "socket_in_info", "fs": "socket_out", "br": "branch",
}

// didYouMean is "; did you mean X?" for the candidate that has replaced the name,
// or is nearest to it, or "".
func didYouMean(name string, candidates []string) string {
	if now := otherNames[name]; slices.Contains(candidates, now) {
		return "; did you mean " + now + "?"
	}
	if best := closest(name, candidates); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}
