package sip

// HeaderID names a header field that is known. Others are HdrOther and are
// found by name.
type HeaderID uint8

// The header fields known by name.
const (
	HdrOther HeaderID = iota
	HdrVia
	HdrFrom
	HdrTo
	HdrCallID
	HdrCSeq
	HdrContact
	HdrRoute
	HdrRecordRoute
	HdrMaxForwards
	HdrContentLength
	HdrContentType
	HdrExpires
	HdrRequire
	HdrSupported
	HdrProxyRequire
	HdrPath
	HdrPAI
	HdrPPI
	HdrPCalledPartyID
	HdrPChargingVector
	HdrPAssociatedURI
	HdrDiversion
	HdrHistoryInfo
	HdrReferTo
	HdrReferredBy
	HdrReplaces
	HdrJoin
	HdrEvent
	HdrAllowEvents
	HdrSubscriptionState
	HdrAuthorization
	HdrProxyAuthorization
	HdrWWWAuthenticate
	HdrProxyAuthenticate
	HdrAuthenticationInfo
	HdrUserAgent
	HdrServer
	HdrAllow
	HdrAccept
	HdrAcceptEncoding
	HdrAcceptLanguage
	HdrAcceptContact
	HdrRejectContact
	HdrRequestDisposition
	HdrMaxBreadth
	HdrRPID
	HdrPrivacy
	HdrRetryAfter
	HdrReason
	HdrMinExpires
	HdrMinSE
	HdrSessionExpires
	HdrUnsupported
	HdrWarning
	HdrDate
	HdrSubject
	HdrRSeq
	HdrRAck
	HdrContentEncoding
	HdrContentDisposition
	HdrContentLanguage
	HdrMIMEVersion
	HdrOrganization
	HdrPriority
	HdrTimestamp
	HdrAlertInfo
	HdrCallInfo
	HdrErrorInfo
	HdrInReplyTo
	HdrReplyTo
	HdrServiceRoute
	HdrSIPETag
	HdrSIPIfMatch
	HdrIdentity
	HdrIdentityInfo
	HdrTargetDialog
	HdrGeolocation
	HdrFlowTimer
	HdrAnswerMode
	HdrSessionID
	HdrUsertoUser
	HdrFeatureCaps
	numHeaderIDs
)

var headerNames = [numHeaderIDs]string{
	HdrVia:                "Via",
	HdrFrom:               "From",
	HdrTo:                 "To",
	HdrCallID:             "Call-ID",
	HdrCSeq:               "CSeq",
	HdrContact:            "Contact",
	HdrRoute:              "Route",
	HdrRecordRoute:        "Record-Route",
	HdrMaxForwards:        "Max-Forwards",
	HdrContentLength:      "Content-Length",
	HdrContentType:        "Content-Type",
	HdrExpires:            "Expires",
	HdrRequire:            "Require",
	HdrSupported:          "Supported",
	HdrProxyRequire:       "Proxy-Require",
	HdrPath:               "Path",
	HdrPAI:                "P-Asserted-Identity",
	HdrPPI:                "P-Preferred-Identity",
	HdrPCalledPartyID:     "P-Called-Party-ID",
	HdrPChargingVector:    "P-Charging-Vector",
	HdrPAssociatedURI:     "P-Associated-URI",
	HdrDiversion:          "Diversion",
	HdrHistoryInfo:        "History-Info",
	HdrReferTo:            "Refer-To",
	HdrReferredBy:         "Referred-By",
	HdrReplaces:           "Replaces",
	HdrJoin:               "Join",
	HdrEvent:              "Event",
	HdrAllowEvents:        "Allow-Events",
	HdrSubscriptionState:  "Subscription-State",
	HdrAuthorization:      "Authorization",
	HdrProxyAuthorization: "Proxy-Authorization",
	HdrWWWAuthenticate:    "WWW-Authenticate",
	HdrProxyAuthenticate:  "Proxy-Authenticate",
	HdrAuthenticationInfo: "Authentication-Info",
	HdrUserAgent:          "User-Agent",
	HdrServer:             "Server",
	HdrAllow:              "Allow",
	HdrAccept:             "Accept",
	HdrAcceptEncoding:     "Accept-Encoding",
	HdrAcceptLanguage:     "Accept-Language",
	HdrAcceptContact:      "Accept-Contact",
	HdrRejectContact:      "Reject-Contact",
	HdrRequestDisposition: "Request-Disposition",
	HdrMaxBreadth:         "Max-Breadth",
	HdrRPID:               "Remote-Party-ID",
	HdrPrivacy:            "Privacy",
	HdrRetryAfter:         "Retry-After",
	HdrReason:             "Reason",
	HdrMinExpires:         "Min-Expires",
	HdrMinSE:              "Min-SE",
	HdrSessionExpires:     "Session-Expires",
	HdrUnsupported:        "Unsupported",
	HdrWarning:            "Warning",
	HdrDate:               "Date",
	HdrSubject:            "Subject",
	HdrRSeq:               "RSeq",
	HdrRAck:               "RAck",
	HdrContentEncoding:    "Content-Encoding",
	HdrContentDisposition: "Content-Disposition",
	HdrContentLanguage:    "Content-Language",
	HdrMIMEVersion:        "MIME-Version",
	HdrOrganization:       "Organization",
	HdrPriority:           "Priority",
	HdrTimestamp:          "Timestamp",
	HdrAlertInfo:          "Alert-Info",
	HdrCallInfo:           "Call-Info",
	HdrErrorInfo:          "Error-Info",
	HdrInReplyTo:          "In-Reply-To",
	HdrReplyTo:            "Reply-To",
	HdrServiceRoute:       "Service-Route",
	HdrSIPETag:            "SIP-ETag",
	HdrSIPIfMatch:         "SIP-If-Match",
	HdrIdentity:           "Identity",
	HdrIdentityInfo:       "Identity-Info",
	HdrTargetDialog:       "Target-Dialog",
	HdrGeolocation:        "Geolocation",
	HdrFlowTimer:          "Flow-Timer",
	HdrAnswerMode:         "Answer-Mode",
	HdrSessionID:          "Session-ID",
	HdrUsertoUser:         "User-to-User",
	HdrFeatureCaps:        "Feature-Caps",
}

