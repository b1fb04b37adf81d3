package report

import (
	"strings"

	"postroad/internal/mail/addr"
)

// maxLines bounds the lines of a notice that are looked at.
const maxLines = 3000

// naming is a recipient that a line of a notice names.
type naming struct {
	address, alias string
	rest           string // of the line, behind the address
	line           int
	sure           bool // the line is a list item or a heading, not a sentence
}

// recipients finds who a notice is about and what is said of each.
func (b *Bounce) recipients(d *document, notice string, action Action) {
	lines := strings.Split(notice, "\n")
	lines = lines[:min(len(lines), maxLines)]
	if b.ReportingMTA == "" {
		b.ReportingMTA = speaker(lines)
	}
	strangers := addr.Set{}
	for _, name := range [...]string{"From", "To", "Reply-To", "Sender"} {
		for _, a := range mailboxes(d.header.Get(name)) {
			strangers[addr.Canonical(a)] = struct{}{}
		}
	}
	named := name(lines, strangers, d.header.Get("From"))
	failed := mailboxes(d.header.Get("X-Failed-Recipients"))
	for _, r := range describeAll(named, lines, action) {
		b.add(r)
	}
	seen := addr.Set{}
	for i := range b.Recipients {
		seen[addr.Canonical(b.Recipients[i].Final)] = struct{}{}
	}
	for _, a := range failed {
		if !seen.Has(a) {
			seen[addr.Canonical(a)] = struct{}{}
			b.add(Recipient{Final: a, Action: action})
		}
	}
	if len(b.Recipients) == 0 {
		b.add(b.unnamed(lines, action))
	}
	b.transcript(lines)
}

// unnamed makes the entry of a notice that names nobody: the one recipient of
// the original, if it had one.
func (b *Bounce) unnamed(lines []string, action Action) Recipient {
	r := describe(naming{line: -1}, lines, len(lines), action)
	if len(b.Original.To) == 1 {
		r.Final = b.Original.To[0]
	}
	return r
}

// name finds the recipients in a notice. Those in lists go before those in
// sentences: where there are any of the former, the latter repeat them.
func name(lines []string, strangers addr.Set, from string) []naming {
	var sure, all []naming
	aol := strings.HasSuffix(mailbox(from), "@aol.com")
	for i, line := range lines {
		n, ok := nameLine(line)
		if !ok {
			n, ok = nameSentence(line, lines, i)
		}
		if !ok && aol && i > 0 {
			n, ok = nameScreen(line, lines[i-1])
		}
		if !ok || strangers.Has(n.address) {
			continue
		}
		n.line = i
		all = append(all, n)
		if n.sure {
			sure = append(sure, n)
		}
		if len(all) > 4*maxRecipients {
			break
		}
	}
	if len(sure) > 0 {
		return sure
	}
	return all
}

// keys begin a line that names a recipient.
var keys = [...]string{
	"failed address:", "failed recipient:", "final-recipient:", "final recipient:", "original-recipient:", "recipient address:", "recipients:", "recipient:", "rcpt to:",
	"e-mail address:", "email address:", "xmail bounce: rcpt=", "rcpt=", "user mailbox exceeds allowed size:", "empfänger:", "destinataire:", "destinatario:",
}

// nameLine reads a line that is an item of a list: "<a@b>: text", "a@b",
// "  a@b (text)", "Recipient: [SMTP:a@b]".
func nameLine(line string) (naming, bool) {
	if len(line) > 1000 {
		return naming{}, false
	}
	s := strings.TrimLeft(line, " \t*-\u2022\u00b7|")
	low := strings.ToLower(s[:min(len(s), 40)])
	if strings.HasPrefix(low, "[<") { // XMail: "[<00>] XMail bounce: Rcpt=[a@b]"
		if i := strings.Index(low, "] "); i > 0 {
			s, low = s[i+2:], low[i+2:]
		}
	}
	keyed := false
	for _, k := range keys {
		if strings.HasPrefix(low, k) {
			s, keyed = strings.TrimLeft(s[len(k):], " \t"), true
			break
		}
	}
	if _, rest, ok := strings.Cut(s, ";"); keyed && ok && len(s)-len(rest) < 10 {
		s = strings.TrimLeft(rest, " ") // "rfc822; a@b"
	}
	a, rest, ok := leadAddress(s)
	if !ok || !keyed && !itemEnds(rest) {
		return nameDisplay(s)
	}
	return naming{address: a, alias: aliasIn(rest), rest: rest, sure: true}, true
}

