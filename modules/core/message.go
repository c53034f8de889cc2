package core

import (
	"os"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// messageFields tell of the message as a whole.
func messageFields() []modules.Field {
	isRequest := func(c *api.Ctx) modules.Value { return modules.Bool(c.Msg.IsRequest()) }
	return []modules.Field{
		field("rm", "$rm", modules.KindString, "Method; of a reply that in its CSeq.", func(c *api.Ctx) modules.Value { return modules.Bytes(c.Msg.MethodName()) }),
		field("rs", "$rs", modules.KindNumber, "Status code of a reply; nil for a request.", func(c *api.Ctx) modules.Value {
			if c.Msg.IsRequest() {
				return modules.Nil()
			}
			return modules.Int(c.Msg.StatusCode())
		}),
		field("rr", "$rr", modules.KindString, "Reason phrase of a reply; nil for a request.", func(c *api.Ctx) modules.Value {
			if c.Msg.IsRequest() {
				return modules.Nil()
			}
			return modules.Bytes(c.Msg.Reason())
		}),
		field("rb", "$rb", modules.KindString, "Body; nil when there is none.", func(c *api.Ctx) modules.Value { return modules.StringOrNil(string(c.Msg.Body())) }),
		keyed("rb_info", "$rb", modules.KindString, "A part of a multipart body: by its type, msg.rb_info[\"application/sdp\"], the first of them; by number from 0, from the end when negative. A body of one part is that part.", bodyPart),
		field("mb", "$mb", modules.KindString, "The whole message with the script's edits.", func(c *api.Ctx) modules.Value { return modules.Bytes(c.Msg.Serialise(nil)) }),
		field("ml", "$ml", modules.KindNumber, "Length of the whole message in bytes, with the script's edits.", messageLength),
		field("mf", "$mf", modules.KindString, "Names of the message flags that are set, with spaces between.", messageFlags).Volatile(),
		field("msg_type", "$msg.type", modules.KindString, "\"request\" or \"reply\".", func(c *api.Ctx) modules.Value {
			if c.Msg.IsRequest() {
				return modules.String("request")
			}
			return modules.String("reply")
		}),
		field("is_request", "$msg.is_request", modules.KindBool, "Whether the message is a request.", isRequest),
		field("msg_is_request", "$msg.is_request", modules.KindBool, "The same as is_request.", isRequest),
		field("pp", "$pp", modules.KindNumber, "Process id.", func(*api.Ctx) modules.Value { return modules.Int(os.Getpid()) }).In(api.RouteAll),
		field("log_level", "$log_level", modules.KindNumber, "Level of the log, -3 (alert) to 4 (debug).", level("log_level")).In(api.RouteAll).Volatile(),
		field("xlog_level", "$xlog_level", modules.KindNumber, "Level of xlog, -3 (alert) to 4 (debug).", level("xlog_level")).In(api.RouteAll).Volatile(),
	}
}

// bodyPart is $rb(type) and $(rb[n]).
func bodyPart(c *api.Ctx, key modules.Value) modules.Value {
	parts := bodyParts(c.Msg)
	if key.Kind == modules.KindNumber {
		i := int(key.Num)
		if i < 0 {
			i += len(parts)
		}
		if i < 0 || i >= len(parts) || float64(int(key.Num)) != key.Num {
			return modules.Nil()
		}
		return modules.Bytes(parts[i].text)
	}
	for _, p := range parts {
		if sip.EqualFold(p.mime, strings.TrimSpace(key.Text())) {
			return modules.Bytes(p.text)
		}
	}
	return modules.Nil()
}

// part is one part of a body, without its headers.
type part struct{ mime, text []byte }

func bodyParts(d *sip.Draft) []part {
	body, ctype := d.Body(), d.First(sip.HdrContentType)
	boundary, multi := sip.Boundary(ctype)
	switch {
	case len(body) == 0:
		return nil
	case !multi:
		return []part{{sip.MediaType(ctype), body}}
	}
	var out []part
	for p := range sip.SplitMultipart(body, boundary) {
		out = append(out, part{sip.MediaType(sip.PartHeader(p.Headers.Of(body), "Content-Type")), p.Body.Of(body)})
	}
	return out
}

func messageLength(c *api.Ctx) modules.Value {
	if !c.Msg.Edited() {
		return modules.Int(len(c.Msg.Message().Raw()))
	}
	return modules.Int(len(c.Msg.Serialise(nil)))
}

func messageFlags(c *api.Ctx) modules.Value {
	var names []string
	for bit := range 64 {
		if c.State.Flags.Has(bit) {
			names = append(names, c.Host.FlagName(bit, false))
		}
	}
	return modules.String(strings.Join(names, " "))
}

// levels are the words of config{log_level=...}.
var levels = map[string]api.Level{
	"alert": api.LevelAlert, "crit": api.LevelCrit, "critical": api.LevelCrit, "error": api.LevelError, "err": api.LevelError,
	"warn": api.LevelWarn, "warning": api.LevelWarn, "notice": api.LevelNotice, "info": api.LevelInfo,
	"debug": api.LevelDebug, "dbg": api.LevelDebug,
}

// level reads a setting that is a number or a word; notice is the default.
func level(setting string) func(*api.Ctx) modules.Value {
	return func(c *api.Ctx) modules.Value {
		switch v := c.Host.Setting(setting).(type) {
		case float64:
			return modules.Number(v)
		case int:
			return modules.Int(v)
		case string:
			if l, ok := levels[strings.ToLower(strings.TrimPrefix(v, "L_"))]; ok {
				return modules.Int(int(l))
			}
		}
		return modules.Int(int(api.LevelNotice))
	}
}

// routeTypes are the names that OpenSIPS gives route types.
var routeTypes = map[api.Route]string{
	api.RouteRequest: "route", api.RouteFailure: "failure_route", api.RouteReply: "onreply_route",
	api.RouteBranch: "branch_route", api.RouteLocal: "local_route", api.RouteError: "error_route",
	api.RouteStartup: "startup_route", api.RouteTimer: "timer_route", api.RouteEvent: "event_route",
	api.RouteLaunch: "launch",
}

// routeFields tell of the route that the handler was entered by.
func routeFields() []modules.Field {
	name := func(c *api.Ctx) string {
		if c.Route == "main" {
			return ""
		}
		return c.Route
	}
	return []modules.Field{
		field("route", "$route", modules.KindString, "Route that the handler was entered by: \"route\", \"failure_route[voicemail]\".", func(c *api.Ctx) modules.Value {
			if n := name(c); n != "" {
				return modules.String(routeTypes[c.Kind] + "[" + n + "]")
			}
			return modules.String(routeTypes[c.Kind])
		}).In(api.RouteAll),
		field("route_type", "$route.type", modules.KindString, "Type of that route: \"route\", \"failure_route\".", func(c *api.Ctx) modules.Value {
			return modules.StringOrNil(routeTypes[c.Kind])
		}).In(api.RouteAll),
		field("route_name", "$route.name", modules.KindString, "Name of that route; nil for the unnamed one.", func(c *api.Ctx) modules.Value {
			return modules.StringOrNil(name(c))
		}).In(api.RouteAll),
	}
}

// errorFields tell what was wrong with a message that does not parse.
func errorFields() []modules.Field {
	of := func(get func(*sip.ParseError) modules.Value) func(*api.Ctx) modules.Value {
		return func(c *api.Ctx) modules.Value {
			if c.ParseErr == nil {
				return modules.Nil()
			}
			return get(c.ParseErr)
		}
	}
	fields := []modules.Field{
		field("err_class", "$err.class", modules.KindNumber, "Class of the error: 1, a message that does not parse.", of(func(*sip.ParseError) modules.Value { return modules.Int(1) })),
		field("err_level", "$err.level", modules.KindNumber, "Severity of the error: 3, medium.", of(func(*sip.ParseError) modules.Value { return modules.Int(3) })),
		field("err_info", "$err.info", modules.KindString, "What is wrong, and what would be right.", of(func(e *sip.ParseError) modules.Value { return modules.String(e.Error()) })),
		field("err_rcode", "$err.rcode", modules.KindNumber, "Status that a reply should have.", of(func(e *sip.ParseError) modules.Value { return modules.Int(e.Code) })),
		field("err_rreason", "$err.rreason", modules.KindString, "Reason phrase that a reply should have.", of(func(e *sip.ParseError) modules.Value { return modules.String(e.Reason) })),
	}
	for i := range fields {
		fields[i] = fields[i].In(api.RouteError)
	}
	return fields
}
