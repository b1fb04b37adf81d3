package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxReplyLine  = 4096      // octets of one reply line; RFC 5321 4.5.3.1.5 says 512, servers exceed it
	maxReplyLines = 256       // lines of one reply
	maxReplyBytes = 64 * 1024 // octets of one reply
)

// Reply is one server reply (RFC 5321 4.2).
type Reply struct {
	Code     int    // three digits, 200 to 599; 0 means that no reply was received
	Enhanced string // RFC 3463 code such as "5.1.1", or "" when the server gave none
	Text     string // lines joined with "\n", without codes; valid UTF-8 without controls
}

// Temporary reports a 4yz reply: the same step may succeed later.
func (r Reply) Temporary() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent reports a 5yz reply: repeating the step unchanged is useless.
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// Positive reports a 2yz or 3yz reply.
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// String is the reply on one line: "550 5.1.1 no such user".
func (r Reply) String() string {
	if r.Code == 0 {
		return "no reply"
	}
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	if r.Text != "" {
		s += " " + strings.ReplaceAll(r.Text, "\n", " ")
	}
	return s
}

// Reasons for which a reply is not one. They are wrapped in a ProtocolError.
var (
	errReplySyntax  = errors.New("malformed reply line")
	errReplyLong    = errors.New("reply too long")
	errReplyMixed   = errors.New("reply lines with different codes")
	errReplyCode    = errors.New("reply code out of place")
	errReplyPending = errors.New("server data before the command")
)

// readReply reads one reply. record is called with each raw line, without its
// line end, and may be nil. A bare LF is accepted as the end of a reply line:
// replies are not forwarded, so nothing can be smuggled in one.
func readReply(br *bufio.Reader, record func([]byte)) (Reply, error) {
	var r Reply
	var text []byte
	for n, total := 0, 0; ; n++ {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return r, errReplyLong
		}
		if err != nil {
			return r, err
		}
		total += len(line)
		if n >= maxReplyLines || total > maxReplyBytes || len(line) > maxReplyLine {
			return r, errReplyLong
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if record != nil {
			record(line)
		}
		code, more, rest, err := splitReplyLine(line)
		if err != nil {
			return r, err
		}
		if n == 0 {
			r.Code = code
			r.Enhanced, rest = splitEnhanced(rest)
			if !more { // the usual case: one line
				r.Text = cleanText(rest)
				return r, nil
			}
		} else {
			if code != r.Code {
				return r, errReplyMixed
			}
			if enh, after := splitEnhanced(rest); enh == r.Enhanced {
				rest = after
			}
			text = append(text, '\n')
		}
		text = append(text, cleanText(rest)...)
		if !more {
			r.Text = string(text)
			return r, nil
		}
	}
}

// splitReplyLine takes "250-text", "250 text" or "250" apart.
func splitReplyLine(line []byte) (code int, more bool, rest []byte, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, nil, errReplySyntax
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, nil, nil
	}
	switch line[3] {
	case ' ':
		return code, false, line[4:], nil
	case '-':
		return code, true, line[4:], nil
	}
	return 0, false, nil, errReplySyntax
}

// splitEnhanced takes a leading RFC 3463 code off the text of a reply line. The
// class need not match the reply code: real servers say "554 4.4.7".
func splitEnhanced(s []byte) (string, []byte) {
	if len(s) < 5 || (s[0] != '2' && s[0] != '4' && s[0] != '5') || s[1] != '.' {
		return "", s
	}
	i := 2
	n := digits(s[i:])
	if n == 0 || i+n >= len(s) || s[i+n] != '.' {
		return "", s
	}
	i += n + 1
	if n = digits(s[i:]); n == 0 {
		return "", s
	}
	i += n
	if i == len(s) {
		return string(s), nil
	}
	if s[i] != ' ' {
		return "", s
	}
	return string(s[:i]), s[i+1:]
}

// digits counts leading digits, or returns 0 when there are more than three.
func digits(s []byte) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	if n > 3 {
		return 0
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// cleanText makes text from the network storable: valid UTF-8 on one line and
// without control characters.
func cleanText[T ~string | ~[]byte](s T) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return cleanSlow(string(s))
		}
	}
	return string(s)
}

func cleanSlow(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}
