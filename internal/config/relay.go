package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Relay is another mail server that takes the mail for some recipient domains.
type Relay struct {
	// Pattern is a domain in ASCII and lower case (example.com), its subdomains
	// (*.example.com), both (.example.com) or every domain (*).
	Pattern string
	// Scheme is "smtp" (STARTTLS where offered) or "smtps" (TLS from the start).
	Scheme string
	// User and Pass log in; User is empty when no login is wanted.
	User, Pass string
	Host       string
	Port       int
}

// ParseRelay reads PATTERN=smtp://[USER:PASSWORD@]HOST[:PORT]. Without a port
// it is 25, for smtps 465. Its errors do not repeat what may hold a password.
func ParseRelay(text string) (Relay, error) {
	pattern, target, ok := strings.Cut(text, "=")
	if !ok || strings.ContainsAny(pattern, ":@") {
		return Relay{}, errors.New("a relay has the form PATTERN=smtp://[USER:PASSWORD@]HOST:PORT; the part before \"=\" is missing (* is every domain)")
	}
	pattern, err := parsePattern(pattern)
	if err != nil {
		return Relay{}, err
	}
	r := Relay{Pattern: pattern}
	if err := r.target(target); err != nil {
		return Relay{}, fmt.Errorf("relay for %q: %w", pattern, err)
	}
	return r, nil
}

func parsePattern(text string) (string, error) {
	text = strings.TrimSpace(text)
	prefix, domain := "", text
	switch {
	case text == "*":
		return text, nil
	case strings.HasPrefix(text, "*."):
		prefix, domain = text[:2], text[2:]
	case strings.HasPrefix(text, "."):
		prefix, domain = text[:1], text[1:]
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if again, aerr := idna.Lookup.ToASCII(ascii); err != nil || !validName(ascii) || aerr != nil || again != ascii {
		return "", fmt.Errorf("%q is not a pattern: use example.com, *.example.com, .example.com or *", text)
	}
	return prefix + strings.ToLower(ascii), nil
}

func (r *Relay) target(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		// Not wrapped: url's errors quote the text, and so the password.
		return errors.New("the part after \"=\" is not smtp://[USER:PASSWORD@]HOST:PORT (special characters in USER and PASSWORD are written %XX)")
	}
	r.Scheme, r.Host = u.Scheme, u.Hostname()
	switch r.Scheme {
	case "smtp":
		r.Port = 25
	case "smtps":
		r.Port = 465
	default:
		return errors.New("the server must begin with smtp:// or smtps://")
	}
	if net.ParseIP(r.Host) == nil && !validName(r.Host) {
		return errors.New("the server has no valid host")
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return errors.New("nothing may follow HOST:PORT")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return errors.New("the port must be a number from 1 to 65535")
		}
		r.Port = int(n)
	}
	return r.login(u.User)
}

func (r *Relay) login(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	pass, ok := user.Password()
	if user.Username() == "" || !ok || pass == "" {
		return errors.New("a login needs both USER and PASSWORD")
	}
	r.User, r.Pass = user.Username(), pass
	return nil
}

// Addr is HOST:PORT, for dialling.
func (r Relay) Addr() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// String is the form that ParseRelay reads, with the password hidden.
func (r Relay) String() string {
	login := ""
	if r.User != "" {
		login = url.PathEscape(r.User) + ":" + redacted + "@"
	}
	return r.Pattern + "=" + r.Scheme + "://" + login + r.Addr()
}

// MarshalText hides the password from JSON and other encodings.
func (r Relay) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// GoString hides the password from %#v.
func (r Relay) GoString() string { return r.String() }

// Match reports whether the relay is for a domain, given in ASCII.
func (r Relay) Match(domain string) bool { return r.match(domain) >= 0 }

// match is how exactly the pattern fits, -1 for not at all.
func (r Relay) match(domain string) int {
	const exact = 1 << 16 // more than any suffix is long
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	suffix := strings.TrimPrefix(r.Pattern, "*")
	switch {
	case domain == "":
		return -1
	case r.Pattern == "*":
		return 0
	case domain == r.Pattern:
		return exact
	case suffix[0] == '.' && strings.HasSuffix(domain, suffix) && len(domain) > len(suffix):
		return len(suffix)
	case r.Pattern[0] == '.' && domain == suffix[1:]:
		return len(suffix)
	}
	return -1
}

// Relays are the relays configured.
type Relays []Relay

// Index returns the place of the relay whose pattern is most specific for a
// domain: the domain itself before the longest suffix before *; among equals
// the first; -1 without one.
func (rs Relays) Index(domain string) int {
	best, at := -1, -1
	for i, r := range rs {
		if m := r.match(domain); m > best {
			best, at = m, i
		}
	}
	return at
}

// Find returns the relay for a domain; see Index.
func (rs Relays) Find(domain string) (Relay, bool) {
	at := rs.Index(domain)
	if at < 0 {
		return Relay{}, false
	}
	return rs[at], true
}

// String hides passwords.
func (rs Relays) String() string {
	parts := make([]string, len(rs))
	for i, r := range rs {
		parts[i] = r.String()
	}
	return strings.Join(parts, " ")
}

func (rs Relays) check() error {
	seen := map[string]bool{}
	for _, r := range rs {
		if seen[r.Pattern] {
			return fmt.Errorf("--relay: two relays for %q", r.Pattern)
		}
		seen[r.Pattern] = true
	}
	return nil
}
