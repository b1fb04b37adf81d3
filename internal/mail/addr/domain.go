package addr

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Length limits in octets (RFC 5321 section 4.5.3.1, RFC 1035 section 2.3.4).
const (
	MaxLocal  = 64
	MaxDomain = 255
	maxLabel  = 63
)

// profile maps and checks names as a lookup does (RFC 5891 section 5), without
// the transitional mapping of 2003. It holds no state.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))

// checkDomain validates a domain and gives it in lower case.
func checkDomain(s string) (string, Reason) {
	if s == "" {
		return "", ReasonDomainMissing
	}
	if !isASCII(s) || hasALabel(s) {
		return checkIDN(s)
	}
	if r := checkLabels(s); r != "" {
		return "", r
	}
	return strings.ToLower(s), ""
}

func checkIDN(s string) (string, Reason) {
	if len(s) > 4*MaxDomain || !utf8.ValidString(s) {
		return "", ReasonDomain
	}
	a, err := profile.ToASCII(s)
	if err != nil || a == "" { // the mapping can leave nothing
		return "", ReasonDomain
	}
	if r := checkLabels(a); r != "" {
		return "", r
	}
	if isASCII(s) {
		return strings.ToLower(s), ""
	}
	u, err := profile.ToUnicode(s)
	if err != nil {
		return "", ReasonDomain
	}
	return u, ""
}

func checkLabels(s string) Reason {
	if len(s) > MaxDomain {
		return ReasonDomainLong
	}
	for s != "" {
		label, rest, more := strings.Cut(s, ".")
		if len(label) > maxLabel {
			return ReasonDomainLong
		}
		if !isLDH(label) || more && rest == "" {
			return ReasonDomain
		}
		s = rest
	}
	return ""
}

// isLDH accepts letters, digits and inner hyphens (RFC 5321 sub-domain).
func isLDH(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

func hasALabel(s string) bool {
	for i := 0; i+4 <= len(s); i++ {
		if s[i]|0x20 == 'x' && strings.EqualFold(s[i:i+4], "xn--") {
			return true
		}
	}
	return false
}

// asciiDomain gives the A-label form; a domain that has none is returned in
// lower case as it is, which happens only to an Address made by hand.
func asciiDomain(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	if a, err := profile.ToASCII(s); err == nil {
		return a
	}
	return strings.ToLower(s)
}

// Canonical gives the form mailboxes are compared and stored for lookup in:
// lower case throughout (local parts too, as Mailgun does for suppressions),
// the domain in A-labels, the local part in NFC and quoted only if needed.
// Text that is no mailbox comes back trimmed and in lower case.
func Canonical(mailbox string) string {
	if isCanonicalASCII(mailbox) {
		return mailbox
	}
	a, err := ParseMailbox(strings.TrimSpace(mailbox))
	if err != nil {
		return strings.ToLower(strings.TrimSpace(mailbox))
	}
	a.Local = norm.NFC.String(strings.ToLower(norm.NFC.String(a.Local)))
	return a.ASCII()
}

// isCanonicalASCII is the common case that needs no work.
func isCanonicalASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == '"' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// Set holds mailboxes by their canonical form.
type Set map[string]struct{}

// Add puts the mailbox of a in the set and reports whether it was new.
func (s Set) Add(a Address) bool {
	key := Canonical(a.Mailbox())
	if _, ok := s[key]; ok {
		return false
	}
	s[key] = struct{}{}
	return true
}

// Has reports whether the mailbox, in any spelling, is in the set.
func (s Set) Has(mailbox string) bool {
	_, ok := s[Canonical(mailbox)]
	return ok
}

// Dedupe gives list without the repetitions of a mailbox, the first kept.
// To remove them across several lists use one Set.
func Dedupe(list []Address) []Address {
	seen := make(Set, len(list))
	out := make([]Address, 0, len(list))
	for _, a := range list {
		if seen.Add(a) {
			out = append(out, a)
		}
	}
	return out
}
