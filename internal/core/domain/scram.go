package domain

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"

	"postroad/internal/base/ids"
	"postroad/internal/mail/scram"
)

// scramSalt is the length of salts, made up ones included, in bytes.
const scramSalt = 16

// verifierContext ties a sealed verifier to its login.
func verifierContext(login string) string { return "credential.scram " + login }

// sealVerifier makes what SCRAM needs of a password. It is sealed, because its
// hash is much faster to try passwords on than the other. Nil for a password that
// SCRAM cannot be used with.
func (s *Service) sealVerifier(login, password string) ([]byte, error) {
	v, err := scram.Derive(password, ids.Bytes(scramSalt), scram.Iterations)
	if errors.Is(err, scram.ErrPassword) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("verifier of %s: %w", login, err)
	}
	return s.box.Seal([]byte(v.Encode()), verifierContext(login)), nil
}

// openVerifier returns the verifier of a row. One without gets a verifier that
// no password satisfies and that is the same each time, also after a restart, so
// that a client cannot tell which logins exist.
func (s *Service) openVerifier(c *credential) (scram.Verifier, error) {
	if len(c.sealed) == 0 {
		return s.decoy(c.login), nil
	}
	text, err := s.box.Open(c.sealed, verifierContext(c.login))
	if err != nil {
		return scram.Verifier{}, fmt.Errorf("verifier of %s: %w", c.login, err)
	}
	v, err := scram.Decode(string(text))
	if err != nil {
		return v, fmt.Errorf("verifier of %s: %w", c.login, err)
	}
	return v, nil
}

func (s *Service) decoy(login string) scram.Verifier {
	derive := func(what string) []byte {
		h := hmac.New(sha256.New, s.opt.Secret)
		h.Write([]byte("scram decoy " + what + " " + login))
		return h.Sum(nil)
	}
	v := scram.Verifier{Salt: derive("salt")[:scramSalt], Iterations: scram.Iterations}
	copy(v.StoredKey[:], derive("stored"))
	copy(v.ServerKey[:], derive("server"))
	return v
}

// SCRAMVerifier returns what a login's password is proved against. There is one
// for every login, also for those that do not exist.
func (s *Service) SCRAMVerifier(ctx context.Context, login string) (scram.Verifier, error) {
	login = foldLogin(login)
	if len(login) > maxLogin {
		return s.decoy(login), nil
	}
	row, err := s.credential(ctx, login)
	if err != nil {
		return scram.Verifier{}, err
	}
	return row.verifier, nil
}

// OpenProved returns a login whose password was proved against v. Unauthorized
// if it was deleted or got another password meanwhile.
func (s *Service) OpenProved(ctx context.Context, login string, v scram.Verifier) (*Login, error) {
	row, err := s.credential(ctx, foldLogin(login))
	if err != nil {
		return nil, err
	}
	if row.hash == "" || len(row.sealed) == 0 || row.verifier.StoredKey != v.StoredKey {
		return nil, errBadLogin
	}
	return s.opened(ctx, row)
}
