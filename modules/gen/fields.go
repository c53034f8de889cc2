package main

import (
	"fmt"
	"strings"

	"github.com/luasips/luasips/modules"
)

// coreVariables are OpenSIPS 4.0's core pseudo-variables, without their $.
const coreVariables = `ai adu ar au ad an auth.resp auth.nonce auth.cnonce auth.opaque auth.alg auth.qop auth.nc aU argv avp Au
bf branch branch.flag C cfg_file cfg_line challenge.algorithm challenge.realm challenge.nonce challenge.opaque challenge.qop challenge.ik challenge.ck
ci cl cs ct ct.fields cT dd di dip dir dp dP ds du err.class err.level err.info err.rcode err.rreason fd fn ft fu fU
hdr hdr_name hdrcnt log_level mb mf mi ml msg.branch msg.branch.uri msg.branch.duri msg.branch.path msg.branch.q msg.branch.flags
msg.branch.socket msg.branch.flag msg.branch.attr msg.branch.last_idx msg.flag msg.is_request msg.type
od op oP ou oU param path pd pn pp proxy_protocol pu pU rb rc rd re return rm rp rP rr rs rt route route.name route.type ru ru_q rU
sdp sdp.line sdp.stream sdp.session sdp.stream.idx si socket_in socket_out sp td Tf time tn Ts Tsm TS tt tu tU T_branch_idx ua var xlog_level`

// ownFields are the fields that the language has itself: name, the variable
// they take the place of, and what they are.
var ownFields = [][3]string{
	{"msg.hdr[...]", "hdr", "First value of a header by name; assigned, or nil to remove it. `msg:headers(name)` lists all values."},
	{"msg.avp[...]", "avp", "Newest value of an AVP; assigning replaces all. `msg:avps(name)` lists them, `msg:avp_push(name, v)` adds one."},
	{"msg.flags[...]", "msg.flag", "Message flag by name, true or false; writable."},
	{"msg.bflags[...]", "msg.branch.flag", "Branch flag by name; writable. `msg.branch[i].flags` has those of a further branch."},
	{"msg.branch[i]", "msg.branch", "Branches before they are sent, from 0, the request URI's; `msg:branches()` walks them."},
	{"msg.branch[i].uri", "msg.branch.uri", "Request URI of a branch; writable."},
	{"msg.branch[i].duri", "msg.branch.duri", "Destination URI of a branch; writable."},
	{"msg.branch[i].path", "msg.branch.path", "Path of a branch; writable."},
	{"msg.branch[i].q", "msg.branch.q", "q value of a branch; writable."},
	{"msg.branch[i].flags", "msg.branch.flags", "Flags of a branch by name; writable."},
	{"msg.branch[i].socket", "msg.branch.socket", "Socket a branch is sent from; writable."},
	{"msg.branch[i].attrs", "msg.branch.attr", "Attributes of a branch by name; writable."},
	{"#msg:branches()", "msg.branch.last_idx", "`for i, b in msg:branches()` walks the branches; the last index is one less than their number."},
	{"msg.tm_branch[i]", "tm.branch", "Branches of the transaction, from 0; flags and attrs are writable."},
	{"msg.rb", "rb", "The body; nil when there is none."},
	{"msg.body", "", "The body with its type: `msg.body = {type=, data=}`."},
	{"msg.orig", "", "The message as received, without the script's edits."},
	{"msg.request", "", "The request, in an onreply route."},
	{"msg.reply", "", "The winning reply, in a failure route."},
	{"msg.kind", "", "`\"request\"`, `\"reply\"` or `\"none\"`."},
	{"msg.cancelled", "", "Whether a CANCEL has come for this request."},
}

// fieldsPage makes modules/FIELDS.md. It fails when a variable has neither a
// field nor a reason.
func fieldsPage(list []*modules.Module) ([]byte, error) {
	known := fieldRows(list)
	var b strings.Builder
	b.WriteString(`# Fields of msg

Every core pseudo-variable of OpenSIPS 4.0, and the field that takes its place.
Made from the declarations by ` + "`go run ./modules/gen`" + `; do not edit.

| OpenSIPS | Script | Type | What it is |
|---|---|---|---|
`)
	var missing []string
	for _, name := range strings.Fields(coreVariables) {
		if known[name] == nil {
			missing = append(missing, "$"+name)
		}
		for _, row := range known[name] {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", code("$"+name), row.script, row.rest)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("no field and no reason for %s", strings.Join(missing, " "))
	}
	b.WriteString(ownTable())
	b.WriteString(moduleFieldTable(list))
	return []byte(b.String()), nil
}

// fieldRow is what stands behind a variable's name: the field, and the cells
// that tell of it.
type fieldRow struct{ script, rest string }

// rowsOf are the rows of each variable.
type rowsOf map[string][]fieldRow

// none is the field of a variable that is left out.
const none = "–"

// put adds a row, in place of one for the same field or of a reason why there
// is none.
func (r rowsOf) put(name, script, rest string) {
	for i, have := range r[name] {
		if have.script == script || have.script == none {
			r[name][i] = fieldRow{script, rest}
			return
		}
	}
	r[name] = append(r[name], fieldRow{script, rest})
}

// fieldRows are the rows for each variable.
func fieldRows(list []*modules.Module) rowsOf {
	rows := make(rowsOf)
	for _, m := range list {
		for _, o := range m.Omitted {
			if o.Kind == "variable" {
				rows.put(strings.TrimPrefix(o.Name, "$"), none, "| "+cell(o.Reason))
			}
		}
	}
	for _, f := range ownFields {
		rows.put(f[1], code(f[0]), "| "+cell(f[2]))
	}
	for _, m := range list {
		for i := range m.Fields {
			f := &m.Fields[i]
			rest := fieldKind(f) + " | " + cell(f.Doc)
			rows.put(variable(f), code(fieldName(f)), rest)
			for _, k := range f.Keys {
				if f.Get == nil {
					rows.put(variable(f)+"."+k, code("msg."+f.Name+"."+k), rest)
				}
			}
		}
	}
	return rows
}

// variable is the name of the OpenSIPS variable of a field, without its $.
func variable(f *modules.Field) string {
	if f.OpenSIPS == "" {
		return f.Name
	}
	return strings.TrimPrefix(f.OpenSIPS, "$")
}

func ownTable() string {
	t := newTable("The language's own", "Script", "What it is")
	for _, f := range ownFields {
		if f[1] == "" {
			t.row(code(f[0]), f[2])
		}
	}
	return t.String()
}

// moduleFieldTable lists the fields that modules add.
func moduleFieldTable(list []*modules.Module) string {
	t := newTable("Of modules", "OpenSIPS", "Script", "Type", "Module", "What it is")
	for _, m := range list {
		if m.Builtin {
			continue
		}
		for i := range m.Fields {
			f := &m.Fields[i]
			t.row(code("$"+variable(f)), code(fieldName(f)), fieldKind(f), m.Name, f.Doc)
		}
	}
	return t.String()
}
