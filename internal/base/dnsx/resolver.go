package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
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

// Meta says how far an answer may be relied upon.
type Meta struct {
	// TTL is how long it may still be kept, at most a day.
	TTL time.Duration
	// Secure: a resolver that is trusted for it (Config.TrustAD) validated the
	// answer, and every alias on the way, by DNSSEC.
	Secure bool
}

// Addrs are the addresses of a host.
type Addrs struct {
	V4, V6 []netip.Addr
	// Name is where they stand: the host itself, or what it is an alias of.
	Name string
	// Meta is about both types together: secure if both answers are, also where
	// one says that there is no such record.
	Meta
}

// TLSA is a record that ties a certificate to a service (RFC 6698).
type TLSA struct {
	Usage    uint8 // 3: the server's certificate, 2: an authority above it
	Selector uint8 // 0: the certificate, 1: its public key
	Matching uint8 // 0: as it is, 1: SHA-256, 2: SHA-512
	Data     []byte
}

// String is the record in the form of a zone file, its data in lower case.
func (r TLSA) String() string {
	return fmt.Sprintf("%d %d %d %x", r.Usage, r.Selector, r.Matching, r.Data)
}

// Prover is a Resolver that also tells where an answer comes from: how old it may
// become and whether it was validated. A Meta comes with errors of kind NotFound
// and NoData as well, and is then about the absence.
type Prover interface {
	Resolver
	// LookupMX is MX with Meta.
	LookupMX(ctx context.Context, domain string) ([]MX, Meta, error)
	// LookupAddrs is Addrs with Meta and the name at the end of the aliases.
	LookupAddrs(ctx context.Context, host string) (Addrs, error)
	// LookupCNAME is CNAME with Meta.
	LookupCNAME(ctx context.Context, name string) (string, Meta, error)
	// TLSA returns the records of a TCP service of a host, and whether the
	// answer, or with IsNotFound(err) the absence, is secure. Records that are
	// not must not be used.
	TLSA(ctx context.Context, port uint16, host string) (records []TLSA, secure bool, err error)
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
