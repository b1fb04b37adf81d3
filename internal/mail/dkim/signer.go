package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// BodyHash is the SHA-256 of a canonical body, the value of the "bh=" tag.
type BodyHash [sha256.Size]byte

// Key is what one signature is made with.
type Key struct {
	// Domain is the signing domain, tag "d="; an internationalised name is
	// converted to A-labels.
	Domain string
	// Selector names the key record SELECTOR._domainkey.DOMAIN, tag "s=".
	Selector string
	// Signer holds the private key. Its public key must be *rsa.PublicKey or
	// ed25519.PublicKey; the private key may be anywhere. For RSA it is asked for
	// PKCS #1 v1.5 signatures of SHA-256 digests.
	Signer crypto.Signer
}

// Options of one call of Sign. Keys is required, all else has useful zero values.
type Options struct {
	// Keys: one signature is made with each, in this order.
	Keys []Key
	// Headers are the names of the fields to sign, nil for DefaultHeaders. Every
	// instance of a named field is signed; absent fields are not mentioned. From
	// is signed whether it is named or not.
	Headers []string
	// Oversign names fields to be listed once more than they occur, so that
	// adding one breaks the signature. From is always oversigned.
	Oversign []string
	// Time is the signature time "t=", left out if zero.
	Time time.Time
	// Expiry is the time "x=" after which the signature is no longer valid, left
	// out if zero. It must be after Time.
	Expiry time.Time
	// Header and Body choose the canonicalization; the default is relaxed/relaxed.
	Header, Body Canonicalization
	// Identity is the agent or user "i=", an address in the domain of the key or
	// below it; the local part may be empty. It is used with every key whose
	// domain fits, and one must.
	Identity string
	// Instance, if not 0, has ARC-Message-Signature fields made instead, with this
	// number of the ARC set they belong to (RFC 8617, section 4.1.2). Identity has
	// no place in them.
	Instance int
	// BodyHash, if not nil, is used instead of hashing the body. It must come from
	// ComputeBodyHash of the same body with the same Body canonicalization.
	BodyHash *BodyHash
}

// DefaultHeaders returns the fields signed when Options.Headers is nil: those that
// RFC 6376, section 5.4.1, recommends and a recipient sees or a client acts upon.
func DefaultHeaders() []string {
	return slices.Clone(defaultHeaders[:])
}

var defaultHeaders = [...]string{
	"From", "Subject", "Date", "To", "Cc", "Message-ID", "Reply-To",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
	"List-Unsubscribe", "List-Unsubscribe-Post", "Sender",
}

// Errors of the options given to Sign.
var (
	ErrNoKeys      = errors.New("dkim: no signing key")
	ErrBadDomain   = errors.New("dkim: malformed signing domain")
	ErrBadSelector = errors.New("dkim: malformed selector")
	ErrBadHeader   = errors.New("dkim: malformed name of a header field to sign")
	ErrBadIdentity = errors.New("dkim: identity is not within the signing domain")
	ErrBadTime     = errors.New("dkim: signature time before 1970 or not before its expiry")
	ErrBadKey      = errors.New("dkim: unsupported key")
)

// Signer makes signatures. It holds no keys, only memory to work in; the zero
// value is ready, and one Signer may be used by many goroutines. It must not be
// copied after first use.
type Signer struct{ pool sync.Pool }

// work is the memory of one call.
type work struct {
	body      bodyHasher
	header    []byte   // the header, if it had to be gathered from pieces
	fields    []field  // of the header
	names     []string // of the fields dealt with
	digest    [sha256.Size]byte
	canonical []byte // canonical signed fields, then the canonical signature field
	list      []byte // value of the "h=" tag, unfolded
	out       []byte
}

func (s *Signer) acquire() *work {
	if w, ok := s.pool.Get().(*work); ok {
		return w
	}
	return &work{body: bodyHasher{h: sha256.New()}}
}

