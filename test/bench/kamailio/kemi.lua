-- The smallest stateful, record-routing proxy on Kamailio's KEMI interface:
-- step for step what native.cfg does.

function ksr_request_route()
	if KSR.maxfwd.process_maxfwd(10) < 0 then
		KSR.sl.sl_send_reply(483, "Too Many Hops")
		return 1
	end
	if KSR.is_CANCEL() then
		if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
		return 1
	end
	if KSR.siputils.has_totag() > 0 then
		if KSR.rr.loose_route() > 0 then
			KSR.tm.t_relay()
		elseif not KSR.is_ACK() then
			KSR.sl.sl_send_reply(404, "Not here")
		end
		return 1
	end
	KSR.tm.t_check_trans() -- a retransmission is absorbed here
	if KSR.is_INVITE() then KSR.rr.record_route() end
	if KSR.tm.t_relay() < 0 then KSR.sl.sl_reply_error() end
	return 1
end
