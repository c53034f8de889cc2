package luabind

import (
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/luasips/luasips/engine/api"
)

// levelNumbers are the words for log levels with OpenSIPS's numbers.
var levelNumbers = map[string]int{
	"alert": int(api.LevelAlert), "crit": int(api.LevelCrit), "error": int(api.LevelError),
	"warn": int(api.LevelWarn), "notice": int(api.LevelNotice), "info": int(api.LevelInfo), "debug": int(api.LevelDebug),
}

// otherLevels are further spellings, in lower case and without L_.
var otherLevels = map[string]string{"err": "error", "warning": "warn", "dbg": "debug", "critical": "crit"}

// parseLevel reads "L_INFO", "info", "3" or "warning".
func parseLevel(s string) (api.Level, bool) {
	w := strings.TrimPrefix(strings.ToLower(s), "l_")
	if o, ok := otherLevels[w]; ok {
		w = o
	}
	if n, ok := levelNumbers[w]; ok {
		return api.Level(n), true
	}
	if n, ok := parseNumber(s); ok {
		for _, l := range levelNumbers {
			if float64(l) == n {
				return api.Level(l), true
			}
		}
	}
	return 0, false
}

// levelAsker is implemented by hosts that tell whether a level is written, so
// that records that nobody sees cost nothing.
type levelAsker interface{ LogEnabled(level api.Level) bool }

func (r *run) logs(level api.Level) bool {
	h, ok := r.c.Host.(levelAsker)
	return !ok || h.LogEnabled(level)
}

// log writes one record of the script's. The host asks the run for its place.
func (r *run) log(L *lua.LState, level api.Level, text string, fields []api.Field) {
	r.at = L
	r.c.Host.Log(r.c, level, text, fields...)
	r.at = nil
}

// openLog makes log.debug, log.info and so on.
func (st *State) openLog() {
	fns := map[string]lua.LGFunction{}
	for word, n := range levelNumbers {
		level := api.Level(n)
		fns[word] = func(L *lua.LState) int { return logCall(L, "log."+word, level) }
	}
	t := st.module("log", fns)
	mt := st.base.NewTable()
	st.set(mt, "__index", func(L *lua.LState) int {
		L.RaiseError("log has no level %q%s", L.Get(2).String(), didYouMean(L.Get(2).String(), sortedKeys(levelNumbers)))
		return 0
	})
	mt.RawSetString("__metatable", lua.LString("log"))
	t.Metatable = mt
}

// logCall is log.LEVEL(text, {field = value}).
func logCall(L *lua.LState, what string, level api.Level) int {
	r := runOf(L)
	if !r.logs(level) {
		return 0
	}
	text := L.ToStringMeta(L.Get(1)).String()
	var fields []api.Field
	switch t := L.Get(2).(type) {
	case *lua.LNilType:
	case *lua.LTable:
		t.ForEach(func(k, v lua.LValue) {
			if len(fields) < 64 {
				fields = append(fields, api.Field{Key: k.String(), Value: fieldValue(L, v)})
			}
		})
	default:
		L.RaiseError("%s: argument 2 must be a table of fields, got %s", what, article(luaType(t)))
	}
	r.log(L, level, text, fields)
	return 0
}

func fieldValue(L *lua.LState, v lua.LValue) any {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return float64(v)
	case lua.LBool:
		return bool(v)
	case *lua.LNilType:
		return ""
	case *lua.LTable:
		if b, err := encodeJSON(v, 4096); err == nil {
			return string(b)
		}
	}
	return L.ToStringMeta(v).String()
}