// compactForm returns the header that a one-letter name stands for
// (RFC 3261 §7.3.3 and the IANA registry), HdrOther when none.
func compactForm(c byte) HeaderID {
	switch lower(c) {
	case 'a':
		return HdrAcceptContact
	case 'b':
		return HdrReferredBy
	case 'c':
		return HdrContentType
	case 'd':
		return HdrRequestDisposition
	case 'e':
		return HdrContentEncoding
	case 'f':
		return HdrFrom
	case 'i':
		return HdrCallID
	case 'j':
		return HdrRejectContact
	case 'k':
		return HdrSupported
	case 'l':
		return HdrContentLength
	case 'm':
		return HdrContact
	case 'n':
		return HdrIdentityInfo
	case 'o':
		return HdrEvent
	case 'r':
		return HdrReferTo
	case 's':
		return HdrSubject
	case 't':
		return HdrTo
	case 'u':
		return HdrAllowEvents
	case 'v':
		return HdrVia
	case 'x':
		return HdrSessionExpires
	case 'y':
		return HdrIdentity
	}
	return HdrOther
}

// Name returns the canonical long name, "" for HdrOther.
func (id HeaderID) Name() string {
	if id < numHeaderIDs {
		return headerNames[id]
	}
	return ""
}

// headerSlots is an open-addressed hash table over headerNames: slot values
// are HeaderIDs, 0 is free.
var headerSlots = makeHeaderSlots()

const headerSlotMask = 511

func makeHeaderSlots() (t [headerSlotMask + 1]HeaderID) {
	for id := HdrOther + 1; id < numHeaderIDs; id++ {
		h := headerHash([]byte(headerNames[id]))
		for t[h] != HdrOther {
			h = (h + 1) & headerSlotMask
		}
		t[h] = id
	}
	return t
}

// headerHash mixes length, first, middle and last letter; b is not empty.
// Setting bit 0x20 folds letters and only spreads the rest differently.
func headerHash(b []byte) uint32 {
	n := uint32(len(b))
	h := n*131 + uint32(b[0]|0x20)*31 + uint32(b[n/2]|0x20)*17 + uint32(b[n-1]|0x20)*7
	return (h ^ h>>6) & headerSlotMask
}

// Mandatory tells whether every message must have the header: requests by
// RFC 3261 §8.1.1, responses by §8.2.6.2. Max-Forwards, which a proxy adds where
// it is absent, is not counted.
func (id HeaderID) Mandatory() bool {
	switch id {
	case HdrVia, HdrFrom, HdrTo, HdrCallID, HdrCSeq:
		return true
	}
	return false
}

// LookupHeader finds a header field by its long or compact name in any case.
// It does not allocate.
func LookupHeader(name []byte) HeaderID {
	switch len(name) {
	case 0:
		return HdrOther
	case 1:
		return compactForm(name[0])
	}
	for h := headerHash(name); ; h = (h + 1) & headerSlotMask {
		id := headerSlots[h]
		if id == HdrOther || string(name) == headerNames[id] || EqualFold(name, headerNames[id]) {
			return id
		}
	}
}

// SameHeader tells whether two header names mean the same field: equal
// without case, or long and compact form of one (RFC 3261 §7.3.3).
func SameHeader(a, b []byte) bool {
	if EqualFold(a, b) {
		return true
	}
	if len(a) != 1 && len(b) != 1 {
		return false
	}
	id := LookupHeader(a)
	return id != HdrOther && id == LookupHeader(b)
}
