package tm_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	mt "github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/signaling"
	"github.com/luasips/luasips/modules/tm"
)

// method is mt.Invite with another method.
func method(name string) string {
	return strings.ReplaceAll(mt.Invite, "INVITE", name)
}

func load(t *testing.T, raw string, kind api.Route) (*mt.Loaded, *api.Ctx) {
	t.Helper()
	c := mt.NewCtx(t, raw, kind)
	return mt.Load(t, mt.HostOf(c), tm.Module(), nil), c
}

func TestRelay(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	c.Extra = []api.Target{{URI: "sip:second@example.com"}}
	if r := m.Call(c, "t_relay", "no-dns-failover, no-auto-477"); !r.OK || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	tx := m.Host.Tx
	if c.Tx != tx || len(tx.Relayed) != 2 || tx.Relayed[0].URI != "sip:bob@example.com" || tx.Relayed[1].URI != "sip:second@example.com" {
		t.Errorf("relayed %+v", tx.Relayed)
	}
	if tx.RelayedWith[0] != api.RelayNoDNSFailover|api.RelayNoAuto477 {
		t.Errorf("flags %b", tx.RelayedWith[0])
	}
	for _, flags := range []string{"no-such-flag", "allow-no-cancel"} {
		if r := m.Call(c, "t_relay", flags); r.Err == nil {
			t.Errorf("%s was taken", flags)
		}
	}
}

func TestRelayThroughProxy(t *testing.T) {
	for proxy, want := range map[string]string{
		"tcp:192.0.2.1:5070":     "sip:192.0.2.1:5070;transport=tcp",
		"192.0.2.1":              "sip:192.0.2.1",
		"proxy.example.com:5080": "sip:proxy.example.com:5080",
		"tls:[2001:db8::1]":      "sip:[2001:db8::1];transport=tls",
		"sip:p.example.com;lr":   "sip:p.example.com;lr",
		"sips:p.example.com":     "sips:p.example.com",
	} {
		m, c := load(t, mt.Invite, api.RouteRequest)
		c.Extra = []api.Target{{URI: "sip:a@example.com"}, {URI: "sip:b@example.com", Duri: "sip:own.example.com"}}
		if r := m.Call(c, "t_relay", nil, proxy); !r.OK {
			t.Errorf("%s: %+v", proxy, r)
			continue
		}
		got := m.Host.Tx.Relayed
		if got[0].Duri != want || got[1].Duri != want || got[2].Duri != "sip:own.example.com" {
			t.Errorf("%s: %+v", proxy, got)
		}
		if c.Target.Duri != "" || c.Extra[0].Duri != "" {
			t.Errorf("%s stays set", proxy)
		}
	}
	m, c := load(t, mt.Invite, api.RouteRequest)
	for _, proxy := range []string{"a b", "tcp:", "host:port"} {
		if r := m.Call(c, "t_relay", nil, proxy); r.Err == nil {
			t.Errorf("%q was taken", proxy)
		}
	}
}

func TestRelayACK(t *testing.T) {
	m, c := load(t, method("ACK"), api.RouteRequest)
	if r := m.Call(c, "t_relay"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if len(m.Host.Forwards()) != 1 || m.Host.Tx != nil {
		t.Errorf("forwards %v, transaction %v", m.Host.Forwards(), m.Host.Tx)
	}
	m.Host.SendErr = errors.New("down")
	if r := m.Call(c, "t_relay"); r.OK || r.Code != -6 {
		t.Errorf("%+v", r)
	}
}

func TestRelayCancel(t *testing.T) {
	m, c := load(t, method("CANCEL"), api.RouteRequest)
	if r := m.Call(c, "t_relay"); r.OK || r.Name != "no_transaction" {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "t_check_trans"); r.OK {
		t.Errorf("%+v", r)
	}
	m.Host.LookupTx = mt.NewTransaction(c)
	if r := m.Call(c, "t_check_trans"); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "t_add_cancel_reason", "Reason: SIP;cause=200\r\n"); !r.OK {
		t.Errorf("%+v", r)
	}
	if r := m.Call(c, "t_add_cancel_reason", "X: y\r\n"); r.Err == nil {
		t.Errorf("another header was taken")
	}
	if r := m.Call(c, "t_relay", "pass-reason-hdr"); !r.OK {
		t.Errorf("%+v", r)
	}
	tx := m.Host.LookupTx
	if len(tx.Relayed) != 1 || tx.RelayedWith[0] != api.RelayPassReason || tx.CancelHdrs != "Reason: SIP;cause=200\r\n" {
		t.Errorf("%+v", tx)
	}
}

