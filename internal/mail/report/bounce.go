package report

import (
	"strings"

	"postroad/internal/mail/classify"
	"postroad/internal/mail/mime"
)

// Action is what a report says has been done (RFC 3464 section 2.3.3).
type Action uint8

// The actions.
const (
	Failed    Action = iota // given up
	Delayed                 // not delivered yet, still being tried
	Delivered               // in the mailbox
	Relayed                 // given to a system that sends no reports
	Expanded                // delivered to a list, whose members are reported no further
	actions
)

var actionNames = [actions]string{"failed", "delayed", "delivered", "relayed", "expanded"}

// String gives the name RFC 3464 uses: "failed".
func (a Action) String() string { return actionNames[min(a, actions-1)] }

// Recipient is what a report says about one recipient.
type Recipient struct {
	// Final is the address the reporting server had, Original the one it was
	// first sent to, if the report says so; each may be empty.
	Final, Original string
	Action          Action
	// Status is the enhanced status code (RFC 3463): "5.1.1"; may be empty.
	Status string
	// Code is the SMTP reply code that decided; 0 if none is known.
	Code int
	// Diagnostic is what the other server said, with its type: "smtp;
	// 550-5.1.1 ...", on one line.
	Diagnostic string
	// RemoteMTA is the host that said it.
	RemoteMTA string
	// Class is what the diagnostic means.
	Class classify.Class
	// Hard: the address takes no mail, for any message.
	Hard bool

	toRcpt bool // the reply was to RCPT TO
}

// Address is the address that was sent to, as far as the report knows.
func (r *Recipient) Address() string {
	if r.Original != "" {
		return r.Original
	}
	return r.Final
}

// Bounce is a report about the delivery of a message. Reports of success have
// the same form: the Action of each recipient tells.
type Bounce struct {
	// Recipients has at least one entry. Its addresses are empty when the report
	// names nobody: then only the return path tells whom it is about.
	Recipients []Recipient
	// ReportingMTA is the host that reports; may be empty.
	ReportingMTA string
	// EnvelopeID is the ENVID of the original (RFC 3461 section 4.4).
	EnvelopeID string
	Original   Original
	// Text is what the report says to people, up to 64 KiB.
	Text string
	// Standard: there was a part for machines (RFC 3464), nothing was guessed.
	Standard bool
	// Truncated: parts or recipients over the limits were left out.
	Truncated bool
}

// Hard reports whether any recipient's address takes no mail.
func (b *Bounce) Hard() bool {
	for i := range b.Recipients {
		if b.Recipients[i].Hard {
			return true
		}
	}
	return false
}

// ReadBounce reads a report about delivery, in the standard form or in that of
// servers which write one in words. ok is false for everything else: automatic
// replies, read receipts, complaints, other mail.
func ReadBounce(raw []byte) (b *Bounce, ok bool) { return readBounce(raw, 0) }

func readBounce(raw []byte, level int) (*Bounce, bool) {
	d := open(raw)
	if d == nil || d.feedback != nil {
		return nil, false
	}
	b := &Bounce{Truncated: d.truncated}
	if !d.readStandard(b) && !d.readWords(b) {
		if level == 0 && d.original != nil && d.original.ContentType == "message/rfc822" && namesDaemon(d.header) {
			return readBounce(d.original.Content(raw, len(raw)), 1) // a gateway put the report in a message of its own
		}
		return nil, false
	}
	if b.Original.MessageID == "" {
		b.Original.MessageID = d.answered()
	}
	for i := range b.Recipients {
		b.Recipients[i].judge(b.ReportingMTA)
	}
	return b, true
}

// readStandard reads the part for machines.
func (d *document) readStandard(b *Bounce) bool {
	if d.status == nil || d.reportType != "" && d.reportType != "delivery-status" || d.root.ContentType != "multipart/report" && !d.fromDaemon() {
		return false
	}
	b.Original = d.returned()
	if !b.readStatus(d.status.Content(d.raw, maxStatus)) {
		return false
	}
	b.Standard = true
	b.Text = d.notice()
	b.explain()
	return true
}

// answered is the message the report says it answers: some return nothing but
// that.
func (d *document) answered() string {
	for _, name := range []string{"X-Original-Message-Id", "In-Reply-To"} {
		if id := messageID(d.header.Get(name)); id != "" {
			return id
		}
	}
	refs := d.header.Get("References")
	return messageID(refs[strings.LastIndexByte(refs, '<')+1:])
}

// fromDaemon reports whether a mail system sent the message, or says so.
func (d *document) fromDaemon() bool {
	return d.reportType == "delivery-status" || isDaemon(d.header)
}

func isDaemon(h mime.Fields) bool {
	if rp, ok := h.Find("Return-Path"); ok && strings.Trim(string(rp.Value), " \t\r\n") == "<>" {
		return true
	}
	if _, ok := h.Find("X-Failed-Recipients"); ok {
		return true
	}
	return namesDaemon(h)
}

// namesDaemon reports whether From names a mail system.
func namesDaemon(h mime.Fields) bool {
	from := strings.ToLower(h.Get("From"))
	local, _, _ := strings.Cut(mailbox(from), "@")
	switch local {
	case "mailer-daemon", "mailerdaemon", "mail-daemon", "maildaemon", "mailer_daemon", "mdaemon", "postmaster", "mailsystem", "mail-system", "mail.delivery.system", "microsoftexchange329e71ec88ae4615bbc36ab6ce41109e":
		return true
	}
	for _, name := range [...]string{"mailer-daemon", "mail delivery", "mail system", "system administrator", "postmaster", "delivery subsystem"} {
		if strings.Contains(from, name) {
			return true
		}
	}
	return false
}
