// Package transport carries SIP messages between the network and the engine's
// workers (RFC 3261 §18): UDP and TCP on IPv4 and IPv6, or an in-memory network
// in their place.
//
// How it is organised:
//
//   - Listen expands the script's sockets (wildcards, interface names, port
//     ranges), binds all of them or none, and returns a Manager. The Manager
//     answers questions of identity: IsMyself, FindSocket, bonds.
//   - Whatever brings messages is a ReadSource: a UDP socket, a connection. The
//     engine gets it by Host.Serve and calls Read in a loop, one goroutine at a
//     time; that loop may move between goroutines from one Read to the next.
//   - What a worker sends it puts into its Outbox. Flush hands everything to
//     the kernel (UDP, in batches) or to the connection's queue (streams), in
//     order, and never waits for a peer.
//   - A connection is one flow: written directly while the peer keeps up,
//     through a bounded queue and a goroutine of its own while it does not. A
//     full queue, or a peer that takes nothing for SendTimeout, closes that
//     connection and no other.
//
// Locks: Manager.mu guards the tables of connections; conn.mu guards the state
// and the queue of one connection. conn.mu may be held when Manager.mu is
// taken, never the other way round. Neither is held over a call to Host.
package transport
