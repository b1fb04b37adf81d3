package report

import (
	"bytes"
	"strings"
	"unicode"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// Original is what a report returned of the message it is about.
type Original struct {
	// MessageID without angle brackets.
	MessageID string
	// SID is the value of X-Mailgun-Sid, which names a message of ours.
	SID string
	// To holds the mailboxes of To.
	To []string
	// Header holds names as written and values decoded, in order; at most 500
	// fields and 128 KiB.
	Header [][2]string
}

// Get gives the first field of this name, or "".
func (o *Original) Get(name string) string {
	for _, f := range o.Header {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// readOriginal reads a message or its header.
func readOriginal(raw []byte) Original {
	raw = bytes.TrimLeft(raw, "\r\n")
	// A line before the header ("From x", a separator) is passed over.
	fields, _, err := mime.ScanHeader(raw[:min(len(raw), maxHeader)])
	if err != nil {
		return Original{}
	}
	var o Original
	for _, f := range fields {
		if f.Name == nil {
			continue
		}
		if len(o.Header) == maxFields {
			break
		}
		o.Header = append(o.Header, [2]string{bound(string(f.Name), 998), f.Text()})
	}
	o.MessageID = messageID(o.Get("Message-Id"))
	o.SID = o.Get("X-Mailgun-Sid")
	o.To = mailboxes(o.Get("To"))
	return o
}

// messageID takes the first id out of a field, without its brackets.
func messageID(s string) string {
	if _, rest, ok := strings.Cut(s, "<"); ok {
		s, _, _ = strings.Cut(rest, ">")
	}
	s = strings.TrimSpace(s)
	if len(s) > 998 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return ""
	}
	return s
}

// mailboxes gives the addresses in a field.
func mailboxes(s string) []string {
	list, err := addr.ParseList(s)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range list[:min(len(list), maxRecipients)] {
		out = append(out, a.Mailbox())
	}
	return out
}

// mailbox cleans an address of a report: "<a@b>", "a@b (comment)", "smtp:a@b".
// It is "" if there is none.
func mailbox(s string) string {
	s = strings.TrimSpace(s)
	if _, rest, ok := strings.Cut(s, "<"); ok {
		s, _, _ = strings.Cut(rest, ">")
	}
	if i := strings.IndexByte(s, '('); i > 0 {
		s = s[:i]
	}
	s = strings.Trim(s, " \t\"'<>[],;")
	if len(s) > 5 && (strings.EqualFold(s[:5], "smtp:") || strings.EqualFold(s[:5], "smtp=")) {
		s = s[5:]
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > maxAddress || strings.ContainsFunc(s, notAddress) {
		return ""
	}
	return s
}

func notAddress(r rune) bool {
	return r <= ' ' || r == 0x7f || r == '<' || r == '>' || r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r)
}
