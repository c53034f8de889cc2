package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// timeFields are the clock; they work in every route.
func timeFields() []modules.Field {
	fields := []modules.Field{
		field("Ts", "$Ts", modules.KindNumber, "Unix time in seconds.", func(c *api.Ctx) modules.Value { return modules.Number(float64(c.Host.Now().Unix())) }),
		field("Tsm", "$Tsm", modules.KindNumber, "Microseconds of the current second.", func(c *api.Ctx) modules.Value { return modules.Int(c.Host.Now().Nanosecond() / 1000) }),
		field("Tf", "$Tf", modules.KindString, "Local time as text: \"Mon Mar  2 10:20:30 2026\".", func(c *api.Ctx) modules.Value { return modules.String(c.Host.Now().Format(time.ANSIC)) }),
		modules.FieldOf("TS", "$TS", modules.KindNumber, "Unix time at which the program started, in seconds.", func(cfg *config, _ *api.Ctx) modules.Value {
			return modules.Number(float64(cfg.started.Unix()))
		}),
		keyed("time", "$time", modules.KindString, "Local time by a strftime format: msg.time[\"%H:%M\"].", func(c *api.Ctx, key modules.Value) modules.Value {
			return modules.String(strftime(key.Text(), c.Host.Now()))
		}),
	}
	for i := range fields {
		fields[i] = fields[i].In(api.RouteAll).Volatile()
	}
	return fields
}

// simpleTimes are the conversions that a Go layout says.
var simpleTimes = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'c': time.ANSIC, 'd': "02", 'D': "01/02/06",
	'e': "_2", 'F': "2006-01-02", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'P': "pm", 'r': "03:04:05 PM",
	'R': "15:04", 'S': "05", 'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
}

// strftime formats t as C's function does in the POSIX locale. Conversions
// that it does not know stay as they are.
func strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		b.WriteString(convertTime(format[i], t))
	}
	return b.String()
}

func convertTime(c byte, t time.Time) string {
	if layout, ok := simpleTimes[c]; ok {
		return t.Format(layout)
	}
	isoYear, isoWeek := t.ISOWeek()
	weekday := int(t.Weekday())
	switch c {
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100)
	case 'g':
		return fmt.Sprintf("%02d", isoYear%100)
	case 'G':
		return strconv.Itoa(isoYear)
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay())
	case 'k':
		return fmt.Sprintf("%2d", t.Hour())
	case 'l':
		return fmt.Sprintf("%2d", (t.Hour()+11)%12+1)
	case 'n':
		return "\n"
	case 's':
		return strconv.FormatInt(t.Unix(), 10)
	case 't':
		return "\t"
	case 'u':
		return strconv.Itoa((weekday+6)%7 + 1)
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-weekday)/7)
	case 'V':
		return fmt.Sprintf("%02d", isoWeek)
	case 'w':
		return strconv.Itoa(weekday)
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(weekday+6)%7)/7)
	case '%':
		return "%"
	}
	return "%" + string(rune(c))
}
