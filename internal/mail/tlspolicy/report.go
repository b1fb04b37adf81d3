package tlspolicy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ResultType is how a session failed, in the words of a TLS report (RFC 8460,
// section 4.3).
type ResultType string

// The result types of the registry.
const (
	// Success is not in the registry: a session that did not fail.
	Success ResultType = ""

	StartTLSNotSupported    ResultType = "starttls-not-supported"
	CertificateHostMismatch ResultType = "certificate-host-mismatch"
	CertificateExpired      ResultType = "certificate-expired"
	CertificateNotTrusted   ResultType = "certificate-not-trusted"
	ValidationFailure       ResultType = "validation-failure"
	TLSAInvalid             ResultType = "tlsa-invalid"
	DNSSECInvalid           ResultType = "dnssec-invalid"
	DANERequired            ResultType = "dane-required"
	STSPolicyFetchError     ResultType = "sts-policy-fetch-error"
	STSPolicyInvalid        ResultType = "sts-policy-invalid"
	STSWebPKIInvalid        ResultType = "sts-webpki-invalid"
)

// PolicyType is what a result was judged by (RFC 8460, section 4.4).
type PolicyType string

// The policy types.
const (
	PolicyTLSA PolicyType = "tlsa"
	PolicySTS  PolicyType = "sts"
	PolicyNone PolicyType = "no-policy-found"
)

// CertificateResult is the result type for an error of verifying a certificate,
// by DANE or by the authorities, ValidationFailure for one that is about
// something else.
func CertificateResult(err error) ResultType {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return Success
	case errors.As(err, &host):
		return CertificateHostMismatch
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return CertificateExpired
	case errors.As(err, &invalid), errors.As(err, &unknown), errors.Is(err, ErrNoMatch):
		return CertificateNotTrusted
	}
	return ValidationFailure
}

const (
	tlsrptVersion = "TLSRPTv1"
	// maxReportURIs bounds to how many places one report goes.
	maxReportURIs = 10
)

// ParseTLSRPT takes the TXT records of _smtp._tls.<domain> and returns where
// reports go: mailto and https URIs; those of other schemes are passed over, as
// are those beyond the tenth (RFC 8460, section 3). Errors: ErrNoRecord,
// ErrManyRecords, ErrSyntax.
func ParseTLSRPT(texts []string) (rua []string, err error) {
	fields, err := recordFields(texts, tlsrptVersion)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if f.name != "rua" {
			continue
		}
		for text := range strings.SplitSeq(f.value, ",") {
			text = strings.Trim(text, " \t")
			u, err := url.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("%w record: rua", ErrSyntax)
			}
			if reportable(u) && len(rua) < maxReportURIs {
				rua = append(rua, text)
			}
		}
		break
	}
	if len(rua) == 0 {
		return nil, fmt.Errorf("%w record: no usable rua", ErrSyntax)
	}
	return rua, nil
}

func reportable(u *url.URL) bool {
	switch u.Scheme {
	case "mailto":
		return strings.Contains(u.Opaque, "@")
	case "https":
		return u.Host != ""
	}
	return false
}