func TestRelayFailureIsNoted(t *testing.T) {
	for code, status := range map[int]int{-1: 500, -2: 400, -3: 404, -4: 478, -5: 473, -6: 477} {
		m, c := load(t, mt.Invite, api.RouteRequest)
		m.Host.Tx = mt.NewTransaction(c)
		m.Host.Tx.Answer = api.Outcome{Code: code, Name: "why"}
		if r := m.Call(c, "t_relay"); r.OK || r.Code != code || r.Name != "why" {
			t.Errorf("%+v", r)
		}
		if f, ok := signaling.LastFailure(c.State); !ok || f.Code != status {
			t.Errorf("%d leaves %+v", code, f)
		}
	}
}

// What a request route settles before the transaction exists reaches it,
// whichever function makes it; and nothing is made for it.
func TestArmBeforeTransaction(t *testing.T) {
	for _, maker := range []string{"t_relay", "t_newtran", "t_reply"} {
		t.Run(maker, func(t *testing.T) {
			m, c := load(t, mt.Invite, api.RouteRequest)
			m.Call(c, "t_on_branch", mt.Handler("branch_route.first"))
			m.Call(c, "t_on_branch", mt.Handler("branch_route.b"))
			m.Call(c, "t_on_failure", mt.Handler("failure_route.f"))
			m.Call(c, "t_on_reply", mt.Handler("onreply_route.r"))
			if err := m.Set(c, "T_fr_timeout", 5); err != nil {
				t.Fatal(err)
			}
			if err := m.Set(c, "T_fr_inv_timeout", 0.5); err != nil {
				t.Fatal(err)
			}
			if v := m.Get(c, "T_fr_timeout"); v.Num != 5 {
				t.Errorf("reads %v", v.Num)
			}
			if m.Host.Tx != nil {
				t.Fatal("a transaction was made")
			}
			args := []any{}
			if maker == "t_reply" {
				args = append(args, 180)
			}
			if r := m.Call(c, maker, args...); !r.OK {
				t.Fatalf("%+v", r)
			}
			tx := m.Host.Tx
			for kind, want := range map[api.Route]string{api.RouteBranch: "branch_route.b", api.RouteFailure: "failure_route.f", api.RouteReply: "onreply_route.r"} {
				if h := tx.Armed[kind]; h == nil || h.Name() != want {
					t.Errorf("%s: %v, want %s", kind, h, want)
				}
			}
			if tx.Fr != 5*time.Second || tx.FrInv != 500*time.Millisecond {
				t.Errorf("timeouts %v %v", tx.Fr, tx.FrInv)
			}
			tx.Armed = map[api.Route]api.Handler{}
			m.Call(c, "t_relay")
			if len(tx.Armed) != 0 {
				t.Errorf("armed again: %v", tx.Armed)
			}
		})
	}
}

func TestArmWithTransaction(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteFailure)
	tx := c.Tx.(*mt.Transaction)
	m.Call(c, "t_on_failure", mt.Handler("failure_route.next"))
	if h := tx.Armed[api.RouteFailure]; h == nil || h.Name() != "failure_route.next" {
		t.Errorf("armed %v", h)
	}
	m.Call(c, "t_on_failure", nil)
	if len(tx.Armed) != 0 {
		t.Errorf("nil left %v", tx.Armed)
	}
	stateless := mt.NewCtx(t, mt.OK, api.RouteReply)
	stateless.Tx = nil
	if r := m.Call(stateless, "t_on_reply", mt.Handler("x")); r.OK {
		t.Errorf("armed for a reply without transaction: %+v", r)
	}
}

