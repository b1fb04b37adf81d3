package authres

import (
	"bytes"
	"strings"

	"postroad/internal/mail/mime"
)

// ours are the fields that only we add to what we receive.
var ours = [...]string{
	MailgunSPFName, MailgunDKIMName, "X-Mailgun-Sflag", "X-Mailgun-Sscore", "X-Mailgun-Sid", "X-Mailgun-Incoming", "X-Postroad-Spam-Check",
}

// Strip returns a message without the fields that claim to be ours but cannot be,
// since it only just arrives: results in the name of authservID (RFC 8601,
// section 5) and Mailgun's. The pieces refer to raw; no other octet is changed.
// The error is mime.ErrHeaderTooLarge.
func Strip(raw []byte, authservID string) ([][]byte, error) {
	fields, _, err := mime.ScanHeader(raw)
	if err != nil {
		return nil, err
	}
	var pieces [][]byte
	keep := 0
	for _, f := range fields {
		if !isForged(f, authservID) {
			continue
		}
		if f.Start > keep {
			pieces = append(pieces, raw[keep:f.Start])
		}
		keep = f.End
	}
	return append(pieces, raw[keep:]), nil
}

func isForged(f mime.RawField, authservID string) bool {
	if f.Is(FieldName) {
		id, ok := readAuthservID(string(f.Value))
		if !ok { // who knows how others read it
			return bytes.Contains(bytes.ToLower(f.Value), []byte(strings.ToLower(authservID)))
		}
		return strings.EqualFold(id, authservID)
	}
	for _, name := range ours {
		if f.Is(name) {
			return true
		}
	}
	return false
}

// readAuthservID reads the name a field of results starts with: a token or quoted
// string between comments and white space, before a version or semicolon (RFC
// 8601, section 2.2).
func readAuthservID(s string) (string, bool) {
	s, ok := skipCFWS(s)
	if !ok || s == "" {
		return "", false
	}
	id, rest := "", ""
	if s[0] == '"' {
		if id, rest, ok = cutQuoted(s); !ok {
			return "", false
		}
	} else {
		end := strings.IndexAny(s, " \t\r\n;(\"")
		if end < 0 {
			end = len(s)
		}
		id, rest = s[:end], s[end:]
	}
	if rest, ok = skipCFWS(rest); !ok {
		return "", false
	}
	version := strings.TrimLeft(rest, "0123456789")
	if version, ok = skipCFWS(version); !ok || version != "" && version[0] != ';' {
		return "", false
	}
	return id, true
}

// skipCFWS returns what follows white space and comments, false if one of them has
// no end.
func skipCFWS(s string) (string, bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return s[i:], true
		case c == ')':
			depth--
		case c == '\\':
			i++
		}
	}
	return "", depth == 0
}

// cutQuoted takes a quoted string off the start of s and undoes its escapes.
func cutQuoted(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\r', '\n':
			continue // folding
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
