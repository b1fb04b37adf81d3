package rewrite

import (
	"io"
	"strings"

	"golang.org/x/net/html"
)

// kind is what a token is. The order of the first ones is that in which a page
// begins: what comes later says better where its content does.
type kind int

const (
	other   kind = iota // text, comments
	doctype             //
	root                // <html>, see Page.top
	head                // </head>
	body                // <body>
	startTag
	endTag
	end // of the text, or of what can be read of it
)

// tokens cuts an HTML text as the tokenizer of the HTML standard (section 13.2.5)
// does where no script runs. Only offsets are kept.
type tokens struct {
	s          string
	start, end int
	nameStart  int
	nameEnd    int
	raw        string // the element whose text is no HTML, "" for none
	lower      [10]byte
}

// next moves on. At the end, start is where something that is not complete began.
func (z *tokens) next() kind {
	z.start = z.end
	s := z.s[z.start:]
	if z.raw != "" {
		n := rawText(s, z.raw)
		z.raw = ""
		z.end += n
		if n > 0 {
			return other
		}
	}
	n := markup(s)
	if n < 0 {
		z.start = len(z.s)
		return end
	}
	z.start += n
	s = s[n:]
	switch {
	case strings.HasPrefix(s, "<!--"):
		return z.until(comment(s), other)
	case len(s) >= len("<!doctype") && strings.EqualFold(s[:len("<!doctype")], "<!doctype"):
		return z.until(strings.IndexByte(s, '>')+1, doctype)
	case s[1] == '!' || s[1] == '?' || s[1] == '/' && !letter(s[2]):
		return z.until(strings.IndexByte(s, '>')+1, other)
	case s[1] == '/':
		return z.tag(z.start+2, endTag)
	}
	k := z.tag(z.start+1, startTag)
	if k == startTag {
		switch name := z.name(); name {
		case "iframe", "noembed", "noframes", "plaintext", "script", "style", "textarea", "title", "xmp":
			z.raw = strings.Clone(name)
		}
	}
	return k
}

// until ends a token n bytes behind its start; 0 means it has no end.
func (z *tokens) until(n int, k kind) kind {
	if n == 0 {
		return end
	}
	z.end = z.start + n
	return k
}

func (z *tokens) tag(name int, k kind) kind {
	i := name
	for i < len(z.s) && !space(z.s[i]) && z.s[i] != '/' && z.s[i] != '>' {
		i++
	}
	z.nameStart, z.nameEnd = name, i
	a := attribute{end: i}
	for a.next(z.s) {
	}
	return z.until(max(0, a.end-z.start), k)
}

// name is that of a tag in lower case, "" for one that is too long to mean
// anything here; it is valid until the next call.
func (z *tokens) name() string {
	n := z.nameEnd - z.nameStart
	if n > len(z.lower) {
		return ""
	}
	for i := range n {
		c := z.s[z.nameStart+i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		z.lower[i] = c
	}
	return string(z.lower[:n])
}

// markup returns where the first tag, comment or declaration begins, -1 without
// one.
func markup(s string) int {
	for i := 0; ; i++ {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 || i+n+1 >= len(s) {
			return -1
		}
		i += n
		switch c := s[i+1]; {
		case letter(c), c == '!', c == '?':
			return i
		case c == '/' && i+2 < len(s):
			return i
		}
	}
}

// comment returns the length of the comment s begins with, 0 if it has no end.
func comment(s string) int {
	i := len("<!--")
	if strings.HasPrefix(s[i:], ">") || strings.HasPrefix(s[i:], "->") {
		return strings.IndexByte(s, '>') + 1
	}
	for {
		n := strings.Index(s[i:], "--")
		if n < 0 {
			return 0
		}
		i += n
		if rest := s[i+2:]; strings.HasPrefix(rest, ">") {
			return i + len("-->")
		} else if strings.HasPrefix(rest, "!>") {
			return i + len("--!>")
		}
		i++
	}
}

// rawText returns how much of s is text in an element of that name.
func rawText(s, name string) int {
	if name == "plaintext" {
		return len(s)
	}
	n := closing(s, name)
	if name == "script" && strings.Contains(s[:n], "<!--") {
		return scriptText(s)
	}
	return n
}

// closing returns where the end tag of that name begins, the end of s without one.
func closing(s, name string) int {
	for i := 0; ; i++ {
		n := strings.Index(s[i:], "</")
		if n < 0 {
			return len(s)
		}
		i += n
		tag := s[i+2:]
		if len(tag) > len(name) && strings.EqualFold(tag[:len(name)], name) && (space(tag[len(name)]) || tag[len(name)] == '/' || tag[len(name)] == '>') {
			return i
		}
	}
}

// scriptText leaves the ways in which a script with "<!--" in it hides its end to
// x/net/html: mail hardly has any.
func scriptText(s string) int {
	z := html.NewTokenizer(io.MultiReader(strings.NewReader("<script>"), strings.NewReader(s)))
	z.Next()
	if z.Next() != html.TextToken {
		return 0
	}
	return len(z.Raw())
}

// attribute is one attribute of a tag.
type attribute struct {
	key, keyEnd int
	value       Link
	end         int // of the attribute, and of the tag when there is no other; -1 if that has none
}

// next moves on to the next attribute of a tag in s, see "13.2.5.32 Before
// attribute name state" and the following of the HTML standard.
func (a *attribute) next(s string) bool {
	i := a.end
	for i < len(s) && (space(s[i]) || s[i] == '/') {
		i++
	}
	if i >= len(s) {
		a.end = -1
		return false
	}
	if s[i] == '>' {
		a.end = i + 1
		return false
	}
	a.key = i
	for i++; i < len(s) && !space(s[i]) && s[i] != '/' && s[i] != '=' && s[i] != '>'; {
		i++
	}
	a.keyEnd, a.value = i, Link{i, i, 0}
	i = skip(s, i)
	if i < len(s) && s[i] == '=' {
		i = a.readValue(s, skip(s, i+1))
	}
	a.end = i
	if i >= len(s) {
		a.end = -1
	}
	return a.end >= 0
}

// readValue returns the end of the value at s[i].
func (a *attribute) readValue(s string, i int) int {
	if i >= len(s) {
		return i
	}
	if c := s[i]; c == '"' || c == '\'' {
		n := strings.IndexByte(s[i+1:], c)
		if n < 0 {
			return len(s)
		}
		a.value = Link{i + 1, i + 1 + n, c}
		return i + n + 2
	}
	a.value.Start = i
	for i < len(s) && !space(s[i]) && s[i] != '>' {
		i++
	}
	a.value.End = i
	return i
}

func skip(s string, i int) int {
	for i < len(s) && space(s[i]) {
		i++
	}
	return i
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
