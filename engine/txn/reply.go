package txn

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
)

// tagLen is the length of the To tags made here.
const tagLen = 16

// toTag appends the To tag of t's own responses: the same in all of them.
func (t *transaction) toTag(dst []byte) []byte { return t.l.tag(dst, t.key) }

func (l *Layer) tag(dst []byte, key uint64) []byte {
	var b [9]byte
	binary.BigEndian.PutUint64(b[:8], key)
	b[8] = 't'
	binary.BigEndian.PutUint64(b[:8], l.key.sum(b[:]))
	return hex.AppendEncode(dst, b[:8])
}

// Reply answers upstream (OpenSIPS t_reply, RFC 3261 §8.2.6). A final response
// cancels what is pending (§16.7 item 10).
func (t *transaction) Reply(c *api.Ctx, code int, reason string, o *api.ReplyOptions) api.Outcome {
	if code < 100 || code > 699 {
		return outcome(-1, "error", "a status is 100 to 699")
	}
	if t.final || t.live == nil {
		return outcome(-1, "replied", "a final response has been sent")
	}
	if t.state == serverNone {
		return outcome(-1, "local", "the request was made here: nobody waits for a reply")
	}
	if code > 100 && code < 200 && t.method != sip.INVITE {
		return outcome(-1, "error", "only an INVITE gets provisional responses other than 100 (RFC 4320 §4.1)")
	}
	t.reply(code, reason, o)
	if c != nil {
		c.Done |= actionOf(code)
	}
	t.settle()
	return outcomeSent
}

// actionOf is what a run has done by sending code.
func actionOf(code int) api.Action {
	if code < 200 {
		return api.ActionProvision
	}
	return api.ActionReplied
}

// reply sends a response made here.
func (t *transaction) reply(code int, reason string, o *api.ReplyOptions) {
	lv := t.live
	if t.final || lv == nil || t.state == serverNone {
		return
	}
	if code == 100 {
		t.write100(&lv.in.Msg, &lv.source)
		return
	}
	var tag [tagLen]byte
	so := t.l.replyOptions(&lv.state, o, t.toTag(tag[:0]), &lv.source)
	out := t.l.host.Out()
	t.setUp()
	b := sip.AppendReply(out.Buffer(), &lv.in.Msg, code, reason, &so)
	lv.state.ReplyHeaders = lv.state.ReplyHeaders[:0]
	t.remember(b)
	t.answered(code, true)
	t.l.sendFailed(out.Send(t.up, b, nil))
	if code >= 200 {
		t.allLocal = true
		lv.wait = 0
		t.cancelPending()
	}
}

// setUp takes force_rport into account, which the script may have asked for
// after the request was matched.
func (t *transaction) setUp() {
	if t.live.state.AddRport && !t.up.Proto.Stream() {
		if via, err := t.live.in.Msg.Via(); err == nil {
			t.up = replyDest(via, &t.live.source, true)
		}
	}
}

// replyOptions puts together what a response made here carries.
func (l *Layer) replyOptions(st *api.State, o *api.ReplyOptions, tag []byte, src *api.Source) sip.ReplyOptions {
	so := sip.ReplyOptions{ToTag: tag, Headers: st.ReplyHeaders, ViaReceived: src.Remote, Server: l.cfg.server}
	if o == nil {
		return so
	}
	if len(o.Headers) > 0 {
		so.Headers = append(so.Headers[:len(so.Headers):len(so.Headers)], o.Headers...)
	}
	if len(o.Body) > 0 {
		so.Body = o.Body
		if o.ContentType != "" {
			so.ContentType = []byte(o.ContentType)
		}
	}
	return so
}

func outcome(code int, name, text string) api.Outcome {
	return api.Outcome{Code: code, Name: name, Text: text}
}

// The answers that are the same each time. The codes are t_relay's.
var (
	outcomeSent       = outcome(1, "sent", "the reply was sent")
	outcomeRelayed    = outcome(1, "relayed", "the request was sent on")
	outcomeCancelDone = outcome(1, "cancelled", "the CANCEL was answered and the branches are being cancelled")
	outcomeCancelled  = outcome(-3, "cancelled", "a CANCEL came for this request")
	outcomeFinal      = outcome(-1, "replied", "a final response has been sent, so there is nothing to relay for")
	outcomeNoTarget   = outcome(-3, "no_target", "there is no destination: every branch was dropped by the branch route")
	outcomeBlocked    = outcome(-3, "blocked", "a 6xx came: no further branch may be tried (RFC 3261 §16.7 item 5)")
	outcomeMany       = outcome(-1, "too_many_branches", "the transaction has no room for more branches")
	outcomeUnresolved = outcome(-4, "unresolved", "no destination's name could be resolved")
	outcomeSendFailed = outcome(-6, "send_failed", "no destination could be sent to")
	outcomeHops       = outcome(-2, "too_many_hops", "Max-Forwards is 0: 483 was sent")
	outcomeExtension  = outcome(-2, "bad_extension", "Proxy-Require asks for what is not supported: 420 was sent")
	outcomeLoop       = outcome(-2, "looped", "the request has been here before: 482 was sent")
	outcomeMerged     = outcome(-2, "merged", "the same request came by another way and is under way: 482 was sent")
	outcomeScheme     = outcome(-2, "bad_scheme", "the Request-URI is neither sip nor sips and no destination is set: 416 was sent")
	outcomeBreadth    = outcome(-2, "breadth", "Max-Breadth does not allow that many branches at a time: 440 was sent")
	outcomeInjBreadth = outcome(-2, "breadth", "Max-Breadth allows no more branches at a time")
)
