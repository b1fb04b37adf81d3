package quote

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a signature, in lines with something on them and characters.
const (
	maxDelimited  = 30 // lines behind "-- "
	maxClosed     = 10 // lines behind closing words
	maxClosedLine = 60 // characters of a line behind closing words
	maxDeviceTail = 5  // lines behind "Sent from my phone"
)

// splitSignature divides a text into what it says and the signature.
func splitSignature(p *phrases, text string) (stripped, signature string) {
	lines, complete := tail(text)
	at := signatureStart(p, lines, complete)
	if at == len(lines) {
		return text, ""
	}
	from := lines[at].start
	return strings.TrimRightFunc(text[:from], unseen), trimBlank(text[from:])
}

// tail gives the last lines of text that have something on them, as far as a
// signature may reach, and whether they are all there are.
func tail(text string) (lines []line, complete bool) {
	rev := make([]line, 0, maxDelimited+maxClosed+2)
	for end := len(text); end > 0 && len(rev) < cap(rev); {
		start := strings.LastIndexByte(text[:end], '\n') + 1
		if s := trim(text[start:end]); s != "" {
			rev = append(rev, line{text: s, start: int32(start), end: int32(end), mark: plainMark(s)})
		}
		end = start - 1
	}
	complete = len(rev) < cap(rev)
	for i, j := 0, len(rev)-1; i < j; i, j = i+1, j-1 {
		rev[i], rev[j] = rev[j], rev[i]
	}
	return rev, complete
}

// signatureStart is the line at which the signature begins, or the number of
// lines. The first line of a message is none.
func signatureStart(p *phrases, lines []line, complete bool) int {
	first := 0
	if complete {
		first = 1
	}
	for i := first; i < len(lines); i++ {
		if lines[i].mark == quoted {
			first = i + 1
		}
	}
	end := appendedStart(p, lines, first)
	at := closingStart(p, lines, first, end)
	if at == 1 && complete && end-at <= 1 && isGreeting(lines[0].text) {
		return end // "Hi Bob, / Thanks!" says thanks
	}
	return at
}

// appendedStart is where what a program appends begins: "-- ", "Sent from my
// phone", the footer of a mailing list.
func appendedStart(p *phrases, lines []line, first int) int {
	at := len(lines)
	for i := len(lines) - 1; i >= first; i-- {
		behind := len(lines) - 1 - i
		switch text := lines[i].text; {
		case behind <= maxDeviceTail && p.fromDevice(text), behind <= maxDelimited && isDelimiter(text),
			behind <= maxClosed && isRule(text) && text[0] == '_' && isFooter(lines[i+1:]):
			at = i
		}
	}
	return at
}

// isDelimiter reports whether a line divides text and signature (RFC 3676
// section 4.3); many programs lose the blank at its end.
func isDelimiter(s string) bool { return s == "--" || s == "—" || s == "- --" }

// isFooter reports whether lines are what a mailing list appends.
func isFooter(lines []line) bool {
	for _, l := range lines {
		s := strings.ToLower(l.text)
		if strings.Contains(s, "mailing list") || strings.Contains(s, "unsubscribe") || strings.Contains(s, "mailman") {
			return true
		}
	}
	return false
}

// closingStart is where closing words begin before line end, or end.
func closingStart(p *phrases, lines []line, first, end int) int {
	at := end
	for i := end - 1; i >= first && end-1-i <= maxClosed; i-- {
		text := lines[i].text
		if p.closes(text) {
			at = i
			continue
		}
		if utf8.RuneCountInString(text) > maxClosedLine || isSentence(text) {
			break
		}
	}
	if at == end && end > first && end > 1 && isDashedName(lines[end-1].text) && !strings.HasPrefix(lines[end-2].text, "-") {
		return end - 1
	}
	return at
}

// closes reports whether a line is closing words, with or without a name:
// "Thanks,", "Best regards, Bob Example".
func (p *phrases) closes(s string) bool {
	if len(s) > 2*maxClosedLine {
		return false
	}
	f := fold(s)
	if p.closing[strings.TrimRight(f, ",.!;:…~ ，。！、،؛")] {
		return true
	}
	words, name, ok := strings.Cut(s, ",")
	return ok && p.closing[fold(words)] && isName(name)
}

// isName reports whether s is up to three words that begin with a capital.
func isName(s string) bool {
	words := strings.Fields(s)
	for _, w := range words {
		r, _ := utf8.DecodeRuneInString(w)
		if !unicode.IsUpper(r) {
			return false
		}
	}
	return len(words) >= 1 && len(words) <= 3 && !strings.ContainsAny(s, "?!:")
}

// isDashedName reports whether s is a name behind a dash: "- Bob".
func isDashedName(s string) bool {
	name := strings.TrimLeft(s, "-–—~")
	dashes := utf8.RuneCountInString(s) - utf8.RuneCountInString(name)
	return (dashes == 1 || dashes == 2) && isName(name) && len(s) <= maxClosedLine
}

// isSentence reports whether a line says something and is no part of an
// address: a question, or four words and more that end as a sentence does.
func isSentence(s string) bool {
	last, _ := utf8.DecodeLastRuneInString(s)
	switch last {
	case '?', '？', '؟', '。', '！':
		return true
	case '.', '!', ':':
		return len(strings.Fields(s)) >= 4
	}
	return false
}

// isGreeting reports whether a line only addresses somebody.
func isGreeting(s string) bool {
	last, _ := utf8.DecodeLastRuneInString(s)
	return len(strings.Fields(s)) <= 5 && (last == ',' || last == '!' || last == ':' || last == '，' || last == '、')
}
