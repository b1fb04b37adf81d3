package db

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The journal is what makes a shared transaction durable on SQLite: rows that
// were staged are appended to it and synced, the caller has its answer, and the
// rows reach their tables later, many transactions at a time. A row that was
// inserted and deleted meanwhile never does.
//
// It is a directory of files NNNNNNNNNNNN.log, each named by the number of its
// first record. A record is
//
//	magic(4) length(4) sequence(8) crc32c(4) payload(length)
//
// in little endian; the checksum covers length, sequence and payload. The
// sequence numbers rise by one. journal_state in the database holds the number
// up to which records have been applied, written in the transaction that
// applied them, so that each is applied once.
type journal struct {
	dir    string
	log    *slog.Logger
	create func(name string) (journalFile, error)

	file  journalFile
	size  int64    // of file, up to the last good record
	first uint64   // number of file's first record
	seq   uint64   // last number used
	old   []string // complete files, oldest first
	upto  []uint64 // last record of each of old
	buf   []byte
}

// journalFile is what the journal needs of a file.
type journalFile interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

const (
	journalMagic  = 0x4c4a5250 // "PRJL"
	journalHeader = 20
	// journalFileBytes is when a new file is begun.
	journalFileBytes = 32 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens the directory, making it if need be. Its files are those
// of an earlier run, for replay. Only one program uses a directory: the lock of
// the data directory sees to that.
func openJournal(dir string, log *slog.Logger) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &journal{dir: dir, log: log, create: func(name string) (journalFile, error) {
		return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}}, nil
}

// files lists the journal's files, oldest first.
func (j *journal) files() ([]string, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, ok := firstRecord(e.Name()); ok {
			out = append(out, filepath.Join(j.dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

func (j *journal) path(first uint64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%020d.log", first))
}

// firstRecord reads the number in a file's name.
func firstRecord(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(name), ".log")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// append writes a record and returns its number when it is on disk. After an
// error nothing of it counts; the next record goes to another file, because a
// file whose sync has failed cannot be trusted any more.
func (j *journal) append(payload []byte) (uint64, error) {
	if j.file != nil && j.size >= journalFileBytes {
		if err := j.retire(); err != nil {
			return 0, err
		}
	}
	if j.file == nil {
		if err := j.begin(); err != nil {
			return 0, err
		}
	}
	j.seq++
	j.buf = appendRecord(j.buf[:0], j.seq, payload)
	_, err := j.file.Write(j.buf)
	if err == nil {
		err = j.file.Sync()
	}
	if cap(j.buf) > 4<<20 {
		j.buf = nil
	}
	if err != nil {
		return 0, j.abandon(err)
	}
	j.size += int64(journalHeader + len(payload))
	return j.seq, nil
}

func appendRecord(b []byte, seq uint64, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, journalMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, seq)
	sum := crc32.Update(crc32.Checksum(b[4:16], castagnoli), castagnoli, payload)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, payload...)
}

// begin makes the next file. Its directory entry is synced with it: a record
// in a file that is gone after a power failure would be lost.
func (j *journal) begin() error {
	f, err := j.create(j.path(j.seq + 1))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := syncDir(j.dir); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), f.Close(), os.Remove(j.path(j.seq+1)))
	}
	j.file, j.first, j.size = f, j.seq+1, 0
	return nil
}

// retire ends the file; what is in it stays until it is applied.
func (j *journal) retire() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.old, j.upto, j.file = append(j.old, j.path(j.first)), append(j.upto, j.seq), nil
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// abandon cuts a record off that could not be written and leaves the file.
func (j *journal) abandon(cause error) error {
	err := j.file.Truncate(j.size)
	if err != nil {
		j.log.Error("journal could not be cut after a failed write: an unacknowledged transaction may come back after a restart", "file", j.path(j.first), "error", err)
	}
	if j.size == 0 && err == nil {
		err = errors.Join(j.file.Close(), os.Remove(j.path(j.first)))
		j.file = nil
	} else {
		err = j.retire()
	}
	if err != nil {
		j.log.Error("journal", "error", err)
	}
	return fmt.Errorf("journal: %w", cause)
}

