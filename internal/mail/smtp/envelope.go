package smtp

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Envelope is what is said about a message outside of it.
type Envelope struct {
	From       string   // return address without angle brackets, "" for the null sender
	To         []string // recipients without angle brackets
	UTF8       bool     // the message needs SMTPUTF8; non-ASCII addresses imply it
	EightBit   bool     // the message holds octets above 127
	RequireTLS bool     // RFC 8689: no delivery without TLS, here and further on
	DSN        *DSN     // what the sender asked of notifications, or nil
}

// Message is a message in pieces, cut anywhere. Line ends that are not CRLF
// become CRLF on the way out, and the last line is completed.
type Message [][]byte

// Size returns the octets of the message with its last line completed, as
// declared with SIZE (RFC 1870 lets it be an estimate: a line end that becomes CRLF
// on the way out counts as it is).
func (m Message) Size() int64 {
	var n int64
	var last []byte
	for _, p := range m {
		n += int64(len(p))
		if len(p) > 0 {
			last = p
		}
	}
	if len(last) > 0 && last[len(last)-1] != '\n' {
		n += int64(len(crlf))
	}
	return n
}

// Result is the outcome of Send.
type Result struct {
	// Recipients holds one reply per recipient of the envelope, in order: its
	// own, or the one that ended the transaction before its turn. A zero Reply
	// means that the connection failed first.
	Recipients []Reply
	// Data is the verdict on the accepted recipients: the reply to the final
	// dot, or to DATA if that was refused; zero if neither was reached.
	Data Reply

	ended Reply // the reply that ended the transaction early
}

// Outcome returns the reply that decides about recipient i: its own if it was
// rejected, otherwise Data. A zero Reply means that its fate is not known.
func (r *Result) Outcome(i int) Reply {
	switch own := r.Recipients[i]; {
	case !own.Positive():
		return own
	case r.Data.Code != 0:
		return r.Data
	default:
		return r.ended
	}
}

// fill gives r to all recipients without a reply of their own.
func (r *Result) fill(reply Reply) {
	r.ended = reply
	for i := range r.Recipients {
		if r.Recipients[i].Code == 0 {
			r.Recipients[i] = reply
		}
	}
}

// check looks for reasons not to begin the transaction, and returns the
// parameters of MAIL.
func (c *Client) check(env *Envelope, msg Message) (string, error) {
	if len(env.To) == 0 {
		return "", ErrNoRecipients
	}
	if !sendable(env.From) {
		return "", local(StageMail, 553, "5.1.7", "sender address cannot be sent")
	}
	utf8 := env.UTF8 || !isASCII(env.From)
	for _, to := range env.To {
		utf8 = utf8 || !isASCII(to)
	}
	size := msg.Size()
	switch {
	case utf8 && !c.ext.SMTPUTF8:
		return "", local(StageMail, 553, "5.6.7", "server does not offer SMTPUTF8")
	case env.RequireTLS && (c.tls == nil || !c.ext.RequireTLS):
		return "", local(StageMail, 550, "5.7.30", "server does not offer REQUIRETLS")
	case c.ext.Size > 0 && size > c.ext.Size:
		return "", local(StageMail, 552, "5.3.4", "message larger than the server's limit of "+
			strconv.FormatInt(c.ext.Size, 10)+" bytes")
	case env.EightBit && !c.ext.EightBitMIME:
		return "", ErrNoEightBit
	}
	for _, p := range msg {
		if bytes.IndexByte(p, 0) >= 0 {
			return "", local(StageBody, 554, "5.6.0", "message contains a NUL octet")
		}
	}
	return c.params(env, utf8, size), nil
}

func (c *Client) params(env *Envelope, utf8 bool, size int64) string {
	var b []byte
	if c.ext.SizeOffered {
		b = strconv.AppendInt(append(b, " SIZE="...), size, 10)
	}
	if env.EightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	if utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if env.RequireTLS {
		b = append(b, " REQUIRETLS"...)
	}
	if env.DSN != nil && c.ext.DSN {
		b = env.DSN.mailParams(b, env.From)
	}
	return string(b)
}

func local(stage string, code int, enhanced, text string) error {
	return &ReplyError{Stage: stage, Local: true, Reply: Reply{Code: code, Enhanced: enhanced, Text: text}}
}

// sendable reports whether an address can stand between angle brackets without
// ending them, or the line. It is laxer than ParsePath, since servers exist whose
// mailboxes break the grammar ("a..b@example.com").
func sendable(addr string) bool {
	if len(addr) > 2*maxLocal+maxDomain {
		return false
	}
	if strings.HasPrefix(addr, `"`) {
		_, rest, err := ParsePath("<" + addr + ">")
		return err == nil && rest == ""
	}
	for i := 0; i < len(addr); i++ {
		if c := addr[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' {
			return false
		}
	}
	return isASCII(addr) || utf8.ValidString(addr)
}
