package report

import (
	"bytes"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// readStatus reads the groups of fields of a message/delivery-status (RFC 3464
// section 2.1). ok is false if no recipient is among them.
func (b *Bounce) readStatus(data []byte) bool {
	for groups := 0; groups < 2*maxRecipients; groups++ {
		data = bytes.TrimLeft(data, "\r\n\t ")
		if len(data) == 0 {
			break
		}
		fields, body, err := mime.ScanHeader(data)
		if err != nil {
			b.Truncated = true
			break
		}
		b.readGroup(fields)
		data = data[body:]
	}
	b.dedupe()
	return len(b.Recipients) > 0
}

// dedupe leaves out repetitions: a loop of aliases gives one for each turn.
func (b *Bounce) dedupe() {
	type key struct {
		address string
		action  Action
	}
	seen, keep := make(map[key]bool, len(b.Recipients)), b.Recipients[:0]
	for _, r := range b.Recipients {
		k := key{addr.Canonical(r.Address()), r.Action}
		if k.address == "" || !seen[k] {
			seen[k] = true
			keep = append(keep, r)
		}
	}
	b.Recipients = keep
}

// readGroup reads one group. Fields about the message may stand in any, and
// some writers leave out the empty line between two recipients.
func (b *Bounce) readGroup(fields mime.Fields) {
	var r *Recipient
	acted := false
	flush := func() {
		if r != nil && r.complete(acted) {
			b.add(*r)
		}
		r, acted = nil, false
	}
	for _, f := range fields {
		name, value := strings.ToLower(string(f.Name)), f.Text()
		if b.messageField(name, value) {
			continue
		}
		if r != nil && (name == "final-recipient" && r.Final != "" || name == "original-recipient" && r.Original != "") {
			flush()
		}
		if r == nil {
			r = &Recipient{}
		}
		acted = r.field(name, value) || acted
	}
	flush()
}

func (b *Bounce) add(r Recipient) {
	if len(b.Recipients) >= maxRecipients {
		b.Truncated = true
		return
	}
	b.Recipients = append(b.Recipients, r)
}

// messageField takes a field about the whole message (RFC 3464 section 2.2).
func (b *Bounce) messageField(name, value string) bool {
	switch name {
	case "reporting-mta":
		b.ReportingMTA = host(typed(value))
	case "original-envelope-id":
		b.EnvelopeID = bound(value, 998)
	case "x-original-message-id":
		if b.Original.MessageID == "" {
			b.Original.MessageID = messageID(value)
		}
	default:
		return false
	}
	return true
}

// field takes a field about a recipient (RFC 3464 section 2.3) and reports
// whether it was a known Action.
func (r *Recipient) field(name, value string) bool {
	switch name {
	case "final-recipient":
		r.Final = address(typed(value))
	case "original-recipient":
		r.Original = address(typed(value))
	case "action":
		return r.setAction(value)
	case "status":
		r.Status = leadStatus(value)
	case "diagnostic-code":
		if r.Diagnostic == "" {
			r.Diagnostic = bound(value, maxDiagnostic)
		}
	case "x-supplementary-info": // Exchange, where it has no Diagnostic-Code
		if r.Diagnostic == "" {
			r.Diagnostic = "smtp; " + bound(value, maxDiagnostic)
		}
	case "remote-mta":
		r.RemoteMTA = host(typed(value))
	}
	return false
}

func (r *Recipient) setAction(value string) bool {
	word := strings.ToLower(strings.TrimSpace(value))
	if i := strings.IndexFunc(word, func(c rune) bool { return c < 'a' || c > 'z' }); i >= 0 {
		word = word[:i]
	}
	switch word {
	case "fail", "failure", "error":
		word = "failed"
	case "delay":
		word = "delayed"
	case "deliver", "success":
		word = "delivered"
	}
	for a, name := range actionNames {
		if word == name {
			r.Action = Action(a)
			return true
		}
	}
	return false
}

// complete fills in what a group lacks and reports whether it is about a
// recipient at all.
func (r *Recipient) complete(acted bool) bool {
	if !acted {
		switch {
		case r.Status == "":
			return false
		case r.Status[0] == '2':
			r.Action = Delivered
		case r.Status[0] == '4':
			r.Action = Delayed
		}
	}
	return r.Final != "" || r.Original != "" || r.Status != "" || r.Diagnostic != ""
}

// typed splits "rfc822; jane@example.com".
func typed(value string) (kind, text string) {
	kind, text, ok := strings.Cut(value, ";")
	if !ok {
		return "", strings.TrimSpace(value)
	}
	return strings.ToLower(strings.TrimSpace(kind)), strings.TrimSpace(text)
}

// address gives the mailbox in a recipient field. Other kinds of address than
// those of Internet mail are of no use.
func address(kind, text string) string {
	if kind == "utf-8" {
		text = readUTF8Address(text)
	}
	return mailbox(text)
}

// readUTF8Address decodes the \x{HEX} of utf-8-addr-xtext and
// utf-8-addr-unitext (RFC 6533 section 3).
func readUTF8Address(s string) string {
	if !strings.Contains(s, `\x{`) {
		return s
	}
	var b strings.Builder
	for s != "" {
		i := strings.Index(s, `\x{`)
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+3:]
		hex, _, ok := strings.Cut(s[:min(len(s), 8)], "}")
		n, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || n < ' ' || !utf8.ValidRune(rune(n)) {
			b.WriteString(`\x{`)
			continue
		}
		b.WriteRune(rune(n))
		s = s[len(hex)+1:]
	}
	b.WriteString(s)
	return b.String()
}

// host gives the name in "dns; mx.example.com (192.0.2.1)".
func host(_, text string) string {
	if i := strings.IndexAny(text, " \t("); i > 0 {
		text = text[:i]
	}
	return bound(strings.Trim(text, "<>[]\"'"), 255)
}

// leadStatus gives the enhanced status a text begins with, or "".
func leadStatus(s string) string {
	s = strings.TrimLeft(s, " \t#(\"'")
	if n := statusLen(s); n > 0 {
		return s[:n]
	}
	return ""
}

// statusLen is the length of the enhanced status (RFC 3463 section 2) that s
// begins with, or 0.
func statusLen(s string) int {
	if len(s) < 5 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' {
		return 0
	}
	n := digits(s[2:])
	if n == 0 || n > 3 || len(s) <= 2+n || s[2+n] != '.' {
		return 0
	}
	m := digits(s[3+n:])
	end := 3 + n + m
	if m == 0 || m > 3 || end < len(s) && s[end] == '.' && end+1 < len(s) && isDigit(s[end+1]) {
		return 0
	}
	return end
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// bound puts a text on one line and cuts it at max octets, not within a
// character.
func bound(s string, max int) string {
	if len(s) > 2*max+64 {
		s = s[:2*max+64]
	}
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	s = strings.Join(words, " ")
	if len(s) > max {
		for max > 0 && !utf8.RuneStart(s[max]) {
			max--
		}
		s = s[:max]
	}
	return s
}
