package report

import (
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// Complaint is a feedback report: somebody pressed the spam button.
type Complaint struct {
	// Type is the Feedback-Type in lower case: abuse, fraud, virus, other,
	// not-spam, auth-failure, ...; abuse for forms without one.
	Type      string
	UserAgent string
	// MailFrom is the original's envelope sender, without brackets.
	MailFrom string
	// Recipients are those the report names, or else those of the original's
	// header; empty if they were redacted.
	Recipients []string
	// Named: the report itself names them. Otherwise any of them may be the one
	// who complained.
	Named bool
	// Redacted: addresses were made unreadable, see the ids of the Original
	// and MailFrom.
	Redacted bool
	// SourceIP is where the reporter had the original from; may be invalid.
	SourceIP netip.Addr
	// Arrival is when it came there; zero if not known.
	Arrival time.Time
	// Domains are the reported domains.
	Domains  []string
	Original Original
}

// Complains reports whether the recipient does not want the mail. Feedback
// that takes a complaint back (not-spam) or is about authentication (RFC 6591)
// does not; types that are not known count as "other" (RFC 5965 section 3.5
// lets them be added).
func (c *Complaint) Complains() bool {
	switch c.Type {
	case "not-spam", "auth-failure", "dmarc", "dkim", "tls":
		return false
	}
	return true
}

// ReadComplaint reads a feedback report (RFC 5965), or the forms of feedback
// loops that wrap the message they are about and nothing else. ok is false for
// everything else.
func ReadComplaint(raw []byte) (c *Complaint, ok bool) {
	d := open(raw)
	if d == nil {
		return nil, false
	}
	if d.feedback == nil {
		d.disguisedFeedback()
	}
	c = &Complaint{}
	switch {
	case d.feedback != nil:
		fields, ok := firstGroup(d.feedback.Content(d.raw, maxStatus))
		if !ok {
			return nil, false
		}
		c.readFeedback(fields)
		c.Original = d.returned()
	case !c.readWrapped(d):
		return nil, false
	}
	c.fromOriginal()
	return c, true
}

// disguisedFeedback finds the feedback in a report whose parts a gateway made
// text.
func (d *document) disguisedFeedback() {
	if d.reportType != "feedback-report" {
		return
	}
	for _, n := range d.root.Children {
		if strings.HasPrefix(n.ContentType, "text/") && containsFold(n.Content(d.raw, maxText), "\nfeedback-type:") {
			d.feedback = n
			return
		}
	}
}

// firstGroup reads the fields of a feedback part. Some writers put empty lines
// before and between them.
func firstGroup(data []byte) (fields mime.Fields, ok bool) {
	for range 8 {
		group, body, err := mime.ScanHeader(data)
		if err != nil {
			break
		}
		fields = append(fields, group...)
		if body >= len(data) {
			break
		}
		data = data[body:]
	}
	_, ok = fields.Find("Feedback-Type")
	return fields, ok && len(fields) <= 4*maxRecipients
}

// readFeedback reads the fields of RFC 5965 section 3.
func (c *Complaint) readFeedback(fields mime.Fields) {
	c.Type = strings.ToLower(bound(fields.Get("Feedback-Type"), 40))
	c.UserAgent = bound(fields.Get("User-Agent"), 255)
	c.MailFrom = mailbox(fields.Get("Original-Mail-From"))
	c.SourceIP = address4(fields.Get("Source-IP"))
	for _, name := range [...]string{"Arrival-Date", "Received-Date"} {
		if c.Arrival.IsZero() {
			c.Arrival = date(fields.Get(name))
		}
	}
	for _, v := range fields.Values("Reported-Domain") {
		if v = strings.ToLower(bound(v, 255)); v != "" && len(c.Domains) < maxRecipients {
			c.Domains = append(c.Domains, v)
		}
	}
	for _, name := range [...]string{"Removal-Recipient", "Original-Rcpt-To", "Original-Recipient"} {
		for _, v := range fields.Values(name) {
			if _, rest, ok := strings.Cut(v, ";"); ok {
				v = rest
			}
			c.recipient(v)
		}
	}
}

// recipient adds an address unless it was made unreadable or is there.
func (c *Complaint) recipient(v string) {
	a := mailbox(v)
	switch {
	case redacted(v):
		c.Redacted = true
		return
	case a == "", len(c.Recipients) >= maxRecipients:
		return
	}
	key := addr.Canonical(a)
	for _, have := range c.Recipients[:min(len(c.Recipients), 32)] {
		if addr.Canonical(have) == key {
			return
		}
	}
	c.Recipients = append(c.Recipients, a)
}

// redacted reports whether an address was made unreadable (RFC 6590): the word
// itself, or signs in the place of letters.
func redacted(v string) bool {
	v = strings.ToLower(strings.Trim(v, " <>\"'[]"))
	local, _, _ := strings.Cut(v, "@")
	if strings.Contains(v, "redacted") || strings.Contains(v, "undisclosed") {
		return true
	}
	return len(local) > 2 && strings.Trim(local, "x*.-_#?") == ""
}

// wrappers are feedback loops that send the message itself, by the domain they
// send from and how their subject begins.
var wrappers = [...]struct{ domain, subject string }{
	{"hotmail.com", "complaint about message from "}, // Microsoft's JMRP
	{"live.com", "complaint about message from "},
	{"outlook.com", "complaint about message from "},
	{"microsoft.com", "complaint about message from "},
	{"aol.com", "email feedback report for ip "},
	{"aol.net", "email feedback report for ip "},
	{"yahoo-inc.com", "email feedback report for ip "},
	{"mail.ru", "abuse report for message from "},
}

// readWrapped reads a complaint that is the original within a message.
func (c *Complaint) readWrapped(d *document) bool {
	if d.original == nil {
		return false
	}
	_, domain, _ := strings.Cut(strings.ToLower(mailbox(d.header.Get("From"))), "@")
	subject := strings.ToLower(d.header.Get("Subject"))
	for _, w := range wrappers {
		rest, ok := strings.CutPrefix(subject, w.subject)
		if !ok || domain != w.domain && !strings.HasSuffix(domain, "."+w.domain) {
			continue
		}
		c.Type = "abuse"
		word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		c.SourceIP = address4(word)
		c.Original = d.returned()
		return len(c.Original.Header) > 0
	}
	return false
}

// recipientFields of an original hold who got it, the surest first.
var recipientFields = [...]string{"X-HmXmrOriginalRecipient", "X-Original-To", "Delivered-To", "X-Rcpt-To", "To"}

// fromOriginal fills in what the report left out and the original tells.
func (c *Complaint) fromOriginal() {
	if c.MailFrom == "" {
		c.MailFrom = mailbox(c.Original.Get("Return-Path"))
	}
	if c.Named = len(c.Recipients) > 0; c.Named {
		return
	}
	for _, name := range recipientFields {
		v := c.Original.Get(name)
		if v == "" {
			continue
		}
		list := mailboxes(v)
		if list == nil {
			c.recipient(v)
		}
		for _, a := range list {
			c.recipient(a)
		}
		if len(c.Recipients) > 0 {
			return
		}
	}
}

// address4 reads an IP address, with the brackets or the tag some put there.
func address4(s string) netip.Addr {
	s = strings.Trim(strings.TrimSpace(s), "[]()<>.,;")
	if len(s) > 5 && strings.EqualFold(s[:5], "ipv6:") {
		s = s[5:]
	}
	if word, _, ok := strings.Cut(s, " "); ok {
		s = word
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// zones are the names of RFC 5322 section 4.3, which net/mail takes for UTC.
var zones = [...]struct{ name, offset string }{
	{" EST", " -0500"}, {" EDT", " -0400"}, {" CST", " -0600"}, {" CDT", " -0500"}, {" MST", " -0700"}, {" MDT", " -0600"}, {" PST", " -0800"}, {" PDT", " -0700"},
}

func date(s string) time.Time {
	if len(s) > 100 {
		return time.Time{}
	}
	for _, z := range zones {
		if head, ok := strings.CutSuffix(s, z.name); ok {
			s = head + z.offset
		}
	}
	t, err := mail.ParseDate(s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
