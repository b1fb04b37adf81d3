package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"postroad/internal/config"
	"postroad/internal/edge/smtpd"
	"postroad/internal/mail/smtp"
)

// mailListener is an open address that takes mail. Each has a server of its own,
// so that a flood at one leaves the connections of the others free.
type mailListener struct {
	config.MailListen
	ln     net.Listener
	server *smtp.Server // nil before Run
}

// bind opens the listeners, so that a taken port is an error at start and a
// client that waited for the port finds it answering.
func (a *App) bind(context.Context) (err error) {
	if a.http, err = listen("http", a.cfg.HTTP); err != nil {
		return err
	}
	if a.https, err = a.listenOr("https", a.cfg.HTTPS); err != nil {
		return err
	}
	if a.smtpTrusted, err = prefixes("--smtp-trust", a.cfg.SMTPTrust); err != nil {
		return err
	}
	if a.smtpProxies, err = prefixes("--smtp-proxy", a.cfg.SMTPProxy); err != nil {
		return err
	}
	if a.smtpXClient, err = prefixes("--smtp-xclient", a.cfg.SMTPXClient); err != nil {
		return err
	}
	for _, l := range a.cfg.SMTP {
		ln, err := a.listenOr("smtp", l.Addr)
		if err != nil {
			return err
		}
		if ln != nil {
			a.mail = append(a.mail, &mailListener{MailListen: l, ln: ln})
		}
	}
	return nil
}

// listenOr opens an address. One that nobody asked for by name is left out with a
// warning when it cannot be opened: the program starts without configuration also
// where ports below 1024 are not for it, or another mail server has them.
func (a *App) listenOr(name string, addr config.Listen) (net.Listener, error) {
	l, err := listen(name, addr)
	if err == nil || a.cfg.Origin(name) != "default" || a.dev() {
		return l, err
	}
	a.log.Warn("listener left out", "error", err, "fix", BindFix(err))
	return nil, nil
}

func listen(name string, addr config.Listen) (net.Listener, error) {
	if addr == "" || addr == "off" {
		return nil, nil
	}
	l, err := net.Listen("tcp", string(addr))
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w", name, addr, err)
	}
	return l, nil
}

// BindFix is what helps when an address cannot be opened.
func BindFix(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop the program that uses the address, or give another"
	case errors.Is(err, syscall.EACCES), errors.Is(err, os.ErrPermission):
		return "ports below 1024 are for root and for programs with CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE; file: setcap cap_net_bind_service=+ep); give it, or a port of 1024 or higher"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "give an address of this machine, or only :PORT"
	}
	return "give another address"
}

// serveMail starts a server for each mail listener.
func (a *App) serveMail(l *loops) {
	for _, m := range a.mail {
		role := smtpd.MTA
		if m.Service != config.SMTP {
			role = smtpd.MSA
		}
		backend := &smtpd.Submission{Messages: a.messages, Domains: a.domains, Accounts: a.accounts, Logger: a.log, Open: a.open(), Trusted: a.smtpTrusted, Logins: a.logins, Inbound: a.inbound,
			Listener: smtpd.Listener{Role: role, Addr: m.ln.Addr()}}
		m.server = &smtp.Server{Config: smtp.Config{
			Backend:  shedSMTP{backend, a.shed},
			Hostname: a.cfg.Hostname, TLS: a.certs.SMTP(), ImplicitTLS: m.ImplicitTLS(), RequireTLSForAuth: !a.dev(), AllowBareLF: a.dev(), OfferDSN: true,
			MaxMessageBytes: int64(a.cfg.MaxMessage), MaxConnections: 2000, MaxConnectionsPerIP: 500, MaxConnectRate: a.cfg.SMTPRate, Logger: a.log,
			ProxyNetworks: a.smtpProxies, XClientNetworks: a.smtpXClient,
		}}
		l.run("smtp", func() error { return ignoreClosed(m.server.Serve(context.Background(), m.ln)) })
	}
}

// mailAddresses names the open mail listeners.
func (a *App) mailAddresses() string {
	var out []string
	for _, m := range a.mail {
		out = append(out, string(m.Service)+"://"+m.ln.Addr().String())
	}
	if len(out) == 0 {
		return "off"
	}
	return strings.Join(out, " ")
}

// submitAddress is where people's programs send mail, "" if there is no such
// place: a listener for submission before one for all mail.
func (a *App) submitAddress() string {
	best := config.Listen("")
	for _, l := range a.cfg.SMTP {
		if l.Service == config.Submission {
			best = l.Addr
			break
		}
		if best == "" {
			best = l.Addr
		}
	}
	if best == "" {
		return ""
	}
	return browsable(string(best), a.cfg.Hostname, a.dev())
}
