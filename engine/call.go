package engine

import (
	"slices"

	"github.com/luasips/luasips/engine/api"
)

// Bounds of what waits behind a parked handler of one call.
const (
	callMaxMessages = 32
	callMaxBytes    = 64 << 10
)

// job is a script run that waits for the protocol step to return or for an
// earlier run of its call.
type job struct {
	callID string
	size   int
	fn     func()
}

// callQueue exists from a handler's first park until its run has ended. Only
// Lua waits in it: matching, retransmissions and timers go on.
type callQueue struct {
	owners []*api.Ctx // runs that have parked and not ended
	jobs   []job
	bytes  int
	held   []*api.Incoming // responses by streams beyond the bounds
}

// full tells that the bounds leave no room for a message of size bytes.
func (q *callQueue) full(size int) bool {
	return len(q.jobs) >= callMaxMessages || q.bytes+size > callMaxBytes
}

// Schedule queues a script run of a call: it runs when the current protocol
// step has returned, and behind a parked handler of the call. It answers false
// when the call's bounds are exceeded; fn will not run then.
func (w *Worker) Schedule(callID []byte, size int, fn func()) bool {
	q := w.calls[string(callID)]
	if q != nil && q.full(size) {
		return false
	}
	j := job{callID: string(callID), size: size, fn: fn}
	if q != nil {
		q.push(j)
		return true
	}
	w.jobs = append(w.jobs, j)
	return true
}

// Waiting reports whether script runs of the call wait, so that something
// without a script must queue behind them to keep its place.
func (w *Worker) Waiting(callID []byte) bool {
	if w.busy(callID) {
		return true
	}
	for i := range w.jobs {
		if w.jobs[i].callID == string(callID) {
			return true
		}
	}
	return false
}

func (w *Worker) busy(callID []byte) bool {
	return len(w.calls) > 0 && w.calls[string(callID)] != nil
}

// join makes c, which is about to park, an owner of its call's queue. What was
// left for the call before goes first in it.
func (w *Worker) join(c *api.Ctx) {
	id := c.CallIDString()
	q := w.calls[id]
	if q == nil {
		q = &callQueue{}
		w.calls[id] = q
		w.jobs = slices.DeleteFunc(w.jobs, func(j job) bool {
			if j.callID == id {
				q.push(j)
			}
			return j.callID == id
		})
	}
	if !slices.Contains(q.owners, c) {
		q.owners = append(q.owners, c)
	}
}

func (q *callQueue) push(j job) {
	q.jobs = append(q.jobs, j)
	q.bytes += j.size
}

// runJobs runs what the protocol step left to the script, in order.
func (w *Worker) runJobs() {
	for len(w.jobs) > 0 {
		j := w.jobs[0]
		w.jobs[0] = job{}
		if w.jobs = w.jobs[1:]; len(w.jobs) == 0 {
			w.jobs = nil
		}
		if q := w.calls[j.callID]; q != nil {
			q.push(j)
			continue
		}
		w.runJob(&j)
	}
}

func (w *Worker) runJob(j *job) {
	defer w.caught("script run")
	j.fn()
}

// callDone is called when c's run has ended: what queued behind it while it was
// parked runs next, one after the other, unless another run of the call that has
// parked goes on.
func (w *Worker) callDone(c *api.Ctx) {
	q := w.calls[c.CallID]
	if q == nil {
		return
	}
	i := slices.Index(q.owners, c)
	if i < 0 {
		return
	}
	if q.owners = slices.Delete(q.owners, i, i+1); len(q.owners) > 0 {
		return
	}
	delete(w.calls, c.CallID)
	w.jobs = append(w.jobs, q.jobs...)
	for _, in := range q.held {
		w.jobs = append(w.jobs, job{c.CallID, len(in.Buf), func() { w.unhold(in) }})
	}
}

// hold keeps a response that came by a stream and finds its call's queue full:
// who sent it will not repeat it. The connection is not read on (deliver) until
// it has had its turn. False leaves the response to the caller.
func (w *Worker) hold(in *api.Incoming) bool {
	if in.Source.Flow == 0 {
		return false
	}
	q := w.calls[string(in.Msg.CallID())]
	if q == nil || len(q.held) == 0 && !q.full(len(in.Buf)) {
		return false
	}
	q.held = append(q.held, in)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped == nil {
		w.stopped = make(map[api.Flow]int)
	}
	w.stopped[in.Source.Flow]++
	return true
}

// unhold handles a response that was held.
func (w *Worker) unhold(in *api.Incoming) {
	defer w.readOn(in.Source.Flow)
	w.layer.Response(in)
	in.Release()
}

func (w *Worker) readOn(f api.Flow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped[f]--; w.stopped[f] == 0 {
		delete(w.stopped, f)
		w.room.Broadcast()
	}
}
