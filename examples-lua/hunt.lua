-- hunt.lua: parallel forking. All phones of a group ring at once; the first to
-- answer gets the call and the others stop ringing.
--
--   luasips run -f examples-lua/hunt.lua
--   sipp -sn uas -p 5082                                    (one phone; the others are off)
--   sipp -sn uac -rsa 127.0.0.1:5060 127.0.0.1:5082 -m 1    (a caller)

config { log_level = "info" }
socket "udp:127.0.0.1:5060"
socket "tcp:127.0.0.1:5060"

local signaling = loadmodule "signaling"
local sipmsgops = loadmodule "sipmsgops"
local maxfwd    = loadmodule "maxfwd"
local rr        = loadmodule "rr"
local tm        = loadmodule("tm", { fr_timeout = 5, fr_inv_timeout = 30 })

local phones = { "127.0.0.1:5081", "127.0.0.1:5082", "127.0.0.1:5083" }

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
  local user = msg.rU
  -- The first phone takes the request URI itself, each further one is a branch
  -- of its own. t_relay() sends them all at once.
  msg.ru = cat("sip:", user, "@", phones[1])
  for i = 2, #phones do
    core.append_msg_branch(cat("sip:", user, "@", phones[i]))
  end
  tm.t_on_branch(branch_route.each)
  return route.relay(msg)
end

function branch_route.each(msg)
  log.info("ringing a phone", { phone = msg.ru, branch = msg.T_branch_idx })
end

function route.relay(msg)
  if not tm.t_relay() then signaling.send_reply(500, "Internal Error") end
end
