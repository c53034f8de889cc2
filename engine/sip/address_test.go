package sip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/sip"
)

// uriRows are URIs and how they come apart; an empty want is refused.
var uriRows = []struct{ in, want string }{
	{"sip:alice@atlanta.com", "sip|alice||atlanta.com|0||"},
	{"SIP:alice:secret@atlanta.com;transport=tcp", "SIP|alice|secret|atlanta.com|0|transport=tcp|"},
	{"sips:alice@atlanta.com?subject=project%20x&priority=urgent", "sips|alice||atlanta.com|0||subject=project%20x&priority=urgent"},
	{"sip:+1-212-555-1212:1234@gateway.com;user=phone", "sip|+1-212-555-1212|1234|gateway.com|0|user=phone|"},
	{"sip:1212@gateway.com:5061;lr?a=b", "sip|1212||gateway.com|5061|lr|a=b"},
	{"sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", "sip|||atlanta.com|0|method=REGISTER|to=alice%40atlanta.com"},
	{"sip:alice;day=tuesday@atlanta.com", "sip|alice;day=tuesday||atlanta.com|0||"},
	{"sip:a?b@c", "sip|a?b||c|0||"},
	{"sip:host:65535", "sip|||host|65535||"},
	{"sip:a_b.example", "sip|||a_b.example|0||"},
	{"sip:Ивàн@host", "sip|Ивàн||host|0||"},
	{"sip:a@h;", "sip|a||h|0||"},
	{"tel:+1-201-555-0123", "tel|+1-201-555-0123|||0||"},
	{"tel:7042;phone-context=example.com", "tel|7042|||0|phone-context=example.com|"},
	{"urn:service:sos", "urn|||service:sos|0||"},
	{"http://www.example.com/?a=b", "http|||//www.example.com/?a=b|0||"},
	{"soap.beep://192.0.2.103:3002", "soap.beep|||//192.0.2.103:3002|0||"},
	// RFC 5118
	{"sip:[2001:db8::10]", "sip|||[2001:db8::10]|0||"},
	{"sip:[2001:db8::10]:5070", "sip|||[2001:db8::10]|5070||"},
	{"sip:[2001:db8::10:5070]", "sip|||[2001:db8::10:5070]|0||"},
	{"sip:user@[::ffff:192.0.2.10];lr", "sip|user||[::ffff:192.0.2.10]|0|lr|"},
	{"sip:user@[2001:db8:::192.0.2.1]", "sip|user||[2001:db8:::192.0.2.1]|0||"},
	{"sip:2001:db8::10", ""}, {"sip:user@2001:db8::10", ""}, {"sip:[2001:db8::10", ""}, {"sip:[]", ""},
	{"sip:[fe80::1%25eth0]", ""}, {"sip:[::1]x", ""}, {"sip:[" + strings.Repeat("1:", 30) + "]", ""},
	{"", ""}, {"sip", ""}, {"sip:", ""}, {":x", ""}, {"1sip:x", ""}, {"s_p:x", ""}, {"alice@example.com", ""},
	{"sip:@host", ""}, {"sip::pw@host", ""}, {"sip:a@", ""}, {"sip:a@b@c", ""}, {"sip:host:", ""}, {"sip:host:65536", ""},
	{"sip:host:-1", ""}, {"sip:host:5060x", ""}, {"sip:a b@c", ""}, {"sip:a@b;x=\r\ny", ""}, {"sip:a@b;x=@", ""},
	{"<sip:a@b>", ""}, {"sip:a@b\x00", ""}, {"sip:a@b\"", ""}, {"tel:", ""}, {"urn:", ""}, {"sip:a@b,c", ""}, {"sip:a@b;p,q", ""},
}

func uriText(u *sip.URI) string {
	return fmt.Sprintf("%s|%s|%s|%s|%d|%s|%s", u.SchemeName, u.User, u.Password, u.Host, u.Port, u.Params, u.Headers)
}

func TestParseURI(t *testing.T) {
	for _, row := range uriRows {
		var u sip.URI
		err := sip.ParseURI([]byte(row.in), &u)
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%q: accepted as %s", row.in, uriText(&u))
		case row.want != "" && (err != nil || uriText(&u) != row.want || string(u.Raw) != row.in):
			t.Errorf("%q: %s %v, want %s", row.in, uriText(&u), err, row.want)
		}
	}
}

