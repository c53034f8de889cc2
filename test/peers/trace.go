package peers

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Message is one SIP message as SIPp sent or received it.
type Message struct {
	Sent      bool // false: received
	Transport Transport
	Text      string // as on the wire
}

// traceHead matches the line that SIPp's -trace_msg writes over each message.
var traceHead = regexp.MustCompile(`(?m)^(UDP|TCP) message (sent|received) [(\[](\d+)[)\]]? bytes\)? ?:\n\n`)

// ReadMessages reads a file written by SIPp's -trace_msg.
func ReadMessages(path string) ([]Message, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("SIPp messages: %w", err)
	}
	text := string(b)
	var out []Message
	for {
		at := traceHead.FindStringSubmatchIndex(text)
		if at == nil {
			return out, nil
		}
		size, err := strconv.Atoi(text[at[6]:at[7]])
		if err != nil {
			return nil, fmt.Errorf("SIPp messages: %s: %w", path, err)
		}
		end := min(at[1]+size, len(text))
		out = append(out, Message{
			Sent:      text[at[4]:at[5]] == "sent",
			Transport: Transport(strings.ToLower(text[at[2]:at[3]])),
			Text:      text[at[1]:end],
		})
		text = text[end:]
	}
}

// StartLine is the first line of the message.
func (m Message) StartLine() string {
	line, _, _ := strings.Cut(m.Text, "\r\n")
	return line
}

// Headers returns the values of the header lines called name (any case, long form as written), top first.
func (m Message) Headers(name string) []string {
	head, _, _ := strings.Cut(m.Text, "\r\n\r\n")
	var out []string
	for _, line := range strings.Split(head, "\r\n")[1:] {
		n, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(n), name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// Header is the first of Headers, or "".
func (m Message) Header(name string) string {
	if v := m.Headers(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Body is what follows the empty line.
func (m Message) Body() string {
	_, body, _ := strings.Cut(m.Text, "\r\n\r\n")
	return body
}
