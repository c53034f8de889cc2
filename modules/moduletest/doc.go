// Package moduletest is what tests of modules are written with: a recording
// api.Host and api.Transaction, contexts over real messages, and a way to call
// a declaration's functions, fields and variables as the Lua binding does,
// argument checks included.
//
//	h := moduletest.NewHost(t)
//	l := moduletest.Load(t, h, maxfwd.Module(), map[string]any{"max_limit": 70})
//	c := h.Ctx(moduletest.Invite, api.RouteRequest)
//	r := l.Call(c, "mf_process_maxfwd_header", 10)
//	if !r.OK { t.Fatal(r.Text) }
package moduletest
