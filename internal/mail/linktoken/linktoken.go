// Package linktoken makes the tokens in links of mail we send: what was
// clicked, opened or left, by whom, of which message. A token carries all of it,
// so that a link works as long as the installation's secret does, without a
// table.
//
// A token is encrypted and authenticated by a synthetic initialisation vector
// (as in RFC 5297, with HMAC-SHA256 and AES-256-CTR): nobody reads an address or
// a destination in it, nobody makes or alters one, and the same content is the
// same token, so that a repeated delivery has the very bytes that were signed.
package linktoken

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strings"
	"sync"
)

// Kind is what a link is for.
type Kind byte

// The kinds. The numbers are in tokens that were sent; never renumber.
const (
	Click          Kind = 1 // on a link of the message
	Open           Kind = 2 // the pixel
	Unsubscribe    Kind = 3 // from all mail of the domain
	UnsubscribeTag Kind = 4 // from mail with the tags of the message
)

// Token is what a link says.
type Token struct {
	Kind      Kind
	Message   int64  // row id
	Domain    int64  // row id of the sending domain: a link outlives its message
	Recipient string // whose copy the link was in
	// URL is where a click goes; of UnsubscribeTag, what TagToken made.
	URL string
}

// tagBreak stands between the tags of a token; no tag has one.
const tagBreak = "\n"

// TagToken returns the token of a link that leaves the mail with tags, which it
// carries: they are to be known when the message no longer is.
func TagToken(message, domain int64, recipient string, tags []string) Token {
	t := Token{Kind: UnsubscribeTag, Message: message, Domain: domain, Recipient: recipient}
	if all := strings.Join(tags, tagBreak); len(all) <= MaxURL {
		t.URL = all
	}
	return t
}

// Tags returns the tags a TagToken carries, nil for other tokens.
func (t Token) Tags() []string {
	if t.Kind != UnsubscribeTag || t.URL == "" {
		return nil
	}
	return strings.Split(t.URL, tagBreak)
}

// MaxURL is the longest destination a token carries, in bytes. A longer link is
// left as it is.
const MaxURL = 4096

const (
	ivLen  = 16
	fixed  = 1 + 1 + 8 + 8 + 2            // kind, scheme, message, domain, length of the recipient
	maxLen = ivLen + fixed + 320 + MaxURL // of the bytes of a token that may be one
)

// schemes are written as one byte; index 0 is none of them. Append only.
var schemes = [...]string{"", "https://www.", "http://www.", "https://", "http://"}

// Key makes and reads tokens. It is safe for concurrent use.
type Key struct {
	macs  sync.Pool // keyed, as setting one up costs as much as using it
	block cipher.Block
}

// NewKey derives the key from a secret of the installation.
func NewKey(master []byte) (*Key, error) {
	derive := func(label string) []byte {
		m := hmac.New(sha256.New, master)
		m.Write([]byte("link token 1 " + label))
		return m.Sum(nil)
	}
	block, err := aes.NewCipher(derive("encryption"))
	if err != nil {
		return nil, err
	}
	mac := derive("authentication")
	return &Key{block: block, macs: sync.Pool{New: func() any { return hmac.New(sha256.New, mac) }}}, nil
}

// Seal writes t in letters, digits, "-" and "_".
func (k *Key) Seal(t Token) string {
	scheme := 0
	for i := 1; i < len(schemes); i++ {
		if strings.HasPrefix(t.URL, schemes[i]) {
			scheme = i
			break
		}
	}
	b := make([]byte, ivLen, ivLen+fixed+len(t.Recipient)+len(t.URL))
	b = append(b, byte(t.Kind), byte(scheme))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Message))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Domain))
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Recipient)))
	b = append(b, t.Recipient...)
	b = append(b, t.URL[len(schemes[scheme]):]...)
	k.iv(b[:0], b[ivLen:])
	cipher.NewCTR(k.block, b[:ivLen]).XORKeyStream(b[ivLen:], b[ivLen:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// iv writes the first ivLen bytes of the MAC of plain to dst.
func (k *Key) iv(dst, plain []byte) {
	m := k.macs.Get().(hash.Hash)
	defer k.macs.Put(m)
	m.Reset()
	m.Write(plain)
	var sum [sha256.Size]byte
	m.Sum(sum[:0])
	_ = append(dst, sum[:ivLen]...)
}

// Open reads what Seal wrote. ok is false for anything else.
func (k *Key) Open(s string) (t Token, ok bool) {
	if len(s) > base64.RawURLEncoding.EncodedLen(maxLen) || strings.ContainsAny(s, "\r\n") { // which the decoder skips
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < ivLen+fixed {
		return t, false
	}
	plain := b[ivLen:]
	cipher.NewCTR(k.block, b[:ivLen]).XORKeyStream(plain, plain)
	var want [ivLen]byte
	k.iv(want[:0], plain)
	if !hmac.Equal(want[:], b[:ivLen]) {
		return t, false
	}
	scheme, n := int(plain[1]), int(binary.BigEndian.Uint16(plain[fixed-2:]))
	if scheme >= len(schemes) || fixed+n > len(plain) {
		return t, false
	}
	return Token{Kind: Kind(plain[0]), Message: int64(binary.BigEndian.Uint64(plain[2:])), Domain: int64(binary.BigEndian.Uint64(plain[10:])),
		Recipient: string(plain[fixed : fixed+n]), URL: schemes[scheme] + string(plain[fixed+n:])}, true
}
