package core

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// networkFunctions decide what is ours and how a request leaves.
func networkFunctions() []modules.Function {
	forward := request("forward", "Sends the request on without a transaction (RFC 3261 §16.11): to a destination, else to the destination URI or the Request-URI.")
	forward.Routes, forward.Blocks = api.RouteRequest, true
	forward.Results = []modules.Result{{Code: -1, Name: "send_failed", Doc: "the destination does not resolve or could not be sent to"}}
	anywhere := func(name, doc string) modules.Spec { return modules.Spec{Name: name, Doc: doc} }
	return []modules.Function{
		modules.F2(anywhere("is_myself", "Whether a host, and a port when given, is one of this proxy's sockets, advertised addresses or aliases."),
			modules.OptStrArg("host", "", "name or address; nil is not ours"),
			modules.OptIntArg("port", 0, "port; 0 is any").With(func(a *modules.Arg) { a.Min, a.Max = 0, 65535 }), isMyself),
		modules.F0(request("force_rport", "Replies go to the port that the request came from, asked for by rport or not (RFC 3581)."), func(_ *config, c *api.Ctx) modules.Ret {
			c.State.AddRport = true
			return modules.Yes()
		}),
		modules.F0(request("add_local_rport", "Puts rport into the Via that is added to the request (RFC 3581)."), func(_ *config, c *api.Ctx) modules.Ret {
			c.State.AddLocalRport = true
			return modules.Yes()
		}),
		modules.F1(request("set_via_handling", "force_rport and add_local_rport by their words."),
			modules.FlagsArg("flags", "what to do", "force-rport", "add-local-rport"), viaHandling),
		modules.F1(request("set_advertised_address", "Host that Via and Record-Route of this request show."), modules.StrArg("adv_addr", "name or address"), func(_ *config, c *api.Ctx, host string) modules.Ret {
			h, err := checkHost(host)
			if err == nil {
				c.State.AdvHost = h
			}
			return done(err)
		}),
		modules.F1(request("set_advertised_port", "Port that Via and Record-Route of this request show."), modules.StrArg("adv_port", "port"), func(_ *config, c *api.Ctx, port string) modules.Ret {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return modules.Misuse(fmt.Errorf("port %q must be 1 to 65535", port))
			}
			c.State.AdvPort = uint16(n)
			return modules.Yes()
		}),
		modules.F1(request("force_send_socket", "Sends the request from a socket of this proxy."), modules.StrArg("socket", "\"udp:192.0.2.1:5060\", a socket's tag, or \"bond:NAME\""), func(_ *config, c *api.Ctx, name string) modules.Ret {
			if name == "" {
				return modules.Misuse(fmt.Errorf("socket is empty; assign nil to msg.socket_out to force none"))
			}
			return done(forceSocket(c, name))
		}),
		modules.F2(anywhere("socket_belongs_to_bond", "Whether a socket is a member of a bond."),
			modules.StrArg("socket", "\"udp:192.0.2.1:5060\" or a socket's tag"), modules.StrArg("bond", "the bond's name"), inBond),
		modules.F1(anywhere("tcp_close_conn", "Closes a TCP, TLS or WebSocket connection."),
			modules.StrArg("ipport", "\"ip:port\" or \"proto:ip:port\" of the peer, or the connection's number"), closeConnection),
		modules.F1(forward, modules.OptStrArg("destination", "", "[proto:]host[:port], or a SIP URI"), forwardRequest),
	}
}

func isMyself(_ *config, c *api.Ctx, host string, port int) modules.Ret {
	return modules.YesIf(host != "" && c.Host.IsMyself(host, uint16(port), api.ProtoAny), "not_myself", "the host and port are not ours")
}

func viaHandling(_ *config, c *api.Ctx, flags string) modules.Ret {
	for word := range strings.SplitSeq(flags, ",") {
		switch strings.TrimSpace(word) {
		case "force-rport":
			c.State.AddRport = true
		case "add-local-rport":
			c.State.AddLocalRport = true
		}
	}
	return modules.Yes()
}

func inBond(_ *config, c *api.Ctx, socket, bond string) modules.Ret {
	sock, _, err := c.Host.FindSocket(socket)
	if err != nil {
		return modules.No(-1, "no_socket", err.Error())
	}
	bond = strings.TrimPrefix(bond, "bond:")
	return modules.YesIf(sock != nil && c.Host.BondHas(bond, sock), "not_member", "the socket is not a member of the bond")
}

func closeConnection(_ *config, c *api.Ctx, peer string) modules.Ret {
	flow := api.Flow(0)
	if n, err := strconv.ParseUint(peer, 10, 64); err == nil {
		flow = api.Flow(n)
	} else {
		if proto, rest, ok := strings.Cut(peer, ":"); ok {
			if _, known := api.ParseProto(proto); known {
				peer = rest
			}
		}
		if _, err := netip.ParseAddrPort(peer); err != nil {
			return modules.Misuse(fmt.Errorf("%q is not ip:port, proto:ip:port or a connection's number", peer))
		}
		flow = c.Host.FlowTo(peer)
	}
	return modules.YesIf(flow != 0 && c.Host.CloseFlow(flow), "no_connection", "there is no such connection")
}

func forwardRequest(_ *config, c *api.Ctx, destination string) modules.Ret {
	if !hasRequest(c) {
		return noRequest()
	}
	t := *c.Target
	if destination != "" {
		uri, err := destinationURI(destination)
		if err != nil {
			return modules.Misuse(err)
		}
		t.Duri = uri
	}
	if err := c.Host.StatelessForward(c, &t); err != nil {
		return modules.No(-1, "send_failed", err.Error())
	}
	return modules.Yes()
}

// destinationURI turns [proto:]host[:port], or a SIP URI, into a SIP URI.
func destinationURI(dest string) (string, error) {
	if u := parsed([]byte(dest)); u != nil && u.IsSIP() {
		return dest, nil
	}
	tail := ""
	if proto, rest, ok := strings.Cut(dest, ":"); ok {
		if p, known := api.ParseProto(proto); known {
			dest, tail = rest, ";transport="+p.String()
		}
	}
	host, port, err := splitHostPort(dest)
	if err != nil {
		return "", err
	}
	p := parts{scheme: "sip", tail: tail}
	if err := p.setHost(host); err != nil {
		return "", fmt.Errorf("destination %w", err)
	}
	if err := p.setPort(port); err != nil {
		return "", err
	}
	var u sip.URI
	uri := p.String()
	return uri, sip.ParseURI([]byte(uri), &u)
}