// nameDisplay reads "Jane Doe (jane@example.com)" and what Exchange makes of
// it: "jane@example.com<mailto:jane@example.com>", "'Jane' on 1/2/2024".
func nameDisplay(s string) (naming, bool) {
	open := strings.LastIndexAny(s, "(<")
	if open <= 0 || open > 100 || strings.Count(s[:open], " ") > 4 || strings.ContainsAny(s[:open], ":;,.") && !strings.Contains(s[:open], "@") {
		return naming{}, false
	}
	in := strings.TrimRight(s[open+1:], " \t\r)>.:,")
	in = strings.TrimPrefix(in, "mailto:")
	a := mailbox(in)
	if a == "" || a != in || strings.HasPrefix(strings.ToLower(s), "from ") {
		return naming{}, false
	}
	return naming{address: a, sure: true}, true
}

// leadAddress reads the address at the start of s.
func leadAddress(s string) (a, rest string, ok bool) {
	t := strings.TrimLeft(s, "<[\"'(")
	if len(t) > 5 && strings.EqualFold(t[:5], "smtp:") {
		t = t[5:]
	}
	n := strings.IndexAny(t, " \t<>()[],;:\"'")
	if n < 0 {
		n = len(t)
	}
	a = strings.TrimRight(t[:n], ".")
	rest = t[len(a):]
	if mailbox(a) != a || a == "" || !strings.Contains(a[strings.LastIndexByte(a, '@'):], ".") {
		return "", "", false
	}
	return a, strings.TrimLeft(rest, ">])\"'"), true
}

// itemEnds reports whether what stands behind an address leaves it an item of
// a list.
func itemEnds(rest string) bool {
	r := strings.TrimLeft(rest, " \t\r")
	switch {
	case r == "", r[0] == ':', r[0] == '(', r[0] == '[', r[0] == '<', r[0] == '-', strings.HasPrefix(r, "..."), r == ",", r == ";", r == ".":
		return true
	}
	return strings.HasPrefix(r, "on ") || strings.HasPrefix(r, "\u2026")
}

// aliases stand before the address that mail was sent to first.
var aliases = [...]string{"expanded from", "generated from", "ultimately generated from", "expanded from:"}

// aliasIn finds "(expanded from <a@b>)".
func aliasIn(s string) string {
	low := strings.ToLower(s[:min(len(s), 1000)])
	for _, p := range aliases {
		if i := strings.Index(low, p); i >= 0 && len(low) == len(s[:min(len(s), 1000)]) {
			a, _, _ := leadAddress(strings.TrimLeft(s[i+len(p):], " \t:"))
			return a
		}
	}
	return ""
}

// sentences are words an address may follow.
var sentences = [...]string{
	"your message to ", "your email to ", "your e-mail to ", "your mail to ", "wasn't delivered to ", "not delivered to ", "be delivered to ", "unable to deliver to ", "failed to deliver to ", "undeliverable to ",
	"deliver your message to ", "delivery to ", "delivery to the address ", "deliver mail to ", "message for ", "sent to ", "exceeds allowed size: ", "rcpt to:", "the recipient ", "the address ", "nachricht an ", "message à ", "mensaje a ", "messaggio a ", "mensagem para ",
}

// nameSentence reads an address in the midst of a sentence; it may stand on
// the next line.
func nameSentence(line string, lines []string, i int) (naming, bool) {
	if len(line) > 1000 {
		return naming{}, false
	}
	low := strings.ToLower(strings.ReplaceAll(line, "\u2019", "'"))
	for _, p := range sentences {
		at := strings.Index(low+" ", p)
		if at < 0 {
			continue
		}
		rest := low[min(len(low), at+len(p)):]
		if len(low) == len(line) { // letters kept their length: take them as written
			rest = line[min(len(line), at+len(p)):]
		}
		if strings.TrimSpace(rest) == "" && i+1 < len(lines) {
			rest = strings.TrimLeft(lines[i+1], " \t")
		}
		if a, more, ok := leadAddress(strings.TrimLeft(rest, " ")); ok {
			return naming{address: a, rest: more}, true
		}
	}
	return naming{}, false
}

// nameScreen reads a screen name, which AOL gave without its domain, below a
// heading.
func nameScreen(line, above string) (naming, bool) {
	s := strings.TrimSpace(line)
	head := strings.TrimSpace(above)
	if s == "" || line[0] != '\t' && line[0] != ' ' || len(s) > 32 || !strings.HasSuffix(head, ":") || strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '_' && c != '.'
	}) {
		return naming{}, false
	}
	return naming{address: s + "@aol.com", sure: true}, true
}

// speaker finds the host that introduces itself: "This is the mail system at
// host mx.example.com.", "qmail-send program at example.com."
func speaker(lines []string) string {
	for _, line := range lines[:min(len(lines), 12)] {
		low := strings.ToLower(line)
		for _, p := range [...]string{"program at host ", "mail system at host ", "program at ", "mail server at ", "reporting-mta: dns;", "generating server: "} {
			i := strings.Index(low, p)
			if i < 0 || len(line) > 500 {
				continue
			}
			name := host("", strings.TrimSpace(low[i+len(p):]))
			if name = strings.TrimRight(name, ".:,"); strings.Contains(name, ".") {
				return name
			}
		}
	}
	return ""
}
