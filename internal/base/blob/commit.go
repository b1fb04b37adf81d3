package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// run is the committer: the only goroutine that writes.
func (s *Store) run() {
	defer close(s.stopped)
	for b := s.take(); b != nil; b = s.take() {
		created, err := s.commit(b)
		if err != nil {
			s.abandon(b, created, err)
		} else {
			s.settle(b)
		}
		b.finish(err)
	}
}

// take waits for a batch with something in it; nil after Close.
func (s *Store) take() *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.cur.empty() && !s.closed {
		s.work.Wait()
	}
	b := s.cur
	if b.empty() {
		return nil
	}
	s.cur = newBatch(s.spare)
	s.spare = nil
	b.leave()
	return b
}

// commit makes a batch durable: data, then the directory entry if the file is
// new. created tells abandon that the file holds nothing acknowledged.
func (s *Store) commit(b *batch) (created bool, err error) {
	if s.active == nil || s.active.id != b.segment {
		created = true
		if err := s.begin(b.segment); err != nil {
			return created, err
		}
	}
	if err := s.write(b); err != nil {
		return created, typed("write segment", err)
	}
	start := s.opt.Now()
	err = s.active.f.SyncData()
	s.count.synced(s.opt.Now().Sub(start))
	if err != nil {
		return created, typed("sync segment", &syncError{err})
	}
	if created {
		if err := s.opt.FS.SyncDir(s.dir); err != nil {
			return created, typed("sync directory", &syncError{err})
		}
	}
	s.active.end = b.offset + b.size
	return created, nil
}

// syncError marks a failed sync, after which the file is not touched.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

// begin closes the active segment and creates the next.
func (s *Store) begin(id uint64) error {
	if s.active != nil {
		if err := s.active.f.Close(); err != nil {
			// Everything acknowledged in it was synced before.
			s.log.Warn("blob segment did not close", "segment", s.active.id, "error", err)
		}
		s.active = nil
	}
	f, err := s.opt.FS.Create(s.path(id))
	if err != nil {
		return typed("create segment", err)
	}
	s.active = &activeSegment{id: id, f: f, created: s.opt.Now().UTC().Truncate(time.Microsecond), end: segmentHeader}
	if _, err := f.WriteAt(newSegmentHeader(id, s.active.created), 0); err != nil {
		return typed("write segment header", err)
	}
	return nil
}

func (s *Store) write(b *batch) error {
	if b.large == nil {
		if len(b.buf) == 0 {
			return nil
		}
		_, err := s.active.f.WriteAt(b.buf, b.offset)
		return err
	}
	at := b.offset
	for _, p := range b.large {
		n, err := s.active.f.WriteAt(p, at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// settle enters a durable batch in the books.
func (s *Store) settle(b *batch) {
	s.count.batches.Add(1)
	s.count.records.Add(uint64(b.records))
	s.count.bytes.Add(uint64(b.size))
	now := s.opt.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.segments[b.segment]
	if seg == nil {
		seg = &Segment{ID: b.segment, Created: s.active.created}
		s.segments[b.segment] = seg
		s.newest = max(s.newest, b.segment)
	}
	seg.Bytes, seg.Modified = s.active.end, now
	if b.records > 0 && s.first.segment != b.segment {
		s.first = first{b.segment, now}
	}
	s.spare, b.buf = b.buf, nil
}

// abandon gives the segment up after a failure. The records gathered meanwhile
// for the same segment fail too, as their Refs name it.
func (s *Store) abandon(b *batch, created bool, cause error) {
	s.count.failures.Add(1)
	s.log.Error("blob segment given up", "segment", b.segment, "records", b.records, "error", cause)
	s.drop(b, created, cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare, b.buf = b.buf, nil
	if s.next.segment == b.segment {
		s.next = place{b.segment + 1, segmentHeader}
	}
	if late := s.cur; !late.empty() && late.segment == b.segment {
		s.cur = newBatch(nil)
		late.leave()
		late.finish(fmt.Errorf("%w: %w", ErrAbandoned, cause))
	}
}

// drop closes the failed file. One without an acknowledged record is removed;
// after a failed write the rest is cut off, which gives space back on a full
// disk. Both are a courtesy: if they fail, only space is lost.
func (s *Store) drop(b *batch, created bool, cause error) {
	var after error
	if a := s.active; a != nil && a.id == b.segment {
		var badSync *syncError
		if !created && !errors.As(cause, &badSync) {
			after = a.f.Truncate(a.end)
		}
		after = errors.Join(after, a.f.Close())
		s.active = nil
		if created {
			after = errors.Join(after, s.opt.FS.Remove(s.path(b.segment)))
		}
	}
	if after != nil && !errors.Is(after, fs.ErrNotExist) {
		s.log.Warn("blob segment given up: cleaning failed", "segment", b.segment, "error", after)
	}
}
