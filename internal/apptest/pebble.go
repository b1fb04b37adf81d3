package apptest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// pebbleName is the file that scripts/install-deps.sh puts into the cache.
const pebbleName = "pebble-v2.10.1"

// Pebble is Let's Encrypt's small ACME authority, which looks names up in a World.
type Pebble struct {
	Directory string // URL
	RootsFile string // PEM that the directory's certificate is verified with

	t     testing.TB
	admin string
	world *World
}

// StartPebble runs an ACME authority until the test ends. It reaches every host at
// these ports instead of 80 and 443. Without the program the test is skipped, or
// fails where POSTROAD_TEST_PEERS demands it.
func StartPebble(t testing.TB, w *World, httpPort, httpsPort int) *Pebble {
	t.Helper()
	program := findPebble(t)
	dir := t.TempDir()
	p := &Pebble{RootsFile: filepath.Join(dir, "roots.pem"), t: t, world: w}
	acme, admin := FreePort(t), FreePort(t)
	p.Directory = fmt.Sprintf("https://localhost:%d/dir", acme)
	p.admin = fmt.Sprintf("https://localhost:%d", admin)
	cert := w.Cert(t, "localhost")
	certFile, keyFile := WritePair(t, dir, cert)
	write(t, p.RootsFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.ca.Raw}))
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", acme), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", admin),
		"certificate": certFile, "privateKey": keyFile, "httpPort": httpPort, "tlsPort": httpsPort,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "of tests", "validityPeriod": 7776000}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	write(t, file, settings)
	p.run(program, file)
	return p
}

func (p *Pebble) run(program, file string) {
	p.t.Helper()
	cmd := exec.Command(program, "-config", file, "-dnsserver", p.world.dns)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	out := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it keeps nothing
		_ = cmd.Wait()         // which says that it was killed
		if p.t.Failed() {
			p.t.Logf("pebble:\n%s", out)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		res, err := p.client().Get(p.Directory)
		if err == nil {
			res.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("pebble does not answer: %v\n%s", err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *Pebble) client() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.world.Roots}, DisableKeepAlives: true}, Timeout: 5 * time.Second}
}

// Roots returns the root that the certificates given lead to.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	res, err := p.client().Get(p.admin + "/roots/0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		p.t.Fatalf("no root: %s", text)
	}
	return pool
}

func findPebble(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "postroad-bench", pebbleName)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatalf("%s is missing (scripts/install-deps.sh puts it there), and POSTROAD_TEST_PEERS demands it", path)
	}
	t.Skip("pebble is not installed (set POSTROAD_TEST_PEERS to make this a failure)")
	return ""
}

// FreePort returns a port of the loopback that nobody had a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// WritePair writes a certificate and its key as tls.crt and tls.key.
func WritePair(t testing.TB, dir string, c *tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return certFile, keyFile
}

func write(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// safeBuffer is a buffer that may be read while a process writes to it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
