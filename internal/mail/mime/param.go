package mime

import (
	"strings"
	"unicode/utf8"

	"postroad/internal/mail/mime/encword"
)

// appendParam writes `; name="value"` on a line of its own, so that no line
// grows long; the value is ASCII.
func appendParam(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ";\r\n\t"...), name...), '=')
	if isToken(value) {
		return append(dst, value...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(value); i++ {
		if value[i] == '"' || value[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, value[i])
	}
	return append(dst, '"')
}

// appendName writes the name parameter of a Content-Type. RFC 2231 is the
// standard; the encoded word (outside of it, but read everywhere) is what
// clients without RFC 2231 need, and Content-Disposition has the standard form.
func appendName(dst []byte, name string) []byte {
	if encword.IsPlain(name) && len(name) <= maxPlainParam {
		return appendParam(dst, "name", name)
	}
	dst = append(dst, ";\r\n\tname=\""...)
	for i, w := range strings.Split(string(encword.AppendPhrase(nil, name)), " ") {
		if i > 0 {
			dst = append(dst, "\r\n\t"...)
		}
		dst = append(dst, w...)
	}
	return append(dst, '"')
}

const maxPlainParam = 200

// appendFilename writes the filename parameter of a Content-Disposition, in
// the extended form of RFC 2231 section 4 when it is not plain ASCII, cut in
// sections (its section 3) when long.
func appendFilename(dst []byte, name string) []byte {
	if encword.IsPlain(name) && len(name) <= maxPlainParam {
		return appendParam(dst, "filename", name)
	}
	return appendExtended(dst, "filename", name)
}

// appendExtended writes a parameter in the form of RFC 2231.
func appendExtended(dst []byte, param, value string) []byte {
	enc := "utf-8''" + percent(value)
	const section = 60
	if len(enc) <= section {
		return append(append(append(append(dst, ";\r\n\t"...), param...), "*="...), enc...)
	}
	for n := 0; enc != ""; n++ {
		cut := min(section, len(enc))
		if i := strings.LastIndexByte(enc[max(0, cut-2):cut], '%'); i >= 0 && cut < len(enc) {
			cut = max(0, cut-2) + i // do not cut an escape in two
		}
		dst = append(append(append(dst, ";\r\n\t"...), param...), '*')
		dst = appendInt(dst, n)
		dst = append(dst, "*="...)
		dst = append(dst, enc[:cut]...)
		enc = enc[cut:]
	}
	return dst
}

func appendInt(dst []byte, n int) []byte {
	if n >= 10 {
		dst = appendInt(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}

func percent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; isAlnum(c) || c == '.' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperhex[c>>4], upperhex[c&15]})
		}
	}
	return b.String()
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isToken is the token of RFC 2045 section 5.1.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// param is one parameter as it stands in a raw value.
type param struct {
	name       string // lower case, with the "*" of RFC 2231
	value      string // unquoted
	start, end int    // in the raw value, from the ";"
}

// maxParams bounds the parameters read of one field.
const maxParams = 100

// parseParams splits a value like Content-Type into its lower-case first part
// and its parameters, tolerating what mail has: blanks, missing quotes, empty
// parameters, folding.
func parseParams(raw string) (string, []param) {
	head, _, _ := strings.Cut(raw, ";")
	i := len(head)
	var ps []param
	for i < len(raw) && len(ps) < maxParams {
		p := param{start: i}
		i++ // the ";"
		eq := strings.IndexAny(raw[i:], "=;")
		if eq < 0 {
			break
		}
		p.name = strings.ToLower(strings.Trim(raw[i:i+eq], " \t\r\n"))
		i += eq
		if raw[i] == '=' {
			p.value, i = paramValue(raw, i+1)
		}
		p.end = i
		ps = append(ps, p)
	}
	return strings.ToLower(strings.Trim(head, " \t\r\n")), ps
}

// paramValue reads a value from raw[i] on and gives the offset of the next
// ";" or the end.
func paramValue(raw string, i int) (string, int) {
	for i < len(raw) && strings.IndexByte(" \t\r\n", raw[i]) >= 0 {
		i++
	}
	if i >= len(raw) || raw[i] != '"' {
		end := strings.IndexByte(raw[i:], ';')
		if end < 0 {
			end = len(raw) - i
		}
		v := strings.Trim(raw[i:i+end], " \t\r\n")
		if c := strings.IndexByte(v, '('); c > 0 {
			v = strings.TrimRight(v[:c], " \t\r\n") // a comment behind the value
		}
		return v, i + end
	}
	var b strings.Builder
	for i++; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' && i+1 < len(raw) && (raw[i+1] == '"' || raw[i+1] == '\\') {
			i++
		}
		b.WriteByte(raw[i])
	}
	end := strings.IndexByte(raw[min(i, len(raw)):], ';')
	if end < 0 {
		return b.String(), len(raw)
	}
	return b.String(), i + end
}

// getParam gives a parameter decoded: plain, in encoded words, or in the
// extended and sectioned forms of RFC 2231, which win.
func getParam(ps []param, name string) string {
	plain, ext := "", ""
	for _, p := range ps {
		switch {
		case p.name == name && plain == "":
			plain = p.value
		case p.name == name+"*" && ext == "":
			ext = decodeExtended(p.value)
		}
	}
	if ext == "" {
		ext = joinSections(ps, name)
	}
	if ext != "" {
		return encword.Decode(strings.ToValidUTF8(ext, "\ufffd"))
	}
	return encword.Decode(plain)
}

func decodeExtended(v string) string {
	charset, rest, ok := strings.Cut(v, "'")
	_, text, ok2 := strings.Cut(rest, "'")
	if !ok || !ok2 {
		return string(unpercent(nil, v))
	}
	s, _ := encword.ToUTF8(charset, unpercent(nil, text))
	return s
}

// joinSections puts name*0, name*1*, ... together (RFC 2231 section 3).
func joinSections(ps []param, name string) string {
	var buf []byte
	charset := ""
	for n := 0; n < maxParams; n++ {
		key := name + "*" + string(appendInt(nil, n))
		i := indexParam(ps, key)
		if i < 0 {
			break
		}
		v := ps[i].value
		if !strings.HasSuffix(ps[i].name, "*") {
			buf = append(buf, v...)
			continue
		}
		if n == 0 {
			cs, rest, ok := strings.Cut(v, "'")
			if _, text, ok2 := strings.Cut(rest, "'"); ok && ok2 {
				charset, v = cs, text
			}
		}
		buf = unpercent(buf, v)
	}
	s, _ := encword.ToUTF8(charset, buf)
	return s
}

func indexParam(ps []param, key string) int {
	for i, p := range ps {
		if strings.TrimSuffix(p.name, "*") == key {
			return i
		}
	}
	return -1
}

func unpercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) < 16 && unhex(s[i+2]) < 16 {
			dst = append(dst, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// baseName takes the directories off a file name of foreign origin, and the
// controls and bidirectional overrides that disguise one.
func baseName(s string) string {
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == utf8.RuneError {
			return -1
		}
		return r
	}, s))
}
