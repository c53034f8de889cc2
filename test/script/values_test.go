package script_test

import "testing"

// A pseudo-variable is a field of the message; what OpenSIPS can write is
// assigned, with an argument it is indexed.
func TestFields(t *testing.T) {
	hold(t, "", []row{
		{lua: `return msg.rm, msg.rU, msg.ru:match("^sip:bob:secret@10"), msg.is_request`, want: "OPTIONS|bob|sip:bob:secret@10|true"},
		{lua: `return msg.fu, msg.fU, msg.fd, msg.ft, msg.fn`, want: `sip:alice@example.org:5080|alice|example.org|a-tag|"Alice A."`},
		{lua: `return msg.tu, msg.tt, msg.td, msg.cs, msg.cs + 1`, want: "sip:bob@example.com|nil|example.com|4711|4712"},
		{lua: `return msg.ci:match("@(.*)"), msg.ct, msg.ua`, want: `example.org|"A" <sip:alice@192.0.2.9:5080;ob>;q=0.5|nil`},
		{lua: `return msg.ct_fields.uri, msg.ct_fields.q`, want: "sip:alice@192.0.2.9:5080;ob|0.5"},
		{lua: `return msg.si, msg.sp, msg.kind`, want: "10.0.1.2|5060|request"},
		{lua: `return msg.socket_in, msg.socket_in_info.ip, msg.socket_in_info.port`, want: "udp:10.0.0.1:5060|10.0.0.1|5060"},
		{lua: `msg.rU = "carol" return msg.rU, msg.orig.rU, msg.ru == msg.orig.ru`, want: "carol|bob|false"},
		{lua: `msg.rd = "example.net" msg.rp = 5070 return msg.rd, msg.rp`, want: "example.net|5070"},
		{lua: `msg.du = "sip:192.0.2.1:5090" return msg.du, msg.dd, msg.dp`, want: "sip:192.0.2.1:5090|192.0.2.1|5090"},
		{lua: `msg.du = "sip:192.0.2.1" msg.du = nil return msg.du`, want: "nil"},
		{lua: `return type(msg.ml), type(msg.cl), type(msg.rp), type(msg.ru), type(msg.sp)`, want: "number|number|number|string|number"},
		{lua: `return msg.rs, msg.rr, msg.reply, msg.request, msg.cancelled`, want: "nil|nil|nil|nil|false"},
		{lua: `return msg.route, msg.route_name, msg.route_type`, want: "route|nil|route"},
		{lua: `return tostring(msg.time["%Y"]):match("^%d%d%d%d$") ~= nil, type(msg.Ts)`, want: "true|number"},
		{lua: `return type(cfgutils.RANDOM), cfgutils.ctime.year >= 2000`, want: "number|true"},
		raises(`local k = "fuu" return msg[k]`, `msg has no field \"fuu\"; did you mean`),
		raises(`msg.rm = "INVITE"`, "msg.rm is read-only"),
		raises(`local k = "nothing" msg[k] = 1`, `msg has no field \"nothing\"`),
		raises(`msg.ru = "sip:a b"`, "msg.ru"),
	})
}

