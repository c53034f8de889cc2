// Package txn is the transaction layer of one worker: RFC 3261 §16 and §17 with
// RFC 6026, RFC 4320, RFC 5393, RFC 3581 and the failover of RFC 3263 §4.3.
//
// A Layer belongs to one worker and takes no lock: every call is made with the
// worker's token held. It sees scripts, sockets and names through Host alone.
//
// # One request
//
//  1. Layer.Request matches it. Retransmissions, the ACK to a non-2xx and the
//     CANCEL of a call whose handler waits are dealt with here; for the rest a
//     pending entry is made and a Ctx handed to the engine, which runs the
//     script (layer.go, match.go, server.go, cancel.go).
//  2. The script answers (reply.go), relays (relay.go, send.go) or forwards
//     without a transaction (stateless.go). The first two turn the pending
//     entry into a server transaction.
//  3. Layer.Done does what the script left undone (layer.go).
//  4. Layer.Response finds the branch by the numbers in our own Via, steps its
//     client transaction (client.go), runs the reply routes and decides
//     (loop of upstream.go and best.go).
//  5. When the final response has gone upstream and every branch has ended, the
//     transaction lets go of request, edits, branches and handlers; what stays
//     is small and holds the last response (linger.go).
//
// # What the layer decides
//
//   - Max-Forwards is lowered on relay unless the script has changed the header
//     itself, as mf_process_maxfwd_header does.
//   - A request with Max-Forwards 0 is not relayed: 483 is sent and Relay
//     answers "too_many_hops". Likewise 420 for a Proxy-Require that the script
//     left in place, 416 for a Request-URI that leads nowhere, 482 for a loop and
//     440 for a fork wider than Max-Breadth allows. Nothing of this is checked
//     for requests that the script does not relay.
//   - A response whose branch is ours but whose transaction is gone is dropped
//     (RFC 6026 §8.9, RFC 4320 §4.2); only a branch that marks a stateless
//     forward is passed on without one.
//   - A CANCEL that matches nothing is the script's: it may forward it
//     statelessly (RFC 3261 §16.10). The CANCEL of a call whose handler is
//     parked never reaches the script.
//   - When Timer C, OpenSIPS's fr_inv_timeout, fires after a provisional, the
//     branch is cancelled and counts as 408 at once (RFC 3261 §16.8), so that a
//     failure route can go on without waiting for the 487.
package txn
