package blob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultSegmentBytes = 64 << 20
	DefaultBatchBytes   = 4 << 20
	DefaultMaxBatch     = 1024
	DefaultOpenFiles    = 64
	DefaultSealAfter    = 24 * time.Hour
)

// Options of a store; the zero value is good for production.
type Options struct {
	// SegmentBytes is the size at which a segment is sealed. A larger record gets
	// a segment of its own.
	SegmentBytes int64
	// BatchBytes bounds the memory of one group; two groups exist at a time. A
	// larger record is written by itself, straight from the caller's memory.
	BatchBytes int64
	// MaxBatch bounds the number of records in one group.
	MaxBatch int
	// OpenFiles bounds how many segment files are kept open for reading.
	OpenFiles int
	// SealAfter is the age of its first record at which the newest segment is
	// sealed although there is room in it, so that a quiet installation gets the
	// space of deleted bodies back. It is looked at eight times in that time.
	SealAfter time.Duration
	// Logger receives what happened on open and failures; nil discards.
	Logger *slog.Logger
	// FS is the file system; nil is the operating system's.
	FS FS
	// Now tells the time; nil is time.Now.
	Now func() time.Time
	// After makes timers as clock.Clock does; nil is the runtime's.
	After func(time.Duration) (<-chan time.Time, func())
}

func (o Options) withDefaults() Options {
	o.SegmentBytes = cmp.Or(max(o.SegmentBytes, 0), DefaultSegmentBytes)
	o.BatchBytes = cmp.Or(max(o.BatchBytes, 0), DefaultBatchBytes)
	o.MaxBatch = cmp.Or(max(o.MaxBatch, 0), DefaultMaxBatch)
	o.OpenFiles = cmp.Or(max(o.OpenFiles, 0), DefaultOpenFiles)
	o.SealAfter = cmp.Or(max(o.SealAfter, 0), DefaultSealAfter)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = after
	}
	return o
}

// Segment describes a segment file.
type Segment struct {
	// ID is the number that Refs carry.
	ID uint64
	// Bytes is the size of the file, or its durable part for the newest one.
	Bytes int64
	// Sealed: a newer segment exists, so this one never changes and may be deleted.
	Sealed bool
	// Created is when the segment was begun; Modified when its last record was
	// acknowledged (for segments of an earlier run: the file's time). A record
	// acknowledged a moment ago may not be referenced from the database yet, so
	// retention must leave alone what was modified recently.
	Created, Modified time.Time
}

// Recovery tells what Open found in the newest segment.
type Recovery struct {
	// Segment is the number of the segment examined, 0 if there was none.
	Segment uint64
	// Records is the number of good records from its front.
	Records int
	// Truncated is the number of bytes of a torn tail that were cut off.
	Truncated int64
	// Damaged: a bad record stands before good ones. Nothing was cut; reading
	// the bad one gives ErrCorrupt.
	Damaged bool
}

// Store is an open directory of segments. Its methods may be called from many
// goroutines.
type Store struct {
	dir   string
	opt   Options
	log   *slog.Logger
	lock  io.Closer
	count counters
	files *readers
	found Recovery

	turn     chan struct{} // held by the one who places a record; taken before mu
	mu       sync.Mutex
	work     *sync.Cond // the committer waits here for cur to gather something
	cur      *batch     // gathering; its records all lie in one segment, side by side
	spare    []byte     // buffer of the group committed last
	next     place      // where the next record goes
	segments map[uint64]*Segment
	newest   uint64 // highest number of a segment that exists
	first    first  // of the newest segment that has a record
	closed   bool

	active  *activeSegment // owned by the committer
	stopped chan struct{}  // closed when the committer has ended
	unseal  context.CancelFunc
	sealing sync.WaitGroup
}

// place is a position in a segment.
type place struct {
	segment uint64
	offset  int64
}

// activeSegment is the file the committer writes to.
type activeSegment struct {
	id      uint64
	f       File
	created time.Time
	end     int64 // everything before it is durable
}

// Open opens or creates the store in dir and examines its newest segment. The
// error is ErrLocked if another process has it.
func Open(dir string, opt Options) (*Store, error) {
	opt = opt.withDefaults()
	if err := opt.FS.MkdirAll(dir); err != nil {
		return nil, typed("make directory", err)
	}
	lock, err := opt.FS.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("blob: lock %s: %w", dir, err)
	}
	s := &Store{
		dir: dir, opt: opt, log: opt.Logger, lock: lock,
		segments: make(map[uint64]*Segment),
		stopped:  make(chan struct{}),
		turn:     make(chan struct{}, 1),
	}
	s.files = newReaders(opt.OpenFiles, s.openSegment)
	s.work = sync.NewCond(&s.mu)
	s.cur = newBatch(nil)
	if err := s.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go s.run()
	ctx, cancel := context.WithCancel(context.Background())
	s.unseal = cancel
	s.sealing.Go(func() { s.sealOld(ctx) })
	return s, nil
}

