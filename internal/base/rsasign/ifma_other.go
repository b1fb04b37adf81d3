//go:build !amd64

package rsasign

import "crypto/rsa"

func haveIFMA() bool { return false }

func newIFMA(*rsa.PrivateKey) (signer, error) { return nil, ErrUnavailable }
