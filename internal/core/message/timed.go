package message

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"postroad/internal/core/event"
	"postroad/internal/core/timing"
)

// times returns when each recipient gets the message, by address; nil when the
// sender asked for no special time. Mail whose times cannot be found out leaves as
// if nothing had been asked for.
func (s *Service) times(ctx context.Context, m *Message, sub *Submission, now time.Time) map[string]timing.Choice {
	o := &m.Meta.Options
	if o.OptimizePeriod == "" && o.TimeZoneLocalize == "" || s.Timing == nil {
		return nil
	}
	w := &timing.Wish{AccountID: m.AccountID, Message: m.ID, Now: now, From: now, Limit: m.CreatedAt.Add(ahead(sub.Domain)), Local: o.TimeZoneLocalize}
	if o.DeliveryTime > now.UnixMicro() {
		w.From = time.UnixMicro(o.DeliveryTime).UTC()
	}
	var err error
	if o.OptimizePeriod != "" {
		w.Period, err = time.ParseDuration(o.OptimizePeriod)
	}
	var out map[string]timing.Choice
	if err == nil {
		list := make([]string, len(sub.Recipients))
		for i := range sub.Recipients {
			list[i] = sub.Recipients[i].Address
		}
		out, err = s.Timing.Choose(ctx, w, list)
	}
	if err != nil {
		s.Logger.Error("times of delivery could not be chosen", "message", m.ID, "error", err)
		out = map[string]timing.Choice{}
		for i := range sub.Recipients {
			out[sub.Recipients[i].Address] = w.Fallback("what is known of this address could not be read")
		}
	}
	return out
}

// explain keeps with an accepted event when the recipient gets the message and
// why. Where the event goes the explanation goes, of a list's members too.
func explain(e *event.Event, when map[string]timing.Choice) error {
	c, ok := when[e.Doc.Recipient]
	if !ok {
		return nil
	}
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("time of delivery: %w", err)
	}
	e.Detail = string(b)
	return nil
}

// explained is the inverse of explain; nil where no time was chosen.
func explained(e *event.Event) *timing.Choice {
	if e.Detail == "" {
		return nil
	}
	c := &timing.Choice{}
	if err := json.Unmarshal([]byte(e.Detail), c); err != nil {
		return nil
	}
	return c
}
