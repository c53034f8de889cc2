package modules

import "github.com/luasips/luasips/engine/api"

// Field declares one field of msg: a pseudo-variable.
type Field struct {
	Name     string // "fU", "ct_fields"
	OpenSIPS string // "$fU", "$ct.fields"
	Doc      string
	Kind     Kind      // of the value; KindNumber fields must not be compared with strings
	Routes   api.Route // where it means something; 0: all routes with a message. Elsewhere it reads nil

	// Get reads the field; nil when it is write-only or only indexed.
	Get func(inst Config, c *api.Ctx) Value
	// Set writes it; nil when read-only. The error raises at the writer's line.
	Set func(inst Config, c *api.Ctx, v Value) error

	// GetKey reads msg.name[key] or msg.name.key; nil when not indexed.
	GetKey func(inst Config, c *api.Ctx, key Value) Value
	// SetKey writes it.
	SetKey func(inst Config, c *api.Ctx, key, v Value) error
	// Keys are the keys that exist, where they are a fixed set.
	Keys []string

	// Stable tells that the value cannot change while the message's edits do
	// not (Draft.Version): it may be cached.
	Stable bool
}

// Var declares one variable of a module's table: cfgutils.RANDOM. Indexed
// ones (statistics.stat.x) set GetKey and SetKey.
type Var struct {
	Name     string
	OpenSIPS string
	Doc      string
	Kind     Kind
	Get      func(inst Config, c *api.Ctx) Value
	Set      func(inst Config, c *api.Ctx, v Value) error
	GetKey   func(inst Config, c *api.Ctx, key Value) Value
	SetKey   func(inst Config, c *api.Ctx, key, v Value) error
}

// FieldOf is a stable, read-only field over a method expression.
func FieldOf[T Config](name, opensips string, kind Kind, doc string, get func(T, *api.Ctx) Value) Field {
	return Field{Name: name, OpenSIPS: opensips, Kind: kind, Doc: doc, Stable: true,
		Get: func(inst Config, c *api.Ctx) Value { return get(inst.(T), c) }}
}

// Volatile marks a field whose value must not be cached.
func (f Field) Volatile() Field { f.Stable = false; return f }

// In limits the field to route types.
func (f Field) In(r api.Route) Field { f.Routes = r; return f }

// SetBy makes a field writable.
func SetBy[T Config](f Field, set func(T, *api.Ctx, Value) error) Field {
	f.Set = func(inst Config, c *api.Ctx, v Value) error { return set(inst.(T), c, v) }
	return f
}

// KeyedBy makes a field readable by key; keys, when given, are all there are.
func KeyedBy[T Config](f Field, get func(T, *api.Ctx, Value) Value, keys ...string) Field {
	f.GetKey = func(inst Config, c *api.Ctx, k Value) Value { return get(inst.(T), c, k) }
	f.Keys = keys
	return f
}

// SetKeyBy makes a field writable by key.
func SetKeyBy[T Config](f Field, set func(T, *api.Ctx, Value, Value) error) Field {
	f.SetKey = func(inst Config, c *api.Ctx, k, v Value) error { return set(inst.(T), c, k, v) }
	return f
}
