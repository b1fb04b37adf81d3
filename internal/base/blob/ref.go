package blob

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Errors of the package. Test with errors.Is; the cause is wrapped beside them.
var (
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("blob: store is closed")
	// ErrLocked: another process (or another Store) has the directory open.
	ErrLocked = errors.New("blob: directory is in use by another process")
	// ErrNoSpace: the disk or the quota is full. The store recovers by itself
	// when there is space again.
	ErrNoSpace = errors.New("blob: no space left")
	// ErrCorrupt: what stands at the place of a Ref is not the record it names.
	ErrCorrupt = errors.New("blob: record is damaged")
	// ErrNotFound: the segment of a Ref, or the one to delete, does not exist.
	ErrNotFound = errors.New("blob: segment not found")
	// ErrActive: the newest segment cannot be deleted; see Store.Rotate.
	ErrActive = errors.New("blob: segment is the newest")
	// ErrHeld: somebody who reads the directory has asked that nothing be deleted;
	// see Hold. Try again later.
	ErrHeld = errors.New("blob: segments are held by a backup or a check")
	// ErrAbandoned: the segment the record was placed in failed before the record
	// was written. Nothing of it is stored; the same record may be appended again.
	// Append does so by itself, callers of AppendAsync may see it.
	ErrAbandoned = errors.New("blob: segment was given up before the record was written")
	// ErrBadRef: a text is not a Ref, or a Ref has impossible values.
	ErrBadRef = errors.New("blob: malformed reference")
)

// Ref names a record. It is stable for the life of the record.
type Ref struct {
	// Segment is the number of the segment, counted from 1.
	Segment uint64
	// Offset is the position of the record's header in the segment, in bytes.
	Offset int64
	// Length is the length of the payload in bytes, without the header.
	Length int64
}

// String gives the compact text form, "7.1048576.10240".
func (r Ref) String() string {
	var b [62]byte
	out := strconv.AppendUint(b[:0], r.Segment, 10)
	out = strconv.AppendInt(append(out, '.'), r.Offset, 10)
	out = strconv.AppendInt(append(out, '.'), r.Length, 10)
	return string(out)
}

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

func (r Ref) check() error {
	if r.Segment == 0 || r.Offset < segmentHeader || r.Length < 0 || r.Length > math.MaxInt64-r.Offset-recordHeader {
		return fmt.Errorf("%w: %s", ErrBadRef, r)
	}
	return nil
}

// ParseRef reads the form that String writes and accepts no other spelling of
// it. The error is ErrBadRef.
func ParseRef(text string) (Ref, error) {
	bad := func() (Ref, error) {
		return Ref{}, fmt.Errorf("%w: %.64q", ErrBadRef, text)
	}
	segment, rest, ok1 := strings.Cut(text, ".")
	offset, length, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || len(text) > 62 {
		return bad()
	}
	s, err1 := strconv.ParseUint(segment, 10, 64)
	o, err2 := strconv.ParseInt(offset, 10, 64)
	l, err3 := strconv.ParseInt(length, 10, 64)
	r := Ref{Segment: s, Offset: o, Length: l}
	if errors.Join(err1, err2, err3) != nil || r.check() != nil || r.String() != text {
		return bad()
	}
	return r, nil
}
