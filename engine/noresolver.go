package engine

import (
	"fmt"
	"net/netip"

	"github.com/luasips/luasips/engine/api"
)

// noResolver stands for the resolver of an engine that was given none: no name
// resolves. Addresses never come to a resolver.
type noResolver struct{}

var _ api.Resolver = noResolver{}

func (noResolver) fail(host string) error {
	return fmt.Errorf("%s: this engine has no resolver", host)
}

func (n noResolver) Cached(q api.Query) ([]api.Hop, bool, error)           { return nil, true, n.fail(q.Host) }
func (n noResolver) Resolve(q api.Query) ([]api.Hop, error)                { return nil, n.fail(q.Host) }
func (n noResolver) ResolveAsync(q api.Query, done func([]api.Hop, error)) { done(nil, n.fail(q.Host)) }
func (n noResolver) Addrs(host string) ([]netip.Addr, error)               { return nil, n.fail(host) }
