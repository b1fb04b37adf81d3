package provider

import (
	"bytes"
	"encoding/json"
	"html"
	"strings"
)

// Variables are values by the names of {{name}}.
type Variables map[string]any

// UnmarshalJSON reads a JSON object; numbers keep their digits.
func (v *Variables) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode((*map[string]any)(v))
}

// text returns a value as it stands in a message; a name without a value is
// nothing.
func (v Variables) text(name string) string {
	switch x := v[name].(type) {
	case nil:
		return ""
	case string:
		return x
	default:
		b, err := json.Marshal(x)
		if err != nil {
			return ""
		}
		return string(b)
	}
}

// hole is a {{name}} of a template.
type hole struct {
	start, end int
	name       string
	raw        bool // {{{name}}}
}

// holes finds {{name}} and {{{name}}}; anything else in braces is text.
func holes(s string) (out []hole) {
	for at := 0; ; {
		i := strings.Index(s[at:], "{{")
		if i < 0 {
			return out
		}
		h := hole{start: at + i, raw: strings.HasPrefix(s[at+i:], "{{{")}
		open, end := "{{", "}}"
		if h.raw {
			open, end = "{{{", "}}}"
		}
		from := h.start + len(open)
		n := strings.Index(s[from:], end)
		if n < 0 {
			if h.raw { // perhaps a brace before a {{name}}
				at = h.start + 1
				continue
			}
			return out
		}
		h.name, h.end = strings.TrimSpace(s[from:from+n]), from+n+len(end)
		if !isName(h.name) {
			at = h.start + 1
			continue
		}
		out, at = append(out, h), h.end
	}
}

func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}) < 0
}

// Place is where a template stands, which says what values may do there.
type Place int

// The places of templates.
const (
	Text    Place = iota // values are as they are
	Subject              // one line: line breaks of values become blanks
	HTML                 // of {{name}}, not of {{{name}}}, what would be markup is escaped
)

// Fill puts values into a template.
func Fill(template string, v Variables, at Place) string {
	return replace(template, func(h hole) string { return v.textAt(h.name, h.place(at)) })
}

// place is what the value of a hole is made fit for.
func (h *hole) place(at Place) Place {
	if at == HTML && h.raw {
		return Text
	}
	return at
}

// textAt returns a value made fit for its place.
func (v Variables) textAt(name string, at Place) string {
	s := v.text(name)
	switch at {
	case Subject:
		return oneLine(s)
	case HTML:
		return html.EscapeString(s)
	}
	return s
}

// oneLine makes a blank of each line break: no provider takes one in a subject, and
// what a recipient is called should not stop the mail of all others in the batch.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n\x00") {
		return s
	}
	return strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\x00", "").Replace(s)
}

func replace(template string, with func(hole) string) string {
	list := holes(template)
	if len(list) == 0 {
		return template
	}
	var b strings.Builder
	at := 0
	for _, h := range list {
		b.WriteString(template[at:h.start])
		b.WriteString(with(h))
		at = h.end
	}
	b.WriteString(template[at:])
	return b.String()
}

// slots makes a batch's texts templates of Mailgun, with the recipients' values as
// recipient variables: one for each kind of place a value is used in.
type slots struct {
	used map[slot]bool
}

type slot struct {
	at   Place
	name string // of a variable
}

// String is the name of the recipient variable.
func (s slot) String() string {
	return [...]string{Text: "p_", Subject: "s_", HTML: "h_"}[s.at] + s.name
}

const metadataSlot = "metadata"

func (s *slots) convert(template string, at Place) string {
	return replace(template, func(h hole) string {
		name := slot{h.place(at), h.name}
		if s.used == nil {
			s.used = map[slot]bool{}
		}
		s.used[name] = true
		return "%recipient." + name.String() + "%"
	})
}

// values returns the recipient variables of one recipient.
func (s *slots) values(v Variables, metadata json.RawMessage) map[string]string {
	out := make(map[string]string, len(s.used)+1)
	for u := range s.used {
		out[u.String()] = v.textAt(u.name, u.at)
	}
	if len(metadata) > 0 {
		out[metadataSlot] = string(metadata)
	}
	return out
}
