package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"postroad/internal/base/disk"
	"postroad/internal/base/dnsx"
)

// Names of the files in the directory of an authority.
const (
	// KeyFile holds the private key and the certificate of the authority, mode 0600.
	KeyFile = "ca-key.pem"
	// CertFile holds the certificate alone, for clients to trust.
	CertFile = "ca.pem"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	// leafLife is the longest that clients accept from an authority of one's own.
	leafLife = 825 * 24 * time.Hour
	// renewBefore is when a leaf is made anew.
	renewBefore = 30 * 24 * time.Hour
	// backdate lets clients with a slow clock accept a new certificate.
	backdate = time.Hour
	// maxLeaves bounds the certificates kept.
	maxLeaves = 256
)

// Errors of an Authority.
var (
	// ErrBadHost: a certificate was asked for a name that cannot be a host.
	ErrBadHost = errors.New("malformed host name for a certificate")
	// ErrBadAuthority: the file does not hold a key and its authority certificate.
	ErrBadAuthority = errors.New("not a certificate authority with its key")
	// ErrExpired: the authority's certificate is no longer valid.
	ErrExpired = errors.New("certificate authority has expired")
)

// Authority is a local certificate authority for development. It makes
// certificates for whatever host a client asks for, so it must be trusted only on
// the machine it lives on. It is safe for concurrent use.
type Authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	now    func() time.Time
	flight singleflight.Group

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// LocalCA loads the authority kept in a directory, or makes one there: ECDSA P-256,
// valid for ten years. The directory is made if need be, for this user only.
// Several processes may call it at once; all get the same authority.
func LocalCA(dir string) (*Authority, error) {
	return localCA(dir, time.Now)
}

func localCA(dir string, now func() time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("local authority: %w", err)
	}
	file := filepath.Join(dir, KeyFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text, err = createAuthority(file, now())
	}
	if err != nil {
		return nil, fmt.Errorf("local authority: %w", err)
	}
	a, err := parseAuthority(text, now)
	if err != nil {
		return nil, fmt.Errorf("local authority %s: %w", file, err)
	}
	return a, a.publish(filepath.Join(dir, CertFile))
}

// createAuthority writes a new authority, unless another process was faster: then
// that one's is returned.
func createAuthority(file string, now time.Time) ([]byte, error) {
	text, err := newAuthority(now)
	if err != nil {
		return nil, err
	}
	err = disk.CreateFile(file, text, 0o600)
	if errors.Is(err, os.ErrExist) {
		return os.ReadFile(file)
	}
	return text, err
}

func newAuthority(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"Postroad"}, CommonName: "Postroad development authority " + serial.Text(16)[:8]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return append(text, encodeCert(der)...), nil
}

// newSerial returns a positive random number of 127 bits.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	return n.SetBit(n, 126, 1), nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func parseAuthority(text []byte, now func() time.Time) (*Authority, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadAuthority, err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, ErrBadAuthority
	}
	if !now().Before(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%w on %s", ErrExpired, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	return &Authority{cert: pair.Leaf, key: key, now: now, leaves: map[string]*tls.Certificate{}}, nil
}

// publish writes the certificate alone, if it is not there already.
func (a *Authority) publish(file string) error {
	text := a.PEM()
	if old, err := os.ReadFile(file); err == nil && string(old) == string(text) {
		return nil
	}
	if err := disk.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("local authority: %w", err)
	}
	return nil
}

// PEM returns the certificate of the authority, for clients to trust.
func (a *Authority) PEM() []byte { return encodeCert(a.cert.Raw) }

// Pool returns a pool with the authority alone, for clients in this process.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// TLSConfig returns a server's configuration that uses GetCertificate.
func (a *Authority) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.GetCertificate}
}

// GetCertificate is for tls.Config. It returns a certificate for the host the client
// names, or for localhost and the address the client connected to if it names none.
func (a *Authority) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName != "" {
		return a.Certificate(hello.ServerName)
	}
	if hello.Conn != nil {
		if ap, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
			return a.Certificate(ap.Addr().Unmap().WithZone("").String())
		}
	}
	return a.Certificate("localhost")
}

// Certificate returns a certificate for a host name or address, made now or kept
// from before. Those for loopback hold localhost, 127.0.0.1 and ::1 together.
func (a *Authority) Certificate(host string) (*tls.Certificate, error) {
	name, err := hostKey(host)
	if err != nil {
		return nil, err
	}
	if leaf := a.kept(name); leaf != nil {
		return leaf, nil
	}
	made, err, _ := a.flight.Do(name, func() (any, error) {
		leaf, err := a.mint(name)
		if err == nil {
			a.keep(name, leaf)
		}
		return leaf, err
	})
	if err != nil {
		return nil, err
	}
	return made.(*tls.Certificate), nil
}

// hostKey brings a host to one form.
func hostKey(host string) (string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Zone() == "" {
		if addr.IsLoopback() && (addr == netip.IPv6Loopback() || addr == netip.AddrFrom4([4]byte{127, 0, 0, 1})) {
			return "localhost", nil
		}
		return addr.String(), nil
	}
	name, err := dnsx.ASCIIName(host)
	if err != nil || strings.Contains(name, "/") {
		return "", fmt.Errorf("%w: %.80q", ErrBadHost, host)
	}
	return name, nil
}

func (a *Authority) kept(name string) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	leaf := a.leaves[name]
	if leaf == nil || a.now().After(leaf.Leaf.NotAfter.Add(-renewBefore)) {
		return nil
	}
	return leaf
}

// keep makes room by dropping any other: making one again is cheap.
func (a *Authority) keep(name string, leaf *tls.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other := range a.leaves {
		if len(a.leaves) < maxLeaves {
			break
		}
		delete(a.leaves, other)
	}
	a.leaves[name] = leaf
}

func (a *Authority) mint(name string) (*tls.Certificate, error) {
	now := a.now()
	end := now.Add(leafLife - backdate)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	if !now.Before(end) {
		return nil, ErrExpired
	}
	template, err := leafTemplate(name, now.Add(-backdate), end)
	if err != nil {
		return nil, err
	}
	return issue(template, a.cert, a.key)
}

func leafTemplate(name string, from, until time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Postroad"}},
		NotBefore:    from,
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	// The common name is for people only and may not exceed 64 characters.
	if len(name) <= 64 {
		template.Subject.CommonName = name
	}
	addr, err := netip.ParseAddr(name)
	switch {
	case err == nil:
		template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
	case name == "localhost":
		template.DNSNames = []string{name}
		template.IPAddresses = append(template.IPAddresses, []byte{127, 0, 0, 1}, netip.IPv6Loopback().AsSlice())
	default:
		template.DNSNames = []string{name}
	}
	return template, nil
}

// issue makes a key and a certificate for it. parent nil means self-signed.
func issue(template, parent *x509.Certificate, parentKey crypto.Signer) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{}
	if parent == nil {
		parent, parentKey = template, key
	} else {
		chain = append(chain, parent.Raw)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key, Leaf: leaf}, nil
}

// SelfSigned returns a certificate for a host name or address that is signed by
// nobody else, valid for 825 days from now: enough for opportunistic TLS between mail
// servers, where it is not verified.
func SelfSigned(host string) (*tls.Certificate, error) {
	name, err := hostKey(host)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template, err := leafTemplate(name, now.Add(-backdate), now.Add(leafLife-backdate))
	if err != nil {
		return nil, err
	}
	return issue(template, nil, nil)
}
