package cfgutils_test

import (
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules/cfgutils"
	"github.com/luasips/luasips/modules/moduletest"
)

// TestRecurrences checks times, in UTC, against recurrences.
func TestRecurrences(t *testing.T) {
	const (
		office = "20260105T080000||PT10H|WEEKLY|||MO,TU,WE,TH,FR"
		night  = "20260101T220000|20260102T060000||DAILY"
		lunch  = "20260105T120000||PT1H|DAILY"
	)
	l := load(t, nil)
	c := l.Host.Ctx("", api.RouteTimer)
	for _, r := range []struct {
		rec, at string
		want    bool
	}{
		{"", "2026-03-02 10:00:00", true},
		{"20260101T000000|20270101T000000", "2026-03-02 10:00:00", true},
		{"20260101T000000|20270101T000000", "2027-01-01 00:00:00", false},
		{"20260101T000000|20270101T000000", "2025-12-31 23:59:59", false},
		{"20260101|20270101", "2026-01-01 00:00:00", true},
		{"20260101T000000Z||p30d", "2026-01-30 23:59:59", true},
		{"20260101T000000Z||p30d", "2026-01-31 00:00:00", false},
		{"|20260101T000000||P1W", "2026-01-07 00:00:00", true},
		{"20260101T000000||P1DT2H30M5S", "2026-01-02 02:30:04", true},
		{"20260101T000000||P1DT2H30M5S", "2026-01-02 02:30:05", false},
		{"20260101T000000", "2100-01-01 00:00:00", true},

		{"Europe/Bucharest|20260101T000000|20260102T000000", "2025-12-31 22:00:00", true},
		{"Europe/Bucharest|20260101T000000|20260102T000000", "2026-01-01 22:00:00", false},
		{"America/New_York|20260105T090000||PT8H|WEEKLY|||MO", "2026-07-06 13:00:00", true},
		{"America/New_York|20260105T090000||PT8H|WEEKLY|||MO", "2026-01-05 13:30:00", false},

		{office, "2026-03-02 08:00:00", true},
		{office, "2026-03-02 17:59:59", true},
		{office, "2026-03-02 18:00:00", false},
		{office, "2026-03-02 07:59:59", false},
		{office, "2026-03-01 12:00:00", false},
		{night, "2026-03-02 23:00:00", true},
		{night, "2026-03-02 05:59:59", true},
		{night, "2026-03-02 06:00:00", false},
		{night, "2026-03-02 21:59:59", false},

		{"20260101T080000||PT1H|DAILY|20260110T235959", "2026-01-10 08:30:00", true},
		{"20260101T080000||PT1H|DAILY|20260110T235959", "2026-01-11 08:30:00", false},
		{"20260101T080000||PT1H|DAILY||2", "2026-01-03 08:30:00", true},
		{"20260101T080000||PT1H|DAILY||2", "2026-01-02 08:30:00", false},
		{"20260105T080000||PT1H|WEEKLY||2|MO", "2026-01-19 08:30:00", true},
		{"20260105T080000||PT1H|WEEKLY||2|MO", "2026-01-12 08:30:00", false},
		{"20260105T080000||PT1H|MONTHLY||3||5", "2026-04-05 08:30:00", true},
		{"20260105T080000||PT1H|MONTHLY||3||5", "2026-03-05 08:30:00", false},
		{"20260105T080000||PT1H|YEARLY||2||5|||", "2028-06-05 08:30:00", true},
		{"20260105T080000||PT1H|YEARLY||2||5|||", "2027-06-05 08:30:00", false},

		{"20260101T000000||P1D|MONTHLY|||1MO", "2026-03-02 10:00:00", true},
		{"20260101T000000||P1D|MONTHLY|||1MO", "2026-03-09 10:00:00", false},
		{"20260101T000000||P1D|MONTHLY|||-1FR", "2026-03-27 10:00:00", true},
		{"20260101T000000||P1D|MONTHLY|||-1FR", "2026-03-20 10:00:00", false},
		{"20260101T000000||P1D|MONTHLY|||MO", "2026-03-16 10:00:00", true},
		{"20260101T000000||P1D|YEARLY|||+2TU", "2026-01-13 10:00:00", true},
		{"20260101T000000||P1D|YEARLY|||-1TH", "2026-12-31 10:00:00", true},
		{"20260101T000000||P1D|YEARLY|||2TU", "2026-01-06 10:00:00", false},
		{"20260101T000000||P1D|MONTHLY||||-1", "2026-02-28 10:00:00", true},
		{"20260101T000000||P1D|MONTHLY||||-1", "2026-02-27 10:00:00", false},
		{"20260101T000000||P1D|YEARLY|||||1,-1", "2026-12-31 10:00:00", true},
		{"20260101T000000||P1D|YEARLY|||||100", "2026-04-10 10:00:00", true},
		{"20260101T000000||P7D|YEARLY||||||10", "2026-03-02 10:00:00", true},
		{"20260101T000000||P7D|YEARLY||||||11", "2026-03-02 10:00:00", false},
		{"20260101T000000||P31D|YEARLY|||||||3,12", "2026-03-02 10:00:00", true},
		{"20260101T000000||P31D|YEARLY|||||||4", "2026-03-02 10:00:00", false},
		{"20260311T100000||P3D|YEARLY", "2027-03-12 00:00:00", true},
		{"20260311T100000||P3D|YEARLY", "2027-03-14 10:00:00", false},
		{"20260309T100000||P2D|WEEKLY", "2026-03-17 12:00:00", true},
		{"20260309T100000||P2D|WEEKLY", "2026-03-19 12:00:00", false},
		{"20260310T100000||P2D|MONTHLY", "2026-04-11 12:00:00", true},
		{"20260310T100000||P2D|MONTHLY", "2026-04-12 12:00:00", false},
		{"20260101T080000|||DAILY", "2026-03-02 23:59:59", true},
		{"20260101T080000|||DAILY", "2026-03-02 07:59:59", false},
		{"20260105T080000|||WEEKLY", "2026-03-07 10:00:00", true},
		{"20260105T080000|||WEEKLY", "2026-03-02 07:00:00", false},

		{office + " & !" + lunch, "2026-03-02 11:30:00", true},
		{office + "&!" + lunch, "2026-03-02 12:30:00", false},
		{office + " / " + night, "2026-03-02 23:00:00", true},
		{office + " / " + night, "2026-03-02 20:00:00", false},
		{office + " & !(Europe/Amsterdam|20260302T000000|20260303T000000 / Europe/London|20261228T000000|20261229T000000)", "2026-03-02 10:00:00", false},
		{office + " & !(Europe/Amsterdam|20260427T000000|20260428T000000 / Europe/London|20261228T000000|20261229T000000)", "2026-03-02 10:00:00", true},
		{"(" + office + " & !" + lunch + ") / " + night, "2026-03-02 03:00:00", true},
		{"!!" + lunch, "2026-03-02 12:30:00", true},
	} {
		at, err := time.Parse(time.DateTime, r.at)
		if err != nil {
			t.Fatal(err)
		}
		got := l.Call(c, "check_time_rec", r.rec, at.Unix())
		if got.Err != nil || got.Code == -2 || got.OK != r.want {
			t.Errorf("%q at %s: %v (%s, %v), want %v", r.rec, r.at, got.OK, got.Text, got.Err, r.want)
		}
	}
}

