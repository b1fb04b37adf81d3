package smtp

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Limits of an address in octets. RFC 5321 4.5.3.1 obliges servers to take at
// least 64 in the local part; return addresses that encode a recipient are
// longer in practice, so that the local part may have as many as the domain.
const (
	maxLocal  = 255
	maxDomain = 255
)

// ErrPath is wrapped by every error of ParsePath.
var ErrPath = errors.New("malformed path")

// Path is a reverse or forward path of RFC 5321 4.1.2 without its source route.
// The zero Path is the null sender "<>".
type Path struct {
	Local  string // local part with quoting removed
	Domain string // domain or address literal as given; "" for "<>" and "<Postmaster>"
}

// IsNull reports the null sender.
func (p Path) IsNull() bool { return p.Local == "" && p.Domain == "" }

// ASCII reports whether the path can be used without SMTPUTF8.
func (p Path) ASCII() bool { return isASCII(p.Local) && isASCII(p.Domain) }

// String is the address without angle brackets. The local part is quoted only
// if it has to be, so that one mailbox has one form.
func (p Path) String() string {
	local := p.Local
	if p.IsNull() {
		return ""
	}
	if n, ok := scanDotString(local); !ok || n != len(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if p.Domain == "" {
		return local
	}
	return local + "@" + p.Domain
}

// ParsePath parses a path at the start of s, angle brackets included, and
// returns what follows the closing one. Source routes are checked and dropped
// (RFC 5321 appendix C). Non-ASCII UTF-8 (RFC 6531) is accepted; the caller
// judges it by Path.ASCII. A path without domain is accepted only for
// Postmaster.
func ParsePath(s string) (Path, string, error) {
	var p Path
	if !strings.HasPrefix(s, "<") {
		return p, "", pathError("missing <")
	}
	s = s[1:]
	if strings.HasPrefix(s, ">") {
		return p, s[1:], nil
	}
	s, err := skipRoute(s)
	if err != nil {
		return p, "", err
	}
	if p.Local, s, err = parseLocal(s); err != nil {
		return Path{}, "", err
	}
	if strings.HasPrefix(s, ">") && strings.EqualFold(p.Local, "postmaster") {
		return p, s[1:], nil
	}
	if !strings.HasPrefix(s, "@") {
		return Path{}, "", pathError("missing @")
	}
	if p.Domain, s, err = parseDomain(s[1:]); err != nil {
		return Path{}, "", err
	}
	if !strings.HasPrefix(s, ">") {
		return Path{}, "", pathError("missing >")
	}
	return p, s[1:], nil
}

type pathError string

func (e pathError) Error() string { return "malformed path: " + string(e) }
func (e pathError) Unwrap() error { return ErrPath }

// skipRoute drops "@a,@b:".
func skipRoute(s string) (string, error) {
	if !strings.HasPrefix(s, "@") {
		return s, nil
	}
	for hops := 0; hops < 32; hops++ {
		if !strings.HasPrefix(s, "@") {
			return "", pathError("source route")
		}
		_, rest, err := parseDomain(s[1:])
		if err != nil {
			return "", err
		}
		if after, ok := strings.CutPrefix(rest, ":"); ok {
			return after, nil
		}
		after, ok := strings.CutPrefix(rest, ",")
		if !ok {
			return "", pathError("source route")
		}
		s = after
	}
	return "", pathError("source route too long")
}

func parseLocal(s string) (local, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		local, rest, err = parseQuoted(s[1:])
	} else {
		n, ok := scanDotString(s)
		if !ok {
			return "", "", pathError("local part")
		}
		local, rest = s[:n], s[n:]
	}
	if err == nil && (local == "" || len(local) > maxLocal) {
		err = pathError("length of the local part")
	}
	return local, rest, err
}

// parseQuoted parses a quoted string after its opening quote.
func parseQuoted(s string) (string, string, error) {
	var b strings.Builder
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", pathError("quoted pair")
			}
			b.WriteByte(s[i])
			i++
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
			i++
		default:
			n := nonASCII(s[i:])
			if n == 0 {
				return "", "", pathError("quoted local part")
			}
			b.WriteString(s[i : i+n])
			i += n
		}
	}
	return "", "", pathError("unterminated quote")
}

// scanDotString returns the length of the dot-string at the start of s. It is
// not ok when an atom is empty.
func scanDotString(s string) (int, bool) {
	atom := false
	i := 0
	for i < len(s) {
		switch c := s[i]; {
		case c == '.':
			if !atom {
				return 0, false
			}
			atom = false
			i++
		case isAtext(c):
			atom = true
			i++
		default:
			n := nonASCII(s[i:])
			if n == 0 {
				return i, atom
			}
			atom = true
			i += n
		}
	}
	return i, atom
}

func isAtext(c byte) bool {
	return isAlnum(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c)
}

// nonASCII returns the length of a valid character beyond ASCII at the start of
// s, or 0. The C1 controls are not valid (RFC 6532 3.1 by way of RFC 5198).
func nonASCII(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r < 0xa0 || r == utf8.RuneError {
		return 0
	}
	return n
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func parseDomain(s string) (domain, rest string, err error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	start, wide, last := 0, false, byte('.')
	i := 0
scan:
	for i < len(s) {
		c, n := s[i], 1
		switch {
		case isAlnum(c):
		case c == '-' && last != '.':
		case c == '.' && last != '.' && last != '-':
			start, wide = i+1, false
		default:
			if n = nonASCII(s[i:]); n == 0 {
				break scan
			}
			wide = true // the limit is on its A-label, not computed here
		}
		last = c
		i += n
		if i-start > 63 && !wide {
			return "", "", pathError("label too long")
		}
	}
	if i == 0 || i > maxDomain || last == '.' || last == '-' {
		return "", "", pathError("domain")
	}
	return s[:i], s[i:], nil
}

// parseLiteral parses "[192.0.2.1]" and "[IPv6:2001:db8::1]". Other literals
// have no meaning here and are refused.
func parseLiteral(s string) (domain, rest string, err error) {
	end := strings.IndexByte(s, ']')
	if end < 0 || end > maxDomain {
		return "", "", pathError("address literal")
	}
	in, want6 := s[1:end], false
	if len(in) > 5 && strings.EqualFold(in[:5], "IPv6:") {
		in, want6 = in[5:], true
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || ip.Zone() != "" || ip.Is4() == want6 {
		return "", "", pathError("address literal")
	}
	return s[:end+1], s[end+1:], nil
}