func TestURIParams(t *testing.T) {
	for in, want := range map[string]string{
		"sip:h;lr":                       "lr=true transport= maddr=",
		"sip:h;lr=on;transport=TCP":      "lr=true transport=TCP maddr=",
		"sip:h;lr=":                      "lr=true transport= maddr=",
		"sip:h;%6C%72;maddr=1.2.3.4":     "lr=true transport= maddr=1.2.3.4",
		"sip:h;lrx;xlr":                  "lr=false transport= maddr=",
		"sip:h;x=lr;;TRANSPORT=udp;y":    "lr=false transport=udp maddr=",
		"sip:h":                          "lr=false transport= maddr=",
		"sip:h?lr":                       "lr=false transport= maddr=",
		"sip:h;a=1;lr;transport=a=b?c=d": "lr=true transport=a=b maddr=",
	} {
		var u sip.URI
		if err := sip.ParseURI([]byte(in), &u); err != nil {
			t.Fatal(in, err)
		}
		if got := fmt.Sprintf("lr=%v transport=%s maddr=%s", u.LR(), u.Transport(), u.Maddr()); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// TestURIEqual has the examples of RFC 3261 §19.1.4 and more.
func TestURIEqual(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
			"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;newparam=6", false},
		{"sip:a@h", "sips:a@h", false}, {"sip:a@h", "sip:h", false}, {"sip:a:b@h", "sip:a@h", false},
		{"sip:a%40b@h", "sip:a%40b@h", true}, {"sip:a;b@h", "sip:a%3bb@h", false},
		{"sip:a@h;maddr=1.2.3.4", "sip:a@h", false}, {"sip:a@h;ttl=1", "sip:a@h", false}, {"sip:a@h;user=phone", "sip:a@h", false},
		{"sip:a@h;lr", "sip:a@h;lr", true}, {"sip:a@h;lr=x", "sip:a@h;lr", false},
		{"sip:[2001:DB8::1]", "sip:[2001:db8::1]", true},
		{"tel:+1-201-555-0123", "tel:+1(201)5550123", true}, {"tel:123", "tel:1234", false},
		{"tel:123;phone-context=a", "tel:123", false}, {"tel:123;a=b;c=d", "tel:123;C=D;a=b", true},
		{"urn:service:sos", "URN:service:sos", true}, {"urn:service:sos", "urn:service:fire", false},
	} {
		var a, b sip.URI
		if sip.ParseURI([]byte(row.a), &a) != nil || sip.ParseURI([]byte(row.b), &b) != nil {
			t.Fatal(row.a, row.b)
		}
		if sip.URIEqual(&a, &b) != row.want || sip.URIEqual(&b, &a) != row.want {
			t.Errorf("%s = %s: not %v", row.a, row.b, row.want)
		}
	}
}

