package apptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/core/deliver"
)

// World is what the program under test takes for the internet: a name server,
// a certificate authority, and hosts at addresses that exist only here.
type World struct {
	DNS   *dnstest.Zone
	Roots *x509.CertPool // of the authority that signs the World's certificates

	dns string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey

	mu     sync.Mutex
	hosts  map[netip.Addr]*Sink
	holes  map[netip.Addr]bool
	dialed []string
	last   byte
}

// NewWorld returns a World without hosts that ends with the test.
func NewWorld(t testing.TB) *World {
	t.Helper()
	w := &World{DNS: dnstest.New(), hosts: map[netip.Addr]*Sink{}, holes: map[netip.Addr]bool{}}
	w.dns = w.DNS.Start(t)
	w.DNS.SetTTL(0)
	var err error
	if w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "apptest"}, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, w.key.Public(), w.key)
	if err != nil {
		t.Fatal(err)
	}
	if w.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	w.Roots = x509.NewCertPool()
	w.Roots.AddCert(w.ca)
	return w
}

// Cert returns a certificate of the World's authority for the host names.
func (w *World) Cert(t testing.TB, names ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: names, NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca, key.Public(), w.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// CAFile writes the certificate of the World's authority for programs that are
// to trust it, and returns the file's name.
func (w *World) CAFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	write(t, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}))
	return name
}

// Resolver returns the HOST:PORT of the name server.
func (w *World) Resolver() string { return w.dns }

// Address returns an IPv4 address nobody has.
func (w *World) Address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	return fmt.Sprintf("192.0.2.%d", w.last)
}

// BlackHole makes connections to the address neither succeed nor fail.
func (w *World) BlackHole(ip string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holes[netip.MustParseAddr(ip)] = true
}

// MX makes a domain whose mail goes to hosts, the first preferred.
func (w *World) MX(t testing.TB, domain string, hosts ...string) {
	t.Helper()
	var values []string
	for i, h := range hosts {
		values = append(values, fmt.Sprintf("%d %s.", 10*(i+1), h))
	}
	w.DNS.Set(t, domain, "MX", values...)
}

// Dialed returns the addresses connections were made to, in order.
func (w *World) Dialed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

// Dial is the World's network: port 25 of its hosts, and loopback. A local
// address has to be one of this machine's, such as 127.0.0.2.
func (w *World) Dial(ctx context.Context, network, addr string, local netip.Addr) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || to.Addr().IsLoopback() { // a relay by name or on this machine
		return deliver.SystemDial(ctx, network, addr, local)
	}
	w.mu.Lock()
	w.dialed = append(w.dialed, to.Addr().String())
	host, hole := w.hosts[to.Addr()], w.holes[to.Addr()]
	w.mu.Unlock()
	switch {
	case hole:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case host == nil || to.Port() != 25:
		return nil, fmt.Errorf("dial tcp %s: connection refused", addr)
	}
	return deliver.SystemDial(ctx, network, host.Addr(), local)
}
