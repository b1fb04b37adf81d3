package config

import (
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
)

// CertNames are the names certificates are wanted for, the host name first.
func (c *Config) CertNames() []string {
	return append([]string{strings.TrimSuffix(strings.ToLower(c.Hostname), ".")}, splitNames(c.ACMENames)...)
}

// list splits at commas and spaces.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func splitNames(text string) (out []string) {
	for _, name := range list(text) {
		out = append(out, strings.TrimSuffix(strings.ToLower(name), "."))
	}
	return out
}

// completeACME opens HTTPS where certificates come from an authority, unless the
// setting says otherwise: the authority asks there whose the name is.
func (c *Config) completeACME() {
	if c.ACMEAgreeTerms && c.Origin("https") == "default" {
		c.HTTPS = ":443"
	}
}

func (c *Config) checkACME() error {
	var errs []error
	for _, name := range splitNames(c.ACMENames) {
		if !certifiable(name) {
			errs = append(errs, fmt.Errorf("--acme-names: no authority gives a certificate for %q", name))
		}
	}
	if _, err := mail.ParseAddress(c.ACMEEmail); c.ACMEEmail != "" && err != nil {
		errs = append(errs, fmt.Errorf("--acme-email: %q is not an address", c.ACMEEmail))
	}
	if u, err := url.Parse(c.ACMEDirectory); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		errs = append(errs, fmt.Errorf("--acme-directory: %q is not a URL like https://ca.example.com/directory", c.ACMEDirectory))
	}
	if !c.ACMEAgreeTerms {
		return errors.Join(errs...)
	}
	if !certifiable(c.Hostname) {
		errs = append(errs, fmt.Errorf("--acme-agree-terms: no authority gives a certificate for the host name %q: give a full one with --hostname", c.Hostname))
	}
	if c.HTTP == "" && c.HTTPS == "" {
		errs = append(errs, errors.New("--acme-agree-terms: the authority has to reach --http (as port 80) or --https (as port 443), and both are off"))
	}
	return errors.Join(errs...)
}

// certifiable reports whether a name has the form of one that an authority can
// reach: a host name with a domain. Wildcards need the DNS challenge.
func certifiable(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && validName(name) && strings.Contains(strings.TrimSuffix(name, "."), ".") && !strings.Contains(name, "_")
}
