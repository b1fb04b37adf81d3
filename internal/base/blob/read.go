package blob

import (
	"container/list"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
)

// RecordOverhead is what a record takes on disk beyond its payload, in bytes.
const RecordOverhead = recordHeader

// trusted is the length up to which a Ref is believed before the record's
// header has been seen.
const trusted = 256 << 10

// Read returns the payload of a record after verifying it. Errors: ErrBadRef,
// ErrNotFound if the segment is gone, ErrCorrupt, or the disk's.
func (s *Store) Read(ref Ref) ([]byte, error) { return s.ReadInto(ref, nil) }

// ReadInto is Read into buf, which is used if its capacity holds the payload
// and RecordOverhead; the result lies inside it then.
func (s *Store) ReadInto(ref Ref, buf []byte) ([]byte, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	if ref.Length > trusted {
		if _, err := s.header(ref); err != nil {
			return nil, err
		}
	}
	size := ref.Length + recordHeader
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if err := s.readFull(ref, buf, ref.Offset); err != nil {
		return nil, err
	}
	length, sum, ok := parseRecordHeader(buf, ref.Segment, ref.Offset)
	payload := buf[recordHeader:]
	if !ok || length != ref.Length || crc32.Checksum(payload, castagnoli) != sum {
		return nil, s.corrupt(ref)
	}
	return payload, nil
}

// OpenReader verifies a record and returns its payload as a stream, for
// payloads too large to hold. The memory it takes does not depend on their
// size. There is nothing to close; after Delete or Close reads fail.
func (s *Store) OpenReader(ref Ref) (io.ReadSeeker, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	want, err := s.header(ref)
	if err != nil {
		return nil, err
	}
	payload := segmentReader{s, ref.Segment}
	got, err := streamSum(io.NewSectionReader(payload, ref.Offset+recordHeader, ref.Length), ref.Length,
		make([]byte, min(ref.Length, 128<<10)))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == nil && got != want {
		return nil, s.corrupt(ref)
	}
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(payload, ref.Offset+recordHeader, ref.Length), nil
}

// header reads the header of a record and returns the payload's checksum.
func (s *Store) header(ref Ref) (uint32, error) {
	head := make([]byte, recordHeader)
	if err := s.readFull(ref, head, ref.Offset); err != nil {
		return 0, err
	}
	length, sum, ok := parseRecordHeader(head, ref.Segment, ref.Offset)
	if !ok || length != ref.Length {
		return 0, s.corrupt(ref)
	}
	return sum, nil
}

func (s *Store) readFull(ref Ref, buf []byte, at int64) error {
	n, err := segmentReader{s, ref.Segment}.ReadAt(buf, at)
	if n == len(buf) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return s.corrupt(ref)
	}
	return err
}

func (s *Store) corrupt(ref Ref) error {
	s.count.corrupt.Add(1)
	s.log.Error("blob record damaged", "ref", ref.String())
	return fmt.Errorf("%w: %s", ErrCorrupt, ref)
}

// segmentReader reads a segment through the store's open files.
type segmentReader struct {
	s  *Store
	id uint64
}

func (r segmentReader) ReadAt(p []byte, at int64) (int, error) {
	h, err := r.s.files.acquire(r.id)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: %d", ErrNotFound, r.id)
	}
	if err != nil {
		return 0, err
	}
	defer r.s.files.release(h)
	n, err := h.f.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		err = typed("read segment", err)
	}
	return n, err
}

// readers keeps the segment files used last open for reading.
type readers struct {
	max  int
	open func(id uint64) (File, error)

	mu     sync.Mutex
	byID   map[uint64]*list.Element // of *reader
	recent *list.List               // front: used last
	closed bool
}

type reader struct {
	id   uint64
	f    File
	uses int
	out  bool // no longer in the list: close with the last use
}

func newReaders(limit int, open func(uint64) (File, error)) *readers {
	return &readers{max: limit, open: open, byID: make(map[uint64]*list.Element), recent: list.New()}
}

// acquire returns an open file; release must follow. The file is opened without
// the mutex, so that a slow disk holds up only those who need that segment.
func (c *readers) acquire(id uint64) (*reader, error) {
	if h, ok := c.cached(id); ok {
		return h, nil
	}
	f, err := c.open(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(ErrClosed, f.Close())
	}
	h := &reader{id: id, f: f, uses: 1}
	if _, twice := c.byID[id]; twice {
		h.out = true
		return h, nil
	}
	c.byID[id] = c.recent.PushFront(h)
	if c.recent.Len() > c.max {
		// A file opened for reading has nothing to lose on close.
		_ = c.evict(c.recent.Back())
	}
	return h, nil
}

func (c *readers) cached(id uint64) (h *reader, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.recent.MoveToFront(el)
	h = el.Value.(*reader)
	h.uses++
	return h, true
}

func (c *readers) release(h *reader) {
	c.mu.Lock()
	h.uses--
	last := h.out && h.uses == 0
	c.mu.Unlock()
	if last {
		_ = h.f.Close() // opened for reading: nothing to lose
	}
}

// evict takes a file out of the list and closes it if nobody reads it.
func (c *readers) evict(el *list.Element) error {
	h := c.recent.Remove(el).(*reader)
	delete(c.byID, h.id)
	h.out = true
	if h.uses > 0 {
		return nil
	}
	return h.f.Close()
}

func (c *readers) drop(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byID[id]; el != nil {
		_ = c.evict(el) // the file is deleted: nothing to lose
	}
}

func (c *readers) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var err error
	for c.recent.Len() > 0 {
		err = errors.Join(err, c.evict(c.recent.Front()))
	}
	return err
}
