package db

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Why a journal is not applied. A start that did it all the same would mix the
// rows of two histories, so somebody has to say what is to be used.
var (
	errForeign = errors.New("the journal belongs to another database; put its database back, or move the journal's files away to start without what is in them")
	errGap     = errors.New("the journal goes on from a later state than the database has: the database is an older copy, or files of the journal are missing; put back what belongs together, or move the journal's files away to start without what is in them")
)

// logFile is a file of the directory.
type logFile struct {
	name  string
	first uint64
	mark  uint32
}

// files lists the journal's files, oldest first.
func (j *journal) files() ([]logFile, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []logFile
	for _, e := range entries {
		if first, mark, ok := parseName(e.Name()); ok {
			out = append(out, logFile{filepath.Join(j.dir, e.Name()), first, mark})
		}
	}
	slices.SortFunc(out, func(a, b logFile) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (j *journal) path(first uint64) string {
	if j.mark == 0 {
		return filepath.Join(j.dir, fmt.Sprintf("%020d.log", first))
	}
	return filepath.Join(j.dir, fmt.Sprintf("%020d-%08x.log", first, j.mark))
}

// parseName reads the number and the mark in a file's name.
func parseName(name string) (first uint64, mark uint32, ok bool) {
	name, ok = strings.CutSuffix(name, ".log")
	digits, hex, marked := strings.Cut(name, "-")
	if !ok || len(digits) != 20 || marked && len(hex) != 8 {
		return 0, 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	if err == nil && marked {
		var m uint64
		m, err = strconv.ParseUint(hex, 16, 32)
		mark = uint32(m)
	}
	return first, mark, err == nil
}

// replay calls apply for each record after the given number, in their order,
// and continues numbering behind the last. What is torn at the end of the last
// file was never acknowledged; damage elsewhere is reported and passed over.
func (j *journal) replay(after uint64, apply func(seq uint64, payload []byte) error) (records int, err error) {
	names, err := j.files()
	if err != nil {
		return 0, err
	}
	for i, f := range names {
		switch {
		case f.mark != j.mark:
			return 0, fmt.Errorf("%s: %w", f.name, errForeign)
		case i == 0 && f.first > after+1:
			return 0, fmt.Errorf("%s: %w (record %d follows %d)", f.name, errGap, f.first, after)
		}
	}
	j.seq = after
	for i, f := range names {
		end := uint64(math.MaxUint64)
		if i+1 < len(names) {
			end = names[i+1].first
		}
		n, err := j.replayFile(f, end, apply)
		records += n
		if err != nil {
			return records, fmt.Errorf("journal %s: %w", filepath.Base(f.name), err)
		}
	}
	return records, nil
}

// replayFile applies a file's records up to end.
func (j *journal) replayFile(f logFile, end uint64, apply func(uint64, []byte) error) (records int, err error) {
	b, err := os.ReadFile(f.name)
	if err != nil {
		return 0, err
	}
	r := &recordReader{b: b, mark: j.mark, seq: f.first - 1}
	var missing uint64
	for {
		seq, payload, ok := r.next()
		if !ok {
			break
		}
		if seq <= j.seq || seq >= end {
			continue // applied already, or refused
		}
		if err := apply(seq, payload); err != nil {
			return records, err
		}
		missing += seq - j.seq - 1
		j.seq = seq
		records++
	}
	if last := end - 1; end != math.MaxUint64 && j.seq < last {
		missing += last - j.seq
		j.seq = last
	}
	j.old = append(j.old, oldFile{name: f.name, upto: j.seq, damaged: missing > 0})
	j.report(f.name, r, missing, end == math.MaxUint64)
	return records, nil
}

func (j *journal) report(name string, r *recordReader, missing uint64, last bool) {
	switch {
	case missing > 0:
		j.log.Error("journal is damaged: transactions that were acknowledged are lost", "file", name, "records", missing, "bytes", r.skipped)
	case r.gaps > 0:
		j.log.Warn("journal is damaged where its rows have been in their tables before", "file", name, "places", r.gaps, "bytes", r.skipped)
	case r.skipped > 0 && last:
		j.log.Warn("journal ended in the middle of a write; what was cut had not been acknowledged", "file", name, "bytes", r.skipped)
	case r.skipped > 0:
		j.log.Warn("journal holds the rest of a failed write", "file", name, "bytes", r.skipped)
	}
}

// recordReader finds the good records of a file.
type recordReader struct {
	b       []byte // what is left of the file
	mark    uint32
	seq     uint64 // of the last good record
	gaps    int    // places with bad bytes before a good record
	skipped int    // bad bytes in all
	bad     uint64 // bad bytes since the last good record
}

// next returns the next record that is whole. After bad bytes it looks for the
// next header with a right checksum.
func (r *recordReader) next() (seq uint64, payload []byte, ok bool) {
	for len(r.b) >= journalHeader {
		if payload, ok := r.record(); ok {
			if r.bad > 0 {
				r.gaps++
			}
			r.bad = 0
			return r.seq, payload, true
		}
		n := 1 + bytes.IndexByte(r.b[1:], journalMagic&0xff)
		if n == 0 {
			n = len(r.b)
		}
		r.skip(n)
	}
	r.skip(len(r.b))
	return 0, nil, false
}

func (r *recordReader) skip(n int) {
	r.b = r.b[n:]
	r.skipped += n
	r.bad += uint64(n)
}

// record reads the record at the front if it is whole. Its number must be one
// that is possible here: that costs less to see than the checksum.
func (r *recordReader) record() (payload []byte, ok bool) {
	head := r.b[:journalHeader]
	if binary.LittleEndian.Uint32(head) != journalMagic {
		return nil, false
	}
	end := journalHeader + int64(binary.LittleEndian.Uint32(head[4:]))
	seq := binary.LittleEndian.Uint64(head[8:])
	if end > int64(len(r.b)) || seq <= r.seq || seq-r.seq > 1+r.bad/journalHeader {
		return nil, false
	}
	payload = r.b[journalHeader:end]
	if checksum(r.mark, head[4:16], payload) != binary.LittleEndian.Uint32(head[16:]) {
		return nil, false
	}
	r.seq, r.b = seq, r.b[end:]
	return payload, true
}
