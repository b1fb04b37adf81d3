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

// words is a notice with the recipients it names.
type words struct {
	text  string
	lines []string
	named []naming
}

// newWords looks for the recipients in a notice. The addresses in the header
// of the report are not among them.
func newWords(d *document, text string) *words {
	lines := strings.Split(text, "\n")
	n := &words{text: text, lines: lines[:min(len(lines), maxLines)]}
	strangers := addr.Set{}
	for _, name := range [...]string{"From", "To", "Reply-To", "Sender"} {
		for _, a := range mailboxes(d.header.Get(name)) {
			strangers[addr.Canonical(a)] = struct{}{}
		}
	}
	n.named = name(n.lines, strangers, d.header.Get("From"))
	return n
}

// recipients adds those a notice is about and what is said of each.
func (b *Bounce) recipients(d *document, n *words, action Action) {
	if b.ReportingMTA == "" {
		b.ReportingMTA = speaker(n.lines)
	}
	seen := addr.Set{}
	for _, r := range describeAll(n.named, n.lines, action) {
		seen[addr.Canonical(r.Final)] = struct{}{}
		b.add(r)
	}
	for _, a := range mailboxes(d.header.Get("X-Failed-Recipients")) {
		if !seen.Has(a) {
			seen[addr.Canonical(a)] = struct{}{}
			b.add(Recipient{Final: a, Action: action})
		}
	}
	said := replies(n.lines)
	if len(b.Recipients) == 0 {
		for _, a := range said.who {
			b.add(Recipient{Final: a, Action: action})
		}
	}
	if len(b.Recipients) == 0 { // it names nobody: the return path has to
		b.add(describe(naming{line: -1}, n.lines, len(n.lines), action))
	}
	b.transcript(said)
}

// name finds the recipients in a notice. Those in lists go before those in
// sentences: where there are any of the former, the latter repeat them.
func name(lines []string, strangers addr.Set, from string) []naming {
	var sure, all []naming
	aol := strings.HasSuffix(strings.ToLower(mailbox(from)), "@aol.com")
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

// nameLine reads a line that is an item of a list: "<a@b>: text", "a@b",
// "  a@b (text)", "Recipient: [SMTP:a@b]".
func nameLine(line string) (naming, bool) {
	if len(line) > 1000 {
		return naming{}, false
	}
	s := strings.TrimLeft(line, " \t*-\u2022\u00b7|")
	a, rest, ok := leadAddress(s)
	if !ok || !itemEnds(rest) {
		if a, rest, ok = keyed(s); !ok {
			return nameDisplay(s)
		}
	}
	return naming{address: a, alias: aliasIn(rest), rest: rest, sure: true}, true
}

// strangeKeys begin lines that name somebody else than a recipient.
var strangeKeys = [...]string{"from", "sender", "to", "cc", "bcc", "reply", "subject", "return", "message", "mail from", "contact", "please", "for ", "envelope", "original sender", "x-", "postmaster", "admin", "help", "date", "id", ">>>", "<<<", "sent", "received", "host", "smtp", "http"}

// keyed reads a heading and an address behind it: "Recipient: [SMTP:a@b]",
// "User mailbox exceeds allowed size: a@b", "Rcpt=[a@b]", "Original-Recipient:
// rfc822;a@b".
func keyed(s string) (a, rest string, ok bool) {
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return "", "", false
	}
	colon := strings.LastIndexAny(s[:at], ":=;")
	if colon > 4 && strings.EqualFold(s[colon-4:colon], "smtp") {
		colon = strings.LastIndexAny(s[:colon], ":=")
	}
	if colon <= 0 || colon > 40 {
		return "", "", false
	}
	key := strings.TrimLeft(strings.ToLower(s[:colon]), "(<\"'")
	if isAlias(key) {
		return "", "", false
	}
	for _, k := range strangeKeys {
		if strings.HasPrefix(key, k) {
			return "", "", false
		}
	}
	a, rest, ok = leadAddress(strings.TrimLeft(s[colon+1:], " \t"))
	return a, rest, ok && itemEnds(rest)
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
	if mailbox(a) != a || a == "" || strings.Contains(a, "...") || strings.EqualFold(a[:min(len(a), 11)], "postmaster@") || !strings.Contains(a[strings.LastIndexByte(a, '@'):], ".") {
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
	"deliver your message to ", "addressed to ", "smtp=", "mailbox ", "delivery to ", "delivery to the address ", "deliver mail to ", "message for ", "sent to ", "exceeds allowed size: ", "rcpt to:", "the recipient ", "the address ", "nachricht an ", "message à ", "mensaje a ", "messaggio a ", "mensagem para ",
}

// nameSentence reads an address in the midst of a sentence; it may stand on
// the next line.
func nameSentence(line string, lines []string, i int) (naming, bool) {
	if len(line) > 1000 {
		return naming{}, false
	}
	line = strings.Join(strings.Fields(strings.ReplaceAll(line, "\u2019", "'")), " ")
	low := strings.ToLower(line)
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
