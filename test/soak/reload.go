package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/luasips/luasips/engine/mi"
	"github.com/luasips/luasips/test/ua"
)

// reloadScript marks the request on the way there and the reply on the way
// back with its version: both must be of one.
const reloadScript = `
local version = "%s"
local filler = {}
for i = 1, 2000 do filler[i] = version .. i end

function route.main(msg)
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

const (
	reloads    = 1000
	reloadTime = time.Minute
	reloadRate = 300
)

func reload(dir string) error {
	s, err := start(dir, script("", fmt.Sprintf(reloadScript, "v0")))
	if err != nil {
		return err
	}
	defer s.Stop(5 * time.Second)
	file, err := findScript(s.Dir)
	if err != nil {
		return err
	}
	callee, err := ua.NewCallee(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	defer callee.Close()
	if _, err := load(ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: reloadRate, Calls: 1500, Prefix: "warm"}); err != nil {
		return err
	}
	before, err := s.rss()
	if err != nil {
		return err
	}
	type outcome struct {
		r   *ua.Result
		err error
	}
	done := make(chan outcome, 1)
	total := int(reloadTime.Seconds()+3) * reloadRate
	go func() {
		r, err := load(ua.Load{Proxy: s.addr, Callee: callee.Addr(), Rate: reloadRate, Calls: total, Prefix: "calls"})
		done <- outcome{r, err}
	}()
	live, refused, slowest, err := reloadAll(s, file, int(s.addr.Port()))
	if err != nil {
		return err
	}
	o := <-done
	if o.err != nil {
		return o.err
	}
	time.Sleep(2 * time.Second)
	after, err := s.rss()
	if err != nil {
		return err
	}
	mixed := strings.Count(s.Log(), "two versions in one call")
	broken := strings.Count(s.Log(), "broken-ran")
	gens, err := s.stat("core:generations")
	if err != nil {
		return err
	}
	fmt.Printf("   %d live, %d refused (slowest %v), calls: %v\n", live, refused, slowest.Round(time.Millisecond), o.r)
	fmt.Printf("   RSS %d KiB before, %d KiB after; generations alive %d; calls on two versions %d; broken script ran %d times\n", before, after, gens, mixed, broken)
	switch {
	case o.r.Done != total:
		return fmt.Errorf("%d of %d calls done", o.r.Done, total)
	case mixed > 0 || broken > 0:
		return fmt.Errorf("versions mixed or a broken script ran")
	case live+refused < reloads || refused != reloads/3:
		return fmt.Errorf("%d live and %d refused of %d reloads", live, refused, reloads)
	case after > 2*before+50<<10:
		return fmt.Errorf("memory grew from %d to %d KiB", before, after)
	}
	return nil
}

// reloadAll writes good, changed and broken scripts in turn and reloads each.
func reloadAll(s *server, file string, port int) (live, refused int, slowest time.Duration, err error) {
	every := reloadTime / reloads
	begin := time.Now()
	for i := range reloads {
		text := strings.ReplaceAll(script("", fmt.Sprintf(reloadScript, fmt.Sprintf("v%d", i/3))), "{port}", fmt.Sprint(port))
		broken := i%3 == 2 && refused < reloads/3
		switch {
		case broken:
			text += "\nlog.error('broken-ran')\nlocal x = = 1\n"
		case i%3 == 1:
			text += "\n-- changed\n"
		}
		tmp := file + ".new"
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			return live, refused, slowest, err
		}
		if err := os.Rename(tmp, file); err != nil {
			return live, refused, slowest, err
		}
		time.Sleep(time.Until(begin.Add(time.Duration(i) * every)))
		t := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := mi.Call(ctx, s.control, "reload", nil)
		cancel()
		slowest = max(slowest, time.Since(t))
		switch {
		case err == nil && broken:
			return live, refused, slowest, fmt.Errorf("reload %d: a broken script was accepted", i)
		case err != nil && !broken:
			return live, refused, slowest, fmt.Errorf("reload %d: %w", i, err)
		case err != nil:
			refused++
		default:
			live++
		}
	}
	return live, refused, slowest, nil
}

func findScript(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.lua"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("script in %s: %v %w", dir, files, err)
	}
	return files[0], nil
}