func TestDisarmBeforeTransaction(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	m.Call(c, "t_on_failure", mt.Handler("failure_route.f"))
	m.Call(c, "t_on_failure", nil)
	m.Call(c, "t_relay")
	if len(m.Host.Tx.Armed) != 0 {
		t.Errorf("armed %v", m.Host.Tx.Armed)
	}
}

func TestReply(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	if r := m.Call(c, "t_reply", 180); !r.OK {
		t.Fatalf("%+v", r)
	}
	if r := m.Call(c, "t_reply_with_body", 200, "Fine", "v=0\r\n"); !r.OK {
		t.Fatalf("%+v", r)
	}
	got := m.Host.Tx.Replies
	if len(got) != 2 || got[0].Reason != "Ringing" || got[1].Reason != "Fine" || string(got[1].Options.Body) != "v=0\r\n" {
		t.Errorf("%+v", got)
	}
	if r := m.Call(c, "t_reply", 99); r.Err == nil {
		t.Error("99 was taken")
	}
}

func TestNewTran(t *testing.T) {
	for name, want := range map[string]bool{"INVITE": true, "OPTIONS": true, "ACK": false, "CANCEL": false} {
		m, c := load(t, method(name), api.RouteRequest)
		if r := m.Call(c, "t_newtran"); r.OK != want {
			t.Errorf("%s: %+v", name, r)
		}
		if r := m.Call(c, "t_flush_flags"); r.OK != want {
			t.Errorf("%s: t_flush_flags %+v", name, r)
		}
	}
}

func TestCheckTrans(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	if r := m.Call(c, "t_check_trans"); r.OK || r.Name != "none" {
		t.Errorf("%+v", r)
	}
	m.Call(c, "t_newtran")
	if r := m.Call(c, "t_check_trans"); !r.OK {
		t.Errorf("%+v", r)
	}
	for status, code := range map[int]int{200: -2, 486: 1} {
		m, c := load(t, method("ACK"), api.RouteRequest)
		m.Host.LookupTx = mt.NewTransaction(c)
		m.Host.LookupTx.LastStatus = status
		if r := m.Call(c, "t_check_trans"); r.Code != code {
			t.Errorf("ACK to %d: %+v", status, r)
		}
	}
}

func TestCheckStatus(t *testing.T) {
	check := func(kind api.Route, raw string, set func(*api.Ctx), pattern string, want bool) {
		t.Helper()
		m, c := load(t, raw, kind)
		set(c)
		if r := m.Call(c, "t_check_status", pattern); r.Err != nil || r.OK != want {
			t.Errorf("%s in %s: %+v", pattern, kind, r)
		}
	}
	sent := func(c *api.Ctx) { x := mt.NewTransaction(c); x.LastStatus = 180; c.Tx = x }
	failed := func(c *api.Ctx) { c.ReplyCode = 486 }
	none := func(*api.Ctx) {}
	check(api.RouteFailure, mt.Invite, failed, "486|408", true)
	check(api.RouteFailure, mt.Invite, failed, "(5..)", false)
	check(api.RouteFailure, mt.Invite, failed, "^4[0-9][0-9]$", true)
	check(api.RouteReply, mt.OK, none, "2[0-9][0-9]", true)
	check(api.RouteReply, mt.OK, none, "1..", false)
	check(api.RouteRequest, mt.Invite, none, "...", false)
	check(api.RouteRequest, mt.Invite, sent, "180", true)
	check(api.RouteBranch, mt.Invite, sent, "180", true)
	m, c := load(t, mt.Invite, api.RouteFailure)
	if r := m.Call(c, "t_check_status", "("); r.Err == nil {
		t.Error("a broken pattern was taken")
	}
}

