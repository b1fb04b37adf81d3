package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"postroad/internal/base/dnsx"
)

// Kind says where a certificate comes from.
type Kind string

// The kinds, from the one that is preferred.
const (
	FromFiles      Kind = "files"
	FromACME       Kind = "acme"
	FromAuthority  Kind = "local authority" // of development
	FromSelfSigned Kind = "self-signed"
)

// expiresSoon is when the end of a certificate is worth a warning: authorities
// renew after two thirds of a life of 47 days or more, so by then it has failed
// for a while.
const expiresSoon = 10 * 24 * time.Hour

// Options of a Source. Of its kinds of certificates those that are nil are not
// there.
type Options struct {
	Host      string     // served to clients that name no host
	Pair      *Pair      // files
	ACME      *ACME      // an authority that gives certificates over the network
	Authority *Authority // of development: certificates for any name
	Logger    *slog.Logger
	Now       func() time.Time
}

// Source is where every listener with TLS has its certificates from. For a host
// that a client names it takes, in this order: files that are for the host, the
// ACME authority's certificate, files for other hosts, the authority of
// development, the ACME certificate of the own host, a self-signed one. So TLS
// works from the first moment, and mail servers, which do not verify, never wait.
// It is safe for concurrent use.
type Source struct {
	o          Options
	host       string
	selfSigned *tls.Certificate
	acme       *manager

	mu     sync.Mutex // of what was said in the log
	seen   *tls.Certificate
	broken string
	warned time.Time
}

// NewSource makes a Source. With ACME it begins to work in the background; Close
// ends that.
func NewSource(o Options) (*Source, error) {
	host, err := hostKey(o.Host)
	if err != nil {
		return nil, err
	}
	s := &Source{o: o, host: host}
	if o.Authority == nil {
		if s.selfSigned, err = SelfSigned(host); err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
	}
	if o.Pair != nil {
		s.seen = o.Pair.Certificate()
	}
	if o.ACME != nil {
		if s.acme, err = newManager(*o.ACME, host, o.Logger, o.Now); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close ends what runs in the background.
func (s *Source) Close() {
	if s.acme != nil {
		s.acme.close()
	}
}

// Manage has certificates obtained for host names and renewed from then on, in
// the background; those that have one in files, or that are managed already, are
// left alone. It fails for what is no host name, and without ACME.
func (s *Source) Manage(names ...string) error {
	if s.acme == nil {
		return errors.New("certificates are not managed: there is no ACME authority")
	}
	var wanted []string
	for _, name := range names {
		key, err := hostKey(name)
		if err != nil {
			return err
		}
		if s.o.Pair == nil || s.o.Pair.Certificate().Leaf.VerifyHostname(key) != nil {
			wanted = append(wanted, key)
		}
	}
	return s.acme.manage(wanted)
}

// Forget ends the management of names, attempts under way included; their
// certificates are no longer served nor renewed. Manage after it begins at once,
// with the certificate on the disk if there is one.
func (s *Source) Forget(names ...string) {
	if s.acme != nil {
		s.acme.forget(names)
	}
}

// SMTP returns the configuration for STARTTLS and for TLS from the start. The
// groups and ciphers are the standard library's, which drops what is no longer
// good with each release. Its keys of session tickets are new each day, which
// ends when SetSessionTicketKeys is called.
func (s *Source) SMTP() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, _, err := s.choose(hello, false)
		return cert, err
	}}
}

// HTTPS returns the configuration for HTTPS. It answers the challenge of ACME
// (RFC 8737) and, where ACME.Allow agrees, obtains certificates while a client
// waits.
func (s *Source) HTTPS() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if s.acme != nil && isChallenge(hello) {
			return s.acme.challenge(hello)
		}
		cert, _, err := s.choose(hello, true)
		return cert, err
	}}
	if s.acme != nil {
		c.NextProtos = append(c.NextProtos, challengeProtocol)
	}
	return c
}

// Challenges answers the HTTP challenge of ACME (RFC 8555 section 8.3) and hands
// every other request to h.
func (s *Source) Challenges(h http.Handler) http.Handler {
	if s.acme == nil {
		return h
	}
	return s.acme.issuer.HTTPChallengeHandler(h)
}

