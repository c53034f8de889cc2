package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/luasips/luasips/engine/enginetest"
)

// call drives one call through r.
func call(t *testing.T, r *enginetest.Rig, id string) {
	t.Helper()
	alice, bob := r.Agent(), r.Agent()
	c := alice.To(id, bob)
	c.Send("INVITE", 1)
	alice.Expect("100")
	invite := bob.Expect("INVITE")
	bob.Reply(invite, 180)
	alice.Expect("180")
	bob.Reply(invite, 200)
	alice.Expect("200")
	c.ToTag = "agent"
	ack := c.Request("ACK", 1)
	alice.Send(ack)
	bob.Expect("ACK")
	c.Send("BYE", 2)
	bob.Reply(bob.Expect("BYE"), 200)
	alice.Expect("200")
}

func TestCallInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := enginetest.Start(t, enginetest.Options{}, enginetest.NewProgram(1, enginetest.Routes{Request: enginetest.Relay}))
		call(t, r, "call-1")
		if n := len(r.Captured()); n != 13 {
			t.Errorf("captured %d datagrams, want 13: %v", n, r.Captured())
		}
	})
}

func TestCallOnSockets(t *testing.T) {
	r := enginetest.Start(t, enginetest.Options{Real: true}, enginetest.NewProgram(1, enginetest.Routes{Request: enginetest.Relay}))
	call(t, r, "call-1")
}
