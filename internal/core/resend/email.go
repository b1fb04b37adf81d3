package resend

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/mail/addr"
)

// Limits of an email. Resend: up to 50 recipients, names and values of tags up to
// 256 characters, 30 days ahead. Tags come back with events, which carry 4 kB.
const (
	maxTo       = 50
	maxTag      = 256
	maxTagBytes = 4000
	maxFiles    = 100
	ahead       = 30 * 24 * time.Hour
	late        = time.Minute // that a time may lie back: clocks differ
)

// email is the body of POST /emails.
type email struct {
	From        string            `json:"from"`
	To          addresses         `json:"to"`
	CC          addresses         `json:"cc"`
	BCC         addresses         `json:"bcc"`
	ReplyTo     addresses         `json:"reply_to"`
	Subject     string            `json:"subject"`
	HTML        *string           `json:"html"`
	Text        *string           `json:"text"`
	Headers     map[string]string `json:"headers"`
	Attachments []attachment      `json:"attachments"`
	Tags        []tag             `json:"tags"`
	ScheduledAt string            `json:"scheduled_at"`
	Template    *template         `json:"template"`
	TopicID     string            `json:"topic_id"`

	domain string    // of From
	due    time.Time // zero: now
}

// template names a stored template of the domain or the account.
type template struct {
	ID        string                     `json:"id"`
	Variables map[string]json.RawMessage `json:"variables"`
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// addresses is a string or a list of strings.
type addresses []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *addresses) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*a = make(addresses, 1)
		return json.Unmarshal(b, &(*a)[0])
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// decode reads an email and checks everything that needs nobody else.
func decode(raw []byte, now time.Time) (*email, error) {
	e := &email{}
	if err := unmarshal(raw, e); err != nil {
		return nil, err
	}
	for _, check := range []func() error{e.checkGiven, e.checkAddresses, e.checkTags, e.checkHeaders, e.checkFiles} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	if e.ScheduledAt == "" {
		return e, nil
	}
	var err error
	e.due, err = e.schedule(now)
	return e, err
}

// unmarshal reads JSON; the error says which field is of a wrong type.
func unmarshal(raw []byte, v any) error {
	err := json.Unmarshal(raw, v)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errs.KindOf(err) == errs.Invalid:
		return err
	case errors.As(err, &kind) && kind.Field != "":
		return invalid("The `%s` field has a value of the wrong type: %s.", kind.Field, kind.Value)
	}
	return refuse(400, validation, "The request body is not what is expected here: %s", clip(err.Error(), 200))
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

func (e *email) checkGiven() error {
	// SDKs in which an empty text cannot be told from none send it.
	given := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case e.TopicID != "":
		return invalid("The `topic_id` field is not supported: there are no topics here.")
	case e.From == "":
		return refuse(422, missingField, "Missing `from` field.")
	case len(e.To) == 0:
		return refuse(422, missingField, "Missing `to` field.")
	case e.Template != nil && e.Template.ID == "":
		return refuse(422, missingField, "Missing `template.id` field.")
	case e.Template != nil && (given(e.HTML) || given(e.Text)):
		return invalid("The `template` field cannot be used with `html` or `text`.")
	case e.Template != nil:
		return nil
	case e.Subject == "":
		return refuse(422, missingField, "Missing `subject` field.")
	case !given(e.HTML) && !given(e.Text):
		return refuse(422, missingField, "Missing `html` or `text` field.")
	}
	return nil
}

const addressForm = "The email address needs to follow the `email@example.com` or `Name <email@example.com>` format."

func (e *email) checkAddresses() error {
	from, err := addr.Parse(e.From)
	if err != nil {
		return refuse(422, badFrom, "Invalid `from` field. "+addressForm)
	}
	e.domain = from.Domain
	for _, f := range []struct {
		name string
		list addresses
	}{{"to", e.To}, {"cc", e.CC}, {"bcc", e.BCC}, {"reply_to", e.ReplyTo}} {
		if len(f.list) > maxTo {
			return invalid("The `%s` field has too many addresses, the maximum is %d.", f.name, maxTo)
		}
		for _, a := range f.list {
			if _, err := addr.Parse(a); err != nil {
				return invalid("Invalid `%s` field. %s", f.name, addressForm)
			}
		}
	}
	return nil
}

func (e *email) checkTags() error {
	total := 0
	seen := map[string]bool{}
	for _, t := range e.Tags {
		switch {
		case t.Name == "" || len(t.Name) > maxTag || len(t.Value) > maxTag:
			return invalid("Tags should have a name and a value with at most %d characters.", maxTag)
		case !tagText(t.Name) || !tagText(t.Value):
			return invalid("Tags should only contain ASCII letters, numbers, underscores, or dashes.")
		case seen[t.Name]:
			return invalid("Tags should have different names.")
		}
		seen[t.Name] = true
		if total += len(t.Name) + len(t.Value) + 6; total > maxTagBytes {
			return invalid("Tags are limited to %d bytes in all.", maxTagBytes)
		}
	}
	return nil
}

func tagText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

// checkHeaders refuses fields that have a place of their own. What else may stand in
// them message checks.
func (e *email) checkHeaders() error {
	for name := range e.Headers {
		if slices.Contains([]string{"from", "to", "cc", "bcc", "subject", "date", "sender"}, strings.ToLower(strings.TrimSpace(name))) {
			return invalid("The `headers` field may not have `%s`.", name)
		}
	}
	return nil
}

// schedule returns when the email is due, zero for now.
func (e *email) schedule(now time.Time) (time.Time, error) {
	t, err := parseTime(e.ScheduledAt, now)
	switch {
	case err != nil:
		return t, err
	case t.Before(now.Add(-late)):
		return t, invalid("The `scheduled_at` field must be in the future.")
	case t.After(now.Add(ahead)):
		return t, invalid("The `scheduled_at` field must be at most 30 days ahead.")
	case !t.After(now):
		return time.Time{}, nil
	}
	return t, nil
}
