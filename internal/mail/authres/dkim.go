package authres

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"postroad/internal/mail/dkim"
)

// maxSignatures is how many DKIM signatures of a message are verified. Each may
// cost a look-up, a pass over the header and an RSA operation.
const maxSignatures = 10

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// checkDKIM verifies the first signatures, all at once: whoever put a slow one
// before the good one gains nothing.
func checkDKIM(ctx context.Context, r Resolver, m *dkim.Message, now time.Time) []DKIM {
	fields := m.Fields(dkim.MessageSignature.FieldName(), maxSignatures)
	results := make([]DKIM, len(fields))
	var wait sync.WaitGroup
	for i, f := range fields {
		wait.Go(func() { results[i] = checkSignature(ctx, r, m, f, now) })
	}
	wait.Wait()
	return results
}

func checkSignature(ctx context.Context, r Resolver, m *dkim.Message, f dkim.Field, now time.Time) DKIM {
	s, err := dkim.ParseSignature(dkim.MessageSignature, f)
	if err == nil {
		err = verify(ctx, r, s, func() error { return m.Precheck(s, now) }, m.Verify)
	}
	d := DKIM{
		Result: resultOf(err), Domain: s.Domain, Selector: s.Selector,
		Identity: s.Identity, Algorithm: s.Algorithm, Digits: digits(s),
	}
	if err != nil {
		d.Reason = err.Error()
	}
	return d
}

// Errors of key records, public like those of package dkim.
var (
	errNoAnswer = errors.New("DNS did not answer")
	errNoKey    = errors.New("no key")
	errKeys     = errors.New("more than one key record")
	errBadKey   = errors.New("malformed key record")
)

// verify looks up the key of a signature that passes its first check.
func verify(ctx context.Context, r Resolver, s *dkim.Signature, first func() error, last func(*dkim.Signature, dkim.Record) error) error {
	if err := first(); err != nil {
		return err
	}
	records, err := texts(ctx, r, s.KeyName(), func(string) bool { return true })
	switch {
	case err != nil:
		return errNoAnswer
	case len(records) == 0:
		return errNoKey
	case len(records) > 1: // undefined: RFC 6376, section 3.6.2.2
		return errKeys
	}
	record, err := dkim.ParseRecord(records[0])
	if err != nil {
		return errBadKey
	}
	return last(s, record)
}

// resultOf puts a failure in the words of RFC 8601, section 2.7.1.
func resultOf(err error) Result {
	for _, c := range []struct {
		cause  error
		result Result
	}{
		{nil, Pass},
		{errNoAnswer, TempError},
		{dkim.ErrSignatureSyntax, Neutral},
		{dkim.ErrWeak, Policy},
		{dkim.ErrBodyHash, Fail},
		{dkim.ErrSignature, Fail},
	} {
		if errors.Is(err, c.cause) {
			return c.result
		}
	}
	return PermError
}
