package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"postroad/internal/base/ids"
)

// Signature proves to a receiver that a request comes from us.
// Mailgun: the timestamp is a string, the token has 50 hexadecimal digits.
type Signature struct {
	Timestamp string `json:"timestamp"`
	Token     string `json:"token"`
	Signature string `json:"signature"`
}

// Sign returns the hexadecimal HMAC-SHA256 under key of timestamp and token
// written one after the other. Mailgun: securing webhooks.
func Sign(key, timestamp, token string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(timestamp))
	m.Write([]byte(token))
	return hex.EncodeToString(m.Sum(nil))
}

// NewSignature signs a request made at t with the account's signing key. Every attempt has a token of its
// own, because receivers refuse tokens they have seen.
func NewSignature(key string, t time.Time) Signature {
	s := Signature{Timestamp: strconv.FormatInt(t.Unix(), 10), Token: ids.Hex(25)}
	s.Signature = Sign(key, s.Timestamp, s.Token)
	return s
}

// Tolerance is how far the timestamp of a signature may be from now.
const Tolerance = 15 * time.Minute

// Verify reports whether s was made with key near now. That it did not come before
// is the caller's to check, by its token.
func (s Signature) Verify(key string, now time.Time) bool {
	at, err := strconv.ParseInt(s.Timestamp, 10, 64)
	if err != nil || key == "" || s.Token == "" {
		return false
	}
	if d := now.Sub(time.Unix(at, 0)); d > Tolerance || d < -Tolerance {
		return false
	}
	return hmac.Equal([]byte(Sign(key, s.Timestamp, s.Token)), []byte(s.Signature))
}
