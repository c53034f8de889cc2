package cfgutils

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // timezones are there on every machine

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// Bounds of one expression, which a script may make of what it read.
const (
	maxExpression = 8192 // bytes
	maxDepth      = 32   // parentheses
	maxParsed     = 1024 // expressions kept
)

// rule tells whether a time is within.
type rule func(t time.Time) bool

// recurrenceCache keeps expressions parsed. When full it begins anew.
type recurrenceCache struct {
	mu sync.Mutex
	m  map[string]rule
}

func (c *recurrenceCache) get(text string, local *time.Location) (rule, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.m[text]; r != nil {
		return r, nil
	}
	r, err := parseExpression(text, local)
	if err != nil {
		return nil, err
	}
	if c.m == nil || len(c.m) >= maxParsed {
		c.m = make(map[string]rule)
	}
	c.m[text] = r
	return r, nil
}

func checkTimeRec(cfg *config, c *api.Ctx, text string, stamp modules.Value) modules.Ret {
	now := c.Host.Now()
	r, err := cfg.recs.get(text, now.Location())
	if err != nil {
		return modules.No(-2, "bad_recurrence", err.Error())
	}
	if s := stamp.Text(); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return modules.Misuse(fmt.Errorf("argument \"timestamp\": %q is no Unix time in seconds", s))
		}
		now = time.Unix(n, 0)
	}
	return modules.YesIf(r(now), "outside", "the time is outside of the recurrence")
}

// exprParser reads an expression: recurrences joined by & or by /, negated by
// !, grouped by parentheses. One group has one kind of operator.
type exprParser struct {
	s     string
	i     int
	local *time.Location
}

func parseExpression(s string, local *time.Location) (rule, error) {
	if len(s) > maxExpression {
		return nil, fmt.Errorf("the expression is %d bytes long, at most %d are taken", len(s), maxExpression)
	}
	p := exprParser{s: s, local: local}
	r, err := p.group(0)
	if err == nil && p.i < len(s) {
		err = fmt.Errorf("at byte %d: ) without (", p.i)
	}
	return r, err
}

func (p *exprParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *exprParser) peek() byte {
	p.space()
	if p.i == len(p.s) {
		return 0
	}
	return p.s[p.i]
}

func (p *exprParser) group(depth int) (rule, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d parentheses are open", maxDepth)
	}
	first, err := p.term(depth)
	if err != nil {
		return nil, err
	}
	terms, op := []rule{first}, byte(0)
	for c := p.peek(); c == '&' || c == '/'; c = p.peek() {
		if op != 0 && op != c {
			return nil, fmt.Errorf("at byte %d: & and / in one group; set parentheses", p.i)
		}
		op = c
		p.i++
		t, err := p.term(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
	}
	return func(t time.Time) bool {
		for _, r := range terms {
			switch in := r(t); {
			case op == '&' && !in:
				return false
			case op != '&' && in:
				return true
			}
		}
		return op == '&'
	}, nil
}

func (p *exprParser) term(depth int) (rule, error) {
	switch p.peek() {
	case '!':
		if depth > maxDepth {
			return nil, fmt.Errorf("more than %d negations", maxDepth)
		}
		p.i++
		r, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(t time.Time) bool { return !r(t) }, nil
	case '(':
		p.i++
		r, err := p.group(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.peek() != ')' {
			return nil, errors.New("( without )")
		}
		p.i++
		return r, nil
	}
	rec, err := parseRecurrence(p.item(), p.local)
	if err != nil {
		return nil, err
	}
	return rec.contains, nil
}

// item cuts out one recurrence. A slash in its timezone, which begins with a
// capital and ends at the first bar, does not end it.
func (p *exprParser) item() string {
	p.space()
	start := p.i
	zone := p.i < len(p.s) && p.s[p.i] >= 'A' && p.s[p.i] <= 'Z'
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '|':
			zone = false
		case c == '/' && zone:
		case c == '&' || c == '/' || c == ')' || c == '(':
			return strings.TrimSpace(p.s[start:p.i])
		}
	}
	return strings.TrimSpace(p.s[start:])
}

// parseRecurrence reads timezone|dtstart|dtend|duration|freq|until|interval|
// byday|bymday|byyday|byweekno|bymonth; trailing fields may be left out, and
// the timezone with its bar too.
func parseRecurrence(s string, local *time.Location) (*recurrence, error) {
	r := &recurrence{loc: local, interval: 1}
	fields := strings.Split(s, "|")
	if zone := strings.TrimSpace(fields[0]); zone != "" && zone[0] >= 'A' && zone[0] <= 'Z' {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			return nil, fmt.Errorf("timezone %q is not known", zone)
		}
		r.loc, fields = loc, fields[1:]
	} else if zone == "" && len(fields) > 1 {
		fields = fields[1:]
	}
	r.start = time.Unix(0, 0).In(r.loc)
	if len(fields) > len(fieldReaders) {
		return nil, fmt.Errorf("recurrence %q has too many fields", s)
	}
	for i, f := range fields {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		if err := fieldReaders[i].read(r, f); err != nil {
			return nil, fmt.Errorf("%s %q: %w", fieldReaders[i].name, f, err)
		}
	}
	return r, r.complete()
}