func TestAppendUnescaped(t *testing.T) {
	for in, want := range map[string]string{"a%20b": "a b", "%": "%", "%4": "%4", "%zz": "%zz", "%41%42": "AB", "100%25": "100%"} {
		if got := string(sip.AppendUnescaped(nil, []byte(in))); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

var viaRows = []struct{ in, want, rest string }{
	{"SIP/2.0/UDP h", "SIP/2.0 UDP h:0 b= r= m= rport=false/0", ""},
	{"SIP/2.0/TCP h:5061;branch=z9hG4bKa;rport", "SIP/2.0 TCP h:5061 b=z9hG4bKa r= m= rport=true/0", ""},
	{"SIP/2.0/UDP h;rport=5070;received=192.0.2.1;maddr=224.2.0.1;ttl=16;alias", "SIP/2.0 UDP h:0 b= r=192.0.2.1 m=224.2.0.1 rport=true/5070", ""},
	{"SIP / 2.0\r\n / UDP\r\n  first.example.com: 4000;ttl=16\r\n ;branch = z9hG4bKb", "SIP / 2.0 UDP first.example.com:4000 b=z9hG4bKb r= m= rport=false/0", ""},
	{"SIP/2.0/UDP a;branch=1 , SIP/2.0/UDP b", "SIP/2.0 UDP a:0 b=1 r= m= rport=false/0", " SIP/2.0/UDP b"},
	{"SIP/2.0/UDP a;x=\"q,;\\\"\";branch=1,SIP/2.0/UDP b", "SIP/2.0 UDP a:0 b=1 r= m= rport=false/0", "SIP/2.0/UDP b"},
	{"SIP/2.0/UDP a;branch=1 (a (nested) comment, with) , x", "SIP/2.0 UDP a:0 b=1 r= m= rport=false/0", " x"},
	{"SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z", "SIP/2.0 UDP [2001:db8::9:1]:0 b=z r=[2001:db8::9:255] m= rport=false/0", ""},
	{"SIP/2.0/UDP [2001:db8::9:1]:5;received=2001:db8::9:255", "SIP/2.0 UDP [2001:db8::9:1]:5 b= r=2001:db8::9:255 m= rport=false/0", ""},
	{"SIP/2.0/UNKNOWN h", "SIP/2.0 UNKNOWN h:0 b= r= m= rport=false/0", ""},
	{"SIP/7.0/UDP h", "SIP/7.0 UDP h:0 b= r= m= rport=false/0", ""},
	{"", "", ""}, {"SIP", "", ""}, {"SIP/2.0", "", ""}, {"SIP/2.0/UDP", "", ""}, {"SIP/2.0/UDP ", "", ""}, {"SIP/2.0/UDPh", "", ""},
	{"SIP/2.0/UDP h;;branch=1", "", ""}, {"SIP/2.0/UDP h;", "", ""}, {"SIP/2.0/UDP h,", "", ""}, {"SIP/2.0/UDP h;branch", "", ""},
	{"SIP/2.0/UDP h;branch=", "", ""}, {"SIP/2.0/UDP h;branch=a;branch=b", "", ""}, {"SIP/2.0/UDP h;received=a;received=b", "", ""},
	{"SIP/2.0/UDP h;rport;rport=1", "", ""}, {"SIP/2.0/UDP h;rport=65536", "", ""}, {"SIP/2.0/UDP h:x", "", ""}, {"SIP/2.0/UDP h:65536", "", ""},
	{"SIP/2.0/UDP h x", "", ""}, {"SIP/2.0/UDP h;a=\"b", "", ""}, {"SIP/2.0/UDP h (x", "", ""}, {"SIP/2.0/UDP h (x) y", "", ""},
	{"SIP/2.0/UDP h;ttl=256", "", ""}, {"SIP/2.0/UDP h;maddr=", "", ""}, {"SIP/2.0/UDP h;=x", "", ""}, {"SIP/2.0/UDP 2001:db8::1", "", ""},
}

func TestParseVia(t *testing.T) {
	for _, row := range viaRows {
		var v sip.Via
		rest, err := sip.ParseVia([]byte(row.in), &v)
		got := fmt.Sprintf("%s %s %s:%d b=%s r=%s m=%s rport=%v/%d",
			v.Version, v.Transport, v.Host, v.Port, v.Branch, v.Received, v.Maddr, v.HasRPort, v.RPort)
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%q: accepted as %s", row.in, got)
		case row.want != "" && (err != nil || got != row.want || string(rest) != row.rest):
			t.Errorf("%q: %s rest %q %v", row.in, got, rest, err)
		}
	}
}

func TestViaAppendReceived(t *testing.T) {
	for _, row := range []struct{ in, src, want string }{
		{"SIP/2.0/UDP 192.0.2.1;branch=z", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1;branch=z"},
		{"SIP/2.0/UDP 192.0.2.1", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1"},
		{"SIP/2.0/UDP 192.0.2.1;branch=z", "192.0.2.2:5060", "SIP/2.0/UDP 192.0.2.1;branch=z;received=192.0.2.2"},
		{"SIP/2.0/UDP host:5080;branch=z", "192.0.2.2:5060", "SIP/2.0/UDP host:5080;branch=z;received=192.0.2.2"},
		{"SIP/2.0/UDP host", "192.0.2.2:5060", "SIP/2.0/UDP host;received=192.0.2.2"},
		{"SIP/2.0/UDP 192.0.2.1;rport;branch=z", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1;branch=z;rport=9;received=192.0.2.1"},
		{"SIP/2.0/UDP 192.0.2.1;rport=1;branch=z", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1;branch=z;rport=9;received=192.0.2.1"},
		{"SIP/2.0/UDP 192.0.2.1;received=10.0.0.1;branch=z", "192.0.2.1:9", "SIP/2.0/UDP 192.0.2.1;branch=z"},
		{"SIP/2.0/UDP 192.0.2.1 ; Received = 10.0.0.1 ;x=\"y;z\"", "192.0.2.3:9", "SIP/2.0/UDP 192.0.2.1;x=\"y;z\";received=192.0.2.3"},
		{"SIP/2.0/UDP [2001:DB8::1];rport", "[2001:db8::1]:9", "SIP/2.0/UDP [2001:DB8::1];rport=9;received=2001:db8::1"},
		{"SIP/2.0/UDP [2001:db8::1]", "[2001:db8:0::1]:9", "SIP/2.0/UDP [2001:db8::1]"},
		{"SIP/2.0/UDP [2001:db8::1]", "[2001:db8::2]:9", "SIP/2.0/UDP [2001:db8::1];received=2001:db8::2"},
		{"SIP/2.0/UDP 192.0.2.1", "[::ffff:192.0.2.1]:9", "SIP/2.0/UDP 192.0.2.1"},
		{"SIP/2.0/UDP h (note)", "192.0.2.1:9", "SIP/2.0/UDP h;received=192.0.2.1 (note)"},
		{"SIP/2.0/UDP h;rport", "", "SIP/2.0/UDP h;rport"},
	} {
		var v sip.Via
		if _, err := sip.ParseVia([]byte(row.in), &v); err != nil {
			t.Fatal(row.in, err)
		}
		var src netip.AddrPort
		if row.src != "" {
			src = netip.MustParseAddrPort(row.src)
		}
		if got := string(v.AppendReceived(nil, src)); got != row.want {
			t.Errorf("%s from %s:\n got %s\nwant %s", row.in, row.src, got, row.want)
		}
	}
}

var addrRows = []struct{ in, want, rest string }{
	{"sip:a@b", "|sip:a@b||", ""},
	{"sip:a@b;tag=1", "|sip:a@b|tag=1|1", ""},
	{"<sip:a@b;lr>;tag=1;x", "|sip:a@b;lr|tag=1;x|1", ""},
	{"\"A, B\\\"\" <sip:a@b>", "\"A, B\\\"\"|sip:a@b||", ""},
	{"\"\"<sip:a@b>", "\"\"|sip:a@b||", ""},
	{"A B <sip:a@b>;tag = x", "A B|sip:a@b|tag = x|x", ""},
	{"caller<sip:a@b>", "caller|sip:a@b||", ""},
	{"<sip:a@b?x=y,z>, <sip:c@d>", "|sip:a@b?x=y,z||", " <sip:c@d>"},
	{"sip:a@b , sip:c@d", "|sip:a@b||", " sip:c@d"},
	{"<sip:a@b>;x=\"1,2;3\";q=0.5\r\n ;r=1,x", "|sip:a@b|x=\"1,2;3\";q=0.5\r\n ;r=1|", "x"},
	{"<tel:+1>", "|tel:+1||", ""}, {"*", "|*||", ""}, {" <sip:a@[::1]:5> ", "|sip:a@[::1]:5||", ""},
	{"<http://x/?a>", "|http://x/?a||", ""}, {"Иван <sip:a@b>", "Иван|sip:a@b||", ""},
	{"", "", ""}, {"<>", "", ""}, {"<sip:a@b", "", ""}, {"\"A <sip:a@b>", "", ""}, {"\"A\" sip:a@b", "", ""}, {"A, B <sip:a@b>", "", ""},
	{"A; B <sip:a@b>", "", ""}, {"A \"B\" <sip:a@b>", "", ""}, {"< sip:a@b >", "", ""}, {"sip:a@b?x=y", "", ""}, {"<sip:a@b>x", "", ""},
	{"<sip:a@b>;", "", ""}, {"<sip:a@b>;;x", "", ""}, {"<sip:a@b>;tag=", "", ""}, {"<sip:a@b>;tag", "", ""}, {"<sip:a@b>;tag=1;tag=2", "", ""},
	{"<sip:a@b>,", "", ""}, {"<sip:a@b>;x=\"y", "", ""}, {"alice", "", ""}, {"**", "", ""}, {"<sip:a@b> <sip:c@d>", "", ""},
	// A quote or an angle within a word: one parser's string, another's byte.
	{"<sip:a@b>;x=<urn:a,b>;tag=1", "|sip:a@b|x=<urn:a,b>;tag=1|1", ""},
	{"<sip:a@b>;x=a\"b;tag=1", "", ""}, {"<sip:a@b>;x\"=1;tag=1\"", "", ""}, {"<sip:a@b>;x=<, <sip:c@d>;y=>", "", ""},
	{"<sip:a@b>;x=<y", "", ""}, {"<sip:a@b>;x=>", "", ""}, {"<sip:a@b>;x=a<b>", "", ""}, {"<sip:a@b>;x<y>=1", "", ""}, {"sip:a@b;x=\"", "", ""},
}

func TestParseNameAddr(t *testing.T) {
	for _, row := range addrRows {
		var n sip.NameAddr
		rest, err := sip.ParseNameAddr([]byte(row.in), &n)
		got := fmt.Sprintf("%s|%s|%s|%s", n.Display, n.Addr, n.Params, n.Tag)
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%q: accepted as %s", row.in, got)
		case row.want != "" && (err != nil || got != row.want || string(rest) != row.rest):
			t.Errorf("%q: %q rest %q %v", row.in, got, rest, err)
		case err == nil && n.Star != (row.in == "*"):
			t.Errorf("%q: star %v", row.in, n.Star)
		}
	}
	var n sip.NameAddr
	_, err := sip.ParseNameAddr([]byte("<sip:a@b>;Expires=60;+sip.instance=\"<urn:x;y>\";ob"), &n)
	expires, _ := n.Param("expires")
	instance, _ := n.Param("+sip.instance")
	ob, hasOb := n.Param("ob")
	if _, none := n.Param("x"); err != nil || none || string(expires) != "60" || string(instance) != "\"<urn:x;y>\"" || ob != nil || !hasOb {
		t.Errorf("%q %q %v %v", expires, instance, ob, err)
	}
}

func TestSplitList(t *testing.T) {
	for in, want := range map[string][]string{
		"":                       nil,
		" , ,, ":                 nil,
		"a":                      {"a"},
		"a, b,\r\n c":            {"a", "b", "c"},
		"\"a,b\" <c,d>, e":       {"\"a,b\" <c,d>", "e"},
		"<sip:a@b?x=\",\">,<c>":  {"<sip:a@b?x=\",\">", "<c>"},
		"\"a\\\",b\",c":          {"\"a\\\",b\"", "c"},
		"\"never closed, a":      {"\"never closed, a"},
		"Digest a=\"b,c\", d=e,": {"Digest a=\"b,c\"", "d=e"},
	} {
		var got []string
		for v := range sip.SplitList([]byte(in)) {
			got = append(got, string(v))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q", in, got)
		}
	}
	for range sip.SplitList([]byte("a,b")) {
		break
	}
}

func TestEachParam(t *testing.T) {
	for in, want := range map[string]string{
		"a;b=c; d = \"e;f\" ;;g=": "a:nil b:c d:\"e;f\" g: ",
		";lr":                     "lr:nil ",
		"a=\"b":                   "",
		"info=<http://x;y,z>;a":   "info:<http://x;y,z> a:nil ",
		"a;b=c\"d\";e":            "a:nil ",
		"a b":                     "a:nil ",
		"":                        "",
	} {
		got := ""
		sip.EachParam([]byte(in), func(name, value []byte) bool {
			v := string(value)
			if value == nil {
				v = "nil"
			}
			got += string(name) + ":" + v + " "
			return true
		})
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if v, ok := sip.Param([]byte("a;b=c"), "B"); !ok || string(v) != "c" {
		t.Errorf("Param: %q %v", v, ok)
	}
}

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "[2001:db8::1]": "2001:db8::1", "2001:db8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1",
		"0.0.0.0": "0.0.0.0", "256.1.1.1": "", "1.2.3": "", "1.2.3.4.5": "", "01.2.3.4": "", "1..2.3": "", "example.com": "",
		"[2001:db8:::1]": "", "fe80::1%eth0": "", "": "", "1.2.3.4a": "", "[": "", "1.2.3.": "",
	} {
		a, err := sip.ParseAddr([]byte(in))
		got := ""
		if err == nil {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestQuoting(t *testing.T) {
	for in, want := range map[string]string{`a"b\c`: `"a\"b\\c"`, "": `""`, "a\r\n\x00b": `"ab"`} {
		if got := string(sip.AppendQuoted(nil, []byte(in))); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	for in, want := range map[string]string{`"a\"b\\c"`: `a"b\c`, `plain`: `plain`, `"`: `"`, `""`: ``, `"a\"`: `a\`} {
		if got := string(sip.Unquote(nil, []byte(in))); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
