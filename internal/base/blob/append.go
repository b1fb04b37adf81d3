package blob

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// batch is a group of records that lie side by side in one segment and are made
// durable together.
type batch struct {
	place
	buf     []byte   // headers and payloads
	large   [][]byte // instead of buf: one record in the caller's memory
	size    int64
	records int
	rotate  bool // begin the segment even without a record

	gone chan struct{} // closed when the batch takes no more: try the next one
	left bool          // gone is closed
	done chan struct{} // closed when err is final
	err  error
}

func newBatch(buf []byte) *batch {
	return &batch{buf: buf[:0], gone: make(chan struct{}), done: make(chan struct{})}
}

// leave tells those who wait for room to look again. The store's mutex is held.
func (b *batch) leave() {
	if !b.left {
		b.left = true
		close(b.gone)
	}
}

func (b *batch) finish(err error) {
	b.err = err
	close(b.done)
}

func (b *batch) empty() bool { return b.records == 0 && !b.rotate }

// wait returns when the batch is durable or has failed. While a record is
// written from the caller's memory it does not return for ctx.
func (b *batch) wait(ctx context.Context) error {
	if b.large != nil {
		<-b.done
		return b.err
	}
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Append stores the concatenation of pieces as one record and returns when it
// is durable. On ErrNoSpace or another failure of the disk nothing is
// acknowledged and the record's bytes are lost or unreachable. If ctx ends
// while waiting, its error is returned and the record may or may not have been
// stored; it is then garbage for retention. The pieces may be changed after
// Append has returned. For that reason a record larger than
// Options.BatchBytes waits for the disk even when ctx has ended.
func (s *Store) Append(ctx context.Context, pieces ...[]byte) (Ref, error) {
	const tries = 4 // a failing disk must not keep a caller for ever
	for try := 1; ; try++ {
		ref, wait := s.AppendAsync(ctx, pieces...)
		err := wait(ctx)
		if err == nil {
			return ref, nil
		}
		if try == tries || !errors.Is(err, ErrAbandoned) {
			return Ref{}, err
		}
	}
}

// AppendAsync places the record and returns before it is durable; the caller
// may do other work and then call wait, which may be called more than once and
// from several goroutines. Until wait has returned nil the Ref names nothing:
// it must not be made durable elsewhere, since a record lost in a crash may
// leave its place to another. Waiting for room in the group ends with ctx.
//
// Up to Options.BatchBytes the pieces are copied and may be changed at once; a
// larger record is read from them until wait returns.
func (s *Store) AppendAsync(ctx context.Context, pieces ...[]byte) (ref Ref, wait func(context.Context) error) {
	sum, length := checksum(pieces...)
	if length > math.MaxInt64-segmentHeader-recordHeader {
		return Ref{}, failed(fmt.Errorf("blob: record of %d bytes is too long", length))
	}
	if err := s.enter(ctx); err != nil {
		return Ref{}, failed(err)
	}
	defer s.exit()
	err := s.room(ctx, func() bool { return s.fits(recordHeader + length) })
	if err != nil {
		return Ref{}, failed(err)
	}
	b := s.cur
	return s.put(b, sum, length, pieces), b.wait
}

func failed(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// enter takes the turn and the mutex. Turns are given in the order of asking, so
// that a large record which waits for an empty batch is not overtaken for ever.
func (s *Store) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		s.mu.Lock()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) exit() {
	s.mu.Unlock()
	<-s.turn
}

// room waits until the gathering batch satisfies ok. The mutex is held before
// and after, the turn all the time.
func (s *Store) room(ctx context.Context, ok func() bool) error {
	for {
		if s.closed {
			return ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok() {
			return nil
		}
		gone := s.cur.gone
		s.mu.Unlock()
		select {
		case <-gone:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// fits decides where a record of size bytes goes and whether the gathering
// batch reaches that place.
func (s *Store) fits(size int64) bool {
	if s.next.offset > segmentHeader && size > s.opt.SegmentBytes-s.next.offset {
		s.next = place{s.next.segment + 1, segmentHeader}
	}
	if s.cur.empty() {
		return true
	}
	return s.cur.segment == s.next.segment && s.cur.large == nil &&
		s.cur.records < s.opt.MaxBatch && size <= s.opt.BatchBytes-s.cur.size
}

// put adds a record for which there is room.
func (s *Store) put(b *batch, sum uint32, length int64, pieces [][]byte) Ref {
	if b.empty() {
		b.place = s.next
	}
	ref := Ref{Segment: s.next.segment, Offset: s.next.offset, Length: length}
	size := recordHeader + length
	if size > s.opt.BatchBytes {
		head := appendRecordHeader(make([]byte, 0, recordHeader), ref, sum)
		b.large = append([][]byte{head}, pieces...)
	} else {
		b.buf = appendRecordHeader(b.buf, ref, sum)
		for _, p := range pieces {
			b.buf = append(b.buf, p...)
		}
	}
	b.size += size
	b.records++
	s.next.offset += size
	s.work.Signal()
	return ref
}

// Rotate seals the newest segment by beginning another one, so that retention
// can delete it. It does nothing if the newest holds no record.
func (s *Store) Rotate(ctx context.Context) error {
	b, err := s.planRotation(ctx)
	if err != nil {
		return err
	}
	return b.wait(ctx)
}

// planRotation returns the batch that begins the new segment, or one that is
// done already if there is nothing to do.
func (s *Store) planRotation(ctx context.Context) (*batch, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.exit()
	if err := s.room(ctx, func() bool { return s.cur.empty() }); err != nil {
		return nil, err
	}
	if s.next.offset > segmentHeader {
		s.next = place{s.next.segment + 1, segmentHeader}
	}
	if s.next.segment <= s.newest || s.next.segment == 1 {
		b := newBatch(nil)
		b.finish(nil)
		return b, nil
	}
	s.cur.place, s.cur.rotate = s.next, true
	s.work.Signal()
	return s.cur, nil
}
