package report

import (
	"strings"

	"postroad/internal/mail/classify"
)

// judge finds the reply in the diagnostic and says what it means.
func (r *Recipient) judge(reporter string) {
	_, text := typed(r.Diagnostic)
	if !knownType(r.Diagnostic) {
		text = r.Diagnostic
	}
	code, status, rest := findReply(text)
	r.Code = code
	if status != "" && (r.Status == "" || strings.HasSuffix(r.Status, ".0.0") && status[0] == r.Status[0]) {
		r.Status = status
	}
	if r.Action == Delivered || r.Action == Relayed || r.Action == Expanded {
		r.Class = classify.Accepted
		return
	}
	judged := r.Code
	switch { // without a reply the status stands in; 554 and 450 say nothing of their own
	case judged >= 400:
	case strings.HasPrefix(r.Status, "5"):
		judged = 554
	case strings.HasPrefix(r.Status, "4"), r.Action == Delayed:
		judged = 450
	default:
		judged = 554
	}
	mx := r.RemoteMTA
	if mx == "" {
		mx = reporter
	}
	r.Class = classify.Classify(judged, r.Status, rest, mx).Class
	temporary := strings.HasPrefix(r.Status, "4")
	r.Hard = r.Action == Failed && !temporary && classify.Hard(r.Class, judged, r.toRcpt)
}

// knownType reports whether a diagnostic begins with a type rather than with
// words that happen to hold a semicolon.
func knownType(s string) bool {
	kind, _, ok := strings.Cut(s, ";")
	return ok && len(kind) < 20 && !strings.ContainsAny(strings.TrimSpace(kind), " \t<>:.")
}

// findReply finds the SMTP reply in a text of a few lines: its code, its
// enhanced status, and the text behind them. A number counts as a code where a
// reply can begin, or with a status behind it. Without a code the status is
// looked for alone.
func findReply(s string) (code int, status, rest string) {
	if i := replyAt(s); i >= 0 {
		code = int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0')
		rest = strings.TrimLeft(s[i+3:], " -\t#:")
		if status = leadStatus(rest); status != "" {
			rest = rest[strings.Index(rest, status)+len(status):]
		} else if status = findStatus(rest); status != "" && status[0] != s[i] {
			status = ""
		}
		return code, status, strings.TrimSpace(rest)
	}
	return 0, findStatus(s), s
}

// replyAt is the offset of the first reply code, or -1.
func replyAt(s string) int {
	for i := 0; i+3 <= len(s); i++ {
		if s[i] < '2' || s[i] > '5' || s[i] == '3' || s[i+1] < '0' || s[i+1] > '5' || !isDigit(s[i+2]) {
			continue
		}
		if i+3 < len(s) && strings.IndexByte(" -\t\n#:", s[i+3]) < 0 {
			continue
		}
		if startsReply(s[:i]) || leadStatus(strings.TrimLeft(s[i+3:min(len(s), i+24)], " -:\t")) != "" && !joins(s[:i]) {
			return i
		}
	}
	return -1
}

// joins reports whether the text goes on into what follows: a number, a name.
func joins(before string) bool {
	if before == "" {
		return false
	}
	c := before[len(before)-1]
	return isDigit(c) || c == '.' || c == '-' || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// replyLeads are words a reply may follow.
var replyLeads = [...]string{"error", "code", "returned", "status", "replied", "said", "with", "response", "reply", "reason", "message"}

func startsReply(before string) bool {
	t := strings.TrimRight(before, " \t")
	glued := len(t) == len(before)
	switch {
	case t == "":
		return true
	case strings.IndexByte("\n:;'\"(<>[=", t[len(t)-1]) >= 0:
		return !glued || t[len(t)-1] != '<' // "<550@example.com>" is an address
	case glued:
		return false
	}
	word := strings.ToLower(t[max(0, len(t)-9):])
	if i := strings.LastIndexAny(word, " \n("); i >= 0 {
		word = word[i+1:]
	}
	for _, l := range replyLeads {
		if word == l {
			return true
		}
	}
	return false
}

// findStatus finds an enhanced status anywhere in a text: at its start or
// behind what cannot belong to a number.
func findStatus(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '2' && c != '4' && c != '5' || i > 0 && strings.IndexByte(" \t\n#(['\"-:;<", s[i-1]) < 0 {
			continue
		}
		if n := statusLen(s[i:]); n > 0 && s[i+2] <= '7' && s[i+3] == '.' {
			return s[i : i+n]
		}
	}
	return ""
}
