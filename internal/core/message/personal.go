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

// Personal reports whether each recipient gets a copy of its own.
func (m *Message) Personal() bool { return m.Meta.Batch || m.Meta.Track != nil }

// Personalise makes the copy that goes to recipient of a message that is Personal:
// variables in place, an own To in a batch that is no post to a list, and what
// tracking adds. t is what Compile returned for raw. The same arguments make the
// same bytes, which were signed, at every attempt.
func (s *Service) Personalise(m *Message, t *mime.Template, raw []byte, v Vars, recipient string) ([][]byte, error) {
	if !s.tracks(m) || v.Archive {
		return m.personalise(t, raw, v, nil)
	}
	return m.personalise(t, raw, v, &tracked{s: s, m: m, recipient: recipient})
}

func (m *Message) personalise(t *mime.Template, raw []byte, v Vars, with *tracked) ([][]byte, error) {
	pieces := [][]byte{raw}
	if t.HasPlaceholders() && !v.Archive {
		lookup, links, err := m.values(&v, with)
		if err != nil {
			return nil, err
		}
		if pieces, err = t.ExecuteTracked(lookup, links); err != nil {
			return nil, fmt.Errorf("personal copy: %w", err)
		}
	}
	var fields []mime.Field
	if m.Meta.Batch && m.Meta.List == nil {
		fields = append(fields, mime.Field{Name: "To", Value: v.To})
	}
	if with != nil {
		fields = append(fields, with.fields(t)...)
	}
	if len(fields) == 0 {
		return pieces, nil
	}
	var head []byte
	for _, f := range fields {
		var err error
		if head, err = mime.AppendField(head, f); err != nil {
			return nil, fmt.Errorf("personal copy: %w", err)
		}
	}
	return append([][]byte{head}, pieces...), nil
}

// values are those of a copy's placeholders, and its links. Only a batch has
// variables: in other messages %recipient% is text.
func (m *Message) values(v *Vars, with *tracked) (lookup mime.Lookup, links mime.Links, err error) {
	lookup = func(string) (string, bool) { return "", false }
	if m.Meta.Batch {
		if lookup, err = v.Lookup(); err != nil {
			return nil, links, err
		}
	}
	if with != nil {
		lookup, links = with.lookup(lookup), with.links()
	}
	return lookup, links, nil
}

// CopyFor returns the body as one recipient gets it: the stored body, or the
// personalised copy of a batch whose variables are still known. An empty
// recipient means the first. It is for people who look at the message later, so
// it has none of what tracking adds: whoever opens it or follows its links must
// not count as the recipient, nor be able to unsubscribe them.
func (s *Service) CopyFor(m *Message, recipient string) ([]byte, error) {
	return s.copyFor(m, recipient, false)
}

// CapturedFor is CopyFor with what tracking adds: of captured mail, who looks at
// it is the only recipient there is.
func (s *Service) CapturedFor(m *Message, recipient string) ([]byte, error) {
	return s.copyFor(m, recipient, s.tracks(m))
}

func (s *Service) copyFor(m *Message, recipient string, track bool) ([]byte, error) {
	raw, err := s.Body(m)
	if err != nil || !m.Meta.Batch && !track {
		return raw, err
	}
	if recipient == "" && len(m.Meta.Recipients) > 0 {
		recipient = m.Meta.Recipients[0]
	}
	v, ok := m.Meta.Vars[recipient]
	if !ok {
		v = Vars{To: recipient, Target: recipient}
	}
	var t *mime.Template
	var with *tracked
	if track {
		with = &tracked{s: s, m: m, recipient: recipient}
		t, err = s.Compile(m, raw)
	} else {
		t, err = mime.CompileTemplate(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("copy: %w", err)
	}
	pieces, err := m.personalise(t, raw, v, with)
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
	if !m.Meta.Batch && (vars == "" || m.Meta.Track != nil) { // no route tracks
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
