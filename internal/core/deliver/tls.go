package deliver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"postroad/internal/mail/mime"
	"postroad/internal/mail/smtp"
)

// verify checks the peer's certificate for the name. A nil roots means the
// system's.
func verify(s tls.ConnectionState, roots *x509.CertPool, name string, now time.Time) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	o := x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// sevenBit re-encodes the message for a server without 8BITMIME and signs the
// result (RFC 6152: an 8-bit body may not be sent to it).
func (t *wire) sevenBit(j *job) (smtp.Message, error) {
	raw := mime.Join(j.body)
	converted, err := mime.SevenBit(raw)
	if err != nil {
		return nil, err
	}
	return t.e.resign(j, converted)
}
