package sip_test

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

const listed = "Supported: path, Outbound;x=1\r\nRoute: <sip:a;lr>, \"b,c\" <sip:b>\r\nk: gruu\r\n" +
	"Route: <sip:c>, broken, <sip:d>\r\nRoute: <sip:e>\r\no: presence;id=1\r\n"

func TestLists(t *testing.T) {
	m := mustParse(t, request(listed, ""))
	d := new(sip.Draft)
	d.Init(m)
	for name, list := range map[string]iter.Seq[[]byte]{"message": m.Items(sip.HdrSupported), "draft": d.Items(sip.HdrSupported)} {
		var got []string
		for v := range list {
			got = append(got, string(v))
		}
		if want := []string{"path", "Outbound;x=1", "gruu"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
		for range list {
			break
		}
	}
	if !m.HasItem(sip.HdrSupported, "outbound") || m.HasItem(sip.HdrSupported, "timer") || m.HasItem(sip.HdrRequire, "path") {
		t.Error("HasItem of the message")
	}
	if string(m.EventPackage()) != "presence" || mustParse(t, invite).EventPackage() != nil {
		t.Errorf("event %q", m.EventPackage())
	}
	must(t, d.Append(b("Supported"), b("timer")))
	if !d.HasItem(sip.HdrSupported, "timer") || m.HasItem(sip.HdrSupported, "timer") || d.HasItem(sip.HdrOther, "x") {
		t.Error("HasItem of the draft")
	}
}

func TestAddrs(t *testing.T) {
	m := mustParse(t, request(listed, ""))
	d := new(sip.Draft)
	d.Init(m)
	must(t, d.Prepend(sip.HdrRoute, b("<sip:top>")))
	for want, list := range map[string]iter.Seq2[*sip.NameAddr, error]{
		"sip:a;lr sip:b sip:c ! sip:e":         m.Addrs(sip.HdrRoute),
		"sip:top sip:a;lr sip:b sip:c ! sip:e": d.Addrs(sip.HdrRoute),
		"":                                     m.Addrs(sip.HdrContact),
	} {
		var got []string
		for n, err := range list {
			if err != nil {
				got = append(got, "!")
				continue
			}
			got = append(got, string(n.Addr))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s, want %s", s, want)
		}
		for range list {
			break
		}
	}
}
