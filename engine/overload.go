package engine

import (
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// inboxMark is how many events waiting in a worker's inbox count as overload.
const inboxMark = 1024

// refuse tells why a new request is not to be run: the word goes to the log.
// Requests inside a dialog, ACK and CANCEL pass unless twice as many handlers as
// allowed are parked.
func (w *Worker) refuse(c *api.Ctx, in *api.Incoming) string {
	m := &in.Msg
	if w.parked >= 2*w.engine.net.MaxParked { // a To tag is easily made up
		return "too many parked handlers"
	}
	if m.HasToTag() || m.Method() == sip.ACK || m.Method() == sip.CANCEL {
		return ""
	}
	switch {
	case w.engine.draining.Load():
		return "shutting down"
	case w.parked >= w.engine.net.MaxParked:
		return "too many parked handlers"
	case w.engine.overloaded(w.now) || w.overloaded(in):
		w.counters.Overload.Add(1)
		return "overload"
	}
	return ""
}

// overloaded tells that a reader is behind. A reader that has fallen silent
// since, whose last batch was such a one, counts no longer.
func (e *Engine) overloaded(now time.Time) bool {
	return e.behind.Load() > 0 && now.UnixNano()-e.behindAt.Load() < int64(e.net.Overload)
}

// overloaded tells that this worker is behind: too many events wait for it, or what
// waited too long has done so for overloadHold. A slow script makes the backlog here,
// where the readers do not see it.
func (w *Worker) overloaded(in *api.Incoming) bool {
	switch {
	case in.Came == 0 || w.now.UnixNano()-in.Came <= int64(w.engine.net.Overload):
		w.late = time.Time{}
	case w.late.IsZero():
		w.late = w.now
	}
	return len(w.local)-w.pos > inboxMark || !w.late.IsZero() && w.now.Sub(w.late) >= overloadHold
}

// malformed answers or drops a message that did not parse; error_route.main
// sees it first.
func (w *Worker) malformed(in *api.Incoming, bad *sip.ParseError) {
	w.counters.Malformed.Add(1)
	c := w.newCtx(api.RouteError)
	defer w.freeCtx(c)
	c.Source, c.ParseErr = in.Source, bad
	c.Msg.Init(&in.Msg)
	if s := w.script; s.HasError() {
		s.Error(c)
	}
	w.log(c, api.LevelInfo, "malformed message", api.Field{Key: "reason", Value: bad.Error()})
	if !bad.Respond || c.Done&(api.ActionReplied|api.ActionDropped) != 0 {
		return
	}
	if err := w.layer.StatelessReply(c, bad.Code, bad.Reason, nil); err != nil {
		w.log(c, api.LevelDebug, "no reply to a malformed message", api.Field{Key: "error", Value: err})
	}
}
