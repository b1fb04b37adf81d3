package dnsx

import (
	"context"
	"errors"
	"net/netip"
)

// MX is one mail exchanger of a domain.
type MX struct {
	// Name is the host, "" for the root, which a null MX names (RFC 7505).
	Name string
	// Preference: lower is tried first.
	Preference uint16
}

// Resolver looks up records. Names may be given with or without a final dot and
// internationalised. Aliases are followed, save by CNAME. Results belong to the
// caller. Failures are *Error, or ctx.Err() if the context ended first.
type Resolver interface {
	// MX returns the mail exchangers in the order of the answer, null MX included.
	MX(ctx context.Context, domain string) ([]MX, error)
	// Addrs returns the addresses of a host. It fails only if there is neither an
	// IPv4 nor an IPv6 address.
	Addrs(ctx context.Context, host string) (v4, v6 []netip.Addr, err error)
	// TXT returns one text per record, its strings joined.
	TXT(ctx context.Context, name string) ([]string, error)
	// CNAME returns what the name itself is an alias of.
	CNAME(ctx context.Context, name string) (string, error)
}

// Kind is why a lookup gave no records.
type Kind uint8

const (
	// Temporary: no server gave a usable answer in time; ask again later.
	Temporary Kind = iota
	// NotFound: the name does not exist (NXDOMAIN).
	NotFound
	// NoData: the name exists, but has no records of the type.
	NoData
	// BadName: the name cannot be one in the DNS and was not asked for.
	BadName
)

// String returns a text for people.
func (k Kind) String() string {
	switch k {
	case NotFound:
		return "no such name"
	case NoData:
		return "no such record"
	case BadName:
		return "malformed name"
	default:
		return "temporary failure"
	}
}

// Error is a lookup without result.
type Error struct {
	Kind Kind
	// Name and Type are what was asked for, such as "example.com" and "MX".
	Name, Type string
	// Server is the HOST:PORT that answered or was asked last, "" if none.
	Server string
	// Err is the cause, if there is more to say.
	Err error
}

// Error returns a text with the name, type, server and cause.
func (e *Error) Error() string {
	text := "dns: " + e.Name + " " + e.Type + ": " + e.Kind.String()
	if e.Server != "" {
		text += " (server " + e.Server + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsNotFound reports whether err says that the name or record does not exist:
// NotFound, NoData or BadName. Asking again soon is of no use.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind != Temporary
}

func kindOf(err error) (Kind, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind, true
	}
	return Temporary, false
}
