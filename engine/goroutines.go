package engine

import (
	"fmt"
	"runtime/debug"
	"sort"
	"sync"

	"github.com/luasips/luasips/engine/api"
)

// group is the one door through which goroutines are started: each has a name
// and is awaited at shutdown.
type group struct {
	mu     sync.Mutex
	live   map[string]int
	wg     sync.WaitGroup
	closed bool
	log    func(level api.Level, msg string, fields ...api.Field)
}

func newGroup(log func(level api.Level, msg string, fields ...api.Field)) *group {
	return &group{live: make(map[string]int), log: log}
}

// start runs fn on its own goroutine. A panic ends that goroutine alone and is
// logged with its stack. After wait has begun nothing is started any more and
// start answers false.
func (g *group) start(name string, fn func()) bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.live[name]++
	g.wg.Add(1)
	g.mu.Unlock()
	go func() {
		defer g.done(name)
		fn()
	}()
	return true
}

func (g *group) done(name string) {
	if p := recover(); p != nil {
		g.log(api.LevelCrit, "goroutine panicked", api.Field{Key: "goroutine", Value: name},
			api.Field{Key: "panic", Value: fmt.Sprint(p)}, api.Field{Key: "stack", Value: string(debug.Stack())})
	}
	g.mu.Lock()
	if g.live[name]--; g.live[name] == 0 {
		delete(g.live, name)
	}
	g.mu.Unlock()
	g.wg.Done()
}

// close refuses further goroutines.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
}

// names lists what still runs, for the report of a shutdown that hangs.
func (g *group) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []string
	for n, c := range g.live {
		out = append(out, fmt.Sprintf("%s x%d", n, c))
	}
	sort.Strings(out)
	return out
}
