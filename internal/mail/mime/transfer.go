package mime

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// encoding is a Content-Transfer-Encoding that is written.
type encoding int

const (
	enc7bit encoding = iota
	enc8bit
	encQP
	encBase64
)

func (e encoding) String() string {
	return [...]string{"7bit", "8bit", "quoted-printable", "base64"}[e]
}

// maxLine is the line limit without CRLF (RFC 5321 section 4.5.3.1.6).
const maxLine = 998

// texture is what the encoding and the copying of a text depend on, found in
// one look, since it runs over every text.
type texture struct {
	ascii bool // no octet over 127
	fit   bool // no line is longer than maxLine
	clean bool // every line end is CRLF
}

func look(s string) texture {
	t := texture{ascii: isASCII(s)}
	t.fit, t.clean = lineEnds(s)
	return t
}

// lineEnds reports whether no line is too long, and whether CR and LF stand in
// pairs only: there are as many of both, and a CR before every LF.
func lineEnds(s string) (fit, clean bool) {
	returns := strings.Count(s, "\r")
	fit, clean = true, true
	for {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			return fit && len(s) <= maxLine, clean && returns == 0
		}
		fit = fit && i <= maxLine
		clean = clean && i > 0 && s[i-1] == '\r'
		if !fit && !clean {
			return false, false
		}
		returns--
		s = s[i+1:]
	}
}

// pickText chooses the encoding of a text: 7bit where allowed, otherwise the
// shorter of quoted-printable and base64.
func pickText(s string) encoding { return look(s).pick(s) }

func (t texture) pick(s string) encoding {
	if t.ascii && strings.IndexByte(s, 0) < 0 {
		if t.fit {
			return enc7bit
		}
		return encQP
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if !qpLiteral[s[i]] {
			n++
		}
	}
	if len(s)+2*n <= len(s)*4/3 {
		return encQP
	}
	return encBase64
}

// EightBit reports whether b has an octet over 127.
func EightBit(b []byte) bool { return !isASCII(view(b)) }

// isASCII tests 32 octets a step: it runs over every text.
func isASCII(s string) bool {
	const high = 0x8080808080808080
	b := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	for ; len(b) >= 32; b = b[32:] {
		w := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if w&high != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func linesFit(s string) bool {
	fit, _ := lineEnds(s)
	return fit
}

// appendText writes a text body in the given encoding with CRLF line ends.
func appendText(dst []byte, s string, e encoding) []byte {
	switch e {
	case encQP:
		return appendQP(dst, s)
	case encBase64:
		return appendBase64(dst, []byte(crlfString(s)))
	}
	return appendCRLF(dst, s)
}

// appendCRLF copies s; CR, LF and CRLF all become CRLF.
func appendCRLF(dst []byte, s string) []byte {
	switch {
	case strings.IndexByte(s, '\r') < 0:
		return appendLF(dst, s)
	case cleanCRLF(s):
		return append(dst, s...)
	}
	for s != "" {
		i := strings.IndexByte(s, '\n')
		line := s
		if i >= 0 {
			line = s[:i]
		}
		s = s[min(len(s), len(line)+1):]
		if i >= 0 {
			line = strings.TrimSuffix(line, "\r")
		}
		dst = appendBareCR(dst, line)
		if i >= 0 {
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

func appendBareCR(dst []byte, line string) []byte {
	for {
		i := strings.IndexByte(line, '\r')
		if i < 0 {
			return append(dst, line...)
		}
		dst = append(append(dst, line[:i]...), "\r\n"...)
		line = line[i+1:]
	}
}

func appendLF(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '\n')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i]...), "\r\n"...)
		s = s[i+1:]
	}
}

func crlfString(s string) string {
	if cleanCRLF(s) {
		return s
	}
	return string(appendCRLF(make([]byte, 0, len(s)+len(s)/16), s))
}

// NormalizeCRLF gives raw with every bare CR and bare LF made CRLF. A message
// that has none is returned as the same slice.
func NormalizeCRLF(raw []byte) []byte {
	s := view(raw)
	if cleanCRLF(s) {
		return raw
	}
	return appendCRLF(make([]byte, 0, len(raw)+len(raw)/16), s)
}

// view gives b as a string without a copy, for reading while b is not written.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func cleanCRLF(s string) bool {
	_, clean := lineEnds(s)
	return clean
}

// appendBase64 writes lines of 76 characters (RFC 2045 section 6.8), the last
// one without CRLF.
func appendBase64(dst, data []byte) []byte {
	const perLine = 57
	dst = growBy(dst, base64Len(len(data)))
	for len(data) > perLine {
		dst = base64.StdEncoding.AppendEncode(dst, data[:perLine])
		dst = append(dst, "\r\n"...)
		data = data[perLine:]
	}
	return base64.StdEncoding.AppendEncode(dst, data)
}

func base64Len(n int) int { return (n+2)/3*4 + n/57*2 + 2 }

func growBy(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}

// qpLiteral holds the octets quoted-printable writes as they are; blanks and
// tabs only inside a line.
var qpLiteral = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '='
	}
	t['\t'], t['\r'], t['\n'] = true, true, true
	return t
}()

const upperhex = "0123456789ABCDEF"

// appendQP writes quoted-printable (RFC 2045 section 6.7), line by line.
func appendQP(dst []byte, s string) []byte {
	dst = growBy(dst, len(s)+len(s)/4)
	for {
		i := strings.IndexByte(s, '\n')
		line, last := s, i < 0
		if !last {
			line, s = s[:i], s[i+1:]
			line = strings.TrimSuffix(line, "\r")
		}
		dst = appendQPBareCR(dst, line)
		if last {
			return dst
		}
		dst = append(dst, "\r\n"...)
	}
}

// appendQPBareCR writes a line in which a bare CR counts as a line end.
func appendQPBareCR(dst []byte, line string) []byte {
	for {
		i := strings.IndexByte(line, '\r')
		if i < 0 {
			return appendQPLine(dst, line)
		}
		dst = append(appendQPLine(dst, line[:i]), "\r\n"...)
		line = line[i+1:]
	}
}

func appendQPLine(dst []byte, line string) []byte {
	const room = 75 // and "=" makes 76
	col := 0
	for i := 0; i < len(line); {
		j := i
		for j < len(line) && j-i < room-col && qpLiteral[line[j]] {
			j++
		}
		if j == len(line) && (line[j-1] == ' ' || line[j-1] == '\t') {
			j-- // a blank at the end of a line would be lost: encode it
		}
		dst = append(dst, line[i:j]...)
		col += j - i
		if i = j; i == len(line) {
			break
		}
		if need := qpWidth(line, i); col+need > room {
			dst, col = append(dst, "=\r\n"...), 0
			continue
		}
		if c := line[i]; !qpLiteral[c] || i == len(line)-1 {
			dst = append(dst, '=', upperhex[c>>4], upperhex[c&15])
			col, i = col+3, i+1
		}
	}
	return dst
}

// qpWidth is the width of what comes at line[i]: 3 if it is to be encoded.
func qpWidth(line string, i int) int {
	if qpLiteral[line[i]] && i < len(line)-1 {
		return 1
	}
	return 3
}
