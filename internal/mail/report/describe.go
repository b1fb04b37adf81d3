package report

import (
	"strings"

	"postroad/internal/mail/addr"
)

// maxRegion bounds the lines looked at behind a recipient.
const maxRegion = 60

// describeAll reads what is said of each recipient. One that is named several
// times is one: where its first mention gives no reply, a later one may.
func describeAll(named []naming, lines []string, action Action) []Recipient {
	var out []Recipient
	var lineOf []int
	at := map[string]int{}
	for i, n := range named {
		end := len(lines)
		if i+1 < len(named) {
			end = named[i+1].line
		}
		r := describe(n, lines, end, action)
		key := addr.Canonical(n.address)
		j, again := at[key]
		if !again {
			at[key] = len(out)
			out, lineOf = append(out, r), append(lineOf, n.line)
			continue
		}
		first := &out[j]
		if had, _, _ := findReply(first.Diagnostic); had == 0 && (first.Diagnostic == "" || hasReply(r.Diagnostic)) {
			first.Diagnostic, first.RemoteMTA, first.toRcpt = r.Diagnostic, r.RemoteMTA, r.toRcpt
		}
	}
	for i := range out {
		if r := &out[i]; r.Diagnostic == "" {
			r.Diagnostic = heading(lines, lineOf[i])
		}
	}
	return out
}

func hasReply(s string) bool {
	code, _, _ := findReply(s)
	return code != 0
}

// describe reads what is said of a recipient: the rest of its line and the
// lines below, up to end.
func describe(n naming, lines []string, end int, action Action) Recipient {
	r := Recipient{Final: n.address, Original: n.alias, Action: action}
	from := min(n.line+1, end)
	rest := strings.TrimLeft(n.rest, " \t:,>;.-")
	if strings.HasPrefix(rest, "<mailto:") || strings.HasPrefix(rest, "on ") { // Exchange: on what day
		rest = ""
	}
	region := []string{rest}
	for _, line := range lines[from:min(end, from+maxRegion)] {
		t := strings.TrimSpace(line)
		if t = strings.TrimLeft(t, "("); isAlias(t) {
			if r.Original == "" {
				r.Original = aliasIn(t)
			}
			continue
		}
		if len(line) > 8192 {
			line = line[:8192]
		}
		region = append(region, line)
	}
	joined := strings.Join(region, "\n")
	r.RemoteMTA = remote(joined)
	r.toRcpt = aboutRcpt(joined)
	r.Diagnostic = diagnostic(joined)
	return r
}

// heading is the text that ends with the line naming a recipient, for notices
// that give their reason before they say whom it is about.
func heading(lines []string, at int) string {
	from := at
	for from > 0 && at-from < 8 && strings.TrimSpace(lines[from-1]) != "" {
		from--
	}
	text := bound(strings.Join(lines[from:at+1], " "), maxDiagnostic)
	if a := strings.Trim(text, " <>:\"'*-"); mailbox(a) == a {
		return "" // nothing but the address
	}
	return text
}

// diagnostic takes the reply out of a text, or its first paragraph if no reply
// is quoted.
func diagnostic(text string) string {
	if i := replyAt(text); i >= 0 && text[i] != '2' {
		return "smtp; " + bound(tidy(oneReply(paragraph(text[i:]))), maxDiagnostic)
	}
	text = strings.TrimLeft(text, "\n \t\r")
	for text != "" {
		p := paragraph(text)
		if t := strings.TrimSpace(p); isReason(t) {
			return bound(tidy(t), maxDiagnostic)
		}
		text = strings.TrimLeft(text[len(p):], "\n \t\r")
	}
	return ""
}

// isReason is false for paragraphs of signs and for headings.
func isReason(p string) bool {
	bare := strings.Trim(p, " \t\n-=*_.()#")
	return len(bare) > 2 && !strings.HasPrefix(p, "----") && !(strings.HasSuffix(bare, ":") && len(bare) < 60)
}

// oneReply cuts behind the last line of a reply (RFC 5321 section 4.2.1: a
// blank behind its code) where the next line begins another.
func oneReply(s string) string {
	at, last := 0, false
	for line := range strings.Lines(s) {
		t := strings.TrimLeft(line, " \t<")
		starts := len(t) > 3 && isDigit(t[0]) && isDigit(t[1]) && isDigit(t[2])
		if starts && last || strings.HasPrefix(t, ">>> ") {
			return s[:at]
		}
		last = last || starts && t[3] == ' '
		at += len(line)
	}
	return s
}

func isAlias(s string) bool {
	low := strings.ToLower(s)
	for _, p := range aliases {
		if strings.HasPrefix(low, p) {
			return true
		}
	}
	return false
}

// paragraph is s up to the first empty line, or line of signs.
func paragraph(s string) string {
	at := 0
	for line := range strings.Lines(s) {
		t := strings.TrimSpace(line)
		if at > 0 && (strings.Trim(t, "-=_*#") == "" || strings.HasPrefix(t, "----") || strings.HasPrefix(t, "Giving up on ")) {
			return s[:at]
		}
		at += len(line)
	}
	return s
}

