package mime

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errBoundary: the random source repeats itself and every boundary tried
// occurs in the message.
var errBoundary = errors.New("no boundary found that is not in the message")

// newBoundary gives a stem no text of the message contains. Boundaries begin
// with "=_", which neither base64 nor quoted-printable can produce, so only
// bodies written as they are have to be searched.
func newBoundary(source io.Reader, contains func(string) bool) (string, error) {
	if source == nil {
		source = rand.Reader
	}
	for try := range 8 {
		var b [12]byte
		if _, err := io.ReadFull(source, b[:]); err != nil {
			return "", fmt.Errorf("boundary: %w", err)
		}
		s := hex.EncodeToString(b[:])
		if try > 0 {
			s += strconv.Itoa(try)
		}
		if !contains(s) {
			return s, nil
		}
	}
	return "", errBoundary
}

// boundaryAt is the boundary of one level: no boundary begins another.
func boundaryAt(level, stem string) string {
	return strings.Join([]string{"=_", level, "_", stem}, "")
}
