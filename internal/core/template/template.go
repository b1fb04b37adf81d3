package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/base/errs"
	"postroad/internal/mail/handlebars"
)

// Limits. Mailgun: 100 templates per domain, 40 versions each, 100 KB.
const (
	MaxTemplates = 100
	MaxVersions  = 40
	MaxContent   = 100 << 10

	maxName        = 255 // characters of a name or tag
	maxDescription = 4000
	maxHeader      = 998 // RFC 5322 section 2.1.1
)

// Scope is whose templates are meant: a domain's, or with DomainID 0 the
// account's.
type Scope struct {
	AccountID string
	DomainID  int64
}

// record is a row of template.
type record struct {
	id                           int64
	publicID                     string
	scope                        Scope
	name, description, createdBy string
	createdAt                    int64
}

// version is a row of template_version.
type version struct {
	id, templateID        int64
	publicID              string
	tag, content, comment string
	headers               headers
	active                bool
	createdAt             int64
}

// headers are the fields a version gives to messages, by their names.
type headers map[string]string

// Version is a parsed version of a template. It is shared and never changes.
type Version struct {
	Name, Tag string // of the template, of the version
	Content   *handlebars.Template
	From      *handlebars.Template // header fields; nil where the version has none
	Subject   *handlebars.Template
	ReplyTo   *handlebars.Template
}

// errNotFound and errNoVersion answer what there is not. Mailgun.
var (
	errNotFound  = errs.New(errs.NotFound, "template not found")
	errNoVersion = errs.New(errs.NotFound, "template version not found")
	errNoChange  = errs.New(errs.Invalid, "No fields to update")
)

// name returns a name or tag as it is kept.
func name(param, given string) (string, error) {
	s := strings.ToLower(strings.TrimSpace(given))
	switch {
	case s == "":
		return "", errs.New(errs.Invalid, "Missing mandatory parameter: %s", param)
	case utf8.RuneCountInString(s) > maxName:
		return "", errs.New(errs.Invalid, "Invalid parameter: %s is longer than %d characters", param, maxName)
	case strings.Contains(s, "/"), strings.ContainsFunc(s, unicode.IsControl):
		return "", errs.New(errs.Invalid, "Invalid parameter: %s is invalid: neither / nor control characters are allowed", param)
	}
	return s, nil
}

// lookup is a name or tag to search for, which may be one that cannot be.
func lookup(given string) string { return strings.ToLower(strings.TrimSpace(given)) }

func checkEngine(engine string) error {
	if engine == "" || strings.EqualFold(engine, "handlebars") {
		return nil
	}
	return errs.New(errs.Invalid, "Invalid parameter: engine %s is not supported", clip(engine))
}

func checkNote(param, text string) error {
	if len(text) > maxDescription {
		return errs.New(errs.Invalid, "'%s' parameter is invalid: must be at most %d bytes long", param, maxDescription)
	}
	return nil
}

func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

// setContent checks a new content.
func (v *version) setContent(text string) error {
	if len(text) > MaxContent {
		return errs.New(errs.Invalid, "'template' parameter is invalid: must be at most %d bytes long", MaxContent)
	}
	if _, err := parse(text); err != nil {
		return errs.New(errs.Invalid, "'template' parameter is invalid: %s", err)
	}
	v.content = text
	return nil
}

func parse(text string) (*handlebars.Template, error) {
	t, err := handlebars.Parse(text)
	var e *handlebars.Error
	if errors.As(err, &e) {
		return nil, e
	}
	return t, err
}

// setHeaders reads the JSON object of header fields. Mailgun: these three.
func (v *version) setHeaders(text string) error {
	var m map[string]string
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return errs.New(errs.Invalid, "'headers' parameter is invalid: must be a JSON object of texts")
	}
	out := headers{}
	for key, value := range m {
		known, err := headerName(key)
		if err != nil {
			return err
		}
		if len(value) > maxHeader || strings.ContainsAny(value, "\r\n\x00") {
			return errs.New(errs.Invalid, "'headers' parameter is invalid: %s must be one line of at most %d bytes", known, maxHeader)
		}
		if _, err := parse(value); err != nil {
			return errs.New(errs.Invalid, "'headers' parameter is invalid: %s: %s", known, err)
		}
		if value != "" {
			out[known] = value
		}
	}
	v.headers = out
	return nil
}

func headerName(given string) (string, error) {
	for _, known := range []string{"From", "Subject", "Reply-To"} {
		if strings.EqualFold(given, known) {
			return known, nil
		}
	}
	return "", errs.New(errs.Invalid, "'headers' parameter is invalid: %q is not one of From, Subject, Reply-To", clip(given))
}

// parsed makes what messages are rendered from.
func (v *version) parsed(name string) (*Version, error) {
	out := &Version{Name: name, Tag: v.tag}
	var err error
	if out.Content, err = parse(v.content); err != nil {
		return nil, fmt.Errorf("template %q version %q: %w", name, v.tag, err)
	}
	for field, to := range map[string]**handlebars.Template{"From": &out.From, "Subject": &out.Subject, "Reply-To": &out.ReplyTo} {
		if text := v.headers[field]; text != "" {
			if *to, err = parse(text); err != nil {
				return nil, fmt.Errorf("template %q version %q: %s: %w", name, v.tag, field, err)
			}
		}
	}
	return out, nil
}
