// Package svix signs webhooks and checks signatures as Svix does it, whose scheme
// Resend and others use (also published as Standard Webhooks): an HMAC-SHA256 of
// the id, the time in seconds and the body, joined by full stops.
package svix

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far the time of a webhook may be from ours.
const Tolerance = 5 * time.Minute

// Names of the header fields.
const (
	HeaderID        = "Svix-Id"
	HeaderTimestamp = "Svix-Timestamp"
	HeaderSignature = "Svix-Signature"
)

const (
	prefix  = "whsec_"
	version = "v1"
)

// Errors of Verify and ParseSecret.
var (
	ErrSecret    = errors.New("the secret is not " + prefix + " and base64")
	ErrMissing   = errors.New("a signature header field is missing")
	ErrTime      = errors.New("the time of the webhook is too far from now")
	ErrSignature = errors.New("no signature matches")
)

// Secret is the key two parties share.
type Secret []byte

// NewSecret returns a random secret.
func NewSecret() Secret {
	b := make(Secret, 24)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return b
}

// ParseSecret reads the written form; the error is ErrSecret.
func ParseSecret(s string) (Secret, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, prefix))
	if err != nil || len(b) == 0 {
		return nil, ErrSecret
	}
	return b, nil
}

// String is the written form. It is for its owner only.
func (s Secret) String() string { return prefix + base64.StdEncoding.EncodeToString(s) }

// Sign returns the value of HeaderSignature for a webhook.
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	return version + "," + base64.StdEncoding.EncodeToString(s.sum(id, strconv.FormatInt(at.Unix(), 10), body))
}

func (s Secret) sum(id, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, s)
	m.Write([]byte(id + "." + timestamp + "."))
	m.Write(body)
	return m.Sum(nil)
}

// maxSignatures bounds how many signatures of one webhook are looked at.
const maxSignatures = 20

// Verify checks a webhook that came at now with the given header fields. That it did
// not come before is the caller's to check, by its id. The errors are ErrMissing,
// ErrTime and ErrSignature.
func (s Secret) Verify(id, timestamp, signature string, body []byte, now time.Time) error {
	if id == "" || timestamp == "" || signature == "" {
		return ErrMissing
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return ErrTime
	}
	if d := now.Sub(time.Unix(seconds, 0)); d > Tolerance || d < -Tolerance {
		return ErrTime
	}
	want := s.sum(id, timestamp, body)
	for i, one := range strings.Fields(signature) {
		v, text, _ := strings.Cut(one, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if i < maxSignatures && v == version && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
