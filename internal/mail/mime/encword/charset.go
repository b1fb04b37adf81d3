package encword

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// ToUTF8 converts text in the named character set to UTF-8. It never fails:
// bytes that mean nothing become U+FFFD, and text of an unknown, missing or
// ASCII-only set is taken as UTF-8 when it is valid UTF-8 and as windows-1252
// otherwise, which is what unlabelled old mail mostly is. known reports
// whether the set was one this package can read.
func ToUTF8(charset string, b []byte) (text string, known bool) {
	if isUTF8Name(charset) {
		return validUTF8(b), true
	}
	if charset == "" || isASCIIName(charset) {
		return guess(b), true
	}
	enc := lookup(charset)
	if enc == nil {
		return guess(b), false
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return guess(b), false
	}
	return validUTF8(out), true
}

// IsUTF8Charset reports whether the named set is UTF-8.
func IsUTF8Charset(name string) bool { return isUTF8Name(name) }

// IsASCIISuperset reports whether ASCII text is the same bytes in the named
// set, so that a part of pure ASCII may keep its label.
func IsASCIISuperset(name string) bool {
	if name == "" || isUTF8Name(name) || isASCIIName(name) {
		return true
	}
	n := strings.ToLower(name)
	return strings.HasPrefix(n, "iso-8859-") || strings.HasPrefix(n, "windows-125") || n == "koi8-r" || n == "koi8-u"
}

func isUTF8Name(s string) bool {
	return strings.EqualFold(s, "utf-8") || strings.EqualFold(s, "utf8")
}

func isASCIIName(s string) bool {
	return strings.EqualFold(s, "us-ascii") || strings.EqualFold(s, "ascii") || strings.EqualFold(s, "ansi_x3.4-1968")
}

// lookup finds an encoding by the names browsers know, then by those of IANA.
// The "replacement" encoding (a browser's guard, one U+FFFD for everything)
// is of no use for showing mail, so it counts as unknown.
func lookup(charset string) encoding.Encoding {
	charset = strings.TrimSpace(charset)
	if strings.EqualFold(charset, "utf-16") {
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	if enc, err := htmlindex.Get(charset); err == nil && enc != encoding.Replacement {
		return enc
	}
	if enc, err := ianaindex.MIME.Encoding(charset); err == nil && enc != nil {
		return enc
	}
	return nil
}

func guess(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return validUTF8(b)
	}
	return string(out)
}

func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}