// Reads see the script's own edits; msg.orig is the message as received.
func TestHeaders(t *testing.T) {
	hold(t, "", []row{
		{lua: `return msg.hdr["X-Foo"], msg.hdr["x-FOO"], msg.hdr["X-None"]`, want: "one|one|nil"},
		{lua: `return msg.hdr["X-Empty"] == "", msg.hdr["X-Empty"] == nil`, want: "true|false"},
		{lua: `local l = msg:headers("X-Foo") return #l, l[1], l[2], #msg:headers("X-None")`, want: "2|one|two|0"},
		{lua: `return msg.hdr.f == msg.hdr.From, msg.hdr.Subject, msg.hdr.s, #msg:headers("Subject")`, want: "true|compact|compact|1"},
		{lua: `return msg.hdr.c, msg.hdr["Content-Type"]`, want: "application/sdp|application/sdp"},
		{lua: `msg.hdr["X-Foo"] = "three" return #msg:headers("X-Foo"), msg.hdr["X-Foo"], msg.orig.hdr["X-Foo"]`, want: "1|three|one"},
		{lua: `msg.hdr["X-Foo"] = nil return msg.hdr["X-Foo"], #msg:headers("X-Foo"), #msg.orig:headers("X-Foo")`, want: "nil|0|2"},
		{lua: `msg.hdr["X-New"] = 5 return msg.hdr["X-New"]`, want: "5"},
		{lua: `msg.hdr.Subject = "long" return msg.hdr.s, #msg:headers("s")`, want: "long|1"},
		{lua: `msg.hdr.s = nil return msg.hdr.Subject`, want: "nil"},
		{lua: `msg:add_header("X-Foo", "three") local l = msg:headers("X-Foo") return #l, l[3], l[1]`, want: "3|three|one"},
		{lua: `msg:add_header("X-New", 7) return msg.hdr["X-New"], msg.orig.hdr["X-New"]`, want: "7|nil"},
		{lua: `local ok = sipmsgops.append_hf("X-A: 1\r\nX-B: 2\r\n") return ok, msg.hdr["X-A"], msg.hdr["X-B"]`, want: "true|1|2"},
		raises(`msg.hdr["v"] = nil`, "no message is without Via"),
		raises(`msg.hdr["Call-ID"] = nil`, "no message is without Call-ID"),
		{lua: `sipmsgops.append_hf(core.hdr("X-A", msg.fU)) return msg.hdr["X-A"], #core.hdr("X-A", "b")`, want: "alice|8"},
		{lua: `sipmsgops.remove_hf("X-Foo") return msg.hdr["X-Foo"], sipmsgops.is_present_hf("X-Foo")`, want: "nil|false|there is no such header"},
		{lua: `return msg:headers()[1].name, msg:headers()[2].value`, want: "Via|70"},
		{lua: `return msg.hdrcnt["X-Foo"], msg.hdr_name[0]`, want: "2|Via"},
		raises(`msg.hdr["X-A"] = "a\r\nb: c"`, "CR"),
		raises(`msg.hdr["X-A"] = "a\nb"`, "LF"),
		raises(`msg.hdr["X-A"] = "a\0b"`, "NUL"),
		raises(`msg:add_header("X-A", "a\r\nb")`, "CR"),
		raises(`msg:add_header("X A", "a")`, "X A"),
		raises(`return core.hdr("X-A", "a\r\nb")`, "CR"),
		raises(`sipmsgops.append_hf("X-A: 1")`, "CRLF"),
		raises(`msg.orig.hdr["X-A"] = "b"`, "read-only"),
		raises(`msg.orig.ru = "sip:a@b"`, "read-only"),
		raises(`msg.hdr["X-A"] = {}`, "must be a string, got a table"),
	})
}

func TestBody(t *testing.T) {
	hold(t, "", []row{
		{lua: `return #msg.rb, msg.body.type, msg.body.data == msg.rb, msg.cT`, want: "123|application/sdp|true|application/sdp"},
		{lua: `msg.body = {type = "text/plain", data = "hello"} return msg.rb, msg.hdr["Content-Type"], #msg.orig.rb`, want: "hello|text/plain|123"},
		{lua: `msg.body = {data = "v=0\r\n"} return msg.rb == "v=0\r\n", msg.body.type`, want: "true|application/sdp"},
		{lua: `msg.body = nil return msg.rb, msg.body, msg.hdr["Content-Type"]`, want: "nil|nil|nil"},
		{lua: `return msg.sdp == msg.rb, msg.sdp_line["a=ptime"], msg.sdp_line["c="]`, want: "true|a=ptime:20|c=IN IP4 192.0.2.9"},
		{lua: `msg.sdp_line["a=ptime"] = "a=ptime:30" return msg.sdp_line["a=ptime"], msg.orig.sdp_line["a=ptime"]`, want: "a=ptime:30|a=ptime:20"},
		{lua: `msg.sdp = "v=0\r\n" return #msg.rb, #msg.sdp`, want: "5|5"},
		{lua: `return sipmsgops.has_body("application/sdp"), (sipmsgops.has_body("text/plain"))`, want: "true|false"},
		raises(`msg.body = "x"`, "msg.body takes"),
		raises(`msg.body = {typ = "text/plain", data = "x"}`, `msg.body has no part \"typ\"; did you mean type?`),
		raises(`msg.body = {type = "a\r\nb", data = "x"}`, "msg.body"),
	})
}

