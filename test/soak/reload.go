package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/mi"
	"github.com/luasips/luasips/test/ua"
)

// reloadScript marks the request on the way there; the reply on the way back must
// meet the same version.
const reloadScript = `
local version = "%s"
local filler = {}
for i = 1, 2000 do filler[i] = version .. i end

function route.main(msg)
  if version == "broken" then log.error("a broken version ran") end
  if sipmsgops.has_totag() then return route.in_dialog(msg) end
  rr.record_route()
  msg.hdr["X-Version"] = version
  tm.t_on_reply(onreply_route.mark)
  return route.relay(msg)
end

function onreply_route.mark(msg)
  local asked = msg.request.hdr["X-Version"]
  if asked ~= version then log.error("two versions in one call", { asked = asked, answers = version }) end
end
`

// faults are ends of a script that keep it from going live: it does not parse,
// its top level raises, a setting and a route that it names are unknown.
var faults = [...]string{
	"local x = = 1",
	`error("not today")`,
	"config { log_levle = 1 }",
	`modparam("tm", "onreply_avp_modee", 1)`,
}

const (
	reloads    = 1000
	reloadTime = time.Minute
	reloadRate = 300
	// Answered INVITEs linger for 32 s (Timer L): before that memory must grow.
	flatFrom = 35 * time.Second
)

func reload(r *run) error {
	s, err := start(r.dir, script("", fmt.Sprintf(reloadScript, "v0")))
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	file, err := findScript(s.Dir)
	if err != nil {
		return err
	}
	callee, err := newCallee()
	if err != nil {
		return err
	}
	defer callee.Close()
	l := ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: reloadRate, Calls: int(reloadTime.Seconds()+3) * reloadRate, Prefix: "calls"}
	calls := make(chan error, 1)
	var result *ua.Result
	go func() { // ends with its last call
		var err error
		result, err = load(l)
		calls <- err
	}()
	t := tally{server: s, file: file}
	if err := t.reloadAll(); err != nil {
		return err
	}
	if err := <-calls; err != nil {
		return err
	}
	return t.judge(r, l.Calls, result)
}

// tally is what the reloads did.
type tally struct {
	server        *server
	file          string
	live, refused int
	slowest       time.Duration
	memory        []int // KiB, by second
}

// judge tells what was seen and whether it is within the bounds.
func (t *tally) judge(r *run, calls int, result *ua.Result) error {
	gens, err := t.server.stat("core:generations")
	if err != nil {
		return err
	}
	log := t.server.Log()
	mixed, broken := strings.Count(log, "two versions in one call"), strings.Count(log, "a broken version ran")
	from, to := mean(t.memory[int(flatFrom.Seconds()):][:5]), mean(t.memory[len(t.memory)-5:])
	r.say("%d reloads went live, %d were refused; the slowest took %v", t.live, t.refused, t.slowest.Round(time.Millisecond))
	r.say("calls: %v", result)
	r.say("calls on two versions: %d; requests on a broken version: %d; versions alive at the end: %d", mixed, broken, gens)
	r.say("resident memory: %d KiB in the first second, %d from the %.0fth, %d in the last ones", t.memory[0], from, flatFrom.Seconds(), to)
	switch {
	case result.Done != calls:
		return fmt.Errorf("%d of %d calls done", result.Done, calls)
	case mixed > 0 || broken > 0:
		return fmt.Errorf("versions mixed or a broken script ran")
	case t.live+t.refused != reloads || t.refused != reloads/3:
		return fmt.Errorf("%d live and %d refused of %d reloads", t.live, t.refused, reloads)
	case to > from+from/10:
		return fmt.Errorf("memory grew from %d to %d KiB", from, to)
	}
	return nil
}

func mean(values []int) int {
	sum := 0
	for _, v := range values {
		sum += v
	}
	return sum / len(values)
}

// reloadAll writes good, changed and broken scripts in turn and reloads each.
func (t *tally) reloadAll() error {
	begin := time.Now()
	for i := range reloads {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * reloadTime / reloads)))
		if err := t.reloadOne(i); err != nil {
			return fmt.Errorf("reload %d: %w", i, err)
		}
		if time.Since(begin) > time.Duration(len(t.memory))*time.Second {
			rss, err := t.server.rss()
			if err != nil {
				return err
			}
			t.memory = append(t.memory, rss)
		}
	}
	if took := time.Since(begin); took > reloadTime+5*time.Second {
		return fmt.Errorf("the reloads took %v", took)
	}
	return nil
}

func (t *tally) reloadOne(i int) error {
	text, broken := reloadScript, i%3 == 2
	switch {
	case broken:
		text = fmt.Sprintf(text, "broken") + "\n" + faults[i/3%len(faults)] + "\n"
	case i%3 == 1:
		text = fmt.Sprintf(text, fmt.Sprint("v", i/3)) + "\n-- changed\n"
	default:
		text = fmt.Sprintf(text, fmt.Sprint("v", i/3))
	}
	text = strings.ReplaceAll(script("", text), "{port}", fmt.Sprint(t.server.Port()))
	if err := os.WriteFile(t.file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(t.file+".new", t.file); err != nil {
		return err
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := mi.Call(ctx, t.server.control, "reload", nil)
	t.slowest = max(t.slowest, time.Since(begin))
	switch {
	case err == nil && broken:
		return fmt.Errorf("a broken script was accepted: %s", faults[i/3%len(faults)])
	case err == nil:
		t.live++
	case broken:
		t.refused++
	default:
		return err
	}
	return nil
}

func findScript(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.lua"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("script in %s: %v %w", dir, files, err)
	}
	return files[0], nil
}
