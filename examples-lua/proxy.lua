-- proxy.lua: the smallest stateful proxy. It resends what gets lost, answers
-- 100 Trying, and stays in the path of a call from INVITE to BYE.
--
--   luasips run -f examples-lua/proxy.lua
--   sipp -sn uas -p 5080                                    (a callee)
--   sipp -sn uac -rsa 127.0.0.1:5060 127.0.0.1:5080 -m 1    (a caller)

config { log_level = "info" }
socket "udp:127.0.0.1:5060"
socket "tcp:127.0.0.1:5060"

local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local maxfwd    = loadmodule "maxfwd"
local rr        = loadmodule "rr"
local tm        = loadmodule("tm", { fr_timeout = 5, fr_inv_timeout = 30 })

-- Every request enters here.
function route.main(msg)
  if not maxfwd.mf_process_maxfwd_header(10) then
    return signaling.send_reply(483, "Too Many Hops")
  end
  -- A CANCEL follows the INVITE that it cancels.
  if msg.rm == "CANCEL" then return tm.t_check_trans() and tm.t_relay() end
  if sipmsgops.has_totag() then return route.in_dialog(msg) end

  -- A new call: ask that its later requests come this way too, and send it on.
  if msg.rm == "INVITE" then rr.record_route() end
  return route.relay(msg)
end

-- Requests inside a call carry a Route header that names us; loose_route()
-- takes it off and prepares the next hop. Without one they go where the request
-- URI says, unless that is us: then there is nobody to send them to.
function route.in_dialog(msg)
  if not rr.loose_route() and core.is_myself(msg.rd, msg.rp) then
    return msg.rm ~= "ACK" and signaling.send_reply(404, "Not here")
  end
  return route.relay(msg)
end

function route.relay(msg)
  if not tm.t_relay() then signaling.send_reply(500, "Internal Error") end
end
