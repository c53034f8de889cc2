package tr_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/luasips/luasips/engine/api"
	"github.com/luasips/luasips/modules"
	"github.com/luasips/luasips/modules/moduletest"
	"github.com/luasips/luasips/modules/tr"
)

const sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=sendrecv\r\na=ptime:20\r\nm=video 4002 RTP/AVP 31\r\na=recvonly\r\n"

const audio = "m=audio 4000 RTP/AVP 0\r\na=sendrecv\r\na=ptime:20\r\n"

type row struct {
	fn   string
	args []any
	want any // nil, bool, float64 or string
}

func args(a ...any) []any { return a }

// rows holds at least one call of each transformation; the values of the
// manual's examples are among them.
var rows = []row{
	{"s.len", args("abc"), 3.0},
	{"s.len", args(485), 3.0},
	{"s.int", args("2868.12 sec"), 2868.0},
	{"s.int", args("-12x"), -12.0},
	{"s.int", args("+7"), 7.0},
	{"s.int", args("x"), 0.0},
	{"s.int", args("99999999999999999999999"), float64(1 << 53)},
	{"s.eq", args("Alice", "aLICE"), true},
	{"s.eq", args("Alice", "Bob"), false},
	{"s.eq", args("Alice", nil), false},
	{"s.eq", args(nil, nil), true},
	{"s.eq", args(5060, "5060"), true},
	{"s.reverse", args("onetwothree"), "eerhtowteno"},
	{"s.substr", args("abcd", 1, 0), "bcd"},
	{"s.substr", args("abcd", -1), "d"},
	{"s.substr", args("abcd", 0, -1), "abc"},
	{"s.substr", args("abcd", 1, 2), "bc"},
	{"s.substr", args("abcd", 2, 99), "cd"},
	{"s.substr", args("abcd", 4), nil},
	{"s.substr", args("abcd", -5), nil},
	{"s.substr", args("abcd", 2, -3), nil},
	{"s.select", args("12,34,56", 1, ","), "34"},
	{"s.select", args("12,34,56", -2, ","), "34"},
	{"s.select", args("12,34,56", -1, ","), "56"},
	{"s.select", args("12,34,56", 0, ","), "12"},
	{"s.select", args("12,,56", 1, ","), ""},
	{"s.select", args("12,34,56", 3, ","), nil},
	{"s.select", args("12,34,56", -4, ","), nil},
	{"s.select", args("12", 0, ""), nil},
	{"s.tolower", args("AbZ[\xc4"), "abz[\xc4"},
	{"s.toupper", args("aBz{\xe4"), "ABZ{\xe4"},
	{"s.index", args("onetwothreeone", "one"), 0.0},
	{"s.index", args("onetwothreeone", "one", 3), 11.0},
	{"s.index", args("onetwothreeone", "one", -11), 11.0},
	{"s.index", args("onetwothreeone", "one", -25), 11.0},
	{"s.index", args("onetwothreeone", "four"), nil},
	{"s.index", args("", "one", -1), nil},
	{"s.index", args("one", ""), nil},
	{"s.rindex", args("onetwothreeone", "one"), 11.0},
	{"s.rindex", args("onetwothreeone", "one", -3), 11.0},
	{"s.rindex", args("onetwothreeone", "one", 11), 11.0},
	{"s.rindex", args("onetwothreeone", "one", -4), 0.0},
	{"s.rindex", args("one", "four"), nil},
	{"s.fill.left", args("485", "0", 3), "485"},
	{"s.fill.left", args(485, "0", 6), "000485"},
	{"s.fill.left", args("485", "abc", 8), "bcabc485"},
	{"s.fill.left", args("485", "0", 2), "485"},
	{"s.fill.right", args("485", "abc", 8), "485abcab"},
	{"s.width", args("transformation", 16), "transformation  "},
	{"s.width", args("transformation", 9), "transform"},
	{"s.trim", args("\t \n input string  \r  "), "input string"},
	{"s.triml", args("\t \n input string  \r  "), "input string  \r  "},
	{"s.trimr", args("\t \n input string  \r  "), "\t \n input string"},
	{"s.dec2hex", args("255"), "ff"},
	{"s.dec2hex", args(-1), "ffffffff"},
	{"s.dec2hex", args("x"), nil},
	{"s.dec2hex", args("4294967296"), nil},
	{"s.hex2dec", args("ff"), 255.0},
	{"s.hex2dec", args("0xFF"), 255.0},
	{"s.hex2dec", args("fg"), nil},
	{"s.date2unix", args("Thu, 13 Jun 2024 12:48:00 GMT"), 1718282880.0},
	{"s.date2unix", args("yesterday"), nil},

	{"s.md5", args("abc"), "900150983cd24fb0d6963f7d28e17f72"},
	{"s.crc32", args("123456789"), "3421780262"},
	{"s.sha1", args("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d"},
	{"s.sha224", args("abc"), "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
	{"s.sha256", args("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{"s.sha384", args("abc"), "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
	{"s.sha512", args("abc"), "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
	{"s.sha1_hmac", args("what do ya want for nothing?", "Jefe"), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
	{"s.sha224_hmac", args("what do ya want for nothing?", "Jefe"), "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
	{"s.sha256_hmac", args("what do ya want for nothing?", "Jefe"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	{"s.sha384_hmac", args("what do ya want for nothing?", "Jefe"), "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"},
	{"s.sha512_hmac", args("what do ya want for nothing?", "Jefe"), "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},

	{"s.encode.hexa", args("AZ\x00"), "415a00"},
	{"s.decode.hexa", args("415A00"), "AZ\x00"},
	{"s.decode.hexa", args("415"), "A"},
	{"s.decode.hexa", args("4x"), nil},
	{"s.escape.common", args("a'b\"c\\d\x00"), `a\'b\"c\\d\0`},
	{"s.unescape.common", args(`a\'b\"c\\d\0`), "a'b\"c\\d\x00"},
	{"s.escape.user", args("a b@c;d#"), "a%20b%40c;d%23"},
	{"s.escape.user", args("a\r\n"), nil},
	{"s.unescape.user", args("a%20b%40c"), "a b@c"},
	{"s.unescape.user", args("a%2"), nil},
	{"s.unescape.user", args("a%0d"), nil},
	{"s.escape.param", args("a=b;c:d"), "a%3db%3bc:d"},
	{"s.unescape.param", args("a%3db"), "a=b"},
	{"s.b64encode", args("\x02\x03\x04\x05!@#%^&*"), "AgMEBSFAIyVeJio="},
	{"s.b64decode", args("AgMEBSFAIyVeJio="), "\x02\x03\x04\x05!@#%^&*"},
	{"s.b64decode", args("AgME?SFA"), "\x02\x03\x04"},
	{"s.b64decode", args("AgMEB"), "\x02\x03\x04"},
	{"s.xor", args("ab", "x"), "\x19\x1a"},
	{"s.xor", args("ab", ""), nil},

	{"uri.user", args("sip:bob:pw@[2001:db8::1]:5070;transport=tcp;lr;ob?X=1"), "bob"},
	{"uri.user", args("sip:example.com"), nil},
	{"uri.user", args("tel:+49123"), "+49123"},
	{"uri.user", args("no uri"), nil},
	{"uri.host", args("sip:bob@[2001:db8::1]:5070"), "[2001:db8::1]"},
	{"uri.domain", args("sip:bob@Example.com"), "Example.com"},
	{"uri.passwd", args("sip:bob:pw@h"), "pw"},
	{"uri.port", args("sip:bob@h:5070"), 5070.0},
	{"uri.port", args("sip:bob@h"), nil},
	{"uri.params", args("sip:h;a=1;b?X=1"), "a=1;b"},
	{"uri.param", args("sip:h;A=1;b", "a"), "1"},
	{"uri.param", args("sip:h;A=1;b", "b"), ""},
	{"uri.param", args("sip:h;A=1;b", "c"), nil},
	{"uri.headers", args("sip:h?X=1&Y=2"), "X=1&Y=2"},
	{"uri.transport", args("sip:h;transport=TCP"), "TCP"},
	{"uri.ttl", args("sip:h;ttl=4"), "4"},
	{"uri.uparam", args("sip:h;user=phone"), "phone"},
	{"uri.maddr", args("sip:h;maddr=192.0.2.1"), "192.0.2.1"},
	{"uri.method", args("sip:h;method=REFER"), "REFER"},
	{"uri.lr", args("sip:h;lr"), ""},
	{"uri.lr", args("sip:h"), nil},
	{"uri.r2", args("sip:h;r2=on"), "on"},
	{"uri.schema", args("SIPS:h"), "SIPS"},

	{"via.name", args("SIP / 2.0 / UDP h"), "SIP"},
	{"via.version", args("SIP/2.0/UDP h"), "2.0"},
	{"via.transport", args("SIP/2.0/TLS h"), "TLS"},
	{"via.host", args("SIP/2.0/UDP h.example:5080"), "h.example"},
	{"via.domain", args("SIP/2.0/UDP h.example:5080"), "h.example"},
	{"via.port", args("SIP/2.0/UDP h:5080"), 5080.0},
	{"via.port", args("SIP/2.0/UDP h"), nil},
	{"via.comment", args("SIP/2.0/UDP h (lab)"), "lab"},
	{"via.params", args("SIP/2.0/UDP h;branch=z9hG4bKx;rport=7, SIP/2.0/UDP i"), "branch=z9hG4bKx;rport=7"},
	{"via.param", args("SIP/2.0/UDP h;i=a7", "I"), "a7"},
	{"via.param", args("SIP/2.0/UDP h;rport", "rport"), ""},
	{"via.param", args("SIP/2.0/UDP h", "rport"), nil},
	{"via.branch", args("SIP/2.0/UDP h;branch=z9hG4bKx"), "z9hG4bKx"},
	{"via.received", args("SIP/2.0/UDP h;received=192.0.2.9"), "192.0.2.9"},
	{"via.rport", args("SIP/2.0/UDP h;rport=7"), 7.0},
	{"via.rport", args("SIP/2.0/UDP h;rport"), nil},
	{"via.host", args("junk"), nil},

	{"param.value", args("a=1;b=2;c=3", "C"), "3"},
	{"param.value", args(`a="x;y";b`, "a"), "x;y"},
	{"param.value", args("a=1;b", "b"), ""},
	{"param.value", args("a=1", "z"), nil},
	{"param.exist", args("a=0;b=2;ob;c=3", "ob"), true},
	{"param.exist", args("a=0;b=2;ob;c=3", "foo"), false},
	{"param.valueat", args("a=1;b=2;c=3", 1), "2"},
	{"param.valueat", args("a=1;b=2;c=3", -1), "3"},
	{"param.valueat", args("a=1", 1), nil},
	{"param.name", args("a=1;b=2;c=3", 1), "b"},
	{"param.name", args("a=1;b=2;c=3", -4), nil},
	{"param.count", args("a=1;b=2;c=3"), 3.0},
	{"param.count", args(""), 0.0},

	{"nameaddr.name", args(`"test" <sip:test@opensips.org>`), `"test"`},
	{"nameaddr.name", args(`"first" <first@opensips.org>, "second" <second@opensips.org>`, 1), `"second"`},
	{"nameaddr.name", args(`"first" <first@opensips.org>, "second" <second@opensips.org>`, -1), `"second"`},
	{"nameaddr.name", args(`<sip:h>`), nil},
	{"nameaddr.uri", args(`"test" <sip:test@opensips.org>`), "sip:test@opensips.org"},
	{"nameaddr.uri", args(`<sip:a@h>, <sip:b@h>`, 2), nil},
	{"nameaddr.uri", args(`<sip:a@h>, <sip:b@h>`, -3), nil},
	{"nameaddr.uri", args(`"open <sip:a@h>`), nil},
	{"nameaddr.len", args(` <sip:a@h>;tag=1 `), 15.0},
	{"nameaddr.param", args(`"test" <sip:test@opensips.org>;tag=dat43h`, "tag"), "dat43h"},
	{"nameaddr.param", args(`<sip:a@h>;x=1, <sip:b@h>;x=2`, "x", 1), "2"},
	{"nameaddr.param", args(`<no-uri>;x=1`, "x"), "1"},
	{"nameaddr.param", args(`<sip:a@h>`, "tag"), nil},
	{"nameaddr.params", args(`<sip:test@opensips.org>;tag=dat43h;private=yes`), "tag=dat43h;private=yes"},

	{"ip.pton", args("194.168.4.134"), "\xc2\xa8\x04\x86"},
	{"ip.pton", args("x"), nil},
	{"ip.ntop", args("\xc2\xa8\x04\x86"), "194.168.4.134"},
	{"ip.ntop", args("abc"), nil},
	{"ip.isip", args("194.168.4.134"), true},
	{"ip.isip", args("194.168.4.134.1"), false},
	{"ip.isip4", args("194.168.4.134"), true},
	{"ip.isip4", args("::1"), false},
	{"ip.isip6", args("2001:0db8:85a3:0000:0000:8a2e:0370:7334"), true},
	{"ip.isip6", args("194.168.4.134"), false},
	{"ip.family", args("\xc2\xa8\x04\x86"), "INET"},
	{"ip.family", args("0123456789abcdef"), "INET6"},
	{"ip.family", args("x"), nil},
	{"ip.matches", args("10.1.2.3", "10.0.0.1/8"), true},
	{"ip.matches", args("11.1.2.3", "10.0.0.0/8"), false},
	{"ip.matches", args("2001:db8::5", "2001:db8::/32"), true},
	{"ip.matches", args("10.1.2.3", "2001:db8::/32"), nil},
	{"ip.matches", args("10.1.2.3", "10.0.0.0"), nil},
	{"ip.matches", args("10.1.2.3", "10.0.0.0/33"), nil},
	{"ip.matches", args("host", "10.0.0.0/8"), nil},
	{"ip.isprivate", args("192.168.1.1"), true},
	{"ip.isprivate", args("100.64.0.1"), true},
	{"ip.isprivate", args("127.0.0.1"), true},
	{"ip.isprivate", args("100.128.0.1"), false},
	{"ip.isprivate", args("fd00::1"), false},
	{"ip.isprivate", args("host"), nil},
	{"ip.resolve", args("both.example"), "2001:db8::1"},
	{"ip.resolve", args("192.0.2.7"), "192.0.2.7"},
	{"ip.resolve", args("none.example"), nil},
	{"ip.resolve4", args("both.example"), "192.0.2.1"},
	{"ip.resolve6", args("both.example"), "2001:db8::1"},

	{"csv.count", args("a,b,c"), 3.0},
	{"csv.count", args(""), nil},
	{"csv.count", args(`"a,b",c`), 2.0},
	{"csv.value", args("a,b,c", 2), "c"},
	{"csv.value", args("a,b,c", -1), "c"},
	{"csv.value", args("a,b,", 2), ""},
	{"csv.value", args(`"a,""b""",c`, 0), `a,"b"`},
	{"csv.value", args(`"open,c`, 0), "open,c"},
	{"csv.value", args("a", 1), nil},

	{"sdp.line", args(sdp, "a", 1), "a=ptime:20"},
	{"sdp.line", args(sdp, "m"), "m=audio 4000 RTP/AVP 0"},
	{"sdp.line", args(sdp, "a", 3), nil},
	{"sdp.line", args(sdp, "a", -1), nil},
	{"sdp.stream", args(sdp, 0), audio},
	{"sdp.stream", args(sdp, "AUDIO"), audio},
	{"sdp.stream", args(sdp, -2), audio},
	{"sdp.stream", args(sdp, "0"), audio},
	{"sdp.stream", args(sdp, 2), nil},
	{"sdp.stream", args(sdp, "text"), nil},
	{"sdp.stream", args("v=0\r\n", 0), nil},
	{"sdp.stream_delete", args(sdp, "audio"), strings.Replace(sdp, audio, "", 1)},
	{"sdp.stream_delete", args(sdp, -1), sdp[:strings.Index(sdp, "m=video")]},
	{"sdp.stream_delete", args(sdp, "text"), nil},

	{"re.subst", args("abc", "/a/A/g"), "Abc"},
	{"re.subst", args("abab", "/a/A/"), "Abab"},
	{"re.subst", args("abab", "/a/A/g"), "AbAb"},
	{"re.subst", args("ABAB", "/a/x/gi"), "xBxB"},
	{"re.subst", args("0049123", "/^00([0-9]+)$/+\\1/"), "+49123"},
	{"re.subst", args("abc", "#b#[\\0]#"), "a[b]c"},
	{"re.subst", args("a/b", "/\\//-/"), "a-b"},
	{"re.subst", args("abc", "/x/y/"), "abc"},
	{"re.subst", args("a\nb", "/a.b/x/"), "a\nb"},
	{"re.subst", args("a\nb", "/a.b/x/s"), "x"},
	{"re.subst", args("abc", "/b/\\n\\9\\//"), "a\n/c"},
}

func load(t *testing.T) (*moduletest.Loaded, *api.Ctx) {
	h := moduletest.NewHost(t)
	h.Names = moduletest.Names{"both.example": {netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")}}
	return moduletest.Load(t, h, tr.Module(), nil), h.Ctx("", api.RouteTimer)
}

func TestValues(t *testing.T) {
	l, c := load(t)
	for _, r := range rows {
		ret := l.Call(c, r.fn, r.args...)
		if ret.Err != nil || !ret.HasOut {
			t.Errorf("%s%q: error %v, output %v", r.fn, r.args, ret.Err, ret.HasOut)
			continue
		}
		if got := moduletest.GoOf(ret.Out); !reflect.DeepEqual(got, r.want) {
			t.Errorf("%s%q = %#v, want %#v", r.fn, r.args, got, r.want)
		}
	}
}

// TestDeclarations holds each transformation to what all promise: nil gives
// nil, a row above shows it, and its value is of the declared kind.
func TestDeclarations(t *testing.T) {
	l, c := load(t)
	shown := map[string][]any{}
	for _, r := range rows {
		if r.want != nil {
			shown[r.fn] = append(shown[r.fn], r.want)
		}
	}
	kinds := map[modules.Kind]reflect.Kind{modules.KindString: reflect.String, modules.KindNumber: reflect.Float64, modules.KindBool: reflect.Bool}
	for _, f := range l.M.Functions {
		if len(f.Outputs) != 1 || f.Doc == "" {
			t.Fatalf("%s: wants one output and a doc", f.Name)
		}
		if len(shown[f.Name]) == 0 {
			t.Errorf("%s: no row shows a value", f.Name)
		}
		for _, v := range shown[f.Name] {
			if reflect.TypeOf(v).Kind() != kinds[f.Outputs[0].Kind] {
				t.Errorf("%s answers %#v, declared is a %s", f.Name, v, f.Outputs[0].Kind)
			}
		}
		if f.Name == "s.eq" {
			continue
		}
		given := []any{nil}
		for _, a := range f.Args[1:] {
			if a.Kind == modules.KindNumber {
				given = append(given, 1)
			} else {
				given = append(given, "x")
			}
		}
		if ret := l.Call(c, f.Name, given...); ret.Err != nil || !ret.Out.IsNil() {
			t.Errorf("%s(nil) = %v, error %v; want nil", f.Name, ret.Out, ret.Err)
		}
	}
}

func TestMisuse(t *testing.T) {
	l, c := load(t)
	for _, r := range []row{
		{"s.substr", args("abc", 0.5), "whole number"},
		{"s.fill.left", args("a", "0", 1<<20), "65535"},
		{"s.fill.right", args("a", "", 5), "fill is empty"},
		{"s.width", args("a", 0), "must be 1"},
		{"re.subst", args("a", "/a/b"), "form /pattern"},
		{"re.subst", args("a", "/a/b/q"), "unknown flag"},
		{"re.subst", args("a", "/(/b/"), "pattern"},
		{"re.subst", args("a", "//b/"), "form /pattern"},
		{"sdp.stream", args(sdp, true), "number or a media type"},
		{"s.select", args("a"), "missing"},
	} {
		ret := l.Call(c, r.fn, r.args...)
		if ret.Err == nil || !strings.Contains(ret.Err.Error(), r.want.(string)) {
			t.Errorf("%s%q: error %v, want one with %q", r.fn, r.args, ret.Err, r.want)
		}
	}
}

func TestResolveParks(t *testing.T) {
	l, c := load(t)
	l.Call(c, "ip.resolve", "192.0.2.1")
	if n := l.Host.Parks(); n != 0 {
		t.Fatalf("an address parked %d times", n)
	}
	l.Call(c, "ip.resolve", "both.example")
	if n := l.Host.Parks(); n != 1 {
		t.Fatalf("a name parked %d times, want once", n)
	}
}

// FuzzSubject feeds every transformation with one subject: none may panic, and
// what escapes must come back.
func FuzzSubject(f *testing.F) {
	for _, r := range rows {
		if s, ok := r.args[0].(string); ok {
			f.Add(s, 1)
		}
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n > 1000 || n < -1000 {
			return
		}
		h := moduletest.NewHost(t)
		l := moduletest.Load(t, h, tr.Module(), nil)
		c := h.Ctx("", api.RouteTimer)
		for _, fn := range l.M.Functions {
			a := []any{s}
			for _, d := range fn.Args[1:] {
				if d.Kind == modules.KindNumber {
					a = append(a, n)
				} else {
					a = append(a, s)
				}
			}
			l.Call(c, fn.Name, a...)
		}
		if esc, ok := tr.EscapeUser(s); ok {
			if back, ok := tr.UnescapeURI(esc); !ok || back != s {
				t.Fatalf("%q escaped is %q, and back %q", s, esc, back)
			}
		}
		if back := tr.UnescapeCommon(tr.EscapeCommon(s)); back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
		if tr.Reverse(tr.Reverse(s)) != s {
			t.Fatalf("%q reversed twice differs", s)
		}
	})
}
