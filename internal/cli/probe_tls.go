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

// unverified is for looking at a certificate, whatever it is.
func (p *probe) unverified() *tls.Config {
	return &tls.Config{ServerName: p.cfg.Hostname, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
}

// errAnswer is an answer that is not that of a server that works.
type errAnswer string

// Error is the answer.
func (e errAnswer) Error() string { return "it answers " + string(e) }

// connect dials a listener, with TLS if it begins there.
func (p *probe) connect(ctx context.Context, l config.Listen, withTLS bool) (net.Conn, error) {
	conn, err := p.dial(ctx, "tcp", near(l))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // the connection of a test's dial may have none
	}
	if !withTLS {
		return conn, nil
	}
	tc := tls.Client(conn, p.unverified())
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return tc, nil
}

// checkMail looks at a listener for mail.
func (p *probe) checkMail(ctx context.Context, l config.MailListen) finding {
	return p.checkListener(ctx, "smtp", l.Addr, func(ctx context.Context) (string, error) {
		conn, err := p.connect(ctx, l.Addr, l.ImplicitTLS())
		if err != nil {
			return "", err
		}
		defer conn.Close()
		line, err := bufio.NewReaderSize(conn, 1024).ReadSlice('\n')
		if err != nil {
			return "", errors.New("connected, but no greeting came")
		}
		text := cut(clean(strings.TrimSpace(string(line))), 80)
		if !strings.HasPrefix(text, "220") {
			return "", errAnswer(text)
		}
		return text, nil
	})
}

// checkHTTPS looks at the listener for HTTPS.
func (p *probe) checkHTTPS(ctx context.Context) finding {
	return p.checkListener(ctx, "https", p.cfg.HTTPS, func(ctx context.Context) (string, error) {
		conn, err := p.connect(ctx, p.cfg.HTTPS, true)
		if err != nil {
			return "", err
		}
		return "it answers with TLS", conn.Close()
	})
}

// checkListener says whether a listener answers, or else whether the server could
// open it.
func (p *probe) checkListener(ctx context.Context, setting string, l config.Listen, greet func(context.Context) (string, error)) finding {
	if l.Port() == 0 {
		return skipped("the system chooses the port")
	}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	greeting, err := greet(ctx)
	switch {
	case err == nil:
		return good("%s", greeting)
	case errors.As(err, new(errAnswer)):
		return broken("see the log of the server", "%v", err)
	}
	ln, bindErr := (&net.ListenConfig{}).Listen(ctx, "tcp", string(l))
	if bindErr == nil {
		ln.Close()
		if _, _, _, err := p.ready(ctx); err == nil && p.client.local() {
			return warned("start the server with the same settings as given here", "the server runs, but nobody listens there")
		}
		return good("nobody listens there, and the server can")
	}
	if errors.Is(bindErr, syscall.EADDRINUSE) {
		return broken("stop the program that has it, or give another address", "somebody has it, but %s", dialReason(err, p.patience))
	}
	fail := broken
	if p.cfg.Origin(setting) == "default" {
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
	const fix = "let the authority reach this machine: docs/certificates.md says on which ports"
	problem := p.acmeProblem()
	leaf, where, err := p.shown(ctx)
	switch {
	case err != nil && problem != "":
		return broken(fix, "%s", problem)
	case err != nil:
		return skipped("no listener with TLS answers: %v", err)
	}
	f := p.judge(leaf, where)
	switch {
	case problem == "":
		return f
	case f.state == stateOK:
		return warned(fix, "%s; %s", f.evidence, problem)
	}
	return broken(fix, "%s; %s", f.evidence, problem)
}

// acmeProblem is why a certificate could not be obtained, "" if it could.
func (p *probe) acmeProblem() string {
	if !p.cfg.ACMEAgreeTerms {
		return ""
	}
	list, err := certs.Problems(filepath.Join(p.cfg.Data, app.ACMEDir))
	if err != nil {
		return err.Error()
	}
	for _, name := range p.cfg.CertNames() {
		if t, ok := list[name]; ok {
			return fmt.Sprintf("the last attempt to get one for %s failed at %s: %s", name, t.At.Format(time.DateTime), t.Error)
		}
	}
	return ""
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
	conn, err := p.connect(ctx, p.cfg.HTTPS, true)
	if err != nil {
		return nil, "", err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], "HTTPS at " + near(p.cfg.HTTPS), nil
}

func (p *probe) mailCertificate(ctx context.Context, l config.MailListen) (*x509.Certificate, error) {
	conn, err := p.connect(ctx, l.Addr, l.ImplicitTLS())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if tc, ok := conn.(*tls.Conn); ok {
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
