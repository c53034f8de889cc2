package core

import (
	"strconv"
	"sync"
	"time"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
)

// maxCached and maxCachedBytes bound the local cache: its entries, and the
// bytes of their names and values. Over them the cache drops what has expired,
// which it looks for once in sweepEvery, and then refuses.
const (
	maxCached      = 1 << 20
	maxCachedBytes = 256 << 20
	sweepEvery     = time.Second
)

// cache is the storage "local": values that all workers see, kept over
// reloads and lost at the end of the program.
type cache struct {
	mu      sync.Mutex
	entries map[string]entry
	bytes   int       // of all names and values
	swept   time.Time // when expired entries were last looked for
}

type entry struct {
	value   string
	expires time.Time // zero: never
}

func (e entry) live(now time.Time) bool { return e.expires.IsZero() || e.expires.After(now) }

// get reads a value that has not expired.
func (c *cache) get(now time.Time, name string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[name]
	if ok && !e.live(now) {
		c.drop(name)
		return "", false
	}
	return e.value, ok
}

// put writes a value for some seconds, 0 for ever; false when the cache is full.
func (c *cache) put(now time.Time, name, value string, seconds int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(now, name, value, seconds)
}

func (c *cache) write(now time.Time, name, value string, seconds int) bool {
	if !c.fits(name, value) {
		c.sweep(now)
		if !c.fits(name, value) {
			return false
		}
	}
	e := entry{value: value}
	if seconds > 0 {
		e.expires = now.Add(time.Duration(seconds) * time.Second)
	}
	c.set(name, e)
	return true
}

// fits reports whether the cache stays within its bounds with a value.
func (c *cache) fits(name, value string) bool {
	old, have := c.entries[name]
	grows := len(name) + len(value)
	if have {
		grows = len(value) - len(old.value)
	}
	return (have || len(c.entries) < maxCached) && c.bytes+grows <= maxCachedBytes
}

func (c *cache) set(name string, e entry) {
	c.drop(name)
	c.entries[name] = e
	c.bytes += len(name) + len(e.value)
}

func (c *cache) drop(name string) {
	if e, have := c.entries[name]; have {
		c.bytes -= len(name) + len(e.value)
		delete(c.entries, name)
	}
}

// sweep drops what has expired.
func (c *cache) sweep(now time.Time) {
	if now.Sub(c.swept) < sweepEvery {
		return
	}
	c.swept = now
	for name, e := range c.entries {
		if !e.live(now) {
			c.drop(name)
		}
	}
}

func (c *cache) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
}

// add counts; ok is false when the value is no number or the cache is full. A
// positive number of seconds sets the life anew, else the old end stays.
func (c *cache) add(now time.Time, name string, by, seconds int) (sum int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, have := c.entries[name]
	if have = have && e.live(now); have {
		n, err := strconv.Atoi(e.value)
		if err != nil {
			return 0, false
		}
		sum = n
	}
	sum += by
	if have && seconds <= 0 {
		e.value = strconv.Itoa(sum)
		c.set(name, e)
		return sum, true
	}
	return sum, c.write(now, name, strconv.Itoa(sum), seconds)
}

// The bounds of what a script gives: seconds of a life, step of a counter.
const (
	maxLife = 1<<31 - 1
	maxStep = 1<<31 - 1
)

// cacheFunctions are OpenSIPS's memory-cache functions on the storage "local".
func cacheFunctions() []modules.Function {
	storage := modules.WordArg("storage_id", "the storage; local is the one in this process", "local")
	name := modules.StrArg("attribute", "name of the value")
	spec := func(n, doc string, outputs ...modules.OutputDoc) modules.Spec {
		return modules.Spec{Name: n, Doc: doc, Outputs: outputs}
	}
	number := modules.OutputDoc{Name: "new_val", Kind: modules.KindNumber, Doc: "the counter's value"}
	life := func(name, doc string) modules.Arg {
		return modules.OptIntArg(name, 0, doc).With(func(a *modules.Arg) { a.Min, a.Max = 0, maxLife }).Arg
	}
	counter := func(n, doc string, sign int) modules.Function {
		by := modules.IntArg("by", "by how much").With(func(a *modules.Arg) { a.Min, a.Max = -maxStep, maxStep })
		args := []modules.Arg{storage.Arg, name.Arg, by.Arg, life("expire", "life in seconds from now; 0 leaves it")}
		return modules.FN(spec(n, doc, number), args, func(cfg *config, c *api.Ctx, a *modules.Args) modules.Ret {
			sum, ok := cfg.cache.add(c.Host.Now(), a.V[1].Text(), sign*int(a.V[2].Num), int(a.V[3].Num))
			if !ok {
				return modules.NoOutput(-1, "not_counted", "the value is no whole number, or the cache is full")
			}
			return modules.Output(modules.Int(sum))
		})
	}
	return []modules.Function{
		modules.FN(spec("cache_store", "Keeps a value under a name for all workers."),
			[]modules.Arg{storage.Arg, name.Arg, modules.StrArg("value", "the value").Arg, life("timeout", "life in seconds; 0 is for ever")}, cacheStore),
		modules.F2(spec("cache_remove", "Forgets a value."), storage, name, func(cfg *config, _ *api.Ctx, _, name string) modules.Ret {
			cfg.cache.remove(name)
			return modules.Yes()
		}),
		modules.F2(spec("cache_fetch", "The value kept under a name.", modules.OutputDoc{Name: "result", Kind: modules.KindString, Doc: "the value"}), storage, name, cacheFetch),
		modules.F2(spec("cache_counter_fetch", "The counter kept under a name.", number), storage, name, counterFetch),
		counter("cache_add", "Counts up; a counter that is not there begins at 0.", 1),
		counter("cache_sub", "Counts down; a counter that is not there begins at 0.", -1),
	}
}

func cacheStore(cfg *config, c *api.Ctx, a *modules.Args) modules.Ret {
	return modules.YesIf(cfg.cache.put(c.Host.Now(), a.V[1].Text(), a.V[2].Text(), int(a.V[3].Num)), "full", "the cache is full")
}

func cacheFetch(cfg *config, c *api.Ctx, _, name string) modules.Ret {
	v, ok := cfg.cache.get(c.Host.Now(), name)
	if !ok {
		return modules.NoOutput(-2, "not_found", "nothing is kept under that name")
	}
	return modules.Output(modules.String(v))
}

func counterFetch(cfg *config, c *api.Ctx, _, name string) modules.Ret {
	v, ok := cfg.cache.get(c.Host.Now(), name)
	if !ok {
		return modules.NoOutput(-2, "not_found", "nothing is kept under that name")
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return modules.NoOutput(-1, "not_counted", "the value is no whole number")
	}
	return modules.Output(modules.Int(n))
}
