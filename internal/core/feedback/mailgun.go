package feedback

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postroad/internal/core/provider"
	"postroad/internal/core/webhook"
)

// Names of the providers.
const (
	mailgunName = "mailgun"
	resendName  = "resend"
)

// mailgunCall is a webhook of Mailgun.
type mailgunCall struct {
	Signature webhook.Signature `json:"signature"`
	Data      json.RawMessage   `json:"event-data"`
}

// mailgunEvent is what is read of its event-data.
type mailgunEvent struct {
	ID        string          `json:"id"`
	Event     string          `json:"event"`
	Timestamp json.RawMessage `json:"timestamp"` // seconds with a fraction
	Severity  string          `json:"severity"`
	Reason    string          `json:"reason"`
	Recipient string          `json:"recipient"`
	Tags      []string        `json:"tags"`
	Envelope  struct {
		Sender string `json:"sender"`
	} `json:"envelope"`
	Message struct {
		Headers struct {
			MessageID string `json:"message-id"`
			From      string `json:"from"`
			Subject   string `json:"subject"`
		} `json:"headers"`
	} `json:"message"`
	Variables map[string]json.RawMessage `json:"user-variables"`
}

// kind is the event's type; "" for events that are not about a message on its way
// out. Mailgun: the reason of a hard bounce is bounce; what was suppressed is never
// tried, and what is too old was only delayed before.
func (m *mailgunEvent) kind() Type {
	switch m.Event {
	case "accepted":
		return Sent
	case "delivered", "opened", "clicked", "complained", "unsubscribed":
		return Type(m.Event)
	case "rejected":
		return Failed
	case "failed":
		switch {
		case m.Severity == "temporary":
			return Delayed
		case m.Reason == "bounce" || m.Reason == "delayed-bounce":
			return Bounced
		}
		return Failed
	}
	return ""
}

// domain is the domain of the message's id, which is that of the sender.
func (m *mailgunEvent) domain() string {
	id := m.Message.Headers.MessageID
	return bare(id)[strings.LastIndexByte(bare(id), '@')+1:]
}

// normalize makes an event of it, none if it is of no type of ours.
func (m *mailgunEvent) normalize(raw json.RawMessage, now time.Time) []*incoming {
	kind := m.kind()
	if kind == "" {
		return nil
	}
	h := &m.Message.Headers
	e := &incoming{provider: mailgunName, source: m.ID, Event: Event{Type: kind, Timestamp: mailgunMillis(m.Timestamp, now),
		MessageID: bare(h.MessageID), Recipient: m.Recipient, Sender: mailbox(h.From), Subject: h.Subject, Tags: m.Tags, Raw: raw}}
	if e.source == "" { // the same text is the same event
		sum := sha256.Sum256(raw)
		e.source = hex.EncodeToString(sum[:])
	}
	if e.Sender == "" {
		e.Sender = m.Envelope.Sender
	}
	for name, v := range m.Variables {
		if name == provider.MetadataVariable {
			continue
		}
		e.set(name, v)
	}
	if v, ok := m.Variables[provider.MetadataVariable]; ok {
		e.addMetadata(v)
	}
	return []*incoming{e}
}

// addMetadata takes the variable that holds metadata: an object, or the text of
// one. Anything else is a variable like others.
func (e *incoming) addMetadata(v json.RawMessage) {
	text, _ := scalar(v)
	if v[0] == '{' {
		text = string(v)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		e.set(provider.MetadataVariable, v)
		return
	}
	for name, v := range members {
		e.set(name, v)
	}
}

func mailgunMillis(raw json.RawMessage, now time.Time) int64 {
	text, _ := scalar(raw)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0 && f < float64(latest.Unix())) {
		return now.UnixMilli()
	}
	return millis(time.UnixMicro(int64(f*1e6)), now)
}
