package quote

import "strings"

// Text takes quotations and the signature off a plain text body in UTF-8.
// stripped is what the writer wrote, without blank lines at its ends; it is
// empty if body holds nothing but a quotation, and body itself (trimmed) if it
// can not be told what is quoted. signature holds the closing words, the
// delimiter and what follows them, or nothing. Line ends stay as they are.
func Text(body string) (stripped, signature string) {
	if len(body) > maxBody {
		return body, ""
	}
	lines := splitLines(body)
	s := scanner{phrases: known(), lines: lines}
	s.scan()
	if resolve(lines) {
		return "", ""
	}
	stripped = keptText(body, lines)
	for i := range lines {
		if lines[i].mark == forwarded {
			return stripped, "" // the last words are those of somebody else
		}
	}
	return splitSignature(s.phrases, stripped)
}

// maxBody is what offsets can say.
const maxBody = 1 << 30

// splitLines divides a body and marks what can be seen of a line alone.
func splitLines(body string) []line {
	lines := make([]line, 0, min(len(body)/32, 4096)+1)
	for at := 0; at < len(body); {
		end := len(body)
		if n := strings.IndexByte(body[at:], '\n'); n >= 0 && len(lines) < maxLines {
			end = at + n + 1
		}
		l := line{text: trim(body[at:end]), start: int32(at), end: int32(end), n: 1}
		l.mark = plainMark(l.text)
		lines = appendLine(lines, l)
		at = end
	}
	return lines
}

// appendLine adds a line, or adds it to the run it continues.
func appendLine(lines []line, l line) []line {
	if n := len(lines); n > 0 && (l.mark == blank || l.mark == quoted) {
		if p := &lines[n-1]; p.mark == l.mark && p.sure == l.sure && !p.picture && !l.picture {
			p.end = l.end
			p.n++
			return lines
		}
	}
	return append(lines, l)
}

// keptText joins the lines that stay.
func keptText(body string, lines []line) string {
	var parts []string
	for i := 0; i < len(lines); {
		from := i
		for i < len(lines) && lines[i].drop == lines[from].drop {
			i++
		}
		if lines[from].drop {
			continue
		}
		if part := trimBlank(body[lines[from].start:lines[i-1].end]); part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	eol := "\n"
	if strings.Contains(body, "\r\n") {
		eol = "\r\n"
	}
	return strings.Join(parts, eol+eol)
}

// trimBlank takes blank lines off the front and blanks off the end; the first
// line keeps its indent.
func trimBlank(s string) string {
	s = strings.TrimRightFunc(s, unseen)
	rest := strings.TrimLeftFunc(s, unseen)
	if i := strings.LastIndexByte(s[:len(s)-len(rest)], '\n'); i >= 0 {
		return s[i+1:]
	}
	return s
}
