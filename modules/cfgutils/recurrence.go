package cfgutils

import (
	"slices"
	"time"
)

// frequency is how often a recurrence repeats.
type frequency uint8

const (
	once frequency = iota
	daily
	weekly
	monthly
	yearly
)

const day = 24 * time.Hour

// forever is the length of a recurrence without an end: OpenSIPS's 136 years.
const forever = 4294967295 * time.Second

// weekdayRule is one entry of byday: every such day, or with a number the
// nth in its month or year, counted from the end when negative.
type weekdayRule struct {
	weekday time.Weekday
	nth     int
}

// recurrence is one time recurrence (RFC 2445 §4.3.10, §4.8.2).
type recurrence struct {
	loc        *time.Location // nil: the clock's own
	start, end time.Time
	freq       frequency
	interval   int
	until      time.Time // zero: none

	byDay   []weekdayRule
	byMDay  []int
	byYDay  []int
	byWeek  []int
	byMonth []int
}

// contains reports whether t lies within an occurrence.
func (r *recurrence) contains(t time.Time) bool {
	t = t.In(r.start.Location())
	if t.Before(r.start) {
		return false
	}
	if r.freq == once {
		return t.Before(r.end)
	}
	return r.onInterval(t) && r.inWindow(t) && r.byRules(t) && (r.until.IsZero() || !t.After(r.until))
}

// civil is the number of days since 1970 of t's calendar day.
func civil(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// onInterval reports whether t's day, week, month or year is an nth one.
func (r *recurrence) onInterval(t time.Time) bool {
	if r.interval <= 1 {
		return true
	}
	steps := 0
	switch r.freq {
	case daily:
		steps = civil(t) - civil(r.start)
	case weekly:
		steps = (civil(t) - mondayIndex(t) - civil(r.start) + mondayIndex(r.start)) / 7
	case monthly:
		steps = (t.Year()-r.start.Year())*12 + int(t.Month()) - int(r.start.Month())
	case yearly:
		steps = t.Year() - r.start.Year()
	}
	return steps%r.interval == 0
}

// mondayIndex is the day of the week from Monday, 0.
func mondayIndex(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }

// unit is the shortest stretch that the rules repeat in.
func (r *recurrence) unit() frequency {
	switch {
	case r.freq == daily || r.byDay != nil || r.byMDay != nil || r.byYDay != nil:
		return daily
	case r.freq == weekly || r.byWeek != nil:
		return weekly
	case r.freq == monthly || r.byMonth != nil:
		return monthly
	}
	return r.freq
}

// unitLength is the longest that a unit can be.
func unitLength(f frequency) time.Duration {
	switch f {
	case daily:
		return day
	case weekly:
		return 7 * day
	case monthly:
		return 31 * day
	}
	return 366 * day
}

// position is how far into its unit t is.
func position(t time.Time, f frequency) time.Duration {
	h, m, s := t.Clock()
	at := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	switch f {
	case weekly:
		at += time.Duration(t.Weekday()) * day
	case monthly:
		at += time.Duration(t.Day()-1) * day
	case yearly:
		at += time.Duration(t.YearDay()-1) * day
	}
	return at
}

// inWindow reports whether t lies, within its unit, between where the first
// occurrence begins and where it ends.
func (r *recurrence) inWindow(t time.Time) bool {
	u := r.unit()
	if r.end.Sub(r.start) >= unitLength(u) {
		return true
	}
	begin, end, at := position(r.start, u), position(r.end, u), position(t, u)
	if begin < end {
		return at >= begin && at < end
	}
	return r.end.After(r.start) && (at >= begin || at < end)
}

// byRules checks the by... fields.
func (r *recurrence) byRules(t time.Time) bool {
	y, m, d := t.Date()
	daysInMonth := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	daysInYear := time.Date(y, 12, 31, 0, 0, 0, 0, time.UTC).YearDay()
	if !counted(r.byMonth, int(m), 12) || !counted(r.byMDay, d, daysInMonth) || !counted(r.byYDay, t.YearDay(), daysInYear) {
		return false
	}
	if r.freq == yearly && r.byWeek != nil {
		wy, week := t.ISOWeek()
		_, last := time.Date(wy, 12, 28, 0, 0, 0, 0, time.UTC).ISOWeek()
		if !counted(r.byWeek, week, last) {
			return false
		}
	}
	return r.byDay == nil || slices.ContainsFunc(r.byDay, func(w weekdayRule) bool {
		switch {
		case w.weekday != t.Weekday():
			return false
		case w.nth == 0:
			return true
		case r.freq == monthly:
			return isNth(w.nth, d, daysInMonth)
		case r.freq == yearly:
			return isNth(w.nth, t.YearDay(), daysInYear)
		}
		return true
	})
}

// counted reports whether rules, which count from 1, or from the end when
// negative, hold at; no rules hold all.
func counted(rules []int, at, last int) bool {
	return rules == nil || slices.ContainsFunc(rules, func(n int) bool { return n == at || n < 0 && last+1+n == at })
}

// isNth reports whether day at of last days is the nth of its weekday.
func isNth(nth, at, last int) bool {
	if nth > 0 {
		return (at-1)/7+1 == nth
	}
	return (last-at)/7+1 == -nth
}

// closeEnd fills in the end that was not given: that of the first unit, and
// none where nothing repeats.
func (r *recurrence) closeEnd() {
	u := r.unit()
	if r.freq == once || u == once {
		r.end = r.start.Add(forever)
		return
	}
	r.end = r.start.Add(unitLength(u) - position(r.start, u))
}
