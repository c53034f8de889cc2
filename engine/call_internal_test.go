package engine

import (
	"slices"
	"testing"

	"github.com/luasips/luasips/engine/api"
)

// queueRig is a worker with nothing but call queues. note schedules a job that
// writes its name to ran.
func queueRig() (w *Worker, note func(name string), ran *[]string) {
	w, ran = &Worker{calls: map[string]*callQueue{}}, &[]string{}
	return w, func(name string) { w.Schedule([]byte("call"), 1, func() { *ran = append(*ran, name) }) }, ran
}

// TestQueueHasOwners: what waits behind two parked runs of a call, one inside
// the other, waits for the end of both, whichever ends first.
func TestQueueHasOwners(t *testing.T) {
	for name, last := range map[string]int{"inner first": 0, "outer first": 1} {
		t.Run(name, func(t *testing.T) {
			w, note, ran := queueRig()
			runs := []*api.Ctx{{CallID: "call"}, {CallID: "call"}}
			w.join(runs[0])
			w.join(runs[1])
			w.join(runs[0]) // it parks a second time
			note("message")
			w.callDone(runs[1-last])
			w.runJobs()
			if len(*ran) != 0 || !w.busy([]byte("call")) {
				t.Errorf("%q ran while a run of the call is parked", *ran)
			}
			w.callDone(runs[last])
			w.runJobs()
			if !slices.Equal(*ran, []string{"message"}) || w.busy([]byte("call")) {
				t.Errorf("%q ran behind both", *ran)
			}
		})
	}
}

// TestJobsGoBeforeNewOnes: what an earlier run of the call left comes before
// what is scheduled once the next one parks.
func TestJobsGoBeforeNewOnes(t *testing.T) {
	w, note, ran := queueRig()
	note("left")
	run := &api.Ctx{CallID: "call"}
	w.join(run)
	note("new")
	w.runJobs()
	w.callDone(run)
	w.runJobs()
	if !slices.Equal(*ran, []string{"left", "new"}) {
		t.Errorf("ran as %q", *ran)
	}
}
