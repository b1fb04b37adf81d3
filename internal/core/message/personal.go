package message

import (
	"encoding/json"
	"fmt"
	"strings"

	"postroad/internal/base/netx"
	"postroad/internal/core/event"
	"postroad/internal/mail/mime"
)

// ParseVars reads the variables a delivery of a batch carries.
func ParseVars(text, recipient string) (Vars, error) {
	v := Vars{To: recipient, Target: recipient}
	if text == "" {
		return v, nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("recipient variables: %w", err)
	}
	return v, nil
}

// Personalise makes one recipient's copy of a batch from its compiled body:
// the variables in place, and an own To unless it is a post to a list.
func (m *Message) Personalise(t *mime.Template, raw []byte, v Vars) ([][]byte, error) {
	pieces := [][]byte{raw}
	if t.HasPlaceholders() {
		lookup, err := v.Lookup()
		if err != nil {
			return nil, err
		}
		if pieces, err = t.Execute(lookup); err != nil {
			return nil, fmt.Errorf("batch: %w", err)
		}
	}
	if m.Meta.List != nil {
		return pieces, nil
	}
	to, err := mime.AppendField(nil, mime.Field{Name: "To", Value: v.To})
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return append([][]byte{to}, pieces...), nil
}

// CopyFor returns the body as one recipient gets it: the stored body, or the
// personalised copy of a batch whose variables are still known. An empty
// recipient means the first.
func (s *Service) CopyFor(m *Message, recipient string) ([]byte, error) {
	raw, err := s.Body(m)
	if err != nil || !m.Meta.Batch {
		return raw, err
	}
	if recipient == "" && len(m.Meta.Recipients) > 0 {
		recipient = m.Meta.Recipients[0]
	}
	v, ok := m.Meta.Vars[recipient]
	if !ok {
		v = Vars{To: recipient, Target: recipient}
	}
	t, err := mime.CompileTemplate(raw)
	if err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	pieces, err := m.Personalise(t, raw, v)
	if err != nil {
		return nil, err
	}
	return mime.Join(pieces), nil
}

// SubjectFor returns the subject as one recipient sees it.
func (m *Message) SubjectFor(recipient string) string {
	v, ok := m.Meta.Vars[recipient]
	if !ok {
		return m.Meta.Subject
	}
	lookup, err := v.Lookup()
	if err != nil {
		return m.Meta.Subject
	}
	return mime.Expand(m.Meta.Subject, lookup)
}

// EventFor is Event about one delivery, whose variables are in vars ("" where
// only the recipient is known). Of a batch it shows that recipient's copy: the
// To and the subject it has, and user variables with its values in place.
// Mailgun: programs tell the recipients of a batch apart by v:id=%recipient.id%.
func (m *Message) EventFor(t event.Type, recipient, vars string) *event.Event {
	e := m.Event(t, recipient)
	if vars == "" && !m.Meta.Batch {
		return e
	}
	v, err := ParseVars(vars, recipient)
	if r := v.Routed; r != nil {
		e.Doc.Flags.IsRouted = true
		e.Doc.Routes = []event.Route{{Expression: r.Expression, ID: r.ID, Match: event.RouteMatch{Recipient: r.Recipient}}}
	}
	if netx.IsURL(recipient) {
		e.Doc.Envelope.Transport = "http"
		e.Doc.RecipientDom = hostOf(recipient)
	}
	if !m.Meta.Batch {
		return e
	}
	if kept, ok := m.Meta.Vars[recipient]; vars == "" && ok {
		v = kept
	}
	lookup, lerr := v.Lookup()
	if err != nil || lerr != nil {
		return e // variables were parsed when they came in; the event counts more
	}
	h := &e.Doc.Message.Headers
	if m.Meta.List == nil {
		h.To = v.To
	}
	h.Subject = shorten(mime.Expand(h.Subject, bounded(lookup, 998)), 998)
	e.Doc.UserVariables = expandVariables(e.Doc.UserVariables, bounded(lookup, maxUserVariables+1))
	return e
}

// bounded cuts values at n bytes: a large value in many places must not grow
// into gigabytes only to be shortened.
func bounded(lookup mime.Lookup, n int) mime.Lookup {
	return func(name string) (string, bool) {
		v, ok := lookup(name)
		return strings.ToValidUTF8(v[:min(len(v), n)], ""), ok
	}
}

// expandVariables puts values into the strings of a JSON object.
func expandVariables(raw json.RawMessage, lookup mime.Lookup) json.RawMessage {
	if !mime.HasPlaceholder(string(raw)) {
		return raw
	}
	return cutVariables([]byte(mime.Expand(string(raw), func(name string) (string, bool) {
		v, ok := lookup(name)
		b, err := json.Marshal(v)
		if !ok || err != nil {
			return "", false
		}
		return string(b[1 : len(b)-1]), true // inside the quotes of the string it stands in
	})))
}
