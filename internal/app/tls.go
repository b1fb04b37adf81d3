package app

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"postroad/internal/base/certs"
)

// ACMEDir is where the ACME client keeps its files, below the data directory.
const ACMEDir = "acme"

// certCheck is how often certificates are looked at for the log.
const certCheck = time.Minute

// makeTLS makes the one source of certificates for HTTPS and SMTP: files, an ACME
// authority, the local authority in dev mode, else one made for the host name.
func (a *App) makeTLS(context.Context) error {
	o := certs.Options{Host: a.cfg.Hostname, Logger: a.log, Now: a.clock.Now}
	var err error
	if a.cfg.TLSCert != "" {
		if o.Pair, err = certs.Load(a.cfg.TLSCert, a.cfg.TLSKey); err != nil {
			return fmt.Errorf("tls certificate: %w", err)
		}
		if err := certs.CheckKeyFile(a.cfg.TLSKey); err != nil {
			a.log.Warn("INSECURE KEY FILE", "error", err)
		}
	}
	if a.dev() && o.Pair == nil {
		if a.ca, err = certs.LocalCA(filepath.Join(a.cfg.Data, "ca")); err != nil {
			return fmt.Errorf("local certificate authority: %w", err)
		}
		o.Authority = a.ca
	}
	if a.cfg.ACMEAgreeTerms {
		if o.ACME, err = a.acme(); err != nil {
			return err
		}
	}
	if a.certs, err = certs.NewSource(o); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	a.hosts.Use(a.certs)
	a.handler = a.certs.Challenges(a.handler)
	return nil
}

// acme is the authority of the settings. A listener that was left out does not
// count.
func (a *App) acme() (*certs.ACME, error) {
	out := &certs.ACME{Directory: a.cfg.ACMEDirectory, Email: a.cfg.ACMEEmail, Dir: filepath.Join(a.cfg.Data, ACMEDir), Renewal: a.opt.Wire.Renewal}
	out.HTTP, out.HTTPS = addrOf(a.http), addrOf(a.https)
	if out.HTTP == nil && out.HTTPS == nil {
		return nil, errors.New("--acme-agree-terms: the authority has no listener to reach")
	}
	if a.cfg.ACMERoots == "" {
		return out, nil
	}
	text, err := os.ReadFile(a.cfg.ACMERoots)
	if err != nil {
		return nil, fmt.Errorf("--acme-roots: %w", err)
	}
	if out.Roots, err = x509.SystemCertPool(); err != nil {
		out.Roots = x509.NewCertPool()
	}
	if !out.Roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--acme-roots: %s holds no certificate in PEM", a.cfg.ACMERoots)
	}
	return out, nil
}

// watchCerts has certificates obtained, and logs what becomes of them.
func (a *App) watchCerts(ctx context.Context) error {
	if a.cfg.ACMEAgreeTerms {
		if err := a.certs.Manage(a.cfg.CertNames()...); err != nil {
			return err
		}
	}
	if err := a.hosts.Start(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if u, err := a.certs.InUse(); err == nil && u.Kind == certs.FromSelfSigned {
		why := "no other is configured: --tls-cert and --tls-key, or --acme-agree-terms"
		if a.cfg.ACMEAgreeTerms {
			why = "until the ACME authority has given one"
		}
		a.log.Warn("TLS uses a self-signed certificate, which mail servers take and other clients do not", "why", why)
	}
	for {
		a.certs.Check()
		if !a.pause(ctx, certCheck) {
			return nil
		}
	}
}

// Reload reads the files of the certificate again, as SIGHUP asks for.
func (a *App) Reload() {
	if err := a.certs.Reload(); err != nil {
		a.log.Error("reload: the certificate in use stays", "error", err)
	}
}

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}
