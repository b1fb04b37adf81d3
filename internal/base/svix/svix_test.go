package svix

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The vector of Svix's documents.
const (
	docSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	docID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	docTime   = "1614265330"
	docBody   = `{"test": 2432232314}`
	docSign   = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestVector(t *testing.T) {
	s, err := ParseSecret(docSecret)
	if err != nil || s.String() != docSecret {
		t.Fatal(s, err)
	}
	at := time.Unix(1614265330, 0)
	if got := s.Sign(docID, at, []byte(docBody)); got != docSign {
		t.Fatalf("%s, want %s", got, docSign)
	}
	other := NewSecret()
	for _, c := range []struct {
		name               string
		secret             Secret
		id, time, sig, bod string
		now                time.Time
		want               error
	}{
		{"right", s, docID, docTime, docSign, docBody, at, nil},
		{"one of several", s, docID, docTime, "v1,AAAA v2,x " + docSign, docBody, at.Add(Tolerance), nil},
		{"other secret", other, docID, docTime, docSign, docBody, at, ErrSignature},
		{"other id", s, "msg_x", docTime, docSign, docBody, at, ErrSignature},
		{"other body", s, docID, docTime, docSign, docBody + " ", at, ErrSignature},
		{"other time", s, docID, "1614265331", docSign, docBody, at, ErrSignature},
		{"other version", s, docID, docTime, "v2" + docSign[2:], docBody, at, ErrSignature},
		{"too old", s, docID, docTime, docSign, docBody, at.Add(Tolerance + time.Second), ErrTime},
		{"from the future", s, docID, docTime, docSign, docBody, at.Add(-Tolerance - time.Second), ErrTime},
		{"no time", s, docID, "soon", docSign, docBody, at, ErrTime},
		{"no signature", s, docID, docTime, "", docBody, at, ErrMissing},
		{"too many", s, docID, docTime, strings.Repeat("v1,AAAA ", maxSignatures) + docSign, docBody, at, ErrSignature},
	} {
		if err := c.secret.Verify(c.id, c.time, c.sig, []byte(c.bod), c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "whsec_", "whsec_???"} {
		if _, err := ParseSecret(bad); !errors.Is(err, ErrSecret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s, err := ParseSecret(docSecret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(docID, docTime, docSign, docBody)
	f.Fuzz(func(t *testing.T, id, at, sig, body string) {
		if s.Verify(id, at, sig, []byte(body), time.Unix(1614265330, 0)) == nil && (id != docID || body != docBody) {
			t.Fatalf("taken: %q %q %q %q", id, at, sig, body)
		}
	})
}
