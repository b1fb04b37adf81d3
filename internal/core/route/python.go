package route

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// translate writes a regular expression of Python's re module in the syntax of
// Go's. What RE2 cannot do, and what Python does not know, is an error that
// names it; the rest of the syntax is left to the compiler.
func translate(pattern string) (string, error) {
	t := &translator{src: pattern}
	t.out.Grow(len(pattern) + 16)
	for t.at < len(t.src) {
		if err := t.step(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

type translator struct {
	src    string
	at     int
	out    strings.Builder
	class  bool // between brackets
	first  bool // at the first item of the class
	repeat bool // behind a quantifier
	lead   int  // bytes of out that are flags of the whole
}

func (t *translator) rest() string { return t.src[t.at:] }

// emit writes text in place of the next n bytes.
func (t *translator) emit(n int, text string) {
	t.out.WriteString(text)
	t.at += n
}

func (t *translator) step() error {
	c := t.src[t.at]
	switch {
	case c == '\\':
		t.repeat = false
		return t.escape()
	case t.class:
		t.inClass(c)
		return nil
	case c == '*' || c == '+' || c == '?':
		return t.quantifier(1, string(c))
	case c == '{':
		if n, text, ok := braces(t.rest()); ok {
			return t.quantifier(n, text)
		}
		t.emit(1, `\{`)
	case c == '}':
		t.emit(1, `\}`)
	case c == '(':
		t.repeat = false
		return t.group()
	case c == '[':
		t.class, t.first = true, true
		t.emit(1, "[")
		if strings.HasPrefix(t.rest(), "^") {
			t.emit(1, "^")
		}
	default:
		_, n := utf8.DecodeRuneInString(t.rest())
		t.emit(n, t.src[t.at:t.at+n])
	}
	t.repeat = false
	return nil
}

// inClass copies one character of a class. Python has no [[:alpha:]].
func (t *translator) inClass(c byte) {
	_, n := utf8.DecodeRuneInString(t.rest())
	switch {
	case c == ']' && !t.first:
		t.class = false
		t.emit(1, "]")
	case c == '[' || c == ']':
		t.emit(1, `\`+string(c))
	default:
		t.emit(n, t.src[t.at:t.at+n])
	}
	t.first = false
}

// quantifier writes one, which was n bytes of the source.
func (t *translator) quantifier(n int, text string) error {
	if t.repeat {
		return fmt.Errorf("multiple repeat %q", t.src[t.at:t.at+n])
	}
	t.emit(n, text)
	switch {
	case strings.HasPrefix(t.rest(), "?"):
		t.emit(1, "?")
	case strings.HasPrefix(t.rest(), "+"):
		return fmt.Errorf("possessive quantifier %q is not supported", t.src[t.at-n:t.at+1])
	}
	t.repeat = true
	return nil
}

// braces reads {m}, {m,}, {,n}, {m,n} or {,}. Anything else is no quantifier
// but a brace.
func braces(s string) (n int, text string, ok bool) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return 0, "", false
	}
	low, high, comma := strings.Cut(s[1:end], ",")
	if !digits(low) || !digits(high) || low == "" && !comma {
		return 0, "", false
	}
	switch {
	case !comma:
		return end + 1, s[:end+1], true
	case low == "":
		low = "0"
	}
	return end + 1, "{" + low + "," + high + "}", true
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// group writes what a parenthesis begins.
func (t *translator) group() error {
	s := t.rest()
	if !strings.HasPrefix(s, "(?") {
		t.emit(1, "(")
		return nil
	}
	for _, k := range refusedGroups() {
		if strings.HasPrefix(s, k.prefix) {
			return fmt.Errorf("%s %s... is not supported%s", k.name, k.prefix, k.hint)
		}
	}
	switch {
	case strings.HasPrefix(s, "(?#"):
		end := strings.IndexByte(s, ')')
		if end < 0 {
			return fmt.Errorf("missing ), unterminated comment")
		}
		t.at += end + 1
		return nil
	case strings.HasPrefix(s, "(?P<"):
		t.emit(len("(?P<"), "(?P<")
		return nil
	case strings.HasPrefix(s, "(?:"):
		t.emit(len("(?:"), "(?:")
		return nil
	}
	return t.flags(s)
}

type refusal struct{ prefix, name, hint string }

func refusedGroups() []refusal {
	return []refusal{
		{"(?=", "lookahead", ""}, {"(?!", "negative lookahead", "; use not with a second condition"},
		{"(?<=", "lookbehind", ""}, {"(?<!", "negative lookbehind", ""},
		{"(?>", "atomic group", ""}, {"(?(", "conditional pattern", ""}, {"(?P=", "backreference", ""},
		{"(?P>", "recursion", ""}, {"(?R", "recursion", ""}, {"(?<", "group", "; write (?P<name>...)"},
	}
}

// flags writes (?i) and (?i-s:...). Flags of the whole stand at its beginning,
// as Python demands. a and u are how our classes and Python's are anyway.
func (t *translator) flags(s string) error {
	end := strings.IndexAny(s, ":)")
	if end < 0 {
		return fmt.Errorf("missing ) after %q", clip(s, 20))
	}
	var keep strings.Builder
	for _, c := range s[2:end] {
		switch c {
		case 'i', 'm', 's', '-':
			keep.WriteRune(c)
		case 'a', 'u':
		case 'x', 'L':
			return fmt.Errorf("flag %q of %q is not supported", c, clip(s[:end+1], 20))
		default:
			return fmt.Errorf("unknown extension %q", clip(s[:end+1], 20))
		}
	}
	kept := strings.TrimSuffix(keep.String(), "-")
	if s[end] == ':' {
		t.emit(end+1, "(?"+kept+":")
		return nil
	}
	if t.out.Len() != t.lead {
		return fmt.Errorf("global flags %q are not at the beginning of the pattern", clip(s[:end+1], 20))
	}
	if kept != "" {
		kept = "(?" + kept + ")"
	}
	t.emit(end+1, kept)
	t.lead = t.out.Len()
	return nil
}

// escape writes what a backslash begins.
func (t *translator) escape() error {
	t.first = false
	s := t.rest()
	if len(s) == 1 {
		return fmt.Errorf("a backslash at the end")
	}
	c, n := utf8.DecodeRuneInString(s[1:])
	switch {
	case c >= '0' && c <= '9':
		return t.numeric(s)
	case c == 'x' || c == 'u' || c == 'U':
		return t.hex(s)
	case c >= utf8.RuneSelf:
		t.emit(1+n, s[1:1+n])
	case !wordByte(byte(c)) || c == '_':
		t.emit(2, `\`+string(c))
	case c == 'Z' || c == 'z':
		return t.outside(s, `\z`)
	case c == 'A' || c == 'B':
		return t.outside(s, s[:2])
	case c == 'b' && t.class:
		t.emit(2, `\x08`)
	case strings.IndexByte("abdDsSwWfnrtv", byte(c)) >= 0:
		t.emit(2, s[:2])
	default:
		return fmt.Errorf("bad escape %q", s[:2])
	}
	return nil
}

// outside writes an escape that has no meaning in a class.
func (t *translator) outside(s, text string) error {
	if t.class {
		return fmt.Errorf("bad escape %q in a class", s[:2])
	}
	t.emit(2, text)
	return nil
}

// numeric reads an octal escape. In Python \0 and three octal digits are one,
// and in a class nothing else can be meant.
func (t *translator) numeric(s string) error {
	n := 1
	for n < len(s) && n < 4 && s[n] >= '0' && s[n] <= '7' {
		n++
	}
	if n < 2 || s[1] != '0' && n < 4 && !t.class {
		return fmt.Errorf("backreference %q is not supported", s[:2])
	}
	var v int
	for _, d := range s[1:n] {
		v = v*8 + int(d-'0')
	}
	if v > 0o377 {
		return fmt.Errorf("octal escape %q is outside of 0-0o377", s[:n])
	}
	t.emit(n, fmt.Sprintf(`\x{%x}`, v))
	return nil
}

// hex reads \xhh, \uhhhh and \Uhhhhhhhh.
func (t *translator) hex(s string) error {
	n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
	if len(s) < 2+n || strings.Trim(s[2:2+n], "0123456789abcdefABCDEF") != "" {
		return fmt.Errorf("incomplete escape %q", s[:min(len(s), 2+n)])
	}
	t.emit(2+n, `\x{`+s[2:2+n]+"}")
	return nil
}
