package domain

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"postroad/internal/base/errs"
)

// maxName is the longest name in bytes: 255 on the wire less two (RFC 1035,
// section 2.3.4).
const maxName = 253

// NormalizeName returns a domain name in the form it is stored: lower case,
// A-labels, no final dot. Labels hold letters, digits and inner hyphens. An
// address, a name whose last label is a number (it would read as an address)
// and, unless single is true, a name of one label are Invalid.
func NormalizeName(name string, single bool) (string, error) {
	n, reason := normalize(name)
	if reason == "" && !single && !strings.Contains(n, ".") {
		reason = "it has one label only"
	}
	if reason != "" {
		return "", errs.New(errs.Invalid, "The domain name %q is not valid: %s", clip(name), reason)
	}
	return n, nil
}

func normalize(name string) (n, reason string) {
	if len(name) > 4*maxName {
		return "", "it is too long"
	}
	if !utf8.ValidString(name) {
		return "", "it is not UTF-8"
	}
	n = strings.TrimSuffix(name, ".")
	if isASCII(n) { // capitals alone ask for no mapping, which is stricter than names in use
		n = strings.ToLower(n)
	}
	if !isLower(n) {
		// The profile holds no state and costs little beside the mapping itself.
		p := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(true))
		a, err := p.ToASCII(n)
		if err != nil {
			return "", "it cannot be written in DNS labels"
		}
		n = strings.ToLower(strings.TrimSuffix(a, "."))
	}
	return n, checkLabels(n)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isLower reports whether s needs no mapping: lower-case ASCII without A-labels,
// which the mapping checks.
func isLower(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || 'A' <= s[i] && s[i] <= 'Z' {
			return false
		}
	}
	return !strings.HasPrefix(s, "xn--") && !strings.Contains(s, ".xn--")
}

func checkLabels(n string) (reason string) {
	if n == "" {
		return "it is empty"
	}
	if len(n) > maxName {
		return "it is too long"
	}
	last := ""
	for label := range strings.SplitSeq(n, ".") {
		if !isLabel(label) {
			return "a label is empty, too long, or has a character other than letters, digits and inner hyphens"
		}
		last = label
	}
	if strings.Trim(last, "0123456789") == "" || isHexNumber(last) {
		return "it looks like an address"
	}
	return ""
}

// isHexNumber accepts 0x7f000001, which some software takes for 127.0.0.1.
func isHexNumber(s string) bool {
	rest, ok := strings.CutPrefix(s, "0x")
	return ok && strings.Trim(rest, "0123456789abcdef") == ""
}

// isLabel reports whether s is a label of a host name (RFC 1123, section 2.1).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// isSelector reports whether s can be a DKIM selector. Mailgun: an atom, so one
// label; underscores are in use.
func isSelector(s string) bool {
	return isLabel(strings.ReplaceAll(strings.ToLower(s), "_", "x"))
}

// rootOf returns the registrable domain of name: that below the public suffix.
// "" if name is one itself or has none.
func rootOf(name string) string {
	root, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil || root == name {
		return ""
	}
	return root
}

// within reports whether name is parent or below it.
func within(name, parent string) bool {
	return name == parent || strings.HasSuffix(name, "."+parent)
}

func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
