package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/disk"
)

type fakeClock struct{ offset atomic.Int64 }

func (c *fakeClock) Now() time.Time {
	return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(c.offset.Load()))
}

func (c *fakeClock) Advance(d time.Duration) { c.offset.Add(int64(d)) }

func testAuthority(t *testing.T, dir string, clock *fakeClock) *Authority {
	t.Helper()
	a, err := localCA(dir, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// handshake connects to a server that uses config, over loopback.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		// The client judges; what the server sees of a refusal does not matter.
		_ = conn.(*tls.Conn).Handshake()
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, client)
	err = conn.Handshake()
	raw.Close()
	<-done
	return conn.ConnectionState(), err
}

func TestLocalCAServesAnyHost(t *testing.T) {
	a, err := LocalCA(filepath.Join(t.TempDir(), "new", "dir"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "mail.example.com", "MX.Example.org", "xn--bcher-kva.example"} {
		t.Run(host, func(t *testing.T) {
			server := a.TLSConfig()
			if strings.Contains(host, ":") { // the test listens on IPv4 only
				cert, err := a.Certificate(host)
				if err != nil {
					t.Fatal(err)
				}
				server = &tls.Config{Certificates: []tls.Certificate{*cert}}
			}
			state, err := handshake(t, server, &tls.Config{RootCAs: a.Pool(), ServerName: host})
			if err != nil {
				t.Fatal(err)
			}
			leaf := state.PeerCertificates[0]
			if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 825*24*time.Hour {
				t.Errorf("valid for %v", life)
			}
		})
	}
	if _, err := handshake(t, a.TLSConfig(), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}); err == nil {
		t.Error("a client that does not trust the authority connected")
	}
}

