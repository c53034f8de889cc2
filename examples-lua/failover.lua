-- failover.lua: serial forking. The call goes to the first destination of a
-- list; when that is busy or does not answer, to the next; and when all have
-- been tried, to voicemail.
--
--   luasips run -f examples-lua/failover.lua
--   sipp -sn uas -p 5082                                    (the second phone; the first is off)
--   sipp -sn uac -rsa 127.0.0.1:5060 127.0.0.1:5082 -m 1    (a caller)

config { log_level = "info" }
socket "udp:127.0.0.1:5060"
socket "tcp:127.0.0.1:5060"

local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local maxfwd    = loadmodule "maxfwd"
local rr        = loadmodule "rr"
local tm        = loadmodule("tm", { fr_timeout = 2, fr_inv_timeout = 3 })

-- Where to try, in order. "sip:" .. user is put in front of each.
local destinations = { "127.0.0.1:5081", "127.0.0.1:5082" }
local voicemail    = "127.0.0.1:5090"

function route.main(msg)
  if not maxfwd.mf_process_maxfwd_header(10) then
    return signaling.send_reply(483, "Too Many Hops")
  end
  if msg.rm == "CANCEL" then return tm.t_check_trans() and tm.t_relay() end
  if sipmsgops.has_totag() then
    if not rr.loose_route() and core.is_myself(msg.rd, msg.rp) then
      return msg.rm ~= "ACK" and signaling.send_reply(404, "Not here")
    end
    return route.relay(msg)
  end
  if msg.rm ~= "INVITE" then return signaling.send_reply(405, "Method Not Allowed") end

  rr.record_route()
  -- AVPs live as long as the transaction: the failure route reads this one.
  msg.avp.attempt = 1
  return route.try(msg, destinations[1])
end

-- Send the call to one place and come back to the failure route if it fails.
function route.try(msg, place)
  msg.ru = cat("sip:", msg.rU, "@", place)
  tm.t_on_failure(failure_route.next)
  return route.relay(msg)
end

function route.relay(msg)
  if not tm.t_relay() then signaling.send_reply(500, "Internal Error") end
end

function failure_route.next(msg)
  if tm.t_was_cancelled() then return end          -- the caller hung up
  if not tm.t_check_status("486|408|480|503") then return end

  local attempt = msg.avp.attempt + 1
  msg.avp.attempt = attempt
  local place = destinations[attempt]
  if place then
    log.info("trying the next destination", { place = place, attempt = attempt })
    return route.try(msg, place)
  end

  -- Nobody left. The failure route is not armed again: whatever voicemail
  -- answers goes to the caller.
  msg.ru = cat("sip:", msg.rU, "@", voicemail)
  tm.t_relay()
end
