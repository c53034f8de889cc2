package tm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/signaling"
)

// relay is t_relay.
func (m *Config) relay(c *api.Ctx, flags, proxy string) modules.Ret {
	restore, err := throughProxy(c, proxy)
	if err != nil {
		return modules.Misuse(err)
	}
	defer restore()
	switch {
	case c.Kind == api.RouteRequest && isMethod(c, sip.ACK):
		return m.forwardACK(c)
	case c.Kind == api.RouteRequest && isMethod(c, sip.CANCEL):
		tx := c.Host.Lookup(c)
		if tx == nil {
			return modules.No(-1, "no_transaction", "the CANCEL matches no INVITE")
		}
		return done(c, tx.Relay(c, relayFlagSet(flags)))
	}
	tx, err := transaction(c)
	if err != nil {
		return modules.No(-1, "error", err.Error())
	}
	return done(c, tx.Relay(c, relayFlagSet(flags)))
}

// forwardACK sends the ACK to a 2xx on; it belongs to no transaction
// (RFC 3261 §13.2.2.4, §16.11).
func (*Config) forwardACK(c *api.Ctx) modules.Ret {
	if err := c.Host.StatelessForward(c, c.Target); err != nil {
		return modules.No(-6, "send_failed", err.Error())
	}
	return modules.Yes()
}

func relayFlagSet(words string) (f api.RelayFlags) {
	for w := range strings.SplitSeq(words, ",") {
		switch strings.TrimSpace(w) {
		case "no-auto-477":
			f |= api.RelayNoAuto477
		case "no-dns-failover":
			f |= api.RelayNoDNSFailover
		case "pass-reason-hdr":
			f |= api.RelayPassReason
		}
	}
	return f
}

// done turns the layer's answer into the function's, and keeps a failure for
// sl_reply_error.
func done(c *api.Ctx, o api.Outcome) modules.Ret {
	if !o.OK() {
		signaling.NoteFailure(c.State, failureOf(o.Code))
	}
	return modules.FromOutcome(o)
}

// failureOf is the reply that tells a sender why t_relay failed.
func failureOf(code int) signaling.Failure {
	switch code {
	case -2:
		return signaling.Failure{Code: 400, Reason: "Bad Request"}
	case -3:
		return signaling.Failure{Code: 404, Reason: "No destination"}
	case -4:
		return signaling.Failure{Code: 478, Reason: "Unresolvable destination"}
	case -5:
		return signaling.Failure{Code: 473, Reason: "Filtered destination"}
	case -6:
		return signaling.Failure{Code: 477, Reason: "Send failed"}
	}
	return signaling.Failure{Code: 500, Reason: "Server Internal Error"}
}

// throughProxy makes proxy the destination of the targets that have none, for
// one relay; restore takes it back.
func throughProxy(c *api.Ctx, proxy string) (restore func(), err error) {
	if proxy == "" || c.Target == nil {
		return func() {}, nil
	}
	uri, err := proxyURI(proxy)
	if err != nil {
		return nil, err
	}
	var set []*string
	through := func(duri *string) {
		if *duri == "" {
			*duri = uri
			set = append(set, duri)
		}
	}
	through(&c.Target.Duri)
	for i := range c.Extra {
		through(&c.Extra[i].Duri)
	}
	return func() {
		for _, d := range set {
			*d = ""
		}
	}, nil
}

// proxyURI turns "[proto:]host[:port]", or a SIP URI, into a URI.
func proxyURI(s string) (string, error) {
	uri := s
	if lower := strings.ToLower(s); !strings.HasPrefix(lower, "sip:") && !strings.HasPrefix(lower, "sips:") {
		proto, host, found := strings.Cut(s, ":")
		if p, ok := api.ParseProto(proto); found && ok {
			uri = "sip:" + host + ";transport=" + p.String()
		} else {
			uri = "sip:" + s
		}
	}
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return "", fmt.Errorf("outbound proxy %q is not [proto:]host[:port]: %w", s, err)
	}
	return uri, nil
}

// reply is t_reply.
func (m *Config) reply(c *api.Ctx, code int, reason string) modules.Ret {
	return m.answer(c, code, reason, nil)
}

// replyWithBody is t_reply_with_body.
func (m *Config) replyWithBody(c *api.Ctx, code int, reason, body string) modules.Ret {
	return m.answer(c, code, reason, &api.ReplyOptions{Body: []byte(body)})
}

func (*Config) answer(c *api.Ctx, code int, reason string, o *api.ReplyOptions) modules.Ret {
	tx, err := transaction(c)
	if err != nil {
		return modules.No(-1, "error", err.Error())
	}
	return signaling.SendStateful(c, tx, code, reason, o)
}

// newTran is t_newtran.
func (*Config) newTran(c *api.Ctx) modules.Ret {
	if isMethod(c, sip.ACK) || isMethod(c, sip.CANCEL) {
		return modules.No(-1, "no_transaction", "ACK and CANCEL have no transaction of their own")
	}
	if _, err := transaction(c); err != nil {
		return modules.No(-1, "error", err.Error())
	}
	return modules.Yes()
}

