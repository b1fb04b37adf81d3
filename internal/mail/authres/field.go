package authres

import (
	"fmt"
	"strconv"
	"strings"
)

// FieldName is the field that Field writes.
const FieldName = "Authentication-Results"

// Names of the fields that tell Mailgun's results.
const (
	MailgunSPFName  = "X-Mailgun-Spf"
	MailgunDKIMName = "X-Mailgun-Dkim-Check-Result"
)

// Field returns the verdict as an Authentication-Results field (RFC 8601, section
// 2.2), folded, ending in CRLF. It holds octets above 127 only if the envelope did.
func (v *Verdict) Field() string {
	w := fieldWriter{}
	w.begin(FieldName+":", value(v.AuthservID))
	v.write(&w)
	return w.end()
}

// resultsField is the ARC-Authentication-Results field of the set with this number.
func (v *Verdict) resultsField(instance int) string {
	w := fieldWriter{}
	w.begin(resultsName+":", "i="+strconv.Itoa(instance)+";", value(v.AuthservID))
	v.write(&w)
	return w.end()
}

// MailgunSPF returns the value of X-Mailgun-Spf. Mailgun: Pass, Neutral, Fail or
// SoftFail. What is none of them says nothing, as Neutral does (RFC 7208, section
// 8.2).
func (v *Verdict) MailgunSPF() string {
	switch v.MailFrom.Result {
	case Pass:
		return "Pass"
	case Fail:
		return "Fail"
	case SoftFail:
		return "SoftFail"
	default:
		return "Neutral"
	}
}

// MailgunDKIM returns the value of X-Mailgun-Dkim-Check-Result: Pass if a signature
// holds, else Fail. Mailgun: only signed messages have the field, so it is "" for
// others, and where the DNS did not answer.
func (v *Verdict) MailgunDKIM() string {
	text := ""
	for _, d := range v.DKIM {
		switch d.Result {
		case Pass:
			return "Pass"
		case TempError:
		default:
			text = "Fail"
		}
	}
	return text
}

// write writes the results, one method after another.
func (v *Verdict) write(w *fieldWriter) {
	w.method("iprev", v.IPRev.Result, "", comment(v.IPRev.Name), property("policy.iprev", v.IP.String()))
	if v.MailFrom.Identity != "" {
		from := strings.ToValidUTF8(v.MailFrom.Identity, "?") // an internationalised one stays as it is
		w.method("spf", v.MailFrom.Result, v.MailFrom.Reason, property("smtp.mailfrom", from))
	}
	w.method("spf", v.HELO.Result, v.HELO.Reason, property("smtp.helo", printable(v.HELO.Identity)))
	for _, d := range v.DKIM {
		w.method("dkim", d.Result, d.Reason, property("header.d", d.Domain), property("header.i", printable(d.Identity)),
			property("header.s", d.Selector), property("header.a", d.Algorithm), property("header.b", d.Digits))
	}
	if len(v.DKIM) == 0 {
		w.method("dkim", None, "")
	}
	w.method("dmarc", v.DMARC.Result, v.DMARC.Reason, v.DMARC.comment(), property("header.from", v.DMARC.Domain))
	w.method("arc", v.ARC.Result, v.ARC.Reason, v.ARC.comment(), property("smtp.remote-ip", v.IP.String()))
}

// comment tells the policy and what came of it, in the form others use.
func (d DMARC) comment() string {
	if d.Record == "" {
		return ""
	}
	return fmt.Sprintf("(p=%s pct=%d dis=%s)", d.Policy, d.Percent, d.Disposition)
}

func (a ARC) comment() string {
	if a.Instance == 0 {
		return ""
	}
	return fmt.Sprintf("(i=%d)", a.Instance)
}

// comment is a name in brackets. It comes from the DNS, checked; "" stays "".
func comment(name string) string {
	if name == "" || !isDotAtom(name) {
		return ""
	}
	return "(" + name + ")"
}

// maxValue bounds a value in octets; a longer one is left out. Addresses of an
// envelope have 320 at most (RFC 5321, section 4.5.3.1).
const maxValue = 400

// property is one of RFC 8601, section 2.2; without value it is "".
func property(name, text string) string {
	if text == "" || len(text) > maxValue {
		return ""
	}
	return name + "=" + pvalue(text)
}

// pvalue writes a token or address as it is, all else quoted.
func pvalue(text string) string {
	local, domain, ok := strings.Cut(text, "@")
	if ok && (local == "" || isDotAtom(local)) && isToken(domain) {
		return text
	}
	return value(text)
}

// value writes a token, or a quoted string without control characters.
func value(text string) string {
	if isToken(text) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			b.WriteByte('?')
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// printable replaces what is not ASCII.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7e {
			return '?'
		}
		return r
	}, s)
}

// isToken is "token" of RFC 2045, section 5.1.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, c)
	})
}

// isDotAtom is "dot-atom-text" of RFC 5322, section 3.2.3, in ASCII, save that dots
// may stand anywhere.
func isDotAtom(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"[]`, c)
	})
}

// foldColumn is where lines are broken (RFC 5322, section 2.1.1).
const foldColumn = 76

// fieldWriter puts tokens together with blanks or folds.
type fieldWriter struct {
	b    strings.Builder
	line int // length of the current line
}

func (w *fieldWriter) begin(tokens ...string) {
	w.b.WriteString(tokens[0])
	w.line = len(tokens[0])
	for _, t := range tokens[1:] {
		w.token(t)
	}
}

func (w *fieldWriter) token(t string) {
	if w.line+1+len(t) > foldColumn {
		w.fold()
	} else if w.line > 1 {
		w.b.WriteByte(' ')
		w.line++
	}
	w.b.WriteString(t)
	w.line += len(t)
}

func (w *fieldWriter) fold() {
	w.b.WriteString("\r\n\t")
	w.line = 1
}

// method writes one result on a line of its own; properties that are "" are left
// out. The reason is ours, never the text of others.
func (w *fieldWriter) method(name string, result Result, reason string, properties ...string) {
	w.b.WriteByte(';')
	w.fold()
	w.token(name + "=" + string(result))
	if reason != "" {
		w.token("reason=" + value(reason))
	}
	for _, p := range properties {
		if p != "" {
			w.token(p)
		}
	}
}

func (w *fieldWriter) end() string {
	w.b.WriteString("\r\n")
	return w.b.String()
}
