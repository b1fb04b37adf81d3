//go:build cgo && libcrypto

package rsasign

import (
	"crypto/rsa"
	"crypto/x509"

	"postroad/internal/base/rsasign/libcrypto"
)

func haveLibcrypto() bool { return true }

func newLibcrypto(priv *rsa.PrivateKey) (signer, error) {
	k, err := libcrypto.Open(x509.MarshalPKCS1PrivateKey(priv), priv.Size())
	if err != nil {
		return nil, ErrUnavailable
	}
	return k, nil
}
