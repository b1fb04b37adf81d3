package httpapi

import (
	"errors"
	"io"
	"mime"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// Bounds of a form. Mailgun takes 1,000 recipients as parts of their own, and
// attachments, options and headers beside them.
const (
	maxParts = 20_000
	maxName  = 1024 // bytes of a field name
)

// Content types of a form.
const (
	typeMultipart  = "multipart/form-data"
	typeURLEncoded = "application/x-www-form-urlencoded"
	typeJSON       = "application/json"
)

// media is a parsed Content-Type.
type media struct {
	kind     string // lower case, without parameters
	boundary string
	sent     string // as sent
}

func parseMedia(sent string) media {
	if boundary, ok := plainBoundary(sent); ok {
		return media{kind: typeMultipart, boundary: boundary, sent: sent}
	}
	return fullMedia(sent)
}

// plainBoundary reads the Content-Type nearly all multipart forms have: a
// boundary of letters, digits, - and _, and no other parameter.
func plainBoundary(sent string) (boundary string, ok bool) {
	boundary, ok = strings.CutPrefix(sent, typeMultipart+"; boundary=")
	if !ok || boundary == "" {
		return "", false
	}
	for i := range len(boundary) {
		switch c := boundary[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return "", false
		}
	}
	return boundary, true
}

func fullMedia(sent string) media {
	kind, params, err := mime.ParseMediaType(sent)
	if err != nil && kind == "" {
		kind, _, _ = strings.Cut(sent, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
	}
	return media{kind: kind, boundary: params["boundary"], sent: sent}
}

func (m media) isJSON() bool {
	return m.kind == typeJSON || strings.HasSuffix(m.kind, "+json")
}

// openForm returns the body as a stream of fields.
func openForm(m media, b *body) (op.Form, error) {
	switch m.kind {
	case typeMultipart:
		return newMultiForm(m, b)
	case typeURLEncoded:
		return newURLForm(m, b), nil
	default:
		return nil, wrongType(m, typeMultipart, typeURLEncoded)
	}
}

// wrongType has the words of Mailgun's answer to messages.mime.
func wrongType(m media, want ...string) error {
	return errs.New(errs.Invalid, "Invalid request content type. Expecting '%s' but got '%s'", strings.Join(want, "' or '"), clip(m.sent, 100))
}

// emptyForm is the form of a request without a body.
type emptyForm struct{ kind string }

// Next returns io.EOF.
func (emptyForm) Next() (op.Field, error) { return op.Field{}, io.EOF }

// Multipart reports what the request declared.
func (f emptyForm) Multipart() bool { return f.kind == typeMultipart }

// ContentType returns what the request declared.
func (f emptyForm) ContentType() string { return f.kind }

// errTooManyFields and errLongName are limits a client can only meet on purpose.
var (
	errTooManyFields = errs.New(errs.Invalid, "too many parameters, max is 20000")
	errLongName      = errs.New(errs.Invalid, "parameter name is longer than 1024 bytes")
)

// cleanName checks a field name and takes off the brackets of Rails and PHP:
// to[], to[0].
func cleanName(name string) (string, error) {
	if len(name) > maxName {
		return "", errLongName
	}
	if err := checkText("name", name); err != nil {
		return "", err
	}
	return bareName(name), nil
}

// bareName takes off [] or [digits] at the end.
func bareName(name string) string {
	if !strings.HasSuffix(name, "]") {
		return name
	}
	i := strings.LastIndexByte(name, '[')
	if i <= 0 {
		return name
	}
	for _, c := range []byte(name[i+1 : len(name)-1]) {
		if c < '0' || c > '9' {
			return name
		}
	}
	return name[:i]
}

// clientError reports whether err already speaks to the client.
func clientError(err error) bool {
	var e *errs.Error
	return errors.As(err, &e)
}
