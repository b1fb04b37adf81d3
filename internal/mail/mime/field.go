package mime

import (
	"errors"
	"fmt"
	"strings"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime/encword"
)

// Errors of fields, wrapped in a *FieldError.
var (
	// ErrHeaderInjection: a value holds CR, LF or NUL.
	ErrHeaderInjection = errors.New("header value holds a line break or NUL")
	// ErrHeaderName: a name is empty, too long, or not printable ASCII
	// without colon and blank (RFC 5322 section 2.2).
	ErrHeaderName = errors.New("header name must be pure ASCII")
)

// maxFieldName keeps a name and the first word behind it within a line.
const maxFieldName = 76

// FieldError tells which field was refused and, by Unwrap, why.
type FieldError struct {
	Name string
	Err  error
}

// Error implements error.
func (e *FieldError) Error() string { return fmt.Sprintf("%v: %q", e.Err, e.Name) }

// Unwrap gives ErrHeaderInjection or ErrHeaderName.
func (e *FieldError) Unwrap() error { return e.Err }

// Field is one header field as text: Value is not encoded and not folded.
// A value of pure ASCII is written as it is, so encoded words in it work.
type Field struct {
	Name  string
	Value string
}

// Check tells whether the field may be written; the error is a *FieldError.
func (f Field) Check() error {
	if !validName(f.Name) {
		return &FieldError{f.Name, ErrHeaderName}
	}
	if strings.IndexByte(f.Value, '\n') >= 0 || strings.IndexByte(f.Value, '\r') >= 0 || strings.IndexByte(f.Value, 0) >= 0 {
		return &FieldError{f.Name, ErrHeaderInjection}
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > maxFieldName {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return true
}

// AppendField writes the field with its CRLF, folded at 78 octets and encoded
// where it is not ASCII (RFC 2047; in address fields only names are encoded,
// domains become A-labels and a non-ASCII local part stays UTF-8, RFC 6532).
func AppendField(dst []byte, f Field) ([]byte, error) {
	if err := f.Check(); err != nil {
		return dst, err
	}
	return appendField(dst, f), nil
}

// maxPlainList is the longest address value copied without a look: in a longer
// one there may be no blank to fold at (a@x,b@y,...), so it is written anew.
const maxPlainList = 800

func appendField(dst []byte, f Field) []byte {
	dst = append(dst, f.Name...)
	dst = append(dst, ": "...)
	col := len(f.Name) + 2
	if IsAddressField(f.Name) && (len(f.Value) > maxPlainList || !encword.IsPlain(f.Value)) {
		dst = encodeAddresses(dst, col, f.Value)
	} else {
		dst = encword.AppendText(dst, col, f.Value)
	}
	return append(dst, "\r\n"...)
}

// encodeAddresses writes the value of an address field, names with commas or
// quotes in them quoted. A value that is no list of addresses is written as
// text: what it meant can not be known.
func encodeAddresses(dst []byte, col int, value string) []byte {
	list, err := addr.ParseList(value)
	if err != nil || len(list) == 0 {
		return encword.AppendText(dst, col, value)
	}
	return encword.AppendFolded(dst, col, addr.Join(list))
}

// addressFields hold address lists (RFC 5322 sections 3.6.2, 3.6.3, 3.6.6).
var addressFields = [...]string{
	"From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Resent-From", "Resent-To", "Resent-Cc", "Resent-Bcc",
	"Resent-Sender", "Disposition-Notification-To", "Return-Receipt-To", "Errors-To",
}

// IsAddressField reports whether the named field holds addresses.
func IsAddressField(name string) bool {
	for _, n := range addressFields {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// DecodeHeader turns a raw field value into text: unfolded, encoded words
// decoded, never with CR, LF or NUL in it.
func DecodeHeader(value string) string { return encword.Decode(value) }