// release deletes files whose records have all been applied.
func (j *journal) release(applied uint64) {
	for len(j.old) > 0 && j.upto[0] <= applied {
		if err := os.Remove(j.old[0]); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.log.Error("journal", "error", err)
			return
		}
		j.old, j.upto = j.old[1:], j.upto[1:]
	}
}

// close ends the journal. If everything was applied nothing of it stays.
func (j *journal) close(applied uint64) error {
	err := j.retire()
	j.release(applied)
	return err
}

// replay calls apply for each record after the given number, in their order,
// and continues numbering behind the last. What is torn at the end of the last
// file was never acknowledged; damage elsewhere is reported and passed over.
func (j *journal) replay(after uint64, apply func(seq uint64, payload []byte) error) (records int, err error) {
	names, err := j.files()
	if err != nil {
		return 0, err
	}
	j.seq = after
	for i, name := range names {
		n, err := j.replayFile(name, i == len(names)-1, apply)
		records += n
		if err != nil {
			return records, fmt.Errorf("journal %s: %w", filepath.Base(name), err)
		}
		first, _ := firstRecord(name)
		j.old, j.upto = append(j.old, name), append(j.upto, max(j.seq, first))
		j.seq = max(j.seq, first) // its name is taken
	}
	return records, nil
}

func (j *journal) replayFile(name string, last bool, apply func(uint64, []byte) error) (records int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	r := &recordReader{r: bufio.NewReaderSize(f, 1<<20), size: info.Size()}
	for {
		seq, payload, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return records, err
		}
		if seq <= j.seq {
			continue
		}
		if err := apply(seq, payload); err != nil {
			return records, err
		}
		j.seq = seq
		records++
	}
	switch {
	case r.gaps > 0:
		j.log.Error("journal is damaged: some transactions that were acknowledged may be lost", "file", name, "places", r.gaps, "bytes", r.skipped)
	case r.skipped > 0 && last:
		j.log.Warn("journal ended in the middle of a write; what was cut had not been acknowledged", "file", name, "bytes", r.skipped)
	case r.skipped > 0:
		j.log.Warn("journal holds the rest of a failed write", "file", name, "bytes", r.skipped)
	}
	return records, nil
}

// recordReader finds the good records of a file.
type recordReader struct {
	r       *bufio.Reader
	size    int64 // of the file: no record is longer
	gaps    int   // places with bad bytes before a good record
	skipped int64 // bad bytes in all
	bad     bool  // in bad bytes
}

// next returns the next record that is whole, io.EOF when there is none. After
// bad bytes it looks for the next header with a right checksum.
func (r *recordReader) next() (seq uint64, payload []byte, err error) {
	for {
		head, err := r.r.Peek(journalHeader)
		if len(head) < journalHeader {
			r.skipped += int64(len(head))
			return 0, nil, eof(err)
		}
		if seq, payload, ok, err := r.record(head); err != nil || ok {
			if ok && r.bad {
				r.bad = false
				r.gaps++
			}
			return seq, payload, err
		}
		r.bad = true
		n := 1
		if i := bytes.IndexByte(head[1:], journalMagic&0xff); i >= 0 {
			n += i
		} else {
			n = len(head)
		}
		r.skipped += int64(n)
		if _, err := r.r.Discard(n); err != nil {
			return 0, nil, eof(err)
		}
	}
}

func eof(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// record reads the record at the front if it is whole.
func (r *recordReader) record(head []byte) (seq uint64, payload []byte, ok bool, err error) {
	if binary.LittleEndian.Uint32(head) != journalMagic {
		return 0, nil, false, nil
	}
	length := int(binary.LittleEndian.Uint32(head[4:]))
	if int64(length) > r.size {
		return 0, nil, false, nil
	}
	if journalHeader+length > r.r.Size() {
		r.r = bufio.NewReaderSize(r.r, journalHeader+length) // larger than the buffer: one around it that holds it
	}
	all, err := r.r.Peek(journalHeader + length)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return 0, nil, false, err
	}
	sum := crc32.Update(crc32.Checksum(all[4:16], castagnoli), castagnoli, all[journalHeader:])
	if sum != binary.LittleEndian.Uint32(all[16:]) {
		return 0, nil, false, nil
	}
	seq = binary.LittleEndian.Uint64(all[8:])
	payload = bytes.Clone(all[journalHeader:])
	_, err = r.r.Discard(len(all))
	return seq, payload, true, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
