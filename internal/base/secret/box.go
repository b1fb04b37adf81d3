// Package secret keeps what must be readable again, such as signing keys, out
// of the database in clear: it seals it with the installation's master secret.
//
// A sealed value is one version byte, a random nonce and the AES-256-GCM text.
// The context given when sealing (the table and row the value belongs to) is
// authenticated, so that a sealed value copied to another row does not open.
// Nonces are random: one master secret is good for 2^32 values (NIST SP
// 800-38D, section 8.3), far more than an installation has keys.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// Size is the length of a master secret in bytes.
const Size = 32

// version is the first byte of a sealed value: AES-256-GCM, 12 byte nonce.
const version = 1

// ErrOpen is returned for a value that was not sealed with this secret and
// context, or was changed since.
var ErrOpen = errors.New("sealed value does not open: wrong master secret, or the value was altered")

// Box seals and opens values. It is safe for concurrent use.
type Box struct{ aead cipher.AEAD }

// New returns a box for a master secret of Size bytes.
func New(master []byte) (*Box, error) {
	if len(master) != Size {
		return nil, fmt.Errorf("master secret has %d bytes, want %d", len(master), Size)
	}
	block, err := aes.NewCipher(master)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Box{aead: aead}, nil
}

// Seal encrypts plain for the given context.
func (b *Box) Seal(plain []byte, context string) []byte {
	n := b.aead.NonceSize()
	out := make([]byte, 1+n, 1+n+len(plain)+b.aead.Overhead())
	out[0] = version
	rand.Read(out[1:]) // never fails: crypto/rand aborts the program instead
	return b.aead.Seal(out, out[1:], plain, []byte(context))
}

// Open decrypts a sealed value; the error is ErrOpen.
func (b *Box) Open(sealed []byte, context string) ([]byte, error) {
	n := b.aead.NonceSize()
	if len(sealed) < 1+n+b.aead.Overhead() || sealed[0] != version {
		return nil, ErrOpen
	}
	plain, err := b.aead.Open(nil, sealed[1:1+n], sealed[1+n:], []byte(context))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
