package mime

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// decodeBody undoes a Content-Transfer-Encoding. It always gives what could be
// decoded; clean is false when something was broken or the encoding unknown.
// A body without encoding is returned as the same slice.
func decodeBody(body []byte, cte string) (data []byte, clean bool) {
	switch {
	case strings.EqualFold(cte, "base64"):
		return decodeBase64(body)
	case strings.EqualFold(cte, "quoted-printable"):
		return decodeQP(body)
	case cte == "", strings.EqualFold(cte, "7bit"), strings.EqualFold(cte, "8bit"), strings.EqualFold(cte, "binary"):
		return body, true
	}
	return body, false
}

// b64 maps a character to its six bits; 64 is padding, 65 a line end or
// blank, 66 anything else.
var b64 = func() (t [256]byte) {
	for i := range t {
		t[i] = 66
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['='] = 64
	t['\r'], t['\n'], t[' '], t['\t'] = 65, 65, 65, 65
	return t
}()

func decodeBase64(body []byte) ([]byte, bool) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	if n, err := base64.StdEncoding.Decode(out, body); err == nil {
		return out[:n], true
	}
	return decodeBase64Broken(body, out[:0])
}

// decodeBase64Broken skips foreign characters, takes missing padding, and
// goes on behind padding: several encodings put together are common.
func decodeBase64Broken(body, out []byte) ([]byte, bool) {
	clean := true
	var acc uint32
	n := 0
	flush := func() {
		switch n {
		case 1:
			clean = false
		case 2:
			out = append(out, byte(acc>>4))
		case 3:
			out = append(out, byte(acc>>10), byte(acc>>2))
		}
		acc, n = 0, 0
	}
	for _, c := range body {
		v := b64[c]
		switch {
		case v < 64:
			acc, n = acc<<6|uint32(v), n+1
			if n == 4 {
				out = append(out, byte(acc>>16), byte(acc>>8), byte(acc))
				acc, n = 0, 0
			}
		case v == 64:
			flush()
		case v == 66:
			clean = false
		}
	}
	clean = clean && n == 0
	flush()
	return out, clean
}

// decodeQP reads quoted-printable (RFC 2045 section 6.7); a broken escape is
// kept as it stands.
func decodeQP(body []byte) ([]byte, bool) {
	out := make([]byte, 0, len(body))
	clean := true
	for len(body) > 0 {
		i := bytes.IndexByte(body, '\n')
		line, eol := body, []byte(nil)
		if i >= 0 {
			line, eol, body = body[:i], body[i:i+1], body[i+1:]
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line, eol = line[:n-1], crlf
			}
		} else {
			body = nil
		}
		line = bytes.TrimRight(line, " \t")
		if n := len(line); n > 0 && line[n-1] == '=' {
			line, eol = line[:n-1], nil
		}
		var ok bool
		out, ok = appendQPDecoded(out, line)
		clean = clean && ok
		out = append(out, eol...)
	}
	return out, clean
}

var crlf = []byte("\r\n")

func appendQPDecoded(out, line []byte) ([]byte, bool) {
	clean := true
	for {
		i := bytes.IndexByte(line, '=')
		if i < 0 {
			return append(out, line...), clean
		}
		out = append(out, line[:i]...)
		if i+2 < len(line) && unhex(line[i+1]) < 16 && unhex(line[i+2]) < 16 {
			out = append(out, unhex(line[i+1])<<4|unhex(line[i+2]))
			line = line[i+3:]
			continue
		}
		clean = false
		out = append(out, '=')
		line = line[i+1:]
	}
}
