package dnsx

import (
	"errors"
	"strings"

	"golang.org/x/net/idna"
)

// Reasons why a name is refused.
var (
	errNameLength = errors.New("name or label too long")
	errNameSyntax = errors.New("name has an empty label or a forbidden character")
)

// ASCIIName returns a name as it is asked for: lower case, in A-labels, without a
// final dot. Labels may hold letters, digits, hyphens and underscores, and also
// slashes, which reverse zones use (RFC 2317). The error is an *Error of kind
// BadName.
func ASCIIName(name string) (string, error) {
	ascii, err := asciiName(name)
	if err != nil {
		return "", &Error{Kind: BadName, Name: shorten(name), Type: "name", Err: err}
	}
	return ascii, nil
}

func asciiName(name string) (string, error) {
	if len(name) > 1024 {
		return "", errNameLength
	}
	name = strings.TrimSuffix(name, ".")
	for i := 0; i < len(name); i++ {
		if name[i] >= 0x80 {
			return international(name)
		}
	}
	name = strings.ToLower(name)
	return name, checkLabels(name)
}

func international(name string) (string, error) {
	profile := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.BidiRule())
	ascii, err := profile.ToASCII(name)
	if err != nil {
		return "", errors.Join(errNameSyntax, err)
	}
	ascii = strings.ToLower(strings.TrimSuffix(ascii, "."))
	return ascii, checkLabels(ascii)
}

// checkLabels applies RFC 1035, section 2.3.4.
func checkLabels(name string) error {
	if len(name) > 253 {
		return errNameLength
	}
	label := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return errNameSyntax
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '/':
		default:
			return errNameSyntax
		}
		if label++; label > 63 {
			return errNameLength
		}
	}
	if label == 0 {
		return errNameSyntax
	}
	return nil
}

func shorten(name string) string {
	const most = 80
	if len(name) > most {
		return name[:most] + "..."
	}
	return name
}
