package dkim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"time"
)

// maxInstance is the greatest number of an ARC set (RFC 8617, section 4.2.1).
const maxInstance = 50

// SealOptions are the tags of an ARC-Seal field.
type SealOptions struct {
	Key Key
	// Instance is the number of the ARC set, from 1 to 50.
	Instance int
	// Status is the chain validation status "cv=": none, pass or fail.
	Status string
	// Time is "t=", left out if zero.
	Time time.Time
}

// Seal returns an ARC-Seal field (RFC 8617, section 4.1.3), folded, ending in CRLF.
// It signs the fields given, each raw with or without its last CRLF, in the
// order given, which section 5.1.1 prescribes. Errors are those of Sign.
func (s *Signer) Seal(fields [][]byte, o SealOptions) ([]byte, error) {
	t, err := o.Key.tags()
	if err != nil {
		return nil, err
	}
	if o.Instance < 1 || o.Instance > maxInstance {
		return nil, fmt.Errorf("dkim: seal with instance %d", o.Instance)
	}
	w := s.acquire()
	defer s.release(w)
	w.canonical, w.out = w.canonical[:0], w.out[:0]
	for _, raw := range fields {
		if _, ok := fieldName(raw); !ok {
			return nil, ErrHeaderSyntax
		}
		w.canonical = append(Relaxed.appendHeader(w.canonical, raw), crlf...)
	}
	w.appendUnsealed(t, &o)
	if err := w.signField(&o.Key, t, Relaxed, 0); err != nil {
		return nil, err
	}
	return bytes.Clone(w.out), nil
}

func (w *work) appendUnsealed(t tags, o *SealOptions) {
	f := folder{out: append(w.out, "ARC-Seal:"...)}
	f.number("i", int64(o.Instance))
	f.tag("a", t.algorithm)
	f.tag("cv", o.Status)
	f.tag("d", t.domain)
	f.tag("s", t.selector)
	if !o.Time.IsZero() {
		f.number("t", o.Time.Unix())
	}
	f.fold()
	w.out = append(f.out, "b="...)
}

// SealedHash hashes the fields that ARC-Seal fields sign. As each seal signs what
// the one before did and more, one pass serves them all.
type SealedHash struct {
	h       hash.Hash
	scratch []byte
}

// NewSealedHash returns a hash of nothing yet.
func NewSealedHash() *SealedHash { return &SealedHash{h: sha256.New()} }

// Add adds a field that is signed.
func (s *SealedHash) Add(f Field) {
	s.scratch = append(Relaxed.appendHeader(s.scratch[:0], f.raw), crlf...)
	s.h.Write(s.scratch)
}

// Verify checks a seal over the fields added so far, which are not changed. Errors
// are those of Message.Verify.
func (s *SealedHash) Verify(seal *Signature, r Record) error {
	if err := seal.fits(r); err != nil {
		return err
	}
	copied, err := s.h.(hash.Cloner).Clone()
	if err != nil {
		return fmt.Errorf("dkim: copy hash: %w", err)
	}
	copied.Write(Relaxed.appendHeader(s.scratch[:0], seal.unsigned()))
	return verifyDigest(r.PublicKey, copied.Sum(nil), seal.Value)
}
