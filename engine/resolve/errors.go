package resolve

import (
	"errors"
	"fmt"
)

// What a failed lookup wraps; errors.Is tells them apart.
var (
	// ErrNotFound: the name does not exist, or has no record of use (NXDOMAIN,
	// an empty answer, or SRV records that say "no such service").
	ErrNotFound = errors.New("no such name or record")
	// ErrUnavailable: the servers did not answer, or not usefully (timeout,
	// SERVFAIL, REFUSED). Trying later may help.
	ErrUnavailable = errors.New("no answer from the DNS servers")
	// ErrName: the host is no address and no host name (RFC 1123 §2.1).
	ErrName = errors.New("not a host name or address")
	// ErrTransport: no socket of ours speaks the protocol and address family
	// that the target needs; a sips target needs TLS (RFC 3261 §26.2.2).
	ErrTransport = errors.New("no socket for the target's transport")
	// ErrBusy: Config.MaxQueries or Config.MaxWaiting is reached.
	ErrBusy = errors.New("too many lookups at once")
	// ErrClosed: the resolver was closed.
	ErrClosed = errors.New("resolver closed")

	errMiss   = errors.New("not cached")
	errSilent = fmt.Errorf("%w", ErrUnavailable) // no message came at all
)