func TestLocalCAFiles(t *testing.T) {
	dir := t.TempDir()
	var clock fakeClock
	a := testAuthority(t, dir, &clock)
	for file, mode := range map[string]os.FileMode{KeyFile: 0o600, CertFile: 0o644} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", file, info.Mode(), err, mode)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, CertFile))
	if err != nil || strings.Contains(string(text), "PRIVATE") || string(text) != string(a.PEM()) {
		t.Errorf("%s does not hold the certificate alone (%v)", CertFile, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files in the directory, want 2 (%v)", len(entries), err)
	}
	if _, ok := a.key.Public().(*ecdsa.PublicKey); !ok || a.cert.NotAfter.Sub(a.cert.NotBefore) < 9*365*24*time.Hour {
		t.Errorf("authority is %T until %v", a.key.Public(), a.cert.NotAfter)
	}
	if again := testAuthority(t, dir, &clock); !again.cert.Equal(a.cert) {
		t.Error("the authority was replaced")
	}
	if err := os.Remove(filepath.Join(dir, CertFile)); err != nil {
		t.Fatal(err)
	}
	testAuthority(t, dir, &clock)
	if _, err := os.Stat(filepath.Join(dir, CertFile)); err != nil {
		t.Errorf("certificate was not written again: %v", err)
	}
}

func TestLocalCAAtOnce(t *testing.T) {
	dir := t.TempDir()
	var clock fakeClock
	var wg sync.WaitGroup
	made := make([]*Authority, 16)
	for i := range made {
		wg.Go(func() {
			a, err := localCA(dir, clock.Now)
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = a
		})
	}
	wg.Wait()
	for _, a := range made[1:] {
		if a == nil || made[0] == nil || !a.cert.Equal(made[0].cert) {
			t.Fatal("there are several authorities")
		}
	}
}

func TestLocalCAErrors(t *testing.T) {
	leaf, err := SelfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	certText, keyText := encodePair(t, leaf)
	for name, text := range map[string]string{"empty": "", "rubbish": "x", "no authority": certText + keyText, "no key": certText} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, KeyFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LocalCA(dir); !errors.Is(err, ErrBadAuthority) {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(filepath.Join(dir, KeyFile)); err != nil || string(kept) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
	dir := t.TempDir()
	var clock fakeClock
	a := testAuthority(t, dir, &clock)
	clock.Advance(authorityLife)
	if _, err := localCA(dir, clock.Now); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := a.Certificate("example.com"); !errors.Is(err, ErrExpired) {
		t.Errorf("leaf of an expired authority: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LocalCA(file); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestLeavesAreKeptAndRenewed(t *testing.T) {
	var clock fakeClock
	a := testAuthority(t, t.TempDir(), &clock)
	first, err := a.Certificate("Example.com.")
	if err != nil {
		t.Fatal(err)
	}
	same, err := a.Certificate("example.COM")
	if err != nil || same != first {
		t.Errorf("made again while it is valid (%v)", err)
	}
	clock.Advance(leafLife - renewBefore)
	renewed, err := a.Certificate("example.com")
	if err != nil || renewed == first || !renewed.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Errorf("not renewed (%v)", err)
	}
	for i := range maxLeaves + 50 {
		if _, err := a.Certificate(fmt.Sprintf("h%d.example.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.leaves) > maxLeaves {
		t.Errorf("%d certificates kept", len(a.leaves))
	}
}

func TestBadHosts(t *testing.T) {
	var clock fakeClock
	a := testAuthority(t, t.TempDir(), &clock)
	for _, host := range []string{"", ".", "a b", "a..b", "a/b", "x\r\n", "*.example.com", strings.Repeat("a", 64) + ".com", "fe80::1%eth0", strings.Repeat("a.", 200)} {
		if _, err := a.Certificate(host); !errors.Is(err, ErrBadHost) {
			t.Errorf("%q: %v", host, err)
		}
		if _, err := SelfSigned(host); !errors.Is(err, ErrBadHost) {
			t.Errorf("%q self-signed: %v", host, err)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	for _, host := range []string{"mx.example.com", "192.0.2.1", "localhost", strings.Repeat("a", 63) + ".example.com"} {
		cert, err := SelfSigned(host)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AddCert(cert.Leaf)
		if _, err := handshake(t, &tls.Config{Certificates: []tls.Certificate{*cert}}, &tls.Config{RootCAs: pool, ServerName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func encodePair(t *testing.T, c *tls.Certificate) (certText, keyText string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(encodeCert(c.Certificate[0])), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestPairReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var clock fakeClock
	modified := clock.Now()
	put := func(file, text string) {
		t.Helper()
		modified = modified.Add(time.Second)
		if err := errors.Join(disk.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, modified, modified)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(certFile, keyFile, clock.Now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing files: %v", err)
	}
	var certs, keys [2]string
	for i := range certs {
		c, err := SelfSigned(fmt.Sprintf("host%d.example.com", i))
		if err != nil {
			t.Fatal(err)
		}
		certs[i], keys[i] = encodePair(t, c)
	}
	put(certFile, certs[0])
	put(keyFile, keys[1])
	if _, err := load(certFile, keyFile, clock.Now); err == nil {
		t.Error("a key of another certificate was taken")
	}
	put(keyFile, keys[0])
	p, err := load(certFile, keyFile, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	step := func(what, host string, usable bool) {
		t.Helper()
		clock.Advance(checkEvery)
		cert, err := p.GetCertificate(nil)
		if err != nil || cert.Leaf.DNSNames[0] != host || p.Certificate() != cert {
			t.Errorf("%s: serves %v, %v; want %s", what, cert.Leaf.DNSNames, err, host)
		}
		if (p.Err() == nil) != usable {
			t.Errorf("%s: Err is %v", what, p.Err())
		}
	}
	step("unchanged", "host0.example.com", true)
	put(certFile, certs[1])
	if cert := p.Certificate(); cert.Leaf.DNSNames[0] != "host0.example.com" {
		t.Error("files were looked at again at once")
	}
	step("half renewed", "host0.example.com", false)
	put(keyFile, keys[1])
	step("renewed", "host1.example.com", true)
	put(certFile, "rubbish")
	step("rubbish", "host1.example.com", false)
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	step("removed", "host1.example.com", false)
	put(certFile, certs[0])
	put(keyFile, keys[0])
	step("back", "host0.example.com", true)
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := disk.CreateFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.CreateFile(path, []byte("two"), 0o600); !errors.Is(err, os.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if err := disk.WriteFile(filepath.Join(dir, "missing", "f"), []byte("x"), 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written into nowhere: %v", err)
	}
	text, err := os.ReadFile(path)
	entries, err2 := os.ReadDir(dir)
	if err != nil || err2 != nil || string(text) != "one" || len(entries) != 1 {
		t.Errorf("%q and %d files, %v, %v", text, len(entries), err, err2)
	}
}
