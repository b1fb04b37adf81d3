package panel

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what a search box may ask for, so that a search has bounded cost.
const (
	maxSearch = 500 // octets
	maxTerms  = 20
)

// Filter is a parsed search. Terms of different fields must all match; values
// within From, To, Subject, Tags, Statuses and Domains are alternatives; every
// one of Words must match somewhere in the addresses, the subject or the ids.
// Matching ignores case and finds the value anywhere in the field, except for
// tags, statuses and domains, which match whole.
type Filter struct {
	Words    []string
	From     []string
	To       []string
	Subject  []string
	Tags     []string
	Domains  []string
	Statuses []Status
}

// Empty reports whether the filter lets everything pass.
func (f Filter) Empty() bool {
	return len(f.Words)+len(f.From)+len(f.To)+len(f.Subject)+len(f.Tags)+len(f.Domains)+len(f.Statuses) == 0
}

// ParseSearch reads the search box: words, quoted phrases and the operators
// from: to: subject: tag: status: domain:, each followed by a word or a quoted
// phrase. It accepts anything: an unknown operator is a word, text beyond 500
// octets or 20 terms is ignored.
func ParseSearch(s string) Filter {
	var f Filter
	if len(s) > maxSearch {
		s = s[:maxSearch]
		for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
			s = s[:len(s)-1]
		}
	}
	s = strings.ToValidUTF8(s, "")
	for range maxTerms {
		var op, value string
		op, value, s = nextTerm(s)
		if op == "" && value == "" {
			break
		}
		f.add(op, value)
	}
	return f
}

// add puts one term where it belongs. An operator without a value says
// nothing yet: somebody is still typing.
func (f *Filter) add(op, value string) {
	if value == "" {
		return
	}
	switch op {
	case "from":
		f.From = append(f.From, value)
	case "to":
		f.To = append(f.To, value)
	case "subject":
		f.Subject = append(f.Subject, value)
	case "tag":
		f.Tags = append(f.Tags, value)
	case "domain":
		f.Domains = append(f.Domains, strings.ToLower(value))
	case "status":
		f.addStatus(Status(strings.ToLower(value)))
	default:
		f.Words = append(f.Words, value)
	}
}

func (f *Filter) addStatus(s Status) {
	if s != "" && !slices.Contains(f.Statuses, s) {
		f.Statuses = append(f.Statuses, s)
	}
}

// nextTerm cuts the first term off s. Both results are empty at the end.
func nextTerm(s string) (op, value, rest string) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	if s == "" {
		return "", "", ""
	}
	if name, after, ok := strings.Cut(s, ":"); ok && operator(strings.ToLower(name)) {
		value, rest = nextValue(after)
		return strings.ToLower(name), value, rest
	}
	value, rest = nextValue(s)
	if value == "" { // a lone pair of quotes: skip it, but go on
		return "empty", "", rest
	}
	return "", value, rest
}

// nextValue reads a quoted phrase or everything up to the next space.
func nextValue(s string) (value, rest string) {
	if after, ok := strings.CutPrefix(s, `"`); ok {
		value, rest, _ = strings.Cut(after, `"`)
		return strings.TrimSpace(value), rest
	}
	end := strings.IndexFunc(s, unicode.IsSpace)
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func operator(name string) bool {
	switch name {
	case "from", "to", "subject", "tag", "status", "domain":
		return true
	}
	return false
}
