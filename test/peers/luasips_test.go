package peers_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luasips/luasips/test/peers"
)

// stub writes an executable shell script that stands in for luasips.
func stub(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "luasips")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLuasipsIsReadyWhenItsLogSaysSo(t *testing.T) {
	bin := stub(t, `echo starting; echo '{"level":"info","msg":"ready"}'; echo "$@ $LUASIPS_CONTROL"; cat "$3" lib.lua; exec sleep 60`)
	s := peers.StartLuasips(t, peers.Luasips{
		Binary: bin, Script: `socket "udp:127.0.0.1:{port}"`, Files: map[string]string{"lib.lua": "return 1"}, Port: 12345, Args: []string{"--workers=2"},
	})
	if err := s.WaitFor("printed file", 5*time.Second, func() bool { return strings.Contains(s.Log(), "return 1") }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"run -f " + s.Dir, "--workers=2 " + s.Control, `socket "udp:127.0.0.1:12345"`} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("%q is missing in what the program saw:\n%s", want, s.Log())
		}
	}
}

// Without a log record, an answer to OPTIONS says that the program is there.
func TestLuasipsIsReadyWhenItAnswers(t *testing.T) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(peers.Loopback)})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	asked := make(chan string, 1)
	go func() {
		buf := make([]byte, 2048)
		n, from, err := server.ReadFromUDP(buf)
		if err != nil {
			return
		}
		asked <- string(buf[:n])
		_, _ = server.WriteToUDP([]byte("SIP/2.0 483 Too Many Hops\r\n\r\n"), from)
	}()
	port := server.LocalAddr().(*net.UDPAddr).Port
	peers.StartLuasips(t, peers.Luasips{Binary: stub(t, "exec sleep 60"), Port: port})
	if got := <-asked; !strings.HasPrefix(got, "OPTIONS sip:") || !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("the probe was %q, want a whole OPTIONS", got)
	}
}

func TestLuasipsThatRefusesItsScriptIsAnError(t *testing.T) {
	_, err := peers.RunLuasips(t.TempDir(), peers.Luasips{Binary: stub(t, "echo 'script.lua:1: no socket declared' >&2; exit 78"), Port: peers.Port(t)})
	if err == nil || !strings.Contains(err.Error(), "script.lua:1: no socket declared") {
		t.Fatalf("RunLuasips: %v, want what the program printed", err)
	}
}
