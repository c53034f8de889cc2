package main

import (
	"context"
	"fmt"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/mi"
)

// reloadResult is the answer of the reload command.
type reloadResult struct {
	Generation uint64 `json:"generation"`
}

// commands adds the management commands of the program itself.
func (p *proxy) commands() {
	p.mi.Handle("reload", func(context.Context, mi.Params) (any, error) {
		id, err := p.reload()
		return reloadResult{Generation: id}, err
	}, "core:reload_routes", "reload_routes")
	p.mi.Handle("version", func(context.Context, mi.Params) (any, error) {
		return map[string]string{"Server": versionLine()}, nil
	}, "core:version")
	p.mi.Handle("uptime", func(context.Context, mi.Params) (any, error) {
		return map[string]any{"Up since": p.start.Format(time.RFC3339), "Up time": fmt.Sprintf("%d [sec]", int(time.Since(p.start).Seconds()))}, nil
	}, "core:uptime")
	p.mi.Handle("log_level", p.logLevel, "core:log_level")
	p.mi.Handle("stats", func(context.Context, mi.Params) (any, error) { return p.stats(), nil }, "statistics:get", "get_statistics")
}

// logLevel shows the levels, or sets one: log_level LEVEL [COMPONENT].
func (p *proxy) logLevel(_ context.Context, a mi.Params) (any, error) {
	word := a.String("level", 0)
	if word == "" {
		out := map[string]string{}
		for c, l := range p.log.Levels() {
			out[c] = levelName(l)
		}
		return out, nil
	}
	level, err := parseLevel(word)
	if err != nil {
		return nil, &mi.Error{Code: mi.CodeParams, Message: err.Error()}
	}
	component := a.String("component", 1)
	p.log.SetLevel(component, level)
	p.engine.Log(api.LevelNotice, "log level changed", api.Field{Key: "component", Value: component}, api.Field{Key: "to", Value: levelName(level)})
	return map[string]string{"level": levelName(level), "component": component}, nil
}

// stats are the counters of all workers added up.
func (p *proxy) stats() map[string]any {
	var req, resp, bad, over, full, parks, errs uint64
	var parked int64
	for i := range p.engine.Workers() {
		c := p.engine.Counters(i)
		req += c.Requests.Load()
		resp += c.Responses.Load()
		bad += c.Malformed.Load()
		over += c.Overload.Load()
		full += c.QueueFull.Load()
		parks += c.Parks.Load()
		errs += c.ScriptErrors.Load()
		parked += c.Parked.Load()
	}
	lua := p.loader.stats()
	return map[string]any{
		"core:rcv_requests": req, "core:rcv_replies": resp, "core:bad_msgs": bad, "core:overload": over,
		"core:queue_full": full, "core:parks": parks, "core:parked": parked, "core:script_errors": errs,
		"core:script_over_budget": lua.OverBudget, "core:script_panics": lua.Panics,
		"tm:inuse_transactions": p.engine.Live(), "core:generations": p.engine.Generations(),
	}
}
