package cfgutils

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxSleep bounds one pause.
const maxSleep = time.Hour

func functions() []modules.Function {
	percent := func(a *modules.Arg) { a.Min, a.Max = 0, 100 }
	spec := func(name, doc string, outputs ...modules.OutputDoc) modules.Spec {
		return modules.Spec{Name: name, Doc: doc, Outputs: outputs}
	}
	number := func(name, doc string) modules.OutputDoc {
		return modules.OutputDoc{Name: name, Kind: modules.KindNumber, Doc: doc}
	}
	str := func(name, doc string) modules.OutputDoc {
		return modules.OutputDoc{Name: name, Kind: modules.KindString, Doc: doc}
	}
	list := func(name string) modules.ArgOf[modules.Value] {
		return modules.OptAnyArg(name, "the name of an AVP, or a list")
	}
	sleep := func(name, unit string, step time.Duration) modules.Function {
		s := spec(name, "Waits; the worker goes on with other calls.")
		s.Blocks = true
		arg := modules.IntArg("time", "how long, in "+unit+"; one that is longer than script_wall ends the handler then").With(func(a *modules.Arg) { a.Min, a.Max = 0, float64(maxSleep/step) })
		return modules.F1(s, arg, func(cfg *config, c *api.Ctx, n int) modules.Ret {
			d := time.Duration(n) * step
			ended := false
			c.Host.Park(c, func() { ended = cfg.wait(min(d, cfg.wall)) })
			if d > cfg.wall && !ended {
				return modules.WallOver(cfg.wall)
			}
			return modules.Yes()
		})
	}
	timeRec := spec("check_time_rec", "Whether a time lies within a recurrence (RFC 2445), or an expression of several with &, /, ! and parentheses.")
	timeRec.Results = []modules.Result{{Code: -1, Name: "outside", Doc: "the time is outside"}, {Code: -2, Name: "bad_recurrence", Doc: "the recurrence does not parse"}}
	fns := []modules.Function{
		modules.F1(spec("rand_event", "True with the probability set."), modules.OptIntArg("probability", unset, "percent, instead of the one set").With(percent), randEvent),
		modules.F1(spec("rand_set_prob", "Sets the probability of rand_event for all workers."), modules.IntArg("probability", "percent").With(percent), func(cfg *config, _ *api.Ctx, n int) modules.Ret {
			cfg.probability.Store(int64(n))
			return modules.Yes()
		}),
		modules.F0(spec("rand_reset_prob", "Sets the probability back to initial_probability."), func(cfg *config, _ *api.Ctx) modules.Ret {
			cfg.probability.Store(int64(cfg.initial))
			return modules.Yes()
		}),
		modules.F0(spec("rand_get_prob", "The probability that is set.", number("probability", "percent")), func(cfg *config, _ *api.Ctx) modules.Ret {
			return modules.Output(modules.Int(int(cfg.probability.Load())))
		}),
		sleep("sleep", "seconds", time.Second),
		sleep("usleep", "microseconds", time.Microsecond),
		modules.F1(spec("set_count", "How many values there are.", number("ret_var", "the number of values")), list("var_to_count"), func(_ *config, c *api.Ctx, v modules.Value) modules.Ret {
			return modules.Output(modules.Int(len(valuesOf(c, v))))
		}),
		modules.F1(spec("set_select_weight", "Chooses by weight: the index from 0 of one of the weights, each as likely as it is heavy.", number("index", "the weight chosen, from 0")), list("int_list_var"), selectWeight),
		modules.F1(spec("shuffle_avps", "Puts the values of an AVP into random order."), modules.StrArg("name", "the AVP's name"), shuffle),
		modules.FN(spec("ts_usec_delta", "The distance between two times in microseconds.", str("delta_str", "as a string"), number("delta_int", "as a number")),
			[]modules.Arg{modules.IntArg("t1_sec", "seconds of one time").Arg, modules.IntArg("t1_usec", "its microseconds").Arg,
				modules.IntArg("t2_sec", "seconds of the other").Arg, modules.IntArg("t2_usec", "its microseconds").Arg}, delta),
		modules.F0(spec("get_accurate_time", "The time to the microsecond.", number("sec", "Unix time in seconds"), number("usec", "microseconds of that second"),
			str("str_sec_usec", "both as \"1772446830.000000\"")), accurateTime),
		modules.F2(timeRec, modules.StrArg("time_string", "timezone|dtstart|dtend|duration|freq|until|interval|byday|bymday|byyday|byweekno|bymonth"),
			modules.OptAnyArg("timestamp", "Unix time to check instead of now, in seconds"), checkTimeRec),
	}
	return append(fns, lockFunctions()...)
}

