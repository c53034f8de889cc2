package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// hostsFile is the hosts file, read again when it changed.
type hostsFile struct {
	path string

	mu      sync.Mutex
	checked time.Time
	stamp   time.Time
	size    int64
	names   map[string][]netip.Addr
}

func newHostsFile(path string, now time.Time) (*hostsFile, error) {
	h := &hostsFile{path: path, checked: now}
	if err := h.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	return h, nil
}

// lookup returns the addresses of a canonical name; ok tells whether the file
// has it. localhost is loopback whatever the file says (RFC 6761 §6.3).
func (h *hostsFile) lookup(name string, now time.Time) (addrs []netip.Addr, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.checked) >= hostsTTL {
		h.checked = now
		h.reload()
	}
	addrs, ok = h.names[name]
	if !ok && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, true
	}
	return addrs, ok
}

// reload reads a changed file; one that cannot be read leaves the old names.
func (h *hostsFile) reload() {
	st, err := os.Stat(h.path)
	if err != nil || (st.ModTime().Equal(h.stamp) && st.Size() == h.size) {
		return
	}
	if err := h.load(); err != nil {
		h.stamp = time.Time{}
	}
}

func (h *hostsFile) load() error {
	st, err := os.Stat(h.path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(h.path)
	if err != nil {
		return err
	}
	h.stamp, h.size, h.names = st.ModTime(), st.Size(), parseHosts(string(text))
	return nil
}

// parseHosts reads hosts(5); lines that do not begin with an address are passed
// over, as the C library does.
func parseHosts(text string) map[string][]netip.Addr {
	names := make(map[string][]netip.Addr)
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil || a.Zone() != "" {
			continue
		}
		for _, n := range f[1:] {
			if n, err := canonical(n); err == nil && len(names[n]) < maxAddrs {
				names[n] = append(names[n], a.Unmap())
			}
		}
	}
	return names
}
