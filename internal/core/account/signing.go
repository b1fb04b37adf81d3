package account

import (
	"context"
	"encoding/base64"
	"fmt"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

func signingContext(accountID string) string { return "account.signing_key:" + accountID }

func (s *Service) sealSigning(accountID, key string) string {
	return base64.StdEncoding.EncodeToString(s.box.Seal([]byte(key), signingContext(accountID)))
}

func (s *Service) openSigning(accountID, sealed string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("signing key of account %s: %w", accountID, err)
	}
	key, err := s.box.Open(raw, signingContext(accountID))
	if err != nil {
		return "", fmt.Errorf("signing key of account %s: %w", accountID, err)
	}
	return string(key), nil
}

// SigningKey returns the key that signs the account's webhooks; NotFound if
// there is no such account.
func (s *Service) SigningKey(ctx context.Context, accountID string) (string, error) {
	return s.signing.Load(accountID, func() (key string, err error) {
		err = s.db.Read(ctx, func(tx *db.Tx) error {
			sealed, err := selectSigning(tx, accountID)
			if err != nil {
				return err
			}
			key, err = s.openSigning(accountID, sealed)
			return err
		})
		return key, err
	})
}

// RotateSigningKey replaces the signing key and returns the new one; what is
// signed from now on is signed with it.
func (s *Service) RotateSigningKey(ctx context.Context, accountID string) (string, error) {
	key := "key-" + ids.Hex(16)
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		n, err := updateSigning(tx, accountID, s.sealSigning(accountID, key))
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoAccount
		}
		tx.AfterCommit(func() { s.signing.Drop(accountID) })
		return nil
	})
	if err != nil {
		return "", err
	}
	return key, nil
}