func TestBadRecurrences(t *testing.T) {
	l := load(t, nil)
	c := l.Host.Ctx("", api.RouteTimer)
	for rec, want := range map[string]string{
		"yesterday":                          "wants the form 20210104T080000",
		"Mars/Olympus|20260101T000000":       "not known",
		"20260101T000000|||HOURLY":           "must be DAILY",
		"20260101T000000||P":                 "P1DT2H30M",
		"20260101T000000||P1":                "P1DT2H30M",
		"20260101T000000||PT1D":              "P1DT2H30M",
		"20260101T000000||P999999999W":       "136 years",
		"20260101T000000||||20270101T000000": "need a freq",
		"20260101T000000|||DAILY||0":         "1 or more",
		"20260101T000000|||DAILY|||XX":       "no day",
		"20260101T000000|||DAILY|||M":        "wants days",
		"20260101T000000|||DAILY|||0MO":      "1 to 53",
		"20260101T000000|||DAILY||||32":      "1 to 31",
		"20260101T000000|||DAILY||||||54":    "1 to 53",
		"20260101T000000|||YEARLY|||||||13":  "1 to 12",
		"20260101T000000|||YEARLY|||||||1|2": "too many fields",
		"20260101 & 20260101 / 20260101":     "set parentheses",
		"(20260101":                          "( without )",
		"20260101)":                          ") without (",
		strings.Repeat("(", 40):              "parentheses are open",
		strings.Repeat("!", 40):              "negations",
		strings.Repeat("x", 9000):            "bytes long",
	} {
		r := l.Call(c, "check_time_rec", rec)
		if r.OK || r.Code != -2 || r.Name != "bad_recurrence" || !strings.Contains(r.Text, want) {
			t.Errorf("%.60q: %+v, want %q", rec, r, want)
		}
	}
	if r := l.Call(c, "check_time_rec", "", "noon"); r.Err == nil {
		t.Error("a time that is none was taken")
	}
}

func TestRecurrenceNow(t *testing.T) {
	l := load(t, nil)
	c := l.Host.Ctx("", api.RouteTimer)
	const soon = "20260302T102031||PT1S"
	if r := l.Call(c, "check_time_rec", soon); r.OK || r.Code != -1 || r.Name != "outside" {
		t.Errorf("before: %+v", r)
	}
	l.Host.Advance(time.Second)
	mustYes(t, l.Call(c, "check_time_rec", soon))
	mustYes(t, l.Call(c, "check_time_rec", soon, ""))
}

func FuzzRecurrence(f *testing.F) {
	f.Add("Europe/Bucharest|20260101T000000|20260102T000000", int64(1772446830))
	f.Add("20260105T080000||PT10H|WEEKLY|20270101T000000|2|MO,-1FR|1|1|1|1 & !(20260101||P1D)", int64(0))
	f.Fuzz(func(t *testing.T, rec string, at int64) {
		l := moduletest.Load(t, moduletest.NewHost(t), cfgutils.Module(), nil)
		c := l.Host.Ctx("", api.RouteTimer)
		plain := l.Call(c, "check_time_rec", "("+rec+")", at)
		negated := l.Call(c, "check_time_rec", "!("+rec+")", at)
		if plain.Code == -2 || plain.Err != nil || negated.Code == -2 {
			return
		}
		if plain.OK == negated.OK {
			t.Fatalf("%q at %d: %v, and negated too", rec, at, plain.OK)
		}
	})
}
