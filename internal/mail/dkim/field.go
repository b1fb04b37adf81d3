package dkim

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// tags are the parts of a signature field that differ between its keys.
type tags struct{ algorithm, domain, selector string }

// foldColumn is where lines are broken, RFC 5322, section 2.1.1.
const foldColumn = 76

// folder appends tokens to a field and breaks the line where one would pass
// foldColumn. Tokens are never cut.
type folder struct {
	out  []byte
	line int // where the current line starts
}

func (f *folder) fold() {
	f.out = append(f.out, "\r\n\t"...)
	f.line = len(f.out) - 1
}

// space makes room for a token of n bytes: by a blank, or a fold.
func (f *folder) space(n int) {
	if len(f.out)-f.line+1+n > foldColumn {
		f.fold()
		return
	}
	f.out = append(f.out, ' ')
}

// tag appends " name=value;".
func (f *folder) tag(name, value string) {
	f.space(len(name) + len(value) + 2)
	f.out = append(f.out, name...)
	f.out = append(f.out, '=')
	f.out = append(f.out, value...)
	f.out = append(f.out, ';')
}

// number appends " name=n;".
func (f *folder) number(name string, n int64) {
	var digits [20]byte
	value := strconv.AppendInt(digits[:0], n, 10)
	f.space(len(name) + len(value) + 2)
	f.out = append(f.out, name...)
	f.out = append(f.out, '=')
	f.out = append(f.out, value...)
	f.out = append(f.out, ';')
}

// list appends " h=A:B:C;", broken after colons.
func (f *folder) list(names []byte) {
	f.fold()
	f.out = append(f.out, "h="...)
	for first := true; len(names) > 0; first = false {
		n := len(names)
		for i, c := range names {
			if c == ':' {
				n = i + 1
				break
			}
		}
		if !first && len(f.out)-f.line+n+1 > foldColumn {
			f.fold()
		}
		f.out = append(f.out, names[:n]...)
		names = names[n:]
	}
	f.out = append(f.out, ';')
}

// appendUnsigned appends the signature field up to and with "b=", the form that
// is signed (RFC 6376, section 3.7).
func (w *work) appendUnsigned(t tags, o *Options, sum *BodyHash) {
	f := folder{out: w.out, line: len(w.out)}
	if o.Instance > 0 {
		f.out = append(f.out, "ARC-Message-Signature:"...)
		f.number("i", int64(o.Instance))
	} else {
		f.out = append(f.out, "DKIM-Signature: v=1;"...)
	}
	f.tag("a", t.algorithm)
	f.tag("c", canonicalizationTag(o))
	f.tag("d", t.domain)
	f.tag("s", t.selector)
	if !o.Time.IsZero() {
		f.number("t", o.Time.Unix())
	}
	if !o.Expiry.IsZero() {
		f.number("x", o.Expiry.Unix())
	}
	if o.Identity != "" && o.Instance == 0 && identityFits(o.Identity, t.domain) {
		f.tag("i", quoteIdentity(o.Identity))
	}
	f.list(w.list)
	f.fold()
	f.out = append(f.out, "bh="...)
	f.out = base64.StdEncoding.AppendEncode(f.out, sum[:])
	f.out = append(f.out, ';')
	f.fold()
	w.out = append(f.out, "b="...)
}

func canonicalizationTag(o *Options) string {
	switch {
	case o.Header == Relaxed && o.Body == Relaxed:
		return "relaxed/relaxed"
	case o.Header == Relaxed:
		return "relaxed/simple"
	case o.Body == Relaxed:
		return "simple/relaxed"
	default:
		return "simple/simple"
	}
}

// appendSignature appends the value of "b=" and ends the field.
func (w *work) appendSignature(signature []byte) {
	const perLine = 54 // bytes, 72 characters
	for len(signature) > perLine {
		w.out = base64.StdEncoding.AppendEncode(w.out, signature[:perLine])
		w.out = append(w.out, "\r\n\t"...)
		signature = signature[perLine:]
	}
	w.out = base64.StdEncoding.AppendEncode(w.out, signature)
	w.out = append(w.out, '\r', '\n')
}

// signingDomain checks a domain and returns it in A-labels.
func signingDomain(domain string) (string, error) {
	if !isASCII(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", fmt.Errorf("%w: %q", ErrBadDomain, domain)
		}
		domain = ascii
	}
	if !validDNSName(domain) {
		return "", fmt.Errorf("%w: %q", ErrBadDomain, domain)
	}
	return domain, nil
}

// validDNSName accepts labels of letters, digits, hyphens and underscores, in the
// lengths of RFC 1035, section 2.3.4. Underscores are outside RFC 6376's
// sub-domain, but selectors with them are in use.
func validDNSName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}

// validFieldName accepts an RFC 5322 field name without the semicolon, which
// cannot stand in a tag (RFC 6376, section 3.5, "h=").
func validFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' || c == ';' {
			return false
		}
	}
	return len(s) > 0 && len(s) < foldColumn
}

// identityFits reports whether the identity's domain is the signing domain or
// lies below it (RFC 6376, section 3.5, "i=").
func identityFits(identity, domain string) bool {
	at := strings.LastIndexByte(identity, '@')
	if at < 0 {
		return false
	}
	d, err := signingDomain(identity[at+1:])
	if err != nil {
		return false
	}
	signing, err := signingDomain(domain)
	if err != nil {
		return false
	}
	if len(d) == len(signing) {
		return equalFold(d, signing)
	}
	cut := len(d) - len(signing)
	return cut > 0 && d[cut-1] == '.' && equalFold(d[cut:], signing)
}

// quoteIdentity writes an identity in DKIM quoted-printable (RFC 6376, section
// 2.11), its domain in A-labels.
func quoteIdentity(identity string) string {
	at := strings.LastIndexByte(identity, '@')
	domain, err := signingDomain(identity[at+1:])
	if err != nil {
		domain = identity[at+1:] // checked by identityFits; kept for what is quoted below
	}
	var b strings.Builder
	for _, c := range []byte(identity[:at+1] + domain) {
		if c > ' ' && c < 0x7f && c != ';' && c != '=' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "=%02X", c)
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// equalFold compares ASCII names without regard to case; strings.EqualFold also
// folds letters such as the Kelvin sign.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