func (s *Source) choose(hello *tls.ClientHelloInfo, wait bool) (*tls.Certificate, Kind, error) {
	name, err := dnsx.ASCIIName(hello.ServerName)
	if err != nil || hello.ServerName == "" {
		name = s.host
	}
	if p := s.o.Pair; p != nil {
		cert := p.Certificate()
		if s.acme == nil || cert.Leaf.VerifyHostname(name) == nil {
			return cert, FromFiles, nil
		}
	}
	if s.acme != nil {
		if cert := s.acme.find(name); cert != nil {
			return cert, FromACME, nil
		}
		if cert := s.acme.demanded(hello, name, wait); cert != nil {
			return cert, FromACME, nil
		}
	}
	return s.other(hello)
}

// other is what there is when nothing is for the host.
func (s *Source) other(hello *tls.ClientHelloInfo) (*tls.Certificate, Kind, error) {
	switch {
	case s.o.Pair != nil:
		return s.o.Pair.Certificate(), FromFiles, nil
	case s.o.Authority != nil:
		cert, err := s.o.Authority.GetCertificate(hello)
		return cert, FromAuthority, err
	}
	if s.acme != nil {
		if cert := s.acme.find(s.host); cert != nil {
			return cert, FromACME, nil
		}
	}
	return s.selfSigned, FromSelfSigned, nil
}

// For returns the certificate that clients get for a name and that is for it, nil
// if there is none, and what went wrong with the last attempt to obtain one, zero if
// nothing did.
func (s *Source) For(name string) (cert *tls.Certificate, problem Problem) {
	if p := s.o.Pair; p != nil {
		if c := p.Certificate(); c.Leaf.VerifyHostname(name) == nil {
			return c, Problem{}
		}
	}
	if s.acme != nil {
		return s.acme.find(name), s.acme.problems.of(name)
	}
	if s.o.Authority != nil && s.o.Pair == nil {
		if c, err := s.o.Authority.GetCertificate(&tls.ClientHelloInfo{ServerName: name}); err == nil {
			return c, Problem{}
		}
	}
	return nil, Problem{}
}

// Managed reports whether certificates are obtained from an ACME authority.
func (s *Source) Managed() bool { return s.acme != nil }

// InUse is the certificate that a client gets which names the own host.
type InUse struct {
	Kind     Kind
	Names    []string
	NotAfter time.Time
}

// InUse returns the certificate of the own host.
func (s *Source) InUse() (InUse, error) {
	cert, kind, err := s.choose(&tls.ClientHelloInfo{ServerName: s.host}, false)
	if err != nil {
		return InUse{}, err
	}
	return InUse{kind, names(cert), cert.Leaf.NotAfter}, nil
}

func names(c *tls.Certificate) []string {
	out := slices.Clone(c.Leaf.DNSNames)
	for _, ip := range c.Leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// Counts returns how many certificates the ACME authority gave since the start,
// and how many attempts failed.
func (s *Source) Counts() (obtained, failed int64) {
	if s.acme == nil {
		return 0, 0
	}
	return s.acme.obtained.Load(), s.acme.failed.Load()
}

// Reload reads the files again now, whether or not they seem to have changed. On
// error the last good ones stay in use.
func (s *Source) Reload() error {
	if s.o.Pair == nil {
		return nil
	}
	err := s.o.Pair.Reload()
	s.Check()
	return err
}

// Check puts into the log what has changed since the last time: files read again,
// files that cannot be used, a certificate about to expire. It is to be called now
// and then.
func (s *Source) Check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.o.Pair; p != nil {
		cert, text := p.Certificate(), ""
		if err := p.Err(); err != nil {
			text = err.Error()
		}
		if cert != s.seen {
			s.o.Logger.Info("certificate read again", "names", names(cert), "not_after", cert.Leaf.NotAfter)
		}
		if text != s.broken && text != "" {
			s.o.Logger.Error("the files of the certificate cannot be used: the last good ones stay in use", "error", text)
		}
		s.seen, s.broken = cert, text
	}
	u, err := s.InUse()
	if now := s.o.Now(); err == nil && u.NotAfter.Before(now.Add(expiresSoon)) && now.Sub(s.warned) >= 24*time.Hour {
		s.o.Logger.Warn("the certificate expires soon or has expired", "from", string(u.Kind), "names", u.Names, "not_after", u.NotAfter)
		s.warned = now
	}
}