// The newest value; assigning replaces all, avp_push adds one, avps lists.
func TestAVPsAndFlags(t *testing.T) {
	hold(t, "", []row{
		{lua: `return msg.avp.x, #msg:avps("x")`, want: "nil|0"},
		{lua: `msg.avp.x = "a" msg:avp_push("x", "b") msg:avp_push("x", 3) local l = msg:avps("x") return msg.avp.x, #l, l[1], l[2], l[3]`, want: "3|3|3|b|a"},
		{lua: `msg:avp_push("x", "a") msg:avp_push("x", "b") msg.avp.x = "c" return #msg:avps("x"), msg.avp.x`, want: "1|c"},
		{lua: `msg.avp.x = {deep = {1, 2}} msg.avp.x.deep[3] = 3 return #msg.avp.x.deep`, want: "3"},
		{lua: `msg.avp.x = 1 msg.avp.x = nil return msg.avp.x, #msg:avps("x")`, want: "nil|0"},
		{lua: `msg.avp.x = false return msg.avp.x`, want: "false"},
		{lua: `msg.avp.f = function() return "called" end return msg.avp.f()`, want: "called"},
		{lua: `local a = msg.flags.nat msg.flags.nat = true return a, msg.flags.nat, msg.bflags.nat`, want: "false|true|false"},
		{lua: `msg.bflags.nat = true return msg.flags.nat, msg.bflags.nat, msg.branch[0].flags.nat`, want: "false|true|true"},
		{lua: `msg.flags.nat = true msg.flags.nat = nil return msg.flags.nat`, want: "false"},
		{lua: `msg.flags.a = true msg.flags.b = true return msg.mf`, want: "a b"},
		raises(`msg.flags.nat = 1`, "takes true or false, got a number"),
		raises(`msg:avp_push("x", nil)`, "nil"),
	})
}

// nil is NULL, "" is not; for optional arguments both mean not given.
func TestValues(t *testing.T) {
	hold(t, "", []row{
		{lua: `return cat("a", nil, 1, "b"), cat(), cat(nil) == ""`, want: "a1b||true"},
		{lua: `return cat("sip:", msg.tt, "@", msg.td)`, want: "sip:@example.com"},
		{lua: `return msg.hdr["X-Empty"] == nil, msg.hdr["X-None"] == nil`, want: "false|true"},
		{lua: `return sl.sl_send_reply == nil, (core.is_myself("10.0.0.1")), (core.is_myself("10.0.0.1", nil)), (core.is_myself("10.0.0.1", ""))`, want: "false|true|true|true"},
		{lua: `return tr.uri.host("sip:a@b.example:5070;p=1"), tr.uri.port("sip:a@b:5070"), tr.uri.user(nil)`, want: "b.example|5070|nil"},
		{lua: `return tr.param.value("a=1;x=2", "x"), tr.s.select("a;b;c", 1, ";"), tr.s.select(nil, 1, ";")`, want: "2|b|nil"},
		{lua: `return tr.s.len("abc"), tr.s.toupper("abc"), tr.s.len(nil)`, want: "3|ABC|nil"},
		{lua: `cfgutils.shv.calls = 5 cfgutils.shv["calls"] = cfgutils.shv.calls + 1 return cfgutils.shv.calls`, want: "6"},
		{lua: `return tr.s.len(""), tr.s.toupper(""), tr.s.eq("", nil), tr.s.eq("", ""), tr.param.count("")`, want: "0||false|true|0"},
		{lua: `return tr.s.eq("ABC", "abc"), tr.s.eq(nil, "abc"), tr.ip.matches("10.1.2.3", "10.0.0.0/8"), tr.ip.matches("11.1.2.3", "10.0.0.0/8"), tr.ip.matches(nil, "10.0.0.0/8")`, want: "true|false|true|false|nil"},
		{lua: `return re.match("Hello", "^h"), re.match("Hello", "^h", "i"), re.match(nil, "x")`, want: "false|true|false"},
		{lua: `return re.match("+3612", [=[^\+36[0-9]{2}$]=]), re.match("a", "a" .. "|b")`, want: "true|true"},
		{lua: `return idiv(7, 2), idiv(-7, 2), idiv(2147483647, 1)`, want: "3|-3|2147483647"},
		{lua: `return bit.band(6, 3), bit.bor(6, 3), bit.bxor(6, 3), bit.bnot(0), bit.lshift(1, 4)`, want: "2|7|5|-1|16"},
		{lua: `return json.encode({a = {1, 2, "x"}}), json.decode('{"a":{"b":[1,true,null]}}').a.b[1]`, want: `{"a":[1,2,"x"]}|1`},
		{lua: `local v, why = json.decode("{") return v, why ~= nil`, want: "nil|true"},
		raises(`local p = "(" return re.match("a", p .. "")`, "not POSIX extended"),
		raises(`return idiv(1, 0)`, "division by zero"),
		raises(`return re.match("a", "a", "x")`, "unknown flag"),
		raises(`return "a" .. nil`, "concatenate"),
		raises(`local k = "mach" return re[k]`, `re has no function \"mach\"; did you mean re.match?`),
		raises(`local k = "bant" return bit[k]`, `bit has no function \"bant\"; did you mean bit.band?`),
		raises(`local h = msg.hdr return h("X-Foo")`, `msg.hdr is no function; it is read by index: msg.hdr[\"NAME\"]`),
		raises(`local f = msg.headers return f("X-Foo")`, `a method is called with a colon, as in msg:headers(\"Via\")`),
		// what an operator was applied to is named
		raises(`return "sip:" .. msg.tt`, "attempt to concatenate a nil value (field 'tt'); cat() takes nil as empty"),
		raises(`local n return n + 1`, "attempt to perform arithmetic on a nil value ('n')"),
		raises(`local n = "x" return msg.cs * n`, "attempt to perform arithmetic on a string value (one of field 'cs', 'n')"),
		raises(`local n return -n`, "attempt to perform arithmetic on a value that is no number ('n')"),
		raises(`return #msg.hdr`, "attempt to get the length of a value that has none (field 'hdr')"),
		raises(`return msg.cs < msg.tt`, "attempt to compare number with nil (one of field 'cs', field 'tt')"),
	})
}