func TestQuestions(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteFailure)
	tx := c.Tx.(*mt.Transaction)
	for _, want := range []bool{false, true} {
		tx.WasCancel, tx.Local = want, want
		if r := m.Call(c, "t_was_cancelled"); r.OK != want {
			t.Errorf("t_was_cancelled: %+v", r)
		}
		if r := m.Call(c, "t_local_replied", "all"); r.OK != want {
			t.Errorf("t_local_replied: %+v", r)
		}
	}
	if r := m.Call(c, "t_local_replied", "some"); r.Err == nil {
		t.Error("some was taken")
	}
	none := mt.NewCtx(t, mt.Invite, api.RouteRequest)
	if r := m.Call(none, "t_was_cancelled"); r.OK || r.Name != "not_cancelled" {
		t.Errorf("t_was_cancelled without a transaction: %+v", r)
	}
	for _, f := range []string{"t_wait_for_new_branches", "t_wait_no_more_branches", "t_flush_flags"} {
		if r := m.Call(none, f); r.OK || r.Name != "no_transaction" {
			t.Errorf("%s without a transaction: %+v", f, r)
		}
	}
	if r := m.Call(none, "t_add_hdrs", "X: y\r\n"); r.OK || r.Name != "no_transaction" {
		t.Errorf("t_add_hdrs: %+v", r)
	}
}

