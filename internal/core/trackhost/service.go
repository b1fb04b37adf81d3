package trackhost

import (
	"context"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/certs"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Config of a Service.
type Config struct {
	DB      *db.DB
	Domains *domain.Service
	Clock   clock.Clock
	Logger  *slog.Logger

	// Capture gives every link the server's own base.
	Capture bool
	// Server is the base of links that cannot have a host of their domain.
	Server string
	// HTTPPort and HTTPSPort follow the host in links, ":8080"; empty for the usual
	// ports.
	HTTPPort, HTTPSPort string
	// Own are the names of the server itself, whose certificates others manage.
	Own []string
}

// Service decides on the hosts of links and gets their certificates. Its methods
// are safe for concurrent use.
type Service struct {
	Config
	certs *certs.Source
}

// New returns the service.
func New(c Config) *Service { return &Service{Config: c} }

// Use gives the service the source of certificates, which needs the open listeners.
// It is to be called before anything else is.
func (s *Service) Use(c *certs.Source) { s.certs = c }

// Start has the certificates that were asked for before managed again.
func (s *Service) Start(ctx context.Context) error {
	if !s.certs.Managed() {
		return nil
	}
	var hosts []string
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		hosts, err = selectHosts(tx, "")
		return err
	})
	if err != nil {
		return fmt.Errorf("certificates of tracking hosts: %w", err)
	}
	return s.certs.Manage(hosts...)
}

// DeleteDomain ends what is done for a domain that is deleted, in its transaction.
func (s *Service) DeleteDomain(tx *db.Tx, d *domain.Domain) error {
	hosts, err := deleteWishes(tx, d.ID)
	if err != nil {
		return err
	}
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return slices.Contains(s.Own, h) })
	tx.AfterCommit(func() { s.certs.Forget(hosts...) })
	return nil
}

// State is what has become of a certificate.
type State string

// The states. Mailgun: the words.
const (
	Processing State = "processing"
	Active     State = "active"
	Expired    State = "expired"
	Failed     State = "error"
)

// Status is the state of a certificate, with why where it is not active and the
// certificate where there is one.
type Status struct {
	State    State
	Why      string
	PEM      string    // with its chain
	NotAfter time.Time // of PEM
	FailedAt time.Time // when the last attempt failed, if it did
}

// Status returns the state of the certificate of a host; false if it was not asked
// for.
func (s *Service) Status(ctx context.Context, host string) (st Status, found bool, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		found, err = wished(tx, host)
		return err
	})
	if err != nil || !found {
		return Status{}, false, err
	}
	cert, problem := s.certs.For(host)
	st.FailedAt = problem.At
	switch {
	case cert != nil:
		st.State, st.NotAfter = Active, cert.Leaf.NotAfter
		if !s.Clock.Now().Before(st.NotAfter) {
			st.State, st.Why = Expired, "x509 certificate has expired"
		}
		var b strings.Builder
		for _, der := range cert.Certificate {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		st.PEM = b.String()
	case problem.Error != "":
		st.State, st.Why = Failed, "TLS x509 key pair generation failed: "+problem.Error
	case !s.certs.Managed():
		st.State, st.Why = Failed, "TLS x509 key pair generation failed: "+offText
	default:
		st.State, st.Why = Processing, "Waiting for x509 key pair generation"
	}
	return st, true, nil
}

const offText = "this server gets no certificates; its operator can start it with --acme-agree-terms, or give one for this host with --tls-cert and --tls-key"

// Initiate has a certificate obtained for the host of a domain. What failed or
// expired is tried again. Conflict if it is under way or there; Invalid if the
// host does not lead here or the server gets no certificates.
func (s *Service) Initiate(ctx context.Context, d *domain.Domain, host string) error {
	st, found, err := s.Status(ctx, host)
	if err != nil {
		return err
	}
	if found && (st.State == Processing || st.State == Active) {
		return errInitiated(host)
	}
	if err := s.ready(ctx, d, host, st); err != nil {
		return err
	}
	var fresh bool
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		fresh, err = insertWish(tx, host, d.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("tracking host %s: %w", host, err)
	}
	if !fresh && !found { // another request was faster
		return errInitiated(host)
	}
	s.Logger.Info("certificate of a tracking host asked for", "host", host, "domain", d.Name, "again", !fresh)
	return s.obtain(host)
}

