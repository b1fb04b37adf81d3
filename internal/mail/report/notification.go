package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// Outcome is what a report to be written says of one recipient.
type Outcome struct {
	// Address is where the mail was to go.
	Address string
	// ORCPT is the parameter as the client gave it (RFC 3461 section 4.2):
	// "rfc822;jane+2Bx@example.com"; may be empty.
	ORCPT  string
	Action Action
	// Status is the enhanced status code; empty means x.0.0 of the action's
	// class.
	Status string
	// Code and Reply are what the server RemoteMTA said, Reply without the
	// code and the status; with Code 0 Reply is our own reason.
	Code      int
	Reply     string
	RemoteMTA string
	// LastAttempt and, for Delayed, RetryUntil; zero times are left out.
	LastAttempt, RetryUntil time.Time
}

// Notification is a delivery status notification to be written (RFC 3464). It
// is to be sent with the null sender, or it could be answered by another.
type Notification struct {
	// MTA is the name of the host that reports.
	MTA string
	// To is the original's return address, which must not be empty: a bounce
	// never answers a bounce.
	To string
	// From is the header address; empty means "Mail Delivery System
	// <mailer-daemon@MTA>".
	From string
	// MessageID of the report, without brackets.
	MessageID string
	Date      time.Time
	// Arrival is when the original was taken in; zero is left out.
	Arrival time.Time
	// ENVID is the parameter as the client gave it, in xtext; may be empty.
	ENVID      string
	Recipients []Outcome
	// Original is the message, or at least its header. Full asks for all of it
	// (RET=FULL), which is for failures; what has more than MaxReturned octets,
	// or cannot stand in a message, is returned as header only (RFC 3461 section
	// 4.3 lets it be).
	Original []byte
	Full     bool
	// UTF8: the report may hold UTF-8 in addresses (RFC 6533), as the
	// original's sender used SMTPUTF8.
	UTF8 bool
	// Rand gives the boundary; nil means crypto/rand.
	Rand io.Reader
}

// MaxReturned is the largest original that is returned whole, in octets.
const MaxReturned = 256 << 10

// maxReturnedHeader bounds a returned header.
const maxReturnedHeader = 64 << 10

// Errors of Build.
var (
	// ErrNullSender: the original had no return address, so nobody is told.
	ErrNullSender = errors.New("a message without return address is not reported on")
	// ErrNoRecipients: there is nothing to report.
	ErrNoRecipients = errors.New("a report needs a recipient")
)

// Build writes the report: a text for people, one for machines, and what is
// returned of the original. The errors are ErrNullSender, ErrNoRecipients and
// those of mime.Draft.
func (m *Notification) Build() ([]byte, error) {
	switch {
	case strings.Trim(m.To, "<> ") == "":
		return nil, ErrNullSender
	case len(m.Recipients) == 0:
		return nil, ErrNoRecipients
	}
	from := m.From
	if from == "" {
		from = "Mail Delivery System <mailer-daemon@" + m.MTA + ">"
	}
	global := m.UTF8 && m.wide()
	status := mime.File{ContentType: "message/delivery-status", Data: m.status(global)}
	if global {
		status.ContentType = "message/global-delivery-status"
	}
	draft := mime.Draft{
		Header: []mime.Field{
			{Name: "From", Value: from}, {Name: "To", Value: m.To}, {Name: "Subject", Value: m.subject()},
			{Name: "Date", Value: m.Date.Format(time.RFC1123Z)}, {Name: "Message-ID", Value: "<" + m.MessageID + ">"},
			{Name: "Auto-Submitted", Value: "auto-replied"}, // RFC 3834 section 5.2
		},
		Text: m.text(), Report: "delivery-status", Rand: m.Rand,
		Attachments: []mime.File{status},
	}
	if f, ok := m.returned(); ok {
		draft.Attachments = append(draft.Attachments, f)
	}
	raw, err := draft.Build()
	if err != nil {
		return nil, fmt.Errorf("delivery status notification: %w", err)
	}
	return raw, nil
}

// wide reports whether any address needs UTF-8.
func (m *Notification) wide() bool {
	for i := range m.Recipients {
		if r := &m.Recipients[i]; !ascii(wire(r.Address)) || !ascii(r.ORCPT) {
			return true
		}
	}
	return false
}

// fails reports whether any recipient was given up.
func (m *Notification) fails() bool {
	for i := range m.Recipients {
		if m.Recipients[i].Action == Failed {
			return true
		}
	}
	return false
}

// status writes the part for machines.
func (m *Notification) status(global bool) []byte {
	w := statusWriter{global: global}
	if id, ok := readXtext(m.ENVID); ok && id != "" {
		w.field("Original-Envelope-Id", id)
	}
	w.field("Reporting-MTA", "dns; "+m.MTA)
	w.time("Arrival-Date", m.Arrival)
	for i := range m.Recipients {
		w.b = append(w.b, "\r\n"...)
		w.recipient(&m.Recipients[i])
	}
	return w.b
}

// statusWriter writes fields; without global they are ASCII.
type statusWriter struct {
	b      []byte
	global bool
}

