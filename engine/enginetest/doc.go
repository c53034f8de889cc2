// Package enginetest runs a whole engine under test with user agents that do
// exactly what the test says.
//
// Start makes the engine. On a Wire (the default) everything is in memory: call
// it inside synctest.Test and the clock stands still while anyone works, so
// that timers are tested without a sleep. With Options.Real the same test runs
// on loopback sockets and the real clock.
//
// The script is a Program: Go functions on *api.Ctx in place of Lua, so that
// what is tested is the engine alone.
package enginetest
