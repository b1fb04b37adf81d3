package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"postroad/internal/base/disk"
)

// The journal is what makes a shared transaction durable on SQLite: rows that
// were staged are appended to it and synced, the caller has its answer, and the
// rows reach their tables later, many transactions at a time. A row that was
// inserted and deleted meanwhile never does.
//
// It is a directory of files NUMBER-MARK.log, each named by the number of its
// first record (20 digits) and the mark of the database (8 hexadecimal digits).
// A record is
//
//	magic(4) length(4) sequence(8) crc32c(4) payload(length)
//
// in little endian; the checksum covers length, sequence and payload and begins
// with the mark. The mark is a random number that the database holds: a journal
// is not applied to another database, and what looks like a record inside of a
// value somebody sent is none.
//
// The sequence numbers rise by one without a gap. A file's records count up to
// the first of the file that follows it: what stands behind was refused and
// could not be cut off. journal_state in the database holds the number up to
// which records have been applied, written in the transaction that applied them,
// so that each is applied once.
type journal struct {
	dir  string
	mark uint32 // 0: of a database that had none yet; then names have none either
	log  *slog.Logger
	fs   journalDir

	limit int64 // size at which a file is ended
	file  journalFile
	size  int64  // of file, up to the last good record
	first uint64 // number of file's first record
	seq   uint64 // last number used
	old   []oldFile
	buf   []byte
}

// oldFile is a file that is not written any more; they are kept oldest first.
type oldFile struct {
	name    string
	upto    uint64 // its last record
	damaged bool   // records are missing
}

// journalDir is what the journal needs of its directory.
type journalDir interface {
	create(name string) (journalFile, error) // which must not exist
	remove(name string) error
	sync() error // makes what was created and removed durable
}

// journalFile is what the journal needs of a file.
type journalFile interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

type osDir string

func (d osDir) create(name string) (journalFile, error) {
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}
func (d osDir) remove(name string) error { return os.Remove(name) }
func (d osDir) sync() error              { return disk.SyncDir(string(d)) }

const (
	journalMagic  = 0x4c4a5250 // "PRJL"
	journalHeader = 20
	// journalFileBytes is when a new file is begun.
	journalFileBytes = 32 << 20
	// maxRecord bounds the payload of a record.
	maxRecord = 512 << 20
)

// errTooLarge is a transaction that no record can hold.
var errTooLarge = errors.New("transaction is too large")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openJournal opens the directory, making it if need be. Its files are those
// of an earlier run, for replay. Only one program uses a directory: the lock of
// the data directory sees to that.
func openJournal(dir string, mark uint32, log *slog.Logger) (*journal, error) {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = disk.SyncDir(filepath.Dir(dir)) // a journal in a directory that is gone after a power failure is gone too
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return &journal{dir: dir, mark: mark, log: log, fs: osDir(dir), limit: journalFileBytes}, nil
}

// append writes a record and returns its number when it is on disk. After an
// error nothing of it counts; the next record goes to another file, because a
// file whose sync has failed cannot be trusted any more.
func (j *journal) append(payload []byte) (uint64, error) {
	if len(payload) > maxRecord {
		return 0, fmt.Errorf("journal: %w: %d bytes", errTooLarge, len(payload))
	}
	if j.file != nil && j.size >= j.limit {
		if err := j.retire(); err != nil {
			return 0, err
		}
	}
	if j.file == nil {
		if err := j.begin(); err != nil {
			return 0, err
		}
	}
	j.buf = appendRecord(j.buf[:0], j.mark, j.seq+1, payload)
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
	j.seq++
	j.size += int64(journalHeader + len(payload))
	return j.seq, nil
}

func appendRecord(b []byte, mark uint32, seq uint64, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, journalMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint32(b, checksum(mark, b[len(b)-12:], payload))
	return append(b, payload...)
}

// checksum is of a header's length and sequence and the payload.
func checksum(mark uint32, head, payload []byte) uint32 {
	return crc32.Update(crc32.Update(mark, castagnoli, head), castagnoli, payload)
}

// begin makes the next file. Its directory entry is synced with it: a record
// in a file that is gone after a power failure would be lost.
func (j *journal) begin() error {
	name := j.path(j.seq + 1)
	f, err := j.fs.create(name)
	if errors.Is(err, fs.ErrExist) {
		// Files of earlier runs are gone: it is what was left of a begin or a
		// first record that failed, and holds nothing that counts.
		if err = j.fs.remove(name); err == nil {
			f, err = j.fs.create(name)
		}
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := j.fs.sync(); err != nil {
		return errors.Join(fmt.Errorf("journal: %w", err), f.Close(), j.fs.remove(name))
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
	j.old, j.file = append(j.old, oldFile{name: j.path(j.first), upto: j.seq}), nil
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// abandon cuts a record off that could not be written and begins the next file:
// with its name on disk the record does not count even if it is there after a
// power failure, since the cut is not synced. A file without any other record
// has that very name; begin replaces it.
func (j *journal) abandon(cause error) error {
	err := errors.Join(j.file.Truncate(j.size), j.file.Close())
	if j.size > 0 {
		j.old = append(j.old, oldFile{name: j.path(j.first), upto: j.seq})
	}
	j.file = nil
	if err != nil {
		j.log.Warn("journal could not be cut after a failed write", "error", err)
	}
	if err := j.begin(); err != nil {
		j.log.Error("journal: a transaction that was refused may come back if the program ends before the next one", "record", j.seq+1, "error", err)
	}
	return fmt.Errorf("journal: %w", cause)
}

// release deletes files all of whose records are in the database file.
func (j *journal) release(safe uint64) {
	for len(j.old) > 0 && j.old[0].upto <= safe {
		if err := j.fs.remove(j.old[0].name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Error("journal", "error", err)
			return
		}
		j.old = j.old[1:]
	}
}

// clear takes the files of earlier runs away after all of them was applied, so
// that their names are free. What is damaged is kept under another name.
func (j *journal) clear() error {
	for _, f := range j.old {
		var err error
		if f.damaged {
			j.log.Error("journal: the damaged file is kept to be looked at and is not used any more", "file", f.name+damagedSuffix)
			err = os.Rename(f.name, f.name+damagedSuffix)
		} else {
			err = j.fs.remove(f.name)
		}
		if err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	j.old = nil
	return nil
}

const damagedSuffix = ".damaged"

// close ends the journal. If everything is in the database file nothing of it
// stays.
func (j *journal) close(safe uint64) error {
	err := j.retire()
	j.release(safe)
	return err
}
