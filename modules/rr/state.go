package rr

import (
	"strings"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/engine/sip"
	"github.com/luasips/luasips/modules"
)

// stateKey is the slot of a message's state.
type stateKey struct{}

// state is what the module keeps with a message and its transaction.
type state struct {
	routed bool   // loose_route() found a Route of ours
	params string // its parameters, without the first semicolon

	made     []made // Record-Routes made here
	all      bool   // record-routed in a request or failure route
	branches []int  // branches that a branch route record-routed
	pending  string // parameters added before record_route()
	hooked   bool   // the send hook is in place
}

// made tells of a Record-Route made here.
type made struct {
	head    string // how its value begins
	user    string // user of its URI
	dynamic bool   // it shows a socket and follows the one that is sent from
	below   int    // Record-Routes that began like it before: a spiral
}

func stateOf(s *api.State) *state {
	if st, ok := s.Slot(stateKey{}).(*state); ok {
		return st
	}
	st := &state{}
	s.SetSlot(stateKey{}, st)
	return st
}

// Params are the parameters of our Route header that loose_route() took off,
// without the first semicolon; ok is false when it has taken none off.
func Params(s *api.State) (params string, ok bool) {
	st, _ := s.Slot(stateKey{}).(*state)
	if st == nil || !st.routed {
		return "", false
	}
	return st.params, true
}

// RouteParam finds one parameter of that header, for modules that put it there
// with AddParam.
func RouteParam(s *api.State, name string) (value string, ok bool) {
	params, _ := Params(s)
	sip.EachParam([]byte(params), func(n, v []byte) bool {
		if !ok && strings.EqualFold(string(n), name) {
			value, ok = string(v), true
		}
		return !ok
	})
	return value, ok
}

// routeParams is $rr_params.
func (*config) routeParams(c *api.Ctx) modules.Value {
	params, _ := Params(c.State)
	return modules.StringOrNil(params)
}

// checkParam is check_route_param.
func (m *config) checkParam(c *api.Ctx, pattern string) modules.Ret {
	re, err := m.patterns.Arg(pattern)
	if err != nil {
		return modules.Misuse(err)
	}
	params, ok := Params(c.State)
	if !ok || params == "" {
		return modules.No(-1, "no_params", "loose_route() found no Route of ours with parameters")
	}
	return modules.YesIf(re.MatchString(";"+params), "no_match", "the parameters do not match")
}

// isDirection is is_direction.
func (m *config) isDirection(c *api.Ctx, dir string) modules.Ret {
	if !m.fromTag {
		return modules.Misuse(errNoFromTag)
	}
	got := "downstream"
	if ftag, _ := RouteParam(c.State, "ftag"); ftag != "" {
		from, err := c.Msg.From()
		if err == nil && len(from.Tag) > 0 && string(from.Tag) != ftag {
			got = "upstream"
		}
	}
	return modules.YesIf(got == dir, got, "the request goes "+got)
}
