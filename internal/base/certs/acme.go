package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"postroad/internal/base/dnsx"
)

// challengeProtocol is what an ACME authority asks for in the TLS-ALPN challenge
// (RFC 8737 section 4).
const challengeProtocol = "acme-tls/1"

// maxCached bounds the certificates in memory; those above it are read from the
// disk when they are asked for.
const maxCached = 10000

// ACME says how to get certificates from an authority (RFC 8555).
type ACME struct {
	Directory string         // URL
	Email     string         // the authority may write to; may be empty
	Roots     *x509.CertPool // that the directory is verified with; nil: the system's
	// Dir is where keys, certificates and the account are kept: directories with
	// mode 0700, files with 0600.
	Dir string
	// HTTP and HTTPS are our listeners that the authority reaches as port 80 and
	// 443; nil: not at all. One of them has to be there.
	HTTP, HTTPS net.Addr
	// Allow decides on names that were not given to Manage: an error says no. A
	// certificate for a name allowed is obtained while the client waits, over HTTPS
	// only. nil allows none. It is asked in every handshake that names a host
	// without a certificate, so it must be quick.
	Allow func(ctx context.Context, name string) error
	Renewal
}

// Renewal is when certificates are renewed. Zero fields take defaults.
type Renewal struct {
	Window float64       // part of the life that is left then; a third
	Every  time.Duration // looks whether it is time; 10 minutes
}

// manager gets certificates and renews them.
type manager struct {
	o        ACME
	log      *slog.Logger
	cache    *certmagic.Cache
	config   *certmagic.Config
	demand   *certmagic.Config // nil without Allow
	issuer   *certmagic.ACMEIssuer
	problems *problems
	ctx      context.Context // of work in the background
	stop     context.CancelFunc

	obtained, failed atomic.Int64
}

func newManager(o ACME, host string, log *slog.Logger, now func() time.Time) (*manager, error) {
	if o.HTTP == nil && o.HTTPS == nil {
		return nil, errors.New("the ACME authority has no listener to reach")
	}
	m := &manager{o: o, log: log}
	var err error
	if m.problems, err = openProblems(o.Dir, now); err != nil {
		return nil, fmt.Errorf("ACME directory: %w", err)
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	z := zapLogger(log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{GetConfigForCert: m.configOf, RenewCheckInterval: o.Every, Capacity: maxCached, Logger: z})
	base := certmagic.Config{RenewalWindowRatio: o.Window, DefaultServerName: host, Storage: &certmagic.FileStorage{Path: o.Dir}, Logger: z, OnEvent: m.event}
	m.config = certmagic.New(m.cache, base)
	t := certmagic.ACMEIssuer{CA: o.Directory, Email: o.Email, Agreed: true, TrustedRoots: o.Roots, Logger: z,
		DisableHTTPChallenge: o.HTTP == nil, DisableTLSALPNChallenge: o.HTTPS == nil, ListenHost: commonHost(o.HTTP, o.HTTPS),
		AltHTTPPort: port(o.HTTP), AltTLSALPNPort: port(o.HTTPS)}
	if o.Email == "" {
		t.NewAccountFunc = nobody
	}
	m.issuer = certmagic.NewACMEIssuer(m.config, t)
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	if o.Allow != nil {
		base.OnDemand = &certmagic.OnDemandConfig{DecisionFunc: o.Allow}
		m.demand = certmagic.New(m.cache, base)
		m.demand.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(m.demand, t)}
	}
	return m, nil
}

// nobody is an account without a contact. The library keeps one under "default",
// which a second attempt, begun while that is being written, takes for an address.
func nobody(_ context.Context, _ *certmagic.ACMEIssuer, a acme.Account) (acme.Account, error) {
	a.Contact = nil
	return a, nil
}

func (m *manager) close() {
	m.stop()
	m.cache.Stop()
}

// commonHost is where the library looks whether somebody listens. When it finds
// our listener it leaves the answering to us.
func commonHost(addrs ...net.Addr) (host string) {
	for _, a := range addrs {
		t, ok := a.(*net.TCPAddr)
		switch {
		case !ok:
		case t.IP.IsUnspecified(), host != "" && host != t.IP.String():
			return ""
		default:
			host = t.IP.String()
		}
	}
	return host
}

func port(a net.Addr) int {
	if a == nil {
		return 0
	}
	_, text, err := net.SplitHostPort(a.String())
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// configOf is with which a certificate is renewed: those on demand when a client
// asks for them, so that names nobody uses any more are forgotten.
func (m *manager) configOf(c certmagic.Certificate) (*certmagic.Config, error) {
	if m.demand != nil && !slices.ContainsFunc(c.Names, m.problems.isManaged) {
		return m.demand, nil
	}
	return m.config, nil
}

func (m *manager) manage(names []string) error {
	for _, name := range names {
		ctx, fresh := m.problems.manage(m.ctx, name)
		if !fresh {
			continue
		}
		if err := m.config.ManageAsync(ctx, []string{name}); err != nil {
			return err
		}
	}
	return nil
}

func (m *manager) forget(list []string) {
	var subjects []certmagic.SubjectIssuer
	for _, name := range list {
		if key, err := dnsx.ASCIIName(name); err == nil {
			subjects = append(subjects, certmagic.SubjectIssuer{Subject: key})
			m.kept(m.problems.forget(key))
		}
	}
	m.cache.RemoveManaged(subjects)
}

// find returns the certificate for a name that is valid longest, nil if there is
// none.
func (m *manager) find(name string) *tls.Certificate {
	var best *certmagic.Certificate
	for _, c := range m.cache.AllMatchingCertificates(name) {
		if best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = &c
		}
	}
	if best == nil {
		return nil
	}
	return &best.Certificate
}

// demanded returns a certificate for a name that Allow agrees to, nil otherwise.
func (m *manager) demanded(hello *tls.ClientHelloInfo, name string, wait bool) *tls.Certificate {
	if !wait || m.demand == nil || hello.ServerName == "" || m.problems.isManaged(name) || m.o.Allow(hello.Context(), name) != nil {
		return nil
	}
	cert, err := m.demand.GetCertificateWithContext(hello.Context(), hello)
	if err != nil {
		m.log.Warn("no certificate on demand", "name", name, "error", err)
		return nil
	}
	return cert
}

func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol
}

// challenge answers the authority. What is not being asked for by us is refused
// here, because the library would log every stranger's attempt as an error.
func (m *manager) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if _, ok := certmagic.GetACMEChallenge(hello.ServerName); !ok {
		return nil, fmt.Errorf("no challenge for %.80q", hello.ServerName)
	}
	return m.config.GetCertificateWithContext(hello.Context(), hello)
}

// event hears what the library does.
func (m *manager) event(ctx context.Context, name string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	switch name {
	case "cert_obtained":
		m.obtained.Add(1)
		m.log.Info("certificate obtained", "name", host, "renewal", renewal)
		m.kept(m.problems.clear(host))
	case "cert_failed": // the library has logged it
		if ctx.Err() != nil { // the name was forgotten, or the program stops
			return nil
		}
		m.failed.Add(1)
		err, _ := data["error"].(error)
		m.kept(m.problems.set(host, err))
	}
	return nil
}

func (m *manager) kept(err error) {
	if err != nil {
		m.log.Error("problems with certificates could not be kept for doctor", "error", err)
	}
}