// keepBytes is the most scratch memory that is kept for the next message.
const keepBytes = 64 << 10

func (s *Signer) release(w *work) {
	if cap(w.header)+cap(w.canonical)+cap(w.out) > keepBytes || cap(w.fields) > 1024 {
		return
	}
	clear(w.fields) // they point into the message
	clear(w.names)
	s.pool.Put(w)
}

// ComputeBodyHash hashes the body of a message given as to Sign, with a Signer's
// memory. The result may be passed to Sign as long as the body stays the same.
func (s *Signer) ComputeBodyHash(msg [][]byte, c Canonicalization) BodyHash {
	w := s.acquire()
	defer s.release(w)
	return w.bodyHash(msg, findBody(msg), c)
}

// ComputeBodyHash is Signer.ComputeBodyHash for a single use.
func ComputeBodyHash(msg [][]byte, c Canonicalization) BodyHash {
	return new(Signer).ComputeBodyHash(msg, c)
}

func (w *work) bodyHash(msg [][]byte, start boundary, c Canonicalization) (sum BodyHash) {
	w.body.reset(c)
	hashBody(&w.body, msg, start)
	w.body.sum(&sum)
	return sum
}

// Sign returns one DKIM-Signature header field for each key, folded, each ending
// in CRLF, to be put before the message. The message is given in pieces, header
// first; how it is cut does not matter, but a header that lies in the first
// piece is not copied. Errors are those of this package or of the crypto.Signer.
func (s *Signer) Sign(msg [][]byte, opts Options) ([]byte, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	w := s.acquire()
	defer s.release(w)
	start := findBody(msg)
	if err := w.selectFields(msg, start, &opts); err != nil {
		return nil, err
	}
	var sum BodyHash
	if opts.BodyHash != nil {
		sum = *opts.BodyHash
	} else {
		sum = w.bodyHash(msg, start, opts.Body)
	}
	w.out = w.out[:0]
	for i := range opts.Keys {
		if err := w.signWith(&opts.Keys[i], &opts, &sum); err != nil {
			return nil, err
		}
	}
	return bytes.Clone(w.out), nil
}

func (o *Options) check() error {
	if len(o.Keys) == 0 {
		return ErrNoKeys
	}
	if err := o.checkTimes(); err != nil {
		return err
	}
	if o.Identity != "" && !slices.ContainsFunc(o.Keys, func(k Key) bool { return identityFits(o.Identity, k.Domain) }) {
		return ErrBadIdentity
	}
	return nil
}

func (o *Options) checkTimes() error {
	if !o.Time.IsZero() && o.Time.Unix() < 0 {
		return ErrBadTime
	}
	if !o.Expiry.IsZero() && (o.Expiry.Unix() < 0 || o.Expiry.Unix() <= o.Time.Unix()) {
		return ErrBadTime
	}
	return nil
}

// selectFields finds the fields to sign, writes their canonical form and the
// list of their names.
func (w *work) selectFields(msg [][]byte, start boundary, o *Options) (err error) {
	var header []byte
	header, w.header, err = gatherHeader(msg, start, w.header)
	if err != nil {
		return err
	}
	w.fields, err = appendFields(w.fields[:0], header)
	if err != nil {
		return err
	}
	w.canonical, w.list, w.names = w.canonical[:0], w.list[:0], w.names[:0]
	if w.addName("From", o.Header) == 0 {
		return ErrNoFrom
	}
	w.listName("From")
	headers := o.Headers
	if headers == nil {
		headers = defaultHeaders[:]
	}
	for _, name := range headers {
		if err := w.addField(name, o); err != nil {
			return err
		}
	}
	for _, name := range o.Oversign {
		if err := w.addField(name, o); err != nil {
			return err
		}
	}
	return nil
}

