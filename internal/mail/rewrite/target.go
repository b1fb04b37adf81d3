package rewrite

import (
	"strings"

	"postroad/internal/mail/linktoken"
)

// blanks are stripped from the ends of a URL (URL standard, section 4.4); HTML has
// no NUL.
const blanks = "\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "

// webLink reports whether s begins with http:// or https://.
func webLink(s string) bool {
	const http = "http"
	if len(s) < len(http) || !strings.EqualFold(s[:len(http)], http) {
		return false
	}
	s = s[len(http):]
	if s != "" && s[0]|0x20 == 's' {
		s = s[1:]
	}
	return strings.HasPrefix(s, "://")
}

// templating marks what somebody else's program was to replace; with it in the
// link, what is behind a token would no longer be seen by that program.
var templating = [...]string{"{{", "{%", "<%", "${"}

func templated(s string) bool {
	for _, t := range templating {
		if strings.Contains(s, t) {
			return true
		}
	}
	return false
}

// Target returns the URL that following the link href leads to, written as
// browsers send it. ok is false for a link to be left as it is: one of another
// scheme, a relative one, one that is too long for a token, one with templating in
// it, and one to base (scheme://host), which is ours already.
func Target(href, base string) (url string, ok bool) {
	href = strings.Trim(href, blanks)
	if !webLink(href) || within(href, base) || templated(href) {
		return "", false
	}
	if strings.ContainsAny(href, "\t\r\n \"<>") {
		href = escape.Replace(href)
	}
	if len(href) > linktoken.MaxURL {
		return "", false
	}
	for i := 0; i < len(href); i++ {
		if href[i] < ' ' || href[i] == 0x7f {
			return "", false
		}
	}
	n := strings.Index(href, "://")
	if href[0] != 'h' || href[n-1] < 'a' {
		href = strings.ToLower(href[:n]) + href[n:]
	}
	host := href[n+len("://"):]
	if i := strings.IndexAny(host, "/?#\\"); i >= 0 {
		host = host[:i]
	}
	return href, plainHost(host)
}

// escape does to a URL what browsers do: line breaks and tabs are removed (URL
// standard, section 4.4), what must not stand in it is encoded.
var escape = strings.NewReplacer("\t", "", "\r", "", "\n", "", " ", "%20", `"`, "%22", "<", "%3C", ">", "%3E")

// plainHost reports whether s can be the authority of a URL, so that no templating
// is in it, of whatever kind.
func plainHost(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x80 && !alnum(c) && strings.IndexByte("-._:@[]", c) < 0 {
			return false
		}
	}
	return strings.Trim(s, "-._:@[]") != ""
}

// within reports whether a link leads to a place of base.
func within(href, base string) bool {
	if base == "" || len(href) < len(base) || !strings.EqualFold(href[:len(base)], base) {
		return false
	}
	return len(href) == len(base) || strings.IndexByte("/?#", href[len(base)]) >= 0
}

func alnum(c byte) bool { return letter(c) || c >= '0' && c <= '9' }
