package mime

import (
	"fmt"
	"strings"

	"postroad/internal/mail/mime/encword"
)

// structured are fields other than those of addresses in which an encoded word
// may not stand, or would break what reads them (RFC 2047 section 5).
var structured = [...]string{
	"Date", "Message-Id", "In-Reply-To", "References", "Mime-Version", "Content-Transfer-Encoding", "Content-Id",
	"Content-Location", "Return-Path", "Received", "Received-Spf", "Authentication-Results", "Dkim-Signature",
	"Domainkey-Signature", "Arc-Seal", "Arc-Message-Signature", "Arc-Authentication-Results", "List-Unsubscribe",
	"List-Unsubscribe-Post", "List-Id", "List-Post", "List-Help", "List-Archive", "List-Owner", "List-Subscribe",
	"Auto-Submitted", "Resent-Date", "Resent-Message-Id", "Original-Message-Id", "Autocrypt", "Feedback-Id",
}

// asciiField writes a field that has octets over 127 without them.
func asciiField(f RawField) ([]byte, error) {
	name := string(f.Name)
	if !validName(name) {
		return nil, fmt.Errorf("%w: header line %q", ErrEightBit, clipLine(f))
	}
	if f.Is("Content-Type") || f.Is("Content-Disposition") {
		return asciiParams(name, string(f.Value))
	}
	for _, s := range structured {
		if f.Is(s) {
			return nil, fmt.Errorf("%w: field %s", ErrEightBit, s)
		}
	}
	out := appendField(nil, Field{name, fieldText(f)})
	if !isASCII(view(out)) {
		return nil, fmt.Errorf("%w: an address in %s needs SMTPUTF8", ErrEightBit, name)
	}
	return out, nil
}

// fieldText decodes a value; what an encoded word of an address field held
// stays one word of a name.
func fieldText(f RawField) string {
	raw := string(f.Value)
	if IsAddressField(string(f.Name)) && !strings.Contains(raw, `"=?`) {
		return encword.DecodeWith(raw, quoteWord)
	}
	return encword.Decode(raw)
}

func clipLine(f RawField) []byte {
	if len(f.Name) > 0 {
		return f.Name[:min(len(f.Name), 40)]
	}
	return f.Value[:min(len(f.Value), 40)]
}

// asciiParams writes a field with parameters; those that are ASCII stay.
func asciiParams(name, value string) ([]byte, error) {
	_, params := parseParams(value)
	head, _, _ := strings.Cut(value, ";")
	tail := value[len(head):]
	out := append(append([]byte(name), ':'), head...)
	for _, p := range params {
		raw := value[p.start:p.end]
		tail = value[p.end:]
		if isASCII(raw) {
			out = append(out, raw...)
			continue
		}
		var err error
		if out, err = appendASCIIParam(out, p, params); err != nil {
			return nil, fmt.Errorf("%w of %s", err, name)
		}
	}
	if !isASCII(head) || !isASCII(tail) {
		return nil, fmt.Errorf("%w: field %s", ErrEightBit, name)
	}
	return append(append(out, tail...), "\r\n"...), nil
}

// appendASCIIParam writes one parameter in the form of RFC 2231. A parameter
// that is there in that form too is left out: readers prefer the other.
func appendASCIIParam(out []byte, p param, all []param) ([]byte, error) {
	base, _, sections := strings.Cut(p.name, "*")
	if !isToken(base) || base == "boundary" || base == "charset" {
		return nil, fmt.Errorf("%w: parameter %q", ErrEightBit, p.name)
	}
	switch {
	case !sections && getExtended(all, base) != "":
		return out, nil
	case !sections && base == "name":
		return appendName(out, encword.Decode(p.value)), nil
	case !sections:
		return appendExtended(out, base, encword.Decode(p.value)), nil
	case !strings.HasSuffix(p.name, "*") || !isToken(strings.ReplaceAll(p.name, "*", "")):
		return nil, fmt.Errorf("%w: parameter %q", ErrEightBit, p.name)
	}
	out = append(append(append(out, ";\r\n\t"...), p.name...), '=')
	for i := 0; i < len(p.value); i++ {
		// What is no attribute-char is escaped; readers unescape all the same.
		if c := p.value[i]; isAlnum(c) || strings.IndexByte("%'.-_", c) >= 0 {
			out = append(out, c)
		} else {
			out = append(out, '%', upperhex[c>>4], upperhex[c&15])
		}
	}
	return out, nil
}

// getExtended gives a parameter of the extended or sectioned form.
func getExtended(ps []param, name string) string {
	for _, p := range ps {
		if p.name == name+"*" && p.value != "" {
			return decodeExtended(p.value)
		}
	}
	return joinSections(ps, name)
}
