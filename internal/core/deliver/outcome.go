package deliver

import (
	"context"
	"encoding/json"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

type verdict uint8

const (
	undecided verdict = iota
	delivered
	deferred
	failed
	rejected
)

// outcome is what one attempt came to for one delivery.
type outcome struct {
	d        *queue.Delivery
	began    time.Time
	verdict  verdict
	reason   string
	status   event.DeliveryStatus
	ip       string // local address the attempt came from
	detail   string // the conversation
	after    []event.Type
	captured bool

	next time.Duration // wait before the next attempt, for deferred
}

// last is what a delivery remembers of its last attempt.
type last struct {
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"`
	Message  string `json:"message"`
	MX       string `json:"mx,omitempty"`
	At       int64  `json:"at"`
}

func (o *outcome) deliver(code int, enhanced, text string) {
	o.set(delivered, code, enhanced, text)
}

func (o *outcome) tempfail(code int, enhanced, text string) {
	o.set(deferred, code, enhanced, text)
	o.reason = "generic"
}

func (o *outcome) permfail(code int, enhanced, text, reason string) {
	o.set(failed, code, enhanced, text)
	o.reason = reason
	if reason == "bounce" {
		o.status.BounceType = "hard"
	}
}

// expire ends a delivery that was tried long enough. Mailgun: reason old.
func (o *outcome) expire() {
	l := o.lastAttempt()
	o.set(failed, 602, l.Enhanced, "Too old")
	o.reason = "old"
	o.status.LastCode, o.status.LastMessage = l.Code, l.Message
	if l.Message != "" {
		o.status.Description = "delivery was tried for too long; the last answer was: " + l.Message
	}
	o.status.MXHost = l.MX
}

func (o *outcome) lastAttempt() (l last) {
	if o.d.Last != "" && json.Unmarshal([]byte(o.d.Last), &l) != nil {
		return last{}
	}
	return l
}

func (o *outcome) set(v verdict, code int, enhanced, text string) {
	o.verdict = v
	o.status.Code, o.status.EnhancedCode, o.status.Message = code, enhanced, text
}

// classify turns the reply that decided about the recipient into an outcome.
// rcpt says whether the reply was to the recipient itself: only then a
// permanent refusal says something about the address.
func (o *outcome) classify(code int, enhanced, text string, rcpt bool) {
	switch {
	case code >= 200 && code < 300:
		o.deliver(code, enhanced, "OK")
		o.status.Description = ""
	case code >= 500:
		reason := "generic"
		if hardBounce(code, enhanced, rcpt) {
			reason = "bounce"
		}
		o.permfail(code, enhanced, text, reason)
	default:
		o.tempfail(code, enhanced, text)
	}
}

// hardBounce reports whether a permanent reply says that the address does not
// take mail (RFC 3463: X.1.x address status, X.2.1 mailbox disabled), rather
// than that this message or sender is refused.
func hardBounce(code int, enhanced string, rcpt bool) bool {
	switch enhanced {
	case "":
		return rcpt && (code == 550 || code == 551 || code == 553)
	case "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1":
		return true
	case "5.0.0":
		return rcpt
	}
	return false
}

// record writes the outcomes: one transaction with the events, what follows
// from them, and the finished or rescheduled deliveries. It is tried until it
// succeeds, because what is not recorded would be delivered again.
func (e *Engine) record(ctx context.Context, msg *message.Message, list []*outcome) {
	type entry struct {
		o      *outcome
		events []*event.Event
		due    int64
	}
	entries := make([]entry, 0, len(list))
	for _, o := range list {
		if o.verdict == undecided {
			o.tempfail(451, "4.4.2", "the attempt ended without an answer")
		}
		en := entry{o: o}
		if o.verdict == deferred {
			en.due = e.reschedule(o)
		}
		if msg != nil {
			en.events = e.events(msg, o)
			for _, ev := range en.events {
				if err := e.Events.Seal(ev); err != nil {
					e.Logger.Error("event could not be encoded", "error", err)
				}
			}
		}
		entries = append(entries, en)
		e.count(o)
		e.logAttempt(msg, o)
	}
	write := func(tx *db.Tx) error {
		for _, en := range entries {
			for _, ev := range en.events {
				if err := e.Events.Stage(tx, ev); err != nil {
					return err
				}
			}
			if en.o.verdict != deferred {
				e.Queue.Finish(tx, en.o.d)
			} else if err := e.Queue.Defer(tx, en.o.d, en.due); err != nil {
				return err
			}
		}
		return nil
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := e.DB.Group(context.WithoutCancel(ctx), write)
		if err == nil {
			return
		}
		e.Logger.Error("outcome could not be recorded", "message", list[0].d.MessageID, "error", err)
		c, stop := e.clock.After(wait)
		select {
		case <-c:
		case <-ctx.Done(): // stopping: the claim stays on disk and the next start delivers again
			stop()
			return
		}
	}
}

// reschedule sets when to try again, or turns the outcome into giving up when
// the schedule or the deadline is over.
func (e *Engine) reschedule(o *outcome) int64 {
	d := o.d
	now := e.clock.Now()
	b, err := json.Marshal(last{o.status.Code, o.status.EnhancedCode, o.status.Message, o.status.MXHost, now.UnixMicro()})
	if err == nil {
		d.Last = string(b)
	}
	wait := o.next
	if wait == 0 {
		if d.Attempt > len(e.Retry) {
			o.expire()
			return 0
		}
		wait = e.Retry[max(d.Attempt, 1)-1]
		wait += time.Duration(float64(wait) * 0.1 * e.Jitter()) // a stampede of equal waits is spread
	}
	due := now.Add(wait)
	if due.UnixMicro() > d.Deadline {
		if d.Deadline-now.UnixMicro() < int64(time.Minute/time.Microsecond) || d.Attempt > 1 && e.triedLate(d, now) {
			o.expire()
			return 0
		}
		due = time.UnixMicro(d.Deadline) // one last attempt at the end of the time given
	}
	o.status.RetrySeconds = int(max(1, due.Sub(now)/time.Second))
	return due.UnixMicro()
}

// triedLate reports whether the attempt just made was itself the last one a
// deadline allows.
func (e *Engine) triedLate(d *queue.Delivery, now time.Time) bool {
	return d.Due >= d.Deadline || now.UnixMicro() >= d.Deadline
}

// events makes the documents of an outcome.
func (e *Engine) events(msg *message.Message, o *outcome) []*event.Event {
	t := event.Delivered
	switch o.verdict {
	case deferred, failed:
		t = event.Failed
	case rejected:
		t = event.Rejected
	}
	ev := msg.Event(t, o.d.Recipient)
	o.describe(&ev.Doc, msg, e.clock.Now())
	ev.Detail = o.detail
	out := []*event.Event{ev}
	for _, a := range o.after {
		out = append(out, follow(msg, o.d.Recipient, a))
	}
	return out
}

// describe fills the document of the attempt. Mailgun: members of delivered
// and failed.
func (o *outcome) describe(doc *event.Doc, msg *message.Message, now time.Time) {
	doc.Envelope.SendingIP = o.ip
	switch o.verdict {
	case failed:
		doc.Severity, doc.Reason = event.Permanent, o.reason
	case deferred:
		doc.Severity, doc.Reason = event.Temporary, o.reason
	case rejected:
		doc.Reject = &event.Reject{Reason: o.reason, Description: o.status.Message}
		return
	}
	s := o.status
	s.AttemptNo = o.d.Attempt
	s.SessionSeconds = float64(now.Sub(o.began).Microseconds()/1000) / 1000
	if o.verdict == delivered {
		s.FirstAttemptSeconds = max(0, float64(o.d.FirstAt/1000-msg.CreatedAt.UnixMilli())/1000)
	}
	doc.DeliveryStatus = &s
}

func (e *Engine) count(o *outcome) {
	switch o.verdict {
	case delivered:
		e.Stats.Delivered.Add(1)
	case deferred:
		e.Stats.Deferred.Add(1)
	default:
		e.Stats.Failed.Add(1)
	}
}

// logAttempt writes the one line of an attempt.
func (e *Engine) logAttempt(msg *message.Message, o *outcome) {
	if msg == nil || !e.Logger.Enabled(context.Background(), levelOf(o)) {
		return
	}
	e.Logger.Log(context.Background(), levelOf(o), "attempt", "message", msg.MessageID, "recipient", o.d.Recipient, "lane", o.d.Lane,
		"attempt", o.d.Attempt, "code", o.status.Code, "enhanced", o.status.EnhancedCode, "mx", o.status.MXHost,
		"outcome", o.verdict.String(), "ms", e.clock.Now().Sub(o.began).Milliseconds(), "answer", o.status.Message)
}

func (v verdict) String() string {
	return [...]string{"undecided", "delivered", "deferred", "failed", "rejected"}[v]
}
