package logs

import (
	"maps"
	"strconv"
	"strings"

	"github.com/luasips/luasips/engine/api"
)

// levelTable is what Enabled reads; it is replaced whole when a level changes.
type levelTable struct {
	def  api.Level
	most api.Level // the most talkative of all
	own  map[string]api.Level
}

func newLevelTable(def api.Level, own map[string]api.Level) *levelTable {
	t := &levelTable{def: def, most: def, own: maps.Clone(own)}
	for _, v := range own {
		t.most = max(t.most, v)
	}
	return t
}

// Enabled reports whether a record of this level is written for component. It
// costs one atomic load, and a map read when some component has a level of its
// own that would let the record through.
func (l *Logger) Enabled(component string, level api.Level) bool {
	t := l.levels.Load()
	if level > t.most {
		return false
	}
	if len(t.own) == 0 {
		return true
	}
	if v, ok := t.own[component]; ok {
		return level <= v
	}
	return level <= t.def
}

// SetLevel gives component a level of its own while the program runs
// (OpenSIPS MI log_level, per module); "" sets the level of all that have none.
func (l *Logger) SetLevel(component string, level api.Level) {
	l.setting.Lock()
	defer l.setting.Unlock()
	t := l.levels.Load()
	if component == "" {
		l.levels.Store(newLevelTable(level, t.own))
		return
	}
	own := maps.Clone(t.own)
	if own == nil {
		own = make(map[string]api.Level, 1)
	}
	own[component] = level
	l.levels.Store(newLevelTable(t.def, own))
}

// ResetLevel takes the component's own level away.
func (l *Logger) ResetLevel(component string) {
	l.setting.Lock()
	defer l.setting.Unlock()
	t := l.levels.Load()
	own := maps.Clone(t.own)
	delete(own, component)
	l.levels.Store(newLevelTable(t.def, own))
}

// Levels returns the levels in force: "" is that of components not named. The
// map is the caller's.
func (l *Logger) Levels() map[string]api.Level {
	t := l.levels.Load()
	m := make(map[string]api.Level, len(t.own)+1)
	maps.Copy(m, t.own)
	m[""] = t.def
	return m
}

// levelNames are indexed by level - api.LevelAlert; 0 has no name.
var levelNames = [...]string{"alert", "crit", "error", "", "warn", "notice", "info", "debug"}

// LevelName is the word for a level in records and settings: "info". A number
// outside the scale is named as the nearest.
func LevelName(level api.Level) string {
	level = min(max(level, api.LevelAlert), api.LevelDebug)
	if level == 0 {
		level = api.LevelWarn
	}
	return levelNames[level-api.LevelAlert]
}

// ParseLevel reads "info", OpenSIPS's "L_INFO" or its number "3"; ok is false
// for anything else.
func ParseLevel(s string) (level api.Level, ok bool) {
	if n, err := strconv.Atoi(s); err == nil {
		level = api.Level(n)
		return level, n >= int(api.LevelAlert) && n <= int(api.LevelDebug) && n != 0
	}
	s = strings.TrimPrefix(strings.ToLower(s), "l_")
	switch s {
	case "err":
		s = "error"
	case "dbg":
		s = "debug"
	case "warning":
		s = "warn"
	case "critical":
		s = "crit"
	}
	for i, name := range levelNames {
		if name == s && name != "" {
			return api.LevelAlert + api.Level(i), true
		}
	}
	return 0, false
}
