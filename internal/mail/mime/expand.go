package mime

import "strings"

// Lookup gives the value of a placeholder by its name without the percent
// signs: "recipient", "recipient_email", "recipient.key", "unsubscribe_url".
// ok is false for a name it does not know.
type Lookup func(name string) (value string, ok bool)

// maxPlaceholder bounds a name, so that a text full of openings costs linear
// time.
const maxPlaceholder = 256

// Expand replaces the placeholders %name% and %name.key% in s. A name lookup
// does not know is left as it stands (Mailgun does the same).
func Expand(s string, lookup Lookup) string {
	segs := placeholders(s)
	if segs == nil {
		return s
	}
	out, _ := expandSegments(make([]byte, 0, len(s)+64), segs, lookup, func(dst []byte, _ segment, v string) []byte {
		return append(dst, v...)
	})
	return string(out)
}

// HasPlaceholder reports whether s has a placeholder Template and Expand act
// on.
func HasPlaceholder(s string) bool {
	for i := 0; ; {
		j := strings.IndexByte(s[i:], '%')
		if j < 0 {
			return false
		}
		if i += j; placeholderAt(s[i:]) != "" {
			return true
		}
		i++
	}
}

// segment is literal text, or a placeholder when name is set; text is then
// how it was written.
type segment struct {
	text   string
	name   string
	quoted bool // inside a quoted string of an address field
	link   *link
	pixel  bool // where the pixel goes; text is empty
	added  bool // the message has not got it
}

// placeholders cuts s at its placeholders; nil if there is none.
func placeholders(s string) []segment {
	var segs []segment
	start := 0
	for i := 0; ; {
		j := strings.IndexByte(s[i:], '%')
		if j < 0 {
			break
		}
		i += j
		name := placeholderAt(s[i:])
		if name == "" {
			i++
			continue
		}
		if i > start {
			segs = append(segs, segment{text: s[start:i]})
		}
		end := i + len(name) + 2
		segs = append(segs, segment{text: s[i:end], name: name})
		i, start = end, end
	}
	if segs != nil && start < len(s) {
		segs = append(segs, segment{text: s[start:]})
	}
	return segs
}

// placeholderAt gives the name of the placeholder s begins with, or "".
func placeholderAt(s string) string {
	i := 1
	for i < len(s) && i <= maxPlaceholder && (isAlnum(s[i]) || s[i] == '_') {
		i++
	}
	base := s[1:i]
	if i >= len(s) || !knownPlaceholder(base) {
		return ""
	}
	if s[i] == '.' && base == "recipient" {
		key := i + 1
		for i = key; i < len(s) && i <= maxPlaceholder && s[i] >= ' ' && s[i] != '%'; {
			i++
		}
		if i == key {
			return ""
		}
	}
	if i >= len(s) || s[i] != '%' {
		return ""
	}
	return s[1:i]
}

// knownPlaceholder lists the names of Mailgun: recipient variables, the fields
// of list members, unsubscribe links.
func knownPlaceholder(s string) bool {
	switch s {
	case "recipient", "recipient_email", "recipient_name", "recipient_fname", "recipient_lname",
		"unsubscribe_url", "tag_unsubscribe_url", "mailing_list_unsubscribe_url", "unsubscribe_email":
		return true
	}
	return false
}

// expandSegments writes segs with values put in by insert; changed reports
// whether any placeholder was known.
func expandSegments(dst []byte, segs []segment, lookup Lookup, insert func([]byte, segment, string) []byte) (out []byte, changed bool) {
	for _, g := range segs {
		if g.name != "" {
			if v, ok := lookup(g.name); ok {
				dst, changed = insert(dst, g, v), true
				continue
			}
		}
		dst = append(dst, g.text...)
	}
	return dst, changed
}