// addField adds the instances of a field, and an absent one if it is oversigned.
// A name given twice is added once.
func (w *work) addField(name string, o *Options) error {
	if !validFieldName(name) {
		return fmt.Errorf("%w: %q", ErrBadHeader, name)
	}
	if equalFold(name, "From") || w.listed(name) {
		return nil
	}
	w.names = append(w.names, name)
	w.addName(name, o.Header)
	if slices.ContainsFunc(o.Oversign, func(s string) bool { return equalFold(s, name) }) {
		w.listName(name)
	}
	return nil
}

func (w *work) listed(name string) bool {
	return slices.ContainsFunc(w.names, func(s string) bool { return equalFold(s, name) })
}

// addName signs every instance of a field, from the last to the first as a
// verifier picks them (RFC 6376, section 5.4.2), and returns their number.
func (w *work) addName(name string, c Canonicalization) int {
	n := 0
	for i := len(w.fields) - 1; i >= 0; i-- {
		if len(w.fields[i].name) != len(name) || !equalFold(string(w.fields[i].name), name) {
			continue
		}
		w.canonical = c.appendHeader(w.canonical, w.fields[i].raw)
		w.canonical = append(w.canonical, '\r', '\n')
		w.listName(name)
		n++
	}
	return n
}

func (w *work) listName(name string) {
	if len(w.list) > 0 {
		w.list = append(w.list, ':')
	}
	w.list = append(w.list, name...)
}

// signWith appends the signature field made with one key to w.out.
func (w *work) signWith(k *Key, o *Options, sum *BodyHash) error {
	t, err := k.tags()
	if err != nil {
		return err
	}
	begin := len(w.out)
	w.appendUnsigned(t, o, sum)
	return w.signField(k, t, o.Header, begin)
}

// tags checks a key and returns what names it in a signature field.
func (k *Key) tags() (tags, error) {
	algorithm, err := keyAlgorithm(k.Signer)
	if err != nil {
		return tags{}, err
	}
	domain, err := signingDomain(k.Domain)
	if err != nil {
		return tags{}, err
	}
	if !validDNSName(k.Selector) {
		return tags{}, fmt.Errorf("%w: %q", ErrBadSelector, k.Selector)
	}
	return tags{algorithm: algorithm, domain: domain, selector: k.Selector}, nil
}

// signField signs w.canonical and the field that starts at begin in w.out and
// ends with "b=", and completes the field.
func (w *work) signField(k *Key, t tags, c Canonicalization, begin int) error {
	shared := len(w.canonical)
	w.canonical = c.appendHeader(w.canonical, w.out[begin:])
	w.digest = sha256.Sum256(w.canonical)
	w.canonical = w.canonical[:shared]
	signature, err := signDigest(k.Signer, w.digest[:])
	if err != nil {
		return fmt.Errorf("dkim: sign for %s with selector %s: %w", t.domain, t.selector, err)
	}
	w.appendSignature(signature)
	return nil
}

// The names of RFC 6376, section 3.3, and RFC 8463, section 3.
const (
	rsaSHA256     = "rsa-sha256"
	ed25519SHA256 = "ed25519-sha256"
)

func keyAlgorithm(s crypto.Signer) (string, error) {
	if s == nil {
		return "", fmt.Errorf("%w: no private key", ErrBadKey)
	}
	switch pub := s.Public().(type) {
	case *rsa.PublicKey:
		return rsaSHA256, checkRSASize(pub)
	case ed25519.PublicKey:
		return ed25519SHA256, nil
	default:
		return "", fmt.Errorf("%w: %T", ErrBadKey, pub)
	}
}

// signDigest signs as the kind of key demands: Ed25519 takes the digest as its
// message, not as a prehash (RFC 8463, section 3).
func signDigest(s crypto.Signer, digest []byte) ([]byte, error) {
	if _, ok := s.Public().(ed25519.PublicKey); ok {
		return s.Sign(rand.Reader, digest, crypto.Hash(0))
	}
	return s.Sign(rand.Reader, digest, crypto.SHA256)
}
