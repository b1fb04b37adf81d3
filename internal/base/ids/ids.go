// Package ids makes the identifiers of the product: time-ordered row ids,
// and random texts for everything a stranger must not be able to guess.
package ids

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
)

// seqBits is the room for several ids in one microsecond; 63 bits hold
// microseconds until the year 2255 with it.
const seqBits = 10

// Source makes int64 ids that grow with time and are unique in the process.
// Rows keyed by them append at the end of their index.
type Source struct {
	clock clock.Clock
	last  atomic.Int64
}

// NewSource returns a source that reads c.
func NewSource(c clock.Clock) *Source { return &Source{clock: c} }

// Next returns an id greater than every id returned before.
func (s *Source) Next() int64 {
	floor := s.clock.Now().UnixMicro() << seqBits
	for {
		last := s.last.Load()
		id := max(floor, last+1)
		if s.last.CompareAndSwap(last, id) {
			return id
		}
	}
}

// Seed makes later ids greater than id, for a source that continues an
// existing table after the clock stepped back.
func (s *Source) Seed(id int64) {
	for {
		last := s.last.Load()
		if id <= last || s.last.CompareAndSwap(last, id) {
			return
		}
	}
}

// Time returns the microsecond at which id was made.
func Time(id int64) time.Time { return time.UnixMicro(id >> seqBits).UTC() }

// Floor returns the smallest id that can be made at or after t.
func Floor(t time.Time) int64 { return t.UnixMicro() << seqBits }

// FromMicro is Floor for a time in microseconds.
func FromMicro(us int64) int64 { return us << seqBits }

// Hex returns n random bytes in lower-case hexadecimal.
func Hex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b)
}

// Token returns n random bytes in URL-safe base64 without padding.
func Token(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Bytes returns n random bytes.
func Bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// UUID returns a random UUID (RFC 9562 section 5.4).
func UUID() string {
	b := Bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	t := hex.EncodeToString(b)
	return t[:8] + "-" + t[8:12] + "-" + t[12:16] + "-" + t[16:20] + "-" + t[20:]
}