// A yes/no function returns ok, result.
func TestResults(t *testing.T) {
	hold(t, "", []row{
		{lua: `local ok, r = maxfwd.mf_process_maxfwd_header(10) return ok, r.code, type(r.name), type(tostring(r))`, want: "true|1|string|string"},
		{lua: `local ok, r = maxfwd.is_maxfwd_lt(10) return ok, r.code, r.name, #tostring(r) > 10`, want: "false|-1|not_less|true"},
		{lua: `local ok, r = sipmsgops.is_present_hf("X-Foo") return type(ok), ok, r.code > 0`, want: "boolean|true|true"},
		{lua: `local ok, r = tm.t_check_trans() return ok, r.code < 0`, want: "false|true"},
		{lua: `return (sipmsgops.has_totag())`, want: "false"},
		{lua: `local t = cfgutils.get_accurate_time() return type(t), type(t.sec), type(t.usec), type(t.str_sec_usec)`, want: "table|number|number|string"},
		{lua: `local n = cfgutils.rand_get_prob() return n`, want: "10"},
		{lua: `local v, r = core.cache_fetch("local", "none") return v, r.code, r.name`, want: "nil|-2|not_found"},
		{lua: `core.cache_store("local", "k", "v") return core.cache_fetch("local", "k")`, want: "v"},
		{lua: `local v, r = cfgutils.set_select_weight("none") return v, r.name, r.code`, want: "nil|no_weight|-1"},
		raises(`local n = "ten" maxfwd.mf_process_maxfwd_header(n)`, "maxfwd.mf_process_maxfwd_header: argument 1"),
		raises(`local f = maxfwd.mf_process_maxfwd_header f(10, 11)`, "maxfwd.mf_process_maxfwd_header takes"),
		raises(`tm.t_relay("no-such-flag" .. "")`, "no-such-flag"),
		raises(`local k = "t_relai" tm[k]()`, "did you mean tm.t_relay?"),
		raises(`local n = -1 cfgutils.sleep(n)`, "cfgutils.sleep: argument 1"),
	})
}

