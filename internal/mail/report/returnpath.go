package report

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"math/bits"
	"strings"

	"postroad/internal/mail/addr"
)

// Secret is the key that return paths are signed with.
type Secret [sha256.Size]byte

// NewSecret derives the key from a secret of the installation, so that the
// same one can serve other purposes.
func NewSecret(master []byte) Secret {
	mac := hmac.New(sha256.New, master)
	mac.Write([]byte("return path 1"))
	return Secret(mac.Sum(nil))
}

// ID is what a return path names.
type ID struct {
	Message int64
	// Delivery names the one recipient the copy went to, see Copy; 0 when the copy
	// went to several at once.
	Delivery int64
}

// Copy is what a return path names a recipient of a message by, in whatever
// spelling the address is. It cannot be told for another recipient without the
// secret: who got one copy can say nothing about the others.
func Copy(secret *Secret, message int64, recipient string) int64 {
	var b [messageLen + sha256.Size]byte
	binary.BigEndian.PutUint64(b[:], uint64(message))
	sum := sha256.Sum256([]byte(addr.Canonical(recipient)))
	copy(b[messageLen:], sum[:])
	mac := secret.sum(b[:])
	return message + 1 + int64(binary.BigEndian.Uint32(mac[:])>>1) // in four octets
}

// A return path is "bounce+" and, in base32, the message, the distance from it
// to the delivery in as few octets as hold it (none: no delivery), and the
// head of an HMAC-SHA256 over both. 80 bits cannot be guessed, as every guess
// costs an SMTP command. The local part has 36 to 49 octets, no more than 46 for
// a delivery made within three days of its message, which leaves room for a
// prvs= tag within the 64 of RFC 5321 section 4.5.3.1.1.
const (
	bounceTag  = "bounce+"
	messageLen = 8
	macLen     = 10
	maxID      = messageLen + 8 + macLen
)

// lower is base32 in letters that survive a server that writes local parts in
// one case.
var lower = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// ReturnPath is the envelope sender of a copy of a message: an address of the
// sending domain, so that SPF aligns. Nobody without the secret can make one,
// and nothing has to be remembered to read it.
func ReturnPath(secret *Secret, id ID, domain string) string {
	var b [maxID]byte
	binary.BigEndian.PutUint64(b[:], uint64(id.Message))
	n := messageLen + putDistance(b[messageLen:], id)
	mac := secret.sum(b[:n])
	n += copy(b[n:], mac[:macLen])
	var s [len(bounceTag) + (maxID*8+4)/5 + 1 + 255]byte
	out := append(s[:0], bounceTag...)
	out = lower.AppendEncode(out, b[:n])
	return string(append(append(out, '@'), domain...))
}

// putDistance writes the distance from message to delivery and returns its
// length.
func putDistance(b []byte, id ID) int {
	if id.Delivery == 0 {
		return 0
	}
	d := uint64(id.Delivery) - uint64(id.Message)
	n := max(1, (bits.Len64(d)+7)/8)
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(d)
		d >>= 8
	}
	return n
}

// sum is HMAC-SHA256 (RFC 2104) of at most 64 octets. crypto/hmac allocates
// for every key; this runs once for every delivery.
func (s *Secret) sum(data []byte) [sha256.Size]byte {
	var in [2 * sha256.BlockSize]byte
	var out [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		in[i], out[i] = 0x36, 0x5c
	}
	for i, k := range s {
		in[i] ^= k
		out[i] ^= k
	}
	n := copy(in[sha256.BlockSize:], data)
	inner := sha256.Sum256(in[:sha256.BlockSize+n])
	copy(out[sha256.BlockSize:], inner[:])
	return sha256.Sum256(out[:])
}

// ReadReturnPath reads an address that ReturnPath made, with or without angle
// brackets and in any case, also where other servers wrapped it: BATV
// (prvs=tag=local, btv1==tag==local), SRS (SRS0=, SRS1=) and list software
// (name-local=domain). ok is false for everything that was not signed with the
// secret. The domain is not looked at: the message's row tells its own.
func ReadReturnPath(secret *Secret, address string) (id ID, ok bool) {
	if len(address) > 1024 {
		return ID{}, false
	}
	var b [maxID]byte
	n := decodeTag(b[:], address)
	if n < messageLen+macLen {
		return ID{}, false
	}
	body := n - macLen
	mac := secret.sum(b[:body])
	if subtle.ConstantTimeCompare(mac[:macLen], b[body:n]) != 1 {
		return ID{}, false
	}
	return readID(b[:body]), true
}

// readID reads the message and the distance from it to the delivery.
func readID(b []byte) (id ID) {
	id.Message = int64(binary.BigEndian.Uint64(b))
	if len(b) > messageLen {
		d := uint64(0)
		for _, c := range b[messageLen:] {
			d = d<<8 | uint64(c)
		}
		id.Delivery = int64(uint64(id.Message) + d)
	}
	return id
}

// HasReturnPath reports whether the address looks as if ReturnPath had made
// it: what is refused for its signature can be told from what is simply not
// known.
func HasReturnPath(address string) bool {
	var b [maxID]byte
	return len(address) <= 1024 && decodeTag(b[:], address) >= messageLen+macLen
}

// decodeTag finds the last tag in the address that begins its local part or a
// word of it, and decodes what follows. It returns the number of octets, 0 if
// there are none or too many.
func decodeTag(b []byte, address string) int {
	for end := len(address); end > 0; {
		i := lastTag(address[:end])
		if i < 0 {
			return 0
		}
		if i == 0 || strings.IndexByte("=+-/<", address[i-1]) >= 0 {
			return decode32(b, address[i+len(bounceTag):])
		}
		end = i
	}
	return 0
}

// lastTag is the offset of the last "bounce+" in any case, or -1.
func lastTag(s string) int {
	for {
		plus := strings.LastIndexByte(s, '+')
		i := plus + 1 - len(bounceTag)
		if plus < 0 || i >= 0 && strings.EqualFold(s[i:plus+1], bounceTag) {
			return i
		}
		s = s[:plus]
	}
}

// decode32 decodes up to the first character that is none of the alphabet.
// Bits left over have to be zero: an id has one form.
func decode32(b []byte, s string) int {
	n, acc, have := 0, uint32(0), 0
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		switch {
		case s[i] >= '0' && s[i] <= '9':
			c = s[i] - '0'
		case c >= 'a' && c <= 'v' && s[i] >= 'A':
			c -= 'a' - 10
		default:
			return whole(n, acc, have)
		}
		acc, have = acc<<5|uint32(c), have+5
		if have >= 8 {
			if n == len(b) {
				return 0
			}
			have -= 8
			b[n] = byte(acc >> have)
			acc &= 1<<have - 1
			n++
		}
	}
	return whole(n, acc, have)
}

func whole(n int, acc uint32, have int) int {
	if acc != 0 || have >= 5 {
		return 0
	}
	return n
}
