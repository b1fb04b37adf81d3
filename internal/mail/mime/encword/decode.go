package encword

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Decode turns a raw header value, folded or not, into text: line breaks of
// the folding are taken out, encoded words become characters, bytes that are
// no UTF-8 are read as windows-1252. Encoded words that are broken stay as
// they were written. The result holds no CR, LF or NUL, whatever an encoded
// word contained, and has no blanks at its ends.
func Decode(s string) string {
	s = strings.Trim(s, " \t\r\n")
	if !needsDecoding(s) {
		return s
	}
	return clean(decodeWords(unfold(s), nil))
}

// DecodeWith is Decode with each run of encoded words passed through wrap
// before it is put in place. Address headers use it to quote what an encoded
// word contained, so that a comma in a name does not become a separator.
func DecodeWith(s string, wrap func(string) string) string {
	s = strings.Trim(s, " \t\r\n")
	if !needsDecoding(s) {
		return s
	}
	return clean(decodeWords(unfold(s), wrap))
}

func needsDecoding(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\r' || c == '\n' || c == 0:
			return true
		case c == '=' && i+1 < len(s) && s[i+1] == '?':
			return true
		case c >= utf8.RuneSelf:
			return true
		}
	}
	return false
}

// unfold drops the line breaks and keeps the blanks (RFC 5322 section 2.2.3).
func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\r', '\n':
			if i+1 < len(s) && s[i+1] != ' ' && s[i+1] != '\t' && s[i+1] != '\r' && s[i+1] != '\n' {
				b = append(b, ' ')
			}
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func clean(s string) string {
	if !utf8.ValidString(s) {
		s = guess([]byte(s)) // no encoded words and no UTF-8
	}
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, s)
}

// word is one encoded word found in a value.
type word struct {
	charset string
	enc     byte // 'q' or 'b'
	text    string
	end     int // offset behind the word
}

// decodeWords replaces runs of encoded words. Words that follow one another
// in one character set are joined as bytes first: some writers split a
// character between two words.
func decodeWords(s string, wrap func(string) string) string {
	var out strings.Builder
	out.Grow(len(s))
	for i := 0; i < len(s); {
		j := strings.Index(s[i:], "=?")
		if j < 0 {
			out.WriteString(guess([]byte(s[i:])))
			break
		}
		out.WriteString(guess([]byte(s[i : i+j])))
		i += j
		w, ok := wordAt(s, i)
		if !ok {
			out.WriteString("=?")
			i += 2
			continue
		}
		text, end := decodeRun(s, w)
		if wrap != nil {
			text = wrap(clean(text))
		}
		out.WriteString(text)
		i = end
	}
	return out.String()
}

func decodeRun(s string, w word) (string, int) {
	var out strings.Builder
	var buf []byte
	for {
		buf = appendDecoded(buf, w)
		next, ok := wordAt(s, skipBlanks(s, w.end))
		if ok && strings.EqualFold(next.charset, w.charset) {
			w = next
			continue
		}
		text, _ := ToUTF8(w.charset, buf)
		out.WriteString(text)
		if !ok {
			return out.String(), w.end
		}
		buf, w = buf[:0], next
	}
}

func skipBlanks(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	return i
}

// maxWordRead bounds the search for the end of a word, so that a value full
// of openings costs linear time. Real words pass the 75 octets of the RFC.
const maxWordRead = 4096

// wordAt reads the encoded word that starts at s[i].
func wordAt(s string, i int) (word, bool) {
	if i+8 > len(s) || s[i] != '=' || s[i+1] != '?' {
		return word{}, false
	}
	lim := s[i:min(len(s), i+maxWordRead)]
	q := strings.IndexByte(lim[2:min(len(lim), 2+64)], '?')
	if q <= 0 || 2+q+3 > len(lim) {
		return word{}, false
	}
	p := 2 + q + 1 // the encoding letter
	if lim[p+1] != '?' || (lim[p]|0x20 != 'q' && lim[p]|0x20 != 'b') {
		return word{}, false
	}
	e := wordEnd(lim, p+2)
	if e < 0 {
		return word{}, false
	}
	cs, _, _ := strings.Cut(lim[2:2+q], "*") // RFC 2231 section 5: language
	w := word{charset: cs, enc: lim[p] | 0x20, text: lim[p+2 : e], end: i + e + 2}
	return w, true
}

// wordEnd finds the closing "?=". A single "?" and blanks are let through,
// as some writers leave them unencoded; the start of another word is not.
func wordEnd(s string, from int) int {
	e := strings.Index(s[from:], "?=")
	if e < 0 || strings.Contains(s[from:from+e], "=?") {
		return -1
	}
	return from + e
}

func appendDecoded(dst []byte, w word) []byte {
	if w.enc == 'b' {
		return appendBase64(dst, w.text)
	}
	for i := 0; i < len(w.text); i++ {
		switch c := w.text[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(w.text) && unhex(w.text[i+1]) < 16 && unhex(w.text[i+2]) < 16:
			dst = append(dst, unhex(w.text[i+1])<<4|unhex(w.text[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendBase64 decodes what can be decoded: padding is optional.
func appendBase64(dst []byte, s string) []byte {
	s = strings.TrimRight(s, "=")
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	n := len(dst)
	dst = append(dst, make([]byte, base64.RawStdEncoding.DecodedLen(len(s)))...)
	m, _ := base64.RawStdEncoding.Decode(dst[n:], []byte(s)) // a broken tail is dropped on purpose
	return dst[:n+m]
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
