package provider

import (
	"bytes"
	"encoding/json"
	"html"
	"maps"
	"slices"
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

// Fill puts values into a template: for {{name}} in HTML with the characters
// escaped that mean something there, for {{{name}}} as they are.
func Fill(template string, v Variables, inHTML bool) string {
	return replace(template, func(h hole) string {
		if inHTML && !h.raw {
			return html.EscapeString(v.text(h.name))
		}
		return v.text(h.name)
	})
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
// recipient variables: those used in HTML a second time, escaped.
type slots struct {
	used map[string]bool // name of a variable; with escapedPrefix: for HTML
}

const (
	plainPrefix   = "p_"
	escapedPrefix = "h_"
	metadataSlot  = "metadata"
)

func (s *slots) convert(template string, inHTML bool) string {
	return replace(template, func(h hole) string {
		name := plainPrefix + h.name
		if inHTML && !h.raw {
			name = escapedPrefix + h.name
		}
		if s.used == nil {
			s.used = map[string]bool{}
		}
		s.used[name] = true
		return "%recipient." + name + "%"
	})
}

// values returns the recipient variables of one recipient.
func (s *slots) values(v Variables, metadata json.RawMessage) map[string]string {
	out := make(map[string]string, len(s.used)+1)
	for _, name := range slices.Sorted(maps.Keys(s.used)) {
		if plain, ok := strings.CutPrefix(name, escapedPrefix); ok {
			out[name] = html.EscapeString(v.text(plain))
		} else {
			out[name] = v.text(strings.TrimPrefix(name, plainPrefix))
		}
	}
	if len(metadata) > 0 {
		out[metadataSlot] = string(metadata)
	}
	return out
}
