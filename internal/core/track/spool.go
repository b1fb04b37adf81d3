package track

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/base/disk"
)

// position is how far the spool was read: everything in files before file, and
// pos bytes of it.
type position struct {
	file uint64
	pos  int64
}

const (
	suffix   = ".spool"
	fullFile = 8 << 20 // size after which the spool goes on in another file
	readSize = 1 << 20 // read at once; more than any record
)

// errFull: hits come in faster than they become events, for long.
var errFull = errors.New("the spool of opens and clicks is full")

// part is one file of the spool.
type part struct {
	seq  uint64
	size int64 // of whole records, as far as we know
}

// spool is an append-only queue of hits in files. Files of an earlier run are
// never appended to: after a power failure they may be shorter than what was
// read of them.
type spool struct {
	dir string
	log *slog.Logger
	max int64 // bytes

	mu      sync.Mutex
	parts   []part   // oldest first
	f       *os.File // that of the last part; nil: none is being written
	retired []*os.File
	closed  bool
	buf     []byte

	bytes atomic.Int64 // in all parts

	dirty chan struct{} // something is to be synced
	more  chan struct{} // something is to be read
	ended chan struct{}
}

// openSpool finds the files that are not read up to at.
func openSpool(dir string, at position, max int64, log *slog.Logger) (*spool, error) {
	s := &spool{dir: dir, log: log, max: max, dirty: make(chan struct{}, 1), more: make(chan struct{}, 1), ended: make(chan struct{})}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		seq, err := strconv.ParseUint(name, 16, 63)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, part{seq, info.Size()})
		s.bytes.Add(info.Size())
	}
	slices.SortFunc(s.parts, func(a, b part) int { return cmp.Compare(a.seq, b.seq) })
	if last := len(s.parts) - 1; last < 0 || s.parts[last].seq < at.file {
		s.parts = append(s.parts, part{seq: at.file}) // so that the next file has a number of its own
	}
	go s.syncing()
	return s, nil
}

func (s *spool) path(seq uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x%s", seq, suffix))
}

// append writes a hit. When it returns nil the hit outlives the process.
func (s *spool) append(h *hit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return os.ErrClosed
	}
	if s.bytes.Load() >= s.max {
		return errFull
	}
	if s.f == nil || s.parts[len(s.parts)-1].size >= fullFile {
		if err := s.begin(); err != nil {
			return err
		}
	}
	s.buf = h.appendTo(s.buf[:0])
	last := &s.parts[len(s.parts)-1]
	if n, err := s.f.Write(s.buf); err != nil {
		if n > 0 && s.f.Truncate(last.size) != nil {
			s.retire() // what lies behind half a record would not be found again
		}
		return err
	}
	last.size += int64(len(s.buf))
	s.bytes.Add(int64(len(s.buf)))
	wake(s.dirty)
	wake(s.more)
	return nil
}

// begin starts another file.
func (s *spool) begin() error {
	seq := s.parts[len(s.parts)-1].seq + 1
	f, err := os.OpenFile(s.path(seq), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.retire()
	s.f, s.parts = f, append(s.parts, part{seq: seq})
	return nil
}

// retire ends the file being written; it is closed when it has been synced.
func (s *spool) retire() {
	if s.f != nil {
		s.retired = append(s.retired, s.f)
		s.f = nil
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// syncAfter is how long hits gather before they are made durable: what a power
// failure may cost, with the time the disk takes.
const syncAfter = 5 * time.Millisecond

// syncing makes files durable.
func (s *spool) syncing() {
	defer close(s.ended)
	var known *os.File // its directory entry is durable
	for range s.dirty {
		time.Sleep(syncAfter)
		s.mu.Lock()
		f, retired := s.f, s.retired
		s.retired = nil
		s.mu.Unlock()
		err := s.close(retired)
		if f != nil {
			err = errors.Join(err, disk.SyncData(f))
		}
		if f != nil && f != known {
			err = errors.Join(err, disk.SyncDir(s.dir))
			known = f
		}
		if err != nil {
			s.log.Error("opens and clicks could not be made durable; a power failure would lose the latest", "error", err)
		}
	}
}

// close syncs and closes files nobody writes any more.
func (s *spool) close(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, disk.SyncData(f), f.Close())
	}
	return err
}

// Close ends writing.
func (s *spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.retire()
	s.mu.Unlock()
	close(s.dirty)
	<-s.ended
	return s.close(s.retired)
}

// read returns up to limit hits behind at, and where they end. A file that ends
// in half a record, or is damaged, counts as read.
func (s *spool) read(at position, limit int) (hits []hit, end position, err error) {
	for {
		p, writing, ok := s.next(at)
		if !ok {
			return nil, at, nil
		}
		if p.seq != at.file {
			at = position{file: p.seq}
		}
		hits, n, err := s.readPart(p, at.pos, limit)
		if err != nil || n > 0 {
			return hits, position{p.seq, at.pos + n}, err
		}
		if writing {
			return nil, at, nil
		}
		if rest := p.size - at.pos; rest > 0 {
			s.log.Warn("a file of opens and clicks ends in what is no record", "file", s.path(p.seq), "bytes", rest)
		}
		at.pos = p.size
	}
}

// next returns the first part with something behind at.
func (s *spool) next(at position) (p part, writing, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.parts {
		if p.seq > at.file && p.size > 0 || p.seq == at.file && p.size > at.pos {
			return p, s.f != nil && i == len(s.parts)-1, true
		}
	}
	return part{}, false, false
}

func (s *spool) readPart(p part, pos int64, limit int) (hits []hit, n int64, err error) {
	f, err := os.Open(s.path(p.seq))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	b := make([]byte, min(readSize, p.size-pos))
	got, err := f.ReadAt(b, pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	for b = b[:got]; len(hits) < limit; {
		h, size := readHit(b)
		if size == 0 {
			break
		}
		hits, b, n = append(hits, h), b[size:], n+int64(size)
	}
	return hits, n, nil
}

// done deletes files that are read up to at and not written any more.
func (s *spool) done(at position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.parts) > 1 { // the last gives the next its number
		p := s.parts[0]
		if p.seq > at.file || p.seq == at.file && p.size > at.pos {
			return nil
		}
		if err := os.Remove(s.path(p.seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.bytes.Add(-p.size)
		s.parts = s.parts[1:]
	}
	return nil
}
