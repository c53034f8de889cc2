package luabind_test

import (
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
)

func TestRouteMain(t *testing.T) {
	v, logs := request(t, `
local fake = loadmodule "fake"
function route.main(msg)
  assert(msg.rm == "INVITE" and msg.kind == "request")
  msg.ru = "sip:carol@" .. "example.net"
  assert(fake.yes())
  return route.second(msg)
end
function route.second(msg)
  fake.reply(404, "no " .. msg.ru)
end`)
	if v != api.VerdictNone || !strings.Contains(logs, "reply 404 no sip:carol@example.net") {
		t.Errorf("verdict %d, log:\n%s", v, logs)
	}
}