// complete checks what belongs together and fills in the end.
func (r *recurrence) complete() error {
	needsFreq := !r.until.IsZero() || r.byDay != nil || r.byMDay != nil || r.byYDay != nil || r.byWeek != nil || r.byMonth != nil
	if r.freq == once && needsFreq {
		return errors.New("fields behind freq need a freq: DAILY, WEEKLY, MONTHLY or YEARLY")
	}
	if r.end.IsZero() {
		r.closeEnd()
	}
	return nil
}

// fieldReaders read the fields behind the timezone, in their order. A duration
// comes behind dtend and replaces it.
var fieldReaders = [...]struct {
	name string
	read func(*recurrence, string) error
}{
	{"dtstart", func(r *recurrence, s string) error { return readTime(&r.start, s, r.loc) }},
	{"dtend", func(r *recurrence, s string) error { return readTime(&r.end, s, r.loc) }},
	{"duration", func(r *recurrence, s string) error {
		d, err := parseDuration(s)
		r.end = r.start.Add(d)
		return err
	}},
	{"freq", readFrequency},
	{"until", func(r *recurrence, s string) error { return readTime(&r.until, s, r.loc) }},
	{"interval", func(r *recurrence, s string) error {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return errors.New("must be 1 or more")
		}
		r.interval = int(n)
		return nil
	}},
	{"byday", readWeekdays},
	{"bymday", func(r *recurrence, s string) error { return readNumbers(&r.byMDay, s, 31) }},
	{"byyday", func(r *recurrence, s string) error { return readNumbers(&r.byYDay, s, 366) }},
	{"byweekno", func(r *recurrence, s string) error { return readNumbers(&r.byWeek, s, 53) }},
	{"bymonth", func(r *recurrence, s string) error { return readNumbers(&r.byMonth, s, 12) }},
}

// readTime reads 20210104T080000, with Z as UTC, or a date alone.
func readTime(t *time.Time, s string, loc *time.Location) error {
	if u, ok := strings.CutSuffix(s, "Z"); ok {
		s, loc = u, time.UTC
	}
	layout := "20060102T150405"
	if len(s) == 8 {
		layout = "20060102"
	}
	v, err := time.ParseInLocation(layout, s, loc)
	if err != nil {
		return errors.New("wants the form 20210104T080000")
	}
	*t = v
	return nil
}

func readFrequency(r *recurrence, s string) error {
	f, ok := map[string]frequency{"DAILY": daily, "WEEKLY": weekly, "MONTHLY": monthly, "YEARLY": yearly}[strings.ToUpper(s)]
	if !ok {
		return errors.New("must be DAILY, WEEKLY, MONTHLY or YEARLY")
	}
	r.freq = f
	return nil
}

// durationUnits are those before and behind the T.
var durationUnits = [2]map[byte]time.Duration{
	{'W': 7 * day, 'D': day},
	{'H': time.Hour, 'M': time.Minute, 'S': time.Second},
}

// parseDuration reads P1W, P1DT2H30M, p30d (RFC 2445 §4.3.6).
func parseDuration(s string) (time.Duration, error) {
	bad := errors.New("wants the form P1DT2H30M")
	s = strings.TrimPrefix(strings.ToUpper(s), "+")
	if len(s) < 3 || s[0] != 'P' {
		return 0, bad
	}
	total, number, digits, clock := time.Duration(0), 0, 0, 0
	for _, c := range []byte(s[1:]) {
		switch unit, known := durationUnits[clock][c]; {
		case c >= '0' && c <= '9' && digits < 9:
			number, digits = number*10+int(c-'0'), digits+1
		case c == 'T' && clock == 0 && digits == 0:
			clock = 1
		case known && digits > 0:
			if time.Duration(number) > (forever-total)/unit {
				return 0, errors.New("is longer than 136 years")
			}
			total += time.Duration(number) * unit
			number, digits = 0, 0
		default:
			return 0, bad
		}
	}
	if digits > 0 {
		return 0, bad
	}
	return total, nil
}

var weekdays = map[string]time.Weekday{"SU": time.Sunday, "MO": time.Monday, "TU": time.Tuesday, "WE": time.Wednesday,
	"TH": time.Thursday, "FR": time.Friday, "SA": time.Saturday}

// readWeekdays reads MO,-1FR,+2TU.
func readWeekdays(r *recurrence, s string) error {
	for item := range strings.SplitSeq(strings.ToUpper(s), ",") {
		item = strings.TrimSpace(item)
		if len(item) < 2 {
			return errors.New("wants days such as MO,TU,-1FR")
		}
		n := len(item) - 2
		d, ok := weekdays[item[n:]]
		nth := 0
		if n > 0 {
			var err error
			if nth, err = strconv.Atoi(item[:n]); err != nil || nth == 0 || nth > 53 || nth < -53 {
				return fmt.Errorf("%q: the number before the day must be 1 to 53, or negative", item)
			}
		}
		if !ok {
			return fmt.Errorf("%q is no day; SU MO TU WE TH FR SA are", item)
		}
		r.byDay = append(r.byDay, weekdayRule{d, nth})
	}
	return nil
}

// readNumbers reads a list of numbers from 1 to max or from -max to -1.
func readNumbers(into *[]int, s string, max int) error {
	for item := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil || n == 0 || n > max || n < -max {
			return fmt.Errorf("%q must be 1 to %d, or negative to count from the end", item, max)
		}
		*into = append(*into, n)
	}
	return nil
}
