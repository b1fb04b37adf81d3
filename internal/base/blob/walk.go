package blob

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// SegmentFile is a segment as a file, for those who read a directory without
// opening it as a Store: backups and checks.
type SegmentFile struct {
	ID   uint64
	Path string
	// Bytes is the size of the file when it was listed.
	Bytes int64
}

// Files lists the segment files of a directory by number. A directory that does
// not exist has none.
func Files(dir string) ([]SegmentFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, typed("list directory", err)
	}
	var out []SegmentFile
	for _, e := range entries {
		id, ok := parseSegmentName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // given up before it held a record
		}
		if err != nil {
			return nil, typed("list directory", err)
		}
		out = append(out, SegmentFile{id, filepath.Join(dir, e.Name()), info.Size()})
	}
	slices.SortFunc(out, func(a, b SegmentFile) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out, nil
}

// Record is a record whose header is intact.
type Record struct {
	// Offset and Length are those of a Ref.
	Offset, Length int64
	// Good: the payload has its checksum.
	Good bool
}

// Walked is what Walk found in a segment.
type Walked struct {
	// Header: the segment's own header is intact.
	Header bool
	// Records counts good records, Bytes their payloads.
	Records, Bytes int64
	// Bad counts records with a damaged payload that stand before a good one, and
	// Lost the bytes before a good one that belong to no record.
	Bad, Lost int64
	// Torn is the number of bytes behind the last good record: what a crash or a
	// write that failed leaves behind, or what is being written at this moment.
	Torn int64
}

// Walk verifies every record of a segment of size bytes, also those behind
// damage, in the order of their places. It calls visit for each record with an
// intact header; visit's error ends the walk. The memory it takes does not
// depend on the size, and the time is that of reading the file twice at most.
func Walk(f io.ReaderAt, id uint64, size int64, visit func(Record) error) (Walked, error) {
	w := walk{f: f, id: id, size: size, visit: visit, chunk: make([]byte, 64<<10)}
	head := make([]byte, segmentHeader)
	if _, err := f.ReadAt(head[:min(size, segmentHeader)], 0); err != nil && !errors.Is(err, io.EOF) {
		return w.out, err
	}
	if _, err := parseSegmentHeader(head, id); err == nil {
		w.out.Header = true
	}
	w.at = min(size, segmentHeader)
	w.good = w.at
	for w.at < size {
		more, err := w.step()
		if err != nil {
			return w.out, err
		}
		if !more {
			break
		}
	}
	w.out.Torn = size - w.good
	return w.out, nil
}

// walk is the state of Walk.
type walk struct {
	f        io.ReaderAt
	id       uint64
	size, at int64
	good     int64 // where the last good record ends
	bad      int64 // damaged records since
	lost     int64 // bytes of no record since
	visit    func(Record) error
	chunk    []byte
	in       *bufio.Reader // stands at inAt
	inAt     int64
	out      Walked
}

// step takes one record, or looks for the next header; false when there is none.
func (w *walk) step() (bool, error) {
	head := make([]byte, recordHeader)
	if _, err := io.ReadFull(w.reader(), head); err != nil {
		return false, ignoreEnd(err)
	}
	w.inAt += recordHeader
	length, want, ok := parseRecordHeader(head, w.id, w.at)
	if !ok || length > w.size-w.at-recordHeader {
		next, err := nextHeader(w.f, w.id, w.at+1, w.size)
		if err != nil || next < 0 {
			return false, err
		}
		w.lost += next - w.at
		w.at = next
		return true, nil
	}
	got, err := streamSum(w.in, length, w.chunk)
	if err != nil {
		return false, ignoreEnd(err) // the file became shorter
	}
	w.inAt += length
	return true, w.record(Record{w.at, length, got == want})
}

func (w *walk) record(r Record) error {
	w.at += recordHeader + r.Length
	if r.Good {
		w.out.Records++
		w.out.Bytes += r.Length
		w.out.Bad, w.out.Lost = w.out.Bad+w.bad, w.out.Lost+w.lost
		w.bad, w.lost, w.good = 0, 0, w.at
	} else {
		w.bad++
	}
	return w.visit(r)
}

// reader reads from at on.
func (w *walk) reader() *bufio.Reader {
	if w.in == nil || w.inAt != w.at {
		rest := io.NewSectionReader(w.f, w.at, w.size-w.at)
		if w.in == nil {
			w.in = bufio.NewReaderSize(rest, 256<<10)
		} else {
			w.in.Reset(rest)
		}
		w.inAt = w.at
	}
	return w.in
}

// Check verifies one record of a segment file. Errors: ErrBadRef, ErrCorrupt, or
// the disk's.
func Check(f io.ReaderAt, ref Ref) error {
	if err := ref.check(); err != nil {
		return err
	}
	head := make([]byte, recordHeader)
	if _, err := f.ReadAt(head, ref.Offset); err != nil {
		return orCorrupt(err, ref)
	}
	length, want, ok := parseRecordHeader(head, ref.Segment, ref.Offset)
	if !ok || length != ref.Length {
		return fmt.Errorf("%w: %s", ErrCorrupt, ref)
	}
	got, err := streamSum(io.NewSectionReader(f, ref.Offset+recordHeader, length), length, make([]byte, min(length, 64<<10)))
	if err != nil {
		return orCorrupt(err, ref)
	}
	if got != want {
		return fmt.Errorf("%w: %s", ErrCorrupt, ref)
	}
	return nil
}

func orCorrupt(err error, ref Ref) error {
	if ignoreEnd(err) == nil {
		return fmt.Errorf("%w: %s", ErrCorrupt, ref)
	}
	return err
}
