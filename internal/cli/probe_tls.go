package cli

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postroad/internal/app"
	"postroad/internal/base/certs"
	"postroad/internal/config"
)

// near is where a listener of this machine is reached from the machine itself.
func near(l config.Listen) string {
	host := l.Host()
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, strconv.Itoa(l.Port()))
}

// hello dials a listener for mail and reads its greeting; the connection is to be
// closed by the caller.
func (p *probe) hello(ctx context.Context, l config.MailListen) (net.Conn, string, error) {
	conn, err := p.dial(ctx, "tcp", near(l.Addr))
	if err != nil {
		return nil, "", err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // the connection of a test's dial may have none
	}
	if l.ImplicitTLS() {
		tc := tls.Client(conn, p.unverified())
		if err := tc.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, "", fmt.Errorf("TLS: %w", err)
		}
		conn = tc
	}
	line, err := bufio.NewReaderSize(conn, 1024).ReadSlice('\n')
	if err != nil {
		conn.Close()
		return nil, "", errors.New("connected, but no greeting came")
	}
	return conn, cut(clean(strings.TrimSpace(string(line))), 80), nil
}

// unverified is for looking at a certificate, whatever it is.
func (p *probe) unverified() *tls.Config {
	return &tls.Config{ServerName: p.cfg.Hostname, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// checkListener says whether a listener answers, or else whether the server could
// open it.
func (p *probe) checkListener(ctx context.Context, l config.MailListen) finding {
	if l.Addr.Port() == 0 {
		return skipped("the system chooses the port")
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	conn, greeting, err := p.hello(ctx, l)
	if err == nil {
		conn.Close()
		if !strings.HasPrefix(greeting, "220") {
			return broken("see the log of the server", "it answers %s", greeting)
		}
		return good("%s", greeting)
	}
	ln, bindErr := (&net.ListenConfig{}).Listen(ctx, "tcp", string(l.Addr))
	if bindErr == nil {
		ln.Close()
		if _, status, _, err := p.ready(ctx); err == nil && status != 0 && p.client.local() {
			return warned("start the server with the same settings as given here", "the server runs, but nobody listens there")
		}
		return good("nobody listens there, and the server can")
	}
	if errors.Is(bindErr, syscall.EADDRINUSE) {
		return broken("stop the program that has it, or give another address", "somebody has it, but %s", dialReason(err, p.patience))
	}
	fail := broken
	if p.cfg.Origin("smtp") == "default" {
		fail = warned // the server starts without it
	}
	return fail(app.BindFix(bindErr), "it cannot be opened: %s", dialReason(bindErr, p.patience))
}

// expiresSoon is when a certificate that is renewed would have been.
const expiresSoon = 10 * 24 * time.Hour

const certFix = "--acme-agree-terms, or --tls-cert and --tls-key; docs/certificates.md says how"

// checkCertificate looks at the certificate the server shows.
func (p *probe) checkCertificate(ctx context.Context) finding {
	if p.captures() && p.cfg.TLSCert == "" {
		return skipped("capture mode makes certificates of its own")
	}
	if p.cfg.TLSCert != "" {
		if err := certs.CheckKeyFile(p.cfg.TLSKey); err != nil {
			return broken("chmod 600 "+p.cfg.TLSKey+", as the user of the server", "%v", err)
		}
	}
	list, err := certs.Problems(filepath.Join(p.cfg.Data, app.ACMEDir))
	if err == nil && p.cfg.ACMEAgreeTerms {
		for _, name := range p.cfg.CertNames() {
			if t, ok := list[name]; ok {
				return broken("let the authority reach this machine: docs/certificates.md says on which ports", "none obtained for %s; %s: %s", name, t.At.Format(time.DateTime), t.Error)
			}
		}
	}
	leaf, where, err := p.shown(ctx)
	if err != nil {
		return skipped("no listener with TLS answers: %v", err)
	}
	return p.judge(leaf, where)
}

func (p *probe) judge(leaf *x509.Certificate, where string) finding {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	text := fmt.Sprintf("%s shows one for %s, until %s, from %s", where, clean(strings.Join(names, ", ")), leaf.NotAfter.UTC().Format(time.DateOnly), clean(leaf.Issuer.String()))
	fix := certFix
	if p.cfg.TLSCert != "" || p.cfg.ACMEAgreeTerms {
		fix = "see the log of the server for why it is not renewed"
	}
	now := p.e.clock().Now()
	switch {
	case !now.Before(leaf.NotAfter):
		return broken(fix, "%s: expired", text)
	case leaf.CheckSignatureFrom(leaf) == nil || leaf.Issuer.String() == leaf.Subject.String():
		return warned(fix, "%s: self-signed, which mail servers take and other clients do not", text)
	case leaf.VerifyHostname(p.cfg.Hostname) != nil:
		return warned("get one that is for "+p.cfg.Hostname+" too", "%s: not for %s", text, p.cfg.Hostname)
	case leaf.NotAfter.Before(now.Add(expiresSoon)):
		return warned(fix, "%s: soon", text)
	}
	return good("%s", text)
}

// shown returns the certificate of the first listener that shows one.
func (p *probe) shown(ctx context.Context) (leaf *x509.Certificate, where string, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	err = errors.New("there is none")
	for _, l := range p.cfg.SMTP {
		if leaf, err = p.mailCertificate(ctx, l); err == nil {
			return leaf, "SMTP at " + near(l.Addr), nil
		}
	}
	if p.cfg.HTTPS == "" {
		return nil, "", err
	}
	raw, err := p.dial(ctx, "tcp", near(p.cfg.HTTPS))
	if err != nil {
		return nil, "", err
	}
	defer raw.Close()
	conn := tls.Client(raw, p.unverified())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, "", err
	}
	return conn.ConnectionState().PeerCertificates[0], "HTTPS at " + near(p.cfg.HTTPS), nil
}

func (p *probe) mailCertificate(ctx context.Context, l config.MailListen) (*x509.Certificate, error) {
	conn, err := p.dial(ctx, "tcp", near(l.Addr))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // the connection of a test's dial may have none
	}
	if l.ImplicitTLS() {
		tc := tls.Client(conn, p.unverified())
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		return tc.ConnectionState().PeerCertificates[0], nil
	}
	c, err := smtp.NewClient(conn, p.cfg.Hostname)
	if err != nil {
		return nil, err
	}
	if err := c.StartTLS(p.unverified()); err != nil {
		return nil, err
	}
	state, _ := c.TLSConnectionState()
	return state.PeerCertificates[0], nil
}
