package encword

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// IsPlain reports whether s needs no encoded word: printable ASCII, blanks
// and tabs only.
func IsPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool { return c >= ' ' && c < 0x7f || c == '\t' }

// AppendText writes an unstructured value (RFC 5322 section 3.2.5), folded,
// to a line of which col octets are already used ("Name: "). Plain ASCII is
// written as it is; otherwise the words from the first to the last one that
// need it become encoded words. CR, LF and NUL in s are written as blanks:
// callers that must refuse them do so before.
func AppendText(dst []byte, col int, s string) []byte {
	s = strings.Trim(flat(s), " \t")
	if IsPlain(s) && !hasLongWord(s) {
		return AppendFolded(dst, col, s)
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	from, to := span(s)
	if from > 0 {
		start := len(dst)
		dst = AppendFolded(dst, col, s[:from])
		col = column(dst, start, col)
		if col > FoldAt-20 {
			dst, col = append(dst, "\r\n "...), 1
		} else {
			dst, col = append(dst, ' '), col+1
		}
	}
	dst, col = appendWords(dst, col, s[from+blanks(s[from:]):to], false)
	if to < len(s) {
		dst = AppendFolded(dst, col, s[to:])
	}
	return dst
}

// AppendFolded writes s, which needs no encoding, folding before blanks so
// that lines stay within FoldAt where s has blanks to fold at. A run of
// blanks is kept whole, so unfolding gives s back.
func AppendFolded(dst []byte, col int, s string) []byte {
	if col+len(s) <= FoldAt {
		return append(dst, s...)
	}
	for i := 0; i < len(s); {
		j := i + blanks(s[i:])
		for j < len(s) && s[j] != ' ' && s[j] != '\t' {
			j++
		}
		chunk := s[i:j]
		if col+len(chunk) > FoldAt && blanks(chunk) > 0 && blanks(chunk) < len(chunk) {
			dst, col = append(dst, "\r\n"...), 0
		}
		dst, col = append(dst, chunk...), col+len(chunk)
		i = j
	}
	return dst
}

// AppendPhrase writes s as encoded words for a phrase (RFC 2047 section 5,
// rule 3), for a name in an address. It returns no folds: the words stand
// apart by blanks where a later fold can break them.
func AppendPhrase(dst []byte, s string) []byte {
	s = strings.ToValidUTF8(flat(s), "\ufffd")
	dst, _ = appendWords(dst, -1, s, true)
	return dst
}

// flat replaces what must never stand in a header value by blanks.
func flat(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", " ").Replace(s)
}

func blanks(s string) int {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	return i
}

// maxPlain is the longest run without a blank left unencoded: such a run can
// not be folded, and with a header name before it must fit MaxLine.
const maxPlain = 900

func hasLongWord(s string) bool {
	if len(s) <= maxPlain {
		return false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if n++; s[i] == ' ' || s[i] == '\t' {
			// A run of blanks is never folded inside, so it counts as well.
			if i == 0 || s[i-1] != ' ' && s[i-1] != '\t' {
				n = 0
			}
		}
		if n > maxPlain {
			return true
		}
	}
	return false
}

// span finds the part of s to encode: from the blank before the first word
// that needs it to the end of the last such word.
func span(s string) (from, to int) {
	if hasLongWord(s) {
		return 0, len(s)
	}
	first, last := -1, 0
	for i := 0; i < len(s); i++ {
		if !plainByte(s[i]) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	from = max(strings.LastIndexAny(s[:first], " \t"), 0)
	for from > 0 && (s[from-1] == ' ' || s[from-1] == '\t') {
		from--
	}
	if from > 0 && blanks(s[from:]) > 1 || from > 0 && s[from] == '\t' {
		from = 0 // unusual blanks before the word would be lost: encode all
	}
	if i := strings.IndexAny(s[last:], " \t"); i >= 0 {
		return from, last + i
	}
	return from, len(s)
}

func column(dst []byte, start, col int) int {
	for i := len(dst) - 1; i >= start; i-- {
		if dst[i] == '\n' {
			return len(dst) - i - 1
		}
	}
	return col + len(dst) - start
}

const wordHead, wordTail = "=?utf-8?q?", "?="

// appendWords writes s as encoded words. With col < 0 the words stand apart
// by blanks, otherwise by folds, the first one fitting behind col octets.
func appendWords(dst []byte, col int, s string, phrase bool) ([]byte, int) {
	// Q stays readable, so it may be a third longer than B.
	q := qSize(s, phrase) <= (len(s)+2)/3*16/3
	room := maxWord - len(wordHead) - len(wordTail)
	first := room
	if col >= 0 {
		first = min(room, FoldAt-col-len(wordHead)-len(wordTail))
		if first < 12 {
			first = 12 // a long header name: the line grows, within MaxLine
		}
	}
	for lim := first; ; lim = room {
		n := fit(s, lim, q, phrase)
		start := len(dst)
		dst = appendWord(dst, s[:n], q, phrase)
		if s = s[n:]; s == "" {
			return dst, max(col, 0) + len(dst) - start
		}
		if col < 0 {
			dst = append(dst, ' ')
		} else {
			dst, col = append(dst, "\r\n "...), 1
		}
	}
}

// fit gives the length of the longest start of s, in whole characters, whose
// encoded form takes at most lim octets; at least one character.
func fit(s string, lim int, q, phrase bool) int {
	n, size := 0, 0
	for n < len(s) {
		_, w := utf8.DecodeRuneInString(s[n:])
		if q {
			size += qSize(s[n:n+w], phrase)
		} else {
			size = (n + w + 2) / 3 * 4
		}
		if size > lim && n > 0 {
			return n
		}
		n += w
	}
	return n
}

func appendWord(dst []byte, s string, q, phrase bool) []byte {
	if !q {
		dst = append(dst, "=?utf-8?b?"...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(s))
		return append(dst, wordTail...)
	}
	dst = append(dst, wordHead...)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			dst = append(dst, '_')
		case qSafe(c, phrase):
			dst = append(dst, c)
		default:
			dst = append(dst, '=', upperhex[c>>4], upperhex[c&15])
		}
	}
	return append(dst, wordTail...)
}

const upperhex = "0123456789ABCDEF"

func qSize(s string, phrase bool) int {
	n := len(s)
	for i := 0; i < len(s); i++ {
		if s[i] != ' ' && !qSafe(s[i], phrase) {
			n += 2
		}
	}
	return n
}

// qSafe tells the characters the Q encoding leaves alone (RFC 2047 sections
// 4.2 and 5).
func qSafe(c byte, phrase bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case phrase:
		return c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
	}
	return c > ' ' && c < 0x7f && c != '=' && c != '?' && c != '_'
}