// checkTrans is t_check_trans.
func (*Config) checkTrans(c *api.Ctx) modules.Ret {
	if c.Tx != nil {
		return modules.Yes()
	}
	ack := isMethod(c, sip.ACK)
	if !ack && !isMethod(c, sip.CANCEL) {
		return modules.No(-1, "none", "the request has no transaction yet")
	}
	tx := c.Host.Lookup(c)
	switch {
	case tx == nil:
		return modules.No(-1, "none", "no INVITE matches")
	case ack && tx.Status() < 300:
		return modules.No(-2, "e2e_ack", "the ACK is for a 2xx, which is between the user agents")
	}
	return modules.Yes()
}

// replicate is t_replicate.
func (*Config) replicate(c *api.Ctx, uri, flags string) modules.Ret {
	var u sip.URI
	if err := sip.ParseURI([]byte(uri), &u); err != nil {
		return modules.Misuse(fmt.Errorf("uri %q: %w", uri, err))
	}
	if isMethod(c, sip.ACK) || isMethod(c, sip.CANCEL) {
		return modules.No(-1, "no_transaction", "ACK and CANCEL have no transaction that could be replicated")
	}
	tx, err := transaction(c)
	if err != nil {
		return modules.No(-1, "error", err.Error())
	}
	return done(c, tx.Replicate(c, uri, relayFlagSet(flags)))
}

// newRequest is t_new_request.
func (*Config) newRequest(c *api.Ctx, a *modules.Args) modules.Ret {
	r := api.NewRequest{Method: a.V[0].Text(), RURI: a.V[1].Text()}
	if !isToken(r.Method) {
		return modules.Misuse(fmt.Errorf("method %q is no token", r.Method))
	}
	var u sip.URI
	err := sip.ParseURI([]byte(r.RURI), &u)
	if err != nil {
		return modules.Misuse(fmt.Errorf("ruri %q: %w", r.RURI, err))
	}
	if r.From, err = nameAddr(a.V[2].Text()); err != nil {
		return modules.Misuse(fmt.Errorf("from: %w", err))
	}
	if r.To, err = nameAddr(a.V[3].Text()); err != nil {
		return modules.Misuse(fmt.Errorf("to: %w", err))
	}
	if body := a.V[4].Text(); body != "" {
		ctype, text, found := strings.Cut(body, " ")
		if !found || !strings.Contains(ctype, "/") || strings.ContainsFunc(ctype, unicode.IsControl) {
			return modules.Misuse(errors.New(`body must begin with its content type and a space: "text/plain Hello"`))
		}
		r.CType, r.Body = ctype, []byte(text)
	}
	r.Context = a.V[5].Text()
	if err := c.Host.NewRequest(c, &r); err != nil {
		return modules.No(-1, "not_sent", err.Error())
	}
	return modules.Yes()
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// nameAddr turns "[display ]URI" into a header value.
func nameAddr(s string) (string, error) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "\r\n\x00") {
		return "", fmt.Errorf("%q: %w", s, sip.ErrHeaderBytes)
	}
	display, uri := "", s
	if i := strings.LastIndexByte(s, ' '); i >= 0 {
		display, uri = strings.TrimSpace(s[:i]), s[i+1:]
	}
	uri = strings.TrimSuffix(strings.TrimPrefix(uri, "<"), ">")
	if display != "" && display[0] != '"' {
		display = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(display) + `"`
	}
	value := strings.TrimSpace(display + " <" + uri + ">")
	var n sip.NameAddr
	if rest, err := sip.ParseNameAddr([]byte(value), &n); err != nil {
		return "", fmt.Errorf("%q is not [display ]URI: %w", s, err)
	} else if rest != nil {
		return "", fmt.Errorf("%q holds more than one address", s)
	}
	return value, nil
}

// addHeaders is t_add_hdrs.
func (*Config) addHeaders(c *api.Ctx, lines string) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	return lineResult(c.Tx.AddHeaders([]byte(lines)))
}

// addCancelReason is t_add_cancel_reason.
func (*Config) addCancelReason(c *api.Ctx, line string) modules.Ret {
	tx := c.Tx
	if isMethod(c, sip.CANCEL) {
		tx = c.Host.Lookup(c)
	}
	if tx == nil {
		return noTransaction
	}
	if len(line) < 7 || !bytes.EqualFold([]byte(line[:6]), []byte("reason")) {
		return modules.Misuse(errors.New(`a whole Reason line is needed: "Reason: SIP;cause=200\r\n"`))
	}
	return lineResult(tx.AddCancelReason([]byte(line)))
}

func lineResult(err error) modules.Ret {
	if err != nil {
		return modules.Misuse(err)
	}
	return modules.Yes()
}

// noTransaction is what functions answer that need one.
var noTransaction = modules.No(-1, "no_transaction", "there is no transaction; t_newtran() or t_relay() makes it")

// flushFlags is t_flush_flags.
func (*Config) flushFlags(c *api.Ctx) modules.Ret {
	if c.Tx == nil {
		return noTransaction
	}
	return modules.Yes()
}
