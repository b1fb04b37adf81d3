package tlspolicy

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/dnsx"
)

// Values of the fields of a TLSA record (RFC 6698, section 2.1; names of RFC 7218).
const (
	usageTA = 2 // DANE-TA: an authority above the server's certificate
	usageEE = 3 // DANE-EE: the server's certificate itself

	selectCert = 0
	selectSPKI = 1

	matchFull   = 0
	matchSHA256 = 1
	matchSHA512 = 2
)

// ErrNoMatch: no TLSA record is about the certificates that the server showed.
var ErrNoMatch = errors.New("no TLSA record matches the certificate")

// ParseTLSA reads a record in the form of a zone file: three numbers and the data
// in hexadecimal digits, which may be spaced. The error wraps ErrSyntax.
func ParseTLSA(text string) (dnsx.TLSA, error) {
	var r dnsx.TLSA
	if len(text) > 2*(1<<16)+100 { // a record's data are at most 65,535 octets
		return r, fmt.Errorf("%w TLSA record: too long", ErrSyntax)
	}
	f := strings.Fields(text)
	if len(f) < 4 {
		return r, fmt.Errorf("%w TLSA record: it has fewer than four fields", ErrSyntax)
	}
	for i, to := range []*uint8{&r.Usage, &r.Selector, &r.Matching} {
		n, err := strconv.ParseUint(f[i], 10, 8)
		if err != nil {
			return dnsx.TLSA{}, fmt.Errorf("%w TLSA record: field %d is not a number up to 255", ErrSyntax, i+1)
		}
		*to = uint8(n)
	}
	data, err := hex.DecodeString(strings.Join(f[3:], ""))
	if err != nil {
		return dnsx.TLSA{}, fmt.Errorf("%w TLSA record: the data are not hexadecimal", ErrSyntax)
	}
	r.Data = data
	return r, nil
}

// UsableTLSA returns the records a server can be authenticated by. Usages 0 and 1
// are not used with SMTP (RFC 7672, section 3.1.3), nor is what is not known or
// malformed. Of several digests of one kind the strongest alone counts (RFC 7672,
// section 5). If there are records and none is usable, TLS is required and the
// certificate does not matter (RFC 7672, section 2.2).
func UsableTLSA(records []dnsx.TLSA) []dnsx.TLSA {
	var usable []dnsx.TLSA
	for _, r := range records {
		if wellFormed(r) {
			usable = append(usable, r)
		}
	}
	return slices.DeleteFunc(usable, func(r dnsx.TLSA) bool {
		return r.Matching == matchSHA256 && slices.ContainsFunc(usable, func(o dnsx.TLSA) bool {
			return o.Usage == r.Usage && o.Selector == r.Selector && o.Matching == matchSHA512
		})
	})
}

func wellFormed(r dnsx.TLSA) bool {
	if r.Usage != usageTA && r.Usage != usageEE || r.Selector != selectCert && r.Selector != selectSPKI {
		return false
	}
	switch r.Matching {
	case matchSHA256:
		return len(r.Data) == sha256.Size
	case matchSHA512:
		return len(r.Data) == sha512.Size
	case matchFull:
		if r.Selector == selectCert {
			_, err := x509.ParseCertificate(r.Data)
			return err == nil
		}
		_, err := x509.ParsePKIXPublicKey(r.Data)
		return err == nil
	}
	return false
}

// matches reports whether a record is about a certificate.
func matches(r dnsx.TLSA, c *x509.Certificate) bool {
	subject := c.Raw
	if r.Selector == selectSPKI {
		subject = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchFull:
		return bytes.Equal(r.Data, subject)
	case matchSHA256:
		sum := sha256.Sum256(subject)
		return bytes.Equal(r.Data, sum[:])
	case matchSHA512:
		sum := sha512.Sum512(subject)
		return bytes.Equal(r.Data, sum[:])
	}
	return false
}

// VerifyDANE authenticates a server by TLSA records (RFC 7672, section 3). chain is
// what it showed, its own certificate first. names are those it may go by: the
// name the records were found under, and the domain the mail is for.
//
// A record of the server's certificate is enough as it is: neither the names in the
// certificate nor its dates matter (section 3.1.1). One of an authority asks for a
// chain that is valid now and ends in it, and for one of the names. It may hold the
// authority's certificate, which then need not have been shown.
//
// Errors: ErrNoMatch, and those of package x509. records need not be usable.
func VerifyDANE(chain []*x509.Certificate, records []dnsx.TLSA, names []string, now time.Time) error {
	if len(chain) == 0 {
		return errNoCertificate
	}
	result := ErrNoMatch
	for _, r := range UsableTLSA(records) {
		err := ErrNoMatch
		switch {
		case r.Usage == usageTA:
			err = verifyAnchor(chain, r, names, now)
		case matches(r, chain[0]):
			return nil
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNoMatch) { // says more
			result = err
		}
	}
	return result
}

var errNoCertificate = errors.New("the server showed no certificate")

// verifyAnchor tries the authorities that a record stands for.
func verifyAnchor(chain []*x509.Certificate, r dnsx.TLSA, names []string, now time.Time) error {
	roots := x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if matches(r, c) {
			roots.AddCert(c)
			found = true
		}
	}
	if !found && r.Matching == matchFull && r.Selector == selectCert {
		if c, err := x509.ParseCertificate(r.Data); err == nil && !c.Equal(chain[0]) {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return ErrNoMatch
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: intermediates(chain), CurrentTime: now}
	if _, err := chain[0].Verify(o); err != nil {
		return fmt.Errorf("TLSA record %d %d %d: %w", r.Usage, r.Selector, r.Matching, err)
	}
	return matchNames(chain[0], names)
}

func intermediates(chain []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range chain[1:] {
		pool.AddCert(c)
	}
	return pool
}

// matchNames wants one of the names in the certificate. Where it has no DNS name
// at all, its common name counts (RFC 7672, section 3.2.3).
func matchNames(c *x509.Certificate, names []string) error {
	var err error = x509.HostnameError{Certificate: c}
	for _, name := range names {
		name, ok := hostName(name)
		if !ok {
			continue
		}
		if err = c.VerifyHostname(name); err == nil {
			return nil
		}
		if len(c.DNSNames) == 0 && strings.EqualFold(strings.TrimSuffix(c.Subject.CommonName, "."), name) {
			return nil
		}
	}
	return err
}

// VerifyPKIX authenticates a server by the certificate authorities in roots, nil
// meaning the system's: its certificate must be valid for the host at the time
// now (RFC 8461, section 4.2). Errors are those of package x509.
func VerifyPKIX(chain []*x509.Certificate, roots *x509.CertPool, host string, now time.Time) error {
	if len(chain) == 0 {
		return errNoCertificate
	}
	name, ok := hostName(host)
	if !ok {
		addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil {
			return x509.HostnameError{Certificate: chain[0], Host: host}
		}
		name = addr.String() // a relay may be given by its address
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediates(chain), CurrentTime: now})
	return err
}
