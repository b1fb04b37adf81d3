package smtp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Return is how much of a message a delivery status notification brings back
// (RFC 3461, section 4.3).
type Return uint8

// Values of RET; 0 means that the sender did not say.
const (
	ReturnFull Return = iota + 1
	ReturnHeaders
)

// Notify is a set of the events a sender wants to hear of (RFC 3461, section
// 4.1). 0 means that the sender did not say: failures then, and delays if the
// server likes.
type Notify uint8

// Values of NOTIFY. NotifyNever stands alone.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// notifyNames are the keywords by bit.
var notifyNames = [...]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"}

// String is the value of NOTIFY.
func (n Notify) String() string {
	var b strings.Builder
	for i, name := range notifyNames {
		if n&(1<<i) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
	return b.String()
}

func parseNotify(s string) (Notify, bool) {
	var n Notify
next:
	for word := range strings.SplitSeq(s, ",") {
		for i, name := range notifyNames {
			if bit := Notify(1 << i); strings.EqualFold(word, name) && n&bit == 0 {
				n |= bit
				continue next
			}
		}
		return 0, false
	}
	return n, n&NotifyNever == 0 || n == NotifyNever
}

// RcptOptions are the parameters of RCPT.
type RcptOptions struct {
	Notify Notify // NotifyNever whenever the sender is null: nobody could be told
	// ORCPT (RFC 3461, section 4.2): the type of the address, such as "rfc822" or
	// "utf-8" (RFC 6533), and the address, decoded, without controls and not
	// checked further. "" when not given.
	OriginalType string
	Original     string
}

// Limits of the encoded values (RFC 3461, section 5.4).
const (
	maxEnvID = 100
	maxORCPT = 500
)

// decodeXtext decodes xtext (RFC 3461, section 4). What it stands for must be
// printable US-ASCII and spaces (section 4.4), so that it can stand in a header.
func decodeXtext(s string) (string, bool) {
	plain := strings.IndexByte(s, '+') < 0
	var b []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '!' || c > '~' || c == '=' {
			return "", false
		}
		if plain {
			continue
		}
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil || (v < ' ' && v != '\t') || v > '~' {
				return "", false
			}
			c, i = byte(v), i+2
		}
		b = append(b, c)
	}
	if plain {
		return s, true
	}
	return string(b), true
}

// appendXtext encodes s as xtext.
func appendXtext(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			b = append(b, '+', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

// decodeUnitext decodes an address of type utf-8 (RFC 6533, section 3): UTF-8
// and \x{HEX}. Controls are refused in either form.
func decodeUnitext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1, r == '+', r == '=':
			return "", false
		case r == '\\':
			hex, _, ok := strings.Cut(s[i+1:], "}")
			hex, braced := strings.CutPrefix(hex, "x{")
			v, err := strconv.ParseUint(hex, 16, 21)
			if !ok || !braced || err != nil || len(hex) > 6 || !utf8.ValidRune(rune(v)) {
				return "", false
			}
			r, n = rune(v), len(hex)+4
		case r <= ' ':
			return "", false
		}
		if unicode.IsControl(r) {
			return "", false
		}
		b.WriteRune(r)
		i += n
	}
	return b.String(), true
}

// appendUnitext encodes an address of type utf-8 in the form that needs no
// SMTPUTF8.
func appendUnitext(b []byte, s string) []byte {
	for _, r := range s {
		if r > ' ' && r <= '~' && r != '+' && r != '=' && r != '\\' {
			b = append(b, byte(r))
			continue
		}
		hex := strings.ToUpper(strconv.FormatInt(int64(r), 16))
		if len(hex) < 2 {
			hex = "0" + hex
		}
		b = append(append(append(b, `\x{`...), hex...), '}')
	}
	return b
}

// parseORCPT takes the value of ORCPT apart.
func parseORCPT(s string) (kind, address string, ok bool) {
	kind, address, ok = strings.Cut(s, ";")
	if !ok || len(s) > maxORCPT || kind == "" || address == "" {
		return "", "", false
	}
	for i := 0; i < len(kind); i++ {
		if !isAtext(kind[i]) {
			return "", "", false
		}
	}
	if kind = strings.ToLower(kind); kind == "utf-8" {
		address, ok = decodeUnitext(address)
	} else {
		address, ok = decodeXtext(address)
	}
	return kind, address, ok
}

// DSN is what the sender of a message asked for in notifications (RFC 3461). It
// is passed on where the server offers DSN; Extensions.DSN tells whether it does.
type DSN struct {
	Return     Return
	EnvelopeID string
	// Recipients belong to Envelope.To by index; there may be fewer.
	Recipients []RcptOptions
}

// mailParams are the parameters of MAIL. A notification itself has no RET (RFC
// 3461, section 6.1).
func (d *DSN) mailParams(b []byte, from string) []byte {
	switch {
	case from == "":
	case d.Return == ReturnFull:
		b = append(b, " RET=FULL"...)
	case d.Return == ReturnHeaders:
		b = append(b, " RET=HDRS"...)
	}
	if d.EnvelopeID == "" {
		return b
	}
	id := d.ENVID()
	if _, ok := decodeXtext(id); ok && len(id) <= maxEnvID {
		b = append(append(b, " ENVID="...), id...)
	}
	return b
}

// rcptParams are the parameters of RCPT for recipient i. What the wire cannot
// carry is left out.
func (d *DSN) rcptParams(b []byte, from string, i int) []byte {
	if i >= len(d.Recipients) {
		return b
	}
	o := d.Recipients[i]
	if from == "" && o.Notify != 0 {
		o.Notify = NotifyNever
	}
	if o.Notify != 0 {
		b = append(append(b, " NOTIFY="...), o.Notify.String()...)
	}
	value := o.ORCPT()
	if _, _, ok := parseORCPT(value); ok {
		b = append(append(b, " ORCPT="...), value...)
	}
	return b
}

// ORCPT is the value of the parameter, encoded; "" when there is none.
func (o RcptOptions) ORCPT() string {
	value := append([]byte(o.OriginalType), ';')
	switch {
	case o.Original == "" || o.OriginalType == "":
		return ""
	case strings.EqualFold(o.OriginalType, "utf-8"):
		return string(appendUnitext(value, o.Original))
	}
	return string(appendXtext(value, o.Original))
}

// ENVID is the value of the parameter, encoded; "" when there is none.
func (d *DSN) ENVID() string { return string(appendXtext(nil, d.EnvelopeID)) }
