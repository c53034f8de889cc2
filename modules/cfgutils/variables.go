package cfgutils

import (
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxShared bounds the names of shared variables.
const maxShared = 65536

func variables() []modules.Var {
	return []modules.Var{
		{Name: "RANDOM", OpenSIPS: "$RANDOM", Kind: modules.KindNumber, Doc: "A random whole number from 0 to 2^31-1.",
			Get: func(modules.Config, *api.Ctx) modules.Value { return modules.Number(float64(rand.Int32())) }},
		{Name: "ctime", OpenSIPS: "$ctime", Kind: modules.KindNumber, Doc: "A part of the local time: sec, min, hour, mday, mon (1-12), year, wday (1 is Sunday), yday (1-366), isdst.",
			GetKey: func(_ modules.Config, c *api.Ctx, key modules.Value) modules.Value {
				return timePart(c.Host.Now(), key.Text())
			}},
		{Name: "env", OpenSIPS: "$env", Kind: modules.KindString, Doc: "A variable of the program's environment; nil when it is not set.",
			GetKey: func(_ modules.Config, _ *api.Ctx, key modules.Value) modules.Value {
				v, ok := os.LookupEnv(key.Text())
				if !ok {
					return modules.Nil()
				}
				return modules.String(v)
			}},
		{Name: "shv", OpenSIPS: "$shv", Kind: modules.KindAny, Doc: "A number or string that all workers share; 0 until it is set, and again when set to nil.",
			GetKey: func(inst modules.Config, _ *api.Ctx, key modules.Value) modules.Value {
				return inst.(*config).getShared(key.Text())
			},
			SetKey: func(inst modules.Config, _ *api.Ctx, key, v modules.Value) error {
				return inst.(*config).setShared(key.Text(), v)
			}},
	}
}

func timePart(t time.Time, name string) modules.Value {
	switch name {
	case "sec":
		return modules.Int(t.Second())
	case "min":
		return modules.Int(t.Minute())
	case "hour":
		return modules.Int(t.Hour())
	case "mday":
		return modules.Int(t.Day())
	case "mon":
		return modules.Int(int(t.Month()))
	case "year":
		return modules.Int(t.Year())
	case "wday":
		return modules.Int(int(t.Weekday()) + 1)
	case "yday":
		return modules.Int(t.YearDay())
	case "isdst":
		if t.IsDST() {
			return modules.Int(1)
		}
		return modules.Int(0)
	}
	return modules.Nil()
}

func (p *process) getShared(name string) modules.Value {
	p.mu.Lock()
	defer p.mu.Unlock()
	if v, ok := p.shared[name]; ok {
		return v
	}
	return modules.Int(0)
}

func (p *process) setShared(name string, v modules.Value) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch v.Kind {
	case modules.KindNil:
		delete(p.shared, name)
		return nil
	case modules.KindNumber, modules.KindString:
		if _, have := p.shared[name]; !have && len(p.shared) >= maxShared {
			return fmt.Errorf("there are %d shared variables already", maxShared)
		}
		p.shared[name] = v
		return nil
	}
	return fmt.Errorf("cfgutils.shv.%s takes a number or a string, not a %s; shared:set takes tables", name, v.Kind)
}
