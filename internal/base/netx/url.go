package netx

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"postroad/internal/base/dnsx"
)

// URLError says why a URL is refused. Its text is fit to be shown by an API.
type URLError struct {
	// URL is the text that was refused, cut if it is very long.
	URL string
	// Reason is a short phrase such as "invalid URL scheme".
	Reason string
	// Err is the cause, if there is one.
	Err error
}

// Error returns "URL is not a valid url: REASON". Mailgun: this text.
func (e *URLError) Error() string { return e.URL + " is not a valid url: " + e.Reason }

// Unwrap returns the cause.
func (e *URLError) Unwrap() error { return e.Err }

// maxURLBytes is the longest URL taken.
const maxURLBytes = 8192

// ValidateURL checks the form of a URL: absolute, http or https, with a host that
// is a name or an address in its usual form, without user information. It looks
// nothing up; Client.CheckURL does. The error is a *URLError.
func ValidateURL(s string) error {
	_, err := parseURL(s)
	return err
}

func parseURL(s string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		return nil, &URLError{URL: shorten(s), Reason: reason}
	}
	if len(s) > maxURLBytes {
		return refuse("URL is too long")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return refuse("invalid character in URL")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return refuse("malformed URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("invalid URL scheme")
	case u.User != nil:
		return refuse("user information is not allowed")
	case u.Host == "" || u.Hostname() == "":
		return refuse("missing host")
	case !validPort(u):
		return refuse("invalid port")
	case !validHost(u.Hostname()):
		return refuse("invalid host")
	}
	return u, nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// validHost takes names and addresses, but no name that some resolvers take for an
// address, such as 2130706433, 0x7f.1 or 0177.0.0.1: those whose last label is a
// number (the "ends in a number" rule of the URL standard).
func validHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	name, err := dnsx.ASCIIName(host)
	if err != nil || strings.Contains(name, "/") {
		return false
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return false
	}
	hex, isHex := strings.CutPrefix(last, "0x")
	return !isHex || strings.Trim(hex, "0123456789abcdef") != ""
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s...", s[:most])
}

// IsURL reports whether s begins as URLs of http and https do.
func IsURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// Redact leaves out of a URL what receivers keep secrets in, for logs: the query,
// user information and the fragment.
func Redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable url)"
	}
	u.RawQuery, u.User, u.Fragment = "", nil, ""
	return u.String()
}
