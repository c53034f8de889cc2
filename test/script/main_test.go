// Package script_test holds the language to its description: each statement is
// a script, what goes into the proxy and what comes out of it.
//
// Scripts run on a whole engine with the wire in memory and a clock that stands
// still while anyone works; what is about the real clock or about the program
// itself says so.
package script_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/luasips/luasips/engine"
	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/enginetest"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/engine/txn"
	"github.com/luasips/luasips/luabind"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/all"
	"github.com/luasips/luasips/modules/tm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prelude stands before the scripts of the tests, in one line: a script's own
// first line is line 2.
const prelude = `socket "udp:10.0.0.1:5060" socket "tcp:10.0.0.1:5060" ` +
	`local signaling, sipmsgops, maxfwd, rr = loadmodule "signaling", loadmodule "sipmsgops", loadmodule "maxfwd", loadmodule "rr" ` +
	`local sl, cfgutils, textops = loadmodule "sl", loadmodule "cfgutils", loadmodule "textops" ` +
	`local tm = loadmodule("tm", { fr_timeout = 5, fr_inv_timeout = 30 })` + "\n"

// program is a loaded script as the engine runs it.
type program struct{ *luabind.Program }

// Script is one worker's side.
func (p program) Script(worker int) api.Script { return p.Worker(worker) }

// Timers are the script's timer routes.
func (p program) Timers() []engine.Timer {
	var out []engine.Timer
	for _, t := range p.Program.Timers() {
		out = append(out, engine.Timer{Name: t.Name, Every: time.Duration(t.Seconds) * time.Second,
			Handler: func(int) api.Handler { return t.Handler }})
	}
	return out
}

// Transactions are tm's parameters.
func (p program) Transactions() *txn.Config {
	c := txn.DefaultConfig()
	if m, ok := p.ModuleConfig("tm").(*tm.Config); ok {
		s := m.TxnSettings()
		c.T1, c.T2, c.FrTimeout, c.FrInvTimeout = s.T1, s.T2, s.FrTimeout, s.FrInvTimeout
		c.MinorBranch = s.Minor
		c.Auto100, c.RestartFrOnReply, c.Disable6xxBlock = s.Auto100, s.RestartFr, s.Disable6xxBlock
	}
	return c
}

// proxy is an engine that runs a script, with a caller and a callee.
type proxy struct {
	*enginetest.Rig
	t          testing.TB
	modules    []*modules.Module
	live       *luabind.Program
	alice, bob *enginetest.Agent
	calls      int
}

// bubble runs fn with a clock that stands still while anyone works.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// start runs a script behind the prelude until the test's end.
func start(t testing.TB, script string) *proxy {
	t.Helper()
	return startWith(t, enginetest.Options{}, map[string]string{"main.lua": prelude + script})
}

// startWith runs main.lua of files.
func startWith(t testing.TB, o enginetest.Options, files map[string]string) *proxy {
	t.Helper()
	p := &proxy{Rig: enginetest.New(t, o), t: t, modules: all.List()}
	lp, err := p.load(files)
	if err != nil {
		t.Fatal(err)
	}
	p.live = lp
	if err := p.Go(program{lp}); err != nil {
		t.Fatal(err)
	}
	p.alice, p.bob = p.Agent(), p.Agent()
	return p
}

func (p *proxy) load(files map[string]string) (*luabind.Program, error) {
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return luabind.Load(luabind.Options{Path: "main.lua", FS: dir, Modules: p.modules, Workers: p.Engine.Workers(),
		Env: p.Engine, Previous: p.live, OnGone: p.Engine.Forget})
}

// reload makes another script behind the prelude the live one.
func (p *proxy) reload(script string) {
	p.t.Helper()
	lp, err := p.load(map[string]string{"main.lua": prelude + script})
	if err == nil {
		err = p.Reload(program{lp})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.live = lp
}

// call begins another call from alice to bob.
func (p *proxy) call() *enginetest.Call {
	p.calls++
	return p.alice.To("call-"+string(rune('a'+p.calls%26))+strings.Repeat("x", p.calls/26), p.bob)
}

// ask sends one request of a new call and returns its final reply.
func (p *proxy) ask(method string, headers ...string) *sip.Message {
	p.t.Helper()
	p.call().Send(method, 1, headers...)
	return p.final()
}

// final is alice's next final reply, which is acknowledged when it needs that.
func (p *proxy) final() *sip.Message {
	p.t.Helper()
	for {
		m := p.alice.Receive(enginetest.Patience)
		if m == nil {
			p.t.Fatalf("no final reply within %s", enginetest.Patience)
		}
		if m.StatusCode() >= 200 {
			return m
		}
	}
}

// status expects alice's next final reply to have a code and gives its reason.
func (p *proxy) status(code int) string {
	p.t.Helper()
	m := p.final()
	if m.StatusCode() != code {
		p.t.Errorf("got %d %s, want %d", m.StatusCode(), m.Reason(), code)
	}
	return string(m.Reason())
}

// logged fails the test unless the log holds every text once nobody works. It
// belongs in a bubble.
func (p *proxy) logged(texts ...string) {
	p.t.Helper()
	synctest.Wait()
	for _, text := range texts {
		if !p.Logged(text) {
			p.t.Errorf("%q is not in the log:\n%s", text, p.Log())
		}
	}
}

// header is the value of a header, "" when there is none.
func header(m *sip.Message, name string) string { return string(m.Find([]byte(name))) }
