package luabind_test

import (
	"testing"

	"github.com/luasips/luasips/engine/api"
)

// routeScript is the shape of a usual proxy script over the tests' module.
const routeScript = `
config { log_level = "info" }
socket "udp:127.0.0.1:5060"
local fake = loadmodule("fake", { timeout = 5 })
function route.main(msg)
  if not fake.yes() then return fake.reply(483, "Too Many Hops") end
  if msg.rm == "CANCEL" then return fake.yes() and fake.yes() end
  if msg.hdr["X-Totag"] then return route.in_dialog(msg) end
  if fake.no() then return fake.reply(403, "Preloaded Route denied") end
  if not core.is_myself("example.com") then return fake.reply(403, "Relay Forbidden") end
  if msg.rm == "REGISTER" then return fake.yes() end
  fake.yes()
  local found, why = fake.push()
  if not found then return fake.reply(404, "Not Found") end
  fake.arm(failure_route.voicemail)
  return route.relay(msg)
end
function route.in_dialog(msg) return route.relay(msg) end
function route.relay(msg)
  if not fake.yes() then fake.reply(500, "Internal Error") end
end
function failure_route.voicemail(msg) end
`

func benchScript(b *testing.B, script string) {
	p, e := load(b, script)
	c := ctx(b, e, api.RouteRequest)
	s := p.Worker(0)
	b.ReportAllocs()
	for b.Loop() {
		if s.Request(c) != api.VerdictNone {
			b.Fatal(e.texts())
		}
	}
}

func BenchmarkRoute(b *testing.B) { benchScript(b, routeScript) }

func BenchmarkEmpty(b *testing.B) { benchScript(b, "function route.main(msg) end") }

func BenchmarkField(b *testing.B) {
	benchScript(b, `local fake = loadmodule "fake"
function route.main(msg) for i = 1, 100 do local x = msg.rm end end`)
}

func BenchmarkHeaderRead(b *testing.B) {
	benchScript(b, `function route.main(msg) for i = 1, 100 do local x = msg.hdr["X-Foo"] end end`)
}

func BenchmarkConcat(b *testing.B) {
	benchScript(b, `function route.main(msg) local a, c = "sip:", "@example.com" for i = 1, 100 do local x = a .. "bob" .. c end end`)
}

func BenchmarkLoop(b *testing.B) {
	benchScript(b, `function route.main(msg) local n = 0 for i = 1, 1000 do n = n + i end end`)
}

func BenchmarkExit(b *testing.B) { benchScript(b, "function route.main(msg) exit() end") }

func BenchmarkPcall(b *testing.B) {
	benchScript(b, `local function f(x) return x end
function route.main(msg) for i = 1, 100 do pcall(f, i) end end`)
}

// An ordinary handler costs one allocation: msg.
func TestAllocations(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		max  float64
	}{
		"empty":          {"", 1},
		"yes":            {"if not fake.yes() then error('x') end", 1},
		"no, repeatedly": {"local ok, why = fake.no()", 1},
		"exit":           {"exit()", 1},
	} {
		p, e := load(t, wrap(tc.body))
		c := ctx(t, e, api.RouteRequest)
		s := p.Worker(0)
		s.Request(c)
		if n := testing.AllocsPerRun(200, func() { s.Request(c) }); n > tc.max {
			t.Errorf("%s: %v allocations, want at most %v", name, n, tc.max)
		}
	}
}
