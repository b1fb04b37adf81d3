package tlspolicy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/mail/tlspolicy"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issued is a certificate with its key.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate signed by an issuer, nil for itself.
func issue(t testing.TB, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("test %d", serial)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
	}
	change(tmpl)
	parent, signer := tmpl, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func server(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// tlsa makes the record of a certificate.
func tlsa(usage, selector, matching uint8, c *issued) dnsx.TLSA {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dnsx.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func chain(list ...*issued) (out []*x509.Certificate) {
	for _, c := range list {
		out = append(out, c.Certificate)
	}
	return out
}

// TestDANETruthTable has every usage, selector and matching type against each
// certificate of a chain.
func TestDANETruthTable(t *testing.T) {
	root := issue(t, nil, authority)
	middle := issue(t, root, authority)
	leaf := issue(t, middle, server("mx.example.com"))
	certs := map[string]*issued{"root": root, "middle": middle, "leaf": leaf, "stranger": issue(t, nil, authority)}
	names := []string{"mx.example.com", "example.com"}
	for usage := range uint8(5) {
		for selector := range uint8(3) {
			for matching := range uint8(4) {
				for of, c := range certs {
					known := (usage == 2 || usage == 3) && selector < 2 && matching < 3
					want := known && (usage == 3 && of == "leaf" || usage == 2 && (of == "root" || of == "middle"))
					r := tlsa(usage, selector, matching, c)
					err := tlspolicy.VerifyDANE(chain(leaf, middle, root), []dnsx.TLSA{r}, names, now)
					if (err == nil) != want {
						t.Errorf("%d %d %d of %s: %v", usage, selector, matching, of, err)
					}
					if usable := len(tlspolicy.UsableTLSA([]dnsx.TLSA{r})) == 1; usable != known {
						t.Errorf("%d %d %d of %s: usable=%v", usage, selector, matching, of, usable)
					}
				}
			}
		}
	}
}

func TestDANE(t *testing.T) {
	root := issue(t, nil, authority)
	middle := issue(t, root, authority)
	leaf := issue(t, middle, server("mx.example.com"))
	for name, tt := range map[string]struct {
		chain   []*x509.Certificate
		records []dnsx.TLSA
		names   []string
		want    tlspolicy.ResultType
	}{
		// Usage 3 asks for nothing but the key.
		"EE, other name":    {chain(issue(t, nil, server("other.example"))), nil, []string{"mx.example.com"}, ""},
		"EE, expired":       {chain(issue(t, nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) })), nil, nil, ""},
		"EE, not yet valid": {chain(issue(t, nil, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })), nil, nil, ""},

		"TA, next-hop domain":    {chain(issue(t, middle, server("example.com")), middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com", "example.com"}, ""},
		"TA, wildcard":           {chain(issue(t, middle, server("*.example.com")), middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, ""},
		"TA, U-label":            {chain(issue(t, middle, server("mx.xn--bcher-kva.example")), middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"MX.b\u00fccher.example."}, ""},
		"TA, other name":         {chain(issue(t, middle, server("other.example")), middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateHostMismatch},
		"TA, no name":            {chain(leaf, middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, nil, tlspolicy.CertificateHostMismatch},
		"TA, name is an address": {chain(leaf, middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"192.0.2.1"}, tlspolicy.CertificateHostMismatch},
		"TA, common name":        {chain(issue(t, middle, func(c *x509.Certificate) { c.Subject.CommonName = "MX.example.com" }), middle, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, ""},
		"TA, common name does not count": {chain(issue(t, middle, func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "mx.example.com", []string{"x.example"} }), middle, root),
			[]dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateHostMismatch},
		"TA, expired": {chain(issue(t, middle, func(c *x509.Certificate) { c.DNSNames, c.NotAfter = []string{"mx.example.com"}, now.Add(-time.Minute) }), middle, root),
			[]dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateExpired},
		"TA of another chain added":    {chain(issue(t, nil, server("mx.example.com")), root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateNotTrusted},
		"TA without its middle":        {chain(leaf, root), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateNotTrusted},
		"TA not shown, digest":         {chain(leaf, middle), []dnsx.TLSA{tlsa(2, 0, 1, root)}, []string{"mx.example.com"}, tlspolicy.CertificateNotTrusted},
		"TA not shown, in record":      {chain(leaf, middle), []dnsx.TLSA{tlsa(2, 0, 0, root)}, []string{"mx.example.com"}, ""},
		"TA is the leaf":               {chain(leaf, middle), []dnsx.TLSA{tlsa(2, 0, 1, leaf)}, []string{"mx.example.com"}, tlspolicy.CertificateNotTrusted},
		"TA is the leaf, in record":    {chain(leaf, middle), []dnsx.TLSA{tlsa(2, 0, 0, leaf)}, []string{"mx.example.com"}, tlspolicy.CertificateNotTrusted},
		"one of several":               {chain(leaf, middle), []dnsx.TLSA{tlsa(3, 1, 1, root), tlsa(2, 1, 2, root), tlsa(3, 1, 2, leaf)}, nil, ""},
		"EE beside a TA that fails":    {chain(leaf, middle), []dnsx.TLSA{tlsa(2, 0, 1, middle), tlsa(3, 1, 1, leaf)}, []string{"x.example"}, ""},
		"no certificate":               {nil, []dnsx.TLSA{tlsa(3, 1, 1, leaf)}, nil, tlspolicy.ValidationFailure},
		"no record":                    {chain(leaf), []dnsx.TLSA{}, nil, tlspolicy.CertificateNotTrusted},
		"weaker digest does not count": {chain(leaf), []dnsx.TLSA{tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, root)}, nil, tlspolicy.CertificateNotTrusted},
		"stronger of another selector": {chain(leaf), []dnsx.TLSA{tlsa(3, 1, 1, leaf), tlsa(3, 0, 2, root)}, nil, ""},
	} {
		records := tt.records
		if records == nil {
			records = []dnsx.TLSA{tlsa(3, 1, 1, &issued{Certificate: tt.chain[0]})}
		}
		err := tlspolicy.VerifyDANE(tt.chain, records, tt.names, now)
		if got := tlspolicy.CertificateResult(err); got != tt.want {
			t.Errorf("%s: %q, want %q: %v", name, got, tt.want, err)
		}
	}
}

func TestUsableTLSA(t *testing.T) {
	leaf := issue(t, nil, server("mx.example.com"))
	for text, want := range map[string]bool{
		"3 1 1 " + strings.Repeat("ab", 32):                   true,
		"3 1 1 " + strings.Repeat("ab", 31):                   false,
		"3 1 1 " + strings.Repeat("ab", 33):                   false,
		"3 1 2 " + strings.Repeat("ab", 64):                   true,
		"3 1 2 " + strings.Repeat("ab", 32):                   false,
		"2 0 0 3003":                                          false,
		"3 1 0 3003":                                          false,
		"3 1 3 abcd":                                          false,
		"0 0 1 " + strings.Repeat("ab", 32):                   false,
		"1 1 1 " + strings.Repeat("ab", 32):                   false,
		"255 255 255 00":                                      false,
		fmt.Sprintf("3 0 0 %x", leaf.Raw):                     true,
		fmt.Sprintf("3 1 0 %X", leaf.RawSubjectPublicKeyInfo): true,
		fmt.Sprintf("3 0 0 %x", leaf.RawSubjectPublicKeyInfo): false,
		fmt.Sprintf("3 0 0 %x", leaf.Raw[:100]):               false,
	} {
		r, err := tlspolicy.ParseTLSA(text)
		if err != nil {
			t.Fatalf("%.40q: %v", text, err)
		}
		if got := len(tlspolicy.UsableTLSA([]dnsx.TLSA{r})) == 1; got != want {
			t.Errorf("%.40q: %v", text, got)
		}
	}
	if got := tlspolicy.UsableTLSA([]dnsx.TLSA{{Usage: 3, Selector: 1, Matching: 1}}); len(got) != 0 {
		t.Errorf("a record without data: %v", got)
	}
}

func TestParseTLSAErrors(t *testing.T) {
	for _, text := range []string{"", "3", "3 1 1", "3 1 1 x", "3 1 1 abc", "256 1 1 ab", "-1 1 1 ab", "+3 1 1 ab", "a 1 1 ab", "3 1 1 " + strings.Repeat("a", 1<<18)} {
		if r, err := tlspolicy.ParseTLSA(text); !errors.Is(err, tlspolicy.ErrSyntax) {
			t.Errorf("%.40q: %v, %v", text, r, err)
		}
	}
	if r, err := tlspolicy.ParseTLSA("3 1 1 ab CD\tef"); err != nil || r.String() != "3 1 1 abcdef" {
		t.Errorf("%v, %v", r, err)
	}
}

func FuzzParseTLSA(f *testing.F) {
	f.Add("3 1 1 "+strings.Repeat("ab", 32), []byte("key"))
	f.Add("2 0 0 3082 00", []byte{})
	leaf := issue(f, nil, server("mx.example.com"))
	f.Add(fmt.Sprintf("3 0 0 %x", leaf.Raw), leaf.Raw)
	f.Fuzz(func(t *testing.T, text string, der []byte) {
		r, err := tlspolicy.ParseTLSA(text)
		if err != nil {
			r = dnsx.TLSA{Usage: 2, Data: der}
		} else if again, err := tlspolicy.ParseTLSA(r.String()); err != nil || again.String() != r.String() {
			t.Fatalf("%q became %v, %v", text, again, err)
		}
		shown := []*x509.Certificate{leaf.Certificate}
		if c, err := x509.ParseCertificate(der); err == nil {
			shown = append(shown, c)
		}
		err = tlspolicy.VerifyDANE(shown, []dnsx.TLSA{r}, []string{"mx.example.com"}, now)
		if err == nil && len(tlspolicy.UsableTLSA([]dnsx.TLSA{r})) == 0 {
			t.Fatalf("authenticated by %v, which is not usable", r)
		}
	})
}

func TestPKIX(t *testing.T) {
	root := issue(t, nil, authority)
	middle := issue(t, root, authority)
	leaf := issue(t, middle, func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"mx.example.com", "xn--bcher-kva.example"}, []net.IP{net.IPv4(192, 0, 2, 1)}
	})
	roots := x509.NewCertPool()
	roots.AddCert(root.Certificate)
	good := chain(leaf, middle)
	for name, tt := range map[string]struct {
		chain []*x509.Certificate
		host  string
		at    time.Time
		want  tlspolicy.ResultType
	}{
		"good":           {good, "MX.example.com.", now, ""},
		"U-label":        {good, "B\u00fccher.example", now, ""},
		"address":        {good, "192.0.2.1", now, ""},
		"literal":        {good, "[192.0.2.1]", now, ""},
		"other address":  {good, "192.0.2.2", now, tlspolicy.CertificateHostMismatch},
		"other host":     {good, "mx2.example.com", now, tlspolicy.CertificateHostMismatch},
		"no name at all": {good, "a b", now, tlspolicy.CertificateHostMismatch},
		"common name alone": {chain(issue(t, middle, func(c *x509.Certificate) { c.Subject.CommonName = "mx.example.com" }), middle), "mx.example.com", now,
			tlspolicy.CertificateHostMismatch},
		"later":           {good, "mx.example.com", now.Add(2 * time.Hour), tlspolicy.CertificateExpired},
		"earlier":         {good, "mx.example.com", now.Add(-2 * time.Hour), tlspolicy.CertificateExpired},
		"no intermediate": {good[:1], "mx.example.com", now, tlspolicy.CertificateNotTrusted},
		"self-signed":     {chain(issue(t, nil, server("mx.example.com"))), "mx.example.com", now, tlspolicy.CertificateNotTrusted},
		"issuer is no CA": {chain(issue(t, leaf, server("mx.example.com")), leaf, middle), "mx.example.com", now, tlspolicy.CertificateNotTrusted},
		"no certificate":  {nil, "mx.example.com", now, tlspolicy.ValidationFailure},
	} {
		err := tlspolicy.VerifyPKIX(tt.chain, roots, tt.host, tt.at)
		if got := tlspolicy.CertificateResult(err); got != tt.want {
			t.Errorf("%s: %q, want %q: %v", name, got, tt.want, err)
		}
	}
}
