package signaling

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

type config struct{ modules.NoLifecycle }

// sendReply is send_reply.
func (*config) sendReply(c *api.Ctx, code int, reason string) modules.Ret {
	return Send(c, code, reason, nil)
}

// Send answers c's request: by its transaction when there is one, else without
// (OpenSIPS send_reply). An empty reason is the usual one for code; o may be
// nil. A body set by SetReplyBody goes with it where o has none.
func Send(c *api.Ctx, code int, reason string, o *api.ReplyOptions) modules.Ret {
	if c.Tx == nil {
		return SendStateless(c, code, reason, o)
	}
	return SendStateful(c, c.Tx, code, reason, o)
}

// SendStateful answers with tx.
func SendStateful(c *api.Ctx, tx api.Transaction, code int, reason string, o *api.ReplyOptions) modules.Ret {
	reason, err := phrase(code, reason)
	if err != nil {
		return modules.Misuse(err)
	}
	return modules.FromOutcome(tx.Reply(c, code, reason, withBody(c, o)))
}

// SendStateless answers without a transaction, also where there is one
// (OpenSIPS sl_send_reply).
func SendStateless(c *api.Ctx, code int, reason string, o *api.ReplyOptions) modules.Ret {
	reason, err := phrase(code, reason)
	if err != nil {
		return modules.Misuse(err)
	}
	if err := c.Host.StatelessReply(c, code, reason, withBody(c, o)); err != nil {
		return modules.No(-1, "not_sent", err.Error())
	}
	return modules.Yes()
}

var errPhrase = errors.New("reason phrase holds a control byte; it must be one line of text")

// phrase checks what becomes the status line.
func phrase(code int, reason string) (string, error) {
	if code < 100 || code > 699 {
		return "", fmt.Errorf("%d is no status code, these are 100 to 699", code)
	}
	if reason == "" {
		return sip.ReasonPhrase(code), nil
	}
	if strings.ContainsFunc(reason, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", errPhrase
	}
	return reason, nil
}

// bodyKey is the slot of the body for replies made here.
type bodyKey struct{}

// SetReplyBody keeps a body for the replies made here to this request; an
// empty one is none (OpenSIPS append_body_to_reply).
func SetReplyBody(s *api.State, body []byte) { s.SetSlot(bodyKey{}, body) }

// withBody adds the body kept for replies to options that have none, and to a
// body without a type the Content-Type that append_to_reply put aside.
func withBody(c *api.Ctx, o *api.ReplyOptions) *api.ReplyOptions {
	var merged api.ReplyOptions
	if o != nil {
		merged = *o
	}
	if len(merged.Body) == 0 {
		merged.Body, _ = c.State.Slot(bodyKey{}).([]byte)
	}
	if len(merged.Body) == 0 || merged.ContentType != "" {
		return o
	}
	merged.ContentType = takeContentType(c.State)
	return &merged
}

// takeContentType takes the Content-Type line out of the headers put aside, and
// returns its value.
func takeContentType(s *api.State) (value string) {
	var kept []byte
	for line := range bytes.Lines(s.ReplyHeaders) {
		name, v, _ := bytes.Cut(line, []byte{':'})
		if sip.LookupHeader(bytes.TrimSpace(name)) == sip.HdrContentType {
			value = string(bytes.TrimSpace(v))
			continue
		}
		kept = append(kept, line...)
	}
	if value != "" {
		s.ReplyHeaders = kept
	}
	return value
}

// LocalTagger is a Host that can tell the To tag of a reply before it is sent.
type LocalTagger interface {
	// LocalTag is the To tag of replies made here to c's request: the
	// transaction's when there is one, else that of a stateless reply.
	LocalTag(c *api.Ctx) string
}

// localTag is $sig_local_totag.
func (*config) localTag(c *api.Ctx) modules.Value {
	if t, ok := c.Host.(LocalTagger); ok {
		return modules.StringOrNil(t.LocalTag(c))
	}
	return modules.Nil()
}

// errorKey is the slot of the last failure.
type errorKey struct{}

// Failure is what a failed function leaves for sl_reply_error.
type Failure struct {
	Code   int // status code that tells the sender what went wrong
	Reason string
}

// NoteFailure keeps f as the last failure of this request.
func NoteFailure(s *api.State, f Failure) { s.SetSlot(errorKey{}, f) }

// LastFailure is the last failure noted; ok is false when there was none.
func LastFailure(s *api.State) (f Failure, ok bool) {
	f, ok = s.Slot(errorKey{}).(Failure)
	return f, ok
}
