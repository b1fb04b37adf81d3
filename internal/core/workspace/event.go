package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/event"
	"postroad/internal/core/replay"
	"postroad/internal/core/webhook"
)

// mark is how the user variables of our mail are told from others' at a glance.
var mark = []byte(`"` + Variable + `"`)

// Event implements event.Sink: mail that this program sent for a workspace follows
// its events in their transactions.
func (s *Service) Event(tx *db.Tx, e *event.Event) error {
	if !bytes.Contains(e.Doc.UserVariables, mark) || s.Owner == nil || e.AccountID != s.Owner() {
		return nil
	}
	uuid := variable(e.Doc.UserVariables)
	if uuid == "" {
		return nil
	}
	d := &e.Doc
	f := fact{event: string(d.Event), severity: d.Severity, reason: d.Reason, delayed: d.Flags != nil && d.Flags.IsDelayedBounce}
	if d.DeliveryStatus != nil {
		f.code = d.DeliveryStatus.Code
	}
	c := change{at: int64(d.Timestamp)}
	if d.Message != nil {
		c.messageID = bracketed(d.Message.Headers.MessageID)
	}
	return s.follow(tx, &f, &c, uuid)
}

// follow applies a fact about the message with the UUID or, without one, with the
// Message-ID of c.
func (s *Service) follow(tx *db.Tx, f *fact, c *change, uuid string) error {
	to, exactly, ok := f.status()
	if !ok {
		return nil
	}
	if c.to = to; !exactly {
		c.at = 0
	}
	return s.change(tx, c, func(tx *db.Tx) (*email, error) {
		if uuid != "" {
			return selectByUUID(tx, uuid)
		}
		return selectByMessageID(tx, 0, outbound, c.messageID)
	})
}

// variable returns our variable.
func variable(variables json.RawMessage) string {
	var all map[string]json.RawMessage
	var uuid string
	if json.Unmarshal(variables, &all) != nil || json.Unmarshal(all[Variable], &uuid) != nil || len(uuid) > maxID {
		return ""
	}
	return uuid
}

// eventData is what is read of an event in a webhook call of Mailgun.
type eventData struct {
	Event     string          `json:"event"`
	Severity  string          `json:"severity"`
	Reason    string          `json:"reason"`
	Timestamp json.Number     `json:"timestamp"`
	Variables json.RawMessage `json:"user-variables"`
	Flags     struct {
		Delayed bool `json:"is-delayed-bounce"`
	} `json:"flags"`
	Status struct {
		Code json.Number `json:"code"`
	} `json:"delivery-status"`
	Message struct {
		Headers struct {
			MessageID string `json:"message-id"`
		} `json:"headers"`
	} `json:"message"`
}

// remoteEvent follows an event of a webhook call, which is taken once.
func (s *Service) remoteEvent(ctx context.Context, sig webhook.Signature, text []byte) error {
	var d eventData
	if err := json.Unmarshal(text, &d); err != nil || d.Event == "" {
		return faults{"event-data": "must be an event"}.err()
	}
	f := fact{event: d.Event, severity: d.Severity, reason: d.Reason, delayed: d.Flags.Delayed}
	if n, err := d.Status.Code.Int64(); err == nil {
		f.code = int(n)
	}
	c := change{at: micros(d.Timestamp, s.clock.Now()), messageID: bracketed(d.Message.Headers.MessageID)}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		if err := s.takeOnce(tx, sig); err != nil {
			return err
		}
		return s.follow(tx, &f, &c, variable(d.Variables))
	})
}

// micros reads the seconds of an event; what is no time of the past is now.
func micros(n json.Number, now time.Time) int64 {
	at, err := n.Float64()
	if us := at * 1e6; err == nil && us >= 1 && us <= float64(now.UnixMicro()) {
		return int64(math.Round(us))
	}
	return now.UnixMicro()
}

// verify checks the signature of a webhook call or of a route's post.
func (s *Service) verify(ctx context.Context, sig webhook.Signature) error {
	key, err := s.SigningKey(ctx)
	if err != nil {
		return err
	}
	if key == "" {
		return notConfigured("no key for the signatures of webhooks is configured")
	}
	if !sig.Verify(key, s.clock.Now()) {
		return fail(errs.Unauthorized, codeSignature, "the signature is not valid", nil)
	}
	return nil
}

// takeOnce refuses a signature that was taken before.
func (s *Service) takeOnce(tx *db.Tx, sig webhook.Signature) error {
	first, err := replay.Take(tx, "workspace", sig.Token, time.UnixMicro(tx.Now).Add(2*webhook.Tolerance))
	if err == nil && !first {
		return fail(errs.Unauthorized, codeReplayed, "the signature was used before", nil)
	}
	return err
}
