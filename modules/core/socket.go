package core

import (
	"errors"
	"net/netip"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// socketKeys are the parts of a socket ($socket_in(field)).
var socketKeys = []string{"ip", "port", "proto", "advertised_ip", "advertised_port", "tag", "anycast", "af"}

// socketFields tell where the message came from and what it will leave by.
func socketFields() []modules.Field {
	received := func(c *api.Ctx) *api.Socket { return c.Source.Socket }
	proto := func(c *api.Ctx) modules.Value { return socketPart(received(c), "proto") }
	out := field("socket_out", "$socket_out", modules.KindString, "Socket or bond that the request will be sent from; the one it came by unless another is forced.", socketOut).Volatile()
	outInfo := keyed("socket_out_info", "$socket_out", modules.KindAny, "A part of that socket; forced is its name when one is forced, else nil.", socketOutPart,
		append([]string{"forced"}, socketKeys...)...).Volatile()
	return []modules.Field{
		field("si", "$si", modules.KindString, "IP address that the message came from.", func(c *api.Ctx) modules.Value { return addrValue(c.Source.Remote.Addr()) }),
		field("sp", "$sp", modules.KindNumber, "Port that the message came from.", func(c *api.Ctx) modules.Value { return portValue(c.Source.Remote) }),
		field("pr", "$pr", modules.KindString, "Transport that the message came by, in capitals: UDP, TLS.", proto),
		field("proto", "$proto", modules.KindString, "The same as pr.", proto),
		field("socket_in", "$socket_in", modules.KindString, "Socket that the message came by: \"udp:192.0.2.1:5060\".", func(c *api.Ctx) modules.Value {
			if s := received(c); s != nil {
				return modules.String(s.Name)
			}
			return modules.Nil()
		}),
		keyed("socket_in_info", "$socket_in", modules.KindAny, "A part of that socket.", func(c *api.Ctx, key modules.Value) modules.Value {
			return socketPart(received(c), key.Text())
		}, socketKeys...),
		writable(out, func(c *api.Ctx, v modules.Value) error { return forceSocket(c, v.Text()) }),
		outInfo,
		keyed("proxy_protocol", "$proxy_protocol", modules.KindAny, "Addresses that a PROXY protocol header carried; nil when none came.", proxyPart,
			"src_ip", "src_port", "dst_ip", "dst_port", "af"),
	}
}

func addrValue(a netip.Addr) modules.Value {
	if !a.IsValid() {
		return modules.Nil()
	}
	return modules.String(a.Unmap().String())
}

func portValue(a netip.AddrPort) modules.Value {
	if !a.IsValid() {
		return modules.Nil()
	}
	return modules.Int(int(a.Port()))
}

func family(a netip.Addr) modules.Value {
	switch {
	case !a.IsValid():
		return modules.Nil()
	case a.Unmap().Is4():
		return modules.String("INET")
	}
	return modules.String("INET6")
}

func socketPart(s *api.Socket, key string) modules.Value {
	if s == nil {
		return modules.Nil()
	}
	switch key {
	case "ip":
		return addrValue(s.Addr.Addr())
	case "port":
		return portValue(s.Addr)
	case "proto":
		return modules.String(s.Proto.Via())
	case "tag":
		return modules.StringOrNil(s.Tag)
	case "anycast":
		return modules.Int(0)
	case "af":
		return family(s.Addr.Addr())
	}
	switch {
	case !s.Advertised:
		return modules.Nil()
	case key == "advertised_ip":
		return modules.String(s.Host)
	case key == "advertised_port":
		return modules.Int(int(s.Port))
	}
	return modules.Nil()
}

// outSocket is the forced socket, else the one the message came by.
func outSocket(c *api.Ctx) *api.Socket {
	if c.Target != nil && c.Target.Socket != nil {
		return c.Target.Socket
	}
	return c.Source.Socket
}

// forcedName is what the script forced: a socket's name or "bond:NAME".
func forcedName(c *api.Ctx) modules.Value {
	switch {
	case c.Target == nil:
	case c.Target.Bond != "":
		return modules.String("bond:" + c.Target.Bond)
	case c.Target.Socket != nil:
		return modules.String(c.Target.Socket.Name)
	}
	return modules.Nil()
}

func socketOut(c *api.Ctx) modules.Value {
	if v := forcedName(c); !v.IsNil() {
		return v
	}
	if s := outSocket(c); s != nil {
		return modules.String(s.Name)
	}
	return modules.Nil()
}

func socketOutPart(c *api.Ctx, key modules.Value) modules.Value {
	if key.Text() == "forced" {
		return forcedName(c)
	}
	return socketPart(outSocket(c), key.Text())
}

var errTarget = errors.New("there is no request whose socket could be forced")

// forceSocket is force_send_socket and writes $socket_out; "" forces none.
func forceSocket(c *api.Ctx, name string) error {
	if c.Target == nil {
		return errTarget
	}
	if name == "" {
		c.Target.Socket, c.Target.Bond = nil, ""
		return nil
	}
	sock, bond, err := c.Host.FindSocket(name)
	if err != nil {
		return err
	}
	c.Target.Socket, c.Target.Bond = sock, bond
	return nil
}

func proxyPart(c *api.Ctx, key modules.Value) modules.Value {
	src, dst := c.Source.ProxySrc, c.Source.ProxyDst
	switch key.Text() {
	case "src_ip":
		return addrValue(src.Addr())
	case "src_port":
		return portValue(src)
	case "dst_ip":
		return addrValue(dst.Addr())
	case "dst_port":
		return portValue(dst)
	case "af":
		return family(src.Addr())
	}
	return modules.Nil()
}
