//go:build !cgo || !libcrypto

package rsasign

import "crypto/rsa"

func haveLibcrypto() bool { return false }

func newLibcrypto(*rsa.PrivateKey) (signer, error) { return nil, ErrUnavailable }
