package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/smtp"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/certs"
	"postroad/internal/config"
)

const ownHost = "mail.postroad.test" // what apptest calls the program

// startTLS returns the certificate that a listener shows after STARTTLS, and an
// error where it does not lead to the roots.
func startTLS(addr net.Addr, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := smtp.Dial(addr.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{ServerName: name, RootCAs: roots}); err != nil {
		return nil, err
	}
	state, _ := c.TLSConnectionState()
	return state.PeerCertificates[0], nil
}

// await repeats what has to become true.
func await(t *testing.T, what string, fn func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = fn(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// TestACME gets certificates from a real authority over each of the challenges,
// uses them for STARTTLS, TLS from the start and HTTPS, and has them renewed.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			w := apptest.NewWorld(t)
			for _, name := range []string{ownHost, "smtp.postroad.test"} {
				w.DNS.Set(t, name, "A", "127.0.0.1")
			}
			web, secure := apptest.FreePort(t), apptest.FreePort(t)
			asked := []int{web, secure} // where the authority looks
			if challenge == "http-01" {
				asked[1] = apptest.FreePort(t)
			} else {
				asked[0] = apptest.FreePort(t)
			}
			p := apptest.StartPebble(t, w, asked[0], asked[1])
			s := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Wire: app.Wire{Renewal: certs.Renewal{Window: 1, Every: 200 * time.Millisecond}}, Args: []string{
				fmt.Sprintf("--http=127.0.0.1:%d", web), fmt.Sprintf("--https=127.0.0.1:%d", secure), "--smtp=submissions://127.0.0.1:0",
				"--acme-agree-terms", "--acme-email=ops@example.com", "--acme-names=smtp.postroad.test", "--acme-directory=" + p.Directory, "--acme-roots=" + p.RootsFile}})
			checkACME(t, s, p.Roots())
		})
	}
}

func checkACME(t *testing.T, s *apptest.Server, roots *x509.CertPool) {
	t.Helper()
	var first *x509.Certificate
	for _, name := range []string{"smtp.postroad.test", ownHost} {
		await(t, "STARTTLS as "+name, func() (err error) {
			first, err = startTLS(s.SMTP, name, roots)
			return err
		})
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{ServerName: ownHost, RootCAs: roots}}}
	defer client.CloseIdleConnections()
	if res, err := client.Get("https://" + s.HTTPS.String() + "/livez"); err != nil || res.StatusCode != 200 {
		t.Errorf("HTTPS: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	if c, err := tls.Dial("tcp", s.Mail[1].Addr.String(), &tls.Config{ServerName: ownHost, RootCAs: roots}); err != nil {
		t.Errorf("TLS from the start: %v", err)
	} else {
		c.Close()
	}
	await(t, "renewal", func() error {
		c, err := startTLS(s.SMTP, ownHost, roots)
		if err == nil && c.SerialNumber.Cmp(first.SerialNumber) == 0 {
			return fmt.Errorf("the certificate is still %s", c.SerialNumber)
		}
		return err
	})
	u, err := s.Certs.InUse()
	if err != nil || u.Kind != certs.FromACME || strings.Join(u.Names, " ") != ownHost {
		t.Errorf("in use: %+v, %v", u, err)
	}
	if _, body := s.Do("GET", "/metrics", nil); !strings.Contains(string(body), "postroad_certificates_failed_total 0") || strings.Contains(string(body), "postroad_certificates_obtained_total 0") {
		t.Error("metrics do not count the certificates")
	}
}

// TestACMEFails: an authority that cannot reach us leaves TLS working, and the
// reason where it is looked for.
func TestACMEFails(t *testing.T) {
	w := apptest.NewWorld(t)
	w.DNS.Set(t, ownHost, "A", "127.0.0.1")
	// Nobody answers there, or somebody else's server does.
	p := apptest.StartPebble(t, w, apptest.FreePort(t), apptest.FreePort(t))
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Args: []string{"--https=127.0.0.1:0", "--acme-agree-terms",
		"--acme-directory=" + p.Directory, "--acme-roots=" + p.RootsFile}})
	dir := filepath.Join(s.Data, app.ACMEDir)
	await(t, "the failure is known", func() error {
		list, err := certs.Problems(dir)
		if err == nil && !strings.Contains(list[ownHost].Error, "authorization failed") {
			err = fmt.Errorf("%v", list)
		}
		return err
	})
	c, err := smtp.Dial(s.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Errorf("STARTTLS: %v", err)
	}
	if u, err := s.Certs.InUse(); err != nil || u.Kind != certs.FromSelfSigned || u.Names[0] != ownHost {
		t.Errorf("in use: %+v, %v", u, err)
	}
	if _, body := s.Do("GET", "/metrics", nil); !strings.Contains(string(body), "postroad_certificates_failed_total 1\n") {
		t.Error("metrics do not count the failure")
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		lock := strings.HasSuffix(path, ".lock") // holds the time only
		if err == nil && info.Mode().Perm()&0o077 != 0 && !lock {
			t.Errorf("%s has permissions %04o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
