package report

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"strings"

	"postroad/internal/mail/mime"
)

// An address for leaving is "unsub+" and what a return path has behind its tag,
// under a MAC that is of no use for return paths and covers the domain: it is
// valid for as long as the secret is, when nothing else of the message is known
// any more, and the domain is then all that says whose mail is meant. The local
// part has 36 to 48 octets; those of mailing lists, which begin the same, have 58.
const (
	unsubTag     = "unsub+"
	unsubPurpose = "unsub 1\x00"
)

// UnsubscribeAddress is the address of the domain that a recipient of a message
// writes to who wants no more mail of it. id.Delivery is that of Copy.
func UnsubscribeAddress(secret *Secret, id ID, domain string) string {
	var b [maxID]byte
	binary.BigEndian.PutUint64(b[:], uint64(id.Message))
	n := messageLen + putDistance(b[messageLen:], id)
	mac := secret.unsubMAC(b[:n], domain)
	n += copy(b[n:], mac[:macLen])
	return unsubTag + lower.EncodeToString(b[:n]) + "@" + domain
}

// unsubMAC is over 24 to 56 octets and unlike what return paths are signed by,
// which has 8 to 16, and Copy, which has 40 with no purpose before them.
func (s *Secret) unsubMAC(id []byte, domain string) [sha256.Size]byte {
	of := sha256.Sum256([]byte(strings.ToLower(domain)))
	data := make([]byte, 0, len(unsubPurpose)+messageLen+8+len(of))
	data = append(append(append(data, unsubPurpose...), of[:]...), id...)
	return s.sum(data)
}

// ReadUnsubscribe reads an address that UnsubscribeAddress made, in any case and
// with the domain in A-labels. ok is false for all others.
func ReadUnsubscribe(secret *Secret, address string) (id ID, ok bool) {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || len(local) <= len(unsubTag) || !strings.EqualFold(local[:len(unsubTag)], unsubTag) {
		return ID{}, false
	}
	var b [maxID]byte
	text := local[len(unsubTag):]
	n := decode32(b[:], text)
	if n <= messageLen+macLen || len(text) != lower.EncodedLen(n) { // decode32 stops at what is no letter of it
		return ID{}, false
	}
	body := n - macLen
	mac := secret.unsubMAC(b[:body], domain)
	if subtle.ConstantTimeCompare(mac[:macLen], b[body:n]) != 1 {
		return ID{}, false
	}
	return readID(b[:body]), true
}

// IsRequest reports whether a message to an address for leaving asks for that.
// Mail programs send a plain message from their user's address; what a program
// answers or reports (RFC 3834 section 2) asks for nothing. why names what decided
// against it, for logs.
func IsRequest(sender string, header mime.Fields) (ok bool, why string) {
	if sender == "" {
		return false, "null sender"
	}
	if o, why := ofSubmission(sender, header); o != FromPerson {
		return false, why
	}
	if o, why := OriginOf(sender, header); o == Reply || o == Notice {
		return false, why
	}
	return true, ""
}
