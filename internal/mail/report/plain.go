package report

import (
	"html"
	"strings"
)

// plain gives the words of an HTML text, for notices that have no other. It
// knows which tags end a line and nothing else.
func plain(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexByte(s, '>')
		if end < 0 {
			break
		}
		tag := strings.ToLower(s[1:min(end, 12)])
		if name := strings.TrimLeft(tag, "/"); breaksLine(name) {
			b.WriteByte('\n')
		}
		s = s[end+1:]
		for _, skip := range [...]string{"style", "script", "head"} {
			if tag == skip || strings.HasPrefix(tag, skip+" ") {
				_, s = cutClosing(s, "</"+skip)
			}
		}
	}
	if !strings.HasPrefix(s, "<") {
		b.WriteString(s)
	}
	return strings.ReplaceAll(html.UnescapeString(b.String()), "\u00a0", " ")
}

func breaksLine(name string) bool {
	for _, t := range [...]string{"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table", "pre", "ul", "title"} {
		if rest, ok := strings.CutPrefix(name, t); ok && (rest == "" || rest[0] == ' ' || rest[0] == '/') {
			return true
		}
	}
	return false
}

// cutClosing splits at a closing tag; without one nothing is left, so that a
// text full of openings costs linear time.
func cutClosing(s, tag string) (before, after string) {
	for i := 0; ; {
		j := strings.Index(s[i:], "</")
		if j < 0 {
			return s, ""
		}
		i += j
		if len(s)-i >= len(tag) && strings.EqualFold(s[i:i+len(tag)], tag) {
			return s[:i], s[i:]
		}
		i += 2
	}
}
