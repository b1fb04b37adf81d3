package message

import (
	"context"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/queue"
	"postroad/internal/core/timing"
)

// Status is where one recipient's copy stands, from evidence: events and the
// queue.
type Status string

// The states of a recipient.
const (
	StatusAccepted   Status = "accepted"   // queued, not tried yet
	StatusScheduled  Status = "scheduled"  // waits for the time asked for
	StatusDeferred   Status = "deferred"   // tried, another attempt follows
	StatusDelivered  Status = "delivered"  // the receiving server answered 250
	StatusCaptured   Status = "captured"   // kept here, nothing left
	StatusComplained Status = "complained" // delivered, then marked as spam
	StatusSuppressed Status = "suppressed" // not tried: on a suppression list
	StatusRejected   Status = "rejected"   // refused before delivery
	StatusFailed     Status = "failed"     // refused for good
	StatusExpired    Status = "expired"    // given up after the retries
	StatusCancelled  Status = "cancelled"  // taken out of the queue
	StatusStored     Status = "stored"     // mail from outside, kept to be fetched
)

// CaptureHost is the receiving host that events of dev mode name.
const CaptureHost = "captured.localhost"

// RecipientView is one recipient of a message with what happened to it.
type RecipientView struct {
	Address  string
	Status   Status
	NextTry  time.Time      // of a deferred or scheduled one
	Timing   *timing.Choice // of a copy whose time was chosen, nil else
	Attempts []*event.Event // delivered and failed, oldest first
	Last     *event.Event   // the attempt that decided, nil before
}

// View is a message with everything known about it.
type View struct {
	*Message
	Recipients []RecipientView
	Events     []*event.Event // oldest first
}

// shown is how many events of the message are looked at. A post to a mailing list
// has any number of them.
func (m *Message) shown() int {
	if m.Meta.List != nil {
		return 500
	}
	return 10 * MaxDeliveries
}

// View gathers a message's events and what is left of it in the queue.
func (s *Service) View(ctx context.Context, m *Message) (*View, error) {
	v := &View{Message: m}
	// The queue first: a delivery that finishes in between is then seen as both,
	// never as neither.
	var waiting []*queue.Delivery
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		if m.Meta.List == nil { // its recipient is the list, which is never queued
			waiting, err = queue.OfMessage(tx, m.ID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if v.Events, err = s.Events.OfMessage(ctx, m.ID, m.shown()); err != nil {
		return nil, err
	}
	v.gather(waiting, s.clock.Now())
	return v, nil
}

// Views is View for a list, without the conversations, in a fixed number of
// queries.
func (s *Service) Views(ctx context.Context, list []*Message) ([]*View, error) {
	ids := make([]int64, 0, len(list))
	for _, m := range list {
		if m.Meta.List == nil { // its members' events may be very many
			ids = append(ids, m.ID)
		}
	}
	var waiting map[int64][]*queue.Delivery
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		waiting, err = queue.OfMessages(tx, ids)
		return err
	}); err != nil {
		return nil, err
	}
	events, err := s.Events.OfMessages(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*View, len(list))
	for i, m := range list {
		out[i] = &View{Message: m, Events: events[m.ID]}
		out[i].gather(waiting[m.ID], s.clock.Now())
	}
	return out, nil
}

func (v *View) gather(waiting []*queue.Delivery, now time.Time) {
	index := map[string]int{}
	add := func(address string, s Status) {
		if _, ok := index[address]; !ok {
			index[address] = len(v.Recipients)
			v.Recipients = append(v.Recipients, RecipientView{Address: address, Status: s})
		}
	}
	if v.routed() {
		v.places(waiting, add)
	}
	if len(v.Recipients) == 0 {
		for _, a := range v.Meta.Recipients {
			add(a, StatusAccepted)
		}
	}
	for _, e := range v.Events {
		if i, ok := index[e.Doc.Recipient]; ok {
			v.Recipients[i].apply(e)
		}
	}
	queued := map[string]bool{}
	for _, d := range waiting {
		i, ok := index[d.Recipient]
		if !ok {
			continue
		}
		queued[d.Recipient] = true
		r := &v.Recipients[i]
		if due := clock.FromMicro(d.Due); due.After(now) {
			r.NextTry = due
			if r.Status == StatusAccepted {
				r.Status = StatusScheduled
			}
		}
	}
	for i := range v.Recipients {
		// Without events nothing is known: they are kept for less long than some
		// messages.
		if r := &v.Recipients[i]; (r.Status == StatusAccepted || r.Status == StatusDeferred) && v.Meta.List == nil && !v.Meta.Foreign && !queued[r.Address] && len(v.Events) > 0 && now.Sub(v.CreatedAt) > time.Minute {
			r.Status = StatusCancelled
		}
	}
}

// routed reports whether routes decide where the message goes.
func (v *View) routed() bool { return v.Meta.Foreign && v.Meta.List == nil }

// places adds where routes sent a message from outside: whom it came for if it is
// kept for them, and addresses and URLs it goes on to.
func (v *View) places(waiting []*queue.Delivery, add func(string, Status)) {
	for _, e := range v.Events {
		switch e.Doc.Event {
		case event.Stored:
			for _, a := range v.Meta.Recipients {
				add(a, StatusStored)
			}
		case event.Accepted:
			add(e.Doc.Recipient, StatusAccepted)
		}
	}
	for _, d := range waiting {
		if !ArchiveCopy(d.Vars) {
			add(d.Recipient, StatusAccepted)
		}
	}
}

// apply moves the recipient on by an event.
func (r *RecipientView) apply(e *event.Event) {
	d := &e.Doc
	switch d.Event {
	case event.Accepted:
		r.Timing = explained(e)
		return
	case event.Delivered:
		r.Status = StatusDelivered
		if d.DeliveryStatus != nil && (d.DeliveryStatus.MXHost == CaptureHost || d.DeliveryStatus.Code == 650) {
			r.Status = StatusCaptured
		}
	case event.Failed:
		r.Status = failedStatus(d)
	case event.Rejected:
		r.Status = StatusRejected
	case event.Complained:
		r.Status = StatusComplained
		return
	default:
		return
	}
	r.Attempts = append(r.Attempts, e)
	r.Last = e
}

func failedStatus(d *event.Doc) Status {
	switch {
	case d.Severity == event.Temporary:
		return StatusDeferred
	case strings.HasPrefix(d.Reason, "suppress-"):
		return StatusSuppressed
	case d.Reason == "old":
		return StatusExpired
	}
	return StatusFailed
}
