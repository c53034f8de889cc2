// Package resolve turns the host of a URI into the places to try, in order
// (RFC 3263): NAPTR, SRV, then A and AAAA, each behind one cache.
//
// How it is put together:
//
//   - literal.go answers numeric hosts, which never cost a query.
//   - plan.go is RFC 3263 itself: which lookups, in which order, make an answer.
//     It reads record sets through a source, and there are two: one that knows
//     the cache alone (Cached), and one that asks (Resolve, ResolveAsync).
//   - answer.go is a finished answer. Records of equal priority are put in order
//     by weight (RFC 2782) whenever the answer is read, not when it is made.
//   - cache.go keeps record sets by name and type: bounded, one query at a time
//     for one name and type, failures apart from successes.
//   - exchange.go speaks to the servers.
//
// Above the record sets sits a table of finished answers that is read without a
// lock. It may forget an answer at any time; making it again from cached
// record sets needs no query.
//
// What a slow server or a storm of unknown names can take is bounded: so many
// queries at once (Config.MaxQueries), so many callers waiting
// (Config.MaxWaiting), so many record sets kept (Config.MaxEntries). Beyond
// that a caller gets ErrBusy at once, and cached and numeric hosts go on.
package resolve