func (w *statusWriter) recipient(r *Outcome) {
	if kind, text, ok := readORCPT(r.ORCPT); ok {
		w.address("Original-Recipient", kind, text)
	}
	w.address("Final-Recipient", "rfc822", wire(r.Address))
	w.field("Action", r.Action.String())
	w.field("Status", r.status())
	if r.RemoteMTA != "" {
		w.field("Remote-MTA", "dns; "+r.RemoteMTA)
	}
	switch {
	case r.Code != 0:
		w.field("Diagnostic-Code", "smtp; "+r.said())
	case r.Reply != "":
		w.field("Diagnostic-Code", "X-Postroad; "+r.Reply)
	}
	w.time("Last-Attempt-Date", r.LastAttempt)
	w.time("Will-Retry-Until", r.RetryUntil)
}

// said is the reply with its numbers, on one line.
func (r *Outcome) said() string {
	s := strconv.Itoa(r.Code) + " "
	if own := leadStatus(r.Status); own != "" && own == r.Status && leadStatus(r.Reply) == "" {
		s += own + " "
	}
	return strings.TrimSpace(s + r.Reply)
}

// status gives the code of the recipient, which must fit the action (RFC 3464
// section 2.3.4).
func (r *Outcome) status() string {
	if s := leadStatus(r.Status); s != "" && s == r.Status {
		return s
	}
	switch r.Action {
	case Failed:
		return "5.0.0"
	case Delayed:
		return "4.0.0"
	}
	return "2.0.0"
}

// address writes a recipient field. An address beyond ASCII is of the type
// utf-8 (RFC 6533 section 3), in its 7-bit form where the report has to be.
func (w *statusWriter) address(name, kind, text string) {
	if kind == "rfc822" && !ascii(text) {
		kind = "utf-8"
	}
	if kind == "utf-8" && !w.global {
		text = utf8Xtext(text)
	}
	w.field(name, kind+"; "+text)
}

func (w *statusWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.field(name, t.Format(time.RFC1123Z))
	}
}

// field writes one field, folded. What it cannot hold is replaced.
func (w *statusWriter) field(name, value string) {
	value = bound(value, maxDiagnostic)
	if !w.global {
		value = strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f {
				return '?'
			}
			return r
		}, value)
	}
	w.b = append(append(w.b, name...), ": "...)
	col := len(name) + 2
	for i, word := range strings.Split(value, " ") {
		switch {
		case i > 0 && col+1+len(word) > 78:
			w.b, col = append(w.b, "\r\n "...), 1
		case i > 0:
			w.b, col = append(w.b, ' '), col+1
		}
		for len(word) > 900 { // no line may pass 998 octets
			cut := 900
			for cut > 0 && !utf8.RuneStart(word[cut]) {
				cut--
			}
			w.b = append(append(w.b, word[:cut]...), "\r\n "...)
			word, col = word[cut:], 1
		}
		w.b, col = append(w.b, word...), col+len(word)
	}
	w.b = append(w.b, "\r\n"...)
}

// returned is the part with the original.
func (m *Notification) returned() (mime.File, bool) {
	if len(m.Original) == 0 {
		return mime.File{}, false
	}
	fields, body, err := mime.ScanHeader(m.Original[:min(len(m.Original), maxReturnedHeader)])
	if err != nil {
		return mime.File{}, false
	}
	header := m.Original[:body]
	if m.Full && m.fails() && len(m.Original) <= MaxReturned && body < len(m.Original) && returnable(m.Original) {
		f := mime.File{ContentType: "message/rfc822", Data: m.Original}
		if mime.EightBit(header) {
			f.ContentType = "message/global" // RFC 6532 section 3.7
		}
		return f, true
	}
	var b []byte
	for _, f := range fields {
		if line := m.Original[f.Start:f.End]; f.Name != nil && returnable(line) && bytes.HasSuffix(line, []byte("\n")) {
			b = append(b, line...)
		}
	}
	f := mime.File{ContentType: "text/rfc822-headers", Data: b}
	if mime.EightBit(b) {
		f.ContentType = "message/global-headers" // RFC 6533 section 5
		if !utf8.Valid(b) {
			f.Data = bytes.ToValidUTF8(b, []byte("?"))
		}
	}
	return f, true
}

// returnable reports whether octets can stand in a message that is not
// encoded: no line over 998 octets, no NUL.
func returnable(b []byte) bool {
	if bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	for line := range bytes.Lines(b) {
		if len(bytes.TrimRight(line, "\r\n")) > 998 {
			return false
		}
	}
	return true
}

// readORCPT reads "rfc822;xtext" (RFC 3461 section 4.2) or "utf-8;..." (RFC
// 6533 section 3).
func readORCPT(s string) (kind, text string, ok bool) {
	kind, text = typed(s)
	switch {
	case kind == "" || text == "" || strings.ContainsFunc(kind, notAddress) || strings.ContainsFunc(text, notAddress):
		return "", "", false
	case kind == "utf-8":
		return kind, readUTF8Address(text), true
	}
	text, ok = readXtext(text)
	return kind, text, ok
}

// readXtext decodes xtext (RFC 3461 section 4).
func readXtext(s string) (string, bool) {
	if strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(n))
		i += 2
	}
	return string(b), !bytes.ContainsAny(b, "\r\n\x00") && utf8.Valid(b)
}

// utf8Xtext writes utf-8-addr-xtext (RFC 6533 section 3): ASCII without the
// characters that mean something in it.
func utf8Xtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\x{%X}`, r)
	}
	return b.String()
}

// wire is an address as it goes over the wire: ASCII where only its domain is
// not.
func wire(a string) string {
	p, err := addr.ParseMailbox(a)
	if err != nil || p.IsUTF8() {
		return a
	}
	return p.ASCII()
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
