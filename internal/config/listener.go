package config

import (
	"errors"
	"fmt"
	"strings"
)

// Service is what a listener offers, by its registered name (RFC 6409 section 3.1,
// RFC 8314 section 7.3).
type Service string

// The services of mail.
const (
	// SMTP takes mail from anybody for the accounts' domains, and from clients that
	// log in for any; STARTTLS.
	SMTP Service = "smtp"
	// Submission takes mail from clients that log in; STARTTLS.
	Submission Service = "submission"
	// Submissions is Submission with TLS from the start.
	Submissions Service = "submissions"
)

// MailListen is an address that takes mail, and the service there.
type MailListen struct {
	Service Service
	Addr    Listen
}

// serviceOf is what a port is for unless it is said. Ports that mean nothing take
// all mail, because most are where port 25 is forwarded to.
func serviceOf(port int) Service {
	switch port {
	case 587, 2525:
		return Submission
	case 465:
		return Submissions
	}
	return SMTP
}

// String is the shortest form that is read.
func (l MailListen) String() string {
	if l.Service == serviceOf(l.Addr.Port()) {
		return string(l.Addr)
	}
	return string(l.Service) + "://" + string(l.Addr)
}

// ImplicitTLS reports whether TLS begins before the first line.
func (l MailListen) ImplicitTLS() bool { return l.Service == Submissions }

// MailListens are the listeners for mail.
type MailListens []MailListen

// String is the form that is read.
func (ls MailListens) String() string {
	if len(ls) == 0 {
		return off
	}
	parts := make([]string, len(ls))
	for i, l := range ls {
		parts[i] = l.String()
	}
	return strings.Join(parts, ",")
}

// off stands for no listener.
const off = "off"

// parseMailListens reads [SERVICE://]HOST:PORT, several separated by commas or
// spaces, or off.
func parseMailListens(texts []string) (MailListens, error) {
	const most = 32
	var out MailListens
	none := false
	for _, text := range texts {
		for _, part := range list(text) {
			if part == off {
				none = true
				continue
			}
			l, err := parseMailListen(part)
			if err != nil {
				return nil, err
			}
			out = append(out, l)
		}
	}
	switch {
	case none && len(out) > 0:
		return nil, fmt.Errorf("%q stands alone: it cannot be given together with an address", off)
	case len(out) > most:
		return nil, fmt.Errorf("more than %d addresses", most)
	}
	return out, nil
}

func parseMailListen(text string) (MailListen, error) {
	service, rest, named := strings.Cut(text, "://")
	if !named {
		rest = text
	}
	addr, err := parseListen(rest)
	switch {
	case err != nil:
		return MailListen{}, err
	case addr == "":
		return MailListen{}, fmt.Errorf("%q is not SERVICE://HOST:PORT", text)
	case !named:
		return MailListen{serviceOf(addr.Port()), addr}, nil
	}
	switch s := Service(service); s {
	case SMTP, Submission, Submissions:
		return MailListen{s, addr}, nil
	}
	return MailListen{}, fmt.Errorf("%q is not a service for mail: %s, %s and %s are", service, SMTP, Submission, Submissions)
}

// checkListeners refuses two listeners on one address early, with their names.
func (c *Config) checkListeners() error {
	seen := map[Listen]string{}
	add := func(name string, at Listen) error {
		if at == "" || at.Port() == 0 {
			return nil
		}
		if other := seen[at]; other != "" {
			return fmt.Errorf("--%s and --%s have the same address %q", other, name, at)
		}
		seen[at] = name
		return nil
	}
	errs := []error{add("http", c.HTTP), add("https", c.HTTPS)}
	for _, l := range c.SMTP {
		errs = append(errs, add("smtp", l.Addr))
	}
	return errors.Join(errs...)
}
