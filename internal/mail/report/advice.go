package report

import (
	"strings"
	"time"

	"postroad/internal/mail/classify"
)

// maxListed bounds the recipients the text for people goes into; the part for
// machines names all.
const maxListed = 50

// subject says what happened to all of it.
func (m *Notification) subject() string {
	var have [actions]int
	for i := range m.Recipients {
		have[min(m.Recipients[i].Action, actions-1)]++
	}
	switch all := len(m.Recipients); {
	case have[Failed] == all:
		return "Message not delivered"
	case have[Failed] > 0:
		return "Message not delivered to some recipients"
	case have[Delayed] > 0:
		return "Message delayed, still being tried"
	case have[Delivered] == all:
		return "Message delivered"
	}
	return "Message handed on"
}

// leads begin the section of an action.
var leads = [actions]string{
	Failed:    "Your message could not be delivered to:",
	Delayed:   "Your message has not been delivered yet. You need not send it again: we\nkeep trying to deliver it to:",
	Delivered: "Your message was delivered to the mail system of:",
	Relayed:   "Your message was handed on to a mail system that will not report further\non its delivery, for:",
	Expanded:  "Your message was delivered to a list, whose members are not reported on:",
}

// text is the part for people.
func (m *Notification) text() string {
	var b strings.Builder
	b.WriteString("This is the mail system at " + m.MTA + ".\n")
	listed := 0
	for action, lead := range leads {
		first := true
		for i := range m.Recipients {
			r := &m.Recipients[i]
			if r.Action != Action(action) || listed >= maxListed {
				continue
			}
			if first {
				b.WriteString("\n" + lead + "\n")
				first = false
			}
			listed++
			r.explain(&b)
		}
	}
	if listed < len(m.Recipients) {
		b.WriteString("\nThe attached report names all recipients.\n")
	}
	m.about(&b)
	return b.String()
}

// explain writes what happened to one recipient and what can be done.
func (r *Outcome) explain(b *strings.Builder) {
	b.WriteString("\n  <" + bound(r.Address, maxAddress) + ">\n")
	switch {
	case r.Code != 0 && r.RemoteMTA != "":
		b.WriteString(indent("The server " + r.RemoteMTA + " said: " + r.said()))
	case r.Code != 0:
		b.WriteString(indent("The server said: " + r.said()))
	case r.Reply != "":
		b.WriteString(indent("Reason: " + r.Reply))
	}
	if r.Action == Delayed && !r.RetryUntil.IsZero() {
		b.WriteString(indent("We try until " + r.RetryUntil.UTC().Format("Monday, 2 January 2006, 15:04") + " UTC."))
	}
	if r.Action == Failed {
		b.WriteString(indent(r.advice()))
	}
}

// advice says what a failure means to the sender.
func (r *Outcome) advice() string {
	code := r.Code
	if code == 0 {
		code = 554
	}
	class := classify.Classify(code, r.status(), r.Reply, r.RemoteMTA).Class
	if class == classify.Refused && code == 550 || class == classify.Accepted {
		class = classify.Other
	}
	if int(class) < len(advices) && advices[class] != "" && !(code < 500 && passes(class)) {
		return advices[class]
	}
	if code < 500 {
		return "The attempts took too long and were given up. You can send the message again later, or reach the recipient in another way."
	}
	return "If you do not know why, ask the recipient in another way, and give them the words above for their mail administrator."
}

// passes reports whether temporary replies of a class say only that we had no
// luck.
func passes(c classify.Class) bool {
	return c == classify.RateLimited || c == classify.Greylisted || c == classify.ServerBusy
}

// advices say by class what happened and what to do next.
var advices = [...]string{
	classify.UnknownUser:   "There is no such mailbox. Check the address for typing errors; sending again to it will not help.",
	classify.InactiveUser:  "The mailbox is no longer in use. Ask the recipient for another address.",
	classify.DomainUnknown: "The part of the address after the @ takes no mail. Check it for typing errors.",
	classify.MailboxFull:   "The recipient's mailbox is full. Try again in some days, or reach the recipient in another way.",
	classify.TooLarge:      "The message is too large for the recipient. Send it with smaller attachments, or put them where the recipient can fetch them.",
	classify.Content:       "The recipient's server did not like what is in the message: it takes it for spam or finds a file it does not allow. Change the message, or ask the recipient to allow it.",
	classify.Blocklisted:   "The recipient's server does not take mail from us at the moment. Tell your mail administrator the words above.",
	classify.Policy:        "The recipient's server has a rule against the message. Tell your mail administrator the words above.",
	classify.RelayDenied:   "The server we were led to does not take mail for this address. Check the part after the @ for typing errors, or tell the recipient.",
	classify.TLSRequired:   "The message could not be sent over an encrypted connection, which is required. Tell your mail administrator the words above.",
	classify.RateLimited:   "The recipient's server takes no more mail at the moment. Try again later.",
}

// about says which message it is about.
func (m *Notification) about(b *strings.Builder) {
	o := readOriginal(m.Original[:min(len(m.Original), maxReturnedHeader)])
	subject, date := o.Get("Subject"), o.Get("Date")
	if subject == "" && date == "" && m.Arrival.IsZero() {
		return
	}
	b.WriteString("\nYour message:\n\n")
	if subject != "" {
		b.WriteString("  Subject: " + bound(subject, 200) + "\n")
	}
	switch {
	case date != "":
		b.WriteString("  Date: " + bound(date, 100) + "\n")
	case !m.Arrival.IsZero():
		b.WriteString("  Date: " + m.Arrival.Format(time.RFC1123Z) + "\n")
	}
	if o.MessageID != "" {
		b.WriteString("  Message-ID: <" + o.MessageID + ">\n")
	}
}

// indent wraps a sentence at 72 columns, four blanks in.
func indent(s string) string {
	var b strings.Builder
	col := 0
	for word := range strings.FieldsSeq(bound(s, maxDiagnostic)) {
		switch {
		case col == 0:
			b.WriteString("    ")
			col = 4
		case col+1+len(word) > 72:
			b.WriteString("\n    ")
			col = 4
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	return b.String() + "\n"
}
