package message

import (
	"encoding/json"
	"fmt"

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
// an own To, the variables in place.
func Personalise(t *mime.Template, raw []byte, v Vars) ([][]byte, error) {
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
	pieces, err := Personalise(t, raw, v)
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
