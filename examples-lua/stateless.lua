-- stateless.lua: the least a proxy can do. Every message is looked at once and
-- sent on; nothing is remembered, so nothing is resent and nothing can fork.
--
--   luasips run -f examples-lua/stateless.lua
--   sipp -sn uas -p 5080                                    (a callee)
--   sipp -sn uac -rsa 127.0.0.1:5060 127.0.0.1:5080 -m 1    (a caller)

config { log_level = "info" }
socket "udp:127.0.0.1:5060"
socket "tcp:127.0.0.1:5060"

local maxfwd = loadmodule "maxfwd"
local sl     = loadmodule "sl"
local rr     = loadmodule "rr"

function route.main(msg)
  -- A request that has passed too many proxies is in a loop.
  if not maxfwd.mf_process_maxfwd_header(10) then
    return sl.sl_send_reply(483, "Too Many Hops")
  end

  -- Inside a call the Route headers say where to go; outside, the request URI.
  rr.loose_route()

  -- forward() sends the request to where it is bound. Replies find their way
  -- back by the Via header that it adds.
  core.forward()
end
