package sip

// Method is a SIP request method. Unknown ones are MethodOther; their name
// stays readable as bytes.
type Method uint8

// The methods known by name. KDMQ is Kamailio's replication method, which
// OpenSIPS configurations meet too.
const (
	MethodOther Method = iota
	INVITE
	ACK
	CANCEL
	BYE
	OPTIONS
	REGISTER
	PRACK
	UPDATE
	SUBSCRIBE
	NOTIFY
	REFER
	MESSAGE
	INFO
	PUBLISH
	KDMQ
)

var methodNames = [...]string{
	MethodOther: "", INVITE: "INVITE", ACK: "ACK", CANCEL: "CANCEL", BYE: "BYE",
	OPTIONS: "OPTIONS", REGISTER: "REGISTER", PRACK: "PRACK", UPDATE: "UPDATE",
	SUBSCRIBE: "SUBSCRIBE", NOTIFY: "NOTIFY", REFER: "REFER", MESSAGE: "MESSAGE",
	INFO: "INFO", PUBLISH: "PUBLISH", KDMQ: "KDMQ",
}

// String returns the method's name as it stands on the wire, "" for
// MethodOther.
func (m Method) String() string {
	if int(m) < len(methodNames) {
		return methodNames[m]
	}
	return ""
}

// ParseMethod finds a method by name, case-sensitively (RFC 3261 §7.1).
func ParseMethod(b []byte) Method {
	switch string(b) {
	case "INVITE":
		return INVITE
	case "ACK":
		return ACK
	case "CANCEL":
		return CANCEL
	case "BYE":
		return BYE
	case "OPTIONS":
		return OPTIONS
	case "REGISTER":
		return REGISTER
	case "PRACK":
		return PRACK
	case "UPDATE":
		return UPDATE
	case "SUBSCRIBE":
		return SUBSCRIBE
	case "NOTIFY":
		return NOTIFY
	case "REFER":
		return REFER
	case "MESSAGE":
		return MESSAGE
	case "INFO":
		return INFO
	case "PUBLISH":
		return PUBLISH
	case "KDMQ":
		return KDMQ
	}
	return MethodOther
}

// CreatesDialog tells whether a 2xx to the method may set up a dialog, so
// that its answers carry Record-Route (RFC 3261 §12.1.1, RFC 6665).
func (m Method) CreatesDialog() bool {
	return m == INVITE || m == SUBSCRIBE || m == REFER || m == NOTIFY
}
