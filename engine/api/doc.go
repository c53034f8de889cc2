// Package api is the leaf that the engine's parts share: the small types and
// interfaces that engine, engine/txn, engine/transport, modules and luabind
// speak to each other in. It holds no behaviour of its own beyond what a value
// needs to be read.
//
// Ownership, in one sentence each:
//
//   - A worker owns its calls. Whatever is reached through Ctx, Transaction or
//     Outbox may be touched only while that worker's token is held.
//   - A Ctx lives for one handler run and must not be kept behind it.
//   - A Socket, a Generation and a Handler are immutable and may be kept.
package api