// load lists the segments and decides where the next record goes.
func (s *Store) load() error {
	infos, err := s.opt.FS.List(s.dir)
	if err != nil {
		return typed("list directory", err)
	}
	for _, info := range infos {
		id, ok := parseSegmentName(info.Name())
		if !ok {
			continue
		}
		seg, err := s.describe(id, info)
		if err != nil {
			return err
		}
		s.segments[id] = seg
		s.newest = max(s.newest, id)
	}
	s.next = place{s.newest + 1, segmentHeader}
	if s.newest == 0 {
		return nil
	}
	if seg := s.segments[s.newest]; seg.Bytes > segmentHeader {
		s.first = first{seg.ID, seg.Created}
	}
	return s.recoverNewest()
}

// describe reads when a segment was created; without a good header the file's
// time must do.
func (s *Store) describe(id uint64, info fs.FileInfo) (*Segment, error) {
	seg := &Segment{ID: id, Bytes: info.Size(), Created: info.ModTime(), Modified: info.ModTime()}
	f, err := s.openSegment(id)
	if err != nil {
		return nil, typed("open segment", err)
	}
	head := make([]byte, segmentHeader)
	if n, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		s.log.Warn("blob segment header unreadable", "segment", id, "error", err)
	} else if created, err := parseSegmentHeader(head[:n], id); err != nil {
		s.log.Warn("blob segment header damaged", "segment", id, "error", err)
	} else {
		seg.Created = created
	}
	return seg, f.Close()
}

// recoverNewest verifies the newest segment and goes on in it if it is whole
// and has room. Otherwise the next record begins a new one: an offset behind a
// torn tail is not used again, because a Ref to it may be known somewhere.
func (s *Store) recoverNewest() error {
	f, err := s.opt.FS.Open(s.path(s.newest), true)
	if err != nil {
		return typed("open newest segment", err)
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(typed("size of newest segment", err), f.Close())
	}
	got, err := scan(f, s.newest, size)
	s.found = Recovery{Segment: s.newest, Records: got.records, Damaged: got.damaged || err != nil}
	if s.found.Damaged {
		s.log.Error("blob segment damaged: left as it is", "segment", s.newest, "good_until", got.end, "size", size, "error", err)
		return f.Close()
	}
	if got.end < size {
		return errors.Join(s.cutTail(f, got.end, size), f.Close())
	}
	if size < segmentHeader || size >= s.opt.SegmentBytes {
		return f.Close()
	}
	s.active = &activeSegment{id: s.newest, f: f, end: size}
	s.next = place{s.newest, size}
	return nil
}

func (s *Store) cutTail(f File, end, size int64) error {
	if err := f.Truncate(end); err != nil {
		return typed("cut torn tail", err)
	}
	if err := f.SyncData(); err != nil {
		return typed("sync after cutting torn tail", err)
	}
	s.found.Truncated = size - end
	s.segments[s.newest].Bytes = end
	s.log.Warn("blob segment had a torn tail: cut off", "segment", s.newest, "bytes", size-end, "records", s.found.Records)
	return nil
}

// Recovery tells what Open found.
func (s *Store) Recovery() Recovery { return s.found }

// Segments lists the segments by number.
func (s *Store) Segments() []Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Segment, 0, len(s.segments))
	for _, seg := range s.segments {
		one := *seg
		one.Sealed = seg.ID < s.newest
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Segment) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Delete removes a sealed segment with every record in it. The caller knows
// that none is needed. Errors: ErrNotFound, ErrActive for the newest segment,
// ErrHeld while somebody has called Hold, ErrClosed.
func (s *Store) Delete(id uint64) error {
	s.mu.Lock()
	_, exists := s.segments[id]
	newest, closed := id == s.newest, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !exists:
		return fmt.Errorf("%w: %d", ErrNotFound, id)
	case newest:
		return fmt.Errorf("%w: %d", ErrActive, id)
	}
	if err := s.remove(id); err != nil {
		return err
	}
	s.files.drop(id)
	s.mu.Lock()
	delete(s.segments, id)
	s.mu.Unlock()
	if err := s.opt.FS.SyncDir(s.dir); err != nil {
		return typed("sync directory", err)
	}
	return nil
}

// remove deletes a segment's file unless a reader of the directory holds it.
func (s *Store) remove(id uint64) (err error) {
	guard, err := s.opt.FS.Guard(filepath.Join(s.dir, holdName))
	if err != nil {
		return fmt.Errorf("delete segment: %w", err)
	}
	defer func() { err = errors.Join(err, guard.Close()) }()
	if err := s.opt.FS.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return typed("delete segment", err)
	}
	return nil
}

// Close refuses new records, waits until those taken are durable or have
// failed, and gives the directory back. A second call returns ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.cur.leave() // those waiting for room see that there will be none
	s.work.Signal()
	s.mu.Unlock()
	s.unseal()
	s.sealing.Wait()
	<-s.stopped
	var err error
	if s.active != nil {
		err = s.active.f.Close()
	}
	return errors.Join(err, s.files.close(), s.lock.Close())
}

func (s *Store) path(id uint64) string { return filepath.Join(s.dir, segmentName(id)) }

func (s *Store) openSegment(id uint64) (File, error) { return s.opt.FS.Open(s.path(id), false) }
