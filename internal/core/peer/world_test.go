package peer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/base/netx"
	"postroad/internal/core/coretest"
	"postroad/internal/core/peer"
)

// world is other people's servers: their DNS, their policy hosts, their
// certificates.
type world struct {
	t     *testing.T
	db    *db.DB
	clock *clock.Fake
	zone  *dnstest.Zone
	dns   *dnsx.Client
	ca    *authority
	port  string
	o     peer.Options
	*peer.Service

	mu    sync.Mutex
	serve map[string]http.HandlerFunc // by host
	certs map[string]tls.Certificate  // by host, where it is not a good one
	hits  map[string]*atomic.Int64
}

// each runs a test in a world of its own on both engines.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	c := clock.NewFake(time.Now())
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, c, d)) })
}

func newWorld(t *testing.T, c *clock.Fake, d *db.DB) *world {
	w := &world{t: t, db: d, clock: c, zone: dnstest.New(), ca: newAuthority(t),
		serve: map[string]http.HandlerFunc{}, certs: map[string]tls.Certificate{}, hits: map[string]*atomic.Int64{}}
	w.zone.SetTTL(0)
	w.startPolicyHost()
	var err error
	w.dns, err = dnsx.New(dnsx.Config{Servers: []string{w.zone.Start(t)}, CacheSize: -1, Clock: c.Now, Timeout: 300 * time.Millisecond, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.o = peer.Options{PolicyPort: w.port, HTTP: netx.Config{AllowPrivate: true, TLS: &tls.Config{RootCAs: w.ca.pool}}}
	w.restart()
	return w
}

// restart makes the service anew on what is stored.
func (w *world) restart() {
	w.Service = peer.New(w.db, slog.New(slog.DiscardHandler), w.dns, w.o)
}

// startPolicyHost is one HTTPS server for all policy hosts.
func (w *world) startPolicyHost() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			w.t.Errorf("host %q: %v", r.Host, err)
		}
		w.mu.Lock()
		h, n := w.serve[host], w.hits[host]
		w.mu.Unlock()
		if n != nil {
			n.Add(1)
		}
		if h == nil || r.URL.Path != "/.well-known/mta-sts.txt" {
			http.NotFound(rw, r)
			return
		}
		h(rw, r)
	}))
	server.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c, ok := w.certs[h.ServerName]; ok {
			return &c, nil
		}
		c := w.ca.issue(w.t, names(h.ServerName))
		return &c, nil
	}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	w.t.Cleanup(server.Close)
	var err error
	if _, w.port, err = net.SplitHostPort(server.Listener.Addr().String()); err != nil {
		w.t.Fatal(err)
	}
}

// publish gives a domain a record and a handler for its policy.
func (w *world) publish(domain, id string, h http.HandlerFunc) {
	w.t.Helper()
	w.zone.Set(w.t, "_mta-sts."+domain, "TXT", "v=STSv1; id="+id+";")
	w.zone.Set(w.t, "mta-sts."+domain, "A", "127.0.0.1")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serve["mta-sts."+domain] = h
	if w.hits["mta-sts."+domain] == nil {
		w.hits["mta-sts."+domain] = new(atomic.Int64)
	}
}

func (w *world) fetched(domain string) int64 { return w.hits["mta-sts."+domain].Load() }

func text(mode, age string, mx ...string) http.HandlerFunc {
	s := "version: STSv1\r\nmode: " + mode + "\r\nmax_age: " + age + "\r\n"
	for _, m := range mx {
		s += "mx: " + m + "\r\n"
	}
	return func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, s) }
}

func (w *world) policy(domain string) *peer.Policy {
	w.t.Helper()
	p, err := w.Policy(w.ctx(), domain)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	tmpl := template(t)
	tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
	a := &authority{key: newKey(t), pool: x509.NewCertPool()}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(t *testing.T) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("test %d", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), BasicConstraintsValid: true}
}

func names(list ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = list }
}

// issue makes a certificate with its chain.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	tmpl, key := template(t), newKey(t)
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}
}

// until spins until something that is under way has happened.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		runtime.Gosched()
	}
}

func endedContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
