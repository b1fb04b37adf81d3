package trackhost

import (
	"postroad/internal/core/domain"
)

// Base returns what the links of a domain's mail begin with: scheme and host,
// without a slash at the end.
func (s *Service) Base(d *domain.Domain) string {
	base, _ := s.choose(d)
	return base
}

// WhyNot says why links of a domain do not have its own host, "" if they have.
func (s *Service) WhyNot(d *domain.Domain) string {
	base, why := s.choose(d)
	if why != "" {
		why = "tracking links begin with " + base + ": " + why
	}
	return why
}

func (s *Service) choose(d *domain.Domain) (base, why string) {
	host := d.TrackingHost()
	switch {
	case s.Capture:
		return s.Server, "" // links must work on the developer's machine
	case !s.Domains.LinksReady(d):
		return s.Server, "the CNAME record of " + host + " was not found to lead to this server; publish it and verify the domain"
	case d.Settings.WebScheme != "https":
		return "http://" + host + s.HTTPPort, ""
	case s.covered(host):
		return "https://" + host + s.HTTPSPort, ""
	}
	return s.Server, "web_scheme is https and there is no certificate for " + host + "; POST /v2/x509/" + host + " gets one"
}

// covered reports whether there is a certificate for a host that is valid now.
func (s *Service) covered(host string) bool {
	if s.certs == nil {
		return false
	}
	cert, _ := s.certs.For(host)
	return cert != nil && s.Clock.Now().Before(cert.Leaf.NotAfter)
}
