package resend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/secret"
	"postroad/internal/base/svix"
	"postroad/internal/core/event"
	"postroad/internal/core/webhook"
)

// Hooks knows the webhooks and makes their calls: an event.Sink.
type Hooks struct {
	db       *db.DB
	calls    *webhook.Service
	box      *secret.Box
	registry atomic.Pointer[map[string][]target] // by account, immutable
	loading  sync.Mutex
}

// target is a webhook that is enabled.
type target struct {
	endpoint string
	events   []string
	secret   svix.Secret
}

// sealContext ties sealed secrets to what they are for.
const sealContext = "resend_webhook.secret"

// NewHooks returns the webhooks as they are in the store, which must be migrated.
// master is the installation's secret.
func NewHooks(ctx context.Context, d *db.DB, calls *webhook.Service, master []byte) (*Hooks, error) {
	box, err := secret.New(master)
	if err != nil {
		return nil, err
	}
	h := &Hooks{db: d, calls: calls, box: box}
	if err := h.reload(ctx); err != nil {
		return nil, fmt.Errorf("webhooks of emails: %w", err)
	}
	return h, nil
}

// reload reads the webhooks again, after a change.
func (h *Hooks) reload(ctx context.Context) error {
	h.loading.Lock()
	defer h.loading.Unlock()
	next := map[string][]target{}
	err := h.db.Read(ctx, func(tx *db.Tx) error {
		clear(next)
		return eachEnabled(tx, func(w *hook) error {
			key, err := h.open(w.Secret)
			if err == nil {
				next[w.AccountID] = append(next[w.AccountID], target{w.Endpoint, w.Events, key})
			}
			return err
		})
	})
	if err == nil {
		h.registry.Store(&next)
	}
	return err
}

// Event stages the calls that follow from an event of an email sent by this API.
func (h *Hooks) Event(tx *db.Tx, e *event.Event) error {
	if e.Email == nil {
		return nil
	}
	list := (*h.registry.Load())[e.AccountID]
	if len(list) == 0 {
		return nil
	}
	for _, name := range names(e) {
		payload := ""
		for _, t := range list {
			if !slices.Contains(t.events, name) {
				continue
			}
			if payload == "" {
				b, err := json.Marshal(payloadOf(name, e))
				if err != nil {
					return fmt.Errorf("webhook of an email: %w", err)
				}
				payload = string(b)
			}
			if err := h.calls.Stage(tx, &webhook.Outgoing{AccountID: e.AccountID, DomainID: e.DomainID, EventID: e.ID, MessageID: e.MessageID,
				Type: name, URL: t.endpoint, Payload: payload, Secret: t.secret}); err != nil {
				return err
			}
		}
	}
	return nil
}

// eventNames are the events a webhook may be for.
func eventNames() []string {
	return []string{"email.sent", "email.scheduled", "email.delivered", "email.delivery_delayed", "email.complained", "email.bounced",
		"email.opened", "email.clicked", "email.failed", "email.suppressed"}
}

// names are the events of Resend's that an event is. A scheduled email is sent when
// it is first tried.
func names(e *event.Event) []string {
	state := stateOf(&e.Doc)
	switch {
	case state == "":
		return nil
	case !e.Email.Scheduled:
		return []string{"email." + state}
	case state == "sent":
		return []string{"email.scheduled"}
	}
	if s := e.Doc.DeliveryStatus; s != nil && s.AttemptNo == 1 && s.BounceType == "" && (e.Doc.Event == event.Delivered || e.Doc.Event == event.Failed) {
		return []string{"email.sent", "email." + state}
	}
	return []string{"email." + state}
}

// payload is the body of a call.
type payload struct {
	Type      string `json:"type"`
	CreatedAt string `json:"created_at"`
	Data      data   `json:"data"`
}

type data struct {
	CreatedAt  string          `json:"created_at"` // of the email
	EmailID    string          `json:"email_id"`
	MessageID  string          `json:"message_id"`
	From       string          `json:"from"`
	To         []string        `json:"to"` // whom the event is about
	Subject    string          `json:"subject"`
	Tags       json.RawMessage `json:"tags,omitempty"`
	Bounce     *bounce         `json:"bounce,omitempty"`
	Click      *click          `json:"click,omitempty"`
	Failed     *failed         `json:"failed,omitempty"`
	Suppressed *suppressed     `json:"suppressed,omitempty"`
}

type bounce struct {
	Message string `json:"message"`
	SubType string `json:"subType"`
	Type    string `json:"type"`
}

type click struct {
	IPAddress string `json:"ipAddress"`
	Link      string `json:"link"`
	Timestamp string `json:"timestamp"`
	UserAgent string `json:"userAgent"`
}

type failed struct {
	Reason string `json:"reason"`
}

type suppressed struct {
	Message string `json:"message"`
	Type    string `json:"type"`
}

func payloadOf(name string, e *event.Event) *payload {
	d := &e.Doc
	p := &payload{Type: name, CreatedAt: stamp(int64(d.Timestamp)), Data: data{CreatedAt: stamp(ids.Time(e.MessageID).UnixMicro()),
		EmailID: e.Email.ID, To: []string{d.Recipient}}}
	if m := d.Message; m != nil {
		p.Data.MessageID, p.Data.From, p.Data.Subject = "<"+m.Headers.MessageID+">", m.Headers.From, m.Headers.Subject
	}
	if v := d.UserVariables; len(v) > 2 && v[0] == '{' {
		p.Data.Tags = v
	}
	said := d.Reason
	if s := d.DeliveryStatus; s != nil && s.Message != "" {
		said = s.Message
	} else if d.Reject != nil {
		said = d.Reject.Description
	}
	switch name {
	case "email.bounced":
		p.Data.Bounce = &bounce{Message: said, Type: "Permanent", SubType: "General"}
	case "email.clicked":
		p.Data.Click = &click{IPAddress: d.IP, Link: d.URL, Timestamp: p.CreatedAt}
		if d.ClientInfo != nil {
			p.Data.Click.UserAgent = d.ClientInfo.UserAgent
		}
	case "email.failed":
		p.Data.Failed = &failed{said}
	case "email.suppressed":
		p.Data.Suppressed = &suppressed{Message: said, Type: "OnAccountSuppressionList"}
	}
	return p
}
