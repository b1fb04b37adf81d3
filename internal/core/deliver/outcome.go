package deliver

import (
	"context"
	"encoding/json"
	"time"

	"postroad/internal/base/netx"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/mail/classify"
)

type verdict uint8

const (
	undecided verdict = iota
	delivered
	deferred
	failed
	rejected
	dropped // without a word: nobody is left to tell
)

// outcome is what one attempt came to for one delivery.
type outcome struct {
	d       *queue.Delivery
	began   time.Time
	verdict verdict
	reason  string
	status  event.DeliveryStatus
	ip      string // local address the attempt came from
	detail  string // the conversation
	after   []event.Type

	unattempted bool // decided without an attempt
	said        bool // the status is what the server said
	passed      bool // the server has what the sender asked of notifications

	next      time.Duration // wait before the next attempt, for deferred, whatever the schedule says
	soon      time.Duration // as next, within the schedule
	notBefore time.Duration // the receiver asked to wait that long
	meaning   verdictOf     // of the server's reply
}

// last is what a delivery remembers of its last attempt.
type last struct {
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"`
	Message  string `json:"message"`
	MX       string `json:"mx,omitempty"`
	At       int64  `json:"at"`
	Told     bool   `json:"told,omitempty"` // the sender knows of the delay
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

func (o *outcome) setLast(l last) {
	if b, err := json.Marshal(l); err == nil {
		o.d.Last = string(b)
	}
}

func (o *outcome) set(v verdict, code int, enhanced, text string) {
	o.verdict = v
	o.status.Code, o.status.EnhancedCode, o.status.Message = code, enhanced, text
}

// classify turns the reply that decided about the recipient into an outcome.
// rcpt says whether the reply was to the recipient itself: only then a
// permanent refusal says something about the address.
func (o *outcome) classify(code int, enhanced, text, mx string, rcpt bool) {
	o.said = true
	if code >= 200 && code < 300 {
		o.meaning = verdictOf{Class: classify.Accepted}
		o.deliver(code, enhanced, "OK")
		o.status.Description = ""
		return
	}
	o.meaning = classify.Classify(code, enhanced, text, mx)
	if code < 500 {
		o.tempfail(code, enhanced, text)
		return
	}
	reason := "generic"
	if hardBounce(o.meaning.Class, code, enhanced, rcpt) {
		reason = "bounce"
	}
	o.permfail(code, enhanced, text, reason)
}

// hardBounce reports whether a permanent reply says that the address does not
// take mail, rather than that this message or sender is refused: by its words,
// or where those say nothing by its status (RFC 3463: X.1.x address status,
// X.2.1 mailbox disabled).
func hardBounce(c classify.Class, code int, enhanced string, rcpt bool) bool {
	switch c {
	case classify.UnknownUser, classify.InactiveUser, classify.DomainUnknown, classify.Refused:
		return rcpt && classify.Hard(c, code, true) || address(enhanced)
	case classify.Other:
		return address(enhanced) || rcpt && (enhanced == "" || enhanced == "5.0.0") && (code == 550 || code == 551 || code == 553)
	}
	return false
}

// address reports whether an enhanced status is about the recipient's address.
func address(enhanced string) bool {
	switch enhanced {
	case "5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1":
		return true
	}
	return false
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
	ev := msg.EventFor(t, o.d.Recipient, o.d.Vars)
	o.describe(&ev.Doc, msg, e.clock.Now())
	ev.Detail = o.detail
	out := []*event.Event{ev}
	for _, a := range o.after {
		out = append(out, follow(msg, o.d, a))
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
	s.AttemptNo = o.d.Tries + 1
	if o.unattempted {
		s.AttemptNo = max(1, o.d.Tries)
	}
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
	e.Logger.Log(context.Background(), levelOf(o), "attempt", "message", msg.MessageID, "recipient", logName(o.d.Recipient), "lane", o.d.Lane,
		"attempt", o.d.Tries+1, "code", o.status.Code, "enhanced", o.status.EnhancedCode, "mx", o.status.MXHost,
		"outcome", o.verdict.String(), "ms", e.clock.Now().Sub(o.began).Milliseconds(), "answer", o.status.Message)
}

// logName is a recipient as it stands in the log. URLs have secrets in the query.
func logName(recipient string) string {
	if netx.IsURL(recipient) {
		return netx.Redact(recipient)
	}
	return recipient
}

func (v verdict) String() string {
	return [...]string{"undecided", "delivered", "deferred", "failed", "rejected", "dropped"}[v]
}