func TestAddHeaders(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	m.Call(c, "t_newtran")
	if r := m.Call(c, "t_add_hdrs", "X-A: 1\r\n"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if m.Host.Tx.Headers != "X-A: 1\r\n" {
		t.Errorf("%q", m.Host.Tx.Headers)
	}
}

func TestCancelBranch(t *testing.T) {
	m, c := load(t, mt.OK, api.RouteReply)
	tx := c.Tx.(*mt.Transaction)
	if r := m.Call(c, "t_cancel_branch"); r.OK || r.Name != "none_pending" {
		t.Errorf("%+v", r)
	}
	tx.Branches = make([]api.BranchInfo, 2)
	for i, flags := range []any{nil, "a", "o"} {
		if r := m.Call(c, "t_cancel_branch", flags); !r.OK {
			t.Errorf("%v: %+v", flags, r)
		}
		want := []api.CancelWhich{api.CancelThis, api.CancelAll, api.CancelOthers}[i]
		if got := tx.Cancels[len(tx.Cancels)-1]; got != want {
			t.Errorf("%v cancels %v", flags, got)
		}
	}
	if r := m.Call(c, "t_cancel_branch", "x"); r.Err == nil {
		t.Error("x was taken")
	}
}

func TestInject(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	m.Call(c, "t_newtran")
	m.Call(c, "t_wait_for_new_branches", 3)
	tx := m.Host.Tx
	if !tx.Waiting {
		t.Fatal("does not wait")
	}
	c.Extra = []api.Target{{URI: "sip:second@example.com"}}
	if r := m.Call(c, "t_inject_branches", "msg", "cancel,last"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if len(tx.Injected) != 2 || tx.Injected[0].URI != "sip:bob@example.com" || tx.Waiting || len(tx.Cancels) != 1 {
		t.Errorf("%+v", tx)
	}
	if r := m.Call(c, "t_inject_branches", "event"); r.Err == nil {
		t.Error("event was taken")
	}
}

func TestReplicate(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	if r := m.Call(c, "t_replicate", "sip:backup.example.com;transport=tcp"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if got := m.Host.Tx.Replicated; len(got) != 1 || got[0] != "sip:backup.example.com;transport=tcp" {
		t.Errorf("%v", got)
	}
	if r := m.Call(c, "t_replicate", "nonsense"); r.Err == nil {
		t.Error("nonsense was taken")
	}
}

func TestNewRequest(t *testing.T) {
	m, c := load(t, "", api.RouteTimer)
	if r := m.Call(c, "t_new_request", "MESSAGE", "sip:alice@192.0.2.2", `Bob "B" sip:bob@example.net`, "<sip:alice@example.net>", "text/plain Hello Alice!"); !r.OK {
		t.Fatalf("%+v", r)
	}
	if r := m.Call(c, "t_new_request", "OPTIONS", "sip:gw.example.net", "sip:me@example.net", `"Gate Way" <sip:gw.example.net>`); !r.OK {
		t.Fatalf("%+v", r)
	}
	got := m.Host.Requests()
	if r := got[0]; r.Method != "MESSAGE" || r.From != `"Bob \"B\"" <sip:bob@example.net>` || r.To != "<sip:alice@example.net>" || r.CType != "text/plain" || string(r.Body) != "Hello Alice!" {
		t.Errorf("%+v", r)
	}
	if r := got[1]; r.To != `"Gate Way" <sip:gw.example.net>` || r.Body != nil {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]any{
		{"ME SSAGE", "sip:a@b", "sip:a@b", "sip:a@b"}, {"MESSAGE", "sip:a@b", "nonsense", "sip:a@b"},
		{"MESSAGE", "sip:a@b", "sip:a@b", "sip:a@b>,<sip:c@d"}, {"MESSAGE", "sip:a@b", "sip:a@b", "sip:a@b", "nobody"},
	} {
		if r := m.Call(c, "t_new_request", args...); r.Err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestSettings(t *testing.T) {
	h := mt.NewHost(t)
	m := mt.Load(t, h, tm.Module(), nil)
	if got, want := m.Inst.(*tm.Config).TxnSettings(), tm.DefaultSettings(); got != want {
		t.Errorf("without parameters %+v, want %+v", got, want)
	}
	m = mt.Load(t, h, tm.Module(), map[string]any{"fr_timeout": 5, "fr_inv_timeout": 30, "T1_timer": 250, "T2_timer": 2000,
		"restart_fr_on_each_reply": 0, "auto_100trying": 0, "disable_6xx_block": 1})
	got := m.Inst.(*tm.Config).TxnSettings()
	want := tm.Settings{FrTimeout: 5 * time.Second, FrInvTimeout: 30 * time.Second, T1: 250 * time.Millisecond, T2: 2 * time.Second,
		Disable6xxBlock: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := mt.TryLoad(t, h, tm.Module(), map[string]any{"T1_timer": 5000}); err == nil {
		t.Error("T1 longer than T2 was taken")
	}
}

func TestFields(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteFailure)
	tx := c.Tx.(*mt.Transaction)
	tx.Code = 486
	tx.Branches = []api.BranchInfo{
		{Index: 0, Target: api.Target{URI: "sip:first@192.0.2.1", Q: 500, Attrs: map[string]any{"name": "pstn", "n": 2.0}}, LastStatus: 486, Received: 486, Type: "sip"},
		{Index: 1, Target: api.Target{URI: "sip:second@192.0.2.2", Q: -1, Duri: "sip:192.0.2.9"}, Dest: api.Dest{Socket: m.Host.Socks[1]}, Type: "phony"},
	}
	c.Branch = 1
	for name, want := range map[string]any{
		"T_branch_idx": 1.0, "T_reply_code": 486.0, "T_ruri": "sip:second@192.0.2.2", "T_id": "1.2", "T_fr_timeout": 30.0,
		"T_fr_inv_timeout": 120.0, "T_branch_last_reply_code": nil, "tm_branch_uri": "sip:second@192.0.2.2", "tm_branch_q": nil,
		"tm_branch_duri": "sip:192.0.2.9", "tm_branch_path": nil, "tm_branch_socket": "tcp:127.0.0.1:5060", "tm_branch_type": "phony",
		"tm_branch_flags": "", "tm_branch_last_received": nil,
	} {
		if got := mt.GoOf(m.Get(c, name)); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	c.Branch = 0
	for name, want := range map[string]any{"T_branch_last_reply_code": 486.0, "tm_branch_last_received": 486.0, "tm_branch_q": 500.0} {
		if got := mt.GoOf(m.Get(c, name)); got != want {
			t.Errorf("branch 0: %s is %v, want %v", name, got, want)
		}
	}
	if v := m.GetKey(c, "tm_branch_attr", "name"); v.Str != "pstn" {
		t.Errorf("attribute %v", v)
	}
}

func TestFieldsWithoutTransaction(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteRequest)
	for name, want := range map[string]any{"T_id": nil, "T_ruri": nil, "T_reply_code": 0.0, "T_branch_idx": nil, "T_fr_timeout": 30.0, "tm_branch_uri": nil} {
		if got := mt.GoOf(m.Get(c, name)); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if v := m.GetKey(c, "tm_branch_attr", "x"); !v.IsNil() {
		t.Errorf("attribute %v", v)
	}
}

func TestWriteBranch(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteBranch)
	tx := c.Tx.(*mt.Transaction)
	tx.Branches = make([]api.BranchInfo, 1)
	if err := m.SetKey(c, "tm_branch_attr", "name", "pstn"); err != nil {
		t.Fatal(err)
	}
	if err := m.SetKey(c, "tm_branch_flag", "NAT", true); err != nil {
		t.Fatal(err)
	}
	if err := m.SetKey(c, "bavp", "x", 3); err != nil {
		t.Fatal(err)
	}
	if v := m.GetKey(c, "tm_branch_attr", "name"); v.Str != "pstn" {
		t.Errorf("attr %v", v)
	}
	if v := m.GetKey(c, "tm_branch_flag", "NAT"); !v.Truth() || m.Get(c, "tm_branch_flags").Str != "NAT" {
		t.Errorf("flag %v, flags %v", v, m.Get(c, "tm_branch_flags"))
	}
	if v := m.GetKey(c, "bavp", "x"); v.Num != 3 {
		t.Errorf("bavp %v", v)
	}
	for _, f := range []string{"bavp", "tm_branch_attr"} {
		if err := m.SetKey(c, f, "x", map[string]any{}); err == nil {
			t.Errorf("%s took a table", f)
		}
	}
	c.Branch = -1
	for _, f := range []string{"bavp", "tm_branch_attr", "tm_branch_flag"} {
		if err := m.SetKey(c, f, "x", true); err == nil {
			t.Errorf("%s was written without a branch", f)
		}
	}
}

func TestTimeouts(t *testing.T) {
	m, c := load(t, mt.OK, api.RouteReply)
	tx := c.Tx.(*mt.Transaction)
	if err := m.Set(c, "T_fr_inv_timeout", 7); err != nil || tx.FrInv != 7*time.Second {
		t.Errorf("%v, %v", err, tx.FrInv)
	}
	if err := m.Set(c, "T_fr_inv_timeout", nil); err != nil || tx.FrInv != 120*time.Second {
		t.Errorf("nil: %v, %v", err, tx.FrInv)
	}
	if err := m.Set(c, "T_fr_timeout", nil); err != nil || tx.Fr != 30*time.Second {
		t.Errorf("nil: %v, %v", err, tx.Fr)
	}
	for _, v := range []any{0, -1, "5", 1e9} {
		if err := m.Set(c, "T_fr_timeout", v); err == nil {
			t.Errorf("%v was taken", v)
		}
	}
}

func TestBranchByAttr(t *testing.T) {
	m, c := load(t, mt.Invite, api.RouteFailure)
	tx := c.Tx.(*mt.Transaction)
	tx.Branches = []api.BranchInfo{{}, {Target: api.Target{Attrs: map[string]any{"name": "pstn", "n": 2.0}}},
		{Target: api.Target{Attrs: map[string]any{"name": "app"}}}}
	for _, tt := range []struct {
		args []any
		want any
	}{
		{[]any{"name"}, 1.0}, {[]any{"name", "app"}, 2.0}, {[]any{"n", nil, 2}, 1.0}, {[]any{"n", nil, 3}, nil},
		{[]any{"name", nil, nil, 2}, 2.0}, {[]any{"x"}, nil}, {[]any{"name", "2"}, nil},
	} {
		r := m.Call(c, "t_get_branch_idx_by_attr", tt.args...)
		if !r.HasOut || mt.GoOf(r.Out) != tt.want || r.OK != (tt.want != nil) {
			t.Errorf("%v: %+v", tt.args, r)
		}
	}
}

func TestDeclarationNamesRoutes(t *testing.T) {
	for _, f := range tm.Module().Functions {
		if f.Doc == "" {
			t.Errorf("%s has no doc", f.Name)
		}
		if strings.HasPrefix(f.Name, "t_on_") && f.Args[0].Route == 0 {
			t.Errorf("%s takes any function", f.Name)
		}
	}
}
