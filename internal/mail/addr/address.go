package addr

import (
	"strings"
	"unicode/utf8"

	"postroad/internal/mail/mime/encword"
)

// Address is one mailbox with the name written beside it.
type Address struct {
	// Name is the display name, decoded; empty if there is none.
	Name string
	// Local is the local part without quoting: `john doe` for "john doe"@x.
	Local string
	// Domain is the domain as written, in lower case: U-label or A-label.
	Domain string
}

// Mailbox gives local@domain with the domain as it was written (lower case)
// and the local part quoted where it has to be.
func (a Address) Mailbox() string { return quoteLocal(a.Local) + "@" + a.Domain }

// ASCII gives local@domain with the domain in A-labels (RFC 5890), the form
// for envelopes. It still holds UTF-8 when the local part does: see IsUTF8.
func (a Address) ASCII() string { return quoteLocal(a.Local) + "@" + asciiDomain(a.Domain) }

// IsUTF8 reports whether the address can be sent to only with SMTPUTF8
// (RFC 6531): its local part is not ASCII.
func (a Address) IsUTF8() bool { return !isASCII(a.Local) }

// String gives the form for a header field: the name quoted or in encoded
// words (RFC 2047) where needed, and the mailbox in angle brackets. The domain
// is in A-labels unless the local part makes the header UTF-8 anyway.
func (a Address) String() string {
	if a.Name == "" {
		return a.headerMailbox()
	}
	b := make([]byte, 0, len(a.Name)+len(a.Local)+len(a.Domain)+16)
	b = appendName(b, a.Name)
	b = append(b, " <"...)
	b = append(b, a.headerMailbox()...)
	return string(append(b, '>'))
}

func (a Address) headerMailbox() string {
	if a.IsUTF8() {
		return a.Mailbox()
	}
	return a.ASCII()
}

// maxPlainName is the longest name written without encoded words, so that a
// name without blanks can not pass the line limit.
const maxPlainName = 200

func appendName(b []byte, name string) []byte {
	if !encword.IsPlain(name) || strings.Contains(name, "=?") || len(name) > maxPlainName {
		return encword.AppendPhrase(b, name)
	}
	if isPhrase(name) {
		return append(b, name...)
	}
	return appendQuoted(b, name)
}

// isPhrase reports whether s is atoms with single blanks between them.
func isPhrase(s string) bool {
	prev := byte(' ')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && prev == ' ' || c != ' ' && !isAtext(c) {
			return false
		}
		prev = c
	}
	return prev != ' '
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

func quoteLocal(s string) string {
	if isDotAtom(s) {
		return s
	}
	return string(appendQuoted(make([]byte, 0, len(s)+8), s))
}

func isDotAtom(s string) bool {
	prev := byte('.')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' && prev == '.' || c != '.' && c < utf8.RuneSelf && !isAtext(c) {
			return false
		}
		prev = c
	}
	return prev != '.'
}

// atext holds the characters of an atom (RFC 5322 section 3.2.3).
var atext = func() (t [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~" {
		t[c] = true
	}
	return t
}()

func isAtext(c byte) bool { return atext[c] }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Join writes a list for a header field, unfolded.
func Join(list []Address) string {
	var b strings.Builder
	for i, a := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.String())
	}
	return b.String()
}