// tidy takes off what stands around a reply: the stage that Postfix adds, the
// quotes of Exchange, the bracket of sendmail.
func tidy(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndex(s, "(in reply to"); i > 0 {
		s = strings.TrimSpace(s[:i])
	} else if i := strings.LastIndex(s, "(in\n"); i > 0 && strings.Contains(s[i:], "reply to") {
		s = strings.TrimSpace(s[:i])
	}
	if i := strings.LastIndexByte(s, '"'); len(s)-i < 4 && strings.Count(s, `"`)%2 == 1 {
		s = s[:i]
	}
	for _, pair := range [...]string{"()", "[]", "<>", "''"} {
		if strings.HasSuffix(s, pair[1:]) && (strings.Count(s, pair[1:]) > strings.Count(s, pair[:1]) || pair == "''" && strings.Count(s, "'")%2 == 1) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// aboutRcpt reports whether a text says that the reply was to RCPT TO.
func aboutRcpt(s string) bool {
	flat := flatten(s[:min(len(s), 4096)])
	for _, p := range [...]string{"reply to rcpt to", "after rcpt to", "does not like recipient", ">>> rcpt to", "[rcpt_to]", "sent <<< rcpt to", "in response to rcpt to", "command: rcpt to"} {
		if strings.Contains(flat, p) {
			return true
		}
	}
	return false
}

// remote finds the host that gave a reply: "host mx.example.com[192.0.2.1]
// said:", "... while talking to mx.example.com.:".
func remote(s string) string {
	s = strings.Join(strings.Fields(s[:min(len(s), 4096)]), " ")
	for _, p := range [...]string{"host ", "while talking to ", "domain by ", "Remote-MTA: dns;"} {
		i := strings.Index(s, p)
		if i < 0 {
			continue
		}
		name := strings.TrimLeft(s[i+len(p):], " \t\n")
		if n := strings.IndexAny(name, " \t\n[(:"); n > 0 {
			name = name[:n]
		}
		if name = strings.TrimRight(name, ".,"); strings.Contains(name, ".") && mailbox("x@"+name) != "" {
			return bound(name, 255)
		}
	}
	return ""
}

// transcript gives recipients without a reply the one that a line elsewhere
// gives for their address, or the only one there is.
func (b *Bounce) transcript(said dialogue) {
	for i := range b.Recipients {
		r := &b.Recipients[i]
		if code, _, _ := findReply(r.Diagnostic); code != 0 {
			continue
		}
		line, ok := said.of[addr.Canonical(r.Final)]
		if !ok && len(b.Recipients) == 1 {
			line, ok = said.first, said.first != ""
		}
		if ok {
			r.Diagnostic = "smtp; " + bound(tidy(line), maxDiagnostic)
			r.toRcpt = r.toRcpt || said.rcpt
		}
	}
}

// dialogue is what a transcript holds.
type dialogue struct {
	of    map[string]string // reply by address
	who   []string          // the addresses, in order
	first string            // first negative reply
	rcpt  bool              // it was to RCPT TO
}

// replies reads "<<< 550 5.1.1 <a@b>... User unknown" and such.
func replies(lines []string) dialogue {
	d := dialogue{of: map[string]string{}}
	asked := ""
	for _, line := range lines {
		s := strings.TrimLeft(line, " \t")
		if rest, ok := strings.CutPrefix(s, ">>> "); ok {
			if a, _, ok := leadAddress(strings.TrimLeft(afterFold(rest, "rcpt to:"), " ")); ok {
				asked = a
			} else {
				asked = ""
			}
			continue
		}
		s = strings.TrimPrefix(s, "<<< ")
		i := replyAt(s)
		if i < 0 || s[i] == '2' || len(s) > 2000 {
			continue
		}
		if d.first == "" {
			d.first, d.rcpt = s[i:], asked != "" || aboutRcpt(line)
		}
		d.put(asked, s[i:])
		d.put(anyAddress(s[i:]), s[i:])
	}
	return d
}

func (d *dialogue) put(address, reply string) {
	if address == "" || len(d.who) >= maxRecipients {
		return
	}
	if key := addr.Canonical(address); d.of[key] == "" {
		d.of[key] = reply
		d.who = append(d.who, address)
	}
}

func afterFold(s, lower string) string {
	if len(s) >= len(lower) && strings.EqualFold(s[:len(lower)], lower) {
		return s[len(lower):]
	}
	return ""
}

// anyAddress gives the first address in a line.
func anyAddress(s string) string {
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return ""
	}
	from := strings.LastIndexAny(s[:at], " \t<([\"':;,") + 1
	a, _, _ := leadAddress(s[from:])
	return a
}

// explain fills in what the part for machines leaves out and the text for
// people says: replies, and whether they were to RCPT TO.
func (b *Bounce) explain() {
	notice, _ := cutOriginal(b.Text)
	lines := strings.Split(notice, "\n")
	lines = lines[:min(len(lines), maxLines)]
	named := name(lines, addr.Set{}, "")
	about := map[string]Recipient{}
	for _, r := range describeAll(named[:min(len(named), maxRecipients)], lines, Failed) {
		about[addr.Canonical(r.Final)] = r
	}
	for i := range b.Recipients {
		r := &b.Recipients[i]
		found, ok := about[addr.Canonical(r.Final)]
		if !ok {
			found = about[addr.Canonical(r.Original)]
		}
		if found.Final == "" && len(b.Recipients) == 1 {
			found.toRcpt = aboutRcpt(notice)
		}
		r.toRcpt = found.toRcpt || aboutRcpt(r.Diagnostic)
		if r.Diagnostic == "" && r.Action <= Delayed {
			r.Diagnostic = found.Diagnostic
		}
		if r.RemoteMTA == "" {
			r.RemoteMTA = found.RemoteMTA
		}
	}
}
