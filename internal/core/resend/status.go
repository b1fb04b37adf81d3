package resend

import (
	"slices"
	"strings"
	"time"

	"postroad/internal/core/event"
)

// The states of an email, the weakest first: of several recipients, and of events in
// whatever order, the strongest says it.
func states() []string {
	return []string{"sent", "delivery_delayed", "delivered", "opened", "clicked", "bounced", "complained", "failed", "suppressed"}
}

// lastEvent is the state of an email whose events are given. Without any it is an old
// one: the first is written with the email, and they are not kept for ever.
func (r *row) lastEvent(list []*event.Event, now time.Time) string {
	if r.Canceled != 0 {
		return "canceled"
	}
	all := states()
	best := 0
	for _, e := range list {
		best = max(best, slices.Index(all, stateOf(&e.Doc)))
	}
	if best == 0 && !r.pastDue(now) {
		return "scheduled"
	}
	return all[best]
}

// stateOf is what an event says of an email, "" for nothing.
func stateOf(d *event.Doc) string {
	switch d.Event {
	case event.Accepted:
		return "sent"
	case event.Delivered:
		return "delivered"
	case event.Opened:
		return "opened"
	case event.Clicked:
		return "clicked"
	case event.Complained:
		return "complained"
	case event.Rejected:
		return "failed"
	case event.Failed:
		return failure(d)
	}
	return ""
}

// failure parts what Mailgun calls failed. Resend: bounced is the receiver's refusal
// for good, failed our own.
func failure(d *event.Doc) string {
	switch {
	case d.Severity == event.Temporary:
		return "delivery_delayed"
	case strings.HasPrefix(d.Reason, "suppress-"):
		return "suppressed"
	case d.Reason == "bounce", d.DeliveryStatus != nil && d.DeliveryStatus.Code >= 500 && d.DeliveryStatus.Code < 600:
		return "bounced"
	}
	return "failed"
}
