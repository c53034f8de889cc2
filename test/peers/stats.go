package peers

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Stats are SIPp's counters over a whole run.
type Stats struct {
	Created         int // calls begun
	Current         int // calls not yet ended
	Successful      int // calls that went through the whole scenario
	Failed          int // calls that did not
	Retransmissions int // messages that this SIPp sent again
	Unexpected      int // calls ended by a message the scenario did not expect
	OutOfCall       int // messages that belong to no call
	DeadCall        int // messages for calls already ended
	// Failures says why calls failed: SIPp's name of the cause, for instance
	// "UnexpectedMessage" or "MaxUDPRetrans", to their number. Nil when none did.
	Failures map[string]int
	// Rate is the calls begun per second over the whole run.
	Rate float64
	// ResponseTime is the mean time from the send to the message marked rtd="true".
	ResponseTime time.Duration
}

// ReadStats reads the last line of a file written by SIPp's -trace_stat.
func ReadStats(path string) (Stats, error) {
	last, err := lastRecord(path)
	if err != nil {
		return Stats{}, fmt.Errorf("SIPp statistics: %w", err)
	}
	count := func(column string) int {
		n, _ := strconv.Atoi(last[column]) // an absent column counts nothing
		return n
	}
	rate, _ := strconv.ParseFloat(last["CallRate(C)"], 64)
	var failures map[string]int
	for column := range last {
		cause, isTotal := strings.CutSuffix(column, "(C)")
		if cause, ok := strings.CutPrefix(cause, "Failed"); ok && isTotal && cause != "Call" && count(column) > 0 {
			if failures == nil {
				failures = map[string]int{}
			}
			failures[cause] = count(column)
		}
	}
	return Stats{
		Failures:        failures,
		Created:         count("TotalCallCreated"),
		Current:         count("CurrentCall"),
		Successful:      count("SuccessfulCall(C)"),
		Failed:          count("FailedCall(C)"),
		Retransmissions: count("Retransmissions(C)"),
		Unexpected:      count("FailedUnexpectedMessage(C)"),
		OutOfCall:       count("OutOfCallMsgs(C)"),
		DeadCall:        count("DeadCallMsgs(C)"),
		Rate:            rate,
		ResponseTime:    parseClock(last["ResponseTime1(C)"]),
	}, nil
}

// ReadCounts reads the last line of a file written by SIPp's -trace_counts:
// what each step of the scenario sent or received, by column name, for instance
// "4_200_Recv".
func ReadCounts(path string) (map[string]int, error) {
	last, err := lastRecord(path)
	if err != nil {
		return nil, fmt.Errorf("SIPp message counts: %w", err)
	}
	counts := make(map[string]int, len(last))
	for column, v := range last {
		if n, err := strconv.Atoi(v); err == nil {
			counts[column] = n
		}
	}
	return counts, nil
}

// lastRecord reads a file of semicolon-separated values and returns its last
// whole line by column.
func lastRecord(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(bytes.NewReader(b[:bytes.LastIndexByte(b, '\n')+1]))
	r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = ';', -1, true, true
	var header []string
	last := map[string]string{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if header == nil {
			header = append(header, rec...)
			continue
		}
		for i, v := range rec {
			if i < len(header) {
				last[header[i]] = v
			}
		}
	}
	if len(last) == 0 {
		return nil, fmt.Errorf("%s: no line of figures yet", path)
	}
	return last, nil
}

// parseClock reads SIPp's hours:minutes:seconds:microseconds; zero when it is no such thing.
func parseClock(s string) time.Duration {
	units := [...]time.Duration{time.Hour, time.Minute, time.Second, time.Microsecond}
	parts := strings.Split(s, ":")
	if len(parts) != len(units) {
		return 0
	}
	var d time.Duration
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return 0
		}
		d += time.Duration(n) * units[i]
	}
	return d
}
