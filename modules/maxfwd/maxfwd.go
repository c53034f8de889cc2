package maxfwd

import (
	"strconv"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

type config struct {
	modules.NoLifecycle
	limit int
}

// highest is the highest Max-Forwards there is (RFC 3261 §20.22).
const highest = 255

var headerName = []byte("Max-Forwards")

// process is mf_process_maxfwd_header.
func (m *config) process(c *api.Ctx, value int) modules.Ret {
	n, present, err := c.Msg.MaxForwards()
	switch {
	case err != nil:
		return modules.No(-2, "bad_header", "Max-Forwards is not a number from 0 to 255")
	case !present:
		return m.write(c, min(value, m.limit, highest), modules.YesCode(2, "added"))
	case n == 0:
		return modules.No(-1, "zero", "Max-Forwards has reached 0")
	}
	return m.write(c, min(n-1, m.limit), modules.Yes())
}

func (m *config) write(c *api.Ctx, n int, done modules.Ret) modules.Ret {
	var buf [8]byte
	if err := c.Msg.Set(headerName, strconv.AppendInt(buf[:0], int64(n), 10)); err != nil {
		return modules.No(-2, "bad_header", err.Error())
	}
	return done
}

// lessThan is is_maxfwd_lt.
func (m *config) lessThan(c *api.Ctx, value int) modules.Ret {
	n, present, err := c.Msg.MaxForwards()
	switch {
	case err != nil:
		return modules.No(-3, "bad_header", "Max-Forwards is not a number from 0 to 255")
	case !present:
		return modules.No(-2, "no_header", "there is no Max-Forwards header")
	}
	return modules.YesIf(n < value, "not_less", "Max-Forwards is not less")
}