// The branches of a message before it is relayed, from 0 as in OpenSIPS.
func TestMessageBranches(t *testing.T) {
	const two = `core.append_msg_branch("sip:one@example.net") core.append_msg_branch("sip:two@example.net") `
	hold(t, "", []row{
		{lua: `return msg.branch[0].uri == msg.ru, msg.branch[1], msg.branch[-1]`, want: "true|nil|nil"},
		{lua: two + `return msg.branch[1].uri, msg.branch[2].uri, msg.branch[3]`, want: "sip:one@example.net|sip:two@example.net|nil"},
		{lua: two + `local s = "" for i, b in msg:branches() do s = s .. i .. ":" .. tr.uri.user(b.uri) .. " " end return s`, want: "0:bob 1:one 2:two "},
		{lua: two + `msg.branch[2].uri = "sip:three@example.net" msg.branch[2].q = 500 return msg.branch[2].uri, msg.branch[2].q, msg.branch[1].uri`, want: "sip:three@example.net|500|sip:one@example.net"},
		{lua: two + `msg.branch[1].flags.nat = true msg.branch[1].attrs.colour = "red" return msg.branch[1].flags.nat, msg.branch[2].flags.nat, msg.branch[1].attrs.colour, msg.branch[2].attrs.colour`, want: "true|false|red|nil"},
		{lua: two + `msg.branch[1].duri = "sip:192.0.2.1" return msg.branch[1].duri, msg.branch[2].duri, msg.du`, want: "sip:192.0.2.1|nil|nil"},
		{lua: `msg.branch[0].uri = "sip:x@example.net" return msg.ru`, want: "sip:x@example.net"},
		{lua: `msg.branch[0].duri = "sip:192.0.2.1" return msg.du`, want: "sip:192.0.2.1"},
		{lua: `return msg.tm_branch[0]`, want: "nil"},
		{lua: two + `local b = msg.branch[1] local none = b.q b.q = 300 local some = b.q b.q = nil return none, some, b.q, b.path, b.duri`, want: "nil|300|nil|nil|nil"},
		{lua: two + `local b = msg.branch[1] b.path = "<sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>" b.duri = "sips:x.example.net" local p, d = b.path, b.duri b.path = nil b.duri = nil return p, d, b.path, b.duri`,
			want: "<sip:10.0.0.8;lr>, <sip:10.0.0.9;lr>|sips:x.example.net|nil|nil"},
		raises(two+`msg.branch[1].duri = "sip:192.0.2.1\r\nX-Evil: 1"`, "duri"),
		raises(two+`msg.branch[0].duri = "tel:+49"`, "not a sip or sips URI"),
		raises(two+`msg.branch[1].path = "<sip:10.0.0.9;lr>\r\nX-Evil: 1"`, "path"),
		raises(two+`msg.branch[1].path = "*"`, "path"),
		raises(two+`msg.branch[1].q = 0/0`, "whole number"),
		raises(two+`msg.branch[1].q = 0.5`, "whole number"),
		raises(`return msg.branch[0].urj`, `did you mean`),
		raises(`return msg.branch.x`, "number from 0"),
	})
}

// shared is what all workers see: values are copied, tables allowed.
func TestShared(t *testing.T) {
	hold(t, "", []row{
		{lua: `shared:set("a", 1) return shared:get("a"), shared:get("none")`, want: "1|nil"},
		{lua: `local t = {x = {1}} shared:set("t", t) t.x[1] = 2 local u = shared:get("t") u.x[1] = 3 return shared:get("t").x[1]`, want: "1"},
		{lua: `return shared:incr("n"), shared:incr("n", 5), shared:incr("n", -2)`, want: "1|6|4"},
		{lua: `shared:set("c", "old") return (shared:cas("c", "x", "new")), (shared:cas("c", "old", "new")), shared:get("c")`, want: "false|true|new"},
		{lua: `return (shared:cas("fresh", nil, 1)), (shared:cas("fresh", nil, 2)), shared:get("fresh")`, want: "true|false|1"},
		{lua: `shared:set("d", 1) shared:delete("d") return shared:get("d")`, want: "nil"},
		{lua: `shared:set("d", 1) shared:set("d", nil) return shared:get("d")`, want: "nil"},
		{lua: `shared:set("e", "x", 2) local a = shared:get("e") cfgutils.sleep(1) local b = shared:get("e") cfgutils.sleep(2) return a, b, shared:get("e")`, want: "x|x|nil"},
		{lua: `shared:incr("f", 1, 2) cfgutils.sleep(3) return shared:get("f")`, want: "nil"},
		{lua: `shared:set("b", false) return shared:get("b")`, want: "false"},
		raises(`shared:set("x", function() end)`, "function"),
		raises(`shared:incr("n", "many")`, `shared:incr: argument 2 \"by\" must be a number, got the string \"many\"`),
		raises(`shared:set("s", "x") shared:incr("s")`, "not a number"),
		raises(`shared.get("x")`, "with a colon"),
		raises(`local k = "nope" shared[k](shared, "x")`, `shared has no function \"nope\"`),
	})
}
