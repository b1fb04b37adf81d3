package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Field is a header field of a Message. It refers to the memory of the message.
type Field struct{ field }

// Value is what follows the colon, with folding, without the last line end.
func (f Field) Value() []byte {
	_, value, _ := bytes.Cut(f.raw, []byte(":"))
	return value
}

// Raw is the whole field without the last line end.
func (f Field) Raw() []byte { return f.raw }

// Message is a message whose signatures can be verified. It refers to the memory it
// was made from, and may be used by many goroutines.
type Message struct {
	fields []field
	byName map[string][]int32 // by name in lower case: indices of fields
	sum    [2]func() bodySum  // by canonicalization, computed when asked for
}

type bodySum struct {
	hash BodyHash
	size int64 // of the canonical body
}

// ReadMessage takes a message in pieces apart, as Sign does. A line of the header
// that is no field is kept as one without a name. The error is ErrHeaderTooLarge.
func ReadMessage(msg [][]byte) (*Message, error) {
	start := findBody(msg)
	header, _, err := gatherHeader(msg, start, nil)
	if err != nil {
		return nil, err
	}
	m := &Message{fields: splitLoosely(header), byName: map[string][]int32{}}
	for i, f := range m.fields {
		if len(f.name) > 0 {
			name := strings.ToLower(string(f.name))
			m.byName[name] = append(m.byName[name], int32(i))
		}
	}
	for _, c := range []Canonicalization{Relaxed, Simple} {
		m.sum[c] = sync.OnceValue(func() bodySum {
			b := bodyHasher{h: sha256.New(), canon: c}
			hashBody(&b, msg, start)
			var s bodySum
			b.sum(&s.hash)
			s.size = b.size
			return s
		})
	}
	return m, nil
}

// splitLoosely is appendFields for what others wrote: every line belongs to a
// field, if only to one without name, which no signature can name.
func splitLoosely(header []byte) []field {
	var fields []field
	for len(header) > 0 {
		line, rest := cutLine(header)
		header = rest
		if len(line) == 0 {
			break
		}
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			last := &fields[len(fields)-1]
			last.raw = last.raw[:len(last.raw)+len(crlf)+len(line)]
			continue
		}
		name, _ := fieldName(line)
		fields = append(fields, field{name: name, raw: line})
	}
	return fields
}

// Fields returns the fields of a name, from the top, at most limit of them.
func (m *Message) Fields(name string, limit int) []Field {
	found := m.byName[strings.ToLower(name)]
	fields := make([]Field, 0, min(limit, len(found)))
	for _, i := range found[:cap(fields)] {
		fields = append(fields, Field{m.fields[i]})
	}
	return fields
}

// Count is the number of fields of a name.
func (m *Message) Count(name string) int { return len(m.byName[strings.ToLower(name)]) }

// Precheck finds what is wrong with a signature without its key: ErrExpired,
// ErrBodyHash, and ErrWeak if a part of the body is not signed, to which anything
// could be added (RFC 6376, section 8.2).
func (m *Message) Precheck(s *Signature, now time.Time) error {
	if !s.Expiry.IsZero() && now.After(s.Expiry) {
		return ErrExpired
	}
	sum := m.sum[s.Body]()
	if s.Length > sum.size {
		return badTag("l")
	}
	if s.Length >= 0 && s.Length < sum.size {
		return fmt.Errorf("%w: a part of the body is not signed", ErrWeak)
	}
	if !bytes.Equal(sum.hash[:], s.BodyHash) {
		return ErrBodyHash
	}
	return nil
}

// Verify checks a signature of a message that passed Precheck (RFC 6376, section
// 6.1.3). The error is or wraps ErrUnsuitable, ErrWeak or ErrSignature.
func (m *Message) Verify(s *Signature, r Record) error {
	if err := s.fits(r); err != nil {
		return err
	}
	h := sha256.New()
	var scratch []byte
	used := make(map[string]int, len(s.Headers))
	for _, name := range s.Headers {
		name = strings.ToLower(name)
		found := m.byName[name]
		used[name]++
		if used[name] > len(found) { // signed as absent
			continue
		}
		// From the last to the first (RFC 6376, section 5.4.2).
		f := m.fields[found[len(found)-used[name]]]
		scratch = append(s.Header.appendHeader(scratch[:0], f.raw), crlf...)
		h.Write(scratch)
	}
	h.Write(s.Header.appendHeader(scratch[:0], s.unsigned()))
	return verifyDigest(r.PublicKey, h.Sum(nil), s.Value)
}

// fits reports why the record cannot be used for the signature (RFC 6376, section
// 6.1.2).
func (s *Signature) fits(r Record) error {
	unsuitable := func(why string) error { return fmt.Errorf("%w: %s", ErrUnsuitable, why) }
	kind, hash, _ := strings.Cut(s.Algorithm, "-")
	switch {
	case r.Revoked:
		return unsuitable("revoked")
	case r.KeyType != kind:
		return unsuitable("other algorithm")
	case r.Hashes != nil && !slices.Contains(r.Hashes, hash):
		return unsuitable("other hash algorithm")
	case r.Services != nil && !slices.Contains(r.Services, "*") && !slices.Contains(r.Services, "email"):
		return unsuitable("not for mail")
	}
	if r.Strict && s.Kind == MessageSignature {
		host := s.Identity[strings.LastIndexByte(s.Identity, '@')+1:]
		if d, err := signingDomain(host); err != nil || !equalFold(d, s.Domain) {
			return unsuitable("identity in a subdomain")
		}
	}
	if key, ok := r.PublicKey.(*rsa.PublicKey); ok && checkRSASize(key) != nil {
		return fmt.Errorf("%w: key of %d bits", ErrWeak, key.N.BitLen())
	}
	return nil
}

func verifyDigest(key crypto.PublicKey, digest, signature []byte) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, signature) != nil {
			return ErrSignature
		}
		return nil
	case ed25519.PublicKey:
		if !ed25519.Verify(key, digest, signature) {
			return ErrSignature
		}
		return nil
	}
	return fmt.Errorf("%w: none", ErrUnsuitable)
}
