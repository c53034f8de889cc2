package conformance_test

import (
	"cmp"
	"slices"
	"strings"
)

// row is the verdict on one message of RFC 4475: by the stateful script over
// UDP and TCP, and by the stateless one. An empty tcp is udp's; an empty
// stateless one is the stateful's.
type row struct {
	udp, tcp, slUDP, slTCP string
	why                    string
	edit                   func(lines []string) []string // what routing does to it beside; nil: nothing
	port                   int                           // of its top Via, where not 5060
	again                  bool                          // another message has its branch and sent-by
}

func (r row) filled() row {
	r.tcp = cmp.Or(r.tcp, r.udp)
	r.slUDP, r.slTCP = cmp.Or(r.slUDP, r.udp), cmp.Or(r.slTCP, r.tcp)
	return r
}

// strictRoute is RFC 3261 §16.6 item 6 for a single Route without lr.
func strictRoute(lines []string) []string {
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Route: ") })
	parts := strings.Split(lines[0], " ")
	own := "Route: <" + parts[1] + ">"
	parts[1] = strings.Trim(strings.TrimPrefix(lines[i], "Route: "), "<>")
	lines[0] = strings.Join(parts, " ")
	return slices.Insert(slices.Delete(lines, i, i+1), 1, own)
}

// noHeaders takes the headers out of a Request-URI (RFC 3261 §16.6 item 2).
func noHeaders(lines []string) []string {
	before, after, _ := strings.Cut(lines[0], "?")
	lines[0] = before + after[strings.IndexByte(after, ' '):]
	return lines
}

// tortureTable has every message; the reasons are those of RFC 4475 where it
// gives one.
var tortureTable = map[string]row{
	"badaspec":   {udp: "400", why: "white space in <>"},
	"badbranch":  {udp: "relayed", why: "the branch is the cookie alone: matched as RFC 2543 has it"},
	"baddate":    {udp: "relayed", why: "Date is not for a proxy to read"},
	"baddn":      {udp: "400", tcp: "closed", why: "bare comma in a display name; the file lacks the empty line, for which a stream waits"},
	"badinv01":   {udp: "400", why: "empty parameters in Via; its sent-by tells where to answer to"},
	"badvers":    {udp: "505", why: "SIP/7.0"},
	"bcast":      {udp: "dropped", why: "a response whose top Via is not ours"},
	"bext01":     {udp: "420", slUDP: "relayed", slTCP: "relayed", why: "Proxy-Require that nobody knows; forward() leaves it to the script"},
	"bigcode":    {udp: "dropped", why: "a response, and its status is none"},
	"clerr":      {udp: "400", tcp: "closed", why: "Content-Length is larger than the datagram; on a stream the rest never comes"},
	"cparam01":   {udp: "relayed", why: "Contact parameters"},
	"cparam02":   {udp: "relayed", again: true, why: "Contact URI parameters"},
	"dblreq":     {udp: "relayed", tcp: "relayed twice closed", why: "a datagram holds one request, what follows is discarded; a stream holds both, and behind them a line that is not SIP"},
	"esc01":      {udp: "relayed", why: "escapes in URIs"},
	"esc02":      {udp: "relayed", why: "escapes where they mean nothing"},
	"escnull":    {udp: "relayed", why: "escaped NULs"},
	"escruri":    {udp: "relayed", edit: noHeaders, why: "headers in the Request-URI are taken out"},
	"insuf":      {udp: "400", why: "From, To and Call-ID are missing"},
	"intmeth":    {udp: "relayed", why: "all characters a method and a user may have"},
	"inv2543":    {udp: "relayed", tcp: "400 closed", why: "no branch, no Max-Forwards; without Content-Length a stream cannot be cut"},
	"invut":      {udp: "relayed", why: "body of an unknown type"},
	"longreq":    {udp: "relayed", why: "long values, many Vias; goes on by TCP"},
	"ltgtruri":   {udp: "400", why: "Request-URI in <>"},
	"lwsdisp":    {udp: "relayed", why: "no space between display name and <"},
	"lwsruri":    {udp: "400", why: "white space in the Request-URI"},
	"lwsstart":   {udp: "400", why: "two spaces in the request line"},
	"mcl01":      {udp: "400", tcp: "400 closed", why: "two Content-Length; a stream cannot be cut behind it"},
	"mismatch01": {udp: "400", why: "method and CSeq differ"},
	"mismatch02": {udp: "400", why: "unknown method, and CSeq differs"},
	"mpart01":    {udp: "relayed", edit: strictRoute, why: "binary multipart; Route is a strict router"},
	"multi01":    {udp: "400", why: "headers that are single are doubled"},
	"ncl":        {udp: "400", tcp: "400 closed", why: "negative Content-Length; a stream cannot be cut behind it"},
	"noreason":   {udp: "dropped", why: "a response whose top Via is not ours"},
	"novelsc":    {udp: "416", again: true, slUDP: "500", slTCP: "500", why: "scheme of another protocol; without a transaction forward() says no and the script answers"},
	"quotbal":    {udp: "400", port: 5050, why: "unbalanced quote in To"},
	"regaut01":   {udp: "relayed", why: "authorization of an unknown scheme"},
	"regbadct":   {udp: "relayed", why: "Contact is the registrar's to refuse"},
	"regescrt":   {udp: "relayed", again: true, why: "escaped Route in a Contact"},
	"scalar02":   {udp: "400", why: "CSeq and Max-Forwards overflow"},
	"scalarlg":   {udp: "dropped", why: "a response, and overflowing"},
	"sdp01":      {udp: "relayed", why: "Accept without SDP"},
	"semiuri":    {udp: "relayed", why: "semicolon in a user"},
	"test":       {udp: "dropped", tcp: "closed", why: "no SIP version; on a stream that ends it"},
	"transports": {udp: "relayed", why: "transports that nobody has in Vias below the top one"},
	"trws":       {udp: "400", why: "space behind the request line"},
	"unkscm":     {udp: "416", slUDP: "500", slTCP: "500", why: "unknown scheme; without a transaction forward() says no and the script answers"},
	"unksm2":     {udp: "relayed", why: "unknown schemes in To and From"},
	"unreason":   {udp: "dropped", why: "a response whose top Via is not ours"},
	"wsinv":      {udp: "relayed", why: "every kind of white space and folding"},
	"zeromf":     {udp: "483", slUDP: "500", slTCP: "500", why: "Max-Forwards is 0; without a transaction forward() says no and the script answers"},
}
