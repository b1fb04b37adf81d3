package feedback

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// resendEvent is what is read of a webhook of Resend.
type resendEvent struct {
	Type      string `json:"type"`
	CreatedAt string `json:"created_at"`
	Data      struct {
		EmailID string          `json:"email_id"`
		From    string          `json:"from"`
		To      json.RawMessage `json:"to"` // addresses that it is about, or one
		Subject string          `json:"subject"`
		Tags    json.RawMessage `json:"tags"` // an object, or a list of names and values
		Bounce  struct {
			Type string `json:"type"`
		} `json:"bounce"`
	} `json:"data"`
}

// kind is the event's type; "" for events that are not about a message on its way
// out. Resend: what is scheduled was not sent yet; what is suppressed never will be.
// A bounce is for good unless it says that it is transient.
func (r *resendEvent) kind() Type {
	name, ok := strings.CutPrefix(r.Type, "email.")
	if !ok {
		return ""
	}
	switch name {
	case "sent", "delivered", "opened", "clicked", "failed", "complained":
		return Type(name)
	case "delivery_delayed":
		return Delayed
	case "bounced":
		if strings.EqualFold(r.Data.Bounce.Type, "transient") {
			return Delayed
		}
		return Bounced
	case "suppressed":
		return Failed
	}
	return ""
}

// maxTo is how many recipients of a message are told apart. Resend: it has no more.
const maxTo = 50

// normalize makes an event for each recipient it is about, none if it is of no type
// of ours. id is that of the webhook.
func (r *resendEvent) normalize(id string, raw json.RawMessage, now time.Time) []*incoming {
	kind := r.kind()
	if kind == "" {
		return nil
	}
	to := r.recipients()
	out := make([]*incoming, 0, len(to))
	for _, one := range to {
		e := &incoming{provider: resendName, source: id + "\x00" + one, Event: Event{Type: kind, Timestamp: resendMillis(r.CreatedAt, now),
			MessageID: r.Data.EmailID, Recipient: one, Sender: mailbox(r.Data.From), Subject: r.Data.Subject, Raw: raw}}
		e.addTags(r.Data.Tags)
		out = append(out, e)
	}
	return out
}

// recipients returns the addresses the event is about; one that is empty if it
// names none.
func (r *resendEvent) recipients() (out []string) {
	var list []string
	var one string
	if json.Unmarshal(r.Data.To, &list) != nil && json.Unmarshal(r.Data.To, &one) == nil {
		list = []string{one}
	}
	for _, s := range list {
		if s = mailbox(s); !slices.Contains(out, s) && len(out) < maxTo {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

// addTags takes Resend's tags, which have a name and a value: the names are tags,
// and values tell more of the message. A tag that is only a name was sent with the
// value 1.
func (e *incoming) addTags(raw json.RawMessage) {
	var list []struct {
		Name  string          `json:"name"`
		Value json.RawMessage `json:"value"`
	}
	var byName map[string]json.RawMessage
	if json.Unmarshal(raw, &byName) == nil {
		for name, v := range byName {
			list = append(list, struct {
				Name  string          `json:"name"`
				Value json.RawMessage `json:"value"`
			}{name, v})
		}
	} else if json.Unmarshal(raw, &list) != nil {
		return
	}
	for _, t := range list {
		if t.Name == "" {
			continue
		}
		e.Tags = append(e.Tags, t.Name)
		if v, ok := scalar(t.Value); ok && v != "" && v != "1" {
			e.set(t.Name, t.Value)
		}
	}
	slices.Sort(e.Tags)
	e.Tags = slices.Compact(e.Tags)
}

// resendMillis reads a time. Resend: ISO 8601 at the top, PostgreSQL's form within.
func resendMillis(s string, now time.Time) int64 {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07"} {
		if t, err := time.Parse(layout, s); err == nil {
			return millis(t, now)
		}
	}
	return now.UnixMilli()
}