func errInitiated(host string) error {
	return errs.New(errs.Conflict, "x509 key pair generation has already been initiated for %s", host)
}

// Regenerate has a certificate that has expired, or could not be obtained, tried
// again at once. NotFound if none was asked for, Limited while it is under way,
// Conflict if there is a valid one; else as Initiate.
func (s *Service) Regenerate(ctx context.Context, d *domain.Domain, host string) error {
	st, found, err := s.Status(ctx, host)
	switch {
	case err != nil:
		return err
	case !found:
		return errNoCert
	case st.State == Processing:
		return errs.New(errs.Limited, "x509 key pair generation job is already in progress for %s", host)
	case st.State == Active:
		return errs.New(errs.Conflict, "x509 certificate is still valid until %s", st.NotAfter.UTC().Format("2006-01-02 15:04:05 -0700 MST"))
	}
	if err := s.ready(ctx, d, host, st); err != nil {
		return err
	}
	s.Logger.Info("certificate of a tracking host asked for", "host", host, "domain", d.Name, "again", true)
	return s.obtain(host)
}

var errNoCert = errs.New(errs.NotFound, "x509 cert not found")

// retryAfter is the least time between attempts. Authorities count those that fail
// against the installation, so one account could use up what is for all.
const retryAfter = 5 * time.Minute

// ready refuses what an authority would refuse later.
func (s *Service) ready(ctx context.Context, d *domain.Domain, host string, st Status) error {
	if wait := st.FailedAt.Add(retryAfter).Sub(s.Clock.Now()); !st.FailedAt.IsZero() && wait > 0 {
		return &errs.Error{Kind: errs.Limited, Public: "x509 key pair generation for " + host + " has just failed, try again in some minutes", RetryAfter: wait}
	}
	if cert, _ := s.certs.For(host); cert == nil && !s.certs.Managed() {
		return errs.New(errs.Invalid, offText)
	}
	if host != d.TrackingHost() { // one that links had before: the authority will look itself
		return nil
	}
	r, err := s.Domains.CheckLinks(ctx, d)
	if err != nil {
		return err
	}
	if r.Valid == domain.Valid {
		return nil
	}
	found := "nothing was found"
	switch {
	case r.Valid == domain.Unknown:
		found = "its DNS does not answer"
	case len(r.Cached) > 0:
		found = "it leads to " + strings.Join(r.Cached[:min(len(r.Cached), 3)], ", ")
	}
	return errs.New(errs.Invalid, "invalid CNAME record").WithHint("%s has to be a CNAME of %s; %s", host, r.Value, found)
}

// obtain begins anew: an attempt under way may be waiting for hours after the last
// one failed.
func (s *Service) obtain(host string) error {
	if !s.certs.Managed() {
		return nil // it is there
	}
	if !slices.Contains(s.Own, host) {
		s.certs.Forget(host)
	}
	return s.certs.Manage(host)
}

// find returns the host that a request names, with its domain: a tracking host of
// the caller's, or the sending domain for its tracking host. The error is unknown
// if it is neither.
func (s *Service) find(ctx context.Context, name string, unknown *errs.Error) (*domain.Domain, domain.Host, error) {
	h, err := s.Domains.ByHost(ctx, name)
	if err != nil {
		return nil, h, err
	}
	c := account.From(ctx)
	if !h.Current {
		if d, err := s.Domains.Owned(ctx, c, name); err == nil {
			return d, domain.Host{Name: d.TrackingHost(), Domain: d, Current: true}, nil
		}
	}
	if h.Domain == nil {
		return nil, h, unknown
	}
	d, err := s.Domains.Owned(ctx, c, h.Domain.Name)
	if errs.Is(err, errs.NotFound) {
		err = unknown
	}
	return d, h, err
}