// wait pauses, or returns early, with ended set, when the program ends.
func (p *process) wait(d time.Duration) (ended bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-p.done:
		return true
	}
}

func randEvent(cfg *config, _ *api.Ctx, percent int) modules.Ret {
	if percent == unset {
		percent = int(cfg.probability.Load())
	}
	return modules.YesIf(rand.Float64()*100 < float64(percent), "no_event", "chance said no")
}

// valuesOf are the values of an AVP by its name, or those of a list.
func valuesOf(c *api.Ctx, v modules.Value) []modules.Value {
	switch v.Kind {
	case modules.KindList:
		return v.List()
	case modules.KindString:
		var out []modules.Value
		for _, x := range c.State.AVP(v.Str) {
			out = append(out, valueOf(x))
		}
		return out
	case modules.KindNil:
		return nil
	}
	return []modules.Value{v}
}

// valueOf is an AVP's value; tables, which belong to their worker, are nil.
func valueOf(x any) modules.Value {
	switch x := x.(type) {
	case string:
		return modules.String(x)
	case float64:
		return modules.Number(x)
	case bool:
		return modules.Bool(x)
	}
	return modules.Nil()
}

func selectWeight(_ *config, c *api.Ctx, v modules.Value) modules.Ret {
	values := valuesOf(c, v)
	sum := 0.0
	for _, w := range values {
		sum += weight(w)
	}
	if !(sum > 0) {
		return modules.NoOutput(-1, "no_weight", "there is no weight above 0")
	}
	at, chosen := rand.Float64()*sum, 0
	for i, w := range values {
		if weight(w) > 0 {
			chosen = i
			if at -= weight(w); at < 0 {
				break
			}
		}
	}
	return modules.Output(modules.Int(chosen))
}

// weight reads a number, also one kept as a string; what is none weighs 0.
func weight(v modules.Value) float64 {
	n, err := strconv.ParseFloat(v.Text(), 64)
	if err != nil || !(n > 0) || n > 1e15 {
		return 0
	}
	return n
}

func shuffle(_ *config, c *api.Ctx, name string) modules.Ret {
	vals := append([]any(nil), c.State.AVP(name)...)
	if len(vals) == 0 {
		return modules.No(-1, "no_avp", fmt.Sprintf("there is no AVP %q", name))
	}
	rand.Shuffle(len(vals), func(i, j int) { vals[i], vals[j] = vals[j], vals[i] })
	c.State.SetAVP(name, vals...)
	return modules.Yes()
}

func delta(_ *config, _ *api.Ctx, a *modules.Args) modules.Ret {
	d := (a.V[0].Num-a.V[2].Num)*1e6 + a.V[1].Num - a.V[3].Num
	if d < 0 {
		d = -d
	}
	return modules.Output(modules.Map(map[string]modules.Value{
		"delta_str": modules.String(strconv.FormatFloat(d, 'f', 0, 64)),
		"delta_int": modules.Number(d),
	}))
}

func accurateTime(_ *config, c *api.Ctx) modules.Ret {
	now := c.Host.Now()
	return modules.Output(modules.Map(map[string]modules.Value{
		"sec":          modules.Number(float64(now.Unix())),
		"usec":         modules.Int(now.Nanosecond() / 1000),
		"str_sec_usec": modules.String(fmt.Sprintf("%d.%06d", now.Unix(), now.Nanosecond()/1000)),
	}))
}
