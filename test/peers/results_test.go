package peers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/luasips/luasips/test/peers"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadStatsTakesTheLastWholeLine(t *testing.T) {
	path := write(t, "CurrentCall;TotalCallCreated;SuccessfulCall(C);FailedCall(P);FailedCall(C);FailedUnexpectedMessage(C);FailedMaxUDPRetrans(C);Retransmissions(C);CallRate(C);ResponseTime1(C);\n"+
		"3;10;7;0;0;0;0;1;9.5;00:00:00:001000;\n"+
		"0;20;17;2;3;1;2;5;10.25;00:00:01:250000;\n"+
		"9;9")
	got, err := peers.ReadStats(path)
	if err != nil {
		t.Fatal(err)
	}
	want := peers.Stats{
		Created: 20, Successful: 17, Failed: 3, Unexpected: 1, Retransmissions: 5, Rate: 10.25,
		Failures: map[string]int{"UnexpectedMessage": 1, "MaxUDPRetrans": 2}, ResponseTime: 1250 * time.Millisecond,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadStatsOfNothingIsAnError(t *testing.T) {
	for _, content := range []string{"", "TotalCallCreated;\n"} {
		if got, err := peers.ReadStats(write(t, content)); err == nil {
			t.Errorf("ReadStats of %q: %+v, want an error", content, got)
		}
	}
}

func TestReadMessages(t *testing.T) {
	invite := "INVITE sip:bob@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nvia: SIP/2.0/UDP b\r\nContent-Length: 5\r\n\r\nv=0\r\n"
	ok := "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n"
	path := write(t, fmt.Sprintf("----- 2026-01-01\nUDP message sent (%d bytes):\n\n%s\n----- 2026-01-01\nTCP message received [%d] bytes :\n\n%s\n",
		len(invite), invite, len(ok), ok))
	got, err := peers.ReadMessages(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []peers.Message{{Sent: true, Transport: peers.UDP, Text: invite}, {Transport: peers.TCP, Text: ok}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"SIP/2.0/UDP a", "SIP/2.0/UDP b"}, got[0].Headers("Via")); diff != "" {
		t.Error(diff)
	}
	if got[0].Body() != "v=0\r\n" || got[1].StartLine() != "SIP/2.0 200 OK" || got[1].Header("cseq") != "1 INVITE" || got[1].Header("To") != "" {
		t.Errorf("body %q, start line %q, CSeq %q, To %q", got[0].Body(), got[1].StartLine(), got[1].Header("cseq"), got[1].Header("To"))
	}
}

// The files that this SIPp writes are the ones that are read.
func TestResultsOfARealRun(t *testing.T) {
	uas := peers.StartSIPp(t, peers.SIPp{Name: "uas_options", Counts: true})
	uac := peers.StartSIPp(t, peers.SIPp{Name: "uac_options", Remote: uas.Addr(), Calls: 2, Trace: true})
	got := uac.Wait()
	got.MustSucceed(t, 2)
	if got.ExitCode != 0 || got.Created != 2 || len(got.Sent("OPTIONS ")) != 2 || len(got.Received(" 200 ")) != 2 {
		t.Errorf("exit %d, %d created, %d OPTIONS sent, %d responses", got.ExitCode, got.Created, len(got.Sent("OPTIONS ")), len(got.Received(" 200 ")))
	}
	if n := uas.Stop().Counts["0_OPTIONS_Recv"]; n != 2 {
		t.Errorf("the callee counted %d OPTIONS, want 2", n)
	}
}
