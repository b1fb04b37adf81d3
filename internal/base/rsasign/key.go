package rsasign

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"sync/atomic"
)

// ErrUnavailable reports a backend that this machine, this build or this key does
// not allow.
var ErrUnavailable = errors.New("rsasign: backend not available")

// errFault reports a computed signature that does not verify.
var errFault = errors.New("rsasign: signature does not verify")

// Key is a private RSA key with what its backend computed of it in advance. It is
// a [crypto.Signer], safe for concurrent use. It must not be copied.
type Key struct {
	priv    *rsa.PrivateKey
	backend Backend
	fast    signer // nil: crypto/rsa
	faults  atomic.Uint64
}

// signer makes PKCS #1 v1.5 signatures of SHA-256 digests, or none.
type signer interface {
	Sign(digest *[sha256.Size]byte) ([]byte, error)
}

// New returns a Key that signs with the best backend for priv. It never fails: for
// a key that no other backend takes, broken or nil, it is crypto/rsa, and what is
// wrong with the key is the error of Sign. priv must not be changed afterwards. It
// takes about a millisecond, so keep the Key.
func New(priv *rsa.PrivateKey) *Key {
	own := complete(priv)
	for _, b := range []Backend{IFMA, Libcrypto} {
		if fast, err := open(own, b); err == nil {
			return &Key{priv: own, backend: b, fast: fast}
		}
	}
	return &Key{priv: own, backend: Go}
}

// complete returns a copy of priv with the values that crypto/rsa makes in advance:
// what Sign would otherwise repeat each time, and what must not be written to a key
// of the caller. What is wrong with the key stays wrong; nil becomes an empty key,
// which is an error of Sign where nil would be a panic.
func complete(priv *rsa.PrivateKey) *rsa.PrivateKey {
	var own rsa.PrivateKey
	if priv != nil {
		own = *priv
		own.Precompute()
	}
	return &own
}

// NewWith is New with a backend that the caller chooses. It returns ErrUnavailable
// if the machine, the build or the form of the key does not allow it.
func NewWith(priv *rsa.PrivateKey, b Backend) (*Key, error) {
	own := complete(priv)
	if b == Go {
		return &Key{priv: own, backend: Go}, nil
	}
	fast, err := open(own, b)
	if err != nil {
		return nil, err
	}
	return &Key{priv: own, backend: b, fast: fast}, nil
}

// open prepares priv for b. It believes the key only if crypto/rsa does, so that
// crypto/rsa can step in, and the result only after one signature that crypto/rsa
// confirms.
func open(priv *rsa.PrivateKey, b Backend) (signer, error) {
	if !available(b) || len(priv.Primes) != 2 || priv.Validate() != nil {
		return nil, ErrUnavailable
	}
	for _, x := range []*big.Int{priv.N, priv.D, priv.Primes[0], priv.Primes[1]} {
		if x.Sign() <= 0 { // crypto/rsa looks at the absolute value
			return nil, ErrUnavailable
		}
	}
	prepare := newLibcrypto
	if b == IFMA {
		prepare = newIFMA
	}
	s, err := prepare(priv)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(nil)
	sig, err := s.Sign(&digest)
	if err != nil {
		return nil, err
	}
	if rsa.VerifyPKCS1v15(&priv.PublicKey, crypto.SHA256, digest[:], sig) != nil {
		return nil, ErrUnavailable
	}
	return s, nil
}

// Backend returns what signs SHA-256 digests.
func (k *Key) Backend() Backend { return k.backend }

// Faults returns how often crypto/rsa had to sign because the backend failed or its
// signature did not verify. Anything but 0 means broken hardware or a defect.
func (k *Key) Faults() uint64 { return k.faults.Load() }

// String names the type and the backend and nothing of the key.
func (k *Key) String() string { return "rsasign.Key(" + string(k.backend) + ")" }

// GoString is String: the form with fields would show them.
func (k *Key) GoString() string { return k.String() }

// Public returns the *rsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.priv.Public() }

// Sign signs a digest: PKCS #1 v1.5 (RFC 8017 section 8.2) unless opts is
// *rsa.PSSOptions. Only PKCS #1 v1.5 with SHA-256 is fast; the rest, and errors,
// are those of crypto/rsa. rand matters for PSS only.
func (k *Key) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		return nil, errors.New("rsasign: no signer options")
	}
	if _, pss := opts.(*rsa.PSSOptions); k.fast == nil || pss ||
		opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return k.priv.Sign(rand, digest, opts)
	}
	sig, err := k.fast.Sign((*[sha256.Size]byte)(digest))
	if err != nil {
		k.faults.Add(1)
		return k.priv.Sign(rand, digest, opts)
	}
	return sig, nil
}
