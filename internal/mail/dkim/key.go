package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// The RSA key sizes in bits that verifiers must accept, RFC 8301, section 3.2.
const (
	minRSABits = 1024
	maxRSABits = 4096
)

// maxPEMBytes bounds what is parsed: a PKCS #8 key of 4096 bits takes 3.3 KB.
const maxPEMBytes = 16 << 10

// Errors of private keys.
var (
	// ErrPEM: the text holds no PEM block.
	ErrPEM = errors.New("failed to parse PEM block")
	// ErrNotPKCS1: the block is not an RSA key in PKCS #1 form.
	ErrNotPKCS1 = errors.New("failed to parse private key: key must be PKCS1 format")
	// ErrKeyFormat: the block is not a private key in PKCS #1 or PKCS #8 form.
	ErrKeyFormat = errors.New("failed to parse private key")
	// ErrKeySize: an RSA key outside the sizes allowed.
	ErrKeySize = errors.New("RSA key size is not allowed")
)

// GenerateRSA makes an RSA key of 1024 or 2048 bits. Larger ones do not fit DNS
// answers well and cost a multiple to sign with.
func GenerateRSA(bits int) (*rsa.PrivateKey, error) {
	if bits != 1024 && bits != 2048 {
		return nil, fmt.Errorf("%w: %d bits, want 1024 or 2048", ErrKeySize, bits)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// GenerateEd25519 makes an Ed25519 key (RFC 8463). Few verifiers know it, so it
// can only add to an RSA signature.
func GenerateEd25519() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// MarshalPKCS1 returns an RSA key as a PEM block "RSA PRIVATE KEY".
func MarshalPKCS1(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// MarshalPrivateKey returns an RSA key in PKCS #1 and an Ed25519 key in PKCS #8
// form, as PEM. ParsePrivateKey reads both.
func MarshalPrivateKey(key crypto.Signer) ([]byte, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return MarshalPKCS1(key), nil
	case ed25519.PrivateKey:
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("dkim: marshal key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	default:
		return nil, fmt.Errorf("%w: %T", ErrBadKey, key)
	}
}

// ParsePKCS1 reads an RSA key of 1024 to 4096 bits from a PEM block "RSA PRIVATE
// KEY" and takes no other form. Mailgun: imported domain keys must be PKCS #1.
func ParsePKCS1(text []byte) (*rsa.PrivateKey, error) {
	block, err := decodePEM(text)
	if err != nil {
		return nil, err
	}
	if block.Type != "RSA PRIVATE KEY" {
		return nil, ErrNotPKCS1
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotPKCS1, err)
	}
	return key, checkRSASize(&key.PublicKey)
}

// ParsePrivateKey reads an RSA key of 1024 to 4096 bits from PKCS #1 or PKCS #8,
// or an Ed25519 key from PKCS #8, in PEM.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	block, err := decodePEM(text)
	if err != nil {
		return nil, err
	}
	if block.Type == "RSA PRIVATE KEY" {
		return ParsePKCS1(text)
	}
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%w: PEM block is %q", ErrKeyFormat, block.Type)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFormat, err)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key, checkRSASize(&key.PublicKey)
	case ed25519.PrivateKey:
		return key, nil
	default:
		return nil, fmt.Errorf("%w: neither RSA nor Ed25519", ErrKeyFormat)
	}
}

func decodePEM(text []byte) (*pem.Block, error) {
	if len(text) > maxPEMBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrPEM, maxPEMBytes)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, ErrPEM
	}
	return block, nil
}

func checkRSASize(pub *rsa.PublicKey) error {
	if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("%w: %d bits, want %d to %d", ErrKeySize, bits, minRSABits, maxRSABits)
	}
	return nil
}
