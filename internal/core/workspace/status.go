package workspace

import (
	"strings"

	"postroad/internal/core/event"
)

// status is where a message is. Their order is the rank by which a status only
// rises: an open proves that the message is there, whatever a bounce says that
// came from behind the mailbox, and a delivery proves that it was sent.
type status uint8

const (
	pending status = iota
	sent
	failed
	delivered
	bounced
	opened
	clicked
	statuses
)

var statusNames = [statuses]string{"pending", "sent", "failed", "delivered", "bounced", "opened", "clicked"}

func (s status) String() string { return statusNames[s] }

func parseStatus(name string) (status, bool) {
	for i, n := range statusNames {
		if n == name {
			return status(i), true
		}
	}
	return 0, false
}

type direction uint8

const (
	outbound direction = iota
	inbound
)

var directionNames = [...]string{"outbound", "inbound"}

func (d direction) String() string { return directionNames[d] }

func parseDirection(name string) (direction, bool) {
	for i, n := range directionNames {
		if n == name {
			return direction(i), true
		}
	}
	return 0, false
}

// change is what an event says of a message.
type change struct {
	to status
	// at is when the message came to that status, in microseconds; 0 when the event
	// only proves that it did before.
	at        int64
	messageID string // with brackets, "" if the event does not say
}

// apply makes the change and reports whether anything is different.
func (c *change) apply(m *email) bool {
	before := *m
	if t := m.times[c.to]; c.at != 0 && (t == 0 || c.at < t) {
		m.times[c.to] = c.at
	}
	m.status = max(m.status, c.to)
	if m.messageID == "" {
		m.messageID = c.messageID
	}
	return before.status != m.status || before.times != m.times || before.messageID != m.messageID
}

// fact is what matters of an event: one of ours, or of a Mailgun account's, whose
// webhooks have had several names for some.
type fact struct {
	event, severity, reason string
	code                    int // of the delivery status
	delayed                 bool
}

// status returns what f raises a message to, and whether f is when that happened.
// ok is false for events that say nothing.
func (f *fact) status() (to status, exactly, ok bool) {
	switch f.event {
	case "accepted":
		return sent, true, true
	case "temporary_fail":
		return sent, false, true
	case string(event.Delivered):
		return delivered, true, true
	case string(event.Opened):
		return opened, true, true
	case string(event.Clicked):
		return clicked, true, true
	case string(event.Complained), string(event.Unsubscribed):
		return delivered, false, true
	case "bounced", "bounce":
		return bounced, true, true
	case "dropped", string(event.Rejected):
		return failed, true, true
	case string(event.Failed):
		if f.severity == event.Temporary {
			return sent, false, true
		}
		return f.failure(), true, true
	case "permanent_fail":
		return f.failure(), true, true
	}
	return 0, false, false
}

// failure tells what the recipient's server refused from what was given up or not
// tried. Mailgun: suppressed addresses have the reasons suppress-*, and expired
// messages old.
func (f *fact) failure() status {
	refused := f.code >= 500 && f.code <= 599 && f.reason != "old" && !strings.HasPrefix(f.reason, "suppress-")
	if f.delayed || f.reason == "bounce" || refused {
		return bounced
	}
	return failed
}
