package peer

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"postroad/internal/mail/tlspolicy"
)

// How a server was authenticated.
const (
	ByNothing = ""
	ByDANE    = "dane"
	ByPKIX    = "pkix"
)

// VerifyConnection judges a finished handshake with a host, whose own checks are
// off (tls.Config.InsecureSkipVerify), as tls.Config.VerifyConnection does. roots
// nil means the system's. authenticated and how say whether and by what the server
// was found to be the host; err is set if the demand wants that and it was not. An
// unknown server is no error where nobody asked.
//
// The error is of package x509, or tlspolicy.ErrNoMatch; tlspolicy.
// CertificateResult says what to report.
func VerifyConnection(state tls.ConnectionState, roots *x509.CertPool, host string, now time.Time, d Demand) (authenticated bool, how string, err error) {
	if len(d.TLSA) > 0 {
		if err := tlspolicy.VerifyDANE(state.PeerCertificates, d.TLSA, d.Names, now); err != nil {
			return false, ByNothing, err
		}
		return true, ByDANE, nil
	}
	err = tlspolicy.VerifyPKIX(state.PeerCertificates, roots, host, now)
	switch {
	case err == nil:
		return true, ByPKIX, nil
	case d.Verify:
		return false, ByNothing, err
	}
	return false, ByNothing, nil
}
